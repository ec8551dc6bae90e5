"""Why a user's container did not start, or has ended, in words that say which limit and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import requests
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from jupyterhub.spawner import SpawnException

from hub_config.profiles import spoken

if TYPE_CHECKING:
    from hub_config.containers import Containers

ADMIN = "Tell whoever runs this hub:"


def is_away(error: BaseException) -> bool:
    """Whether the engine itself does not answer."""
    if isinstance(error, requests.exceptions.ConnectionError | requests.exceptions.Timeout):
        return True
    return isinstance(error, DockerException) and not isinstance(error, APIError)


def explain(error: Exception, spawner: Containers) -> SpawnException:
    """What a start that failed says to the user; the engine's own words go to the log."""
    if isinstance(error, SpawnException):
        return error
    said = str(error)
    low = said.lower()
    if isinstance(error, TimeoutError):
        return _failure(
            "timeout",
            f"Your server took longer than {spawner.start_timeout:g} seconds to start. The machine may be busy: try"
            " again in a minute.",
            said or "timeout",
            504,
        )
    if is_away(error):
        return _failure(
            "engine-down", f"The container engine does not answer. {ADMIN} start Docker, then `aidp hub check`.", said
        )
    if isinstance(error, ImageNotFound) or "no such image" in low:
        return _failure(
            "image-missing",
            f"The image {spawner.image} is not on this machine. {ADMIN} build or pull it, or choose another in the"
            " profile.",
            said,
        )
    if "could not select device driver" in low or "nvidia-container" in low or "unknown or invalid runtime" in low:
        return _failure(
            "gpu-runtime-missing",
            "The container engine cannot give out GPUs. Start without a GPU for now."
            f" {ADMIN} install NVIDIA's container toolkit, restart Docker, then `aidp hub check`.",
            said,
        )
    if isinstance(error, NotFound) and "network" in low:
        return _failure(
            "network-missing",
            f"The network {spawner.settings.network} is missing. {ADMIN} start the hub again, which makes it.",
            said,
        )
    if isinstance(error, APIError) and error.status_code == 409 and "already in use" in low:
        return _failure(
            "name-taken",
            f"The engine has a container called {spawner.object_name} that is not this hub's."
            f" {ADMIN} remove or rename it, or set AIDP_DOCKER_PREFIX to a name that no other hub has.",
            said,
        )
    if "no space left on device" in low or "disk quota exceeded" in low:
        return _failure(
            "disk-full", f"The disk of this machine is full. {ADMIN} free some space for Docker.", said, 507
        )
    if "oom-killed" in low or "cannot allocate memory" in low:
        words = f"Your server could not start: {_limit(int(spawner.mem_limit or 0))}"
        return _failure("out-of-memory", words, said, 507)
    return _failure(
        "engine-error", f"The container engine refused to start your server. {ADMIN} see the hub's log.", said
    )


def ended_at_start(found: dict[str, Any], log: str, spawner: Containers) -> SpawnException:
    """What a container that ended before its server answered says to the user; ``found`` is what the engine knows."""
    state = found["State"]
    if state.get("OOMKilled"):
        words = f"Your server could not start: {_limit(found['HostConfig']['Memory'])}"
        return _failure("out-of-memory", words, f"OOMKilled: {state}\n{log}", 507)
    if "no space left on device" in log.lower():
        words = f"Your server could not start: its disk is full. {ADMIN} free some space for Docker."
        return _failure("disk-full", words, log, 507)
    return _failure(
        "server-ended",
        f"Your server ended while it started, with status {state.get('ExitCode')}. {ADMIN} its last words are in the"
        " hub's log.",
        f"{spawner.image} ended: {state}\n{log}",
    )


def ended(found: dict[str, Any]) -> str:
    """Why a server that ran has ended by itself."""
    if found["State"].get("OOMKilled"):
        return f"Your server was ended, with every notebook's kernel: {_limit(found['HostConfig']['Memory'])}"
    return f"Your server ended by itself, with status {found['State'].get('ExitCode')}."


def _limit(memory: int) -> str:
    return (
        f"it needed more memory than its limit, {spoken(memory)}. Choose a profile with more memory, or use less at a"
        " time."
    )


def _failure(reason: str, words: str, said: str, status: int = 503) -> SpawnException:
    return SpawnException(words, reason=reason, log_message=f"{reason}: {said[:2000]}", status_code=status)
