"""aidp: JupyterLab and JupyterHub as an AI-assisted developer platform for data scientists."""

from __future__ import annotations

from typing import Any

from aidp_ext._version import __version__

__all__ = ["__version__"]


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    return [{"src": "labextension", "dest": "aidp-ext"}]


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    from aidp_ext.app import AidpApp

    return [{"module": "aidp_ext.app", "app": AidpApp}]


def load_ipython_extension(shell: Any) -> None:
    """Add ``%%ai``, ``%ai`` and ``%%experiment`` to a notebook, and have runs know their cell.

    The server has each Python kernel of its own environment do so. What the magics need is imported when they are
    first used: the start of every kernel waits for this.
    """
    from aidp_ext.experiments.lineage import kernel

    def ai(line: str, cell: str | None = None) -> None:
        """Ask a model: the cell is the prompt. ``%ai --help`` lists the options, ``%ai`` says who would answer."""
        from aidp_ext.ai.magic import run

        run(shell, line, cell)

    def experiment(line: str, cell: str) -> None:
        """Run the cell as a run of an experiment. ``%%experiment --help`` lists the options."""
        from aidp_ext.experiments.magic import run

        run(shell, line, cell)

    shell.register_magic_function(ai, "line_cell", "ai")
    shell.register_magic_function(experiment, "cell", "experiment")
    kernel.load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """Take the magics away again, and note cells no more."""
    from aidp_ext.experiments.lineage import kernel

    for kind in ("line", "cell"):
        for name in ("ai", "experiment"):
            shell.magics_manager.magics[kind].pop(name, None)
    kernel.unload()
