"""``%%experiment`` in a notebook: the cell is a run. MLflow is imported when it is first used."""

from __future__ import annotations

import argparse
import contextlib
import html
import os
import shlex
import sys
from collections.abc import Iterator
from typing import Any, NoReturn


class MagicError(Exception):
    """What a cell with ``%%experiment`` ends with, where it is not the cell's own error: one message, no traceback."""

    def __init__(self, message: str, next_step: str | None = None) -> None:
        super().__init__(message)
        self.next_step = next_step

    def _render_traceback_(self) -> list[str]:
        return [f"aidp: {self}", *([self.next_step] if self.next_step else [])]


_HINT = "%%experiment --help lists the options."


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise MagicError(f"{message[:1].upper()}{message[1:]}.", _HINT)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="%%experiment",
        add_help=False,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Run the cell as a run: it begins before the cell and ends with it, FAILED after an error and"
        "\nKILLED after an interrupt. mlflow.log_metric(…) and the like work in the cell as always.",
    )
    add = parser.add_argument
    add("name", nargs="?", help="the run's name (taken if unset: one of MLflow's)")
    add("-e", "--experiment", metavar="NAME", help="the experiment (taken if unset: the current one)")
    add("-p", "--param", action="append", default=[], metavar="K=V", help="log a parameter; K alone: the variable K")
    add("-t", "--tag", action="append", default=[], metavar="K=V", help="set a tag")
    add("-m", "--metric", action="append", default=[], metavar="NAME", help="log this variable when the cell ends")
    add("-a", "--autolog", action="store_true", help="switch MLflow's autolog on for this cell")
    add("-s", "--system-metrics", action="store_true", help="log processor, memory and GPU while the cell runs")
    add("-h", "--help", action="store_true", help="show this")
    return parser


def _parsed(line: str) -> argparse.Namespace:
    try:
        return _parser().parse_args(shlex.split(line))
    except ValueError as error:  # an open quotation mark
        raise MagicError(f"The options cannot be read: {error}.", _HINT) from error


def run(shell: Any, line: str, cell: str) -> None:
    """Do what ``%%experiment`` says. Raises MagicError; what the cell raises is shown as always."""
    options = _parsed(line)
    if options.help:
        print(_parser().format_help())  # noqa: T201 - a magic's output
        return
    params = {name: _param(shell, name, value) for name, value in _pairs(options.param, "--param")}
    tags = {name: str(value or "") for name, value in _pairs(options.tag, "--tag")}
    try:
        import mlflow
    except ImportError as error:
        raise MagicError("MLflow is not installed in this kernel's environment.", "%pip install mlflow") from error
    if (open_run := mlflow.active_run()) is not None:
        raise MagicError(f"Run {open_run.info.run_id} is open already.", "End it: mlflow.end_run()")
    active = _started(mlflow, options, params, tags)
    with _autolog(mlflow, options.autolog):
        failure = _run_cell(shell, cell)
    notes = _finish(mlflow, shell, options, failure)
    _say(active, notes)
    if failure is not None:
        raise failure


@contextlib.contextmanager
def _autolog(mlflow: Any, is_wanted: bool) -> Iterator[None]:
    from mlflow.utils.autologging_utils import autologging_is_disabled

    if not is_wanted or not autologging_is_disabled("mlflow"):  # type: ignore[no-untyped-call]  # it is on already, and is to stay so
        yield
        return
    mlflow.autolog(silent=True)
    try:
        yield
    finally:
        mlflow.autolog(disable=True, silent=True)


def _run_cell(shell: Any, cell: str) -> BaseException | None:
    """Run the cell and return what it raised, which shows itself as it would without the magic."""
    shown: list[list[str]] = []

    def keep(*_: Any, **__: Any) -> None:
        kind, value, at = sys.exc_info()
        # Without the frames of IPython that called the code, as IPython itself leaves them out.
        shown.append(shell.InteractiveTB.structured_traceback(kind, value, at, tb_offset=1))

    shell.showtraceback, shell.showsyntaxerror = keep, lambda *_, **__: None
    try:
        result = shell.run_cell(cell, store_history=False)
    finally:
        del shell.showtraceback, shell.showsyntaxerror
    failure: BaseException | None = result.error_before_exec or result.error_in_exec
    if failure is not None and shown:
        failure._render_traceback_ = lambda: shown[-1]  # type: ignore[attr-defined]
    return failure


def _started(mlflow: Any, options: argparse.Namespace, params: dict[str, str], tags: dict[str, str]) -> Any:
    try:
        if options.experiment:
            mlflow.set_experiment(options.experiment)
        system = True if options.system_metrics else None
        active = mlflow.start_run(run_name=options.name, tags=tags or None, log_system_metrics=system)
        if params:
            mlflow.log_params(params)
    except Exception as error:
        if mlflow.active_run() is not None:
            mlflow.end_run("FAILED")
        raise MagicError(f"The run could not be started, so the cell did not run: {error}") from error
    return active


def _finish(mlflow: Any, shell: Any, options: argparse.Namespace, error: BaseException | None) -> list[str]:
    """Log what was asked for and end the run; return what could not be done, in words."""
    notes: list[str] = []
    try:
        if error is None:
            for name in options.metric:
                notes += _log_metric(mlflow, shell, name)
        status = "KILLED" if isinstance(error, KeyboardInterrupt) else "FINISHED" if error is None else "FAILED"
        if mlflow.active_run() is not None:  # the cell may have ended it
            mlflow.end_run(status)
    except Exception as fault:  # the cell's own result must not be lost for it
        notes.append(f"the run could not be ended: {fault}")
    return notes


def _log_metric(mlflow: Any, shell: Any, name: str) -> list[str]:
    if name not in shell.user_ns:
        return [f"there is no variable {name}"]
    try:
        mlflow.log_metric(name, float(shell.user_ns[name]))
    except (TypeError, ValueError):
        return [f"{name} is no number"]
    return []


def _pairs(given: list[str], option: str) -> list[tuple[str, str | None]]:
    found = []
    for one in given:
        name, sign, value = one.partition("=")
        if not name.strip():
            raise MagicError(f"{option} {one!r}: the name is missing.", _HINT)
        found.append((name.strip(), value if sign else None))
    return found


def _param(shell: Any, name: str, value: str | None) -> str:
    """Return a parameter as it was given, or the variable of its name."""
    if value is not None:
        return value
    if name not in shell.user_ns:
        raise MagicError(f"--param {name}: there is no variable of this name.", f"Give its value: --param {name}=…")
    return str(shell.user_ns[name])


def _say(active: Any, notes: list[str]) -> None:
    from IPython.display import display

    info = active.info
    said = f"run {info.run_name} · {info.run_id}"
    shown = html.escape(said)
    if base := os.environ.get("MLFLOW_TRACKING_URI", "").rstrip("/"):
        link = f"{base}/#/experiments/{info.experiment_id}/runs/{info.run_id}"
        if base.startswith(("http://", "https://")):
            shown = f'<a href="{html.escape(link)}" target="_blank" rel="noopener">{shown}</a>'
    more = "".join(f" · {note}" for note in notes)
    quiet = f'<small style="opacity: 0.7">{shown}{html.escape(more)}</small>'
    display({"text/plain": said + more, "text/html": quiet}, raw=True)  # type: ignore[no-untyped-call]
