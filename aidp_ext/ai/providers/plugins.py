"""Providers of other packages: the entry points of the group ``aidp.providers``.

An entry point's name is the provider's name, the first part of its models' routes. It leads to
``make(config, http) -> Provider | None``; None is for a provider that is not set up. See docs/howto/add-a-provider.md.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection
from importlib.metadata import EntryPoint, entry_points

from aidp_ext.ai.config import AiConfig
from aidp_ext.ai.providers.base import Provider
from aidp_ext.core.http import HttpClient

log = logging.getLogger("aidp")

GROUP = "aidp.providers"
Make = Callable[[AiConfig, HttpClient], Provider | None]

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


def plugged_in(config: AiConfig, http: HttpClient, taken: Collection[str]) -> list[Provider]:
    """Return the providers that other packages add, none of them under a name that is ``taken``.

    One that cannot be loaded is left out and logged: it must not take the server along.
    """
    found: dict[str, Provider] = {}
    for point in entry_points(group=GROUP):
        if not _NAME.fullmatch(point.name) or point.name in taken or point.name in found:
            log.error("the provider %r of %s is left out: its name is taken, or is none", point.name, point.value)
            continue
        try:
            provider = _made(point, config, http)
        except (Exception, SystemExit) as error:  # whatever a stranger's module does when it is imported
            log.error("the provider %r of %s is left out: %s", point.name, point.value, type(error).__name__)
            log.debug("the provider %r", point.name, exc_info=True)
            continue
        if provider is not None:
            found[point.name] = provider
    return list(found.values())


def _made(point: EntryPoint, config: AiConfig, http: HttpClient) -> Provider | None:
    make: Make = point.load()
    provider = make(config, http)
    if provider is not None and (not isinstance(provider, Provider) or provider.name != point.name):
        raise TypeError("not a Provider of that name")
    return provider
