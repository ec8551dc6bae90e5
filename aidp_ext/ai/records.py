"""What is written down of each call: the audit record, a row of the ledger, metrics, and content where it is wanted."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

from aidp_ext.ai import metrics
from aidp_ext.ai.calls import Call, Reservation
from aidp_ext.ai.content import ContentVault
from aidp_ext.ai.ledger import Ledger
from aidp_ext.ai.models import Caller, Events, Usage
from aidp_ext.core.audit import AuditLog
from aidp_ext.core.errors import AidpError

if TYPE_CHECKING:
    from aidp_ext.ai.ongoing import Ongoing

log = logging.getLogger("aidp")


class Records:
    """Writes what happened. Content goes into the vault alone, where there is one."""

    def __init__(self, audit: AuditLog, ledger: Ledger, vault: ContentVault | None = None) -> None:
        self._audit = audit
        self._ledger = ledger
        self._vault = vault

    def changed(self, event: str, caller: Caller, **fields: object) -> None:
        """Write a change of the settings down: a key, a rule, a model that was pulled."""
        self._audit.append(event, caller.name, **fields)

    def _append_refusal(self, call: Ongoing) -> None:
        self._audit.append(
            "ai.refused",
            call.caller.name,
            call=call.id,
            task=call.request.task,
            model=call.request.model[:200],
            privacy=call.verdict.privacy,
            code=call.outcome,
        )

    def attempted(self, call: Ongoing, outcome: str) -> None:
        """Write an attempt down that gave no answer."""
        self._append_call(call, outcome)

    def finished(self, call: Ongoing, reservation: Reservation | None) -> None:
        """Write down how a call ended, and settle its reservation."""
        self._ledger.settle(reservation, as_row(call))  # money first, whatever becomes of the rest
        if call.first_ms is not None:  # attempts without an answer have their records already
            self._append_call(call, call.outcome)
        elif not call.attempts:
            self._append_refusal(call)
        metrics.finished(call)

    def content(self, call: Ongoing, answer: bytes) -> None:
        """Keep what a model was sent and what it said, where an admin wants that."""
        if self._vault is None:
            return
        body = call.redacted.body if call.redacted is not None and call.sent_bytes else call.body
        try:
            self._vault.keep(call.id, body, answer)
        except AidpError as error:
            log.error("%s", error.message)

    def content_of(self, call: Ongoing, events: Events) -> Events:
        """Return the events, kept as they pass where an admin wants that."""
        return events if self._vault is None else _Kept(events, lambda answer: self.content(call, answer))

    def _append_call(self, call: Ongoing, outcome: str) -> None:
        assert call.choice is not None
        offer = call.choice.offer
        self._audit.append(
            "ai.call",
            call.caller.name,
            call=call.id,
            task=call.request.task,
            route=offer.route,
            locality=offer.locality,
            reason=call.choice.reason,
            privacy=call.verdict.privacy,
            redactions=sum(call.redactions.values()),
            attempt=call.attempts,
            outcome=outcome,
            ms=round(call.attempt_ms),
            prompt_tokens=call.usage.prompt_tokens,
            completion_tokens=call.usage.completion_tokens,
            cost_usd=call.cost_usd,
        )


class _Kept:
    """Events that are handed on as they come, and together at their end."""

    def __init__(self, events: Events, keep: Callable[[bytes], None]) -> None:
        self._events = events
        self._keep = keep
        self._parts: list[bytes] = []
        self._is_kept = False
        self.on_end: Callable[[str], None] | None = None

    @property
    def usage(self) -> Usage:
        return self._events.usage

    @property
    def received(self) -> int:
        return self._events.received

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._read()

    async def _read(self) -> AsyncIterator[bytes]:
        async for event in self._events:
            self._parts.append(event)
            yield event

    async def aclose(self) -> None:
        await self._events.aclose()
        if not self._is_kept:
            self._is_kept = True
            self._keep(b"".join(self._parts))

    def abort(self) -> None:
        self._events.abort()


def as_row(call: Ongoing) -> Call:
    """Return a call as the ledger keeps and the panel shows it; also one that is still under way."""
    offer = call.choice.offer if call.choice is not None and call.attempts else None
    return Call(
        id=call.id,
        at=call.at,
        user=call.caller.name,
        team=call.caller.teams[0] if call.caller.teams else "",
        task=str(call.request.task),
        dialect=str(call.dialect),
        route=offer.route if offer is not None else "",
        provider=offer.provider if offer is not None else "",
        model=offer.model if offer is not None else call.request.model[:200],
        locality=str(offer.locality) if offer is not None else "",
        reason=call.choice.reason if offer is not None and call.choice is not None else "",
        privacy=str(call.verdict.privacy),
        privacy_reason=call.verdict.reason,
        outcome=call.outcome,
        attempts=call.attempts,
        prompt_tokens=call.usage.prompt_tokens,
        completion_tokens=call.usage.completion_tokens,
        cached_tokens=call.usage.cached_tokens,
        reasoning_tokens=call.usage.reasoning_tokens,
        cost_usd=call.cost_usd,
        saved_usd=call.saved_usd,
        ms=round(call.elapsed_ms),
        first_ms=round(call.first_ms) if call.first_ms is not None else None,
        sent_bytes=call.sent_bytes,
        redactions=call.redactions,
        notes=tuple(dict.fromkeys(call.notes)),
    )
