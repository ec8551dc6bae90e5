"""What is left out of MLflow's answers: lists are of everybody's, and each caller gets their own part of them."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from msgspec import Struct

from aidp_ext.core.errors import UpstreamInvalid
from aidp_ext.experiments.models import Caller
from aidp_ext.experiments.team.fields import Fields, answer_of
from aidp_ext.experiments.team.judge import Judge

_MOST_PAGES = 50
_PAGE = "page_token"


class Listing(Struct, frozen=True):
    """A list in an answer: its field, the field of what stands in it that rights go by, and its usual length."""

    field: str
    by: str
    is_model: bool
    usual: int


_LISTINGS: Mapping[str, Listing] = {
    "experiments": Listing("experiments", "experiment_id", False, 1000),
    "models": Listing("registered_models", "name", True, 100),
    "versions": Listing("model_versions", "name", True, 10_000),
}


class Answers:
    """Filters by the names that the table has for them."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge

    def filter(
        self, name: str, caller: Caller, target: str, asked: Fields | None, query: Mapping[str, list[str]]
    ) -> Callable[[int, bytes], Awaitable[tuple[int, bytes]]]:
        """Return what is done with an answer. ``asked`` is the body, None where the query asks."""

        async def listed(status: int, raw: bytes) -> tuple[int, bytes]:
            if status != HTTPStatus.OK:
                return status, raw
            return status, await self._list(_LISTINGS[name], caller, target, asked, query, raw)

        async def by_name(status: int, raw: bytes) -> tuple[int, bytes]:
            if status != HTTPStatus.OK:
                return status, raw
            found = _read(raw).get("experiment")
            id_ = found.get("experiment_id") if isinstance(found, dict) else None
            if isinstance(id_, str) and await self._judge.permissions.may(caller, id_, "read"):
                return status, raw
            name = query.get("experiment_name", [""])[0]
            said = {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": f"No Experiment with name={name} exists"}
            return HTTPStatus.NOT_FOUND, json.dumps(said).encode()

        return by_name if name == "experiment_by_name" else listed

    async def _list(
        self,
        listing: Listing,
        caller: Caller,
        target: str,
        asked: Fields | None,
        query: Mapping[str, list[str]],
        raw: bytes,
    ) -> bytes:
        """Return the caller's part of a list, filled up from the pages that follow: else it could look empty."""
        permissions = self._judge.permissions
        visible = await (permissions.visible_models(caller) if listing.is_model else permissions.visible(caller))
        if visible is None:
            return raw
        page = _read(raw)
        found = _visible(page, listing, visible)
        wanted = _wanted(asked, query, listing.usual)
        for _ in range(_MOST_PAGES):
            token = page.get("next_page_token")
            if not token or len(found) >= wanted:
                break
            page = await self._next(target, asked, query, token)
            found += _visible(page, listing, visible)
        # A page more than was asked for is no harm, and one cut off could not be had again by MLflow's own token.
        return json.dumps({**page, listing.field: found}).encode()

    async def _next(
        self, target: str, asked: Fields | None, query: Mapping[str, list[str]], token: Any
    ) -> dict[str, Any]:
        if asked is not None:
            page = await self._judge.lookup.ask(target, {**asked, _PAGE: token})
        else:
            pairs = [(name, value) for name, values in query.items() if name != _PAGE for value in values]
            page = await self._judge.lookup.ask(f"{target}?{urlencode([*pairs, (_PAGE, token)])}")
        return page or {}


def _visible(page: Mapping[str, Any], listing: Listing, visible: frozenset[str]) -> list[Any]:
    rows = page.get(listing.field) or []
    return [row for row in rows if isinstance(row, dict) and row.get(listing.by) in visible]


def _wanted(asked: Fields | None, query: Mapping[str, list[str]], usual: int) -> int:
    given = asked.get("max_results") if asked is not None else next(iter(query.get("max_results", ())), None)
    try:
        return min(int(given), usual) if given is not None else usual
    except (TypeError, ValueError):
        return usual


def _read(raw: bytes) -> dict[str, Any]:
    found = answer_of(raw)
    if found is None:
        raise UpstreamInvalid("MLflow's answer cannot be read.", provider="MLflow")
    return found
