"""The models from a notebook's own code, without a key and without another package.

::

    from aidp_ext import ai

    ai.chat("What is a quantile?")
    for piece in ai.stream("Count to five."):
        print(piece, end="")
    ai.embed(["penguin", "puffin"])

Kernels and terminals that the server starts know where it is. Elsewhere set ``AIDP_AI_URL`` to its address with
``/aidp/ai`` at the end, and ``AIDP_AI_TOKEN`` to its token. Calls block; in async code use ``asyncio.to_thread``.

Only the standard library, imported on the first call: loading this must not slow the start of a kernel. No proxy is
ever used and no redirect followed: private text goes to the server that is named, and nowhere else.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, overload
from urllib.parse import quote, urlsplit

from aidp_ext.core.errors import AidpError

if TYPE_CHECKING:
    from http.client import HTTPConnection, HTTPResponse

T = TypeVar("T")
Messages = str | Sequence[Mapping[str, Any]]

CONNECT_TIMEOUT_S = 10.0
#: Seconds of silence. Longer than the server's own limit, since it may try several models one after another.
TIMEOUT_S = 600.0

_START = "Call it in a notebook or terminal of JupyterLab with aidp, or set AIDP_AI_URL and AIDP_AI_TOKEN."


class AiError(AidpError):
    """A call failed: ``code`` for programs, ``next_step`` what to do; ``status`` is None where no answer came."""

    def __init__(
        self, code: str, message: str, *, status: int | None = None, next_step: str | None = None, **details: Any
    ) -> None:
        super().__init__(message, next_step=next_step, **details)
        self.code = code
        self.status = status

    def __str__(self) -> str:
        return f"{self.code}: {self.message}" + (f" {self.next_step}" if self.next_step else "")


@dataclass(frozen=True)
class About:
    """Who answered, and why; the response's headers say it."""

    route: str = ""  # <provider>/<model>
    locality: str = ""  # local or cloud
    reason: str = ""  # a code
    notes: tuple[str, ...] = ()  # what was left out of the request, or replaced in it
    redactions: int = 0  # secrets and personal data that did not leave
    call: str | None = None  # its number in the record of calls
    cost_usd: float | None = None  # US dollars; None where it is not known, 0 for a local model
    usage: Mapping[str, Any] = field(default_factory=dict)  # tokens, in OpenAI's names
    finish_reason: str | None = None  # "length": the answer was cut at its limit


class Reply(str):
    """An answer: a text like any other, which knows who gave it. A notebook shows it as Markdown."""

    about: About

    def __new__(cls, text: str, about: About) -> Reply:  # noqa: D102 - the class says it
        reply = super().__new__(cls, text)
        reply.about = about
        return reply

    def __getnewargs__(self) -> tuple[str, About]:  # type: ignore[override]
        return str(self), self.about

    @property
    def text(self) -> str:
        """The answer as a plain string."""
        return str(self)

    @property
    def route(self) -> str:
        """The model that answered, ``<provider>/<model>``."""
        return self.about.route

    @property
    def locality(self) -> str:
        """``local`` or ``cloud``."""
        return self.about.locality

    @property
    def reason(self) -> str:
        """The code of the reason why this model was taken."""
        return self.about.reason

    @property
    def cost_usd(self) -> float | None:
        """What it cost, in US dollars; None where that is not known."""
        return self.about.cost_usd

    @property
    def usage(self) -> Mapping[str, Any]:
        """The tokens, in OpenAI's names; empty where the model server did not count."""
        return self.about.usage

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out of the request, or replaced in it."""
        return self.about.notes

    def _repr_markdown_(self) -> str:
        return str(self)


class ReplyStream:
    """An answer that is still being written: iterate over its pieces. Closing it ends the work at the model too.

    ``about`` is there from the start; its usage and cost once the answer has ended.
    """

    def __init__(self, connection: HTTPConnection, response: HTTPResponse, about: About) -> None:
        self._connection = connection
        self._response = response
        self._pieces: list[str] = []
        self._events = _events(response)
        self._is_closed = False
        self.about = about

    @property
    def reply(self) -> Reply:
        """What has come so far, as a reply."""
        return Reply("".join(self._pieces), self.about)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self._is_closed:
            raise StopIteration
        try:
            for event in self._events:
                if piece := self._take(event):
                    return piece
        except BaseException:  # an interrupt too: nobody would read on, so nothing may be written on
            self.close()
            raise
        self.close()
        self._add_cost()
        raise StopIteration

    def _take(self, event: Mapping[str, Any]) -> str:
        choice = (event.get("choices") or [{}])[0]
        change: dict[str, Any] = {}
        if usage := event.get("usage"):
            change["usage"] = usage
        if reason := choice.get("finish_reason"):
            change["finish_reason"] = reason
        if change:
            self.about = _with(self.about, **change)
        piece = str((choice.get("delta") or {}).get("content") or "")
        if piece:
            self._pieces.append(piece)
        return piece

    def _add_cost(self) -> None:
        """Look the cost up in the record of calls: the headers went out before it was known."""
        if self.about.call is None or self.about.cost_usd is not None:
            return
        try:
            calls = _request("GET", "calls?limit=50", timeout_s=CONNECT_TIMEOUT_S)[0]["calls"]
            found = [call for call in calls if call["id"] == self.about.call and call["outcome"] != "running"]
        except (AiError, KeyError, TypeError):  # the answer is there; its cost is an extra
            return
        if found:
            self.about = _with(self.about, cost_usd=found[0].get("cost_usd"))

    def close(self) -> None:
        """End it. What has come stays in ``reply``."""
        self._is_closed = True
        self._response.close()
        self._connection.close()

    def __enter__(self) -> ReplyStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def chat(
    prompt: Messages,
    *,
    model: str = "auto",
    task: str | None = None,
    private: bool = False,
    system: str | None = None,
    headers: Mapping[str, str] | None = None,
    timeout_s: float = TIMEOUT_S,
    **options: Any,
) -> Reply:
    """Return a model's answer to a prompt, or to messages in OpenAI's form.

    ``task`` (``chat explain fix tests docs refactor review commit-message agent``) is what the choice of ``auto``
    depends on; ``private`` keeps it on local models; ``options`` are OpenAI's (``temperature``, ``max_tokens`` …).
    ``timeout_s`` is for silence. Raises AiError.
    """
    body = {**options, "model": model, "messages": _messages(prompt, system), "stream": False}
    sent = {**_headers(task, private), **(headers or {})}
    document, about = _request("POST", "v1/chat/completions", body, sent, timeout_s)
    with _understood():
        choice = document["choices"][0]
        text = choice["message"]["content"] or ""
        usage, finish = document.get("usage") or {}, choice.get("finish_reason")
    return Reply(text, _with(about, usage=usage, finish_reason=finish))


def stream(
    prompt: Messages,
    *,
    model: str = "auto",
    task: str | None = None,
    private: bool = False,
    system: str | None = None,
    headers: Mapping[str, str] | None = None,
    timeout_s: float = TIMEOUT_S,
    **options: Any,
) -> ReplyStream:
    """Return the answer piece by piece as it is written; arguments and errors are those of `chat`."""
    body = {
        "stream_options": {"include_usage": True},
        **options,
        "model": model,
        "messages": _messages(prompt, system),
        "stream": True,
    }
    sent = {**_headers(task, private), **(headers or {})}
    connection, response = _open("POST", "v1/chat/completions", body, sent, timeout_s)
    return ReplyStream(connection, response, _about(response))


@overload
def embed(text: str, *, model: str = ..., private: bool = ..., timeout_s: float = ...) -> list[float]: ...
@overload
def embed(
    text: list[str] | tuple[str, ...], *, model: str = ..., private: bool = ..., timeout_s: float = ...
) -> list[list[float]]: ...
def embed(
    text: str | list[str] | tuple[str, ...],
    *,
    model: str = "auto",
    private: bool = False,
    timeout_s: float = TIMEOUT_S,
) -> list[float] | list[list[float]]:
    """Return the vector of a text, or the vectors of several in their order. Raises AiError."""
    body = {"model": model, "input": text if isinstance(text, str) else list(text), "encoding_format": "float"}
    document, _ = _request("POST", "v1/embeddings", body, _headers("embed", private), timeout_s)
    with _understood():
        data = sorted(document["data"], key=lambda one: int(one["index"]))
        vectors: list[list[float]] = [one["embedding"] for one in data]
        return vectors[0] if isinstance(text, str) else vectors


def route(*, model: str = "auto", task: str | None = None, private: bool = False) -> dict[str, Any]:
    """Return the server's decision without a call: ``mode``, ``route``, ``locality``, ``message``, ``next_step`` …

    Raises AiError.
    """
    body = {"model": model, **({"task": task} if task else {}), **({"privacy": "local"} if private else {})}
    document: dict[str, Any] = _request("POST", "route", body)[0]
    return document


def notebook_header(*, with_outputs: bool = False) -> dict[str, str]:
    """Return the header that says from which notebook a text comes, so that the rules for its path hold.

    ``with_outputs`` says that results of its cells are in the text too.
    """
    notebook = os.environ.get("AIDP_NOTEBOOK")
    parts = ([quote(notebook)] if notebook else []) + (["outputs"] if with_outputs else [])
    return {"X-AIDP-Path": ",".join(parts)} if parts else {}


def _messages(prompt: Messages, system: str | None) -> list[Mapping[str, Any]]:
    first = [{"role": "system", "content": system}] if system else []
    return [*first, *([{"role": "user", "content": str(prompt)}] if isinstance(prompt, str) else prompt)]


def _headers(task: str | None, private: bool) -> dict[str, str]:
    privacy = {"X-AIDP-Privacy": "local"} if private else {}
    return {**notebook_header(), **({"X-AIDP-Task": task} if task else {}), **privacy}


# --- the way to the server ---


def _server() -> tuple[str, str]:
    """Return the address of the AI routes and the token for them."""
    url, token = os.environ.get("AIDP_AI_URL", "").rstrip("/"), os.environ.get("AIDP_AI_TOKEN", "")
    openai = os.environ.get("OPENAI_BASE_URL", "").rstrip("/")
    if not url and openai.endswith("/aidp/ai/v1"):
        url, token = openai.removesuffix("/v1"), os.environ.get("OPENAI_API_KEY", "")
    if not url:
        # Another server would take the request, and not know what X-AIDP-Privacy means.
        raise AiError("unavailable", "No server with aidp is known here.", next_step=_START)
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or not token.isascii():
        raise AiError("unavailable", "AIDP_AI_URL or AIDP_AI_TOKEN is not of a server with aidp.", next_step=_START)
    return url, token


def _request(
    method: str,
    path: str,
    body: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    timeout_s: float = TIMEOUT_S,
) -> tuple[Any, About]:
    """Return the JSON answer, read to its end, and what its headers say."""
    import json

    connection, response = _open(method, path, body, headers, timeout_s)
    try:
        with _understood(), _reached():
            return json.loads(response.read()), _about(response)
    finally:
        response.close()
        connection.close()


def _open(
    method: str, path: str, body: Mapping[str, Any] | None, headers: Mapping[str, str] | None, timeout_s: float
) -> tuple[HTTPConnection, HTTPResponse]:
    """Return a connection and its response, whose body is not read yet; an error status raises AiError."""
    import http.client
    import json

    url, token = _server()
    parts = urlsplit(url)
    data = None if body is None else json.dumps(body).encode()  # a value that is no JSON is the caller's TypeError
    sent = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", **(headers or {})}
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    assert parts.hostname
    connection = kind(parts.hostname, parts.port, timeout=CONNECT_TIMEOUT_S)
    try:
        with _reached():
            connection.connect()
            connection.sock.settimeout(timeout_s)
            connection.request(method, f"{parts.path}/{path}", data, sent)
            response = connection.getresponse()
        if response.status != 200:
            raise _refused(response)
    except BaseException:  # an interrupt too: the server sees that nobody waits any more
        connection.close()
        raise
    return connection, response


class _reached:
    """Raise what the way to the server may go wrong as AiError."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        from http.client import HTTPException

        if isinstance(error, TimeoutError):
            raise AiError("upstream_timeout", "The server stayed silent for too long.") from error
        if isinstance(error, OSError):
            step = "Is it running? If it was started anew, restart the kernel."
            raise AiError("unavailable", f"The server does not answer ({error}).", next_step=step) from error
        if isinstance(error, HTTPException):
            raise AiError("upstream_incomplete", "The server broke off its answer.") from error


class _understood:
    """Raise an answer that is not what the API says as AiError."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        if isinstance(error, LookupError | TypeError | ValueError | AttributeError):
            raise AiError("upstream_invalid_response", "What answers there is no server with aidp.") from error


def _refused(response: HTTPResponse) -> AiError:
    import json
    from http.client import HTTPException

    status = response.status
    try:
        error = json.loads(response.read())["error"]
        details = dict(error.get("details") or {})
        code, message = str(error["code"]), str(error["message"])
    except (OSError, HTTPException, LookupError, TypeError, ValueError, AttributeError):
        code, message, details = "upstream_invalid_response", f"The server answered with status {status}.", {}
    step = details.pop("next_step", None)
    if status == 401:
        step = "Restart the kernel: the server knows another token since it was started anew."
    return AiError(code, message, status=status, next_step=step, **_free(details))


def _free(details: Mapping[str, Any]) -> dict[str, Any]:
    """Return details without the names that the error itself has."""
    return {name: value for name, value in details.items() if name not in ("code", "message", "status", "next_step")}


def _about(response: HTTPResponse) -> About:
    said = {name.lower(): value for name, value in response.getheaders()}
    locality, redactions = said.get("x-aidp-locality", ""), said.get("x-aidp-redactions", "")
    cost = _number(said.get("x-aidp-cost-usd", ""))
    return About(
        route=said.get("x-aidp-route", ""),
        locality=locality,
        reason=said.get("x-aidp-reason", ""),
        notes=tuple(note for part in said.get("x-aidp-notes", "").split(",") if (note := part.strip())),
        redactions=int(redactions) if redactions.isdecimal() else 0,
        call=said.get("x-aidp-call"),
        cost_usd=0.0 if cost is None and locality == "local" else cost,
    )


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _with(about: About, **changes: Any) -> About:
    from dataclasses import replace

    return replace(about, **changes)


def _events(response: HTTPResponse) -> Iterator[Mapping[str, Any]]:
    """Give the events of a stream. Raises AiError for an error event, and where the end mark does not come."""
    import json

    with _understood(), _reached():
        for line in response:
            if not line.startswith(b"data:"):
                continue
            data = line.removeprefix(b"data:").strip()
            if data == b"[DONE]":
                return
            event = json.loads(data)
            if error := event.get("error"):
                details = dict(error.get("details") or {})
                step = details.pop("next_step", None)
                raise AiError(str(error["code"]), str(error["message"]), next_step=step, **_free(details))
            yield event
    raise AiError("upstream_incomplete", "The answer broke off.", next_step="Run it again.")
