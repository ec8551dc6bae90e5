"""One call, from the request to its record: decide, redact, reserve, queue, call, retry, fall back, settle."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from aidp_ext.ai import metrics
from aidp_ext.ai.budgets import tightest
from aidp_ext.ai.calls import Reservation
from aidp_ext.ai.catalog import CLOSED, Catalog
from aidp_ext.ai.config import AiConfig
from aidp_ext.ai.health import Health
from aidp_ext.ai.ledger import Ledger
from aidp_ext.ai.models import (
    NO_USAGE,
    Answer,
    Caller,
    Choice,
    Decision,
    Dialect,
    Events,
    Locality,
    Mode,
    Offer,
    Policy,
    Price,
    Privacy,
    RouteRequest,
    Task,
)
from aidp_ext.ai.ongoing import Ongoing
from aidp_ext.ai.policy import AUTO, AUTO_CLOUD, AUTO_LOCAL, REASONS, decide
from aidp_ext.ai.prices import Prices
from aidp_ext.ai.providers.base import Body, Provider
from aidp_ext.ai.providers.messages import to_chat
from aidp_ext.ai.records import Records
from aidp_ext.ai.redact import Redacted, Redactor
from aidp_ext.ai.refusals import explain_none
from aidp_ext.ai.rules import Rules, Verdict
from aidp_ext.ai.slots import Slots
from aidp_ext.ai.spending import Spending, limited
from aidp_ext.core.errors import (
    AidpError,
    BudgetExhausted,
    InvalidRequest,
    ModelNotFound,
    PolicyRefused,
    RateLimited,
    StorageError,
    Unavailable,
    UpstreamError,
    UpstreamRejected,
    UpstreamUnreachable,
)

log = logging.getLogger("aidp")

Method = Callable[[Offer, Body, Caller], Awaitable[Answer]]
_METHODS: dict[Dialect, Callable[[Provider], Method]] = {
    Dialect.CHAT: lambda provider: provider.chat,
    Dialect.COMPLETIONS: lambda provider: provider.complete,
    Dialect.EMBEDDINGS: lambda provider: provider.embed,
    Dialect.MESSAGES: lambda provider: provider.messages,
}
_AUTOMATIC = frozenset({AUTO, AUTO_LOCAL, AUTO_CLOUD})
_CONVERSATIONS = 4096  # that are remembered
#: What another aidp refuses for the caller's sake, not the model's.
_OF_THE_CALLER = frozenset({BudgetExhausted.code, RateLimited.code, PolicyRefused.code})
_BUSY = frozenset({429, 503, 529})  # the server says that it has not worked on the request
_COUNT_FROM = 0.4  # of a context: below, an estimate is good enough
_BYTES_PER_TOKEN = 4
_BYTES_PER_STREAMED_TOKEN = 16  # each event wraps a few tokens into a hundred bytes and more
_GATEWAY_DECIDED = "X-AIDP-Privacy"


class _Abroad:
    """A call to the cloud that has not answered yet; going offline ends it."""

    def __init__(self) -> None:
        self._task = asyncio.current_task()
        self.is_cut = False

    def cut(self) -> None:
        assert self._task is not None
        self.is_cut = True
        self._task.cancel()


@dataclass(frozen=True)
class Parts:
    """What a dispatcher works with."""

    config: AiConfig
    catalog: Catalog
    health: Health
    ledger: Ledger
    prices: Prices
    redactor: Redactor
    rules: Rules
    records: Records


class Dispatcher:
    """Sends requests to the models that the policy chooses."""

    def __init__(self, parts: Parts, mode: Mode) -> None:
        self.parts = parts
        self.mode = mode
        self.ongoing: dict[str, Ongoing] = {}
        self.loading: dict[str, datetime] = {}  # routes of models that are being loaded, since when
        self.slots: dict[str, Slots] = {}
        self._abroad: set[_Abroad] = set()
        self._streams: set[Events] = set()  # from the cloud, under way
        self._settled_on: OrderedDict[str, str] = OrderedDict()  # conversation → route
        self._policies: dict[tuple[Mode, tuple[str, ...]], Policy] = {}
        self.spending = Spending(parts.config, parts.catalog, parts.ledger, parts.prices)
        self._scorer = parts.config.scorer_class()

    def close_cloud(self) -> None:
        """End every call to the cloud: those that wait for an answer and those that stream one."""
        for call in list(self._abroad):
            call.cut()
        cut, self._streams = self._streams, set()
        for events in cut:
            events.abort()

    def policy(self, caller: Caller) -> Policy:
        """Return the rules for a caller."""
        key = (self.mode, caller.teams)
        if key not in self._policies:
            self._policies[key] = self.parts.config.policy(*key)
        return self._policies[key]

    async def decide(self, request: RouteRequest, caller: Caller, *, retry: bool = False) -> Decision:
        """Return the decision for a request; ``retry`` asks servers that were down again first."""
        offers = await self.parts.catalog.offers(self.mode, retry=retry)
        name, _, model = request.model.partition("/")
        if model and name in self.parts.catalog.providers:  # no cloud's model of that name may stand in
            offers = tuple([o for o in offers if o.provider == name or o.model != request.model or not _is_cloud(o)])
        return decide(
            request, offers, self.policy(caller), await self.spending.budget(caller), self.parts.health.conditions()
        )

    async def route(self, request: RouteRequest, caller: Caller) -> Decision:
        """Return the decision, looking once more for servers that have just come up where there is no model."""
        decision = await self.decide(request, caller)
        if decision.ranked:
            return decision
        provider = self.parts.catalog.providers.get(request.model.partition("/")[0])
        if provider is not None and provider.keeps_accounts:
            self.parts.catalog.doubt(provider.name)  # what it lists changes with the team's rules
        return await self.decide(request, caller, retry=True)

    async def refusal(self, request: RouteRequest, decision: Decision, caller: Caller) -> AidpError:
        """Return the error that says why nothing is left of a decision."""
        state = None
        with contextlib.suppress(StorageError):  # a broken database must not take another error's place
            state = tightest(await self.parts.ledger.budgets(self.spending.limits(caller)))
        error = explain_none(request, decision, self.policy(caller), self.parts.catalog.providers, state)
        name, _, model = request.model.partition("/")
        provider = self.parts.catalog.providers.get(name)
        if provider is not None and isinstance(error, ModelNotFound | UpstreamUnreachable):
            return await provider.explain(model) or error
        return error

    def begin(self, dialect: Dialect, request: RouteRequest, body: Body, caller: Caller, size: int) -> Ongoing:
        """Return a call that has come in; nothing is decided yet."""
        return Ongoing(dialect, request, body, caller, self.parts.rules.judge(request.privacy, request.paths), size)

    async def prepare(self, call: Ongoing) -> Decision:
        """Judge a request's privacy and return the decision; nothing is sent."""
        request, verdict = call.request, call.verdict
        if self.parts.config.detected == Privacy.LOCAL and verdict.privacy is Privacy.REDACT:
            redacted = await self._redact(call)
            if redacted.findings:
                found = ", ".join(finding.label for finding in redacted.findings)
                call.verdict = verdict = Verdict(Privacy.LOCAL, "detected", found)
        conversation = None if request.conversation is None else f"{call.caller.name}\n{request.conversation}"
        call.request = replace(
            request,
            privacy=forbidding(verdict),
            conversation=conversation,
            difficulty=self._scorer.score(request.task, call.body) if request.model == AUTO else None,
        )
        if call.request.conversation is not None and request.model in _AUTOMATIC:
            settled_on = self._settled_on.get(call.request.conversation)
            call.request = replace(call.request, settled_on=settled_on)
        decision = await self.route(call.request, call.caller)
        return await self._counted(call, decision)

    async def answer(
        self, dialect: Dialect, request: RouteRequest, body: Body, caller: Caller, size: int = 0
    ) -> Answer:
        """Answer a request. Raises NoModelAvailable, ModelNotFound, PolicyRefused, BudgetExhausted, UpstreamError …"""
        call = self.begin(dialect, request, body, caller, size)
        self.ongoing[call.id] = call
        metrics.ONGOING.inc()
        try:
            decision = await self.prepare(call)
            if not decision.ranked:
                raise await self.refusal(call.request, decision, caller)
            return await self._first_that_answers(call, decision.ranked)
        except asyncio.CancelledError:
            self._finish(call, call.held, "cancelled")
            raise
        except AidpError as error:
            # A dictionary of its own: what the ledger raises shares one with the errors of others who waited.
            error.details = {**error.details, "attempts": call.attempts, "call": call.id}
            self._finish(call, None, error.code)
            raise
        except BaseException:
            self._finish(call, None, "internal")
            raise

    async def _first_that_answers(self, call: Ongoing, choices: tuple[Choice, ...]) -> Answer:
        """Ask one model after the other; each is allowed still when its turn comes."""
        remaining = list(choices)
        retried = False
        while True:
            choice = remaining.pop(0)
            try:
                return await self._attempt(call, choice)
            except BudgetExhausted as error:
                failed: AidpError = error
                call.notes.append("budget_exhausted")
            except InvalidRequest as error:  # of an adapter: another server may be able to take it
                failed = error
            except UpstreamError as error:
                failed = error
                if isinstance(error, UpstreamRejected) and error.is_callers_fault:
                    raise
                remaining = [other for other in remaining if not _is_refused_too(error, choice.offer, other.offer)]
            except StorageError as error:  # money cannot be written down: only what costs none is left
                failed = error
                remaining = [other for other in remaining if not self.spending.is_paid_here(other.offer)]
            except (PolicyRefused, Unavailable) as error:
                # The mode closed the cloud while the call was out, or too many wait for this server.
                failed = error
            while remaining and not await self._is_still_allowed(remaining[0], call):
                remaining.pop(0)
            if not remaining and not retried and (wait_s := self._may_retry(call, failed)) is not None:
                retried = True
                await asyncio.sleep(wait_s)
                if await self._is_still_allowed(choice, call):
                    remaining.append(choice)
            if not remaining:
                if isinstance(failed, UpstreamUnreachable):
                    failed.suggest(self.parts.catalog.providers[choice.offer.provider].next_step)
                raise failed
            log.info("%s failed (%s), trying %s", choice.offer.route, failed.code, remaining[0].offer.route)

    def _may_retry(self, call: Ongoing, error: AidpError) -> float | None:
        """Return the seconds after which the same server may be asked once more, None where that is not safe.

        Safe is its own word that it is busy, and so has not worked on the request; a connection that broke says no such
        thing. Nobody waits so long for a completion.
        """
        longest_s: float = self.parts.config.max_retry_wait_s
        if call.request.task is Task.COMPLETE or not longest_s:
            return None
        if isinstance(error, UpstreamRejected) and error.status in _BUSY and error.code == UpstreamRejected.code:
            asked_s = error.retry_after_s or 0.0
            if asked_s > longest_s:
                return None
            return min(longest_s, asked_s + random.uniform(0.2, 0.6))  # noqa: S311 - jitter
        return None

    async def _is_still_allowed(self, choice: Choice, call: Ongoing) -> bool:
        """Return whether the rules, the mode and the budget of this moment allow an offer."""
        verdict = self.parts.rules.judge(call.request.privacy, call.request.paths)
        if forbidding(verdict) is not call.request.privacy:  # the workspace's rules have become stricter meanwhile
            call.verdict, call.request = verdict, replace(call.request, privacy=forbidding(verdict))
        decision = decide(
            call.request, [choice.offer], self.policy(call.caller), await self.spending.budget(call.caller)
        )
        return bool(decision.ranked)

    async def rehearse(self, call: Ongoing, choice: Choice) -> None:
        """Go the way of an attempt as far as its request; inside `core.http.rehearsal` that is never sent."""
        body = await self._leaving(call, choice.offer)
        if (
            self.spending.limits(call.caller)
            and call.request.output_tokens is None
            and call.dialect is not Dialect.EMBEDDINGS
        ):
            most = self.spending.usual_output(choice.offer)
            call.notes.append(f"max_tokens_set_to_{most}")
            body = limited(body, most)
        await _METHODS[call.dialect](self.parts.catalog.providers[choice.offer.provider])(
            choice.offer, body, call.caller
        )

    async def _leaving(self, call: Ongoing, offer: Offer) -> Body:
        """Return the body as this model may see it."""
        if offer.locality is Locality.LOCAL or call.verdict.privacy is Privacy.CLOUD:
            return call.body
        return (await self._redact(call)).body

    async def _attempt(self, call: Ongoing, choice: Choice) -> Answer:
        """Ask one model. What was reserved or taken for it is given back where it fails."""
        offer, provider = choice.offer, self.parts.catalog.providers[choice.offer.provider]
        is_cloud = offer.locality is Locality.CLOUD
        call.choice, call.attempt_started = choice, time.monotonic()
        body = await self._leaving(call, offer)
        price = self.spending.price(offer, body)
        reservation, body = await self.spending.reserve(call, offer, price, body)
        release: Callable[[], None] | None = None
        asked_before = call.attempts
        try:
            if not is_cloud:
                release = await self._slot(call, provider)
            call.attempts += 1
            self.parts.health.begin(offer.route)
            if is_cloud:
                call.sent_bytes = call.size
                answer = await self._abroad_call(_METHODS[call.dialect](provider), offer, body, call)
            else:
                answer = await self._local_call(_METHODS[call.dialect](provider), offer, body, call)
        except BaseException as error:
            if release is not None:
                release()
            ours = _known(error, provider)
            if call.attempts > asked_before and is_cloud and isinstance(ours, asyncio.CancelledError):
                # It has read the prompt, and bills for it: who leaves early would else have it for nothing.
                self.spending.account(call, price, NO_USAGE, 0, reservation, is_whole=False)
                call.held = reservation
            else:
                self.parts.ledger.give_back(reservation)
            if call.attempts > asked_before:
                self._note_failure(call, choice, ours)
            if ours is error:
                raise
            raise ours from error
        call.first_ms = call.attempt_ms
        if call.request.conversation is not None:
            self._remember(call.request.conversation, offer.route)
        return self._under_way(call, choice, answer, price, reservation, release)

    async def _abroad_call(self, method: Method, offer: Offer, body: Body, call: Ongoing) -> Answer:
        if self.mode in CLOSED:  # since the decision: what is cloud behind a local address has no other door
            raise self._closed()
        abroad = _Abroad()
        self._abroad.add(abroad)
        try:
            return await method(offer, body, call.caller)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not abroad.is_cut or task is None or task.uncancel() > 0:
                raise
            raise self._closed() from None
        finally:
            self._abroad.discard(abroad)

    def _closed(self) -> PolicyRefused:
        return PolicyRefused(REASONS.get(f"mode_{self.mode}", "The mode has changed."), next_step="Ask again.")

    async def _local_call(self, method: Method, offer: Offer, body: Body, call: Ongoing) -> Answer:
        # A gateway further on decides again: it must not send elsewhere what was decided to stay.
        caller = replace(call.caller, headers={**call.caller.headers, _GATEWAY_DECIDED: str(Privacy.LOCAL)})
        if offer.loaded is not False:
            return await method(offer, body, caller)
        self.loading.setdefault(offer.route, datetime.now(UTC))
        try:
            return await method(offer, body, caller)
        finally:
            self.loading.pop(offer.route, None)
            self.parts.catalog.doubt(offer.provider)  # it is in memory now

    def _note_failure(self, call: Ongoing, choice: Choice, error: BaseException) -> None:
        route, health = choice.offer.route, self.parts.health
        outcome = error.code if isinstance(error, AidpError) else "cancelled"  # nothing else gets here, see _known
        if isinstance(error, UpstreamRejected) and error.code in _OF_THE_CALLER:
            health.gave_up(route)  # a gateway's word about the caller says nothing of the model
            self.parts.catalog.doubt(choice.offer.provider)
        elif isinstance(error, UpstreamError) and not (isinstance(error, UpstreamRejected) and error.is_callers_fault):
            health.failed(route, error.retry_after_s if isinstance(error, UpstreamRejected) else None)
            self.parts.catalog.doubt(choice.offer.provider)
        else:
            health.gave_up(route)
        self.parts.records.attempted(call, outcome)

    def _under_way(
        self,
        call: Ongoing,
        choice: Choice,
        answer: Answer,
        price: Price,
        reservation: Reservation | None,
        release: Callable[[], None] | None,
    ) -> Answer:
        """Return the answer with its route written on it; its end settles the money and writes the record."""
        call.notes.extend(answer.notes)
        restorer = None
        if call.redacted is not None and choice.offer.locality is Locality.CLOUD:
            restorer = call.redacted.restorer
        said = replace(
            answer,
            notes=tuple(dict.fromkeys(call.notes)),
            route=choice.offer.route,
            locality=choice.offer.locality,
            reason=choice.reason,
            attempts=call.attempts,
            call_id=call.id,
            privacy=call.verdict.privacy,
            redactions=sum(call.redactions.values()),
        )
        events = answer.events
        if events is None:
            document = answer.document or b""
            assert call.first_ms is not None
            self.parts.health.succeeded(choice.offer.route, call.first_ms)
            try:
                self.spending.account(call, price, answer.usage, len(document) // _BYTES_PER_TOKEN, reservation)
                self.parts.records.content(call, document)
            finally:
                self._finish(call, reservation, "ok", release)
            if restorer is not None:
                said = replace(said, document=restorer.document(document))
            return replace(said, cost_usd=call.cost_usd)

        is_cloud = choice.offer.locality is Locality.CLOUD

        def ended(outcome: str) -> None:
            assert call.first_ms is not None
            if outcome in ("ok", "cancelled"):  # only now: what begins well may break off each time
                self.parts.health.succeeded(choice.offer.route, call.first_ms)
            elif is_cloud and events not in self._streams:  # the mode has closed the cloud
                self.parts.health.gave_up(choice.offer.route)
            else:
                self.parts.health.failed(choice.offer.route)
                self.parts.catalog.doubt(choice.offer.provider)
            self._streams.discard(events)
            size, is_whole = events.received // _BYTES_PER_STREAMED_TOKEN, outcome == "ok"
            try:
                self.spending.account(call, price, events.usage, size, reservation, is_whole=is_whole)
            finally:
                self._finish(call, reservation, outcome, release)

        events.on_end = ended
        if is_cloud:
            self._streams.add(events)
        shown = self.parts.records.content_of(call, events)
        return replace(said, events=restorer.events(shown) if restorer is not None else shown)

    def _finish(
        self, call: Ongoing, reservation: Reservation | None, outcome: str, release: Callable[[], None] | None = None
    ) -> None:
        """Write down how a call ended, once."""
        if call.outcome != "running":
            return
        call.outcome = outcome
        if release is not None:
            release()
        self.ongoing.pop(call.id, None)
        metrics.ONGOING.dec()
        self.parts.records.finished(call, reservation)

    async def _redact(self, call: Ongoing) -> Redacted:
        if call.redacted is None:
            call.redacted = await self.parts.redactor.redact(call.body)
        return call.redacted

    async def _slot(self, call: Ongoing, provider: Provider) -> Callable[[], None]:
        slots = self.slots.setdefault(provider.name, Slots())
        slots.limit = self.parts.config.local_concurrency or self.parts.catalog.slots_of(provider.name)
        is_completion = call.request.task is Task.COMPLETE
        key = call.request.conversation if is_completion else None
        return await slots.acquire(is_urgent=is_completion, key=key)

    async def _counted(self, call: Ongoing, decision: Decision) -> Decision:
        """Decide again with the tokens counted by the model itself, where the estimate is near its context."""
        request = call.request
        near = [c for c in (*decision.ranked[:1], *decision.refused) if c.reason not in ("not_asked_for",)]
        for choice in near:
            offer = choice.offer
            is_near = offer.context_length and (
                _COUNT_FROM * offer.context_length < request.prompt_tokens < 4 * offer.context_length
            )
            if not is_near or offer.locality is Locality.CLOUD:
                continue
            if choice in decision.refused and choice.reason != "context_too_long":
                continue
            counted = await self._count(offer, call)
            if counted is not None:
                call.request = replace(request, prompt_tokens=counted, is_counted=True)
                return await self.decide(call.request, call.caller)
        return decision

    async def _count(self, offer: Offer, call: Ongoing) -> int | None:
        try:
            body = to_chat(call.body)[0] if call.dialect is Dialect.MESSAGES else call.body
            return await self.parts.catalog.providers[offer.provider].count(offer, body)
        except AidpError as error:
            log.debug("counting tokens failed: %s", error.code)
            return None

    def _remember(self, conversation: str, route: str) -> None:
        self._settled_on[conversation] = route
        self._settled_on.move_to_end(conversation)
        if len(self._settled_on) > _CONVERSATIONS:
            self._settled_on.popitem(last=False)


def _known(error: BaseException, provider: Provider) -> BaseException:
    """Return an error as others may see it: what an adapter did not foresee is a failure of its server's."""
    if isinstance(error, AidpError) or not isinstance(error, Exception):
        return error
    log.error("the adapter for %s failed", provider.label, exc_info=error)
    return UpstreamError(
        f"aidp could not deal with {provider.label}; the server's log says why.", provider=provider.name
    )


def _is_cloud(offer: Offer) -> bool:
    return offer.locality is Locality.CLOUD


def _is_refused_too(error: UpstreamError, asked: Offer, other: Offer) -> bool:
    """Return whether a gateway that has refused a model would refuse another one for the same: money, or haste."""
    if other.provider != asked.provider:
        return False
    return error.code == RateLimited.code or (error.code == BudgetExhausted.code and other.locality is Locality.CLOUD)


def forbidding(verdict: Verdict) -> Privacy | None:
    """Return the class as the policy must heed it: redaction that nobody asked for forbids nothing."""
    return None if verdict.reason == "default" and verdict.privacy is Privacy.REDACT else verdict.privacy
