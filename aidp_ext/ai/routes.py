"""The AI router's endpoints: parse, call the service, emit."""

from __future__ import annotations

from typing import Any

from tornado import web

from aidp_ext.ai import dialect
from aidp_ext.ai.models import Answer, Caller, Choice, Mode, Offer, Privacy, ProviderStatus, RouteRequest, Task
from aidp_ext.ai.policy import REASONS
from aidp_ext.ai.service import NEXT_STEP, AiService
from aidp_ext.core.web import Api, Route, endpoint

_MODES = {
    Mode.HYBRID: ("Hybrid", "Completion and small edits on local models, hard reasoning in the cloud."),
    Mode.LOCAL: ("Local", "Only models on your own machines answer."),
    Mode.OFFLINE: ("Offline", "As Local, and no connection to anything else is opened."),
    Mode.CLOUD: ("Cloud", "Cloud models first; private requests still stay local."),
}
_FORWARDED = ("X-AIDP-Task", "X-AIDP-Privacy")


class AiApi(Api):
    """What the AI endpoints have in common."""

    @property
    def ai(self) -> AiService:
        """The host's router."""
        service: AiService = self.settings["aidp_ai"]
        return service

    def caller(self, task: Task) -> Caller:
        """Return who asks, with the headers that a gateway must see."""
        given = {name: self.request.headers[name] for name in _FORWARDED if name in self.request.headers}
        return Caller(self.who(), {**given, "X-AIDP-Task": str(task)})

    def check_size(self) -> None:
        """Refuse a body that is too large before any time goes into reading it."""
        limit = self.ai.config.max_prompt_bytes
        if len(self.request.body) > limit:
            raise web.HTTPError(413, f"The request is larger than {limit:,} bytes.")

    def routed(self, parsed: dialect.ChatRequest | dialect.CompletionRequest, usual: Task) -> RouteRequest:
        """Return the policy's view of the request: its body's, with the headers'."""
        headers = self.request.headers
        return RouteRequest(
            task=dialect.header(Task, "X-AIDP-Task", headers.get("X-AIDP-Task")) or usual,
            model=parsed.model,
            privacy=dialect.header(Privacy, "X-AIDP-Privacy", headers.get("X-AIDP-Privacy")),
            needs=parsed.needs(),
            prompt_tokens=parsed.tokens(),
        )

    async def emit(self, answer: Answer) -> None:
        """Send an answer in the form that it has."""
        if answer.events is not None:
            await self.stream(answer.events, headers=answer.headers)
        else:
            self.reply(answer.document, headers=answer.headers)


class ChatCompletions(AiApi):
    """``v1/chat/completions``."""

    @endpoint("execute")
    async def post(self) -> None:
        """Answer a chat."""
        self.check_size()
        body = self.document()
        request = self.routed(self.fit(body, dialect.ChatRequest), Task.CHAT)
        await self.emit(await self.ai.chat(request, body, self.caller(request.task)))


class Completions(AiApi):
    """``v1/completions``, with ``suffix`` for fill in the middle."""

    @endpoint("execute")
    async def post(self) -> None:
        """Complete a text."""
        self.check_size()
        body = self.document()
        request = self.routed(self.fit(body, dialect.CompletionRequest), Task.COMPLETE)
        await self.emit(await self.ai.complete(request, body, self.caller(request.task)))


class Models(AiApi):
    """``v1/models``."""

    @endpoint("read")
    async def get(self) -> None:
        """List the models that may be used now, the automatic choices first."""
        offers = await self.ai.models()
        automatic = [{"id": name, "object": "model", "created": 0, "owned_by": "aidp"} for name in _automatic(offers)]
        self.reply({"object": "list", "data": automatic + [_model(offer) for offer in offers]})


class ModelByName(AiApi):
    """``v1/models/<route>``."""

    @endpoint("read")
    async def get(self, name: str) -> None:
        """Return one model."""
        offers = await self.ai.models()
        for offer in offers:
            if name in (offer.route, offer.model):
                return self.reply(_model(offer))
        if name in _automatic(offers):
            return self.reply({"id": name, "object": "model", "created": 0, "owned_by": "aidp"})
        request = RouteRequest(model=name)
        raise self.ai.explain_none(request, await self.ai.route(request))


class RouteDecision(AiApi):
    """``route``: the decision without the call."""

    @endpoint("read")
    async def post(self) -> None:
        """Say which model would answer, and why each other one would not."""
        request = dialect.route_request(self.body(dialect.RouteQuestion))
        decision = await self.ai.route(request)
        best = decision.best
        said: dict[str, Any] = {
            "mode": self.ai.mode,
            "task": request.task,
            "offers": [_choice(choice) for choice in decision.ranked],
            "refused": [_choice(choice) for choice in decision.refused],
        }
        if best is not None:
            said |= {**_choice(best), "loaded": best.offer.loaded, "next_step": None}
        else:
            error = self.ai.explain_none(request, decision)
            said |= dict.fromkeys(("route", "provider", "model", "label", "locality", "loaded"))
            said |= {"reason": "no_model", "message": error.message, "next_step": error.next_step or NEXT_STEP}
        self.reply(said)


class Providers(AiApi):
    """``providers``."""

    @endpoint("read")
    async def get(self) -> None:
        """List the model servers with their state and models; ``?refresh=1`` asks each of them again."""
        statuses = await self.ai.providers(refresh=self.get_query_argument("refresh", "") in ("1", "true"))
        self.reply({"mode": self.ai.mode, "providers": [_provider(status) for status in statuses]})


class CurrentMode(AiApi):
    """``mode``."""

    @endpoint("read")
    async def get(self) -> None:
        """Return the mode and the ones to choose from."""
        self._say()

    @endpoint("write")
    async def put(self) -> None:
        """Take another mode; it is kept over restarts."""
        mode = self.body(dialect.ModeChange).mode
        self.ai.set_mode(mode, Caller(self.who()))
        self._say()

    def _say(self) -> None:
        modes = [{"mode": mode, "label": label, "description": text} for mode, (label, text) in _MODES.items()]
        self.reply({"mode": self.ai.mode, "modes": modes})


#: What every host serves.
ROUTES: tuple[Route, ...] = (
    (r"ai/v1/chat/completions", ChatCompletions),
    (r"ai/v1/completions", Completions),
    (r"ai/v1/models", Models),
    (r"ai/v1/models/(.+)", ModelByName),
    (r"ai/route", RouteDecision),
    (r"ai/providers", Providers),
)
#: What only a user's own server serves: in the hub the mode is the admin's.
USER_ROUTES: tuple[Route, ...] = ((r"ai/mode", CurrentMode),)


def _automatic(offers: tuple[Offer, ...]) -> list[str]:
    if not offers:
        return []
    return ["auto", *(f"auto:{locality}" for locality in sorted({offer.locality for offer in offers}, reverse=True))]


def _model(offer: Offer) -> dict[str, Any]:
    return {
        "id": offer.route,
        "object": "model",
        "created": 0,
        "owned_by": offer.provider,
        "aidp": {
            "locality": offer.locality,
            "label": offer.display,
            "capabilities": sorted(offer.capabilities),
            "context_length": offer.context_length,
        },
    }


def _choice(choice: Choice) -> dict[str, Any]:
    offer = choice.offer
    return {
        "route": offer.route,
        "provider": offer.provider,
        "model": offer.model,
        "label": offer.display,
        "locality": offer.locality,
        "reason": choice.reason,
        "message": REASONS[choice.reason],
    }


def _provider(status: ProviderStatus) -> dict[str, Any]:
    return {
        "name": status.name,
        "label": status.label,
        "url": status.url,
        "locality": status.locality,
        "state": status.state,
        "message": status.message,
        "next_step": status.next_step,
        "checked_at": status.checked_at,
        "models": [
            {
                "id": offer.model,
                "route": offer.route,
                "label": offer.display,
                "locality": offer.locality,
                "capabilities": sorted(offer.capabilities),
                "context_length": offer.context_length,
                "loaded": offer.loaded,
            }
            for offer in status.offers
        ],
    }
