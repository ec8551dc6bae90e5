"""What every provider offers at present: asked in parallel, kept for a while, asked again when somebody needs it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime

from aidp_ext.ai.models import FREE, Locality, Mode, Offer, ProviderStatus, State
from aidp_ext.ai.prices import Prices
from aidp_ext.ai.providers.base import Provider
from aidp_ext.core.errors import AidpError, UpstreamUnreachable

log = logging.getLogger("aidp")

FRESH_S = 60.0
FRESH_WHEN_DOWN_S = 5.0
_PROBE = "aidp probe "
RETRY_S = 2.0  # how often a provider that is down is asked again when a request has nowhere else to go

#: Modes in which nothing in the cloud is contacted, with the words for it.
CLOSED = {
    Mode.OFFLINE: "Not contacted: the mode is Offline.",
    Mode.LOCAL: "Not contacted: the mode is Local.",
}


class Catalog:
    """The offers of all providers. Cloud providers are not even asked while the mode closes the cloud."""

    def __init__(
        self,
        providers: Iterable[Provider],
        prices: Prices | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.providers = {provider.name: provider for provider in providers}
        self._prices = prices or Prices()
        self._clock = clock
        self._slots: dict[str, int | None] = {}
        self._found: dict[str, tuple[float, ProviderStatus]] = {}
        self._probes: dict[str, asyncio.Task[ProviderStatus]] = {}

    async def close(self) -> None:
        """End the probes that are under way."""
        probes = list(self._probes.values())
        for probe in probes:
            probe.cancel()
        await asyncio.gather(*probes, return_exceptions=True)

    async def statuses(
        self, mode: Mode, max_age_s: Callable[[State], float] | None = None
    ) -> tuple[ProviderStatus, ...]:
        """Return every provider's status, one per provider.

        What is known is returned at once, and refreshed behind the caller's back where it is old. What is not known
        yet is waited for, and so is what is older than ``max_age_s(state)`` seconds.
        """
        looks = [self._look(provider, mode, max_age_s) for provider in self.providers.values()]
        probes = [look for look in looks if isinstance(look, asyncio.Task)]
        if probes:  # almost never: a request must not pay for tasks
            await asyncio.wait(probes)  # and who is cancelled here cancels no probe that others wait for
        return tuple([look if isinstance(look, ProviderStatus) else self._outcome(look) for look in looks])

    def _outcome(self, probe: asyncio.Task[ProviderStatus]) -> ProviderStatus:
        if not probe.cancelled():
            return probe.result()
        provider = self.providers[probe.get_name().removeprefix(_PROBE)]
        return _blank(provider, State.DISABLED, "Not contacted: the mode has changed.")

    async def offers(self, mode: Mode, *, retry: bool = False) -> tuple[Offer, ...]:
        """Return the offers of all providers that answer; ``retry`` asks those that were down again first."""
        return tuple([o for status in await self.statuses(mode, _retry if retry else None) for o in status.offers])

    def knows(self, route: str) -> bool:
        """Return whether a provider has lately offered a model of this name."""
        return any(offer.route == route for _, status in self._found.values() for offer in status.offers)

    async def adopt(self, providers: Iterable[Provider], changed: str) -> None:
        """Take over providers that were set up anew; what was known of ``changed`` is forgotten."""
        probe = self._probes.pop(changed, None)
        if probe is not None:
            probe.cancel()
            await asyncio.gather(probe, return_exceptions=True)
        self.providers = {provider.name: provider for provider in providers}
        self._found.pop(changed, None)

    def slots_of(self, provider: str) -> int | None:
        """Return how many requests a server works on at once, as it said; None where it did not."""
        return self._slots.get(provider)

    def doubt(self, provider: str) -> None:
        """Let the provider be asked again, behind the next request's back: a call to it has just failed."""
        if provider in self._found:
            self._found[provider] = (float("-inf"), self._found[provider][1])

    def forget_cloud(self) -> None:
        """Stop asking what is in the cloud, at once."""
        for name, probe in list(self._probes.items()):
            if self.providers[name].locality is Locality.CLOUD:
                probe.cancel()

    def _look(
        self, provider: Provider, mode: Mode, max_age_s: Callable[[State], float] | None
    ) -> ProviderStatus | asyncio.Task[ProviderStatus]:
        """Return what is known, or the probe that will know it."""
        if provider.locality is Locality.CLOUD and mode in CLOSED:
            return _blank(provider, State.DISABLED, CLOSED[mode])
        known = self._found.get(provider.name)
        if known is None:
            return self._probe(provider)
        asked_at, status = known
        age_s = self._clock() - asked_at
        if max_age_s is not None and age_s >= max_age_s(status.state):
            return self._probe(provider)
        if age_s > (FRESH_S if status.state is State.READY else FRESH_WHEN_DOWN_S):
            self._probe(provider)
        return status

    def _probe(self, provider: Provider) -> asyncio.Task[ProviderStatus]:
        """Return the probe of a provider, the one that is under way if there is one."""
        probe = self._probes.get(provider.name)
        if probe is None:
            probe = asyncio.create_task(self._ask(provider), name=_PROBE + provider.name)
            self._probes[provider.name] = probe
            probe.add_done_callback(lambda _: self._probes.pop(provider.name, None))
        return probe

    async def _ask(self, provider: Provider) -> ProviderStatus:
        try:
            offers = await self._priced(provider, await provider.offers())
            if provider.locality is Locality.LOCAL:
                self._slots[provider.name] = await provider.slots()
        except UpstreamUnreachable as error:
            step = error.next_step or provider.next_step
            status = replace(_blank(provider, State.UNREACHABLE, error.message), next_step=step)
        except AidpError as error:
            status = replace(_blank(provider, State.ERROR, error.message), next_step=error.next_step)
        except Exception:
            # A server may answer anything; one odd provider must not take the others along.
            log.exception("asking %s for its models failed", provider.label)
            status = _blank(provider, State.ERROR, f"{provider.label} answered in a way that aidp does not understand.")
        else:
            count = f"{len(offers)} model{'s' * (len(offers) != 1)}"
            status = replace(
                _blank(provider, State.READY, count), offers=offers, next_step=None if offers else provider.next_step
            )
        self._found[provider.name] = (self._clock(), status)
        return status

    async def _priced(self, provider: Provider, offers: tuple[Offer, ...]) -> tuple[Offer, ...]:
        """Return the offers with what each costs: nothing for what runs here."""
        if provider.keeps_accounts:
            return offers
        if any(offer.locality is Locality.CLOUD for offer in offers):
            await self._prices.load()
        return tuple(
            replace(offer, price=FREE)
            if offer.locality is Locality.LOCAL
            else replace(offer, price=self._prices.of(offer.provider, offer.model))
            for offer in offers
        )


def _retry(state: State) -> float:
    return float("inf") if state is State.READY else RETRY_S


def _blank(provider: Provider, state: State, message: str) -> ProviderStatus:
    return ProviderStatus(
        name=provider.name,
        label=provider.label,
        url=provider.url,
        locality=provider.locality,
        state=state,
        message=message,
        checked_at=datetime.now(UTC) if state is not State.DISABLED else None,
    )
