"""The jobs of Ship: at most one a repository, told to whoever watches, kept between its steps."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace
from pathlib import Path

from aidp_ext.core.errors import AidpError, Conflict, NotFound
from aidp_ext.git.command import Git
from aidp_ext.git.ship.job import JobStore, ShipAsked, ShipJob, new_job
from aidp_ext.git.ship.steps import Run, Surroundings

log = logging.getLogger("aidp")


class AlreadyShipping(Conflict):
    """A job of this repository is under way."""

    code = "already_shipping"


@dataclass
class _Running:
    job: ShipJob
    task: asyncio.Task[None] | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    begun: asyncio.Event = field(default_factory=asyncio.Event)  # ``task`` is there, or nothing came of it

    def tell(self, job: ShipJob) -> None:
        """Wake up all who watch."""
        self.job = job
        self.changed.set()
        self.changed = asyncio.Event()


class ShipService:
    """Starts, resumes, cancels and remembers jobs. A job goes on when nobody watches it."""

    def __init__(self, folder: Path) -> None:
        self._store = JobStore(folder)
        self._running: dict[Path, _Running] = {}

    async def job(self, git: Git) -> ShipJob | None:
        """Return the last job of a repository. One that a crash ended is ``interrupted``."""
        running = self._running.get(git.root)
        if running is not None:
            return running.job
        job = await asyncio.to_thread(self._store.load, git.root)
        if job is not None and job.state == "running":
            return _interrupted(job)
        return job

    async def start(self, git: Git, path: str, asked: ShipAsked, around: Surroundings) -> ShipJob:
        """Begin a job and return it. Raises AlreadyShipping; one that only follows its checks makes way."""
        running = self._running.get(git.root)
        if running is not None:
            if running.job.step("checks").state != "running":
                raise AlreadyShipping("This repository is being shipped.", next_step="Wait for it, or stop it.")
            await self.cancel(git)
            if git.root in self._running:  # another tab was as quick
                raise AlreadyShipping("This repository is being shipped.", next_step="Wait for it, or stop it.")
        return await self._begin(git, new_job(path, asked), around)

    async def resume(self, git: Git, around: Surroundings) -> ShipJob:
        """Go on with the last job where it failed, was stopped or was interrupted. Raises NotFound."""
        if git.root in self._running:
            return self._running[git.root].job
        job = await self.job(git)
        if git.root in self._running:  # another tab was as quick
            return self._running[git.root].job
        if job is None or job.state == "done":
            raise NotFound("There is nothing to go on with.", next_step="Ship anew.")
        asked = job.asked
        again = ["failed", "running"]
        if job.commit is None:
            # What is staged may have been mended since: it is checked anew, and what is found then is committed.
            asked = replace(asked, tree=None)
            again.append("done")
        steps = tuple(replace(step, state="waiting", error=None) if step.state in again else step for step in job.steps)
        return await self._begin(git, replace(job, state="running", steps=steps, asked=asked), around)

    async def _begin(self, git: Git, job: ShipJob, around: Surroundings) -> ShipJob:
        running = self._running[git.root] = _Running(job)
        try:
            await asyncio.to_thread(self._store.save, git.root, job)
            running.task = asyncio.create_task(self._work(git, running, around))
        except BaseException:
            del self._running[git.root]
            raise
        finally:
            running.begun.set()
        return job

    async def _work(self, git: Git, running: _Running, around: Surroundings) -> None:
        async def say(job: ShipJob) -> None:
            # What only tells of progress need not be kept; where a step begins or ends must be.
            if [step.state for step in job.steps] != [step.state for step in running.job.steps] or (
                (job.commit, job.tree, job.runs) != (running.job.commit, running.job.tree, running.job.runs)
            ):
                await asyncio.to_thread(self._store.save, git.root, job)
            running.tell(job)

        run = Run(git, running.job, around, say)
        state: str = "failed"
        try:
            await run.all()
            state = "done"
        except asyncio.CancelledError:
            state = "cancelled"
            raise
        except AidpError as error:
            log.info("ship: %s", error.code)
        except Exception:
            log.exception("ship failed")
            failed = AidpError("Ship failed; the server's log says how.", next_step="Go on with it, or report it.")
            for step in run.job.steps:
                if step.state == "running":
                    run.job = run.job.with_step(step.name, "failed", "", failed)
        finally:
            ended = replace(run.job, state=state)  # type: ignore[arg-type]
            if state == "cancelled":
                ended = _stopped(ended)
            # cancelled or not, and in this order: who looks next must find either the task or what it left
            with contextlib.suppress(AidpError):
                self._store.save(git.root, ended)
            self._running.pop(git.root, None)
            running.tell(ended)

    async def watch(self, git: Git) -> AsyncGenerator[ShipJob, None]:
        """Yield the job as it changes, until it is over."""
        running = self._running.get(git.root)
        if running is None:
            job = await self.job(git)
            if job is not None:
                yield job
            return
        while True:
            changed, job = running.changed, running.job
            yield job
            if job.state != "running":
                return
            await changed.wait()

    async def cancel(self, git: Git) -> ShipJob | None:
        """Stop the job and return it; nothing that was done is undone."""
        running = self._running.get(git.root)
        if running is not None:
            await running.begun.wait()
        if running is None or running.task is None:
            return await self.job(git)
        running.task.cancel()
        await asyncio.wait([running.task])
        return running.job

    async def forget(self, git: Git) -> None:
        """Forget a job that is over. Raises AlreadyShipping for one that is not."""
        if git.root in self._running:
            raise AlreadyShipping("This repository is being shipped.", next_step="Stop it first.")
        await asyncio.to_thread(self._store.forget, git.root)

    async def close(self) -> None:
        """End all jobs; they can be gone on with later."""
        tasks = [running.task for running in self._running.values() if running.task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def _stopped(job: ShipJob) -> ShipJob:
    """Return a job that was stopped; where only its checks were left, all of its own work is done."""
    if job.step("checks").state == "running":
        return replace(job.with_step("checks", "skipped", "not followed further"), state="done")
    now = next((step.name for step in job.steps if step.state == "running"), None)
    return job if now is None else job.with_step(now, "waiting", "stopped")


def _interrupted(job: ShipJob) -> ShipJob:
    now = next((step.name for step in job.steps if step.state == "running"), None)
    return replace(job if now is None else job.with_step(now, "waiting", "interrupted"), state="interrupted")
