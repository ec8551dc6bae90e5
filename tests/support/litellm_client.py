"""Asks aidp through LiteLLM, in LiteLLM's own environment: cases as JSON on standard input, results on standard output.

It runs by itself, without the rest of this package: that environment has LiteLLM and nothing of aidp.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import litellm  # type: ignore[import-not-found,unused-ignore]

MOST = 24  # tokens


def _chat(case: dict[str, Any], **more: Any) -> Any:
    messages = more.pop("messages", [{"role": "user", "content": case["asked"]}])
    return litellm.completion(messages=messages, **{"max_tokens": MOST, **case["call"], **more})


def _text(answer: Any) -> dict[str, Any]:
    return {"text": answer.choices[0].message.content, "finish": answer.choices[0].finish_reason}


def _joined(chunks: Any) -> Any:
    return litellm.stream_chunk_builder(list(chunks))


def _tools(case: dict[str, Any], *, stream: bool) -> dict[str, Any]:
    """Ask, and tell what came of the call; a model of random weights is not expected to call."""

    def ask(messages: list[Any]) -> Any:
        tools = [{"type": "function", "function": case["tool"]}]
        answer = _chat(case, messages=messages, tools=tools, tool_choice=case["choice"], max_tokens=200, stream=stream)
        return _joined(answer) if stream else answer

    said = {"role": "user", "content": case["asked"]}
    message = ask([said]).choices[0].message
    if not message.tool_calls:
        return {"text": message.content}
    (call,) = message.tool_calls
    result = {"role": "tool", "tool_call_id": call.id, "content": "4 °C, rain"}
    last = ask([said, message.model_dump(exclude_none=True), result])
    return {"called": [call.function.name, json.loads(call.function.arguments)], **_text(last)}


def _do(case: dict[str, Any]) -> dict[str, Any]:
    match case["ability"]:
        case "chat":
            return _text(_chat(case))
        case "stream":
            return _text(_joined(_chat(case, stream=True)))
        case "tools":
            return _tools(case, stream=False)
        case "streamed tools":
            return _tools(case, stream=True)
        case "json":
            return _text(_chat(case, response_format={"type": "json_object"}))
        case "schema":
            wanted = {"name": "bird", "schema": case["schema"], "strict": True}
            return _text(_chat(case, response_format={"type": "json_schema", "json_schema": wanted}))
        case "image":
            parts = [
                {"type": "text", "text": case["asked"]},
                {"type": "image_url", "image_url": {"url": case["image"]}},
            ]
            return _text(_chat(case, messages=[{"role": "user", "content": parts}]))
        case "embeddings":
            made = litellm.embedding(input=["a bird", "two birds"], **case["call"])
            return {"vectors": [one["embedding"] for one in made.data]}
        case "completion":
            return {"text": litellm.text_completion(prompt="def add(", max_tokens=MOST, **case["call"]).choices[0].text}
        case "streamed completion":
            chunks = litellm.text_completion(prompt="def add(", max_tokens=MOST, stream=True, **case["call"])
            return {"text": "".join(chunk.choices[0].text or "" for chunk in chunks)}
        case "suffix":
            made = litellm.text_completion(prompt="def add(", suffix="return a", max_tokens=MOST, **case["call"])
            return {"text": made.choices[0].text}
    raise AssertionError(case["ability"])


def main() -> None:
    """Do every case; an error is a result too."""
    litellm.telemetry = False
    litellm.suppress_debug_info = True
    results = []
    for case in json.load(sys.stdin):
        try:
            results.append(_do(case))
        except Exception as error:  # whatever LiteLLM raises is what a user of it would see
            status = getattr(error, "status_code", None)
            results.append({"error": type(error).__name__, "status": status, "says": str(error)})
    print(json.dumps(results))


if __name__ == "__main__":
    main()
