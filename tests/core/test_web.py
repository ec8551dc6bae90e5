"""The way a request takes, in a bare Tornado application: what holds in every host."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
import pytest
from tornado import web
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.websocket import WebSocketHandler

from aidp_ext.core import errors
from aidp_ext.core.web import Api, UnknownEndpoint, WsApi, bind, endpoint, error_body, status_of


class Order(msgspec.Struct):
    """What the test endpoint takes."""

    count: int
    name: str = ""


class Echo(Api):
    @endpoint("write")
    async def post(self) -> None:
        order = self.body(Order)
        self.reply({"count": order.count, "who": self.who()})


class Failing(Api):
    @endpoint("read")
    async def get(self) -> None:
        raise {
            "known": errors.Conflict("It is taken.", next_step="Take another.", row=7),
            "unknown": ValueError("the password is hunter2"),
            "http": web.HTTPError(418, "teapot %s", "x"),
        }[self.get_argument("kind")]


class Streaming(Api):
    ended: asyncio.Event

    @endpoint("read")
    async def get(self) -> None:
        await self.stream(self._events(self.get_argument("then")))

    async def _events(self, then: str) -> AsyncIterator[bytes]:  # type: ignore[misc]
        try:
            yield b"data: 1\n\n"
            if then == "known":
                raise errors.UpstreamIncomplete("It broke off.")
            if then == "unknown":
                raise ValueError("the password is hunter2")
            if then == "forever":
                while True:
                    await asyncio.sleep(0.01)
                    yield b"data: tick\n\n"
            yield b"data: [DONE]\n\n"
        finally:
            Streaming.ended.set()


class Unsendable(Api):
    """Its events come with a header that cannot be sent."""

    closed = False

    @endpoint("read")
    async def get(self) -> None:
        await self.stream(self, headers={"X-Bad": "two\nlines"})

    def __aiter__(self) -> AsyncIterator[bytes]:
        raise AssertionError("nobody is to read them")

    async def aclose(self) -> None:
        Unsendable.closed = True


class Working(Api):
    """Long work without an answer yet."""

    started: asyncio.Event
    cancelled: asyncio.Event

    @endpoint("execute")
    async def post(self) -> None:
        Working.started.set()
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            Working.cancelled.set()
            raise


class EchoSocket(WsApi):
    def on_message(self, message: str | bytes) -> None:
        self.write_message(f"{self.who()}: {message!r}")


class Named:
    def who(self) -> str:
        return "ana"


class HttpBase(Named, web.RequestHandler):
    pass


class WsBase(Named, WebSocketHandler):
    pass


def guard(method: Any, action: str, is_websocket: bool) -> Any:
    async def guarded(self: Any, *args: Any, **kwargs: Any) -> None:
        if action not in self.request.headers.get("X-May", ""):
            raise errors.Forbidden(f"You may not {action}.")
        await method(self, *args, **kwargs)

    return guarded


ROUTES = [
    ("/echo", Echo),
    ("/fail", Failing),
    ("/stream", Streaming),
    ("/unsendable", Unsendable),
    ("/work", Working),
    ("/ws", EchoSocket),
    ("/.*", UnknownEndpoint),
]
MAY = {"X-May": "read write execute"}


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    Streaming.ended, Working.started, Working.cancelled = asyncio.Event(), asyncio.Event(), asyncio.Event()
    sock, port = bind_unused_port()
    server = HTTPServer(web.Application(bind(ROUTES, HttpBase, WsBase, guard)))
    server.add_socket(sock)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", headers=MAY) as session:
        yield session
    server.stop()
    await server.close_all_connections()


async def test_a_good_body_reaches_the_endpoint(client: aiohttp.ClientSession) -> None:
    async with client.post("/echo", json={"count": 3}) as response:
        assert (response.status, await response.json()) == (200, {"count": 3, "who": "ana"})


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        (b"", "invalid_json", None),
        (b"{", "invalid_json", None),
        (b"\xff\xfe", "invalid_json", None),
        (b'{"count": 1, "x": ' + b"[" * 100_000, "invalid_json", None),
        (b"[]", "invalid_request", None),
        (b"{}", "invalid_request", "count"),
        (b'{"count": "three"}', "invalid_request", "count"),
        (b'{"count": 1, "name": 5}', "invalid_request", "name"),
    ],
)
async def test_a_bad_body_is_answered_with_400_and_its_field(
    client: aiohttp.ClientSession, body: bytes, code: str, field: str | None
) -> None:
    async with client.post("/echo", data=body) as response:
        error = (await response.json())["error"]
    assert (response.status, error["code"], error["type"]) == (400, code, "invalid_request_error")
    assert error["details"].get("field") == field
    assert field is None or f"`{field}`" in error["message"]


@pytest.mark.parametrize("count", [b"16.0", b"1.6e1", b"160e-1"])
async def test_a_whole_number_may_be_written_in_any_way_that_json_has(
    client: aiohttp.ClientSession, count: bytes
) -> None:
    async with client.post("/echo", data=b'{"count": ' + count + b"}") as response:
        assert (response.status, (await response.json())["count"]) == (200, 16)


@pytest.mark.parametrize("count", [b"16.5", b"1e300", b"1e999", b"9" * 5000])
async def test_what_is_no_whole_number_is_refused(client: aiohttp.ClientSession, count: bytes) -> None:
    async with client.post("/echo", data=b'{"count": ' + count + b"}") as response:
        assert response.status == 400


async def test_a_known_error_has_the_one_body(client: aiohttp.ClientSession) -> None:
    async with client.get("/fail?kind=known") as response:
        assert response.status == 409
        assert response.content_type == "application/json"
        assert await response.json() == {
            "error": {
                "code": "conflict",
                "message": "It is taken.",
                "type": "conflict_error",
                "details": {"next_step": "Take another.", "row": 7},
            }
        }


async def test_an_unexpected_error_shows_nothing_of_itself(client: aiohttp.ClientSession) -> None:
    async with client.get("/fail?kind=unknown") as response:
        text = await response.text()
    assert response.status == 500
    assert json.loads(text)["error"]["code"] == "internal"
    assert "hunter2" not in text


async def test_every_error_has_a_status_and_a_body() -> None:
    def family(cls: type[errors.AidpError]) -> list[type[errors.AidpError]]:
        children = [c for c in cls.__subclasses__() if c.__module__ == errors.__name__]
        return [cls, *(member for child in children for member in family(child))]

    codes = [cls.code for cls in family(errors.AidpError)]
    assert len(codes) == len(set(codes)), "codes are stable names, one for each error"
    for cls in family(errors.AidpError):
        error = cls("m", status=418) if cls is errors.UpstreamRejected else cls("m")  # type: ignore[call-arg]
        assert 400 <= status_of(error) < 600
        assert set(error_body(error)["error"]) == {"code", "message", "type", "details"}
        assert cls.code in str(errors.__doc__), "the tree in the module's docstring is whole"


async def test_an_upstreams_own_4xx_is_kept_where_it_fits() -> None:
    assert status_of(errors.UpstreamRejected("m", status=429)) == 429
    assert status_of(errors.UpstreamRejected("m", status=401)) == 502, "its 401 is not our caller's"


async def test_unknown_paths_and_methods_have_the_same_body(client: aiohttp.ClientSession) -> None:
    async with client.get("/nothing") as response:
        assert (response.status, (await response.json())["error"]["code"]) == (404, "not_found")
    async with client.delete("/echo") as response:
        assert (response.status, (await response.json())["error"]["code"]) == (405, "method_not_allowed")


async def test_the_guard_sees_the_action(client: aiohttp.ClientSession) -> None:
    for path, action in (("/echo", "write"), ("/work", "execute")):
        async with client.post(path, json={}, headers={"X-May": "read"}) as response:
            assert response.status == 403
            assert action in (await response.json())["error"]["message"]


async def test_a_method_without_endpoint_is_refused_at_start() -> None:
    class Open(Api):
        async def get(self) -> None:
            """An oversight."""

    with pytest.raises(TypeError, match=r"Open\.get"):
        bind([("/open", Open)], HttpBase, WsBase, guard)


async def test_events_come_one_by_one(client: aiohttp.ClientSession) -> None:
    async with client.get("/stream?then=forever") as response:
        assert response.content_type == "text/event-stream"
        assert await response.content.readuntil(b"\n\n") == b"data: 1\n\n"  # while the endpoint is still running
        assert not Streaming.ended.is_set()


@pytest.mark.parametrize(("then", "code"), [("known", "upstream_incomplete"), ("unknown", "internal")])
async def test_a_failure_in_midstream_is_an_event(client: aiohttp.ClientSession, then: str, code: str) -> None:
    async with client.get(f"/stream?then={then}") as response:
        text = await response.text()
    first, last = text.strip().split("\n\n")
    assert response.status == 200
    assert first == "data: 1"
    assert json.loads(last.removeprefix("data: "))["error"]["code"] == code
    assert "hunter2" not in text


async def test_a_header_that_cannot_be_sent_still_closes_the_events(client: aiohttp.ClientSession) -> None:
    async with client.get("/unsendable") as response:
        assert response.status == 500
    assert Unsendable.closed


async def test_a_lost_client_ends_the_stream(client: aiohttp.ClientSession) -> None:
    async with client.get("/stream?then=forever") as response:
        await response.content.readuntil(b"\n\n")
        response.close()
    async with asyncio.timeout(60):
        await Streaming.ended.wait()


async def test_a_lost_client_cancels_work_that_has_not_answered(client: aiohttp.ClientSession) -> None:
    request = asyncio.ensure_future(client.post("/work"))
    await Working.started.wait()
    request.cancel()
    async with asyncio.timeout(60):
        await Working.cancelled.wait()


async def test_a_websocket_is_guarded_and_talks(client: aiohttp.ClientSession) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await client.ws_connect("/ws", headers={"X-May": "read"})
    assert refused.value.status == 403
    async with client.ws_connect("/ws") as socket:
        await socket.send_str("hello")
        assert await socket.receive_str() == "ana: 'hello'"
