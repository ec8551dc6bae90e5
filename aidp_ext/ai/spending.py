"""What calls cost: the budgets that bind a caller, money held before a call is sent, what it cost in the end."""

from __future__ import annotations

import logging
from dataclasses import replace

from aidp_ext.ai.budgets import BudgetRules, Limit, limits_for, prompt_bound, tightest, worst_case_usd
from aidp_ext.ai.calls import Reservation
from aidp_ext.ai.catalog import Catalog
from aidp_ext.ai.config import AiConfig
from aidp_ext.ai.ledger import Ledger
from aidp_ext.ai.models import FREE, NO_USAGE, Budget, Caller, Dialect, Locality, Offer, Price, Usage
from aidp_ext.ai.ongoing import Ongoing
from aidp_ext.ai.prices import Prices
from aidp_ext.ai.providers.base import Body
from aidp_ext.ai.records import as_row
from aidp_ext.core.errors import AidpError, BudgetExhausted

log = logging.getLogger("aidp")

_SHORTEST_ANSWER = 256  # tokens: what money is left for less is not worth a call
_MOST_TOKENS = 1_000_000_000  # that one call can use: what a server reports beyond is nonsense


class Spending:
    """Prices, reserves and settles calls. What the team's gateway keeps accounts of is only told here."""

    def __init__(self, config: AiConfig, catalog: Catalog, ledger: Ledger, prices: Prices) -> None:
        self._catalog = catalog
        self._ledger = ledger
        self._prices = prices
        self._rules = budget_rules(config)
        self._most_usually: int = config.default_output_tokens
        reference = config.reference_price
        self._reference = Price(reference.get("input", 0.0), reference.get("output", 0.0))

    def limits(self, caller: Caller) -> tuple[Limit, ...]:
        """Return the budgets that bind a caller."""
        return limits_for(caller, self._rules)

    async def budget(self, caller: Caller) -> Budget:
        """Return the money as the policy sees it: the budget that is used up, or else the one with the least left."""
        limits = self.limits(caller)
        if not limits:
            return Budget()
        if any(limit.limit_usd == 0 for limit in limits):
            return Budget(limit_usd=0.0)
        try:
            states = await self._ledger.budgets(limits)
        except AidpError:
            return Budget()  # what costs something will be refused where it is to be reserved
        state = next((s for s in states if s.state == "hard"), None) or tightest(states)
        if state is None:
            return Budget()
        return Budget(state.limit.limit_usd, state.spent_usd, state.limit.soft_usd)

    def is_paid_here(self, offer: Offer) -> bool:
        """Return whether a call would need a reservation."""
        if offer.locality is Locality.LOCAL or self._catalog.providers[offer.provider].keeps_accounts:
            return False
        return offer.price is None or not offer.price.is_free

    def price(self, offer: Offer, body: Body, prompt_tokens: int | None = None) -> Price:
        """Return the price for a prompt of so many tokens, or of as many as it can have: long ones may be dearer."""
        if offer.locality is Locality.LOCAL:
            return FREE
        if self._catalog.providers[offer.provider].keeps_accounts:
            return offer.price or FREE  # to tell it; what it costs is reserved and settled there
        tokens = prompt_bound(body, offer.context_length) if prompt_tokens is None else prompt_tokens
        return self._prices.of(offer.provider, offer.model, prompt_tokens=tokens, body=body)

    def usual_output(self, offer: Offer) -> int:
        """Return the longest answer, in tokens, that is paid for where a request does not say."""
        return min(self._most_usually, offer.max_output_tokens or 1 << 30)

    async def reserve(self, call: Ongoing, offer: Offer, price: Price, body: Body) -> tuple[Reservation | None, Body]:
        """Set the money aside that the call can cost at the most; return the reservation and the body to send.

        Where a budget binds and the request does not limit its answer, a limit is set: the usual one, or what the
        money left is enough for. Raises BudgetExhausted, and StorageError where it cannot be written down.
        """
        if price.is_free or self._catalog.providers[offer.provider].keeps_accounts:
            return None, body
        limits = self.limits(call.caller)
        asked = call.request.output_tokens
        most = asked or self.usual_output(offer)
        if call.dialect is Dialect.EMBEDDINGS:
            asked = most = 0
        context = offer.context_length
        ledger = self._ledger
        draft = as_row(replace(call, attempts=call.attempts + 1))  # it will have been asked where this process dies
        try:
            usd = worst_case_usd(price, body, most, context_tokens=context)
            reservation = await ledger.reserve(call.id, call.caller.name, limits, usd, draft=draft)
        except BudgetExhausted as error:
            if asked is not None or not price.output:
                raise
            prompt_usd = worst_case_usd(price, body, 0, context_tokens=context)
            token_usd = worst_case_usd(price, body, 1, context_tokens=context) - prompt_usd
            left_usd = error.details["left_usd"]  # of this very moment; what `budgets` says may be a second old
            most = int((left_usd - prompt_usd) / token_usd) if token_usd else 0
            if most < _SHORTEST_ANSWER:
                raise
            usd = worst_case_usd(price, body, most, context_tokens=context)
            reservation = await ledger.reserve(call.id, call.caller.name, limits, usd, draft=draft)
        if limits and asked is None:
            call.notes.append(f"max_tokens_set_to_{most}")
            body = limited(body, most)
        return reservation, body

    def account(
        self,
        call: Ongoing,
        price: Price,
        usage: Usage,
        estimate: int,
        reservation: Reservation | None,
        *,
        is_whole: bool = True,
    ) -> None:
        """Note what an answer used and cost.

        Where the provider did not say, or the answer broke off before it did, ``estimate`` tells its tokens: by the
        size of what came. It never costs more than was reserved, which is the most that the call can cost.
        """
        assert call.choice is not None
        offer = call.choice.offer
        if not _is_plausible(usage):
            log.warning("%s reports numbers of tokens that cannot be", offer.route)
            usage = NO_USAGE
        is_said = bool(usage.prompt_tokens) and (  # no prompt has 0 tokens
            usage.completion_tokens is not None or call.dialect is Dialect.EMBEDDINGS
        )
        is_estimated = not price.is_free and not (is_said and is_whole)
        if is_estimated:
            call.notes.append("usage_estimated")
            prompt = usage.prompt_tokens or max(call.request.prompt_tokens, 1)
            said = max(usage.completion_tokens or 0, estimate)
            usage = replace(usage, prompt_tokens=prompt, completion_tokens=said)
        call.usage = usage
        if offer.locality is Locality.LOCAL:
            call.saved_usd = self._reference.cost_usd(usage)
        elif not price.is_free:
            call.cost_usd = self.price(offer, call.body, usage.prompt_tokens).cost_usd(usage)
        if is_estimated and reservation is not None:
            call.cost_usd = min(call.cost_usd, reservation.usd)


def _is_plausible(usage: Usage) -> bool:
    """Return whether a provider's counts of tokens can be true: sums of money are made of them."""
    counts = (
        usage.prompt_tokens,
        usage.completion_tokens,
        usage.cached_tokens,
        usage.cache_write_tokens,
        usage.reasoning_tokens,
    )
    return all(count is None or 0 <= count <= _MOST_TOKENS for count in counts)


def limited(body: Body, most: int) -> Body:
    """Return the body with its answer limited; a newer name of the limit would win over the one set here."""
    return {**{key: value for key, value in body.items() if key != "max_completion_tokens"}, "max_tokens": most}


def budget_rules(config: AiConfig) -> BudgetRules:
    """Return the budgets of the settings."""
    return BudgetRules(
        deployment_monthly_usd=config.monthly_budget_usd,
        deployment_daily_usd=config.daily_budget_usd,
        user_monthly_usd=config.user_monthly_budget_usd,
        user_daily_usd=config.user_daily_budget_usd,
        team_monthly_usd=config.team_monthly_budgets_usd,
        team_daily_usd=config.team_daily_budgets_usd,
        soft_share=config.soft_budget_share,
    )
