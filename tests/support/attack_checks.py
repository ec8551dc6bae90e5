"""The checks that schemathesis has not itself; it loads this module, see attack.py."""

from __future__ import annotations

import json
from typing import Any

import schemathesis

#: What Git and forges have rules for that no schema can say.
_GITS_OWN = {"branch", "base", "path", "files", "name", "token", "host", "kind", "url"}
#: And MLflow: its search syntax, and which file is a model.
_MLFLOWS_OWN = {"filter", "order_by", "artifact"}
#: And the hub: how people and teams may be called.
_HUBS_OWN = {"owner", "users", "teams"}


@schemathesis.check
def only_a_model_refuses_what_fits(ctx: Any, response: Any, case: Any) -> None:
    """A request that fits the document gets a 400 from a model, never from aidp before it has asked one."""
    if case.meta is None or not case.meta.generation.mode.is_positive or response.status_code != 400:
        return
    details = json.loads(response.content)["error"]["details"]
    is_theirs = details.get("provider") == "MLflow" or details.get("field") in _GITS_OWN | _MLFLOWS_OWN | _HUBS_OWN
    assert "call" in details or is_theirs, "aidp itself refused what fits its document"
