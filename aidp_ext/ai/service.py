"""The AI router as its hosts know it: what answers, what it may, what it costs, and what is remembered of it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import msgspec

from aidp_ext.ai.budgets import BudgetState
from aidp_ext.ai.calls import Call, UsageReport
from aidp_ext.ai.catalog import CLOSED, FRESH_S, Catalog
from aidp_ext.ai.config import AiConfig, ModeStore
from aidp_ext.ai.content import ContentVault
from aidp_ext.ai.dispatch import Dispatcher, Parts, forbidding
from aidp_ext.ai.health import Health
from aidp_ext.ai.ledger import Ledger
from aidp_ext.ai.limits import RateLimiter
from aidp_ext.ai.models import (
    Answer,
    Budget,
    Caller,
    Capability,
    Decision,
    Dialect,
    Locality,
    Mode,
    Offer,
    Privacy,
    ProviderStatus,
    RouteRequest,
    State,
    Task,
)
from aidp_ext.ai.policy import decide
from aidp_ext.ai.prices import Prices
from aidp_ext.ai.providers import make_providers
from aidp_ext.ai.providers.base import Body, Provider
from aidp_ext.ai.records import Records, as_row
from aidp_ext.ai.redact import Finding, Redactor
from aidp_ext.ai.refusals import next_step
from aidp_ext.ai.rules import Rules, WorkspaceRules
from aidp_ext.core.audit import AuditLog
from aidp_ext.core.errors import AidpError, Conflict, Forbidden, NotFound, PolicyRefused, StorageError
from aidp_ext.core.http import HttpClient, Rehearsed, origin, rehearsal
from aidp_ext.core.keys import KeyStore

log = logging.getLogger("aidp")

#: Providers that take a key: name, what people call it, the variable and the trait that hold it.
KEYED = (
    ("openai", "OpenAI", "OPENAI_API_KEY", "openai_api_key"),
    ("anthropic", "Anthropic", "ANTHROPIC_API_KEY", "anthropic_api_key"),
    ("gemini", "Gemini", "GEMINI_API_KEY", "gemini_api_key"),
)
_TRIAL = "Answer with one word: ready?"
_RECENT = 200  # calls among which one is looked for


@dataclass(frozen=True)
class Preview:
    """What would happen to a request, without anything being sent. ``body`` is what would leave, None if nothing."""

    decision: Decision
    privacy: Privacy
    privacy_reason: str
    privacy_detail: str
    url: str | None = None
    body: Any = None
    size: int = 0  # bytes
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    error: AidpError | None = None  # why it would not be answered


@dataclass(frozen=True)
class Trial:
    """How a provider did when it was tried."""

    ok: bool
    ms: float
    route: str | None
    message: str
    next_step: str | None = None


class Progress(Protocol):
    """One report of a download."""

    status: str
    completed: int | None
    total: int | None


@runtime_checkable
class Pulls(Protocol):
    """A provider that can download models."""

    def pull(self, model: str) -> AsyncIterator[Progress]:
        """Download a model. Closing the iterator stops it."""


class AiService:
    """One router. A host makes it, starts it inside the loop, and stops it."""

    def __init__(
        self, config: AiConfig, state: Path, *, workspace: Path | None = None, keeps_keys: bool = True
    ) -> None:
        """``state`` is the folder to keep things in, ``workspace`` the one whose aidp.toml counts.

        ``keeps_keys`` False: keys come from the environment alone, as in the hub's service.
        """
        self.config = config
        self._modes = ModeStore(state / "mode.json")
        self._keys = KeyStore(state) if keeps_keys and not (config.gateway_url and config.gateway_token) else None
        self._key_sources: dict[str, str] = {}
        self._http = HttpClient(connect_timeout_s=config.connect_timeout_s, allows=self._may_contact)
        self._audit = AuditLog(state / "audit.jsonl")
        self._prices = Prices(config.prices)
        self._ledger = Ledger(
            config.database_url or f"sqlite:///{state / 'aidp.sqlite'}", keep_days=config.keep_calls_days
        )
        self._limiter = RateLimiter(config.requests_per_minute)
        self._records = Records(self._audit, self._ledger, _vault(config, state))
        self.rules = Rules(
            workspace,
            never_leave=tuple(config.never_leave),
            privacy=Privacy(config.privacy) if config.privacy else None,
            default=Privacy(config.default_privacy),
        )
        self._catalog = Catalog(make_providers(config, self._http), self._prices)
        self._health = Health(failures=config.breaker_failures, cooldown_s=config.breaker_cooldown_s)
        parts = Parts(
            config=config,
            catalog=self._catalog,
            health=self._health,
            ledger=self._ledger,
            prices=self._prices,
            redactor=Redactor(names=tuple(config.redact_names)),
            rules=self.rules,
            records=self._records,
        )
        self._dispatcher = Dispatcher(parts, self._modes.read() or Mode(config.mode))
        self._first_look: asyncio.Task[Any] | None = None

    async def start(self) -> None:
        """Begin to look for models, without waiting for them."""
        await self._ledger.start()
        self._first_look = asyncio.create_task(self._look(), name="aidp first look")

    def after_first_look(self, call: Callable[[], None]) -> None:
        """Have ``call`` called once every provider has been looked at, and what that takes is loaded."""
        assert self._first_look is not None
        self._first_look.add_done_callback(lambda _: call())

    async def stop(self) -> None:
        """End what is under way and close all connections."""
        if self._first_look is not None:
            self._first_look.cancel()
            await asyncio.gather(self._first_look, return_exceptions=True)
        await self._catalog.close()
        await self._http.close()
        await self._ledger.close()
        self._audit.close()

    # --- the mode

    @property
    def mode(self) -> Mode:
        """The mode in force."""
        return self._dispatcher.mode

    def set_mode(self, mode: Mode, caller: Caller) -> None:
        """Take another mode, and keep it. Raises StorageError where it holds but cannot be kept."""
        was, self._dispatcher.mode = self._dispatcher.mode, mode
        if mode in CLOSED:
            self._catalog.forget_cloud()
            self._dispatcher.close_cloud()
        self._records.changed("ai.mode", caller, mode=mode, was=was)
        self._modes.write(mode)

    def _may_contact(self, url: str) -> bool:
        """Return whether the mode allows a connection: the last door, behind all decisions."""
        if self.mode not in CLOSED:
            return True
        where = origin(url)
        return any(
            origin(provider.base_url) == where
            for provider in self._catalog.providers.values()
            if provider.locality is Locality.LOCAL
        )

    # --- requests

    async def answer(
        self, dialect: Dialect, request: RouteRequest, body: Body, caller: Caller, size: int = 0
    ) -> Answer:
        """Answer a request of ``size`` bytes in its own dialect.

        Raises RateLimited, NoModelAvailable, ModelNotFound, PolicyRefused, BudgetExhausted, StorageError and
        UpstreamError.
        """
        self._limiter.check(caller.name)
        return await self._dispatcher.answer(dialect, request, body, caller, size)

    async def route(self, request: RouteRequest, caller: Caller) -> Decision:
        """Return the decision for a request, without a call."""
        verdict = self.rules.judge(request.privacy, request.paths)
        return await self._dispatcher.route(replace(request, privacy=forbidding(verdict)), caller)

    @property
    def has_gateway(self) -> bool:
        """Whether the models are those of a hub's gateway."""
        return "gateway" in self._catalog.providers

    def next_step(self) -> str:
        """Return what somebody can do where no model answers."""
        return next_step(self._catalog.providers)

    async def explain_none(self, request: RouteRequest, decision: Decision, caller: Caller) -> AidpError:
        """Return the error that says why no model may, or can, answer this request."""
        return await self._dispatcher.refusal(request, decision, caller)

    async def preview(
        self, dialect: Dialect, request: RouteRequest, body: Body, caller: Caller, size: int = 0
    ) -> Preview:
        """Return exactly what a request would send, and where; nothing is sent."""
        self._limiter.check(caller.name)
        call = self._dispatcher.begin(dialect, request, body, caller, size)
        decision = await self._dispatcher.prepare(call)
        verdict = call.verdict
        shown = Preview(decision, verdict.privacy, verdict.reason, verdict.detail)
        best = decision.best
        if best is None:
            return replace(shown, error=await self._dispatcher.refusal(call.request, decision, caller))
        if best.offer.locality is Locality.LOCAL:
            return shown
        try:
            with rehearsal():
                await self._dispatcher.rehearse(call, best)
        except Rehearsed as sent:
            raw = sent.body or b""
            return replace(
                shown,
                url=sent.url,
                body=msgspec.json.decode(raw) if raw else None,
                size=len(raw),
                findings=call.redacted.findings if call.redacted is not None else (),
                notes=tuple(dict.fromkeys(call.notes)),
            )
        except AidpError as error:
            return replace(shown, error=error)
        raise AssertionError(f"{best.offer.provider} answered without a request")

    async def models(self, caller: Caller) -> tuple[Offer, ...]:
        """Return the models that the rules allow for some request now."""
        offers = await self._catalog.offers(self.mode)
        policy = self._dispatcher.policy(caller)
        allowed: set[str] = set()
        for need in (Capability.CHAT, Capability.COMPLETE, Capability.EMBED):
            # A budget that is used up hides nothing: who asks all the same learns that it is, and until when.
            decision = decide(RouteRequest(needs=frozenset({need})), offers, policy, Budget())
            allowed |= {choice.offer.route for choice in decision.ranked}
        return tuple(offer for offer in offers if offer.route in allowed)

    # --- providers and their keys

    async def providers(self, *, refresh: bool = False) -> tuple[ProviderStatus, ...]:
        """Return every provider's status, those that only lack a key included."""
        found = await self._catalog.statuses(self.mode, lambda _: 0.0 if refresh else FRESH_S)
        names = {status.name for status in found}
        if self._keys is None and "gateway" in names:
            return found
        return found + tuple(
            ProviderStatus(
                name=name,
                label=label,
                url="",
                locality=Locality.CLOUD,
                state=State.UNCONFIGURED,
                message="No key.",
                next_step=f"Add a key here, or put {variable} into .env and restart.",
            )
            for name, label, variable, _ in KEYED
            if name not in names
        )

    @property
    def takes_keys(self) -> bool:
        """Whether users may add keys here."""
        return self._keys is not None

    async def key_store(self) -> str | None:
        """Return where keys are kept (``keyring`` or ``file``); None where none can be added."""
        if self._keys is None:
            return None
        keys = self._keys
        return await asyncio.to_thread(lambda: keys.kind)

    def key_source(self, provider: str) -> str:
        """Return where a provider's key comes from: environment, keyring, file, none, or not_needed."""
        trait = next((trait for name, _, _, trait in KEYED if name == provider), None)
        if trait is None:
            return "not_needed"
        if provider in self._key_sources:
            return self._key_sources[provider]
        return "environment" if getattr(self.config, trait) else "none"

    async def set_key(self, provider: str, key: str | None, caller: Caller) -> None:
        """Keep a provider's key, or forget it where None. Raises NotFound, Forbidden, InvalidRequest, StorageError."""
        trait = next((trait for name, _, _, trait in KEYED if name == provider), None)
        if trait is None:
            raise NotFound(f"No provider {provider[:50]!r} takes a key.")
        if self._keys is None:
            raise Forbidden("Here the team's gateway has the keys.", next_step="Ask the hub's admin.")
        if self.key_source(provider) == "environment":
            raise Forbidden(
                "This key comes from the environment.", next_step="Change it where it is set (.env), and restart."
            )
        if key is None:
            await asyncio.to_thread(self._keys.delete, provider)
            self._key_sources.pop(provider, None)
        else:
            await asyncio.to_thread(self._keys.set, provider, key)
            self._key_sources[provider] = self._keys.source(provider)
        setattr(self.config, trait, (key or "").strip())
        self._records.changed("ai.key", caller, provider=provider, change="removed" if key is None else "set")
        await self._set_up_anew(provider)

    async def _set_up_anew(self, provider: str) -> None:
        self._health.forget(provider)
        await self._catalog.adopt(make_providers(self.config, self._http), provider)

    async def _look(self) -> None:
        """Read the kept keys, then look for models."""
        if self._keys is not None and self._keys.was_used:
            for name, _, _, trait in KEYED:
                if not getattr(self.config, trait):
                    await self._take_kept_key(self._keys, name, trait)
        await self._catalog.offers(self.mode)

    async def _take_kept_key(self, keys: KeyStore, name: str, trait: str) -> None:
        try:
            key = await asyncio.to_thread(keys.get, name)
        except AidpError as error:
            log.warning("the key for %s cannot be read: %s", name, error.message)
            return
        if key:
            setattr(self.config, trait, key)
            self._key_sources[name] = await asyncio.to_thread(keys.source, name)
            await self._set_up_anew(name)

    async def try_out(self, provider: str, caller: Caller) -> Trial:
        """Ask a provider anew and make one tiny call; report how it went. Raises NotFound."""
        found = self._provider(provider)
        self._health.forget(provider)
        started = time.monotonic()

        def passed() -> float:
            return (time.monotonic() - started) * 1000

        statuses = {s.name: s for s in await self.providers(refresh=True)}
        status = statuses[provider]
        if status.state is not State.READY:
            return Trial(False, passed(), None, status.message, status.next_step)
        offers = await self._catalog.offers(self.mode)
        request = RouteRequest(needs=frozenset({Capability.CHAT}), output_tokens=16)
        policy, budget = self._dispatcher.policy(caller), await self._dispatcher.spending.budget(caller)
        decision = decide(request, [o for o in offers if o.provider == provider], policy, budget)
        if decision.best is None:
            return Trial(True, passed(), None, f"{found.label} answers; it has no model for a chat.")
        local = [c for c in decision.ranked if c.offer.locality is Locality.LOCAL]
        route = (local or decision.ranked)[0].offer.route  # a trial of what runs here must not leave the machine
        body = {"model": route, "messages": [{"role": "user", "content": _TRIAL}], "max_tokens": 16}
        try:
            await self.answer(Dialect.CHAT, replace(request, model=route), body, caller)
        except AidpError as error:
            return Trial(False, passed(), route, error.message, error.next_step)
        return Trial(True, passed(), route, f"{route} answers.")

    async def pull(self, provider: str, model: str, caller: Caller) -> AsyncIterator[Progress]:
        """Download a model, reporting as it goes. Closing the iterator stops it. Raises NotFound, UpstreamError …"""
        found = self._provider(provider)
        if not isinstance(found, Pulls):
            raise Conflict(f"{found.label} downloads no models.")
        if found.locality is Locality.CLOUD and self.mode in CLOSED:
            raise PolicyRefused(CLOSED[self.mode], next_step="Choose another mode.")
        self._check_may_download()
        self._records.changed("ai.pull", caller, provider=provider, model=model[:200])
        reports = found.pull(model)
        try:
            async for report in reports:
                self._check_may_download()
                yield report
        finally:
            with contextlib.suppress(AttributeError):
                await reports.aclose()  # type: ignore[attr-defined]
            self._catalog.doubt(provider)

    def _check_may_download(self) -> None:
        if self.mode is Mode.OFFLINE:
            raise PolicyRefused("In the mode Offline nothing is downloaded.", next_step="Choose another mode.")

    def _provider(self, name: str) -> Provider:
        provider = self._catalog.providers.get(name)
        if provider is None:
            raise NotFound(f"There is no provider {name[:50]!r} here.", next_step="GET aidp/ai/providers lists them.")
        return provider

    # --- what happened

    async def budgets(self, caller: Caller) -> tuple[BudgetState, ...]:
        """Return the budgets that bind a caller, as they stand."""
        limits = self._dispatcher.spending.limits(caller)
        return await self._ledger.budgets(limits) if limits else ()

    async def usage(self, days: int, user: str | None) -> UsageReport:
        """Return what the calls of the last days add up to, of one user or (None) of everybody."""
        today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        return await self._ledger.usage(since=today - timedelta(days=days - 1), user=user)

    async def recent(self, limit: int, user: str | None) -> tuple[Call, ...]:
        """Return the latest calls, newest first, those under way before all others."""
        running = [as_row(call) for call in self._dispatcher.ongoing.values() if user in (None, call.caller.name)]
        ended = await self._ledger.recent(limit, user)
        return (*sorted(running, key=lambda call: call.at, reverse=True), *ended)[:limit]

    async def call(self, call_id: str, user: str) -> Call | None:
        """Return one of the user's latest calls, ended or under way; None where it is not known."""
        try:
            return next((call for call in await self.recent(_RECENT, user) if call.id == call_id), None)
        except StorageError:  # what a call cost is worth telling, but no answer fails for it
            return None

    def feedback(self, caller: Caller, route: str, task: Task, accepted: int, rejected: int) -> None:
        """Count suggestions that were taken over and dropped, for the model that made them, if there is such a one."""
        if self._catalog.knows(route):
            self._ledger.feedback(caller.name, route, str(task), accepted, rejected)

    def condition(self, route: str) -> tuple[str, datetime | None, float | None]:
        """Return a model's health (ok, failing, cooling), until when it cools, and its latency in milliseconds."""
        condition = self._health.conditions().get(route)
        latency_ms = condition.latency_ms if condition is not None else None
        cooling_s = self._health.cooling_s(route)
        if cooling_s:
            return "cooling", datetime.now(UTC) + timedelta(seconds=cooling_s), latency_ms
        return "failing" if self._health.is_failing(route) else "ok", None, latency_ms

    def loading_since(self, route: str) -> datetime | None:
        """Return since when a model is being loaded for a request, None where it is not."""
        return self._dispatcher.loading.get(route)

    def can_pull(self, provider: str) -> bool:
        """Return whether a provider can download models."""
        return isinstance(self._catalog.providers.get(provider), Pulls)

    def set_rules(self, rules: WorkspaceRules, caller: Caller) -> None:
        """Write the workspace's rules. Raises StorageError, InvalidRequest."""
        self.rules.write(rules)
        self._records.changed("ai.rules", caller, never_leave=len(rules.never_leave), privacy=rules.privacy)


def _vault(config: AiConfig, state: Path) -> ContentVault | None:
    if not config.audit_content_key_file:
        return None
    return ContentVault.from_file(state / "content", Path(config.audit_content_key_file))
