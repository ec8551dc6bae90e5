"""MLflow's routes, each with what it needs. What is not here does not pass.

A rule names, for each field that leads to something of somebody's, what kind of thing that is and which right to it the
caller needs. Routes are those of MLflow 3.17, below ``api/`` and ``ajax-api/`` alike; a test compares the table with
the installed MLflow's own list, and fails for a route that is in neither :data:`RULES` nor :data:`REFUSED`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from aidp_ext.experiments.models import Right

Kind = Literal["experiment", "run", "logged_model", "trace", "dataset", "model"]
Where = Literal["path", "query", "body"]


class Need(Struct, frozen=True):
    """A field that names something, and the right to it."""

    kind: Kind
    field: str
    right: Right
    many: bool = False  # a list of them, of which there has to be at least one


class Rule(Struct, frozen=True):
    """What a route needs. ``special`` is a further check, ``answer`` what is left out of the answer."""

    needs: tuple[Need, ...] = ()
    special: str = ""
    answer: str = ""
    body: Literal["json", "bytes", "stream", "none"] = "none"


def _experiment(right: Right, field: str = "experiment_id") -> Need:
    return Need("experiment", field, right)


def _experiments(right: Right = "read") -> Need:
    return Need("experiment", "experiment_ids", right, many=True)


def _run(right: Right) -> Need:
    return Need("run", "run_id", right)


def _model(right: Right) -> Need:
    return Need("model", "name", right)


def _post(*needs: Need, special: str = "", answer: str = "") -> Rule:
    return Rule(needs, special, answer, "json")


def _get(*needs: Need, special: str = "", answer: str = "") -> Rule:
    return Rule(needs, special, answer)


def _logged(right: Right) -> Need:
    return Need("logged_model", "model_id", right)


def _trace(right: Right, field: str = "trace_id") -> Need:
    return Need("trace", field, right)


def _dataset(right: Right) -> Need:
    return Need("dataset", "dataset_id", right)


_E, _R, _RM, _MV = (
    "2.0/mlflow/experiments",
    "2.0/mlflow/runs",
    "2.0/mlflow/registered-models",
    "2.0/mlflow/model-versions",
)
_LM, _T2, _T3, _D = "2.0/mlflow/logged-models", "2.0/mlflow/traces", "3.0/mlflow/traces", "3.0/mlflow/datasets"
_A = "2.0/mlflow-artifacts/artifacts"

#: Method and path (its API's version first) to what it needs. ``{name}`` is one segment, ``{*name}`` the rest.
RULES: Mapping[tuple[str, str], Rule] = {
    # MLflow's own pages
    ("GET", "/"): _get(),
    ("GET", "/static-files/{*path}"): _get(),
    ("GET", "/health"): _get(),
    ("GET", "/version"): _get(),
    ("GET", "3.0/mlflow/server-info"): _get(),
    ("POST", "/graphql"): _post(special="graphql"),
    ("GET", "2.0/mlflow/gateway-proxy"): _get(special="models_to_try"),
    # experiments
    ("POST", f"{_E}/create"): _post(special="create_experiment"),
    ("GET", f"{_E}/search"): _get(answer="experiments"),
    ("POST", f"{_E}/search"): _post(answer="experiments"),
    ("GET", f"{_E}/get"): _get(_experiment("read")),
    ("GET", f"{_E}/get-by-name"): _get(answer="experiment_by_name"),
    ("POST", f"{_E}/delete"): _post(_experiment("manage")),
    ("POST", f"{_E}/restore"): _post(_experiment("manage")),
    ("POST", f"{_E}/update"): _post(_experiment("manage"), special="rename_experiment"),
    ("POST", f"{_E}/set-experiment-tag"): _post(_experiment("write"), special="tag"),
    ("POST", f"{_E}/delete-experiment-tag"): _post(_experiment("write"), special="tag"),
    ("POST", f"{_E}/search-datasets"): _post(_experiments()),
    # runs
    ("POST", f"{_R}/create"): _post(_experiment("write"), special="create_run"),
    ("GET", f"{_R}/get"): _get(_run("read")),
    ("POST", f"{_R}/search"): _post(_experiments()),
    ("POST", f"{_R}/update"): _post(_run("write")),
    ("POST", f"{_R}/delete"): _post(_run("write")),
    ("POST", f"{_R}/restore"): _post(_run("write")),
    ("POST", f"{_R}/log-metric"): _post(_run("write"), special="models_of_metrics"),
    ("POST", f"{_R}/log-parameter"): _post(_run("write")),
    ("POST", f"{_R}/set-tag"): _post(_run("write"), special="tag"),
    ("POST", f"{_R}/delete-tag"): _post(_run("write"), special="tag"),
    ("POST", f"{_R}/log-batch"): _post(_run("write"), special="models_of_metrics"),
    ("POST", f"{_R}/log-inputs"): _post(_run("write"), special="models_of_run"),
    ("POST", f"{_R}/outputs"): _post(_run("write"), special="models_of_run"),
    ("POST", f"{_R}/log-model"): _post(_run("write")),
    ("GET", "2.0/mlflow/metrics/get-history"): _get(_run("read")),
    ("GET", "2.0/mlflow/metrics/get-history-bulk"): _get(Need("run", "run_id", "read", many=True)),
    ("GET", "2.0/mlflow/metrics/get-history-bulk-interval"): _get(Need("run", "run_ids", "read", many=True)),
    # artifacts
    ("GET", "2.0/mlflow/artifacts/list"): _get(_run("read"), special="inner_path"),
    ("POST", "2.0/mlflow/upload-artifact"): Rule((Need("run", "run_id", "write"),), "inner_path", body="stream"),
    ("GET", "/get-artifact"): _get(_run("read"), special="inner_path"),
    ("GET", "/model-versions/get-artifact"): _get(_model("read"), special="inner_path"),
    ("GET", _A): _get(special="artifact_of_query"),
    ("GET", f"{_A}/{{*artifact_path}}"): _get(special="artifact_read"),
    ("PUT", f"{_A}/{{*artifact_path}}"): Rule((), "artifact_write", body="stream"),
    ("DELETE", f"{_A}/{{*artifact_path}}"): _get(special="artifact_write"),
    # logged models
    ("POST", _LM): _post(_experiment("write"), special="create_logged_model"),
    ("POST", f"{_LM}/search"): _post(_experiments()),
    ("GET", f"{_LM}/{{model_id}}"): _get(_logged("read")),
    ("PATCH", f"{_LM}/{{model_id}}"): _post(_logged("write")),
    ("DELETE", f"{_LM}/{{model_id}}"): _get(_logged("write")),
    ("POST", f"{_LM}/{{model_id}}/params"): _post(_logged("write")),
    ("PATCH", f"{_LM}/{{model_id}}/tags"): _post(_logged("write"), special="tag"),
    ("DELETE", f"{_LM}/{{model_id}}/tags/{{tag_key}}"): _get(_logged("write"), special="tag"),
    ("GET", f"{_LM}/{{model_id}}/artifacts/directories"): _get(_logged("read"), special="inner_path"),
    ("GET", f"{_LM}/{{model_id}}/artifacts/files"): _get(_logged("read"), special="inner_path"),
    # the registry
    ("POST", f"{_RM}/create"): _post(special="create_model"),
    ("GET", f"{_RM}/search"): _get(answer="models"),
    ("GET", f"{_RM}/get"): _get(_model("read")),
    ("GET", f"{_RM}/get-latest-versions"): _get(_model("read")),
    ("POST", f"{_RM}/get-latest-versions"): _post(_model("read")),
    ("GET", f"{_RM}/alias"): _get(_model("read")),
    ("POST", f"{_RM}/alias"): _post(_model("write")),
    ("DELETE", f"{_RM}/alias"): _post(_model("write")),
    ("POST", f"{_RM}/set-tag"): _post(_model("write"), special="tag"),
    ("DELETE", f"{_RM}/delete-tag"): _post(_model("write"), special="tag"),
    ("PATCH", f"{_RM}/update"): _post(_model("write")),
    ("POST", f"{_RM}/rename"): _post(_model("manage"), special="rename_model"),
    ("DELETE", f"{_RM}/delete"): _post(_model("manage"), special="delete_model"),
    ("POST", f"{_MV}/create"): _post(_model("write"), special="create_version"),
    ("GET", f"{_MV}/search"): _get(answer="versions"),
    ("GET", f"{_MV}/get"): _get(_model("read")),
    ("GET", f"{_MV}/get-download-uri"): _get(_model("read")),
    ("POST", f"{_MV}/set-tag"): _post(_model("write"), special="tag"),
    ("DELETE", f"{_MV}/delete-tag"): _post(_model("write"), special="tag"),
    ("PATCH", f"{_MV}/update"): _post(_model("write")),
    ("POST", f"{_MV}/transition-stage"): _post(_model("write")),
    ("DELETE", f"{_MV}/delete"): _post(_model("manage")),
    # traces
    ("GET", _T2): _get(_experiments()),
    ("POST", _T2): _post(_experiment("write"), special="tags"),
    ("PATCH", f"{_T2}/{{request_id}}"): _post(_trace("write", "request_id"), special="tags"),
    ("GET", f"{_T2}/{{request_id}}/info"): _get(_trace("read", "request_id")),
    ("PATCH", f"{_T2}/{{request_id}}/tags"): _post(_trace("write", "request_id"), special="tag"),
    ("DELETE", f"{_T2}/{{request_id}}/tags"): _post(_trace("write", "request_id"), special="tag"),
    ("POST", f"{_T2}/delete-traces"): _post(_experiment("write")),
    ("POST", f"{_T2}/link-to-run"): _post(_run("write"), Need("trace", "trace_ids", "write", many=True)),
    ("POST", f"{_T2}/link-prompts"): _post(_trace("write"), special="prompts"),
    ("GET", "2.0/mlflow/get-trace-artifact"): _get(_trace("read", "request_id"), special="inner_path"),
    ("GET", "3.0/mlflow/get-trace-artifact"): _get(_trace("read", "request_id"), special="inner_path"),
    ("POST", _T3): _post(special="start_trace"),
    ("POST", f"{_T3}/search"): _post(special="search_traces"),
    ("GET", f"{_T3}/get"): _get(_trace("read")),
    ("GET", f"{_T3}/batchGet"): _get(Need("trace", "trace_ids", "read", many=True)),
    ("POST", f"{_T3}/batchGetInfos"): _post(Need("trace", "trace_ids", "read", many=True)),
    ("POST", f"{_T3}/delete-traces"): _post(_experiment("write")),
    ("POST", f"{_T3}/metrics"): _post(_experiments()),
    ("POST", f"{_T3}/calculate-filter-correlation"): _post(_experiments()),
    ("GET", f"{_T3}/{{trace_id}}"): _get(_trace("read")),
    ("PATCH", f"{_T3}/{{trace_id}}/tags"): _post(_trace("write"), special="tag"),
    ("DELETE", f"{_T3}/{{trace_id}}/tags"): _post(_trace("write"), special="tag"),
    ("POST", f"{_T3}/{{trace_id}}/assessments"): _post(_trace("write"), special="assessment"),
    ("GET", f"{_T3}/{{trace_id}}/assessments/{{assessment_id}}"): _get(_trace("read")),
    ("PATCH", f"{_T3}/{{trace_id}}/assessments/{{assessment_id}}"): _post(_trace("write"), special="assessment"),
    ("DELETE", f"{_T3}/{{trace_id}}/assessments/{{assessment_id}}"): _get(_trace("write")),
    ("POST", "/v1/traces"): Rule((), "spans", body="bytes"),
    # evaluation data sets: for every experiment that a set is for
    ("POST", f"{_D}/create"): _post(_experiments("write")),
    ("GET", f"{_D}/search"): _get(_experiments()),
    ("POST", f"{_D}/search"): _post(_experiments()),
    ("GET", f"{_D}/{{dataset_id}}"): _get(_dataset("read")),
    ("DELETE", f"{_D}/{{dataset_id}}"): _get(_dataset("write")),
    ("GET", f"{_D}/{{dataset_id}}/experiment-ids"): _get(_dataset("read")),
    ("GET", f"{_D}/{{dataset_id}}/records"): _get(_dataset("read")),
    ("POST", f"{_D}/{{dataset_id}}/records"): _post(_dataset("write")),
    ("DELETE", f"{_D}/{{dataset_id}}/records"): _post(_dataset("write")),
    ("PATCH", f"{_D}/{{dataset_id}}/tags"): _post(_dataset("write")),
    ("DELETE", f"{_D}/{{dataset_id}}/tags/{{key}}"): _get(_dataset("write")),
    ("POST", f"{_D}/{{dataset_id}}/add-experiments"): _post(_dataset("write"), _experiments("write")),
    ("POST", f"{_D}/{{dataset_id}}/remove-experiments"): _post(_dataset("write"), _experiments("write")),
}

#: What is left out on purpose: it runs code or calls models on the server, sends to addresses that users choose, holds
#: secrets or belongs to no experiment. Only the test reads this; what is in no rule does not pass anyway. Patterns of
#: paths, with a method before them where another one has a rule.
REFUSED = (
    *("/build/*", "/gateway/*", "/docs*", "/openapi.json", "/redoc", "/docs/oauth2-redirect", "/metrics"),
    *("POST 2.0/mlflow/gateway-proxy", "3.0/mlflow/gateway/*", "3.0/mlflow/assistant/*", "3.0/mlflow/mcp-servers*"),
    *("3.0/jobs/*", "3.0/mlflow/jobs/*", "3.0/mlflow/scorers/*", "3.0/mlflow/scorer/*", "3.0/mlflow/genai/*"),
    *("3.0/mlflow/issues*", "3.0/mlflow/label-schemas/*", "3.0/mlflow/review-queues/*", "3.0/mlflow/demo/*"),
    *("3.0/mlflow/prompt-optimization/*", "3.0/mlflow/workspaces*", "3.0/mlflow/ui-telemetry", "2.0/mlflow/webhooks*"),
    *("2.0/mlflow/runs/create-promptlab-run", "2.0/mlflow/get-online-trace-details", "2.0/mlflow/unified-traces"),
    # addresses at which artifacts are reached without us
    *("2.0/mlflow/artifacts/presigned-*", "2.0/mlflow-artifacts/mpu/*", "2.0/mlflow-artifacts/presigned/*"),
    "2.0mlflow/experiments/search-datasets",  # MLflow's own mistake; it answers 404
)


def _pattern(path: str) -> re.Pattern[str]:
    parts = []
    for part in path.split("/"):
        if part.startswith("{*"):
            parts.append(f"(?P<{part[2:-1]}>.+)")
        elif part.startswith("{"):
            parts.append(f"(?P<{part[1:-1]}>[^/]+)")
        else:
            parts.append(re.escape(part))
    return re.compile("/".join(parts))


_EXACT = {key: rule for key, rule in RULES.items() if "{" not in key[1]}
_LITERALS = {path for _, path in _EXACT}
_WITH_NAMES = [(method, _pattern(path), rule) for (method, path), rule in RULES.items() if "{" in path]


def find(method: str, path: str) -> tuple[Rule, dict[str, str]] | None:
    """Return the rule for a method and a path of decoded segments, and what the path names; None: it does not pass."""
    if (rule := _EXACT.get((method, path))) is not None:
        return rule, {}
    if path in _LITERALS:  # `traces/search` is no trace by the name of search
        return None
    for its_method, pattern, its_rule in _WITH_NAMES:
        if its_method == method and (match := pattern.fullmatch(path)):
            return its_rule, match.groupdict()
    return None
