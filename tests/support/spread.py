"""How all tests are shared out among the cores: what shares a costly server stays together, the rest goes by files."""

from __future__ import annotations

import os

import pytest
from xdist.scheduler import LoadScopeScheduling

#: Tests that share a browser, a wheel or a hub, by the groups that stay together. They wait much, so they come first.
#: Containers are in the browser's group: each that starts changes the machine's network, and Chromium then drops what
#: it is loading.
TOGETHER = (
    (
        "tests/e2e/",
        *(f"tests/hub/test_{name}.py" for name in ("admin", "live_editing", "user_domains")),
        *(f"tests/hub/test_{name}.py" for name in ("containers", "gpu_containers")),
    ),
    ("tests/packaging/",),
    ("tests/hub/",),
)
#: Next, by files: those that start servers. What is left needs nothing but the processor.
NEXT = ("tests/hosts/", "tests/git/", "tests/experiments/", "tests/docs/")
#: With more, each of them starts its own servers for too few tests.
MOST_WORKERS = 3


class ByServers(LoadScopeScheduling):
    """Gives a worker all tests of a package that stays together, or those of one file."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", 1)[0]
        return next((group[0] for group in TOGETHER if file.startswith(group)), file)


def workers(config: pytest.Config) -> int:
    """Return how many workers there are: none where tests are named, which run here, where they can be watched."""
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    return min(os.cpu_count() or 1, MOST_WORKERS) if whole else 0


def place(item: pytest.Item) -> int:
    """Return where a test comes among all: the longest work begins first, so that nobody waits for it in the end."""
    order = (*TOGETHER, *((package,) for package in NEXT))
    return next((number for number, group in enumerate(order) if item.nodeid.startswith(group)), len(order))
