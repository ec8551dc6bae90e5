"""``hub/gpus``: the hub's GPUs, and whose turn it is; in the hub's service, and in each user's server for Lab."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypedDict, cast

from msgspec import Meta, Struct

from aidp_ext.core.errors import Conflict, Forbidden, NotFound, StorageError, Unauthenticated, Unavailable
from aidp_ext.core.web import Api, Route, endpoint
from aidp_ext.hub.gpus import Gpus, GpusSaid, TeamGpus
from aidp_ext.hub.schedule import ANY

Name = Annotated[str, Meta(max_length=255)]


class NoGpus(NotFound):
    """The hub leases no GPUs."""

    code = "no_gpus"


class Which(Struct):
    """For which of the caller's servers; empty is the usual one. A user's own server knows that by itself."""

    server: Name = ""


class TurnAsked(Which):
    """Any GPU, or one of a kind."""

    kind: Annotated[str, Meta(max_length=255, description="As `gpus` names it; empty is any.")] = ANY


class Released(Struct):
    """Whose server is to be stopped."""

    user: Annotated[str, Meta(min_length=1, max_length=255)]
    server: Name = ""


class ReleasedSaid(TypedDict):
    """That the hub stops the server. The GPU is free when it is gone."""

    user: str
    server: str


class _GpuApi(Api):
    def gpus(self) -> Gpus:
        """Return the leases. Raises NoGpus where there are none."""
        gpus = self.settings.get("aidp_gpus")
        if gpus is None:
            raise NoGpus("This hub leases no GPUs.")
        return cast(Gpus, gpus)


class GpuLook(_GpuApi):
    """``hub/gpus``."""

    @endpoint("read", query=Which, gives=GpusSaid, raises=(StorageError, Unavailable))
    async def get(self) -> None:
        """Return the GPUs with who has them, and the lease or the place of the caller's server, which it keeps."""
        asked = self.query(Which)
        if self.settings.get("aidp_gpus") is None:
            self.reply(GpusSaid(is_on=False))
            return
        self.reply(await self.gpus().look(self.who(), asked.server))


class GpuTurn(_GpuApi):
    """``hub/gpus/wait``."""

    @endpoint(
        "execute",
        takes=TurnAsked,
        example={"kind": ""},
        gives=GpusSaid,
        raises=(NoGpus, Conflict, Forbidden, StorageError, Unavailable),
    )
    async def post(self) -> None:
        """Wait for a GPU. Who does not look for five minutes has left; an offer is taken by starting the server."""
        asked = self.body(TurnAsked)
        self.reply(await self.gpus().wait(self.who(), asked.server, asked.kind))

    @endpoint("execute", query=Which, gives=GpusSaid, raises=(NoGpus, Conflict, Forbidden, StorageError, Unavailable))
    async def delete(self) -> None:
        """Wait no more, and decline what is offered."""
        self.reply(await self.gpus().leave(self.who(), self.query(Which).server))


class GpuLease(_GpuApi):
    """``hub/gpus/extend``."""

    @endpoint(
        "execute",
        takes=Which,
        example={"server": ""},
        gives=GpusSaid,
        raises=(NoGpus, NotFound, Conflict, Forbidden, StorageError, Unavailable),
    )
    async def post(self) -> None:
        """Let the lease of the caller's server last anew from now, unless somebody waits."""
        self.reply(await self.gpus().extend(self.who(), self.body(Which).server))


class GpuRelease(_GpuApi):
    """``hub/gpus/release``: for admins."""

    scope = "custom:aidp:admin"
    is_program: Callable[[], bool]  # the host's base class answers it

    @endpoint(
        "execute",
        takes=Released,
        example={"user": "ana"},
        gives=ReleasedSaid,
        raises=(NoGpus, NotFound, StorageError, Unavailable),
    )
    async def post(self) -> None:
        """Stop the server of somebody who has a GPU; it is given to the next when the server is gone."""
        # No cookie, which a browser sends by itself: a page that an admin has opened must not do this.
        if "Authorization" not in self.request.headers or not self.is_program():
            raise Unauthenticated("This takes a token.", next_step="Send it as `Authorization: Bearer …`.")
        asked = self.body(Released)
        gpus = cast(TeamGpus, self.gpus())
        await gpus.release(self.who(), asked.user, asked.server)
        said: ReleasedSaid = {"user": asked.user, "server": asked.server}
        self.reply(said)


#: For Lab, in a user's server too.
USER_ROUTES: tuple[Route, ...] = (
    (r"hub/gpus", GpuLook),
    (r"hub/gpus/wait", GpuTurn),
    (r"hub/gpus/extend", GpuLease),
)
ROUTES: tuple[Route, ...] = (*USER_ROUTES, (r"hub/gpus/release", GpuRelease))
