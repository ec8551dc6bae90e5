"""How all tests are shared out among the cores: what shares a costly server stays together, the rest goes by files."""

from __future__ import annotations

import os

import pytest
from xdist.scheduler import LoadScopeScheduling

#: Packages whose tests share a browser, a hub or a wheel. They wait much, so they come first, in this order.
TOGETHER = ("tests/e2e/", "tests/packaging/", "tests/hub/")
#: Next, by files: those that start servers. What is left needs nothing but the processor.
NEXT = ("tests/hosts/", "tests/git/", "tests/experiments/", "tests/docs/")
#: With more, each of them starts its own servers for too few tests.
MOST_WORKERS = 3


class ByServers(LoadScopeScheduling):
    """Gives a worker all tests of a package that stays together, or those of one file."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", 1)[0]
        return next((package for package in TOGETHER if file.startswith(package)), file)


def workers(config: pytest.Config) -> int:
    """Return how many workers there are: none where tests are named, which run here, where they can be watched."""
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    return min(os.cpu_count() or 1, MOST_WORKERS) if whole else 0


def place(item: pytest.Item) -> int:
    """Return where a test comes among all: the longest work begins first, so that nobody waits for it in the end."""
    order = (*TOGETHER, *NEXT)
    return next((number for number, package in enumerate(order) if item.nodeid.startswith(package)), len(order))
