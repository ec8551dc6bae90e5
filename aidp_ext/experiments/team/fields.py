"""What a request to MLflow's API says, read once and in one way, and written anew for MLflow.

MLflow's own parser takes a field under two names (``run_id`` and ``runId``), runs under a third (``run_uuid``), a query
or a body by the method, and the last of those given twice. Here each field that matters has one value or is refused,
and MLflow gets what was read, not what was sent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

import msgspec
from msgspec import Struct

from aidp_ext.core.errors import InvalidJson, InvalidRequest
from aidp_ext.experiments.team.paths import ID

Fields = dict[str, Any]

_MOST_IDS = 1000


class Input(Struct):
    """A request's fields. Specials change ``body``; it is written anew from there."""

    captured: Fields  # from the path
    query: dict[str, list[str]]
    body: Fields | None  # None: it has none, or it is passed on as it comes

    def query_text(self) -> str:
        """Return the query, written anew."""
        return urlencode([(name, value) for name, values in self.query.items() for value in values])

    def body_bytes(self) -> bytes | None:
        """Return the body, written anew."""
        return None if self.body is None else json.dumps(self.body, ensure_ascii=True).encode()


def read_query(raw: str) -> dict[str, list[str]]:
    """Return the query's parameters in their order. Raises InvalidRequest."""
    try:
        pairs = parse_qsl(raw, keep_blank_values=True, strict_parsing=bool(raw), errors="strict", max_num_fields=2000)
    except (ValueError, UnicodeDecodeError) as error:
        raise InvalidRequest("The query cannot be read.") from error
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return found


def read_body(raw: bytes) -> Fields:
    """Return the JSON object of a body; none is an empty one. Raises InvalidJson."""
    if not raw.strip():
        return {}
    try:
        # Python's own: MLflow's client sends numbers that are no JSON, such as NaN.
        found = json.loads(raw, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise InvalidJson("The body is not valid JSON, or says a field twice.") from error
    if not isinstance(found, dict):
        raise InvalidJson("The body is not a JSON object.")
    return found


def one(fields: Fields, name: str) -> str:
    """Return a text field of a JSON object by its one name, ``""`` where there is none, and leave it under that name.

    Raises InvalidRequest where it is given under two names with two values, or is no text.
    """
    value = _value(fields, name)
    if name == "run_id":
        older = _value(fields, "run_uuid")
        fields.pop("run_uuid", None)
        if older and value and older != value:
            raise InvalidRequest("`run_id` and `run_uuid` are not the same run.", field=name)
        value = value or older
    if value is None or value == "":
        fields.pop(name, None)
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise InvalidRequest(f"`{name}`: expected text.", field=name)
    fields[name] = value
    return value


def many(fields: Fields, name: str) -> list[str]:
    """Return a list of texts of a JSON object, empty where there is none, and leave it under its one name."""
    value = _value(fields, name)
    if value is None:
        return []
    if not isinstance(value, list) or len(value) > _MOST_IDS:
        raise InvalidRequest(f"`{name}`: expected a list of {_MOST_IDS} texts at most.", field=name)
    found = [str(item) if isinstance(item, int) and not isinstance(item, bool) else item for item in value]
    if not all(isinstance(item, str) for item in found):
        raise InvalidRequest(f"`{name}`: expected texts.", field=name)
    fields[name] = found
    return found


def objects(fields: Fields, name: str) -> list[Fields]:
    """Return a list of JSON objects, empty where there is none, and leave it under its one name."""
    value = _value(fields, name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise InvalidRequest(f"`{name}`: expected a list of objects.", field=name)
    fields[name] = value
    return value


def inner(fields: Fields, name: str) -> Fields:
    """Return a JSON object inside another, empty where there is none, and leave it under its one name."""
    value = _value(fields, name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidRequest(f"`{name}`: expected an object.", field=name)
    fields[name] = value
    return value


def one_of_query(query: dict[str, list[str]], name: str) -> str:
    """Return the one value of a parameter, ``""`` where there is none. Raises InvalidRequest for several."""
    values = _of_query(query, name)
    if name == "run_id":
        older = _of_query(query, "run_uuid")
        if older and values and older != values:
            raise InvalidRequest("`run_id` and `run_uuid` are not the same run.", field=name)
        values = values or older
    if len(values) > 1:
        raise InvalidRequest(f"`{name}` is given more than once.", field=name)
    return values[0] if values else ""


def many_of_query(query: dict[str, list[str]], name: str) -> list[str]:
    """Return all values of a parameter."""
    values = _of_query(query, name)
    if len(values) > _MOST_IDS:
        raise InvalidRequest(f"`{name}` is given more than {_MOST_IDS} times.", field=name)
    return values


def check_id(value: str, field: str) -> str:
    """Return an id as it is. Raises InvalidRequest for what can be none."""
    if not ID.fullmatch(value):
        raise InvalidRequest(f"`{field}` is no id.", field=field)
    return value


def camel(name: str) -> str:
    """Return a field's other name: ``runId`` for ``run_id``."""
    head, *tail = name.split("_")
    return head + "".join(part.capitalize() for part in tail)


def answer_of(raw: bytes) -> Fields | None:
    """Return a JSON object that MLflow answered with, None for anything else."""
    try:
        found = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _value(fields: Fields, name: str) -> Any:
    """Return a field by either name. Raises InvalidRequest where both are there."""
    other = camel(name)
    if other == name or other not in fields:
        return fields.get(name)
    if name in fields:
        raise InvalidRequest(f"`{name}` and `{other}` are one field; say it once.", field=name)
    fields[name] = fields.pop(other)
    return fields[name]


def _of_query(query: Mapping[str, list[str]], name: str) -> list[str]:
    if camel(name) != name and camel(name) in query:
        raise InvalidRequest(f"`{camel(name)}` is written `{name}` here.", field=name)
    return list(query.get(name, ()))


def _once(pairs: list[tuple[str, Any]]) -> Fields:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a field is there twice")
    return found
