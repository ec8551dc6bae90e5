"""LiteLLM as a client of aidp, in both dialects, with every provider. It runs in an environment of its own."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from tests.support.abilities import ABILITIES, BIRD_SCHEMA, PNG, PROVIDERS, TABLE, WEATHER
from tests.support.doubles import BIRD, CITY, Doubles
from tests.support.jupyter import Server, clean_environment
from tests.support.processes import REPO

PYTHON = REPO / ".venv" / "litellm" / "bin" / "python"
ASKED = "Which bird is it? Answer as JSON if you can."
# (dialect, provider, ability); Anthropic's dialect has no completions, no embeddings, and no JSON without a schema.
CHATS = ("chat", "stream", "tools", "streamed tools", "schema", "image")
CASES = [("openai", provider, ability) for provider in PROVIDERS for ability in ABILITIES]
CASES += [("anthropic", provider, ability) for provider in PROVIDERS for ability in CHATS]


def _case(server: Server, dialect: str, provider: str, ability: str) -> dict[str, Any]:
    can = TABLE[provider][ability]
    is_completion = "completion" in ability or ability == "suffix"
    prefix = "text-completion-openai" if is_completion else dialect
    base = f"{server.url}aidp/ai" if dialect == "anthropic" else server.ai
    return {
        "ability": ability,
        "asked": ASKED,
        "tool": WEATHER,
        "choice": "required" if can.is_real else "auto",
        "schema": BIRD_SCHEMA,
        "image": f"data:image/png;base64,{PNG}",
        "call": {"model": f"{prefix}/{can.route}", "api_base": base, "api_key": server.token, "num_retries": 0},
    }


@pytest.fixture(scope="module")
def results(every_provider: Server, _doubles: Doubles) -> dict[tuple[str, str, str], dict[str, Any]]:
    """What LiteLLM had of each case; it takes seconds to import, so all are asked in one run."""
    assert PYTHON.exists(), "`make test` installs LiteLLM into an environment of its own"
    _doubles.forget()
    quiet = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "DO_NOT_TRACK": "1"}
    done = subprocess.run(
        [PYTHON, "-I", REPO / "tests" / "support" / "litellm_client.py"],
        input=json.dumps([_case(every_provider, *case) for case in CASES]),
        env=clean_environment(every_provider.home, quiet),
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return dict(zip(CASES, json.loads(done.stdout.splitlines()[-1]), strict=True))


@pytest.mark.parametrize(("dialect", "provider", "ability"), CASES)
def test_litellm_with_each_provider(
    results: dict[tuple[str, str, str], dict[str, Any]], _doubles: Doubles, dialect: str, provider: str, ability: str
) -> None:
    can, had = TABLE[provider][ability], results[dialect, provider, ability]
    if can.status != 200:
        assert had.get("status") == can.status, had
        # of OpenAI's errors LiteLLM keeps the message alone
        assert can.code in had["says"] or (dialect == "openai" and "image input is not supported" in had["says"])
        return
    assert "error" not in had, had
    if ability == "embeddings":
        assert [vector[0] for vector in had["vectors"]] == [6.0, 9.0]
    elif can.is_real or "completion" in ability or ability == "suffix":
        assert had["text"]
    elif "tools" in ability:
        assert had["called"] == ["weather", CITY]
        assert had["text"].startswith("The tool gave: ")
        assert "4 °C, rain" in had["text"]
    elif ability in ("json", "schema"):
        assert json.loads(had["text"]) == json.loads(BIRD)
    else:
        assert (had["text"], had["finish"]) == (f"You said: {ASKED}", "stop")
    if ability == "image":
        assert _doubles.were_sent(provider, PNG)
    if ability == "suffix" and not can.is_real:
        assert _doubles.were_sent(provider, '"suffix":"return a"')
