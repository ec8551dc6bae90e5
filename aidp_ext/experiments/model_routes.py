"""The endpoints of registered models."""

from __future__ import annotations

from aidp_ext.core.web import Route, endpoint
from aidp_ext.experiments import wire
from aidp_ext.experiments.base_routes import SERVER_ERRORS, ExperimentsApi


class Models(ExperimentsApi):
    """``experiments/models``."""

    @endpoint("read", query=wire.SearchQuery, gives=wire.ModelsSaid, raises=SERVER_ERRORS)
    async def get(self) -> None:
        """Return the registered models with their latest versions. Starts the tracking server."""
        search = self.query(wire.SearchQuery).search
        self.reply(wire.ModelsSaid(await self.service.models(self.caller, search)))


class Register(ExperimentsApi):
    """``experiments/runs/<id>/register``."""

    @endpoint(
        "write",
        takes=wire.RegisterAsked,
        example={"name": "titanic", "artifact": "model"},
        gives=wire.Registered,
        raises=SERVER_ERRORS,
    )
    async def post(self, id: str) -> None:
        """Register what a run logged as a version of a model, which is made where there is none."""
        from aidp_ext.experiments.models_registry import Wanted

        asked = self.body(wire.RegisterAsked)
        wanted = Wanted(asked.name, asked.artifact, asked.model_id, asked.alias, asked.description)
        self.reply(wire.Registered(asked.name, await self.service.register(self.caller, id, wanted)))


class ModelAlias(ExperimentsApi):
    """``experiments/models/alias``."""

    @endpoint(
        "write",
        takes=wire.AliasAsked,
        example={"name": "titanic", "alias": "champion", "version": "1"},
        gives=wire.DoneSaid,
        raises=SERVER_ERRORS,
    )
    async def put(self) -> None:
        """Let an alias name a version of a model, and no other one any more."""
        asked = self.body(wire.AliasAsked)
        await self.service.registry.set_alias(self.caller, asked.name, asked.alias, asked.version)
        self.reply(wire.DoneSaid())

    @endpoint(
        "write",
        takes=wire.AliasAsked,
        example={"name": "titanic", "alias": "champion", "version": "1"},
        gives=wire.DoneSaid,
        raises=SERVER_ERRORS,
    )
    async def delete(self) -> None:
        """Take an alias away."""
        asked = self.body(wire.AliasAsked)
        await self.service.registry.delete_alias(self.caller, asked.name, asked.alias)
        self.reply(wire.DoneSaid())


class ModelTag(ExperimentsApi):
    """``experiments/models/tag``."""

    @endpoint(
        "write",
        takes=wire.ModelTagAsked,
        example={"name": "titanic", "version": "1", "key": "stage", "value": "production"},
        gives=wire.DoneSaid,
        raises=SERVER_ERRORS,
    )
    async def post(self) -> None:
        """Set a tag of a version of a model."""
        asked = self.body(wire.ModelTagAsked)
        await self.service.registry.tag(self.caller, asked.name, asked.version, asked.key, asked.value)
        self.reply(wire.DoneSaid())


ROUTES: tuple[Route, ...] = (
    (r"experiments/models", Models),
    (r"experiments/models/alias", ModelAlias),
    (r"experiments/models/tag", ModelTag),
    (r"experiments/runs/([^/]+)/register", Register),
)
