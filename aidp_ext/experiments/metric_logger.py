"""A logger for tight loops: it takes a metric in a microsecond and sends a thousand of them in one call.

::

    from aidp_ext.experiments import MetricLogger

    with mlflow.start_run(), MetricLogger() as log:
        for step, batch in enumerate(batches):
            log(loss=train(batch), step=step)
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
import time
import weakref
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

#: As many as MLflow takes in one call.
MOST_IN_A_CALL = 1000
_KEPT_ERRORS = 20
_LONGEST_PAUSE_S = 30.0

_Point = tuple[str, float, int, int]  # name, value, step, time

_open: weakref.WeakSet[MetricLogger] = weakref.WeakSet()


class MetricLogger:
    """Logs metrics to a run, by default the active one, in the background.

    It may be used from several threads; metrics arrive in the order in which they were logged, each with its own step
    and time. Nothing here raises for a tracking server that is away: one line is printed, ``errors`` has what went
    wrong last, ``lost`` counts what never arrived. What is left is sent at :meth:`close`, at the end of the ``with``
    block, after an interrupt too, when ``mlflow.end_run`` is called and when Python ends.
    """

    def __init__(
        self,
        run_id: str | None = None,
        *,
        every_s: float = 1.0,
        most: int = 100_000,
        client: Any = None,
    ) -> None:
        """``every_s``: a metric waits no longer than this, so that curves grow while the loop runs. ``most``: as many
        may wait; whoever logs more waits until some are sent. ``client``: an ``MlflowClient``, for another server.

        Raises RuntimeError where no run is active and none is named.
        """
        import mlflow
        from mlflow.entities import Metric

        if run_id is None:
            active = mlflow.active_run()
            if active is None:
                raise RuntimeError("There is no active run: use MetricLogger inside mlflow.start_run(), or name a run.")
            run_id = active.info.run_id
        self.run_id = run_id
        self.errors: list[Exception] = []
        self.sent = 0
        self.lost = 0
        self._client = client if client is not None else mlflow.MlflowClient()
        self._metric = Metric
        self._every_s = every_s
        self._most = most
        self._waiting: list[_Point] = []
        self._steps: dict[str, int] = {}
        self._changed = threading.Condition()
        self._is_sending = False
        self._wants_all = False
        self._is_closed = False
        self._is_away = False  # the tracking server, when it was last asked
        self._pid = os.getpid()
        self._worker: threading.Thread | None = None
        _end_with_the_run()
        _open.add(self)

    # ---- what a loop calls

    def __call__(self, *, step: int | None = None, timestamp_ms: int | None = None, **metrics: float) -> None:
        """Log metrics by their names: ``log(loss=0.1, accuracy=0.9, step=3)``; see :meth:`log`."""
        self.log(metrics, step=step, timestamp_ms=timestamp_ms)

    def log(self, metrics: Mapping[str, Any], *, step: int | None = None, timestamp_ms: int | None = None) -> None:
        """Log some metrics of one step. Without a step each name counts its own, from 0 on.

        A value is anything that is a number: of PyTorch and NumPy too, and NaN. Raises TypeError and ValueError for
        what is none, and RuntimeError after :meth:`close`.
        """
        at = timestamp_ms if timestamp_ms is not None else time.time_ns() // 1_000_000
        values = [(name, float(value)) for name, value in metrics.items()]
        with self._changed:
            if self._is_closed or os.getpid() != self._pid:
                what = "closed" if self._is_closed else "of another process"
                raise RuntimeError(f"This MetricLogger is {what}.")
            while len(self._waiting) >= self._most and not self._is_away:
                self._changed.wait(1.0)
            if not self._waiting:
                self._changed.notify_all()
            for name, value in values:
                counted = self._steps.get(name, -1) + 1 if step is None else step
                self._steps[name] = counted
                self._waiting.append((name, value, counted, at))
            if self._worker is None:
                self._begin()
            elif len(self._waiting) >= MOST_IN_A_CALL:
                self._changed.notify_all()
            self._drop(len(self._waiting) - 2 * self._most)  # the server is away, and the loop goes on

    def flush(self, timeout_s: float | None = None) -> bool:
        """Send what waits, and return when it has arrived; False where that took too long or could not be done."""
        end = None if timeout_s is None else time.monotonic() + timeout_s
        with self._changed:
            self._wants_all = True
            self._changed.notify_all()
            self._is_away = False
            while (self._waiting or self._is_sending) and not self._is_away:
                left = None if end is None else end - time.monotonic()
                if left is not None and left <= 0:
                    return False
                self._changed.wait(min(1.0, left) if left is not None else 1.0)
            return not (self._waiting or self._is_sending)

    def close(self) -> None:
        """Send what is left and end. It may be called twice."""
        with self._changed:
            if self._is_closed and self._worker is None:
                return
            self._is_closed = True
            self._changed.notify_all()
            worker = self._worker
        if worker is not None and worker is not threading.current_thread():
            _join(worker)
        with self._changed:
            self._worker = None
        _open.discard(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    # ---- in the background

    def _begin(self) -> None:
        self._worker = threading.Thread(target=self._work, name=f"aidp-metrics-{self.run_id[:8]}", daemon=True)
        self._worker.start()

    def _work(self) -> None:
        failures = 0
        while (batch := self._next()) is not None:
            left, lost = self._send(batch)
            failures = failures + 1 if left else 0
            with self._changed:
                self.sent += len(batch) - len(left) - lost
                self.lost += lost
                self._is_sending = False
                self._is_away = bool(left)
                self._waiting[:0] = left
                if left and self._is_closed:
                    self._drop(len(self._waiting))
                self._changed.notify_all()
                if left:
                    self._wants_all = False
                    pause_s = min(_LONGEST_PAUSE_S, 0.25 * 2**failures)
                    self._changed.wait_for(lambda: self._is_closed or self._wants_all, timeout=pause_s)

    def _next(self) -> list[_Point] | None:
        """Wait for what is to be sent now and return it; None at the end."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._waiting or self._wants_all or self._is_closed)
                self._changed.wait_for(self._is_urgent, timeout=self._every_s)
                if batch := self._waiting[:MOST_IN_A_CALL]:
                    del self._waiting[:MOST_IN_A_CALL]
                    self._is_sending = True
                    return batch
                self._wants_all = False
                self._changed.notify_all()
                if self._is_closed:
                    return None

    def _is_urgent(self) -> bool:
        return len(self._waiting) >= MOST_IN_A_CALL or self._wants_all or self._is_closed

    def _drop(self, number: int) -> None:
        if number > 0:
            del self._waiting[:number]
            self.lost += number

    def _send(self, batch: list[_Point]) -> tuple[list[_Point], int]:
        """Send some metrics; return those that did not arrive and may later, and how many never will."""
        metrics = [self._metric(key=name, value=value, timestamp=at, step=step) for name, value, step, at in batch]
        try:
            self._client.log_batch(self.run_id, metrics=metrics, synchronous=True)
        except Exception as error:  # of whatever store is behind the client, which has tried for a while
            names = {point[0] for point in batch}
            if not _is_refusal(error):
                self._report(error, "will be tried again")
                return batch, 0
            if len(names) == 1 or _is_about_run(error):
                self._report(error, "are lost")
                return [], len(batch)
            # One name that the server does not take is not to take the others along.
            results = [self._send([point for point in batch if point[0] == name]) for name in sorted(names)]
            return [point for left, _ in results for point in left], sum(lost for _, lost in results)
        return [], 0

    def _report(self, error: Exception, what: str) -> None:
        self.errors.append(error)
        del self.errors[:-_KEPT_ERRORS]
        if len(self.errors) == 1:
            print(f"aidp: metrics of run {self.run_id} could not be sent and {what}: {error}", file=sys.stderr)  # noqa: T201


def _is_refusal(error: Exception) -> bool:
    """Return whether it is the metrics that the server does not take: the same would be refused again."""
    return getattr(error, "error_code", "") in ("INVALID_PARAMETER_VALUE", "BAD_REQUEST") or _is_about_run(error)


def _is_about_run(error: Exception) -> bool:
    return getattr(error, "error_code", "") in ("RESOURCE_DOES_NOT_EXIST", "PERMISSION_DENIED")


def _join(worker: threading.Thread) -> None:
    """Wait for the last metrics; a second interrupt ends the wait, the first one is passed on afterwards."""
    interrupted: BaseException | None = None
    while worker.is_alive():
        try:
            worker.join()
        except KeyboardInterrupt as error:
            if interrupted is not None:
                raise
            interrupted = error
    if interrupted is not None:
        raise interrupted


# ---- the end of a run, and of Python

_hooked: list[bool] = []


def _end_with_the_run() -> None:
    """Have ``mlflow.end_run``, which the end of ``with mlflow.start_run()`` calls too, wait for what is left."""
    if _hooked:
        return
    _hooked.append(True)
    import mlflow
    from mlflow.tracking import fluent

    original = fluent.end_run

    def end_run(*args: Any, **kwargs: Any) -> None:
        active = mlflow.active_run()
        if active is not None:
            for logger in [one for one in _open if one.run_id == active.info.run_id]:
                logger.close()
        original(*args, **kwargs)

    end_run.__doc__ = original.__doc__
    fluent.end_run = end_run
    mlflow.end_run = end_run
    atexit.register(_close_all)


def _close_all() -> None:
    for logger in [*_open]:
        with contextlib.suppress(Exception):
            logger.close()
