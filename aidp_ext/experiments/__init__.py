"""Experiments: runs beside the cell that made them, live, compared and restored; MLflow is the system of record.

For notebooks: ``from aidp_ext.experiments import MetricLogger``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aidp_ext.experiments.metric_logger import MetricLogger

__all__ = ["MetricLogger"]


def __getattr__(name: str) -> Any:
    """Import what notebooks use when it is first asked for: the server has no use for it."""
    if name == "MetricLogger":
        from aidp_ext.experiments.metric_logger import MetricLogger

        return MetricLogger
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
