"""Ends the runs whose process is gone: nobody else will say so, and they would be shown as running for ever."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping

from aidp_ext.core.errors import AidpError, NotFound
from aidp_ext.experiments.lineage import process
from aidp_ext.experiments.lineage.evidence import process_of
from aidp_ext.experiments.lineage.send import call, is_passing, tag
from aidp_ext.experiments.upstream import Upstream

#: What is said of a run that did not end by itself (``aidp.ended``).
GONE, RESTARTED = "process gone", "kernel restarted"
REBOOTED, REPLACED = "machine restarted", "server restarted"
_MOST_KNOWN = 10_000

_log = logging.getLogger("aidp.experiments")


def is_dead(tags: Mapping[str, str], here: Mapping[str, str] | None = None, server: str = "") -> str | None:
    """Return why the process that began a run cannot be running any more; None where it is, or nobody here can tell.

    ``here`` is where this process counts (:func:`aidp_ext.experiments.lineage.process.place`), ``server`` its name in
    a hub. The number of a process is used again, so its start counts too; of other hosts and containers nothing is
    known, except that a hub's server with one name runs only once: what an earlier one of it started has ended.
    """
    here = here if here is not None else process.place()
    told = process_of(tags)
    pid = told.get("pid")
    if type(pid) is not int or pid <= 0 or not told.get("start"):
        return None
    if tags.get("aidp.job.id"):  # it has its own keeper
        return None
    is_ours = bool(server) and told.get("server") == server
    if told.get("host") != here["host"] or (told.get("ns") != here["ns"] and told.get("boot") == here["boot"]):
        return REPLACED if is_ours else None
    if told.get("boot") != here["boot"]:
        return REBOOTED
    if process.start_of(pid) == str(told["start"]) and not process.is_zombie(pid):
        return None
    return GONE


class Reconciler:
    """Knows which runs were begun through this server, and ends those of processes that are gone."""

    def __init__(self, upstream: Upstream, has_kernel: Callable[[str], bool]) -> None:
        """``has_kernel``: whether the server runs a kernel of this id, which survives a restart of its process."""
        self._upstream = upstream
        self._has_kernel = has_kernel
        self._running: dict[str, Mapping[str, str]] = {}
        self._ending: dict[str, float] = {}  # runs that are being ended, or could not be

    def began(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Take note of a run."""
        if len(self._running) >= _MOST_KNOWN:
            self._running.pop(next(iter(self._running)))
        self._running[run_id] = tags

    def ended(self, run_id: str) -> None:
        """Take note that a run has ended by itself."""
        self._running.pop(run_id, None)

    @property
    def running(self) -> list[tuple[str, Mapping[str, str]]]:
        """The runs that were begun through this server and have not ended, as :meth:`reconcile` takes them."""
        return list(self._running.items())

    def ended_runs(self, rows: Iterable[tuple[str, Mapping[str, str]]]) -> list[tuple[str, str]]:
        """Return which of these runs, given with their tags, can no longer be running, and why. Asks nobody."""
        here, server = process.place(), process.server_name()
        found: list[tuple[str, str]] = []
        for run_id, tags in rows:
            why = is_dead(tags, here, server)
            if why == GONE and "aidp.file" not in tags and self._has_kernel(tags.get("aidp.kernel.id", "")):
                why = RESTARTED
            if why is not None:
                found.append((run_id, why))
        return found

    async def reconcile(self, rows: Iterable[tuple[str, Mapping[str, str]]]) -> list[tuple[str, str]]:
        """End the runs of these that can no longer be running: KILLED, with the reason as ``aidp.ended``.

        Returns those that were ended now; one that the tracking server does not take is tried again after a minute.
        """
        now, done = time.monotonic(), list[tuple[str, str]]()
        listed = await asyncio.to_thread(self.ended_runs, list(rows))
        for run_id, why in listed:
            if now < self._ending.get(run_id, 0.0):
                continue
            self._ending[run_id] = now + 60
            try:
                if await self._end(run_id, why):
                    done.append((run_id, why))
                self._running.pop(run_id, None)
            except NotFound:
                self._running.pop(run_id, None)
            except AidpError as error:
                _log.info("run %s could not be ended: %s", run_id, error.message)
                if is_passing(error):  # the others would fare no better
                    del self._ending[run_id]
                    break
        self._ending = {run: until for run, until in self._ending.items() if until > now}
        return done

    async def look_back(self, user: str) -> None:
        """Take note of the user's runs that are said to be running, from before this server."""
        quoted = user.replace("'", "")  # MLflow's filter has no way to write one
        wanted = {"filter": f"attributes.status = 'RUNNING' AND tags.`aidp.user` = '{quoted}'", "max_results": 1000}
        try:
            answer = await call(self._upstream, "experiments/search", {"max_results": 1000})
            ids = [one["experiment_id"] for one in answer.get("experiments", [])]
            found = await call(self._upstream, "runs/search", {"experiment_ids": ids, **wanted}) if ids else {}
        except AidpError as error:
            _log.info("earlier runs could not be looked at: %s", error.message)
            return
        for run in found.get("runs", []):
            tags = {one["key"]: one["value"] for one in run["data"].get("tags", [])}
            self.began(run["info"]["run_id"], tags)

    async def _end(self, run_id: str, why: str) -> bool:
        """End one run, unless it has ended since it was listed: it may just have said so itself."""
        answer = await call(self._upstream, "runs/get", {"run_id": run_id}, method="GET")
        run = answer.get("run", {})
        tags = {one["key"]: one["value"] for one in run.get("data", {}).get("tags", [])}
        is_over = run.get("info", {}).get("status") not in ("RUNNING", "SCHEDULED")
        if is_over or not self.ended_runs([(run_id, tags)]):  # or another process goes on with it
            return False
        await tag(self._upstream, run_id, {"aidp.ended": why})
        now_ms = time.time_ns() // 1_000_000
        await call(self._upstream, "runs/update", {"run_id": run_id, "status": "KILLED", "end_time": now_ms})
        return True
