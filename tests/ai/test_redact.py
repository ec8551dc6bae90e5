"""Taking secrets and personal data out of requests, and putting them back into answers."""

from __future__ import annotations

import asyncio
import copy
import json
import re
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aidp_ext.ai import find_secrets
from aidp_ext.ai.detect import DEFAULT_KINDS
from aidp_ext.ai.models import Usage
from aidp_ext.ai.redact import Redacted, Redactor
from aidp_ext.ai.restore import Restorer
from aidp_ext.core.errors import InvalidRequest, UpstreamIncomplete
from tests.support.notebook_text import TEXT
from tests.support.planted import PERSONAL, SECRETS

REDACTOR = Redactor()
PLANTED = [value for _, value in SECRETS + PERSONAL]
NASTY = 'a"b\\c\nd1'  # what JSON must escape


def redact(body: dict[str, Any], redactor: Redactor = REDACTOR) -> Redacted:
    return asyncio.run(redactor.redact(body))


def chat(content: Any, **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": content}], **more}


def restored(redacted: Redacted) -> Any:
    assert redacted.restorer is not None
    return json.loads(redacted.restorer.document(msgspec.json.encode(redacted.body)))


# ---- every place of every dialect

IMAGE = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"


def args(value: str) -> str:
    return json.dumps({"a": [{"b": value}]}, ensure_ascii=False)


PLACES: dict[str, Callable[[str], dict[str, Any]]] = {
    "chat, text": lambda x: chat(f"see {x} ok"),
    "chat, system": lambda x: {"model": "m", "messages": [{"role": "system", "content": f"see {x}"}]},
    "chat, part": lambda x: chat([{"type": "text", "text": x}, {"type": "image_url", "image_url": {"url": IMAGE}}]),
    "chat, arguments": lambda x: {
        "model": "m",
        "messages": [
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": args(x)}}],
            }
        ],
    },
    "chat, old arguments": lambda x: {
        "messages": [{"role": "assistant", "function_call": {"name": "f", "arguments": args(x)}}]
    },
    "chat, escaped arguments": lambda x: {
        "messages": [{"role": "assistant", "function_call": {"name": "f", "arguments": args(f'\n{x}\t"q"')}}]
    },
    "chat, key of arguments": lambda x: {
        "messages": [
            {"role": "assistant", "function_call": {"name": "f", "arguments": json.dumps({x: 1}, ensure_ascii=False)}}
        ]
    },
    "chat, broken arguments": lambda x: {
        "messages": [{"role": "assistant", "function_call": {"name": "f", "arguments": '{"a": "' + x}}]
    },
    "chat, tool's result": lambda x: {"messages": [{"role": "tool", "tool_call_id": "c", "content": args(x)}]},
    "chat, tool's description": lambda x: chat(
        "hi", tools=[{"type": "function", "function": {"name": "f", "description": f"uses {x}", "parameters": {}}}]
    ),
    "chat, tool's parameters": lambda x: chat(
        "hi",
        tools=[
            {
                "type": "function",
                "function": {
                    "name": "f",
                    "parameters": {"type": "object", "properties": {"a": {"type": "string", "enum": [x]}}},
                },
            }
        ],
    ),
    "chat, name of a person": lambda x: {"messages": [{"role": "user", "name": x, "content": "hi"}]},
    "chat, stop": lambda x: chat("hi", stop=[x]),
    "chat, user": lambda x: chat("hi", user=x),
    "chat, metadata": lambda x: chat("hi", metadata={"id": x, "type": x, "model": x, "name": x}),
    "chat, predicted": lambda x: chat("hi", prediction={"type": "content", "content": x}),
    "chat, unknown field": lambda x: chat("hi", new_thing=[{"deep": [x]}]),
    "chat, unknown key": lambda x: chat("hi", new_thing={x: 1}),
    "chat, key at the top": lambda x: chat("hi", **{x: "y"}),
    "completion, prompt": lambda x: {"model": "m", "prompt": f"a = '{x}'\n"},
    "completion, prompts": lambda x: {"model": "m", "prompt": ["hi", f"a = '{x}'\n"]},
    "completion, suffix": lambda x: {"model": "m", "prompt": "a", "suffix": f"\nb = '{x}'\n"},
    "completion, at the cursor": lambda x: {"model": "m", "prompt": f"a = '{x[:7]}", "suffix": f"{x[7:]}'\n"},
    "embedding": lambda x: {"model": "m", "input": x},
    "embeddings": lambda x: {"model": "m", "input": ["hi", f"{x} there"]},
    "messages, system": lambda x: {"model": "m", "system": f"see {x}", "messages": []},
    "messages, system's blocks": lambda x: {"model": "m", "system": [{"type": "text", "text": x}], "messages": []},
    "messages, tool's input": lambda x: {
        "messages": [
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {"id": x, "name": [x], "b": {x: x}}}],
            }
        ]
    },
    "messages, tool's result": lambda x: chat([{"type": "tool_result", "tool_use_id": "t", "content": x}]),
    "messages, tool's result's blocks": lambda x: chat(
        [{"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": x}]}]
    ),
    "messages, document": lambda x: chat(
        [{"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": x}, "title": x}]
    ),
    "messages, thought": lambda x: chat([{"type": "thinking", "thinking": x, "signature": "s"}]),
    "messages, metadata": lambda x: chat("hi", metadata={"user_id": x}),
}


@pytest.mark.parametrize("place", PLACES)
def test_what_is_planted_does_not_leave_from_any_place(place: str) -> None:
    for value in PLANTED:
        body = PLACES[place](value)
        before = copy.deepcopy(body)
        redacted = redact(body)
        sent = msgspec.json.encode(redacted.body).decode()
        assert value not in sent, (place, value)
        assert json.dumps(value)[1:-1] not in sent, (place, value)
        assert body == before
        assert redacted.findings
        assert restored(redacted) == before, (place, value)


@pytest.mark.parametrize("place", ["chat, part", "messages, system's blocks"])
def test_what_is_cut_by_the_border_of_two_parts_does_not_leave(place: str) -> None:
    for _, value in SECRETS:
        for cut in range(1, len(value) - 1, 5):
            parts = [{"type": "text", "text": value[:cut]}, {"type": "text", "text": value[cut:]}]
            body = chat(parts) if place == "chat, part" else {"system": parts}
            redacted = redact(body)
            assert value[:cut] not in json.dumps(redacted.body) or cut < 3, value
            assert value[cut:] not in json.dumps(redacted.body) or len(value) - cut < 3, value
            assert restored(redacted) == body


def test_a_password_in_arguments_is_found_by_its_key_and_replaced_as_a_value() -> None:
    for value in (NASTY, "hunter2", 'a"b1'):
        body = {"messages": [{"function_call": {"name": "f", "arguments": json.dumps({"password": value, "n": 1.50})}}]}
        redacted = redact(body)
        sent = json.loads(redacted.body["messages"][0]["function_call"]["arguments"])
        assert sent == {"password": "[SECRET_1]", "n": 1.5}
        assert restored(redacted) == body


def test_values_go_by_the_names_around_them() -> None:
    body = {
        "messages": [],
        "metadata": {
            "password": "tiger!",
            "env": [{"name": "DB_PASSWORD", "value": "leopard"}],
            "schema": {"api_key": {"type": "string", "default": "panther"}},
            "list": {"passwords": ["ocelot", "jaguar"]},
            "phone": 15551234567,
            "card": 4111111111111111,
            "count": 15551234567,
        },
    }
    sent = redact(body).body["metadata"]
    assert sent == {
        "password": "[SECRET_1]",
        "env": [{"name": "DB_PASSWORD", "value": "[SECRET_2]"}],
        "schema": {"api_key": {"type": "string", "default": "[SECRET_3]"}},
        "list": {"passwords": ["[SECRET_4]", "[SECRET_5]"]},
        "phone": "[PHONE_1]",
        "card": "[CARD_1]",
        "count": 15551234567,
    }


def test_a_secret_known_from_one_place_is_replaced_in_every_other() -> None:
    body = {
        "messages": [
            {"role": "tool", "tool_call_id": "c", "content": "logged in with hunter2x"},
            {"role": "user", "content": 'password = "hunter2x"'},
        ],
        "metadata": {"note hunter2x": 1},
    }
    redacted = redact(body)
    assert "hunter2x" not in json.dumps(redacted.body)
    assert [(f.placeholder, f.count) for f in redacted.findings] == [("[SECRET_1]", 3)]
    assert restored(redacted) == body


def test_a_word_that_is_a_password_somewhere_stays_a_word_elsewhere() -> None:
    body = chat('password = "tiger"\nthe tiger sleeps')
    assert redact(body).body["messages"][0]["content"] == 'password = "[SECRET_1]"\nthe tiger sleeps'


def test_the_protocols_words_are_left() -> None:
    odd = "sk-ant-api03-abcDEF123_456-ghiJKL789"
    body = {
        "model": odd,
        "messages": [
            {"role": "assistant", "tool_calls": [{"id": odd, "type": "function", "function": {"name": odd}}]},
            {"role": "tool", "tool_call_id": odd, "content": "ok"},
            {"role": "user", "content": [{"type": "tool_use", "id": odd, "name": odd, "input": {}}]},
        ],
        "tools": [{"name": odd, "input_schema": {"type": "object"}}],
        "prompt_cache_key": "9f86d081884c7d659a2feaa0c55ad015",
    }
    assert redact(body).body is body


def test_data_of_images_is_not_read_as_text_but_text_that_pretends_is() -> None:
    akia = "AKIA" + "IOSFODNN7EXAMPLE"
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": f"iVBOR{akia}=="}}
    audio = {"type": "input_audio", "input_audio": {"format": "wav", "data": f"UklGR{akia}"}}
    url = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,iVBOR{akia}"}}
    body = chat([image, audio, url])
    assert redact(body).body is body
    assert redact(chat([{"source": {"type": "base64", "data": f"my key: {akia}"}}])).findings
    assert redact(chat(f"data:text/plain;base64,\n{akia}")).findings


def test_a_request_without_findings_is_the_very_one() -> None:
    body = chat(TEXT, tools=[{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}])
    redacted = redact(body)
    assert redacted.body is body
    assert redacted.findings == ()
    assert redacted.restorer is None


def test_findings_tell_kind_words_and_count_but_no_value() -> None:
    found = redact(chat("ana@example.org, bo@example.org, ana@example.org")).findings
    assert [(f.kind, f.label, f.placeholder, f.count) for f in found] == [
        ("email", "e-mail address", "[EMAIL_1]", 2),
        ("email", "e-mail address", "[EMAIL_2]", 1),
    ]
    assert "example.org" not in repr(found)


def test_kinds_and_names_can_be_chosen() -> None:
    body = chat("Ana Lind, ana@example.org, 10.1.2.34")
    assert redact(body, Redactor(frozenset({"ip"}))).body == chat("Ana Lind, ana@example.org, [IP_1]")
    assert redact(body, Redactor(names=["ana lind"])).body == chat("[NAME_1], [EMAIL_1], [IP_1]")
    assert redact(chat("hi", Bo="x"), Redactor(names=["Bo"])).findings


# ---- placeholders


def test_numbers_stay_the_same_from_turn_to_turn() -> None:
    turns = [{"role": "user", "content": "ana@example.org"}, {"role": "assistant", "content": "hello ana@example.org"}]
    tools = [{"type": "function", "function": {"name": "f", "description": "for cy@example.org"}}]
    first = redact({"messages": turns[:1], "tools": tools}).body
    turns.append({"role": "user", "content": "and bo@example.org"})
    second = redact({"messages": turns, "tools": tools}).body
    assert second["messages"][0] == first["messages"][0]
    assert second["tools"] == first["tools"]
    assert second["messages"][2]["content"] == "and [EMAIL_3]"


@pytest.mark.parametrize("literal", ["[EMAIL_1]", "[email_1]", "\\[EMAIL_1\\]", "[EMAIL_1\\]", '"\\u005bEMAIL_1]"'])
def test_a_placeholder_that_is_there_already_comes_back_unchanged(literal: str) -> None:
    body = chat(f"{literal} means ana@example.org")
    redacted = redact(body)
    assert redacted.body["messages"][0]["content"] == f"{literal} means [EMAIL_2]"
    assert restored(redacted) == body


def test_an_original_that_looks_like_a_placeholder_is_not_replaced_again() -> None:
    body = chat('password = "x[EMAIL_1]y" # ana@example.org')
    assert restored(redact(body)) == body


def test_placeholders_are_read_as_models_write_them() -> None:
    restorer = Restorer({"[EMAIL_1]": "ana@example.org", "[SECRET_12]": "x"})
    assert restorer.text("[EMAIL_1] [email_1] \\[EMAIL_1\\] [Secret_12]") == "ana@example.org " * 3 + "x"
    for other in ("EMAIL_1", "[EMAIL_2]", "[SECRET_1]", "[EMAIL 1]", "\\[EMAIL_2\\]", "[\u017fECRET_12]"):
        assert restorer.text(other) == other
    assert restorer.text("\\[EMAIL_1]") == "\\ana@example.org"


def test_an_original_is_escaped_in_json_and_only_there() -> None:
    restorer = Restorer({"[SECRET_1]": NASTY})
    answer = {
        "choices": [
            {
                "message": {
                    "content": "use [SECRET_1]",
                    "tool_calls": [{"function": {"name": "f", "arguments": '{"p": "[SECRET_1]"}'}}],
                }
            },
            {"message": {"content": '{"p": "[SECRET_1]"}'}},
        ],
        "content": [{"type": "tool_use", "input": {"p": "[SECRET_1]", "[secret_1]": 1}}],
        "usage": {"prompt_tokens": 1, "big": 2**63},
    }
    back = json.loads(restorer.document(json.dumps(answer).encode()))
    message = back["choices"][0]["message"]
    assert message["content"] == f"use {NASTY}"
    assert json.loads(message["tool_calls"][0]["function"]["arguments"]) == {"p": NASTY}
    assert json.loads(back["choices"][1]["message"]["content"]) == {"p": NASTY}
    assert back["content"][0]["input"] == {"p": NASTY, NASTY: 1}
    assert back["usage"] == answer["usage"]


@pytest.mark.parametrize("data", [b'{"a": "[EMAIL_2]",  "b": 1.0}', b"not json [EMAIL_1]", b"\xff", b""])
def test_a_document_with_nothing_to_put_back_is_the_very_one(data: bytes) -> None:
    assert Restorer({"[EMAIL_1]": "x"}).document(data) is data


# ---- round trips

PIECE = st.one_of(
    st.sampled_from(
        [*PLANTED, 'password = "hunter2"', "[EMAIL_1]", "[", "]", "\\", "\\[SECRET_1\\]", '"', "\n", " ", "@"]
    ),
    st.text(max_size=8),
)
TEXTS = st.lists(PIECE, max_size=6).map("".join)
DATA = st.recursive(
    st.one_of(TEXTS, st.none(), st.booleans(), st.integers(-999, 999)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=6,
)


@given(st.lists(TEXTS, max_size=3), DATA)
@settings(max_examples=300, deadline=None)
def test_what_is_put_back_is_what_was_taken_out(texts: list[str], data: Any) -> None:
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": [{"type": "text", "text": text} for text in texts]}],
        "metadata": data,
    }
    before = copy.deepcopy(body)
    redacted = redact(body)
    assert body == before
    if redacted.restorer is not None:
        assert restored(redacted) == before


# ---- streams


class Stream:
    """A stream under way, as the router's adapters make them."""

    def __init__(self, chunks: Iterable[bytes], error: Exception | None = None) -> None:
        self.on_end: Callable[[str], None] | None = None
        self.usage = Usage(3, 4)
        self.received = 5
        self.closed = self.aborted = False
        self._chunks = list(chunks)
        self._error = error

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            yield chunk
        if self._error:
            raise self._error

    async def aclose(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = True


def openai_event(index: int = 0, finish: str | None = None, **delta: Any) -> bytes:
    choice = {"index": index, "delta": delta, "finish_reason": finish}
    chunk = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def anthropic_event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


DONE = b"data: [DONE]\n\n"


async def read(restorer: Restorer, chunks: Iterable[bytes]) -> list[bytes]:
    return [chunk async for chunk in restorer.events(Stream(chunks))]


def payloads(events: Iterable[bytes]) -> list[Any]:
    found = re.findall(rb"^data: (.*?)\r?$", b"".join(events), re.MULTILINE)
    return [json.loads(data) for data in found if data != b"[DONE]"]


def told(events: Iterable[bytes]) -> dict[tuple[Any, ...], str]:
    """Put the pieces of a chat's stream together, as a client does."""
    texts: dict[tuple[Any, ...], str] = {}
    for chunk in payloads(events):
        for choice in chunk["choices"]:
            delta = choice["delta"]
            pieces = [("content", delta.get("content"))]
            for call in delta.get("tool_calls", ()):
                pieces += [((call["index"], key), call["function"].get(key)) for key in ("name", "arguments")]
            for key, piece in pieces:
                texts[(choice["index"], key)] = texts.get((choice["index"], key), "") + (piece or "")
    return texts


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_a_stream_cut_anywhere_is_put_back_whole(data: Any) -> None:
    originals = {"[EMAIL_1]": "ana@example.org", "[SECRET_1]": NASTY, "[SECRET_10]": "ten"}
    restorer = Restorer(originals)
    piece = st.sampled_from(
        [*originals, "[email_1]", "\\[SECRET_1\\]", "[EMAIL_2]", "[", "\\", "[EMAIL_", " text ", "]", "é"]
    )
    texts = {
        (index, key): "".join(data.draw(st.lists(piece, max_size=6)))
        for index in (0, 1)
        for key in ("content", (0, "arguments"), (1, "arguments"))
    }
    events: list[bytes] = []
    left = {key: text for key, text in texts.items() if text}
    while left:
        where = data.draw(st.sampled_from(sorted(left, key=str)))
        size = data.draw(st.integers(1, 9))
        now, left[where] = left[where][:size], left[where][size:]
        left = {key: text for key, text in left.items() if text}
        if where[1] == "content":
            events.append(openai_event(where[0], content=now))
        else:
            call = {"index": where[1][0], "function": {"arguments": now}}
            events.append(openai_event(where[0], tool_calls=[call]))
    ends = [openai_event(index, "stop") for index in (0, 1)] if data.draw(st.booleans()) else []
    events += [*ends, DONE]
    chunks: list[bytes] = []
    while events:
        size = data.draw(st.integers(1, 3))
        chunks.append(b"".join(events[:size]))
        events = events[size:]
    out = asyncio.run(read(restorer, chunks))
    said = told(out)
    for where, text in texts.items():
        assert said.get(where, "") == restorer.put_back(text, is_json=where[1] != "content")
    assert b"".join(out).endswith(DONE)


async def test_text_that_cannot_be_a_placeholder_is_never_held_back() -> None:
    restorer = Restorer({"[EMAIL_1]": "ana@example.org"})
    pieces = ["a", "[", "x", "[EM", "PTY]", "\\", "n", "arr[0]", " [E", "MAIL_1", "]", "[EMAIL_1"]
    now = ["a", "", "[x", "", "[EMPTY]", "", "\\n", "arr[0]", " ", "", "ana@example.org", ""]
    out = await read(restorer, [*(openai_event(content=piece) for piece in pieces), openai_event(finish="stop"), DONE])
    said = [payload["choices"][0]["delta"].get("content") for payload in payloads(out)]
    assert said == [*now, "[EMAIL_1", None]


async def test_what_is_held_back_goes_out_before_its_choices_finish() -> None:
    restorer = Restorer({"[EMAIL_1]": "ana@example.org"})
    out = await read(
        restorer,
        [
            openai_event(0, content="zero [EM"),
            openai_event(1, content="one [EMAIL"),
            openai_event(0, "stop"),
            openai_event(1, "length", content="_"),
            DONE,
        ],
    )
    found = [(c["index"], c["delta"], c["finish_reason"]) for p in payloads(out) for c in p["choices"]]
    assert found == [
        (0, {"content": "zero "}, None),
        (1, {"content": "one "}, None),
        (0, {"content": "[EM"}, None),
        (0, {}, "stop"),
        (1, {"content": "[EMAIL_"}, "length"),
    ]


async def test_a_tool_calls_name_is_not_repeated_with_what_was_held_back() -> None:
    restorer = Restorer({"[SECRET_1]": NASTY})
    first = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"p": "[SEC'}}
    out = await read(
        restorer, [openai_event(role="assistant", tool_calls=[first]), openai_event(finish="tool_calls"), DONE]
    )
    assert told(out) == {(0, "content"): "", (0, (0, "name")): "f", (0, (0, "arguments")): '{"p": "[SEC'}
    calls = [call for p in payloads(out) for call in p["choices"][0]["delta"].get("tool_calls", ())]
    assert [call.get("id") for call in calls] == ["call_1", None]


async def test_events_that_need_no_change_pass_byte_by_byte() -> None:
    chunks = [
        b": comment\n\n",
        b"id: 7\nretry: 3\n" + openai_event(role="assistant", content=""),
        b'data: {"choices":[{"index":0,"delta":{"content":"a  [b]"},"logprobs":null}]}\r\n\r\n',
        b"data: not json\n\n",
        b'data: {"id":"c","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}\n\n',
        DONE,
    ]
    assert await read(Restorer({"[EMAIL_1]": "x"}), chunks) == chunks


async def test_an_event_keeps_its_other_lines_its_endings_and_its_usage() -> None:
    event = b'id: 7\r\ndata: {"choices":[{"index":0,"delta":{"content":"[EMAIL_1]"}}],"usage":{"x":1}}\r\n\r\n'
    (out,) = await read(Restorer({"[EMAIL_1]": "ana"}), [event])
    assert out == event.replace(b"[EMAIL_1]", b"ana")


async def test_a_completions_text_is_put_back_too() -> None:
    def event(text: str, finish: str | None = None) -> bytes:
        return (
            b"data: "
            + json.dumps({"choices": [{"index": 0, "text": text, "finish_reason": finish}]}).encode()
            + b"\n\n"
        )

    out = await read(
        Restorer({"[SECRET_1]": "x1"}), [event("a = [SEC"), event("RET_1]; b = ["), event("", "stop"), DONE]
    )
    assert "".join(p["choices"][0]["text"] for p in payloads(out)) == "a = x1; b = ["


async def test_an_anthropic_stream_is_put_back_block_by_block() -> None:
    def delta(index: int, kind: str, **fields: str) -> bytes:
        return anthropic_event("content_block_delta", index=index, delta={"type": kind, **fields})

    chunks = [
        anthropic_event("message_start", message={"id": "m", "content": [], "usage": {"input_tokens": 3}}),
        anthropic_event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        delta(0, "text_delta", text="mail [EMA"),
        anthropic_event("ping"),
        delta(0, "text_delta", text="IL_1] and [SEC"),
        anthropic_event("content_block_stop", index=0),
        anthropic_event("content_block_start", index=1, content_block={"type": "tool_use", "name": "f", "input": {}}),
        delta(1, "input_json_delta", partial_json='{"p": "[SECRET'),
        delta(1, "input_json_delta", partial_json='_1]"}'),
        anthropic_event("content_block_stop", index=1),
        delta(2, "signature_delta", signature="[EMAIL_1]"),
        anthropic_event("message_delta", delta={"stop_reason": "tool_use"}, usage={"output_tokens": 4}),
        anthropic_event("message_stop"),
    ]
    out = await read(Restorer({"[EMAIL_1]": "ana@example.org", "[SECRET_1]": NASTY}), chunks)
    found = payloads(out)
    deltas = [(e["index"], e["delta"]) for e in found if e["type"] == "content_block_delta"]
    text = "".join(d["text"] for index, d in deltas if index == 0)
    assert text == "mail ana@example.org and [SEC"
    assert json.loads("".join(d["partial_json"] for index, d in deltas if index == 1)) == {"p": NASTY}
    assert deltas[-1] == (2, {"type": "signature_delta", "signature": "[EMAIL_1]"})
    stop = next(n for n, e in enumerate(found) if e["type"] == "content_block_stop")
    assert found[stop - 1]["delta"] == {"type": "text_delta", "text": "[SEC"}
    names = re.findall(rb"^event: (.*)$", b"".join(out), re.MULTILINE)
    assert [name.decode() for name in names] == [event["type"] for event in found]
    assert found[-2]["usage"] == {"output_tokens": 4}


async def test_an_answer_that_is_to_be_json_stays_json() -> None:
    body = chat(f"password = {json.dumps(NASTY)}", response_format={"type": "json_object"})
    redacted = await REDACTOR.redact(body)
    assert redacted.restorer is not None
    out = await read(redacted.restorer, [openai_event(content='{"p": "[SECRET'), openai_event(content='_1]"}'), DONE])
    said = told(out)[(0, "content")]
    assert json.loads(said)["p"] in body["messages"][0]["content"]


@pytest.mark.parametrize(
    "data",
    [
        b'{"choices":[{"index":{},"delta":"[EM"},3,{"index":"x","delta":{"a":[{"index":[]}, "[EM"]}}]}',
        b'{"type":"content_block_delta","index":[],"delta":"[EM"}',
        b'{"type":"content_block_delta"}',
        b'["[EMAIL_1]"]',
        b'{"choices":[{"delta":' + b"[" * 900 + b"]" * 900 + b"}]}",
        b'{"a":' + b"[" * 900 + b"]" * 900 + b"}",
    ],
)
async def test_what_is_in_no_dialect_ends_no_stream(data: bytes) -> None:
    out = await read(Restorer({"[EMAIL_1]": "x"}), [b"data: " + data + b"\n\n", DONE])
    assert b"".join(out).endswith(DONE)


async def test_what_came_before_an_error_is_given_before_it() -> None:
    events = Restorer({"[EMAIL_1]": "x"}).events(
        Stream([openai_event(content="a [E")], UpstreamIncomplete("broke off"))
    )
    assert payloads([await anext(aiter(events))])[0]["choices"][0]["delta"] == {"content": "a "}
    assert payloads([await anext(aiter(events))])[0]["choices"][0]["delta"] == {"content": "[E"}
    with pytest.raises(UpstreamIncomplete):
        await anext(aiter(events))


async def test_an_error_event_frees_what_is_held_back() -> None:
    error = b'data: {"error": {"message": "for [EMAIL_1]"}}\n\n'
    out = await read(Restorer({"[EMAIL_1]": "x"}), [openai_event(content="a [E"), error])
    assert payloads(out)[1]["choices"][0]["delta"] == {"content": "[E"}
    assert payloads(out)[2] == {"error": {"message": "for x"}}


async def test_the_wrapped_stream_is_the_stream() -> None:
    inner = Stream([])
    events = Restorer({"[EMAIL_1]": "x"}).events(inner)
    ended: list[str] = []
    events.on_end = ended.append
    assert inner.on_end is not None
    inner.on_end("ok")
    assert ended == ["ok"]
    assert events.on_end is not None
    assert (events.usage, events.received) == (Usage(3, 4), 5)
    events.abort()
    await events.aclose()
    assert (inner.aborted, inner.closed) == (True, True)


# ---- what is kept


async def test_what_is_kept_between_requests_holds_no_text() -> None:
    redactor = Redactor()
    secret = "ana.unique.name@example.org"
    body = chat(f"{TEXT} {secret}")
    first = await redactor.redact(body)
    assert redactor._seen
    kept = repr(list(redactor._seen.items()))
    assert "unique" not in kept
    second = await redactor.redact(body)
    assert second == Redacted(first.body, first.findings, second.restorer)
    assert second.restorer is not first.restorer
    other = await redactor.redact(chat("bo@example.org"))
    assert other.restorer is not None
    assert other.restorer.text("[EMAIL_1]") == "bo@example.org"


async def test_an_unchanged_text_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    look = find_secrets.find
    monkeypatch.setattr(find_secrets, "find", lambda text: looked.append(text) or look(text))  # type: ignore[func-returns-value]
    redactor = Redactor()
    history = [{"role": "user", "content": TEXT + " ana@example.org"}]
    await redactor.redact({"messages": history})
    await redactor.redact({"messages": [*history, {"role": "user", "content": "and now"}]})
    assert sum(text == history[0]["content"] for text in looked) == 1


async def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aidp_ext.ai.redact._CACHED", 3)
    redactor = Redactor()
    for number in range(9):
        await redactor.redact(chat(f"{number} " + "word " * 100))
    assert len(redactor._seen) == 3


async def test_a_long_request_does_not_hold_up_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[bool] = []
    in_thread = asyncio.to_thread

    async def noted(*work: Any) -> Any:
        threads.append(True)
        return await in_thread(*work)

    await REDACTOR.redact(chat("warm"))
    monkeypatch.setattr(asyncio, "to_thread", noted)
    await REDACTOR.redact(chat("short"))
    assert threads == []
    assert (await REDACTOR.redact(chat("word " * 10_000 + "ana@example.org"))).findings
    assert threads == [True]


async def test_a_request_nested_too_deeply_is_refused() -> None:
    deep: Any = "ana@example.org"
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(InvalidRequest):
        await REDACTOR.redact(chat("hi", metadata=deep))


def test_names_are_no_kind_of_the_default() -> None:
    assert "name" not in DEFAULT_KINDS
