"""Chats in OpenAI's dialect as requests to Anthropic's Messages API.

Sources: https://docs.anthropic.com/en/api/messages, its pages on thinking, effort, structured outputs and tool use, and
https://docs.anthropic.com/en/api/openai-sdk for what Anthropic itself does with OpenAI's parameters. What cannot be
done as asked is named in the notes; what would change the meaning of the answer is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import msgspec

from aidp_ext.ai.models import Offer
from aidp_ext.ai.providers.anthropic_dialect import Notes, as_object, refused, wanted
from aidp_ext.ai.providers.openai_dialect import functions_of, max_tokens, name_of, schema_of, stops

#: The longest answer where the request sets no limit: Anthropic wants one, OpenAI's callers rarely give it. Thinking
#: counts too, so it is not small; only what is written is paid.
DEFAULT_MAX_TOKENS = 16_384

_LABEL = "Anthropic"
_MIN_BUDGET = 1024  # https://docs.anthropic.com/en/docs/build-with-claude/extended-thinking
# Tokens of thinking for models that take a budget instead of an effort: ours, below each model's maximum.
_BUDGETS = {"minimal": _MIN_BUDGET, "low": 2048, "medium": 8192, "high": 16_384, "xhigh": 24_576, "max": 32_000}
_EFFORTS = ("low", "medium", "high", "xhigh", "max")
_UNDERSTOOD = frozenset(
    {
        *("model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "stop", "user"),
        *("safety_identifier", "temperature", "top_p", "top_k", "tools", "tool_choice", "parallel_tool_calls"),
        *("response_format", "reasoning_effort", "thinking", "cache_control"),
        *("n", "modalities", "audio", "functions", "function_call"),  # refused where they ask for anything
    }
)
# Values that ask for nothing, of parameters that Anthropic does not have.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "logit_bias": ({},),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "store": (False,),
    "service_tier": ("auto",),
}
# What a schema may say in structured outputs; the rest is told to the model in words.
# https://docs.anthropic.com/en/docs/build-with-claude/structured-outputs
_SCHEMA_WORDS = frozenset(["type", "title", "description", "enum", "const", "default", "required", "$ref"])
_FORMATS = ("date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid")
_NOT_IN_IDS = re.compile(r"[^A-Za-z0-9_-]")


@dataclass(frozen=True)
class Abilities:
    """What one model takes."""

    thinking: frozenset[str] = frozenset()  # values of `thinking.type`
    efforts: frozenset[str] = frozenset()  # values of `output_config.effort`
    has_structured_outputs: bool = False
    may_sample: bool = True  # takes temperature, top_p and top_k
    may_sample_twice: bool = True  # temperature and top_p together


def to_messages(body: dict[str, Any], offer: Offer, able: Abilities) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return a chat as the Messages API takes it, and the codes of what could not be done as asked.

    Raises InvalidRequest, naming the field, for what the model cannot do and what cannot be understood.
    """
    _refuse_what_changes_the_answer(body)
    notes = Notes()
    system, turns = _turns(body, notes)
    sent: dict[str, Any] = {"model": offer.model, "max_tokens": _limit(body, offer, notes), "messages": turns}
    _add_tools(sent, body, able, notes)
    _add_format(sent, system, body, able, notes)
    if system:
        sent["system"] = system
    if sequences := [stop for stop in stops(body) if stop.strip()]:
        sent["stop_sequences"] = sequences
    if len(sequences) < len(stops(body)):
        notes.ignored("whitespace_stop")
    if user := body.get("user") or body.get("safety_identifier"):
        sent["metadata"] = {"user_id": user}
    if body.get("cache_control"):
        sent["cache_control"] = body["cache_control"]
    if body.get("stream"):
        sent["stream"] = True
    _add_thinking(sent, body, offer, able, notes)
    _add_sampling(sent, body, able, notes)
    for name, value in body.items():
        if name not in _UNDERSTOOD and value is not None and value not in _NEUTRAL.get(name, ()):
            notes.ignored(name)
    return sent, tuple(notes)


def _refuse_what_changes_the_answer(body: dict[str, Any]) -> None:
    if (body.get("n") or 1) > 1:
        raise refused("n", "Anthropic's models give one answer", "Ask several times.")
    if body.get("audio") is not None or body.get("modalities") not in (None, ["text"]):
        raise refused("modalities", "Anthropic's models answer in text only")
    for name in ("functions", "function_call"):
        if body.get(name) is not None:
            raise refused(name, "this older form is not understood", "Use `tools`.")


def _limit(body: dict[str, Any], offer: Offer, notes: Notes) -> int:
    asked = max_tokens(body)
    most = offer.max_output_tokens
    if asked is None:
        return min(DEFAULT_MAX_TOKENS, most or DEFAULT_MAX_TOKENS)
    if most is not None and asked > most:
        notes.add("max_tokens_capped")
        return most
    return asked


def _turns(body: dict[str, Any], notes: Notes) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the blocks of the system prompt, and the turns, which alternate: OpenAI's chats need not."""
    system: list[dict[str, Any]] = []
    turns: list[dict[str, Any]] = []
    for place, message in enumerate(wanted(body, "messages", list, "")):
        where = f"messages[{place}]"
        role = wanted(message, "role", str, where)
        blocks = _blocks(message, role, where, notes)
        if blocks and isinstance(message.get("cache_control"), dict):
            blocks[-1]["cache_control"] = message["cache_control"]
        if role in ("system", "developer"):
            if blocks and turns:
                notes.add("system_moved")  # to the beginning, as Anthropic's own compatibility layer does
            system += blocks
        elif not blocks:
            continue  # Anthropic refuses messages that say nothing
        elif turns and turns[-1]["role"] == _ROLES[role]:
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": _ROLES[role], "content": blocks})
    return system, turns


_ROLES = {"user": "user", "assistant": "assistant", "tool": "user"}
_KEYS = frozenset({"role", "content", "cache_control", "refusal", "tool_calls", "tool_call_id", "audio"})


def _blocks(message: dict[str, Any], role: str, where: str, notes: Notes) -> list[dict[str, Any]]:
    notes.unknown(message, _KEYS)
    if role == "function" or message.get("function_call") is not None:
        raise refused(f"{where}.role", "this older form is not understood", "Use `tools`.")
    if message.get("audio") is not None:
        raise refused(f"{where}.audio", "Anthropic's models take no sound")
    if role not in _ROLES and role not in ("system", "developer"):
        raise refused(f"{where}.role", "nobody speaks in this role")
    blocks = _content(message.get("content"), f"{where}.content", notes)
    if role == "tool":
        answers = _id(wanted(message, "tool_call_id", str, where))
        said: dict[str, Any] = {"type": "tool_result", "tool_use_id": answers}
        return [{**said, "content": blocks} if blocks else said]
    if role == "assistant":
        blocks += _text(message.get("refusal"))
        calls = message.get("tool_calls") or []
        blocks += [_tool_use(call, f"{where}.tool_calls[{i}]", notes) for i, call in enumerate(calls)]
    return blocks


def _content(content: Any, where: str, notes: Notes) -> list[dict[str, Any]]:
    if content is None or isinstance(content, str):
        return _text(content)
    if not isinstance(content, list):
        raise refused(where, "expected a text or a list of parts")
    blocks: list[dict[str, Any]] = []
    for place, part in enumerate(content):
        made = _part(part, f"{where}[{place}]", notes)
        if made and isinstance(part.get("cache_control"), dict):
            made[-1]["cache_control"] = part["cache_control"]
        blocks += made
    return blocks


def _part(part: Any, where: str, notes: Notes) -> list[dict[str, Any]]:
    match wanted(part, "type", str, where):
        case "text" | "refusal" as kind:
            return _text(wanted(part, kind, str, where))
        case "image_url":
            image = part.get("image_url")
            image = {"url": image} if isinstance(image, str) else wanted(part, "image_url", dict, where)
            if image.get("detail") not in (None, "auto"):
                notes.ignored("detail")
            return [{"type": "image", "source": _source(wanted(image, "url", str, f"{where}.image_url"), where)}]
        case "file":
            file = wanted(part, "file", dict, where)
            source = _source(wanted(file, "file_data", str, f"{where}.file"), where)
            if source.get("media_type") != "application/pdf":
                raise refused(f"{where}.file.file_data", "of files, Anthropic's models take PDF only")
            title = file.get("filename")
            return [{"type": "document", "source": source, **({"title": title} if title else {})}]
        case kind:
            raise refused(f"{where}.type", f"Anthropic's models take no {kind[:40]!r}")


def _text(text: Any) -> list[dict[str, Any]]:
    # Anthropic refuses blocks without a visible character
    return [{"type": "text", "text": text}] if isinstance(text, str) and text.strip() else []


def _source(url: str, where: str) -> dict[str, Any]:
    if url.startswith("https://"):
        return {"type": "url", "url": url}
    head, comma, data = url.partition(",")
    kind, *options = head.removeprefix("data:").split(";")
    if not (head.startswith("data:") and comma and "base64" in options and "/" in kind):
        raise refused(where, "expected an https: address, or a data: URL in base64")
    return {"type": "base64", "media_type": kind, "data": data}


def _tool_use(call: Any, where: str, notes: Notes) -> dict[str, Any]:
    written = wanted(wanted(call, "function", dict, where), "arguments", str, f"{where}.function")
    given, is_object = as_object(written)
    if not is_object:
        notes.add("tool_arguments_wrapped")
    return {"type": "tool_use", "id": _id(wanted(call, "id", str, where)), "name": name_of(call), "input": given}


def _id(given: str) -> str:
    """Return a call's id in the letters that Anthropic takes; other servers' ids have dots and colons."""
    return _NOT_IN_IDS.sub("_", given) or "_"


def _add_tools(sent: dict[str, Any], body: dict[str, Any], able: Abilities, notes: Notes) -> None:
    functions = functions_of(body, _LABEL)
    choice = body.get("tool_choice")
    if not functions:
        if choice not in (None, "auto", "none"):
            raise refused("tool_choice", "there are no `tools` to choose from")
        return
    sent["tools"] = []
    for tool, function in zip(body["tools"], functions, strict=True):
        notes.unknown(function, ("name", "description", "parameters", "strict", "cache_control"))
        if function.get("parameters") is not None:
            wanted(function, "parameters", dict, "tools.function")
        schema = {"type": "object", **(function.get("parameters") or {"properties": {}})}
        made = {"name": function["name"], "input_schema": schema}
        if function.get("description"):
            made["description"] = function["description"]
        if function.get("strict") and able.has_structured_outputs:
            made |= {"strict": True, "input_schema": _simplified(schema, notes)}
        elif function.get("strict"):
            notes.ignored("strict")
        if marked := tool.get("cache_control") or function.get("cache_control"):
            made["cache_control"] = marked
        sent["tools"].append(made)
    made = _tool_choice(choice)
    if body.get("parallel_tool_calls") is False and made.get("type") != "none":
        made = {"type": "auto", **made, "disable_parallel_tool_use": True}
    if made:
        sent["tool_choice"] = made


def _tool_choice(choice: Any) -> dict[str, Any]:
    match choice:
        case None:
            return {}
        case "auto" | "none":
            return {"type": choice}
        case "required":
            return {"type": "any"}
        case {"type": "function", "function": {"name": str(name)}}:
            return {"type": "tool", "name": name}
    raise refused("tool_choice", "expected auto, none, required or one function")


def _add_format(
    sent: dict[str, Any], system: list[dict[str, Any]], body: dict[str, Any], able: Abilities, notes: Notes
) -> None:
    schema = schema_of(body)
    if schema is None:
        return
    if schema and able.has_structured_outputs:
        sent["output_config"] = {"format": {"type": "json_schema", "schema": _simplified(schema, notes)}}
        return
    words = "Answer with one JSON object and nothing else: no explanation, no code fence."
    if schema:
        words += " It must fit this JSON schema:\n" + msgspec.json.encode(schema).decode()
    system += _text(words)
    notes.add("response_format_by_prompt")  # Anthropic has no JSON without a schema


def _simplified(schema: Any, notes: Notes) -> Any:
    """Return a schema in the words that structured outputs know; others go into its description."""
    if not isinstance(schema, dict):
        return schema
    made: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for word, value in schema.items():
        if (
            word in _SCHEMA_WORDS
            or (word, value) in (("minItems", 0), ("minItems", 1))
            or (word == "format" and value in _FORMATS)
        ):
            made[word] = value
        elif word in ("properties", "$defs", "definitions") and isinstance(value, dict):
            made[word] = {name: _simplified(inner, notes) for name, inner in value.items()}
        elif word in ("anyOf", "allOf", "oneOf") and isinstance(value, list):
            made["anyOf" if word == "oneOf" else word] = [_simplified(inner, notes) for inner in value]
        elif word == "items":
            made[word] = _simplified(value, notes)
        elif not (word == "additionalProperties" and value is False):
            others[word] = value
    kind = schema.get("type")
    if kind == "object" or (isinstance(kind, list) and "object" in kind) or "properties" in schema:
        made["additionalProperties"] = False
    others.pop("$schema", None)
    if others:
        notes.add("schema_simplified")
        said = f"{schema['description']}\n" if schema.get("description") else ""
        made["description"] = said + "Also: " + msgspec.json.encode(others).decode()
    return made


def _add_thinking(sent: dict[str, Any], body: dict[str, Any], offer: Offer, able: Abilities, notes: Notes) -> None:
    """Turn the effort that the caller wants into what the model takes: an effort, adaptive thinking, or a budget.

    ``thinking`` in Anthropic's own words is passed on as it is, as in Anthropic's own compatibility layer.
    """
    if body.get("thinking") is not None:
        sent["thinking"] = wanted(body, "thinking", dict, "")
    effort = body.get("reasoning_effort")
    if effort is None:
        return
    if effort == "none":
        if "disabled" in able.thinking:
            sent.setdefault("thinking", {"type": "disabled"})
        elif able.thinking:
            notes.ignored("reasoning_effort")
        return
    asked = "low" if effort == "minimal" else effort
    if asked not in _EFFORTS:
        raise refused("reasoning_effort", "expected none, minimal, low, medium, high, xhigh or max")
    fitting = [level for level in _EFFORTS[: _EFFORTS.index(asked) + 1] if level in able.efforts]
    if fitting:
        sent.setdefault("output_config", {})["effort"] = fitting[-1]
    if fitting and fitting[-1] != asked:
        notes.add("reasoning_effort_lowered")
    is_forced = sent.get("tool_choice", {}).get("type") in ("any", "tool")  # goes with no thinking
    if "thinking" in sent:
        pass
    elif "adaptive" in able.thinking and not is_forced:
        sent["thinking"] = {"type": "adaptive"}
    elif "enabled" in able.thinking and not is_forced and (budget := _budget(sent, body, offer, effort)):
        sent["thinking"] = {"type": "enabled", "budget_tokens": budget}
    if not fitting and "thinking" not in sent:
        notes.ignored("reasoning_effort")


def _budget(sent: dict[str, Any], body: dict[str, Any], offer: Offer, effort: str) -> int | None:
    """Return how many tokens may go into thinking, and make room for them where the caller set no limit.

    None where there is no room, and amid tools: with a budget a model then wants its own thinking back, signed, which
    OpenAI's dialect has no place for.
    """
    if any(block["type"] == "tool_result" for turn in sent["messages"][-1:] for block in turn["content"]):
        return None
    budget = _BUDGETS[effort]
    if max_tokens(body) is None:
        most = offer.max_output_tokens or budget + sent["max_tokens"]
        sent["max_tokens"] = min(budget + sent["max_tokens"], most)
    budget = min(budget, sent["max_tokens"] // 2)  # the limit holds both: half at least is for the answer
    return budget if budget >= _MIN_BUDGET else None


def _add_sampling(sent: dict[str, Any], body: dict[str, Any], able: Abilities, notes: Notes) -> None:
    """Add temperature, top_p and top_k where the model takes them; 1 is Anthropic's default and need not be sent."""
    thinks = sent.get("thinking", {}).get("type") in ("adaptive", "enabled")
    temperature, top_p, top_k = body.get("temperature"), body.get("top_p"), body.get("top_k")
    if temperature is not None and temperature > 1:
        notes.add("temperature_clamped")  # OpenAI's goes to 2
        temperature = 1
    if temperature not in (None, 1):
        if able.may_sample and not thinks:
            sent["temperature"] = temperature
        else:
            notes.ignored("temperature")
    if top_p not in (None, 1):
        is_second = "temperature" in sent and not able.may_sample_twice
        if able.may_sample and not is_second and (not thinks or top_p >= 0.95):
            sent["top_p"] = top_p
        else:
            notes.ignored("top_p")
    if top_k is not None:
        if able.may_sample and not thinks:
            sent["top_k"] = top_k
        else:
            notes.ignored("top_k")
