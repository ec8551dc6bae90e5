"""MLflow's search syntax: what is asked of runs, and in which order they are wanted.

Whatever MLflow takes is taken and means the same. Some things that it refuses are taken too: IN for every text, IS NULL
for metrics, names with dashes and slashes that are not quoted, and two attributes of ours, ``duration`` in milliseconds
and ``diverged`` as 'true' or 'false'.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, NoReturn

from aidp_ext.core.errors import InvalidRequest

Entity = Literal["metric", "param", "tag", "attribute", "dataset"]

_ENTITIES: dict[str, Entity] = {
    **dict.fromkeys(("metric", "metrics"), "metric"),
    **dict.fromkeys(("param", "params", "parameter", "parameters"), "param"),
    **dict.fromkeys(("tag", "tags"), "tag"),
    **dict.fromkeys(("attribute", "attributes", "attr", "run"), "attribute"),
    **dict.fromkeys(("dataset", "datasets"), "dataset"),
}
_ALIASES = {"created": "start_time", "Created": "start_time"} | dict.fromkeys(
    ("run name", "Run name", "Run Name"), "run_name"
)
_NUMBERS = ("start_time", "end_time", "duration")
_TEXTS = ("run_id", "run_name", "user_id", "status", "artifact_uri", "diverged")
_DATASET = ("name", "digest", "context")
_COMPARISONS = ("=", "!=", "<", "<=", ">", ">=")
_TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<op><=|>=|!=|<>|==|=|<|>)
    |(?P<punct>[(),])
    |(?P<number>[+-]?(?:\d+\.\d*|\.\d+|\d+)(?:[eE][+-]?\d+)?(?![\w.`"/-]))
    |(?P<string>'(?:''|\\'|[^'])*')
    |(?P<name>(?:[^\s=<>!'"`(),]+|`[^`]*`|"(?:""|\\"|[^"])*")+)""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class Identifier:
    """What a condition or an order is about."""

    entity: Entity
    key: str

    @property
    def is_number(self) -> bool:
        """Whether it is compared as a number."""
        return self.entity == "metric" or (self.entity == "attribute" and self.key in _NUMBERS)


@dataclass(frozen=True)
class Condition:
    """One condition; all of them have to hold."""

    about: Identifier
    op: str  # = != < <= > >= LIKE ILIKE IN "NOT IN" "IS NULL" "IS NOT NULL"
    value: float | int | str | tuple[str, ...] | None


@dataclass(frozen=True)
class Order:
    """By what runs are put in order."""

    by: Identifier
    descending: bool


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    at: int

    @property
    def word(self) -> str:
        return self.text.upper() if self.kind == "name" else ""


def parse_filter(text: str) -> tuple[Condition, ...]:
    """Return the conditions of a filter. Raises InvalidRequest with the place in ``details["position"]``."""
    return _Parser(text, "filter").conditions() if text.strip() else ()


def parse_order(texts: list[str]) -> tuple[Order, ...]:
    """Return the orders. Raises InvalidRequest."""
    found: list[Order] = []
    for text in texts:
        order = _Parser(text, "order_by").order()
        if order.by in (one.by for one in found):
            raise InvalidRequest(f"The order names {text[:60]} twice.", field="order_by", position=0)
        found.append(order)
    return tuple(found)


class _Parser:
    def __init__(self, text: str, field: str) -> None:
        self._text = text
        self._field = field
        self._tokens = self._read()
        self._next = 0

    def _read(self) -> list[_Token]:
        found, at = [], 0
        while at < len(self._text):
            match = _TOKEN.match(self._text, at)
            if match is None:
                self._fail(f"{self._text[at]!r} does not belong here, or a quote is not closed", at)
            assert match.lastgroup is not None
            if match.lastgroup != "space":
                found.append(_Token(match.lastgroup, match[0], at))
            at = match.end()
        return found

    def _fail(self, words: str, at: int | None = None) -> NoReturn:
        where = len(self._text) if at is None else at
        what = "filter" if self._field == "filter" else "order"
        raise InvalidRequest(f"The {what} is not understood: {words}.", field=self._field, position=where)

    def _peek(self) -> _Token | None:
        return self._tokens[self._next] if self._next < len(self._tokens) else None

    def _take(self, words: str) -> _Token:
        token = self._peek()
        if token is None:
            self._fail(f"{words} is missing at the end")
        self._next += 1
        return token

    # ---- a filter

    def conditions(self) -> tuple[Condition, ...]:
        found = [self._condition()]
        while (token := self._peek()) is not None:
            if token.word == "OR":
                self._fail("conditions can only be joined by AND", token.at)
            if token.word != "AND":
                self._fail(f"AND is missing before {token.text[:40]}", token.at)
            self._next += 1
            found.append(self._condition())
        return tuple(found)

    def _condition(self) -> Condition:
        about, at = self._identifier()
        token = self._take("a comparison such as = or LIKE")
        op = token.text if token.kind == "op" else token.word
        if op == "NOT":
            self._word("IN")
            op = "NOT IN"
        elif op == "IS":
            op = self._null()
            if about.entity not in ("tag", "param", "metric"):
                self._fail("IS NULL is for metrics, parameters and tags", at)
            return Condition(about, op, None)
        self._check_op(about, op, token)
        return Condition(about, op, self._list() if op.endswith("IN") else self._value(about))

    def _null(self) -> str:
        token = self._take("NULL")
        if token.word == "NOT":
            self._word("NULL")
            return "IS NOT NULL"
        if token.word != "NULL":
            self._fail("IS is followed by NULL or NOT NULL", token.at)
        return "IS NULL"

    def _word(self, word: str) -> None:
        token = self._take(word)
        if token.word != word:
            self._fail(f"{word} is missing before {token.text[:40]}", token.at)

    def _check_op(self, about: Identifier, op: str, token: _Token) -> None:
        allowed = _COMPARISONS if about.is_number else ("=", "!=", "LIKE", "ILIKE", "IN", "NOT IN")
        if op not in allowed:
            kind = "numbers" if about.is_number else "texts"
            self._fail(f"{token.text[:40]} does not compare {kind}; {', '.join(allowed)} do", token.at)

    def _value(self, about: Identifier) -> float | int | str:
        token = self._take("a value")
        if about.is_number:
            if token.kind != "number":
                self._fail(f"{about.key} is compared with a number, not with {token.text[:40]}", token.at)
            return float(token.text)
        return self._string(token)

    def _string(self, token: _Token) -> str:
        quoted = token.kind == "string" or (token.kind == "name" and re.fullmatch(r'"(?:""|\\"|[^"])*"', token.text))
        if not quoted:
            self._fail(f"a text stands in quotes: '{token.text[:40]}'", token.at)
        return token.text[1:-1]

    def _list(self) -> tuple[str, ...]:
        self._punct("(")
        found = [self._string(self._take("a text"))]
        while True:
            token = self._take(")")
            if token.text == ")":
                return tuple(found)
            if token.text != ",":
                self._fail("texts are separated by commas", token.at)
            found.append(self._string(self._take("a text")))

    def _punct(self, sign: str) -> None:
        token = self._take(sign)
        if token.text != sign:
            self._fail(f"{sign} is missing before {token.text[:40]}", token.at)

    # ---- what it is about

    def _identifier(self) -> tuple[Identifier, int]:
        token = self._take("a name such as metrics.loss")
        if token.kind != "name":
            self._fail(f"a name such as metrics.loss belongs here, not {token.text[:40]}", token.at)
        entity, dot, key = token.text.partition(".")
        if not dot:
            entity, key = "attribute", token.text
        known = _ENTITIES.get(_bare(entity, "`"))
        if known is None:
            self._fail(f"{entity[:40]} is none of metrics, params, tags, attributes and datasets", token.at)
        key = _bare(_bare(_bare(key, '"'), "'"), "`")
        if known == "attribute":
            key = _ALIASES.get(key, key)
            if key not in (*_NUMBERS, *_TEXTS):
                self._fail(f"there is no attribute {key[:40]}; {', '.join((*_TEXTS, *_NUMBERS))} are", token.at)
        if known == "dataset" and key not in _DATASET:
            self._fail(f"a data set has no {key[:40]}; it has {', '.join(_DATASET)}", token.at)
        if not key:
            self._fail(f"the name after {entity}. is missing", token.at)
        return Identifier(known, key), token.at

    # ---- an order

    def order(self) -> Order:
        by, at = self._identifier()
        if by.entity == "dataset":
            self._fail("runs cannot be put in order by data sets", at)
        token = self._peek()
        if token is None:
            return Order(by, descending=False)
        if token.word not in ("ASC", "DESC"):
            self._fail(f"ASC or DESC belongs here, not {token.text[:40]}", token.at)
        self._next += 1
        if (more := self._peek()) is not None:
            self._fail(f"{more.text[:40]} is too much", more.at)
        return Order(by, descending=token.word == "DESC")


def _bare(text: str, quote: str) -> str:
    return text[1:-1] if len(text) >= 2 and text[0] == text[-1] == quote else text
