"""What the endpoints of the slice have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aidp_ext.core.errors import (
    Conflict,
    Forbidden,
    NotFound,
    RateLimited,
    StorageError,
    Unavailable,
    UpstreamError,
    UpstreamTimeout,
)
from aidp_ext.core.web import Api
from aidp_ext.experiments.models import Caller

if TYPE_CHECKING:
    from aidp_ext.experiments.service import ExperimentsService

#: What the index may answer, and what the tracking server.
INDEX_ERRORS = (NotFound, StorageError, Unavailable)
SERVER_ERRORS = (*INDEX_ERRORS, Forbidden, Conflict, RateLimited, UpstreamError, UpstreamTimeout)


class ExperimentsApi(Api):
    """What the endpoints have in common."""

    @property
    def service(self) -> ExperimentsService:
        """The host's service, made when the first one asks: a server of which nobody does need not load it."""
        service: ExperimentsService = self.settings["aidp_experiments"]()
        return service

    @property
    def caller(self) -> Caller:
        """Who asks."""
        return Caller(self.who(), tuple(self.teams()), self.sees_everybody())
