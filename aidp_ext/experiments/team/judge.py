"""Whether a caller may do something to a thing of MLflow's, whatever it is called by."""

from __future__ import annotations

from collections.abc import Mapping

from aidp_ext.core.errors import Forbidden, NotFound
from aidp_ext.experiments.models import Caller, Right
from aidp_ext.experiments.team.lookup import Lookup
from aidp_ext.experiments.team.permissions import Permissions

_NAMES: Mapping[str, str] = {
    "experiment": "experiment",
    "run": "run",
    "logged_model": "model",
    "trace": "trace",
    "dataset": "data set",
    "model": "registered model",
}
_VERBS: Mapping[Right, str] = {"read": "see", "write": "change", "manage": "manage"}
#: MLflow's own first experiment, which is everybody's there and nobody's here.
DEFAULT = "0"


class Judge:
    """Decides by the permissions, and asks MLflow where a thing belongs to an experiment."""

    def __init__(self, permissions: Permissions, lookup: Lookup) -> None:
        self.permissions = permissions
        self.lookup = lookup

    async def require(self, caller: Caller, kind: str, id_: str, right: Right) -> str:
        """Return the experiment that something belongs to, or a registered model's own name.

        Raises Forbidden where the caller may see it and no more, and NotFound where they may not, be it there or not.
        """
        if kind == "model":
            if not await self.permissions.may_model(caller, id_, right):
                raise await self._refusal(caller, kind, id_, right)
            return id_
        if kind == "dataset":
            return await self._dataset(caller, id_, right)
        experiment = id_ if kind == "experiment" else await self.lookup.experiment_of(kind, id_)
        if experiment is None:
            raise _hidden(kind)
        if not await self.permissions.may(caller, experiment, right):
            raise await self._refusal(caller, kind, experiment, right)
        return experiment

    async def _dataset(self, caller: Caller, id_: str, right: Right) -> str:
        experiments = await self.lookup.experiments_of_dataset(id_)
        if not experiments:  # of no experiment: nobody's
            raise _hidden("dataset")
        for experiment in experiments:
            if not await self.permissions.may(caller, experiment, right):
                raise await self._refusal(caller, "dataset", experiment, right)
        return experiments[0]

    async def _refusal(self, caller: Caller, kind: str, owner: str, right: Right) -> Forbidden | NotFound:
        is_model = kind == "model"
        may = self.permissions.may_model if is_model else self.permissions.may
        if not await may(caller, owner, "read"):
            if kind == "experiment" and owner == DEFAULT:
                return Forbidden(
                    "MLflow's experiment “Default” belongs to nobody in a team.",
                    next_step=f"Choose one: mlflow.set_experiment('~{caller.who}'), or MLFLOW_EXPERIMENT_NAME.",
                )
            return _hidden(kind)
        whose = await self.permissions.shared("model" if is_model else "experiment", owner)
        step = f"Ask {whose.owner or 'an admin'} to share it with you."
        return Forbidden(f"You may not {_VERBS[right]} this {_NAMES[kind]}.", next_step=step)


def _hidden(kind: str) -> NotFound:
    return NotFound(f"There is no such {_NAMES[kind]}, or it is not shared with you.")
