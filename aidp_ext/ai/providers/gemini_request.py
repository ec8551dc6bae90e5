"""OpenAI's chat request as Gemini's ``generateContent``. Sources: see :mod:`aidp_ext.ai.providers.gemini`."""

from __future__ import annotations

import re
from typing import Any

from aidp_ext.ai.providers import openai_dialect as openai
from aidp_ext.core.errors import InvalidRequest

Body = dict[str, Any]

SERVER = "Gemini"
# What changes the answer's form or meaning, and has no counterpart: refused.
_REFUSED = ("audio", "functions", "function_call", "web_search_options")
_HONOURED = {
    *("tools", "tool_choice", "response_format", "stop", "max_tokens", "max_completion_tokens", "logprobs"),
    *("top_logprobs", "reasoning_effort"),
}
_HARMLESS = (("modalities", ["text"]), ("service_tier", "auto"))
_SAME = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "seed": "seed",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
    "n": "candidateCount",
}
# For histories that another model made: Google's documented stand-in for the signature of a first call.
_NO_SIGNATURE = "skip_thought_signature_validator"
_LEVELS = {"none": "MINIMAL", "minimal": "MINIMAL", "low": "LOW", "medium": "MEDIUM", "high": "HIGH", "xhigh": "HIGH"}
# Tokens to think with, for the models before 3, from Google's table in /gemini-api/docs/openai.
_BUDGETS = {"none": 0, "minimal": 1024, "low": 1024, "medium": 8192, "high": 24576, "xhigh": 24576}
_LEAST_BUDGET_OF_PRO = 128
_SCHEMA_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_SCHEMA_MAPS = ("properties", "$defs", "definitions")


def content_request(body: Body, model: str, thinks: bool | None) -> tuple[Body, tuple[str, ...]]:
    """Return the request for Gemini, and notes of what it ignores.

    ``thinks`` is what the list of models says about thinking. Raises InvalidRequest where Gemini cannot be asked this.
    """
    for name in _REFUSED:
        if body.get(name):
            raise InvalidRequest(f"`{name}`: {SERVER} cannot be asked for it here.", field=name)
    if "audio" in (body.get("modalities") or ()):
        raise InvalidRequest("`modalities`: only text can be had.", field="modalities")
    notes = openai.ignored(body, {*_HONOURED, *_SAME}, _HARMLESS)
    system, contents = _contents(body["messages"], model)
    sent: Body = {"contents": contents}
    if system:
        sent["systemInstruction"] = {"parts": system}
    functions = openai.functions_of(body, SERVER)
    if functions:
        sent["tools"] = [{"functionDeclarations": [_declaration(function) for function in functions]}]
        if (choice := _tool_config(body.get("tool_choice"))) is not None:
            sent["toolConfig"] = {"functionCallingConfig": choice}
    config, more = _generation_config(body, model, thinks)
    if config:
        sent["generationConfig"] = config
    return sent, notes + more


def _generation_config(body: Body, model: str, thinks: bool | None) -> tuple[Body, tuple[str, ...]]:
    config = {theirs: body[ours] for ours, theirs in _SAME.items() if body.get(ours) is not None}
    if config.get("candidateCount") == 1:
        del config["candidateCount"]
    if stops := openai.stops(body):
        config["stopSequences"] = stops
    if (most := openai.max_tokens(body)) is not None:
        config["maxOutputTokens"] = most
    if body.get("logprobs"):
        config["responseLogprobs"] = True
        if body.get("top_logprobs"):
            config["logprobs"] = body["top_logprobs"]
    schema = openai.schema_of(body)
    if schema is not None:
        config["responseMimeType"] = "application/json"
        if schema:
            config["responseJsonSchema"] = _schema(schema)
    thinking, notes = _thinking(body.get("reasoning_effort"), model, thinks)
    if thinking:
        config["thinkingConfig"] = thinking
    return config, notes


def _thinking(effort: Any, model: str, thinks: bool | None) -> tuple[Body, tuple[str, ...]]:
    """Return how much the model is to think, and a note where it cannot be told."""
    if effort is None:
        return {}, ()
    if effort not in _LEVELS:
        raise InvalidRequest(f"`reasoning_effort`: expected one of {', '.join(_LEVELS)}.", field="reasoning_effort")
    version = _version(model)
    if not (version >= 2.5 if thinks is None else thinks):  # setting it would be an error
        return {}, () if effort == "none" else ("reasoning_effort_ignored",)
    if version < 3:
        if effort == "none" and "pro" in model:  # cannot stop thinking: as little as may be
            return {"thinkingBudget": _LEAST_BUDGET_OF_PRO}, ("reasoning_effort_ignored",)
        return {"thinkingBudget": _BUDGETS[effort]}, ()
    level = _LEVELS[effort]
    if level == "MINIMAL" and "pro" in model:  # knows nothing below LOW
        level = "LOW"
    return {"thinkingLevel": level}, ("reasoning_effort_ignored",) if effort == "none" else ()


def _version(model: str) -> float:
    """Return a model's version; names without one (``gemini-flash-latest``) stand for the newest."""
    match = re.match(r"gemini-(\d+(?:\.\d+)?)", model)
    return float(match[1]) if match else 0.0 if model.startswith("gemma") else float("inf")


# --- messages ---


def _contents(messages: list[dict[str, Any]], model: str) -> tuple[list[Body], list[Body]]:
    """Return the parts of the system instruction, and the contents: turns of the user and the model by turns."""
    names = openai.tool_names(messages)
    system: list[Body] = []
    contents: list[Body] = []
    for message in messages:
        role = message["role"]
        if role in ("system", "developer"):
            system += _text_parts(openai.text_of(message.get("content")))
            continue
        if role == "assistant":
            ours, parts = "model", _answer_parts(message, needs_signature=_version(model) >= 3)
        elif role in ("tool", "function"):
            ours, parts = "user", [_result(message, names)]
        else:
            ours, parts = "user", _user_parts(message.get("content"))
        if not parts:
            continue
        if contents and contents[-1]["role"] == ours:  # results of one turn's calls have to stand together
            contents[-1]["parts"] += parts
        else:
            contents.append({"role": ours, "parts": parts})
    if system and (not contents or model.startswith(("gemma-2", "gemma-3"))):
        # An instruction alone is no question, and these models take none.
        if contents and contents[0]["role"] == "user":
            contents[0]["parts"][:0] = system
        else:
            contents.insert(0, {"role": "user", "parts": system})
        system = []
    if not contents:
        raise InvalidRequest("`messages`: none of them says anything.", field="messages")
    return system, contents


def _text_parts(text: str) -> list[Body]:
    return [{"text": text}] if text else []  # Gemini refuses empty ones


def _user_parts(content: Any) -> list[Body]:
    if content is None or isinstance(content, str):
        return _text_parts(content or "")
    return [made for part in content for made in _user_part(part)]


def _user_part(part: dict[str, Any]) -> list[Body]:
    kind = part.get("type")
    if kind == "text" and isinstance(part.get("text"), str):
        return _text_parts(part["text"])
    if kind == "image_url":
        return [_inline(*openai.image_of(part, SERVER))]
    if kind == "input_audio" and isinstance(audio := part.get("input_audio"), dict):
        return [_inline(f"audio/{audio.get('format')}", audio.get("data"))]
    if kind == "file" and isinstance(file := part.get("file"), dict):
        return [_inline(*openai.data_of(file.get("file_data"), SERVER, "file_data"))]
    raise InvalidRequest(f"`messages`: {SERVER} takes no part of the type {str(kind)[:40]!r}.", field="messages")


def _inline(kind: str, data: Any) -> Body:
    return {"inlineData": {"mimeType": kind, "data": data}}


def _answer_parts(message: dict[str, Any], *, needs_signature: bool) -> list[Body]:
    parts = _text_parts(openai.text_of(message.get("content")))
    for place, call in enumerate(message.get("tool_calls") or ()):
        made: Body = {"name": openai.name_of(call), "args": openai.arguments_of(call)}
        if call.get("id"):
            made["id"] = call["id"]
        part: Body = {"functionCall": made}
        signature = _signature(call) or (_NO_SIGNATURE if needs_signature and place == 0 else None)
        if signature:
            part["thoughtSignature"] = signature
        parts.append(part)
    return parts


def _signature(call: dict[str, Any]) -> str | None:
    extra = call.get("extra_content")
    google = extra.get("google") if isinstance(extra, dict) else None
    signature = google.get("thought_signature") if isinstance(google, dict) else None
    return signature if isinstance(signature, str) else None


def _result(message: dict[str, Any], names: dict[str, str]) -> Body:
    given_id = message.get("tool_call_id")
    name = message.get("name") or names.get(str(given_id))
    if not name:
        raise InvalidRequest("`tool_call_id`: no call of this id comes before its result.", field="messages")
    made = {"name": name, "response": {"output": openai.text_of(message.get("content"))}}
    return {"functionResponse": {**made, "id": given_id} if given_id else made}


# --- tools and schemas ---


def _declaration(function: dict[str, Any]) -> Body:
    made: Body = {"name": function["name"]}
    if function.get("description"):
        made["description"] = function["description"]
    if function.get("parameters"):
        made["parametersJsonSchema"] = _schema(function["parameters"])
    return made


def _tool_config(choice: Any) -> Body | None:
    """Return OpenAI's ``tool_choice`` as a mode, and the names that it is bound to."""
    match choice:
        case None | "auto":
            return None
        case "none":
            return {"mode": "NONE"}
        case "required":
            return {"mode": "ANY"}
        case {"type": "function", "function": {"name": str(name)}}:
            return {"mode": "ANY", "allowedFunctionNames": [name]}
        case {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": [*tools]}}:
            names = [openai.name_of(tool) for tool in tools]
            return {"mode": "ANY" if mode == "required" else "VALIDATED", "allowedFunctionNames": names}
    raise InvalidRequest("`tool_choice`: expected none, auto, required or one function.", field="tool_choice")


def _schema(schema: Any) -> Any:
    """Return a JSON schema with what Gemini does not know put in words that it knows.

    It takes JSON Schema and ignores further keywords; ``const`` and a lone ``allOf`` carry too much to be ignored.
    """
    if not isinstance(schema, dict):
        return schema
    made: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "$schema":
            continue
        if key == "const":
            made["enum"] = [value]
        elif key == "allOf" and isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
            made |= _schema(value[0])
        elif key in _SCHEMA_MAPS and isinstance(value, dict):
            made[key] = {name: _schema(one) for name, one in value.items()}
        elif key in _SCHEMA_LISTS and isinstance(value, list):
            made[key] = [_schema(one) for one in value]
        elif key in ("items", "additionalProperties"):
            made[key] = _schema(value)
        else:
            made[key] = value
    return made
