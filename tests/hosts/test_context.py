"""``aidp/ai/context`` of a real Jupyter server."""

from __future__ import annotations

import io
import json
from typing import Any

import aiohttp
import pytest

from tests.support.jupyter import Server

CELLS = [
    {"id": "a", "source": "import pandas as pd\ndf = pd.read_csv('people.csv')"},
    {"id": "b", "type": "markdown", "source": "## Plans"},
    {"id": "c", "source": "df.groupby('plan').age.mean()", "count": 3, "outputs": [{"kind": "text", "text": "31.5"}]},
]
QUESTION: dict[str, Any] = {
    "task": "explain",
    "document": {"path": "work.ipynb", "cells": CELLS, "active": "c"},
    "kernel": {
        "variables": [
            {"name": "df", "type": "DataFrame", "shape": [9, 1], "columns": [{"name": "age"}], "value": "Braund"}
        ]
    },
}


async def ask(client: aiohttp.ClientSession, question: Any) -> tuple[int, dict[str, Any]]:
    async with client.post("ai/context", json=question) as response:
        return response.status, await response.json()


async def test_a_question_is_answered_with_what_a_model_is_told(client: aiohttp.ClientSession) -> None:
    status, said = await ask(client, QUESTION)
    assert status == 200
    assert said["summary"] == "3 cells, 1 output, 1 dataframe"
    assert [item["kind"] for item in said["items"]] == ["cell", "markdown", "cell", "output", "variable"]
    assert "df: DataFrame 9\N{MULTIPLICATION SIGN}1: age" in said["text"]
    assert "Braund" not in json.dumps(said)
    assert said["paths"] == ["work.ipynb", "outputs"]
    assert (said["withheld"], said["secrets"], said["id"]) == ([], 0, None)


async def test_files_of_the_workspace_are_told_and_its_rules_hold(
    client: aiohttp.ClientSession, server: Server
) -> None:
    (server.root / "prep_context.py").write_text("def clean_people(df):\n    return df.dropna()\n")
    question = {**QUESTION, "mentions": ["file:prep_context.py"]}
    _, said = await ask(client, question)
    assert "dropna" in said["text"]
    rules = server.root / "aidp.toml"
    rules.write_text('[ai]\nnever_leave = ["outputs"]\n')
    try:
        _, said = await ask(client, question)
    finally:
        rules.unlink()
    assert "31.5" not in said["text"]
    assert [item["kind"] for item in said["withheld"]] == ["output"]


async def test_a_question_is_kept_on_request(client: aiohttp.ClientSession) -> None:
    _, said = await ask(client, {**QUESTION, "keep": True})
    assert len(said["id"]) >= 20


@pytest.mark.parametrize(
    "body", [{"task": "dance"}, {"budget": -1}, {"document": {"cells": [{"id": 3}]}}, {"mentions": "cell:1"}, []]
)
async def test_what_is_no_question_is_refused(client: aiohttp.ClientSession, body: Any) -> None:
    status, said = await ask(client, body)
    assert (status, said["error"]["code"]) == (400, "invalid_request")


@pytest.mark.parametrize("body", [b"", b"{", b'{"query": "\\ud800"}', b"[" * 100_000])
async def test_what_is_no_json_is_refused(client: aiohttp.ClientSession, body: bytes) -> None:
    async with client.post("ai/context", data=body) as response:
        assert response.status == 400


async def test_a_body_that_is_too_large_is_refused(client: aiohttp.ClientSession) -> None:
    async with client.post("ai/context", data=io.BytesIO(b" " * (33 * 1024 * 1024))) as response:
        assert response.status == 413


@pytest.mark.parametrize("credentials", [{}, {"Authorization": "Bearer wrong"}])
async def test_nobody_is_answered_without_a_token(server: Server, credentials: dict[str, str]) -> None:
    async with (
        aiohttp.ClientSession(headers=credentials) as nobody,
        nobody.post(f"{server.url}aidp/ai/context", json=QUESTION) as response,
    ):
        assert response.status == 401
