"""In the modes Local and Offline, and where a request is private, nothing leaves: seen at the sockets of the process.

A real server runs under a recorder of every address that it, or a child of it, connects or sends to, from its first
import to its end (see tests/support/recorder.py). In the closed modes it has keys for the real addresses of every
provider and a proxy: nothing but the two local model servers may be contacted, and no name be looked up. In the hybrid
mode the providers are doubles that keep every byte: what is planted must not be in one of them, and be in the answer.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import aiohttp
import pytest

from aidp_ext.ai.actions.routes import ROUTES as ACTION_ROUTES
from aidp_ext.ai.actions.wire import Action
from aidp_ext.ai.chats.routes import ROUTES as CHAT_ROUTES
from aidp_ext.ai.context.routes import ROUTES as CONTEXT_ROUTES
from aidp_ext.ai.models import Mode, Task
from aidp_ext.ai.routes import ROUTES, USER_ROUTES
from tests.support import anthropic_api, gemini_api, openai_api
from tests.support.abilities import WEATHER
from tests.support.chat import about, chatting
from tests.support.doubles import Doubles, all_doubles
from tests.support.jupyter import Server, jupyter_server
from tests.support.planted import PERSONAL, SECRETS
from tests.support.recorder import IS_AVAILABLE, Address, Recorder, recorder

pytestmark = pytest.mark.skipif(not IS_AVAILABLE, reason="the recorder at the sockets is for Linux")

PLANTED = [value for _, value in SECRETS + PERSONAL]
PICTURE = f"data:image/png;base64,{base64.b64encode(PLANTED[0].encode() * 9).decode()}"
MOST = 8  # tokens
CLOSED = (Mode.LOCAL, Mode.OFFLINE)
KEYS = {
    "OPENAI_API_KEY": openai_api.KEY,
    "ANTHROPIC_API_KEY": anthropic_api.KEY,
    "GEMINI_API_KEY": gemini_api.KEY,
}


# --- what is asked


@dataclass(frozen=True)
class Asked:
    """A request; ``pattern`` is its route in the list of routes."""

    method: str
    pattern: str
    body: Any = None
    path: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Where it goes, below ``aidp/``."""
        return self.path or self.pattern


V1 = r"ai/v1/"


def _chat(text: str, **more: Any) -> dict[str, Any]:
    """Return a chat in which the text stands in every place that a text can have."""
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": json.dumps({"city": text})}}
    return {
        "messages": [
            {"role": "system", "content": f"Be brief. {text}"},
            {"role": "user", "content": [{"type": "text", "text": f"The attached file reads:\n{text}"}]},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": f"It gave\n{text}"},
            {"role": "user", "content": f"What is\n{text}\nthere?"},
        ],
        "tools": [{"type": "function", "function": {**WEATHER, "description": f"For\n{text}"}}],
        "tool_choice": "none",
        "max_tokens": MOST,
        **more,
    }


def _messages(text: str, **more: Any) -> dict[str, Any]:
    """Return the same in Anthropic's dialect, with a document."""
    document = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": f"See\n{text}"}}
    return {
        "system": f"Be brief. {text}",
        "messages": [
            {"role": "user", "content": [document, {"type": "text", "text": f"Look at\n{text}"}]},
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": "t", "name": "weather", "input": {"c": text}}],
            },
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": f"It gave\n{text}"}]},
            {"role": "assistant", "content": "Yes."},
            {"role": "user", "content": f"What is\n{text}\nthere?"},
        ],
        "tools": [{"name": "weather", "description": text, "input_schema": WEATHER["parameters"]}],
        "tool_choice": {"type": "none"},
        "max_tokens": MOST,
        **more,
    }


def _with_picture(text: str) -> dict[str, Any]:
    parts = [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": PICTURE}}]
    return {"messages": [{"role": "user", "content": parts}], "max_tokens": MOST}


MODELS = ("auto", "auto:local", "auto:cloud", "openai/gpt-4o", "gpt-4o", "anthropic/claude-opus-5-5")
MODELS += ("gemini/gemini-2.5-flash", "ollama/gpt-oss:120b-cloud", "ollama/llama3.2:3b", "local/tiny-coder")


def _answering(text: str, headers: dict[str, str]) -> Iterator[Asked]:
    """Yield requests of every dialect, task and model, whole and streamed."""
    for task in Task:
        named = {**headers, "X-AIDP-Task": task}
        for stream in (False, True):
            yield Asked("post", V1 + "chat/completions", _chat(text, stream=stream), headers=named)
            yield Asked("post", V1 + "messages", _messages(text, stream=stream), headers=named)
            for suffix in (None, f"# {text}"):
                body = {"prompt": f"x = '{text}'", "suffix": suffix, "max_tokens": MOST, "stream": stream}
                yield Asked("post", V1 + "completions", body, headers=named)
        yield Asked("post", V1 + "embeddings", {"input": [text, "other"]}, headers=named)
        yield Asked("post", V1 + "chat/completions", _with_picture(text), headers=named)
    for model in MODELS:
        yield Asked("post", V1 + "chat/completions", _chat(text, model=model), headers=headers)
        yield Asked("post", V1 + "messages", _messages(text, model=model, stream=True), headers=headers)
        yield Asked("post", V1 + "completions", {"prompt": text, "model": model}, headers=headers)
        yield Asked("post", V1 + "embeddings", {"input": text, "model": model}, headers=headers)
        yield Asked("post", "ai/preview", _chat(text, model=model), headers=headers)
        yield Asked("get", V1 + "models/(.+)", path=f"{V1}models/{model}")
        yield Asked("post", "ai/route", {"model": model, "prompt_tokens": 10}, headers=headers)


def _assisting(text: str, headers: dict[str, str]) -> Iterator[Asked]:
    """Yield what the notebook asks for: the context of each task, and each action, of local models and of others."""
    path = unquote(headers.get("X-AIDP-Path", "work.ipynb").partition(",")[0])
    cell = {"id": "a", "source": f"x = 1  # {text}", "outputs": [{"kind": "error", "text": f"KeyError: {text}"}]}
    document = {"path": path, "cells": [cell], "active": "a"}
    kernel = {"variables": [{"name": "x", "type": "str", "value": text}], "allows_values": True}
    context = {
        "document": document,
        "kernel": kernel,
        "query": text,
        "open": [{"path": "b.py", "text": f"x = '{text}'"}],
    }
    for task in Task:
        yield Asked("post", "ai/context", {**context, "task": task})
    body = {"context": context, "instruction": text, "privacy": headers.get("X-AIDP-Privacy"), "max_tokens": MOST}
    for action in Action:
        yield Asked("post", "ai/actions", {**body, "action": action})
    for model in MODELS:
        yield Asked("post", "ai/actions", {**body, "action": Action.EDIT, "model": model})
        by_header = {**body, "action": Action.EDIT, "model": model, "privacy": None}
        yield Asked("post", "ai/actions", by_header, headers=headers)
    yield Asked("get", "ai/chats", path="ai/chats?q=penguin")
    yield Asked("post", "ai/actions/run-tests", {"path": "tests/test_none.py"})


def _looking(mode: Mode) -> Iterator[Asked]:
    """Yield the requests that carry no text."""
    yield Asked("get", V1 + "models")
    yield Asked("get", "ai/providers")
    yield Asked("get", "ai/providers", path="ai/providers?refresh=1")
    yield Asked("get", "ai/usage")
    yield Asked("get", "ai/calls")
    yield Asked("get", "ai/rules")
    yield Asked("put", "ai/rules", {"never_leave": [], "privacy": None})
    yield Asked("get", "ai/mode")
    yield Asked("put", "ai/mode", {"mode": mode})
    yield Asked("post", "ai/feedback", {"route": "openai/gpt-4o", "accepted": 1, "rejected": 1})
    for name in ("openai", "anthropic", "gemini", "ollama", "local"):
        yield Asked("post", r"ai/providers/([^/]+)/test", {}, path=f"ai/providers/{name}/test")
        # Keys of the environment cannot be changed; the attempt must not try one out either.
        yield Asked("put", r"ai/keys/([^/]+)", {"key": PLANTED[0]}, path=f"ai/keys/{name}")
        yield Asked("delete", r"ai/keys/([^/]+)", path=f"ai/keys/{name}")
    for model in ("llama3.2:3b", "gpt-oss:120b-cloud"):
        yield Asked("post", "ai/pull", {"provider": "ollama", "model": model})
    yield Asked("post", "ai/pull", {"provider": "openai", "model": "gpt-4o"})


def _everything(mode: Mode, headers: dict[str, str] | None = None) -> list[Asked]:
    """Return all requests; the planted values take turns, since a small model reads few at a time."""
    asked = list(_answering("\n".join(PLANTED[:6]), headers or {}))
    asked += _assisting("\n".join(PLANTED[:3]), headers or {})
    for start in range(6, len(PLANTED), 6):
        text = "\n".join(PLANTED[start : start + 6])
        asked.append(Asked("post", V1 + "chat/completions", _chat(text), headers=headers or {}))
        asked.append(Asked("post", V1 + "messages", _messages(text, stream=True), headers=headers or {}))
    return [*_looking(mode), *asked, *_looking(mode)]


def test_no_endpoint_is_forgotten() -> None:
    methods = ("get", "put", "post", "delete", "patch")
    there = {
        (method, pattern)
        for pattern, handler in (*ROUTES, *USER_ROUTES, *CONTEXT_ROUTES, *ACTION_ROUTES, *CHAT_ROUTES)
        for method in methods
        if hasattr(getattr(handler, method, None), "__aidp_action__")
    }
    assert {(one.method, one.pattern) for one in _everything(Mode.LOCAL)} == there


async def _ask(client: aiohttp.ClientSession, asked: Asked) -> tuple[int, str, Any]:
    async with client.request(asked.method, asked.url, json=asked.body, headers=asked.headers) as response:
        return response.status, await response.text(), response.headers


def _address(url: str) -> Address:
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    return parts.hostname, parts.port


# --- the recorder itself

WAYS_OUT = """
import socket, subprocess
def plain(): socket.create_connection(("127.0.0.2", 9))
def newer(): socket.create_connection(("::1", 9))
def datagram(): socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.3", 9))
def message(): socket.socket(type=socket.SOCK_DGRAM).sendmsg([b"x"], [], 0, ("127.0.0.4", 9))
def child(): subprocess.run(["bash", "-c", "echo > /dev/udp/127.0.0.5/9"])
for way in (plain, newer, datagram, message, child):
    try:
        way()
    except OSError:
        pass
"""


def test_the_recorder_sees_every_way_out(tmp_path: Path) -> None:
    with recorder(tmp_path) as recorded:
        argv = [*recorded.launcher, sys.executable, "-c", WAYS_OUT]
        subprocess.run(argv, env={**os.environ, **recorded.environment}, check=True, timeout=60)
        seen = {host for host, _ in recorded.addresses}
    assert seen == {"127.0.0.2", "::1", "127.0.0.3", "127.0.0.4", "127.0.0.5"}


# --- closed modes: the real addresses of the providers


@pytest.fixture
def trap() -> Iterator[Address]:
    """A proxy that nobody may speak to."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()


@pytest.mark.parametrize("mode", CLOSED)
async def test_in_a_closed_mode_only_the_local_servers_are_contacted(
    tmp_path: Path, llama: str, doubles: Doubles, trap: Address, mode: Mode
) -> None:
    proxy = f"http://{trap[0]}:{trap[1]}"
    proxies = {name: proxy for lower in ("http_proxy", "https_proxy", "all_proxy") for name in (lower, lower.upper())}
    doubles.ollama.pull = [{"status": "success"}]
    with recorder(tmp_path) as recorded:
        environment = {
            **KEYS,
            **proxies,
            **recorded.environment,
            "NO_PROXY": "",
            "no_proxy": "",
            "AIDP_AI_MODE": mode,
            "MLFLOW_TRACKING_URI": "https://runs.example.com",
            "OLLAMA_HOST": doubles.urls["ollama"],
            "LOCAL_OPENAI_BASE_URL": llama,
        }
        with jupyter_server(tmp_path / "server", environment, launcher=recorded.launcher) as server:
            answered = await _ask_everything(server, mode)
            for number, model in enumerate(MODELS):
                async with chatting(server, f"{number}.chat") as chat:
                    told = await chat.ask(f"Explain {PLANTED[0]} and @run:1a2b", metadata={"model": {"id": model}})
                is_refused = (about(told).get("error") or {}).get("code") in REFUSALS
                assert is_refused or "does not allow a connection to https://runs.example.com" in told["body"], told
    assert recorded.addresses == {_address(doubles.urls["ollama"]), _address(llama)}
    assert recorded.audited == recorded.addresses, "the two witnesses disagree"
    assert recorded.names <= {"127.0.0.1"}, "a name was looked up"
    # and it did work: what stays here was answered, what would leave was refused
    assert answered["auto"] == {200}
    assert answered["ollama/llama3.2:3b"] >= {200}
    assert not {"auto:cloud", "openai/gpt-4o", "gpt-4o", "ollama/gpt-oss:120b-cloud"} & {
        model for model, statuses in answered.items() if 200 in statuses
    }
    assert not [one for one in doubles.received["ollama"] if b"120b-cloud" in one.body and b"messages" in one.body]


async def _ask_everything(server: Server, mode: Mode) -> dict[str, set[int]]:
    """Ask everything; return the statuses of the chats by the model that was asked for."""
    answered: dict[str, set[int]] = {}
    async with aiohttp.ClientSession(f"{server.url}aidp/", headers=server.headers) as client:
        for asked in _everything(mode):
            status, said, _ = await _ask(client, asked)
            assert status < 500 or json.loads(said)["error"]["code"] in EXPECTED, (asked, said)
            if asked.url.endswith("chat/completions") and "image_url" not in json.dumps(asked.body):
                answered.setdefault(asked.body.get("model", "auto"), set()).add(status)
    return answered


# What local servers cannot do, they say: no model with eyes, a prompt that is too long for one named.
REFUSALS = ("policy_refused", "model_not_found", "no_model_available")
EXPECTED = ("no_model_available", "upstream_rejected", "upstream_unreachable")


# --- the hybrid mode: doubles that keep every byte


@dataclass(frozen=True)
class Hybrid:
    """A server in the hybrid mode under the recorder, and the providers that it can reach."""

    server: Server
    doubles: Doubles
    recorded: Recorder
    local: set[Address]

    @property
    def cloud(self) -> set[Address]:
        """The addresses of the hosted providers."""
        return {_address(self.doubles.urls[name]) for name in ("openai", "anthropic", "gemini")}


@pytest.fixture(scope="module")
def _hybrid(tmp_path_factory: pytest.TempPathFactory, llama: str) -> Iterator[Hybrid]:
    folder = tmp_path_factory.mktemp("hybrid")
    with all_doubles() as doubles, recorder(folder) as recorded:
        doubles.ollama.pull = [{"status": "success"}]
        environment = {**doubles.environment, **recorded.environment, "LOCAL_OPENAI_BASE_URL": llama}
        with jupyter_server(folder / "server", environment, launcher=recorded.launcher) as server:
            yield Hybrid(server, doubles, recorded, {_address(llama), _address(doubles.urls["ollama"])})


@pytest.fixture
def hybrid(_hybrid: Hybrid) -> Hybrid:
    _hybrid.doubles.forget()
    return _hybrid


@pytest.fixture
async def client(hybrid: Hybrid) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(f"{hybrid.server.url}aidp/", headers=hybrid.server.headers) as session:
        yield session


def _leaked(doubles: Doubles) -> set[str]:
    """Return what was planted and a hosted provider got, in any of the ways in which JSON may write it."""
    forwarded = [one for one in doubles.received["ollama"] if b"120b-cloud" in one.body]
    came = b"\n".join(one.raw for one in (*doubles.cloud, *forwarded))
    ways = {value: {value, *(json.dumps(value, ensure_ascii=e)[1:-1] for e in (True, False))} for value in PLANTED}
    ways["the picture"] = {PICTURE.partition(",")[2]}
    return {value for value, written in ways.items() if any(way.encode() in came for way in written)}


PATHS = 'never_leave = ["data/**", "outputs"]'
#: What makes a request private: its headers, and what the workspace's rules say.
PRIVATE: dict[str, tuple[dict[str, str], str]] = {
    "the request says so": ({"X-AIDP-Privacy": "local"}, ""),
    "the workspace says so": ({}, 'privacy = "local"'),
    "the workspace says so, and the request does not": ({"X-AIDP-Privacy": "cloud"}, 'privacy = "local"'),
    "a path that never leaves": ({"X-AIDP-Path": "data/people.csv"}, PATHS),
    "outputs of cells": ({"X-AIDP-Path": "notebooks/a.ipynb,outputs"}, PATHS),
    "a file outside the workspace": ({"X-AIDP-Path": "..%2F..%2Fetc%2Fpasswd"}, ""),
    "rules that cannot be understood": ({}, "never_leave = 3 ["),
}


@pytest.mark.parametrize("why", PRIVATE)
async def test_a_private_request_is_never_sent_to_the_cloud(
    hybrid: Hybrid, client: aiohttp.ClientSession, why: str
) -> None:
    given, said_of_all = PRIVATE[why]
    rules = hybrid.server.root / "aidp.toml"
    rules.write_text(f"[ai]\n{said_of_all}\n")
    try:
        # Outputs that may not leave are not told of, and the rest may
        assisting = () if "outputs" in why else _assisting("\n".join(PLANTED[:3]), given)
        for asked in (*_answering("\n".join(PLANTED[:6]), given), *assisting):
            status, said, headers = await _ask(client, asked)
            if status == 200 and asked.url.startswith((V1, "ai/actions")) and asked.method == "post":
                assert headers["X-AIDP-Locality"] == "local"
            else:
                assert status < 500 or json.loads(said)["error"]["code"] in EXPECTED, (asked, said)
    finally:
        rules.unlink()
    assert [one.path for one in hybrid.doubles.cloud if one.body] == []
    assert _leaked(hybrid.doubles) == set()
    assert hybrid.recorded.addresses <= hybrid.local | hybrid.cloud


CLOUD_MODELS = ("openai/gpt-4o", "anthropic/claude-opus-5-5", "gemini/gemini-2.5-flash", "ollama/gpt-oss:120b-cloud")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", CLOUD_MODELS)
async def test_what_is_planted_does_not_leave_and_is_back_in_the_answer(
    hybrid: Hybrid, client: aiohttp.ClientSession, model: str, stream: bool
) -> None:
    for start in range(0, len(PLANTED), 9):
        values = PLANTED[start : start + 9]
        text = "\n".join(values)
        chat = {**_chat(text, model=model, stream=stream), "max_tokens": 4000}
        messages = {**_messages(text, model=model, stream=stream), "max_tokens": 4000}
        if model.startswith("ollama"):  # this one has no tools
            chat = {k: v for k, v in chat.items() if not k.startswith("tool")}
            messages = {k: v for k, v in messages.items() if not k.startswith("tool")}
            chat["messages"] = [chat["messages"][0], chat["messages"][-1]]
            messages["messages"] = [messages["messages"][0]]
        for asked in (Asked("post", V1 + "chat/completions", chat), Asked("post", V1 + "messages", messages)):
            status, said, headers = await _ask(client, asked)
            assert status == 200, said
            assert (headers["X-AIDP-Route"], headers["X-AIDP-Locality"]) == (model, "cloud")
            assert int(headers["X-AIDP-Redactions"]) >= len(values)
            answer = _text_of(said, is_stream=stream)
            assert [value for value in values if value not in answer] == [], "not put back"
    assert _leaked(hybrid.doubles) == set()


def _text_of(said: str, *, is_stream: bool) -> str:
    """Return the text of an answer in either dialect."""
    if not is_stream:
        answer = json.loads(said)
        if "choices" in answer:
            return str(answer["choices"][0]["message"]["content"])
        return "".join(block["text"] for block in answer["content"])
    events = [json.loads(line[6:]) for line in said.splitlines() if line.startswith("data: {")]
    pieces = [event["choices"][0]["delta"].get("content") for event in events if event.get("choices")]
    pieces += [event["delta"].get("text") for event in events if event.get("type") == "content_block_delta"]
    return "".join(filter(None, pieces))


async def test_what_is_planted_leaves_in_no_other_dialect_either(hybrid: Hybrid, client: aiohttp.ClientSession) -> None:
    for start in range(0, len(PLANTED), 9):
        text = "\n".join(PLANTED[start : start + 9])
        completion = {"prompt": f"# {text}", "suffix": f"# {text}", "max_tokens": MOST}
        completion |= {"model": "openai/gpt-3.5-turbo-instruct"}
        for stream in (False, True):
            status, said, _ = await _ask(client, Asked("post", V1 + "completions", {**completion, "stream": stream}))
            assert status == 200, said
        for model in ("openai/text-embedding-3-small", "gemini/gemini-embedding-001"):
            body = {"input": [text, f"{text} again"], "model": model}
            status, said, _ = await _ask(client, Asked("post", V1 + "embeddings", body))
            assert status == 200, said
        for model in CLOUD_MODELS:
            status, said, _ = await _ask(client, Asked("post", "ai/preview", _chat(text, model=model)))
            assert status == 200, said
    assert _leaked(hybrid.doubles) == set()


async def test_a_picture_stays_where_only_what_is_redacted_may_leave(
    hybrid: Hybrid, client: aiohttp.ClientSession
) -> None:
    for model in MODELS:
        body = {**_with_picture("See."), "model": model}
        headers = {"X-AIDP-Privacy": "redact"}
        status, _, said = await _ask(client, Asked("post", V1 + "chat/completions", body, headers=headers))
        assert status != 200 or said["X-AIDP-Locality"] == "local"
    assert _leaked(hybrid.doubles) == set()


@pytest.mark.parametrize("mode", CLOSED)
async def test_closing_the_mode_ends_all_contact(hybrid: Hybrid, client: aiohttp.ClientSession, mode: Mode) -> None:
    body = {**_chat("Hello", model="openai/gpt-4o"), "max_tokens": MOST}
    assert (await _ask(client, Asked("post", V1 + "chat/completions", body)))[0] == 200
    # here the recorder shows that it sees what leaves
    assert hybrid.recorded.addresses > hybrid.local
    assert hybrid.recorded.addresses & hybrid.cloud
    try:
        await _ask(client, Asked("put", "ai/mode", {"mode": mode}))
        before = len(hybrid.recorded.contacts)
        hybrid.doubles.forget()
        for asked in _everything(mode):
            await _ask(client, asked)
        later = {contact.address for contact in hybrid.recorded.contacts[before:]} - {None}
        assert later <= hybrid.local
        assert hybrid.doubles.cloud == []
    finally:
        await _ask(client, Asked("put", "ai/mode", {"mode": Mode.HYBRID}))
