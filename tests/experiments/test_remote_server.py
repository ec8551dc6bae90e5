"""A tracking server that runs elsewhere: how it is reached, and what is said when it is not."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web

from aidp_ext.core.errors import StorageError, Unavailable, UpstreamInvalid, UpstreamTimeout, UpstreamUnreachable
from aidp_ext.experiments.server import LocalServer, NoServer, RemoteServer, chosen
from aidp_ext.experiments.server.remote import authorization, verification
from aidp_ext.experiments.upstream import Upstream
from tests.support.fake_mlflow import FakeMlflow, fake_mlflow
from tests.support.processes import free_port

SEARCH = "/api/2.0/mlflow/experiments/search"


@pytest.fixture
def fake() -> Iterator[FakeMlflow]:
    with fake_mlflow("/team/mlflow") as running:
        yield running


def choose(uri: str, folder: Path, **more: str) -> Upstream:
    return chosen(
        {"MLFLOW_TRACKING_URI": uri, **more}, folder=folder, runtime=folder, server_environment={}, patience_s=9
    )


async def test_a_request_goes_below_its_prefix_with_our_token(fake: FakeMlflow, tmp_path: Path) -> None:
    server = choose(f"{fake.url}/", tmp_path, MLFLOW_TRACKING_TOKEN="t0k")
    assert (server.database, server.artifacts) == (None, None)
    async with server.request("POST", SEARCH, params={"a": "b c"}, json={"x": 1}) as response:
        assert await response.json() == {"said": "hello"}
    assert server.state().state == "remote"
    await server.close()
    (got,) = fake.got
    assert got.target == f"/team/mlflow{SEARCH}?a=b+c"
    assert got.headers["Authorization"] == "Bearer t0k"
    assert got.body == b'{"x": 1}'


async def test_one_that_is_down_is_said_with_a_next_step_and_remembered(tmp_path: Path) -> None:
    port = free_port()
    server = choose(f"http://me:SECRET@127.0.0.1:{port}/x", tmp_path)
    with pytest.raises(UpstreamUnreachable, match=f"does not answer at http://127.0.0.1:{port}") as failed:
        await server.start()
    assert "reached from this machine" in str(failed.value.next_step)
    assert server.state().state == "failed"
    assert "SECRET" not in str((server.state(), failed.value.details))
    await server.close()


async def test_one_that_is_silent_is_given_up_and_forgotten_when_it_answers(fake: FakeMlflow, tmp_path: Path) -> None:
    async def never(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(60)
        return web.Response()

    answers, fake.answer = fake.answer, never
    server = choose(fake.url, tmp_path)
    with pytest.raises(UpstreamTimeout, match="stayed silent"):
        async with server.request("GET", SEARCH, timeout_s=0.3):
            pass
    assert server.state().state == "failed"
    fake.answer = answers
    await server.start()
    assert server.state().state == "remote"
    await server.close()


async def test_what_does_not_speak_http_is_said(tmp_path: Path) -> None:
    async def shout(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH\r\n\r\n")
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(shout, "127.0.0.1", 0)
    server = choose(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}", tmp_path)
    with pytest.raises(UpstreamInvalid, match="does not speak HTTP"):
        await server.start()
    await server.close()
    listening.close()


async def test_its_redirects_are_not_followed(fake: FakeMlflow, tmp_path: Path) -> None:
    async def away(_: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": "/elsewhere"})

    fake.answer = away
    server = choose(fake.url, tmp_path)
    async with server.request("GET", SEARCH) as response:
        assert response.status == 302
    await server.close()
    assert len(fake.got) == 1


@pytest.mark.parametrize("uri", ["databricks", "file:///data/mlruns", "./mlruns", "uc:x"])
async def test_what_aidp_cannot_read_is_said_and_left_to_mlflow(uri: str, tmp_path: Path) -> None:
    server = choose(uri, tmp_path)
    assert isinstance(server, NoServer)
    assert (server.state().state, server.state().ui) == ("off", False)
    assert "which aidp cannot read" in server.state().message
    for ask in (server.request, server.forward):
        with pytest.raises(Unavailable, match="which aidp cannot read"):
            ask("GET", SEARCH)
    with pytest.raises(Unavailable):
        await server.start()
    await server.close()


def test_a_database_is_for_a_server_of_our_own(tmp_path: Path) -> None:
    server = choose(f"sqlite:///{tmp_path}/mine.db", tmp_path)
    assert isinstance(server, LocalServer)
    assert server.database == tmp_path / "mine.db"
    elsewhere = choose("postgresql+psycopg://me:SECRET@db/runs", tmp_path)
    assert isinstance(elsewhere, LocalServer)
    assert elsewhere.database is None
    none = choose("", tmp_path)
    assert none.database == tmp_path / "mlflow.db"
    assert not (tmp_path / "mlflow.db").exists()


def test_who_we_are_is_said_as_mlflows_clients_say_it(tmp_path: Path) -> None:
    assert authorization({}) == {}
    assert authorization({"MLFLOW_TRACKING_TOKEN": "t"}) == {"Authorization": "Bearer t"}
    both = {"MLFLOW_TRACKING_USERNAME": "u", "MLFLOW_TRACKING_PASSWORD": "p", "MLFLOW_TRACKING_TOKEN": "t"}
    assert authorization(both) == {"Authorization": "Basic dTpw"}
    (tmp_path / ".mlflow").mkdir()
    kept = tmp_path / ".mlflow" / "credentials"
    kept.write_text("[mlflow]\nmlflow_tracking_username = u\nmlflow_tracking_password = p%1\n")
    assert authorization({}, tmp_path) == {"Authorization": "Basic dTpwJTE="}
    kept.write_text("no settings at all")
    assert authorization({}, tmp_path) == {}


def test_certificates_are_checked_as_mlflows_clients_are_told(tmp_path: Path) -> None:
    assert verification({}) is True
    assert verification({"MLFLOW_TRACKING_INSECURE_TLS": "true"}) is False
    found = verification({"MLFLOW_TRACKING_SERVER_CERT_PATH": str(tmp_path)})
    assert isinstance(found, ssl.SSLContext)
    assert found.verify_mode == ssl.CERT_REQUIRED
    with pytest.raises(StorageError, match="A certificate cannot be read"):
        verification({"MLFLOW_TRACKING_CLIENT_CERT_PATH": str(tmp_path / "none.pem")})


async def test_the_teams_server_is_asked_with_the_hubs_token(fake: FakeMlflow, tmp_path: Path) -> None:
    address = {"MLFLOW_TRACKING_URI": fake.url, "MLFLOW_TRACKING_TOKEN": "hub"}
    server = chosen(address, is_team=True, folder=tmp_path, runtime=tmp_path, server_environment={}, patience_s=9)
    assert isinstance(server, RemoteServer)
    assert server.state().kind == "team"
    await server.start()
    await server.close()
    assert fake.got[0].headers["Authorization"] == "token hub"
