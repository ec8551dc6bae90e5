"""The pages: what they show runs, what they point to is there, and the site builds without a warning."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.jupyter import jupyter_server
from tests.support.kernel import kernel
from tests.support.processes import REPO

PAGES = [REPO / "README.md", *sorted(p for p in (REPO / "docs").rglob("*.md") if "_build" not in p.parts)]


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
    """In a kernel, as its reader does it."""
    page = (REPO / "docs" / "howto" / "your-code.md").read_text()
    first, *blocks = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 5
    # a model with random weights stops when it likes
    short = "import functools\nclient.{0}.create = functools.partial(client.{0}.create, max_tokens=8)\n"
    limits = "".join(short.format(name) for name in ("chat.completions", "completions"))
    first = first.replace("client = OpenAI()\n", f"client = OpenAI()\n{limits}")
    with jupyter_server(tmp_path, {"LOCAL_OPENAI_BASE_URL": llama}) as server, kernel(server) as cell:
        said = [cell.run(block).text for block in (first, *blocks)]
    assert re.search(r"local/\S+ local_fallback\n", "".join(said)), said


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
