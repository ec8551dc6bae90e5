"""The router at work: decide, call, fall back before the first byte, and keep a record of every call."""

from __future__ import annotations

import asyncio
import difflib
import logging
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from aidp_ext.ai.catalog import CLOSED, FRESH_S, Catalog
from aidp_ext.ai.config import AiConfig, ModeStore
from aidp_ext.ai.models import (
    Answer,
    Caller,
    Capability,
    Choice,
    Decision,
    Events,
    Locality,
    Mode,
    Offer,
    Privacy,
    ProviderStatus,
    RouteRequest,
    State,
    Usage,
)
from aidp_ext.ai.policy import AUTO, AUTO_CLOUD, AUTO_LOCAL, REASONS, decide
from aidp_ext.ai.providers import make_providers
from aidp_ext.ai.providers.base import Body, Provider
from aidp_ext.core.audit import AuditLog
from aidp_ext.core.errors import (
    AidpError,
    ContextTooLong,
    ModelNotFound,
    NoModelAvailable,
    PolicyRefused,
    UpstreamError,
    UpstreamRejected,
    UpstreamUnreachable,
)
from aidp_ext.core.http import HttpClient

log = logging.getLogger("aidp")

# Short enough for Lab's notifications, which cut at 140 characters.
NEXT_STEP = (
    "Start Ollama (`ollama serve`), or put LOCAL_OPENAI_BASE_URL or a key such as OPENAI_API_KEY into .env and restart."
)
# The hosted APIs only chat: another key would give no ghost text.
NEXT_STEP_LOCAL = "Start Ollama (`ollama serve`), or point LOCAL_OPENAI_BASE_URL at a model server and restart."
_CLOUD_KEYS = (
    ("openai", "OpenAI", "OPENAI_API_KEY"),
    ("anthropic", "Anthropic", "ANTHROPIC_API_KEY"),
    ("gemini", "Gemini", "GEMINI_API_KEY"),
)


class AiService:
    """One router. A host makes it, starts it inside the loop, and stops it."""

    def __init__(self, config: AiConfig, audit: AuditLog, modes: ModeStore) -> None:
        self.config = config
        self._audit = audit
        self._modes = modes
        self._mode = modes.read() or Mode(config.mode)
        self._http = HttpClient(connect_timeout_s=config.connect_timeout_s)
        self._catalog = Catalog(make_providers(config, self._http))
        self._first_look: asyncio.Task[Any] | None = None
        self._in_the_cloud: weakref.WeakSet[Events] = weakref.WeakSet()  # streams under way

    async def start(self) -> None:
        """Begin to look for models, without waiting for them."""
        if self.config.monthly_budget_usd:
            log.warning("AIDP_AI_MONTHLY_BUDGET_USD is not enforced yet: this version does not count money.")
        self._first_look = asyncio.create_task(self._catalog.offers(self._mode), name="aidp first look")

    async def stop(self) -> None:
        """End what is under way and close all connections."""
        if self._first_look is not None:
            self._first_look.cancel()
            await asyncio.gather(self._first_look, return_exceptions=True)
        await self._catalog.close()
        await self._http.close()
        self._audit.close()

    @property
    def mode(self) -> Mode:
        """The mode in force."""
        return self._mode

    def set_mode(self, mode: Mode, caller: Caller) -> None:
        """Take another mode, and keep it. Raises StorageError where it holds but cannot be kept."""
        was, self._mode = self._mode, mode
        if mode in CLOSED:
            self._catalog.forget_cloud()
            for events in list(self._in_the_cloud):
                events.abort()
        self._audit.append("ai.mode", caller.name, mode=mode, was=was)
        self._modes.write(mode)

    async def providers(self, *, refresh: bool = False) -> tuple[ProviderStatus, ...]:
        """Return every provider's status, those that only lack a key included."""
        found = await self._catalog.statuses(self._mode, lambda _: 0.0 if refresh else FRESH_S)
        names = {status.name for status in found}
        return found + tuple(
            ProviderStatus(
                name=name,
                label=label,
                url="",
                locality=Locality.CLOUD,
                state=State.UNCONFIGURED,
                message="No key.",
                next_step=f"Add {variable} to .env and restart.",
            )
            for name, label, variable in _CLOUD_KEYS
            if name not in names
        )

    async def models(self) -> tuple[Offer, ...]:
        """Return the models that the rules allow for some request now."""
        offers = await self._offers()
        policy = self.config.policy(self._mode)
        allowed: dict[str, Offer] = {}
        for need in (Capability.CHAT, Capability.COMPLETE, Capability.EMBED):
            decision = decide(RouteRequest(needs=frozenset({need})), offers, policy, self.config.budget)
            allowed |= {choice.offer.route: choice.offer for choice in decision.ranked}
        return tuple(offer for offer in offers if offer.route in allowed)

    async def route(self, request: RouteRequest) -> Decision:
        """Return the decision for a request, without a call."""
        decision = self._decide(request, await self._offers())
        if not decision.ranked:  # a model server may have come up this very moment
            decision = self._decide(request, await self._offers(retry=True))
        return decision

    async def chat(self, request: RouteRequest, body: Body, caller: Caller) -> Answer:
        """Answer a chat. Raises the error tree's NoModelAvailable, ModelNotFound, PolicyRefused, UpstreamError …"""
        return await self._call(request, body, caller, lambda provider: provider.chat)

    async def complete(self, request: RouteRequest, body: Body, caller: Caller) -> Answer:
        """Complete a text, in its middle where the body has a suffix. Raises as `chat` does."""
        return await self._call(request, body, caller, lambda provider: provider.complete)

    def explain_none(self, request: RouteRequest, decision: Decision) -> AidpError:
        """Return the error that says why no model may, or can, answer this request."""
        asked = request.model not in (AUTO, AUTO_LOCAL, AUTO_CLOUD)
        refused = [c for c in decision.refused if c.reason != "not_asked_for"]
        details: dict[str, Any] = {"refused": [{"route": c.offer.route, "reason": c.reason} for c in refused]}
        if asked and not refused:
            return self._unknown(request.model, decision)
        reasons = {choice.reason for choice in refused}
        if "context_too_long" in reasons:
            longest = max(
                c.offer.context_length or self.config.policy(self._mode).default_context_tokens
                for c in refused
                if c.reason == "context_too_long"
            )
            return ContextTooLong(
                f"The prompt needs about {request.prompt_tokens:,} tokens; the models allowed here hold {longest:,}.",
                next_step="Send less, or use a model with a longer context.",
                **details,
            )
        if reasons and all(not reason.startswith("no_") for reason in reasons):
            words = " ".join(REASONS[reason] for reason in sorted(reasons))
            kind = PolicyRefused if asked or request.model == AUTO_CLOUD else NoModelAvailable
            step = NEXT_STEP if kind is NoModelAvailable else "Choose another model, or another mode in the status bar."
            return kind(f"No allowed model can answer. {words}", next_step=step, **details)
        if asked:
            return PolicyRefused(" ".join(REASONS[reason] for reason in sorted(reasons)), **details)
        what = f"No model here can do this ({request.task})." if reasons else "No model answers."
        return NoModelAvailable(what, next_step=NEXT_STEP_LOCAL if reasons == {"no_complete"} else NEXT_STEP, **details)

    def _unknown(self, model: str, decision: Decision) -> AidpError:
        names = [choice.offer.route for choice in decision.refused]
        close = difflib.get_close_matches(model, names, n=1) or difflib.get_close_matches(
            model, [name.split("/", 1)[1] for name in names], n=1
        )
        provider = self._catalog.providers.get(model.split("/", 1)[0])
        if provider is not None and provider.locality is Locality.CLOUD and self._mode in CLOSED:
            step = "Choose another model, or another mode in the status bar."
            return PolicyRefused(REASONS[f"mode_{self._mode}"], next_step=step)
        if provider is not None and not any(name.startswith(f"{provider.name}/") for name in names):
            return UpstreamUnreachable(
                f"{provider.label} offers no model at present, so {model[:200]!r} cannot be had.",
                next_step=provider.next_step,
                provider=provider.name,
            )
        step = f"Did you mean {close[0]}?" if close else "GET v1/models lists the models; `auto` chooses one."
        return ModelNotFound(f"There is no model {model[:200]!r}.", next_step=step)

    async def _offers(self, *, retry: bool = False) -> tuple[Offer, ...]:
        return await self._catalog.offers(self._mode, retry=retry)

    def _decide(self, request: RouteRequest, offers: Sequence[Offer]) -> Decision:
        return decide(request, offers, self.config.policy(self._mode), self.config.budget)

    async def _call(
        self,
        request: RouteRequest,
        body: Body,
        caller: Caller,
        method: Callable[[Provider], Callable[[Offer, Body, Caller], Any]],
    ) -> Answer:
        decision = await self.route(request)
        if not decision.ranked:
            error = self.explain_none(request, decision)
            self._audit.append("ai.refused", caller.name, task=request.task, model=request.model[:200], code=error.code)
            raise error
        started = time.monotonic()
        for attempt, choice in enumerate(decision.ranked, start=1):
            provider = self._catalog.providers[choice.offer.provider]
            try:
                answer: Answer = await method(provider)(choice.offer, body, self._bound(caller, choice))
            except UpstreamError as error:
                self._record(request, choice, caller, attempt, started, error.code, Usage())
                if not (isinstance(error, UpstreamRejected) and error.is_callers_fault):
                    self._catalog.doubt(provider.name)
                    if attempt < len(decision.ranked) and self._may_still(decision.ranked[attempt], request):
                        log.info("%s failed (%s), trying the next model", choice.offer.route, error.code)
                        continue
                if isinstance(error, UpstreamUnreachable):
                    error.suggest(provider.next_step)
                raise
            except asyncio.CancelledError:
                self._record(request, choice, caller, attempt, started, "cancelled", Usage())
                raise
            return self._watched(answer, request, choice, caller, attempt, started)
        raise AssertionError("unreachable")

    def _bound(self, caller: Caller, choice: Choice) -> Caller:
        """Return the caller with what was decided here written down for a gateway, which decides again."""
        if choice.offer.locality is Locality.CLOUD:
            return caller
        return replace(caller, headers={**caller.headers, "X-AIDP-Privacy": str(Privacy.LOCAL)})

    def _may_still(self, choice: Choice, request: RouteRequest) -> bool:
        """Return whether the next offer is still allowed: the user may have gone offline during the first call."""
        return bool(self._decide(request, [choice.offer]).ranked)

    def _watched(
        self, answer: Answer, request: RouteRequest, choice: Choice, caller: Caller, attempt: int, started: float
    ) -> Answer:
        """Return the answer with its route written on it, and its record written when it ends."""
        events = answer.events
        if events is None:
            self._record(request, choice, caller, attempt, started, "ok", answer.usage)
        else:

            def ended(outcome: str) -> None:
                if outcome not in ("ok", "cancelled"):
                    self._catalog.doubt(choice.offer.provider)
                self._record(request, choice, caller, attempt, started, outcome, events.usage)

            events.on_end = ended
            if choice.offer.locality is Locality.CLOUD:
                self._in_the_cloud.add(events)
        return replace(
            answer,
            route=choice.offer.route,
            locality=choice.offer.locality,
            reason=choice.reason,
            attempts=attempt,
        )

    def _record(
        self,
        request: RouteRequest,
        choice: Choice,
        caller: Caller,
        attempt: int,
        started: float,
        outcome: str,
        usage: Usage,
    ) -> None:
        self._audit.append(
            "ai.call",
            caller.name,
            task=request.task,
            route=choice.offer.route,
            locality=choice.offer.locality,
            reason=choice.reason,
            attempt=attempt,
            outcome=outcome,
            ms=round((time.monotonic() - started) * 1000),
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
        )
