"""Who has access to an experiment or a registered model; and, in a user's server, the way to the team's experiments."""

from __future__ import annotations

import asyncio
from typing import Annotated, TypedDict
from urllib.parse import quote

import msgspec
from msgspec import Meta, Struct

from aidp_ext.core.errors import AidpError, Forbidden, InvalidRequest, NotFound, StorageError
from aidp_ext.core.streamed import StreamedApi
from aidp_ext.core.web import Api, Route, WsApi, endpoint, error_body
from aidp_ext.experiments.models import Caller, Right
from aidp_ext.experiments.team.forward import ServiceLink, headers_of
from aidp_ext.experiments.team.permissions import Kind, Permissions, Role, Shared

_ID = r"([A-Za-z0-9_-]{1,64})"
_MOST_WAITING = 256  # messages of a websocket on their way to the service

Name = Annotated[str, Meta(min_length=1, max_length=255)]
Roles = Annotated[dict[str, Role], Meta(max_length=200)]


class AccessWanted(Struct):
    """With whom it is to be shared, and nobody else. The owner stays where none is named."""

    teams: Annotated[Roles, Meta(description="The hub's groups, each with what its members may.")]
    users: Annotated[Roles, Meta(description="People, each with what they may.")]
    owner: Annotated[Name, Meta(description="Whose it is to be; only an admin may say so.")] | None = None


class AccessSaid(TypedDict):
    """Whose it is, and with whom it is shared."""

    owner: str | None
    teams: dict[str, Role]
    users: dict[str, Role]


class ModelNamed(Struct):
    """Which registered model."""

    name: Annotated[str, Meta(min_length=1, max_length=1000)]


class _AccessApi(Api):
    """Access to a thing of one kind."""

    async def _show(self, kind: Kind, id_: str) -> None:
        await self._require(kind, id_, "read")
        self._said(await self._permissions().shared(kind, id_))

    async def _share(self, kind: Kind, id_: str) -> None:
        wanted = self.body(AccessWanted)
        await self._require(kind, id_, "manage")
        permissions = self._permissions()
        owner = wanted.owner or (await permissions.shared(kind, id_)).owner
        self._said(await permissions.share(self._caller(), kind, id_, Shared(owner, wanted.teams, wanted.users)))

    async def _require(self, kind: Kind, id_: str, right: Right) -> None:
        permissions, caller = self._permissions(), self._caller()
        may = permissions.may_model if kind == "model" else permissions.may
        if await may(caller, id_, right):
            return
        what = "registered model" if kind == "model" else "experiment"
        if not await may(caller, id_, "read"):
            raise NotFound(f"There is no such {what}, or it is not shared with you.")
        owner = (await permissions.shared(kind, id_)).owner or "an admin"
        raise Forbidden(f"You may not share this {what}.", next_step=f"Ask {owner} to do it.")

    def _permissions(self) -> Permissions:
        found: Permissions = self.settings["aidp_permissions"]()
        return found

    def _caller(self) -> Caller:
        return Caller(self.who(), self.teams(), self.sees_everybody())

    def _said(self, shared: Shared) -> None:
        said: AccessSaid = {"owner": shared.owner, "teams": dict(shared.teams), "users": dict(shared.users)}
        self.reply(said)


class ExperimentAccess(_AccessApi):
    """``experiments/(id)/access``: with whom an experiment of the team's tracking server is shared."""

    @endpoint("read", gives=AccessSaid, raises=(NotFound, StorageError))
    async def get(self, id_: str) -> None:
        """Return whose it is and with whom it is shared, to whoever may read it."""
        await self._show("experiment", id_)

    @endpoint(
        "write",
        takes=AccessWanted,
        example={"teams": {"birds": "write"}, "users": {"ben": "read"}},
        gives=AccessSaid,
        raises=(NotFound, InvalidRequest, StorageError),
    )
    async def put(self, id_: str) -> None:
        """Share it with these, and nobody else. The audit record has each change."""
        await self._share("experiment", id_)


class ModelAccess(_AccessApi):
    """``experiments/models/access``: with whom a registered model of the team's tracking server is shared."""

    @endpoint("read", query=ModelNamed, gives=AccessSaid, raises=(NotFound, StorageError))
    async def get(self) -> None:
        """Return whose it is and with whom it is shared, to whoever may read it."""
        await self._show("model", self.query(ModelNamed).name)

    @endpoint(
        "write",
        query=ModelNamed,
        takes=AccessWanted,
        example={"teams": {"birds": "write"}, "users": {}},
        gives=AccessSaid,
        raises=(NotFound, InvalidRequest, StorageError),
    )
    async def put(self) -> None:
        """Share it with these, and nobody else. The audit record has each change."""
        await self._share("model", self.query(ModelNamed).name)


#: What the hub's service has below ``aidp/`` beside the slice's own routes; they come before those.
ROUTES: tuple[Route, ...] = (
    (r"experiments/models/access", ModelAccess),
    (rf"experiments/{_ID}/access", ExperimentAccess),
)


# --- in a user's server


class TeamExperiments(StreamedApi):
    """``experiments/…`` of a user's server in a hub: the team's tracking server answers, as to the user."""

    async def _pass(self, path: str) -> None:
        link: ServiceLink = self.settings["aidp_team"]()
        target = f"/{quote(f'experiments{path}', safe='/')}"
        if self.request.query:
            target += f"?{self.request.query}"
        body = self.chunks() if self.has_body else None
        async with link.passing(str(self.request.method), target, dict(self.request.headers), body) as response:
            self.set_status(response.status)
            self.clear_header("Content-Type")
            for name, value in headers_of(response):
                self.set_header(name, value)
            async for chunk in response.content.iter_any():
                self.write(chunk)
                await self.flush()
            await self.finish()

    @endpoint("read", gives=str)
    async def get(self, path: str) -> None:
        """Ask the team's server."""
        await self._pass(path)

    @endpoint("write", gives=str)
    async def post(self, path: str) -> None:
        """Ask the team's server."""
        await self._pass(path)

    @endpoint("write", gives=str)
    async def put(self, path: str) -> None:
        """Ask the team's server."""
        await self._pass(path)

    @endpoint("write", gives=str)
    async def patch(self, path: str) -> None:
        """Ask the team's server."""
        await self._pass(path)

    @endpoint("write", gives=str)
    async def delete(self, path: str) -> None:
        """Ask the team's server."""
        await self._pass(path)


class TeamLive(WsApi):
    """``experiments/live`` of a user's server in a hub: messages go on to the team's server and back."""

    action = "read"
    _talk: asyncio.Task[None] | None = None

    def open(self, *_: str) -> None:
        """Connect to the service; what comes meanwhile waits."""
        self._incoming: asyncio.Queue[str | bytes | None] = asyncio.Queue(_MOST_WAITING)
        self._talk = asyncio.create_task(self._pass())

    async def _pass(self) -> None:
        link: ServiceLink = self.settings["aidp_team"]()
        code = 1011
        try:
            code = await link.talk("/experiments/live", self._incoming, self._send)
        except AidpError as error:
            await self._send(msgspec.json.encode({"kind": "error", **error_body(error)}).decode())
        finally:
            # 1005 and 1006 say that no code came; they cannot be sent
            self.close(code if code in (1000, 1001, 1011, 1013) or 3000 <= code < 5000 else 1011)

    async def _send(self, message: str | bytes) -> None:
        if self.ws_connection is not None:
            await self.write_message(message, binary=isinstance(message, bytes))

    async def on_message(self, message: str | bytes) -> None:
        """Pass it on; a service that takes nothing slows the page down."""
        await self._incoming.put(message)

    def on_close(self) -> None:
        """End the connection to the service."""
        if self._talk is not None:
            self._talk.cancel()


#: What a user's server has below ``aidp/`` in place of the slice's own routes where the team's server keeps the runs.
SERVER_ROUTES: tuple[Route, ...] = (
    (r"experiments/live", TeamLive),
    (r"experiments((?:/.*)?)", TeamExperiments),
)
