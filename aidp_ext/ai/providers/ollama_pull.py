"""Pulling a model into Ollama, through Ollama's own client, which is imported only here and only then."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aidp_ext.ai.providers.base import FORWARDED_NAME
from aidp_ext.core.errors import (
    AidpError,
    InvalidRequest,
    ModelNotFound,
    PolicyRefused,
    StorageError,
    UpstreamIncomplete,
    UpstreamInvalid,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnreachable,
)

if TYPE_CHECKING:
    import ollama

# [host[:port]/][namespace/]model[:tag], with the parts as types/model/name.go has them. It begins with no hyphen, so
# that it could never be read as an option, and has no scheme: Ollama refuses plain http.
NAME = (
    r"(?:[A-Za-z0-9_][\w.:-]{0,349}/)?(?:[A-Za-z0-9_][\w-]{0,79}/)?"
    r"[A-Za-z0-9_][\w.-]{0,79}(?::[A-Za-z0-9_][\w.-]{0,79})?"
)
# Checking the digest of forty gigabytes takes minutes, without a word meanwhile.
_SILENCE_S = 900.0


@dataclass(frozen=True)
class PullProgress:
    """How far a pull has come: Ollama's words for what it does, and the bytes of the part that it loads now."""

    status: str
    completed: int | None = None
    total: int | None = None


def checked(model: str, *, allow_cloud: bool) -> str:
    """Return the name of a model that may be pulled.

    Raises InvalidRequest for what is no name, and PolicyRefused for one that stands for a hosted model.
    """
    if not re.fullmatch(NAME, model, re.ASCII):
        raise InvalidRequest(f"{model[:80]!r} is no name of a model.", field="model")
    if FORWARDED_NAME.search(model.lower()) and not allow_cloud:
        raise PolicyRefused(
            f"{model} runs on a hosted service, not here.", next_step="Choose a model without `cloud` in its name."
        )
    return model


async def pull(
    model: str, host: str, headers: Mapping[str, str], *, connect_timeout_s: float, trusts_environment: bool
) -> AsyncGenerator[PullProgress, None]:
    """Pull a model, and yield how far it is. Closing the iterator ends the pull; Ollama keeps what it has loaded.

    ``trusts_environment`` is whether a proxy of the environment may be used. Raises ModelNotFound, StorageError (no
    room on the server's disk), InvalidRequest or one of the UpstreamErrors.
    """
    import httpx
    import ollama

    client = ollama.AsyncClient(
        host=host,
        headers=dict(headers),
        follow_redirects=False,
        trust_env=trusts_environment,
        timeout=httpx.Timeout(_SILENCE_S, connect=connect_timeout_s),
    )
    status = ""
    async with client:
        try:
            stream = await client.pull(model, stream=True)
            async with aclosing(stream) as steps:  # type: ignore[type-var]  # typed as an iterator, is a generator
                async for step in steps:
                    status = step.status or ""
                    yield PullProgress(status, step.completed, step.total)
        except ollama.ResponseError as error:
            raise _ours(error, model) from error
        except httpx.TimeoutException as error:
            if isinstance(error, httpx.ConnectTimeout):
                raise UpstreamUnreachable("Ollama does not answer.", provider="Ollama") from error
            raise UpstreamTimeout("Ollama fell silent while it pulled the model.", provider="Ollama") from error
        except httpx.ConnectError as error:
            raise UpstreamUnreachable("Ollama does not answer.", provider="Ollama") from error
        except httpx.TransportError as error:
            raise UpstreamIncomplete("Ollama broke off while it pulled the model.", provider="Ollama") from error
        except (ValueError, AttributeError, TypeError) as error:  # the client reads whatever comes as JSON objects
            raise UpstreamInvalid("Ollama answered in a way that aidp does not understand.") from error
    if status != "success":
        raise UpstreamIncomplete("Ollama broke off while it pulled the model.", provider="Ollama")


def _ours(error: ollama.ResponseError, model: str) -> AidpError:
    """Return the error of our tree for what Ollama said; it has no codes, and after the first line no status."""
    words = str(error.error)[:300]
    said = words.lower()
    if "file does not exist" in said or "not found" in said or error.status_code == 404:
        return ModelNotFound(
            f"There is no model {model!r} to pull.", next_step="https://ollama.com/library lists the models."
        )
    if "no space left" in said or "not enough space" in said or "disk quota" in said:
        return StorageError(
            f"There is no room for {model} on the disk of the machine that runs Ollama.",
            next_step="Remove a model (`ollama rm …`), or make room.",
        )
    if 300 <= error.status_code < 400:
        return UpstreamInvalid("Ollama answers with a redirect, which is not followed.", next_step="Check OLLAMA_HOST.")
    if error.status_code == 400:
        return InvalidRequest(f"Ollama does not take this name: {words}", field="model")
    status = error.status_code if error.status_code > 0 else 500  # -1: reported in the middle of the stream
    return UpstreamRejected(f"Ollama could not pull {model}: {words}", status=status, provider="Ollama")
