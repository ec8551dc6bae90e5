"""What of MLflow's own API passes for whom, where a team shares a tracking server.

A route passes where the table has it, and a call where its caller has the right to everything that it names. What
MLflow then gets is written anew from what was read here: it cannot understand a call otherwise than we did.
"""

from __future__ import annotations

from urllib.parse import quote

from aidp_ext.core.errors import Forbidden, InvalidRequest
from aidp_ext.experiments.proxy.gate import Asked, Passage
from aidp_ext.experiments.team.answers import Answers
from aidp_ext.experiments.team.fields import (
    Input,
    camel,
    check_id,
    many,
    many_of_query,
    one,
    one_of_query,
    read_body,
    read_query,
)
from aidp_ext.experiments.team.judge import Judge
from aidp_ext.experiments.team.paths import api_of
from aidp_ext.experiments.team.specials import Request, Specials
from aidp_ext.experiments.team.table import Need, Rule, find

_LONGEST_NAME = 1000


class NotAllowed(Forbidden):
    """A part of MLflow's API that a team's server does not offer."""

    code = "not_allowed"


class TeamGate:
    """The gate of a team's server."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._specials = Specials(judge)
        self._answers = Answers(judge)

    def reads_body(self, method: str, path: str) -> bool:
        """Return whether the whole body is to be read before :meth:`check`; else it is passed on as it comes."""
        try:
            rule, _, _ = _rule(method, path)
        except (NotAllowed, InvalidRequest):
            return False
        return rule.body in ("json", "bytes")

    async def check(self, asked: Asked, body: bytes) -> Passage:
        """Return how the call is passed on. Raises Forbidden, NotFound or InvalidRequest where it is not."""
        rule, path, captured = _rule(asked.method, asked.path)
        headers = {name.lower(): value for name, value in asked.headers.items()}
        given = Input(captured, read_query(asked.query), read_body(body) if rule.body == "json" else None)
        request = Request(asked.caller, asked.method, given, body, headers, {})
        self._check_shape(rule, request)
        for need in rule.needs:
            await self._need(request, need)
        answer = await self._specials.check(rule.special, request) if rule.special else None
        passed = self._passage(rule, request, path)
        if rule.answer:
            answer = self._answers.filter(rule.answer, asked.caller, path, given.body, given.query)
        return Passage(path=path, query=passed[0], body=passed[1], answer=answer, headers=request.added)

    @staticmethod
    def _check_shape(rule: Rule, request: Request) -> None:
        """A body that nobody looks at must not be read by MLflow either, nor a query beside a body."""
        if rule.body in ("json", "bytes") and request.headers.get("content-encoding"):
            raise InvalidRequest("The body must not be compressed.", field="content-encoding")
        if rule.body == "json":
            kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
            if request.raw.strip() and kind != "application/json":
                raise InvalidRequest("The body must be JSON, and say so.", field="content-type")

    async def _need(self, request: Request, need: Need) -> None:
        values = _values(request, need)
        if not values:
            raise InvalidRequest(f"`{need.field}` is missing.", field=need.field)
        for value in dict.fromkeys(values):
            if need.kind != "model":
                check_id(value, need.field)
            elif len(value) > _LONGEST_NAME:
                raise InvalidRequest(f"`{need.field}` is too long.", field=need.field)
            await self._judge.require(request.caller, need.kind, value, need.right)

    @staticmethod
    def _passage(rule: Rule, request: Request, path: str) -> tuple[str, bytes | None]:
        """Return the query and the body that MLflow gets; a body of None is passed on as it comes."""
        given = request.input
        if rule.body == "json":
            return "", given.body_bytes()
        if rule.body == "bytes":
            return "", request.raw
        return given.query_text(), None if rule.body == "stream" else b""


def _rule(method: str, raw: str) -> tuple[Rule, str, dict[str, str]]:
    """Return the rule for a call, its path written anew, and what the path names. Raises NotAllowed."""
    version, segments = api_of(raw)
    found = find(method, "/".join([version, *segments]) if version else "/" + "/".join(segments))
    if found is None:
        raise NotAllowed(
            f"A team's tracking server does not offer {method} {raw[:200]}.",
            next_step="Use MLflow's client, or its pages, for runs, models and traces.",
        )
    rule, captured = found
    head = raw.split("/", 3)[1:3] if version else []
    return rule, "/" + "/".join([*head, *(quote(part, safe="") for part in segments)]), captured


def _values(request: Request, need: Need) -> list[str]:
    """Return what a field holds: of the path, else of the body, else of the query."""
    given = request.input
    if need.field in given.captured:
        value = given.captured[need.field]
        if given.body is not None:  # the same there, under its one name: some of MLflow's handlers read it
            given.body.pop(camel(need.field), None)
            given.body[need.field] = value
        return [value]
    if given.body is not None:
        return many(given.body, need.field) if need.many else _some(one(given.body, need.field))
    if need.many:
        return many_of_query(given.query, need.field)
    return _some(one_of_query(given.query, need.field))


def _some(value: str) -> list[str]:
    return [value] if value else []
