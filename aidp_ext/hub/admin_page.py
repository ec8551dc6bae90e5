"""The admin's page as HTML, in the hub's own style."""

from __future__ import annotations

import functools
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from aidp_ext.hub import admin_views
from aidp_ext.hub.admin import Asked, HubOverview

if TYPE_CHECKING:
    from jinja2 import Environment

FOLDER = Path(__file__).parent / "page"

PARTS = {
    "users": "Users and servers",
    "servers": "The number of servers",
    "gpus": "GPUs",
    "spend": "Spending",
    "audit": "The audit record",
}
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


@dataclass(frozen=True)
class Html:
    """A page, and the Content-Security-Policy that it is sent with."""

    text: str
    policy: str


def page(found: HubOverview, asked: Asked, hub: str, who: str, xsrf: str, token: str) -> Html:
    """Return the page. ``hub`` is the hub's address, ``xsrf`` and ``token`` what its script sends with a change."""
    gpus = None if found.gpus is None else admin_views.gpus(found.gpus, found.at)
    spent = {} if found.spend is None else {one.name: one.cost_usd for one in found.spend.users}
    return _made(
        "admin.html",
        hub,
        found=found,
        gpus=gpus,
        holders={} if gpus is None else {(one["user"], one["server"]): one for one in gpus["devices"] if one["user"]},
        spent=spent,
        asked=asked,
        who=who,
        xsrf=xsrf,
        token=token,
        pages=_pages(found, asked),
        parts=PARTS,
    )


def refusal(hub: str, message: str, next_step: str | None) -> Html:
    """Return a page that says why there is no other."""
    return _made("refusal.html", hub, message=message, next_step=next_step)


@functools.cache
def file(name: str) -> str:
    """Return a file that the page loads."""
    return (FOLDER / name).read_text(encoding="utf-8")


def _made(template: str, hub: str, **values: Any) -> Html:
    nonce = secrets.token_urlsafe(16)
    # The hub's own files come from elsewhere where it has a domain for each user.
    host = urlsplit(hub)
    also = f" {host.scheme}://{host.netloc}" if host.netloc else ""
    policy = (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'self'{also}; img-src 'self' data:{also};"
        f" font-src 'self'{also}; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    return Html(_templates().get_template(template).render(hub=hub, nonce=nonce, **values), policy)


@functools.cache
def _templates() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    templates = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters.update(ago=ago, exactly=exactly, money=money, iso=_moment_or_none, number=number)
    return templates


def _pages(found: HubOverview, asked: Asked) -> Mapping[str, Any]:
    """Return which users are shown, and the queries of the pages before and after."""
    total = found.users.total if found.users is not None else 0
    shown = len(found.users.items) if found.users is not None else 0
    before = replace(asked, offset=max(0, asked.offset - asked.limit)) if asked.offset else None
    after = replace(asked, offset=asked.offset + asked.limit) if asked.offset + asked.limit < total else None
    return {
        "first": asked.offset + 1 if shown else 0,
        "last": asked.offset + shown,
        "total": total,
        "before": before and _query(before),
        "after": after and _query(after),
    }


def _query(asked: Asked) -> str:
    usual = Asked()
    given = {name: value for name, value in vars(asked).items() if value != getattr(usual, name)}
    return "?" + urlencode(given)


def _moment(value: str | datetime) -> datetime:
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _moment_or_none(value: str | datetime | None) -> str:
    return "" if value is None else _moment(value).isoformat(timespec="seconds")


def ago(value: str | datetime | None, at: datetime) -> str:
    """Return how long before ``at`` something was, or after it will be, in a few words."""
    if value is None:
        return "never"
    seconds = (at - _moment(value)).total_seconds()
    text = _span(abs(seconds))
    if text == "now":
        return text
    return f"{text} ago" if seconds > 0 else f"in {text}"


def _span(seconds: float) -> str:
    if seconds < _MINUTE:
        return "now"
    for unit, length in (("d", _DAY), ("h", _HOUR), ("min", _MINUTE)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    raise AssertionError("unreachable")


def exactly(value: str | datetime | None) -> str:
    """Return a moment in full, for a tooltip."""
    return "" if value is None else _moment(value).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def money(usd: float) -> str:
    """Return an amount with cents; with two digits more than zero where it is less."""
    if usd == 0 or usd >= 0.01:
        return f"${usd:,.2f}"
    return f"${usd:.2g}" if usd >= 0.0001 else "< $0.0001"


def number(value: int) -> str:
    """Return a whole number with its thousands apart."""
    return f"{value:,}"
