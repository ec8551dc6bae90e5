"""`from aidp_ext import ai` against a stand-in for the server: what it sends, what it makes of answers and failures."""

from __future__ import annotations

import copy
import pickle
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from aidp_ext import ai
from aidp_ext.ai import client
from tests.support import ai_stub
from tests.support.ai_stub import TOKEN, USAGE, Stub, chat, event, piece, stream, whole

CHAT, EMBED, CALLS = "v1/chat/completions", "v1/embeddings", "calls?limit=50"


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stub]:
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY", "AIDP_NOTEBOOK"):
        monkeypatch.delenv(name, raising=False)
    # nobody answers there: whoever took it as a proxy would be found out
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with ai_stub.ai_stub() as running:
        monkeypatch.setenv("AIDP_AI_URL", running.url)
        monkeypatch.setenv("AIDP_AI_TOKEN", TOKEN)
        running.answers[CHAT] = chat("Penguins are birds.")
        yield running


# --- a whole answer ---


def test_a_reply_is_a_text_that_knows_who_gave_it(stub: Stub) -> None:
    stub.answers[CHAT] = chat("Penguins are **birds**.", **{"X-AIDP-Cost-USD": "0.0042"})
    reply = ai.chat("Which bird is it?")
    assert reply == reply.text == reply._repr_markdown_() == "Penguins are **birds**."
    assert type(reply.text) is str
    assert (reply.route, reply.locality, reply.reason) == ("anthropic/claude-sonnet", "cloud", "cloud_first")
    assert (reply.cost_usd, reply.usage, reply.notes) == (0.0042, USAGE, ("seed", "top_k"))
    assert reply.about.redactions == 2
    for copied in (pickle.loads(pickle.dumps(reply)), copy.deepcopy(reply)):
        assert (copied, copied.about) == (reply, reply.about)


def test_what_is_asked_for_is_sent(stub: Stub) -> None:
    ai.chat("x", model="auto:local", task="docs", private=True, system="Be brief.", max_tokens=5)
    (asked,) = stub.asked
    assert (asked.method, asked.path) == ("POST", f"/x/aidp/ai/{CHAT}")
    assert asked.body == {
        "model": "auto:local",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "x"}],
        "stream": False,
        "max_tokens": 5,
    }
    assert (asked.headers["x-aidp-task"], asked.headers["x-aidp-privacy"]) == ("docs", "local")


def test_without_options_aidp_chooses(stub: Stub) -> None:
    messages = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]
    ai.chat(messages)
    (asked,) = stub.asked
    assert asked.body == {"model": "auto", "messages": messages, "stream": False}
    assert not [name for name in asked.headers if name.startswith("x-aidp")]


def test_a_local_answer_costs_nothing(stub: Stub) -> None:
    stub.answers[CHAT] = chat("x", **{"X-AIDP-Locality": "local"})
    assert ai.chat("x").cost_usd == 0.0


def test_the_notebook_that_a_text_comes_from_is_named(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIDP_NOTEBOOK", "mes données/a,b.ipynb")
    ai.chat("x")
    assert stub.asked[0].headers["x-aidp-path"] == "mes%20donn%C3%A9es/a%2Cb.ipynb"


# --- a stream ---


def test_a_stream_gives_the_pieces_as_they_come_and_knows_the_model_at_once(stub: Stub) -> None:
    stub.answers[CHAT] = ai_stub.birds()
    stub.answers[CALLS] = whole({"calls": [{"id": "c-8"}, {"id": "c-7", "outcome": "ok", "cost_usd": 0.5}]})
    with ai.stream("x", private=True) as answer:
        assert answer.about.route == "anthropic/claude-sonnet"
        assert next(answer) == "Pen"
        assert list(answer) == ["guins", " are", " birds", "."]
        assert list(answer) == []
    assert stub.asked[0].body["stream"] is True
    assert stub.asked[0].headers["x-aidp-privacy"] == "local"
    assert answer.reply == "Penguins are birds."
    assert (answer.reply.usage, answer.about.finish_reason, answer.reply.cost_usd) == (USAGE, "stop", 0.5)


@pytest.mark.parametrize(
    "calls",
    [
        whole({"error": {"code": "forbidden", "message": "no"}}, 403),
        whole({"calls": [{"id": "c-7", "outcome": "running", "cost_usd": 9.0}]}),
        whole({"calls": [{}]}),
        whole(b"<html>"),
    ],
)
def test_a_cost_that_cannot_be_had_is_unknown(stub: Stub, calls: Any) -> None:
    stub.answers |= {CHAT: ai_stub.birds(), CALLS: calls}
    answer = ai.stream("x")
    assert "".join(answer) == "Penguins are birds."
    assert answer.reply.cost_usd is None


def test_closing_a_stream_ends_the_work_and_keeps_what_has_come(stub: Stub) -> None:
    stub.answers[CHAT] = ai_stub.endless(stub)
    answer = ai.stream("x")
    assert next(answer) == "tick "
    answer.close()
    assert stub.left.wait(10)
    assert answer.reply == "tick "
    assert list(answer) == []


# --- embeddings, and the decision ---


def test_vectors_come_in_the_order_of_the_texts(stub: Stub) -> None:
    data = [{"index": 1, "embedding": [3.0, 4.0]}, {"index": 0, "embedding": [1.0, 2.0]}]
    stub.answers[EMBED] = whole({"data": data})
    assert ai.embed(["a", "b"], private=True) == [[1.0, 2.0], [3.0, 4.0]]
    assert ai.embed("a") == [1.0, 2.0]
    assert [asked.body["input"] for asked in stub.asked] == [["a", "b"], "a"]
    assert stub.asked[0].headers["x-aidp-task"] == "embed"
    assert stub.asked[0].headers["x-aidp-privacy"] == "local"


def test_the_decision_can_be_asked_for(stub: Stub) -> None:
    stub.answers["route"] = whole({"route": "local/tiny", "mode": "hybrid"})
    assert ai.route(task="docs", private=True)["route"] == "local/tiny"
    assert stub.asked[0].body == {"model": "auto", "task": "docs", "privacy": "local"}


# --- failures ---


def failure(work: Any = None) -> client.AiError:
    with pytest.raises(ai.AiError) as caught:
        (work or (lambda: ai.chat("x")))()
    assert TOKEN not in str(caught.value)
    return caught.value


def test_the_servers_refusal_is_a_typed_error(stub: Stub) -> None:
    details = {"next_step": "Start Ollama.", "refused": [], "code": 5, "status": "odd"}
    body = {"error": {"code": "no_model_available", "message": "No model answers.", "details": details}}
    stub.answers[CHAT] = whole(body, 503)
    for work in (lambda: ai.chat("x"), lambda: ai.stream("x")):
        error = failure(work)
        assert (error.code, error.message, error.status) == ("no_model_available", "No model answers.", 503)
        assert error.next_step == "Start Ollama."
        assert error.details["refused"] == []
        assert str(error) == "no_model_available: No model answers. Start Ollama."


def test_an_old_token_says_to_restart_the_kernel(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIDP_AI_TOKEN", "of-yesterday")
    error = failure()
    assert (error.code, error.status) == ("unauthenticated", 401)
    assert "Restart the kernel" in str(error.next_step)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (whole(b"<html>"), "upstream_invalid_response"),
        (whole(b"[]"), "upstream_invalid_response"),
        (whole({"choices": []}), "upstream_invalid_response"),
        (whole(b"", 302, {"Location": "http://192.0.2.1/"}), "upstream_invalid_response"),
        (whole(b"Bad Gateway", 502), "upstream_invalid_response"),
        (whole({"error": "of another kind"}, 500), "upstream_invalid_response"),
        (whole(b'{"cho', 200, {"Content-Length": "500"}), "upstream_incomplete"),
        (lambda handler: handler.wfile.write(b"\0\0\r\n\r\n"), "upstream_incomplete"),
        (lambda handler: None, "unavailable"),
    ],
)
def test_what_is_no_answer_is_a_clear_error(stub: Stub, answer: Any, code: str) -> None:
    stub.answers[CHAT] = answer
    assert failure().code == code


@pytest.mark.parametrize(
    ("events", "code"),
    [
        ((piece("Pen"),), "upstream_incomplete"),
        ((piece("Pen"), b"data: {broken\n\n"), "upstream_invalid_response"),
        ((piece("Pen"), b"data: []\n\n"), "upstream_invalid_response"),
        (
            (piece("Pen"), event({"error": {"code": "upstream_timeout", "message": "It fell asleep."}})),
            "upstream_timeout",
        ),
    ],
)
def test_a_stream_that_ends_badly_raises_after_its_pieces(stub: Stub, events: tuple[bytes, ...], code: str) -> None:
    stub.answers[CHAT] = stream(*events)
    answer = ai.stream("x")
    assert next(answer) == "Pen"
    assert failure(lambda: next(answer)).code == code
    assert answer.reply == "Pen"


def test_silence_has_an_end(stub: Stub) -> None:
    stub.answers[CHAT] = lambda handler: stub.left.wait(30)
    error = failure(lambda: ai.chat("x", timeout_s=0.05))
    stub.left.set()
    assert error.code == "upstream_timeout"


def test_nobody_listening_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as probe:  # bound, and not listening
        probe.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AIDP_AI_URL", f"http://127.0.0.1:{probe.getsockname()[1]}/aidp/ai")
        monkeypatch.setenv("AIDP_AI_TOKEN", TOKEN)
        assert failure().code == "unavailable"


# --- where the server is ---


def test_openais_variables_do_where_they_are_of_aidp(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIDP_AI_URL")
    monkeypatch.setenv("OPENAI_BASE_URL", f"{stub.url}/v1/")
    monkeypatch.setenv("OPENAI_API_KEY", TOKEN)
    assert ai.chat("x") == "Penguins are birds."


@pytest.mark.parametrize("url", ["", "http://127.0.0.1:9/v1", "https://api.openai.com/v1"])
def test_private_text_goes_to_no_server_without_aidp(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.delenv("AIDP_AI_URL", raising=False)
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    error = failure(lambda: ai.chat("x", private=True))
    assert error.code == "unavailable"
    assert "AIDP_AI_URL" in str(error.next_step)


@pytest.mark.parametrize("url", ["127.0.0.1:8888/aidp/ai", "file:///etc", "http://"])
def test_an_address_that_is_none_is_said(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("AIDP_AI_URL", url)
    monkeypatch.setenv("AIDP_AI_TOKEN", TOKEN)
    assert "not of a server" in failure().message


# --- the price of importing it ---


def test_loading_the_magics_imports_little_that_a_kernel_does_not_have() -> None:
    """The start of every kernel waits for it."""
    code = (
        "import sys; import aidp_ext, ipykernel.kernelapp; from IPython.core.interactiveshell import InteractiveShell\n"
        "shell = InteractiveShell.instance(); before = set(sys.modules)\n"
        "aidp_ext.load_ipython_extension(shell)\n"
        "print(*(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name for name in done.stdout.split() if not name.startswith("aidp_ext.experiments")}
    assert loaded <= {"concurrent.futures.thread"}


def test_the_client_imports_nothing_heavy() -> None:
    """The router's modules are imported through its package."""
    code = "import sys; from aidp_ext import ai; ai.chat; print(*(name for name in sys.modules if '.' not in name))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "aidp_ext" in loaded
    assert not loaded & {"aiohttp", "openai", "tornado", "msgspec", "asyncio", "http", "ssl", "json", "IPython"}


def test_a_name_that_the_package_lacks_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'chatt'"):
        ai.chatt  # noqa: B018
    assert {"chat", "stream", "embed"} <= set(dir(ai))
