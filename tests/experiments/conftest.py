"""What the tests of the experiments share: one real MLflow behind the proxy, which takes long to start."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.desk import ByRestOnly, Desk
from tests.support.tracking import TrackingHost, tracking_host


@pytest.fixture(scope="session")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrackingHost]:
    """A tracking server, for all tests."""
    with tracking_host(tmp_path_factory.mktemp("tracking")) as host:
        yield host


@pytest.fixture(scope="package")
def desk(tracking: TrackingHost, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """The experiments' service before that server, whose database it reads itself."""
    made = Desk(tracking, tmp_path_factory.mktemp("desk"))
    yield made
    made.close()


@pytest.fixture(scope="package")
def far(tracking: TrackingHost, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """The same before a server of which only the REST API is there."""
    made = Desk(tracking, tmp_path_factory.mktemp("far"), ByRestOnly(tracking.upstream))
    yield made
    made.close()
