"""The pages: what they show runs, what they point to is there, and the site builds without a warning."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.jupyter import jupyter_server
from tests.support.processes import REPO

PAGES = [REPO / "README.md", *(p for p in (REPO / "docs").rglob("*.md") if "_build" not in p.parts)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPO)))
def test_what_a_page_points_to_is_there(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:\s]+)(?:#[\w-]*)?\)", page.read_text()):
        generated = "reference/generated/" in target or "generated" in page.parts  # made at each build
        assert generated or (page.parent / target).exists() or target == "docs/images/lab.png", target


def test_make_targets_on_the_pages_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):.*##", (REPO / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        text = page.read_text()
        named = {*re.findall(r"`make ([a-z]+)", text), *re.findall(r"^make ([a-z]+)", text, re.MULTILINE)}
        assert named <= targets, page


def test_the_code_on_the_page_runs(llama: str, tmp_path: Path) -> None:
    page = (REPO / "docs" / "howto" / "your-code.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    of_a_hub = [block for block in blocks if "JUPYTERHUB_API_TOKEN" in block]
    assert len(of_a_hub) == 1
    assert len(blocks) >= 5
    # a model with random weights stops when it likes
    short = "import functools\nclient.{0}.create = functools.partial(client.{0}.create, max_tokens=8)\n"
    code = [block for block in blocks if block not in of_a_hub]
    code.insert(1, "".join(short.format(name) for name in ("chat.completions", "completions")))
    with jupyter_server(tmp_path, {"LOCAL_OPENAI_BASE_URL": llama}) as server:
        environment = {**os.environ, "JUPYTER_RUNTIME_DIR": str(server.home / "runtime"), "NO_PROXY": "127.0.0.1"}
        done = subprocess.run(
            [sys.executable, "-c", "\n".join(code)], env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr[-3000:]
        assert re.search(r"local/\S+ local_fallback\n", done.stdout), done.stdout


@pytest.mark.skipif(find_spec("sphinx") is None, reason="Sphinx is not installed here: `make docs` builds the site")
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "docs", tmp_path],
        cwd=REPO,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "reference" / "generated" / "errors.html").exists()
