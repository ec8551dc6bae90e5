"""The scripted model server against OpenAI's own SDK, and what it remembers."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from openai import AuthenticationError, BadRequestError, InternalServerError, NotFoundError, OpenAI

from tests.support.processes import wait_until
from tests.support.scripted import FENCED, MODEL, Scripted, scripted


@pytest.fixture
def server() -> Iterator[Scripted]:
    with scripted() as server:
        yield server


@pytest.fixture
def client(server: Scripted) -> Iterator[OpenAI]:
    with OpenAI(base_url=server.url, api_key="any", max_retries=0) as client:
        yield client


def ask(client: OpenAI, text: str) -> str:
    chunks = client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": text}], stream=True, stream_options={"include_usage": True}
    )
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def test_without_a_script_it_says_something_plausible(client: OpenAI, server: Scripted) -> None:
    assert [model.id for model in client.models.list()] == [MODEL]
    assert ask(client, "How?") == FENCED
    whole = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "How?"}])
    assert whole.choices[0].message.content == FENCED
    assert client.completions.create(model=MODEL, prompt="import ").choices[0].text == "pandas as pd"
    streamed = client.completions.create(model=MODEL, prompt="total = 1\nreturn ", stream=True)
    assert "".join(part.choices[0].text for part in streamed) == "sum(values) / len(values)"
    assert [one.kind for one in server.asked] == ["chat", "chat", "completion", "completion"]


def test_the_newest_rule_that_fits_answers_and_several_replies_come_in_turn(client: OpenAI, server: Scripted) -> None:
    server.script("old", when="blue")
    server.script(["first", "second"], when="bl.e", kind="chat")
    assert [ask(client, "blue") for _ in range(3)] == ["first", "second", "second"]
    assert client.completions.create(model=MODEL, prompt="blue").choices[0].text == "old"
    server.reset()
    assert ask(client, "blue") == FENCED
    assert len(server.asked) == 1


def test_it_reads_the_two_sides_of_a_middle_to_fill_and_ends_where_it_is_told(client: OpenAI, server: Scripted) -> None:
    server.script("one\ntwo", when="^before$")
    prompt = "<|fim_prefix|>before<|fim_suffix|>after<|fim_middle|>"
    answer = client.completions.create(model=MODEL, prompt=prompt, stop=["\n"])
    assert (answer.choices[0].text, answer.choices[0].finish_reason) == ("one", "stop")
    assert (server.asked[0].text, server.asked[0].suffix) == ("before", "after")
    answer = client.completions.create(model=MODEL, prompt=prompt, max_tokens=1)
    assert (answer.choices[0].text, answer.choices[0].finish_reason) == ("one\n", "length")


def test_it_knows_that_its_reader_went_away(client: OpenAI, server: Scripted) -> None:
    server.script("tick ", forever=True)
    stream = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "go on"}], stream=True)
    next(iter(stream))
    asked = server.asked[0]
    assert asked.disconnected_at is None
    stream.close()
    wait_until(lambda: asked.disconnected_at is not None, "it notices")
    assert asked.arrived_at < (asked.first_byte_at or 0) < (asked.disconnected_at or 0) <= (asked.ended_at or 0)


def test_an_answer_is_held_until_it_is_released(client: OpenAI, server: Scripted) -> None:
    server.script("one two", hold_after=1)
    stream = client.completions.create(model=MODEL, prompt="x", stream=True)
    parts = iter(stream)
    assert next(parts).choices[0].text == "one "
    assert server.asked[0].ended_at is None
    server.release()
    assert "".join(part.choices[0].text for part in parts) == "two"
    wait_until(lambda: server.asked[0].ended_at is not None, "it ends")
    assert server.asked[0].disconnected_at is None


def test_what_a_model_server_refuses_is_refused(client: OpenAI, server: Scripted) -> None:
    with pytest.raises(NotFoundError):
        client.completions.create(model="gpt-9", prompt="x")
    with pytest.raises(BadRequestError):
        client.chat.completions.create(model=MODEL, messages=[])
    with pytest.raises(BadRequestError):
        client.completions.create(model=MODEL, prompt=["a", "b"])
    with pytest.raises(BadRequestError):
        client.completions.create(model=MODEL, prompt="x", extra_body={"stream_options": {"include_usage": True}})
    server.script("cuda died", status=500)
    with pytest.raises(InternalServerError, match="cuda died"):
        client.completions.create(model=MODEL, prompt="x")
    assert [one.status for one in server.asked] == [404, 400, 400, 400, 500]
    with scripted(("gpt-4o",), key="sk-right") as cloud, OpenAI(base_url=cloud.url, api_key="sk-wrong") as stranger:
        with pytest.raises(AuthenticationError):
            stranger.models.list()
        assert [model.id for model in stranger.with_options(api_key="sk-right").models.list()] == ["gpt-4o"]


def test_another_process_scripts_it_by_http(client: OpenAI, server: Scripted) -> None:
    def call(method: str, path: str, body: object = None) -> dict[str, object]:
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(server.root + path, data, method=method), timeout=10) as got:
            return dict(json.load(got))

    call("POST", "/script", {"when": "blue", "reply": "sky"})
    assert ask(client, "Why blue?") == "sky"
    [asked] = call("GET", "/asked")["asked"]  # type: ignore[misc]
    assert (asked["kind"], asked["text"], asked["said"]) == ("chat", "Why blue?", "sky")
    with pytest.raises(urllib.error.HTTPError) as refused:
        call("POST", "/script", {"when": "("})
    refused.value.close()
    call("DELETE", "/asked")
    call("DELETE", "/script")
    assert server.asked == []
    assert ask(client, "Why blue?") == FENCED
