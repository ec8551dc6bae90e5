"""`aidp doctor`: one table of what is here, and for what is missing the next step."""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import os
import platform
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from aidp_ext._version import __version__
from aidp_ext.ai.config import AiConfig
from aidp_ext.ai.models import Locality
from aidp_ext.ai.providers import make_providers
from aidp_ext.core import proc
from aidp_ext.core.errors import AidpError, ProcessError
from aidp_ext.core.http import HttpClient

Mark = Literal["ok", "missing", "optional"]
_MARKS = {"ok": "✔", "missing": "✖", "optional": "○"}
_KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY")
_PACKAGES = ("jupyterlab", "jupyter_server", "jupyterhub", "oauthenticator", "aiohttp", "tornado")
_PROBE_S = 10.0
_PROXY = Path(__file__).parents[2] / "hub_config/proxy/node_modules/.bin/configurable-http-proxy"


@dataclass(frozen=True)
class Finding:
    """One row: what was looked at, how it is, what was found, and what to do about it."""

    what: str
    mark: Mark
    found: str
    next_step: str = ""


def run(*, as_json: bool) -> int:
    """Print the table; return 1 where something is missing that aidp cannot do without, 0 otherwise."""
    findings = asyncio.run(examine())
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        print(f"aidp {__version__}")
        print(table(findings))
    return int(any(finding.mark == "missing" for finding in findings))


async def examine() -> list[Finding]:
    """Look at everything at once and return the rows in a fixed order. Nothing that is found raises."""
    checks: Sequence[Callable[[], Awaitable[list[Finding]]]] = (
        _python,
        _node,
        _git,
        _docker,
        _gpu,
        _models,
        _keys,
        _hub,
        _versions,
    )
    return [row for rows in await asyncio.gather(*(check() for check in checks)) for row in rows]


def table(findings: Sequence[Finding]) -> str:
    """Return the rows as text: mark, name, what was found; the next step on a line of its own."""
    width = max(len(finding.what) for finding in findings)
    lines = []
    for finding in findings:
        lines.append(f" {_MARKS[finding.mark]} {finding.what:<{width}}  {finding.found}")
        if finding.next_step:
            lines.append(f"   {'':<{width}}  → {finding.next_step}")
    return "\n".join(lines)


async def _python() -> list[Finding]:
    return [Finding("Python", "ok", f"{platform.python_version()} in {sys.prefix}")]


async def _node() -> list[Finding]:
    step = "Install Node 20 or newer (nodejs.org): the hub's proxy and the build of the front end need it."
    said = await _said("node", "--version")
    if said is None:
        return [Finding("Node", "optional", "not found", step)]
    major = said.lstrip("v").split(".")[0]
    return [
        Finding("Node", "ok", said) if major.isdigit() and int(major) >= 20 else Finding("Node", "optional", said, step)
    ]


async def _git() -> list[Finding]:
    said = await _said("git", "--version")
    if said is None:
        return [Finding("git", "missing", "not found", "Install git: git-scm.com/downloads.")]
    return [Finding("git", "ok", said.removeprefix("git version "))]


async def _docker() -> list[Finding]:
    said = await _said("docker", "version", "--format", "{{.Server.Version}}")
    if said is None:
        return [Finding("Docker", "optional", "no engine answers", "Only for containers: start Docker, or install it.")]
    return [Finding("Docker", "ok", said)]


async def _gpu() -> list[Finding]:
    said = await _said("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader")
    if not said:
        return [Finding("GPU", "optional", "none found", "Only for training and fast local models.")]
    return [Finding("GPU", "ok", name) for name in said.splitlines()]


async def _models() -> list[Finding]:
    """Ask the local model servers; the cloud is not contacted by a look at the machine."""
    config = AiConfig()
    http = HttpClient(connect_timeout_s=2.0)
    rows = []
    try:
        for provider in make_providers(config, http):
            if provider.name not in ("ollama", "local") or provider.locality is Locality.CLOUD:
                continue
            try:
                offers = await provider.offers()
            except AidpError as error:
                step = error.next_step or provider.next_step or ""
                rows.append(Finding(provider.label, "optional", error.message, step))
            else:
                names = ", ".join(offer.display for offer in offers[:5]) or "no model installed"
                more = f" and {len(offers) - 5} more" if len(offers) > 5 else ""
                step = "" if offers else provider.next_step or ""
                rows.append(Finding(provider.label, "ok", f"{provider.url}: {names}{more}", step))
    finally:
        await http.close()
    return rows


async def _keys() -> list[Finding]:
    here = [name for name in _KEYS if os.environ.get(name, "").strip()]
    if here:
        return [Finding("Cloud keys", "ok", ", ".join(f"{name} is set" for name in here))]
    return [Finding("Cloud keys", "optional", "none set", f"For cloud models: put one of {', '.join(_KEYS)} in .env.")]


async def _hub() -> list[Finding]:
    if _version_of("jupyterhub") is None:
        return [Finding("Hub", "optional", "not installed", "For a team: make hub, or pip install 'aidp-ext[hub]'.")]
    if not _PROXY.exists() and await _said("configurable-http-proxy", "--version") is None:
        step = "make hub, or npm install -g configurable-http-proxy."
        return [Finding("Hub", "optional", "its proxy is not installed", step)]
    if any(os.environ.get(name) for name in ("GITHUB_CLIENT_ID", "GITHUB_ID")):
        return [Finding("Hub", "ok", "ready, with GitHub sign-in")]
    step = "For GitHub sign-in: set GITHUB_CLIENT_ID and GITHUB_CLIENT_SECRET."
    return [Finding("Hub", "ok", "ready, with a local sign-in", step)]


async def _versions() -> list[Finding]:
    found = ", ".join(f"{name} {version}" for name in _PACKAGES if (version := _version_of(name)))
    return [Finding("Versions", "ok", found)]


def _version_of(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


async def _said(*argv: str) -> str | None:
    """Return what a program prints, or None where it is missing, fails or takes too long."""
    try:
        done = await proc.run(argv, timeout_s=_PROBE_S)
    except ProcessError:
        return None
    return done.stdout.strip() or None
