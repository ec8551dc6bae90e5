"""Requests made to do harm, as a server gets them."""

from __future__ import annotations

import aiohttp
import pytest

ASK = '"model": "openai/good", "max_tokens": 5, "messages": [{"role": "user", "content": '
DEEP = {
    "blocks": ASK + '[{"type": "x", "content": ' * 450 + "[]" + "}]" * 450 + "}]",
    "a field that nobody knows": ASK + '"x"}], "x": ' + "[" * 900 + "]" * 900,
    "a tool call": ASK + '"x", "tool_calls": [{"x": ' + "[" * 900 + "]" * 900 + "}]}]",
}


@pytest.mark.parametrize("privacy", ["redact", "cloud"])
@pytest.mark.parametrize("path", ["v1/chat/completions", "v1/messages"])
@pytest.mark.parametrize("body", DEEP.values(), ids=DEEP)
async def test_what_is_nested_very_deeply_is_no_failure_of_the_server(
    client: aiohttp.ClientSession, path: str, body: str, privacy: str
) -> None:
    """What can be parsed may still be too deep for what looks at it later."""
    headers = {"Content-Type": "application/json", "X-AIDP-Privacy": privacy}
    async with client.post(f"ai/{path}", data=f"{{{body}}}", headers=headers) as response:
        assert response.status < 500, await response.text()
    async with client.post("ai/preview", data=f'{{"system": "", {body}}}', headers=headers) as response:
        assert response.status < 500, await response.text()
