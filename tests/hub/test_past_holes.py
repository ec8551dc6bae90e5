"""What has once been a hole elsewhere, tried here: each test names the lesson and where it was learnt.

Further lessons are where their surface is: websockets and every route in ``test_matrix``; sign-in pages, issuers and
e-mail domains in ``test_people`` and ``test_oidc``; MLflow's own routes in ``tests/experiments/test_team_gate``;
scripts in what runs logged in ``tests/e2e/test_mlflow_ui`` and ``test_experiments_runs``; names that are options in
``tests/git/test_command``; a new password that ends old sessions in ``test_ending``.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from packaging.requirements import Requirement

from aidp_ext import app
from aidp_ext.core.web import METHODS, WsApi
from tests.hub.browser import Browser
from tests.hub.process import Hub
from tests.support.processes import REPO
from tests.support.route_list import Served

MARK = "the-neighbours-secret"
#: Fields that name something on the disk.
PLACES = ("path", "paths", "files", "folder", "notebook", "file", "into", "directory", "root")


@pytest.fixture(scope="module")
def neighbour(hub: Hub, alice: Browser) -> Path:
    """A folder beside Alice's home whose name begins as her home's does, with a repository and a notebook in it."""
    folder = hub.state_dir / "homes" / "alice-too"
    folder.mkdir()
    (folder / "secret.txt").write_text(MARK)
    (folder / "secret.py").write_text(f"x = '{MARK}'\n")
    cell: dict[str, Any] = {
        "cell_type": "code",
        "id": "a",
        "source": MARK,
        "metadata": {},
        "outputs": [],
        "execution_count": None,
    }
    (folder / "secret.ipynb").write_text(
        json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
    )
    for args in (
        ("init", "-q"),
        ("add", "."),
        ("-c", "user.name=B", "-c", "user.email=b@x.org", "commit", "-qm", MARK),
    ):
        subprocess.run(["git", "-C", str(folder), *args], check=True)
    return folder


def operations() -> Iterator[tuple[str, str, dict[str, Any], bool]]:
    """Endpoints of a user's server that take a place on the disk: method, path, an example, whether it is a query."""
    for pattern, api in app.ROUTES:
        for method in METHODS if not issubclass(api, WsApi) else ():
            operation = getattr(getattr(api, method), "__aidp_operation__", None)
            if operation is None:
                continue
            path = f"user/alice/aidp/{Served(pattern, [], False).example}"
            if set(getattr(operation.query, "__struct_fields__", ())) & {*PLACES}:
                yield method.upper(), path, dict.fromkeys(operation.query.__struct_fields__, "x"), True
            fields = set(getattr(operation.takes, "__struct_fields__", ()))
            if operation.example and fields & {*PLACES}:
                yield method.upper(), path, {**dict.fromkeys(fields & {*PLACES}), **operation.example}, False


def with_place(example: Any, place: str, name: str = "") -> Any:
    """The example with every place in it replaced."""
    if isinstance(example, dict):
        return {key: with_place(value, place, key) for key, value in example.items()}
    if isinstance(example, list):
        return [with_place(value, place, name) for value in example]
    return place if name in PLACES else example


def seen(folder: Path) -> dict[str, str]:
    """What is in a folder, to the byte."""
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize(
    "place",
    ["../alice-too", "../alice-too/secret.py", "x/../../alice-too/secret.ipynb", "{absolute}", "link/secret.txt"],
)
def test_a_folder_that_only_begins_like_the_root_is_outside(
    hub: Hub, alice: Browser, neighbour: Path, place: str
) -> None:
    """jupyter-server CVE-2026-35397: the root was compared by its first letters. Links lead nowhere either."""
    link = hub.state_dir / "homes" / "alice" / "link"
    if not link.exists():
        link.symlink_to(neighbour)
    before = seen(neighbour)
    asked = [*operations()]
    assert len(asked) > 20
    for method, path, example, is_query in asked:
        body = with_place(example, place.format(absolute=neighbour))
        if is_query:
            answer = alice.open(f"{path}?{urlencode(body, doseq=True)}", method=method)
        else:
            answer = alice.open(path, body=body, method=method)
        assert MARK.encode() not in answer.body, (method, path, place)
        assert answer.status < 500 or answer.status in (502, 503), (method, path, place, answer.text)
    assert seen(neighbour) == before


@pytest.mark.parametrize("origin", ["https://evil.example", "http://127.0.0.1.evil.example", "null"])
@pytest.mark.parametrize(
    "path", ["user/alice/api/contents", "user/alice/aidp/ai/mode", "services/aidp/aidp/health", "hub/api/user"]
)
def test_no_page_of_elsewhere_may_read_an_answer(hub: Hub, alice: Browser, origin: str, path: str) -> None:
    """jupyter-server CVE-2026-40110: a pattern of origins that was not anchored. There is none here.

    By the cookies that a browser sends along; a page of elsewhere has no token to send.
    """
    alice.open("user/alice/lab")  # signs in there
    with alice.stream(path, more={"Origin": origin}) as answer:
        assert answer.status in (200, 401, 403, 404)
        headers = answer.headers
    assert headers.get("Access-Control-Allow-Origin") is None
    assert headers.get("Access-Control-Allow-Credentials") is None


def test_lab_is_new_enough() -> None:
    """JupyterLab CVE-2026-73415, -73417 and -73627."""
    extras = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (lab,) = (one for one in map(Requirement, extras["lab"]) if one.name == "jupyterlab")
    assert "4.6.1" not in lab.specifier
    assert "4.6.2" in lab.specifier


def test_nobody_shares_their_server_or_makes_themselves_more(hub: Hub, alice: Browser) -> None:
    """GHSA-c4gm-pwx9-9w8j and GHSA-69wv-m5fw-2fhp: shares and filtered admins gave more than they said."""
    shared = alice.open("hub/api/shares/alice/", body={"user": "bob", "scopes": ["access:servers!server=alice/"]})
    assert shared.status in (403, 404)
    assert alice.open("hub/api/users/alice", body={"admin": True}, method="PATCH").status in (403, 404)
    assert alice.open("hub/api/users", method="GET").status == 403
    asked = alice.open("hub/api/users/alice/tokens", body={"note": "more", "scopes": ["admin:users"]})
    assert asked.status in (400, 403)
