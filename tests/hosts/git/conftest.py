"""A Jupyter server of Ana's, beside a Git server, a stand-in for GitHub's REST, a GitLab and a scripted model."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.git.repo import Repo
from tests.hosts.git.ground import OPTIONS, environment
from tests.support.git_client import Forge, GitClient, forge
from tests.support.git_http import GitHttpServer
from tests.support.gitlab_api import GitlabApi
from tests.support.jupyter import Server, jupyter_server
from tests.support.scripted import Scripted, scripted


@pytest.fixture(scope="package")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forge]:
    """The forge where Ana is signed in."""
    with forge(tmp_path_factory.mktemp("forge")) as running:
        yield running


@pytest.fixture(scope="package")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forge]:
    """A forge where nobody is signed in."""
    with forge(tmp_path_factory.mktemp("other")) as running:
        yield running


@pytest.fixture(scope="package")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitlabApi]:
    """A GitLab, where Ana has a token."""
    with GitHttpServer(tmp_path_factory.mktemp("gitlab")) as git:
        yield GitlabApi(git)


@pytest.fixture(scope="package")
def model() -> Iterator[Scripted]:
    with scripted() as running:
        yield running


@pytest.fixture(scope="package")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ana")


@pytest.fixture(scope="package")
def server(folder: Path, hub: Forge, other: Forge, lab: GitlabApi, model: Scripted) -> Iterator[Server]:
    (folder / "home").mkdir()
    (folder / "home" / ".gitconfig").write_text("[credential]\n\thelper = store\n")  # which keeps what it is given
    told = environment(hub, other, LOCAL_OPENAI_BASE_URL=model.url)
    told["AIDP_FORGES"] += f",{lab.url}=gitlab"
    with jupyter_server(folder, told, *OPTIONS) as running:
        yield running


@pytest.fixture(scope="package")
def ana(server: Server, hub: Forge) -> GitClient:
    """Ana, signed in at the forge."""
    client = GitClient(server)
    account = client.post("accounts", host=hub.host, token=hub.token)
    assert (account["login"], account["source"]) == ("ana", "keyring")
    return client


@pytest.fixture(autouse=True)
def _tidy(hub: Forge, model: Scripted) -> Iterator[None]:
    hub.git.reached.clear()
    yield
    hub.git.gate.set()
    model.reset()


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A name for the test's own repository."""
    return f"r{zlib.crc32(request.node.name.encode())}"


@pytest.fixture
def repo(ana: GitClient, hub: Forge, name: str) -> Repo:
    """The test's own repository, cloned."""
    hub.add(name)
    return Repo(ana.clone(hub, name))
