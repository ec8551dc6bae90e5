"""Providers of other packages: the tutorial's, installed as it says, and those that must not take the server along."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

from aiohttp import web
from openai.types.chat import ChatCompletion

from tests.support.processes import REPO
from tests.support.wire import serving, streamed

PAGE = (REPO / "docs" / "howto" / "add-a-provider.md").read_text()

ASK = """
import asyncio, json, sys
from aidp_ext.ai.config import AiConfig
from aidp_ext.ai.models import Caller
from aidp_ext.ai.providers import make_providers
from aidp_ext.core.http import HttpClient

async def main():
    http = HttpClient()
    acme = {p.name: p for p in make_providers(AiConfig(), http)}["acme"]
    (offer,) = await acme.offers()
    body = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 9}
    whole = await acme.chat(offer, body, Caller("ana"))
    stream = await acme.chat(offer, {**body, "stream": True}, Caller("ana"))
    events = b"".join([chunk async for chunk in stream.events])
    try:
        await acme.chat(offer, {"messages": [{"role": "user", "content": "nonsense"}]}, Caller("ana"))
        error = None
    except Exception as failed:
        error = type(failed).__name__
    await http.close()
    said = {"route": offer.route, "locality": offer.locality, "context": offer.context_length, "error": error}
    said |= {"whole": whole.document.decode(), "events": events.decode(), "tokens": stream.events.usage.prompt_tokens}
    print(json.dumps(said))

asyncio.run(main())
"""
LIST = """
import logging, sys
logging.basicConfig(stream=sys.stderr)
from aidp_ext.ai.config import AiConfig
from aidp_ext.ai.providers import make_providers
from aidp_ext.core.http import HttpClient
config = AiConfig(openai_api_key="k", anthropic_api_key="", gemini_api_key="")
print(*(f"{type(p).__name__}:{p.name}" for p in make_providers(config, HttpClient())))
"""
STRANGERS = """
import sys
from aidp_ext.ai.models import Locality
from aidp_ext.ai.providers.openai_compatible import OpenAICompatible

def make(name, http): return OpenAICompatible(name, name, "http://127.0.0.1:9", http, locality=Locality.LOCAL)
def good(config, http): return make("good", http)
def openai(config, http): return make("openai", http)
def nothing(config, http): return None
def liar(config, http): return good(config, http)
def text(config, http): return "provider"
def broken(config, http): raise RuntimeError("secret-in-the-message")
def leaver(config, http): sys.exit(1)
"""


def block(language: str) -> str:
    """Return the one block of a language on the page."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


def install(folder: Path, module: str, code: str, project: dict[str, Any]) -> None:
    """Put a module and its distribution's metadata into a folder, as an installer does."""
    (folder / f"{module}.py").write_text(code)
    info = folder / f"{module}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = project["entry-points"].items()
    lines = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in points.items()) for group, points in groups]
    (info / "entry_points.txt").write_text("\n".join(lines))


async def run(code: str, folder: Path, **environment: str) -> tuple[str, str]:
    """Return what a fresh interpreter that has the folder's packages writes to its two outputs."""
    kept = {k: v for k, v in os.environ.items() if not k.endswith(("_API_KEY", "_URL", "_HOST"))}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-c", code),
        cwd=REPO,
        env={**kept, "PYTHONPATH": str(folder), **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode(), err.decode()


async def acme(request: web.Request) -> web.StreamResponse:
    """The server that the tutorial describes."""
    if request.path == "/engines":
        return web.json_response({"engines": [{"name": "parrot-7b", "window": 8192}]})
    body = await request.json()
    assert request.path == "/talk"
    assert set(body) <= {"engine", "lines", "stream", "most"}
    assert body["engine"] == "parrot-7b"
    text = body["lines"][0]["content"]
    if text == "nonsense":
        return web.json_response({"speaks": text})
    end = {"why": "cut", "read": 3, "wrote": 2}
    if not body["stream"]:
        return web.json_response({"says": text, **end})
    said: list[dict[str, Any]] = [{"says": text[:2]}, {"says": text[2:]}, {"says": "", **end}]
    pieces = [b"data: " + json.dumps(one).encode() + b"\n\n" for one in said]
    return await streamed(request, "text/event-stream", pieces)


async def test_the_tutorials_provider_works_as_it_stands_there(tmp_path: Path) -> None:
    install(tmp_path, "aidp_acme", block("python"), tomllib.loads(block("toml"))["project"])
    async with serving(acme) as url:
        out, _ = await run(ASK, tmp_path, ACME_URL=url)
    said = json.loads(out)
    assert (said["route"], said["locality"], said["context"]) == ("acme/parrot-7b", "local", 8192)
    whole = ChatCompletion.model_validate(json.loads(said["whole"]), strict=True)
    assert (whole.choices[0].message.content, whole.choices[0].finish_reason) == ("Hello", "length")
    assert said["events"].endswith("data: [DONE]\n\n")
    chunks = [json.loads(line[6:]) for line in said["events"].splitlines() if line.startswith("data: {")]
    assert "".join(chunk["choices"][0]["delta"]["content"] for chunk in chunks) == "Hello"
    assert said["tokens"] == 3
    assert said["error"] == "UpstreamInvalid", "an answer of another shape is the server's fault, and called so"


async def test_a_provider_that_is_not_set_up_is_not_there(tmp_path: Path) -> None:
    install(tmp_path, "aidp_acme", block("python"), tomllib.loads(block("toml"))["project"])
    out, err = await run(LIST, tmp_path)
    assert "acme" not in out + err


async def test_what_does_not_load_is_left_out_and_named(tmp_path: Path) -> None:
    names = ("good", "openai", "nothing", "liar", "text", "broken", "leaver")
    points = {name: f"strangers:{name}" for name in names}
    points |= {"Odd Name": "strangers:good", "absent": "no_such_module:make", "missing": "strangers:nobody"}
    project = {"name": "strangers", "version": "1", "entry-points": {"aidp.providers": points}}
    install(tmp_path, "strangers", STRANGERS, project)
    out, err = await run(LIST, tmp_path)
    assert out.split() == ["Ollama:ollama", "OpenAI:openai", "OpenAICompatible:good"]
    left_out = set(re.findall(r"the provider '([^']+)' of \S+ is left out", err))
    assert left_out == {"openai", "liar", "text", "broken", "leaver", "Odd Name", "absent", "missing"}
    assert "secret-in-the-message" not in err
