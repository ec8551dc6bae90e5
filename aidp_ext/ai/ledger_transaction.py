"""What the ledger writes in one transaction, and how it decides who gets money."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from aidp_ext.ai.budgets import Limit, dollars, period_of, resets_at
from aidp_ext.ai.calls import LOST, Call, Reservation
from aidp_ext.ai.ledger_sql import (
    DELETED_AT_ONCE,
    MAX_NUMBER,
    KnownCall,
    Sql,
    as_number,
    as_text,
    draft_of,
    milliseconds,
    row_of,
)
from aidp_ext.core.errors import BudgetExhausted, StorageError

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import DBAPICursor

_Usage = dict[tuple[str, str, str, str, str], list[int]]
_COUNTS = 11


@dataclass
class Ask:
    """A reservation that somebody waits for. ``outcome`` is set when it is decided."""

    reservation: Reservation
    draft: Call
    limits: Sequence[Limit]
    at: datetime
    outcome: Reservation | BudgetExhausted | StorageError | None = None


@dataclass(frozen=True)
class Settlement:
    """A call that has ended."""

    call: Call
    nano: int  # what it cost
    saved: int  # the nano-dollars that it would have cost elsewhere
    reservation: Reservation | None

    @property
    def is_paid(self) -> bool:
        """True where money moves: something was spent, or held."""
        return bool(self.nano or (self.reservation is not None and self.reservation.id))


@dataclass(frozen=True)
class Feedback:
    """What became of a model's suggestions."""

    day: str
    user: str
    team: str
    route: str
    task: str
    accepted: int
    rejected: int


@dataclass
class Work:
    """What one transaction writes."""

    asks: list[Ask] = field(default_factory=list)
    settlements: list[Settlement] = field(default_factory=list)
    returned: list[Reservation] = field(default_factory=list)  # to be given back without a row
    feedback: list[Feedback] = field(default_factory=list)
    beating: list[str] = field(default_factory=list)  # reservations of this process that live on
    dropped: list[str] = field(default_factory=list)  # those that nobody here can settle any more
    looks: bool = False  # whether to look for reservations of the dead
    delete_before: datetime | None = None  # calls older than this


class Transaction:
    """What happens between BEGIN and COMMIT. Sums are collected, and written once."""

    def __init__(self, cursor: DBAPICursor, sql: Sql) -> None:
        self._cursor = cursor
        self._sql = sql
        self._sums: dict[str, list[int]] = {}  # by bucket: what is added to spent and to reserved
        self._usage: _Usage = {}

    def settle(self, settlements: Sequence[Settlement]) -> None:
        """Write the calls' rows, and turn what was reserved into what was spent.

        A call that is written already is left alone: its transaction was committed although its end was not heard. One
        that was given up as lost gets its true row.
        """
        if not settlements:
            return
        known = self._known([one.call.id for one in settlements])
        fresh: dict[str, Settlement] = {}
        for one in settlements:
            lost = known.get(one.call.id)
            if one.call.id in fresh or (lost is not None and lost.outcome != LOST):
                continue
            if lost is not None:
                self._forget(lost)
            fresh[one.call.id] = one
        if known:
            self._cursor.execute(self._sql.delete_calls, (self._sql.names([name for name in known if name in fresh]),))
        held = [one.reservation for one in fresh.values() if one.reservation is not None and one.reservation.id]
        self.give_back(held)
        rows = []
        for one in fresh.values():
            rows.append(row_of(one.call, one.nano, one.saved))
            self._count(one.call, one.nano, one.saved)
            if one.nano:
                source, call = one.reservation, one.call
                # Also where the money was not held: in the sums of the team, which may become known only now.
                keys = buckets_of(call.user, call.team, (), source.at if source is not None else call.at)
                for key in {*keys, *(source.buckets if source is not None else ())}:
                    self._sum(key)[0] += one.nano
        if rows:
            self._cursor.executemany(self._sql.insert_call, rows)

    def give_back(self, reservations: Sequence[Reservation]) -> None:
        """End reservations; those that are not there any more were given back before."""
        there = {name for name, *_ in self._reserved([one.id for one in reservations])}
        for one in reservations:
            if one.id in there:
                there.discard(one.id)
                for key in one.buckets:
                    self._sum(key)[1] -= one.nano

    def lose(self, names: Sequence[str]) -> None:
        """End the reservations of the dead, and write a row for each of their calls."""
        if not names:
            return
        lost = []
        for _, amount, buckets, draft in self._reserved(names):
            for key in msgspec.json.decode(buckets, type=list[str]):
                self._sum(key)[1] -= amount
            call = msgspec.json.decode(draft, type=Call)
            lost.append(replace(call, outcome=LOST, prompt_tokens=None, completion_tokens=None))
        known = self._known([call.id for call in lost])
        fresh = {call.id: call for call in lost if call.id not in known}
        for call in fresh.values():
            self._count(call, 0, 0)
        if fresh:
            self._cursor.executemany(self._sql.insert_call, [row_of(call, 0, 0) for call in fresh.values()])

    def add(self, feedback: Sequence[Feedback]) -> None:
        """Add what became of suggestions to the sums of the day."""
        for one in feedback:
            sums = self._usage_of(
                (one.day, as_text(one.user), as_text(one.team), as_text(one.route), as_text(one.task))
            )
            sums[9] += one.accepted
            sums[10] += one.rejected

    def reserve(self, asks: Sequence[Ask]) -> None:
        """Decide the asks one by one: each gets all of what it asks for, within every limit, or nothing."""
        if not asks:
            return
        keys = [limit_buckets(ask.limits, ask.at) for ask in asks]
        found = self._rows(self._sql.sums, list({key for of_ask in keys for key in of_ask}))
        sums = {key: (spent, reserved) for key, spent, reserved in found}
        rows = []
        for ask, of_ask in zip(asks, keys, strict=True):
            refusal = None
            for limit, key in zip(ask.limits, of_ask, strict=True):
                (spent, reserved), added = sums.get(key, (0, 0)), self._sum(key)
                spent, reserved = spent + added[0], reserved + added[1]
                left = limit_nano(limit) - spent - reserved
                if ask.reservation.nano > left and (refusal is None or left < refusal[1]):
                    refusal = (limit, left, spent, reserved)
            if refusal is not None:
                ask.outcome = _exhausted(ask, *refusal)
                continue
            ask.outcome = held = ask.reservation
            for key in held.buckets:
                self._sum(key)[1] += held.nano
            encoded = msgspec.json.encode(held.buckets).decode(), draft_of(ask.draft)
            rows.append((held.id, 0, held.nano, *encoded))
        if rows:
            self._cursor.executemany(self._sql.insert_reservation, rows)

    def write_sums(self) -> None:
        """Write the sums that were collected."""
        changed = [(key, spent, reserved) for key, (spent, reserved) in self._sums.items() if spent or reserved]
        if changed:
            self._cursor.executemany(self._sql.add_spend, changed)
        if self._usage:
            self._cursor.executemany(self._sql.add_usage, [(*key, *sums) for key, sums in self._usage.items()])

    def delete(self, before: datetime) -> bool:
        """Delete some of the calls that are older, and return whether there may be more."""
        self._cursor.execute(self._sql.delete_old, (milliseconds(before),))
        return self._cursor.rowcount >= DELETED_AT_ONCE

    def _reserved(self, names: Sequence[str]) -> list[Any]:
        """Take these reservations out of the table, and return those that were there."""
        found = self._rows(self._sql.reserved, names)
        if found:
            self._cursor.execute(self._sql.delete_reservations, (self._sql.names([row[0] for row in found]),))
        return found

    def _known(self, names: Sequence[str]) -> dict[str, Any]:
        """Return those rows of calls that are there already, as far as the sums need them."""
        return {row.id: row for row in (KnownCall(*found) for found in self._rows(self._sql.known, names))}

    def _rows(self, sql: str, names: Sequence[str]) -> list[Any]:
        if not names:
            return []
        self._cursor.execute(sql, (self._sql.names(names),))
        return list(self._cursor.fetchall())

    def _sum(self, bucket: str) -> list[int]:
        return self._sums.setdefault(bucket, [0, 0])

    def _usage_of(self, key: tuple[str, str, str, str, str]) -> list[int]:
        found = self._usage.get(key)
        if found is None:
            found = self._usage[key] = [0] * _COUNTS
        return found

    def _count(self, call: Call, cost: int, saved: int) -> None:
        """Add a call to the sums of its day."""
        key = (day_of(call.at), as_text(call.user), as_text(call.team), as_text(call.route), as_text(call.task))
        sums = self._usage_of(key)
        is_ok = call.outcome == "ok"
        sums[0] += 1
        sums[1] += not is_ok and call.outcome != "cancelled"
        sums[2] += as_number(call.prompt_tokens)
        sums[3] += as_number(call.completion_tokens)
        sums[4] += cost
        sums[5] += saved
        sums[6] += call.locality == "local"
        if is_ok:
            sums[7] += as_number(call.ms)
            sums[8] += 1

    def _forget(self, lost: KnownCall) -> None:
        """Take a call that was given up as lost out of the sums of its day."""
        day = day_of(datetime.fromtimestamp(lost.at / 1000, UTC))
        sums = self._usage_of((day, lost.user, lost.team, lost.route, lost.task))
        sums[0] -= 1
        sums[1] -= 1
        sums[6] -= lost.locality == "local"


def buckets_of(user: str, team: str, limits: Iterable[Limit], at: datetime) -> tuple[str, ...]:
    """Return the sums that a call's cost is added to: of the deployment, its user, its teams; of the day, the month.

    All of them, whether limited or not, so that a limit that is set later knows what was spent before.
    """
    scopes = [("deployment", ""), ("user", user), *((limit.scope, limit.name) for limit in limits)]
    if team:
        scopes.append(("team", team))
    day, month = day_of(at), period_of("month", at)
    return tuple(bucket(period, *scope) for scope in dict.fromkeys(scopes) for period in (day, month))


def bucket(period: str, scope: str, name: str) -> str:
    """Return the key of one sum."""
    return f"{period}/{scope}/{as_text(name)}"


def limit_buckets(limits: Iterable[Limit], at: datetime) -> list[str]:
    """Return the keys of the sums that limits hold for."""
    return [bucket(period_of(limit.period, at), limit.scope, limit.name) for limit in limits]


def limit_nano(limit: Limit) -> int:
    """Return a limit in nano-dollars; more than all money there is where it is infinite."""
    return min(round(min(limit.limit_usd, 1e9) * 1_000_000_000), MAX_NUMBER)


def day_of(at: datetime) -> str:
    """Return the day of UTC that a moment lies in."""
    return at.astimezone(UTC).date().isoformat()


def _exhausted(ask: Ask, limit: Limit, left: int, spent: int, reserved: int) -> BudgetExhausted:
    whose = {"user": "Your", "team": f"The team {limit.name}'s"}.get(limit.scope, "The")
    what = f"{whose} {'monthly' if limit.period == 'month' else 'daily'} budget of ${limit.limit_usd:,.2f}"
    reset = resets_at(limit.period, ask.at)
    when = f"It resets on {reset.day} {reset:%B %Y} at 00:00 UTC."
    if spent >= limit_nano(limit):
        message = f"{what} is used up. {when}"
    else:
        cost, rest = _shown(ask.reservation.nano), _shown(max(0, left))
        held = f", {_shown(reserved)} of it held for calls under way" if reserved else ""
        message = f"{what} has {rest} left{held}, and this call can cost up to {cost}. {when}"
    return BudgetExhausted(
        message,
        next_step="Use a local model, ask for a shorter answer, or ask who administers the budget for more.",
        scope=limit.scope,
        name=limit.name,
        period=limit.period,
        limit_usd=limit.limit_usd,
        spent_usd=dollars(spent),
        reserved_usd=dollars(reserved),
        left_usd=dollars(max(0, left)),
        asked_usd=ask.reservation.usd,
        resets_at=reset.isoformat(),
    )


def _shown(amount: int) -> str:
    usd = dollars(amount)
    return f"${usd:,.2f}" if usd >= 0.1 or not usd else f"${usd:.6f}".rstrip("0").rstrip(".")
