"""What of MLflow's API passes for whom in a team: rights, and attempts to be understood in two ways."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from fnmatch import fnmatchcase
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, parse_qsl, quote, unquote

import pytest

from aidp_ext.core.errors import AidpError, Forbidden, InvalidRequest, NotFound
from aidp_ext.experiments.models import Caller
from aidp_ext.experiments.proxy.gate import Asked, Passage
from aidp_ext.experiments.team.gate import NotAllowed, TeamGate
from aidp_ext.experiments.team.judge import Judge
from aidp_ext.experiments.team.lookup import Lookup
from aidp_ext.experiments.team.permissions import Permissions, Shared
from aidp_ext.experiments.team.store import Rights, Store
from aidp_ext.experiments.team.table import REFUSED, RULES, find

ANA, BEN, EVE = Caller("ana", ("birds",)), Caller("ben", ("birds",)), Caller("eve", ("fish",))
ADA = Caller("ada", is_admin=True)
ANAS, EVES = "1", "2"
MLFLOW = "/api/2.0/mlflow/"

#: Things of MLflow's and their experiments.
THINGS = {
    "run": {"anas-run": ANAS, "eves-run": EVES},
    "logged_model": {"m-ana": ANAS, "m-eve": EVES},
    "trace": {"tr-ana": ANAS, "tr-eve": EVES, f"tr-{'e' * 32}": EVES, f"tr-{'a' * 32}": ANAS},
    "dataset": {"d-ana": [ANAS], "d-both": [ANAS, EVES], "d-none": []},
}


class Mlflow:
    """As much of a tracking server as the gate asks."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.pages: dict[str, list[dict[str, Any]]] = {}
        self.models = {"anas", "eves"}

    @contextlib.asynccontextmanager
    async def request(self, method: str, path: str, *, json: Any = None, **_: Any) -> AsyncIterator[Any]:
        self.asked.append(f"{method} {path}")
        found = self._answer(path, json)
        body = {"error_code": "RESOURCE_DOES_NOT_EXIST"} if found is None else found
        yield SimpleNamespace(status=404 if found is None else 200, read=lambda: _bytes(body))

    def _answer(self, target: str, body: Any) -> Any:
        path, _, query = target.partition("?")
        last = path.rsplit("/", 1)[-1]
        if path.endswith("/runs/get"):
            found = THINGS["run"].get(parse_qs(query)["run_id"][0])
            return found and {"run": {"info": {"experiment_id": found}}}
        if "/logged-models/" in path:
            found = THINGS["logged_model"].get(last)
            return found and {"model": {"info": {"experiment_id": found}}}
        if "/traces/" in path:
            found = THINGS["trace"].get(last)
            place = {"mlflow_experiment": {"experiment_id": found}}
            return found and {"trace": {"trace_info": {"trace_location": place}}}
        if path.endswith("/experiment-ids"):
            found = THINGS["dataset"].get(path.split("/")[-2])
            return None if found is None else {"experiment_ids": found}
        if path.endswith("/registered-models/get"):
            return {} if parse_qs(query)["name"][0] in self.models else None
        token = body["page_token"] if body else dict(parse_qsl(query))["page_token"]
        return self.pages[path][int(token)]


async def _bytes(body: Any) -> bytes:
    return json.dumps(body).encode()


@pytest.fixture
def mlflow() -> Mlflow:
    return Mlflow()


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that is up to date, to copy: making one takes a while."""
    path = tmp_path_factory.mktemp("permissions") / "permissions.sqlite"
    store = Store(f"sqlite:///{path}")
    for kind, id_, owner in (
        ("experiment", ANAS, ANA),
        ("experiment", EVES, EVE),
        ("model", "anas", ANA),
        ("model", "eves", EVE),
    ):
        store.save((kind, id_), Rights(owner.who, {("team", owner.teams[0]): "read"}))
    store.close()
    return path


@pytest.fixture
async def table(tmp_path: Path, database: Path) -> AsyncIterator[Permissions]:
    shutil.copy(database, tmp_path / "permissions.sqlite")
    made = Permissions(Store(f"sqlite:///{tmp_path}/permissions.sqlite"), lambda *_, **__: None)
    yield made
    await made.close()


@pytest.fixture
def gate(table: Permissions, mlflow: Mlflow) -> TeamGate:
    return TeamGate(Judge(table, Lookup(mlflow)))  # type: ignore[arg-type]


async def send(
    gate: TeamGate,
    caller: Caller,
    method: str,
    path: str,
    body: Any = None,
    query: str = "",
    **headers: str,
) -> Passage:
    raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    whole = {"Content-Type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    read = raw if gate.reads_body(method, path) else b""
    return await gate.check(Asked(caller=caller, method=method, path=path, query=query, headers=whole), read)


def got(passage: Passage) -> Any:
    """The body that MLflow gets."""
    assert passage.body is not None
    return json.loads(passage.body)


async def refusal(gate: TeamGate, *args: Any, **kwargs: Any) -> type[AidpError] | None:
    try:
        await send(gate, *args, **kwargs)
    except AidpError as error:
        return type(error)
    return None


# --- who may what: each way to a run, an experiment, a model, a trace


LOG = ("POST", f"{MLFLOW}runs/log-metric", {"key": "loss", "value": 1.0})
READS: list[tuple[str, str, Any, str]] = [
    ("GET", f"{MLFLOW}runs/get", None, "run_id=anas-run"),
    ("GET", f"{MLFLOW}runs/get", None, "run_uuid=anas-run"),
    ("GET", f"/ajax-{MLFLOW[1:]}runs/get", None, "run_id=anas-run"),
    ("GET", f"{MLFLOW}experiments/get", None, "experiment_id=1"),
    ("POST", f"{MLFLOW}runs/search", {"experiment_ids": ["1"]}, ""),
    ("POST", f"{MLFLOW}runs/search", {"experimentIds": ["1"]}, ""),
    ("GET", f"{MLFLOW}metrics/get-history", None, "run_id=anas-run&metric_key=loss"),
    ("GET", "/ajax-api/2.0/mlflow/metrics/get-history-bulk", None, "run_id=anas-run&metric_key=loss"),
    ("GET", "/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval", None, "run_ids=anas-run&metric_key=loss"),
    ("GET", f"{MLFLOW}artifacts/list", None, "run_id=anas-run&path=model"),
    ("GET", "/get-artifact", None, "run_uuid=anas-run&path=a.txt"),
    ("GET", "/get-artifact", None, "run_id=anas-run&path=a.txt"),
    ("GET", "/api/2.0/mlflow-artifacts/artifacts", None, "path=1/anas-run/artifacts"),
    ("GET", "/api/2.0/mlflow-artifacts/artifacts/1/anas-run/artifacts/a%20b.txt", None, ""),
    ("GET", "/api/2.0/mlflow-artifacts/artifacts/1/models/m-ana/artifacts/MLmodel", None, ""),
    ("GET", "/api/2.0/mlflow/logged-models/m-ana", None, ""),
    ("GET", "/ajax-api/2.0/mlflow/logged-models/m-ana/artifacts/files", None, "artifact_file_path=MLmodel"),
    ("POST", "/api/2.0/mlflow/logged-models/search", {"experiment_ids": ["1"]}, ""),
    ("GET", f"{MLFLOW}registered-models/get", None, "name=anas"),
    ("GET", f"{MLFLOW}model-versions/get-download-uri", None, "name=anas&version=1"),
    ("GET", "/model-versions/get-artifact", None, "name=anas&version=1&path=MLmodel"),
    ("GET", "/api/3.0/mlflow/traces/tr-ana", None, ""),
    ("GET", "/api/3.0/mlflow/traces/get", None, "trace_id=tr-ana"),
    ("GET", "/api/3.0/mlflow/traces/batchGet", None, "trace_ids=tr-ana"),
    ("POST", "/api/3.0/mlflow/traces/batchGetInfos", {"traceIds": ["tr-ana"]}, ""),
    ("GET", "/ajax-api/2.0/mlflow/get-trace-artifact", None, "request_id=tr-ana"),
    (
        "POST",
        "/api/3.0/mlflow/traces/search",
        {"locations": [{"type": "MLFLOW_EXPERIMENT", "mlflowExperiment": {"experimentId": "1"}}]},
        "",
    ),
    ("POST", "/api/3.0/mlflow/datasets/search", {"experiment_ids": ["1"]}, ""),
    ("GET", "/api/3.0/mlflow/datasets/d-ana/records", None, ""),
]
WRITES: list[tuple[str, str, Any, str]] = [
    ("POST", f"{MLFLOW}runs/create", {"experiment_id": "1"}, ""),
    ("POST", f"{MLFLOW}runs/update", {"run_id": "anas-run", "status": "FINISHED"}, ""),
    ("POST", f"{MLFLOW}runs/log-metric", {"runId": "anas-run", "key": "x", "value": 1}, ""),
    ("POST", f"{MLFLOW}runs/log-metric", {"run_uuid": "anas-run", "key": "x", "value": 1}, ""),
    ("POST", f"{MLFLOW}runs/log-batch", {"run_id": "anas-run", "metrics": [{"key": "x", "value": 1}]}, ""),
    ("POST", f"{MLFLOW}runs/log-inputs", {"run_id": "anas-run", "models": [{"model_id": "m-ana"}]}, ""),
    ("POST", f"{MLFLOW}runs/set-tag", {"run_id": "anas-run", "key": "a", "value": "b"}, ""),
    ("POST", f"{MLFLOW}runs/delete", {"run_id": "anas-run"}, ""),
    ("POST", f"{MLFLOW}experiments/set-experiment-tag", {"experiment_id": 1, "key": "a", "value": "b"}, ""),
    ("PUT", "/api/2.0/mlflow-artifacts/artifacts/1/anas-run/artifacts/a.txt", None, ""),
    ("DELETE", "/api/2.0/mlflow-artifacts/artifacts/1/anas-run/artifacts", None, ""),
    ("POST", "/ajax-api/2.0/mlflow/upload-artifact", None, "run_uuid=anas-run&path=a.txt"),
    ("POST", "/api/2.0/mlflow/logged-models", {"experiment_id": "1", "name": "x"}, ""),
    ("PATCH", "/api/2.0/mlflow/logged-models/m-ana/tags", {"tags": [{"key": "a", "value": "b"}]}, ""),
    ("POST", f"{MLFLOW}registered-models/set-tag", {"name": "anas", "key": "a", "value": "b"}, ""),
    (
        "POST",
        f"{MLFLOW}model-versions/create",
        {"name": "anas", "source": "runs:/anas-run/m", "run_id": "anas-run"},
        "",
    ),
    ("PATCH", "/api/3.0/mlflow/traces/tr-ana/tags", {"key": "a", "value": "b"}, ""),
    ("POST", "/api/2.0/mlflow/traces/delete-traces", {"experiment_id": "1", "max_traces": 1}, ""),
    (
        "POST",
        "/api/3.0/mlflow/traces",
        {
            "trace": {
                "trace_info": {"trace_id": "tr-new", "trace_location": {"mlflow_experiment": {"experiment_id": "1"}}}
            }
        },
        "",
    ),
]
MANAGES: list[tuple[str, str, Any, str]] = [
    ("POST", f"{MLFLOW}experiments/update", {"experiment_id": "1", "new_name": "x"}, ""),
    ("POST", f"{MLFLOW}experiments/delete", {"experiment_id": "1"}, ""),
    ("DELETE", f"{MLFLOW}registered-models/delete", {"name": "anas"}, ""),
    ("POST", f"{MLFLOW}registered-models/rename", {"name": "anas", "new_name": "x"}, ""),
    ("DELETE", f"{MLFLOW}model-versions/delete", {"name": "anas", "version": "1"}, ""),
]


@pytest.mark.parametrize(
    ("call", "role"),
    [
        *((call, "read") for call in READS),
        *((call, "write") for call in WRITES),
        *((call, "manage") for call in MANAGES),
    ],
    ids=str,
)
async def test_each_call_needs_its_right(
    gate: TeamGate, table: Permissions, call: tuple[str, str, Any, str], role: str
) -> None:
    method, path, body, query = call
    assert await refusal(gate, ANA, method, path, body, query) is None
    assert await refusal(gate, ADA, method, path, body, query) is None
    assert await refusal(gate, EVE, method, path, body, query) is NotFound, "as if it were not there"
    for given in ("read", "write", "manage"):
        for kind, id_ in (("experiment", ANAS), ("model", "anas")):
            await table.share(ANA, kind, id_, Shared("ana", {"fish": given}))  # type: ignore[arg-type, dict-item]
        ranks = ["read", "write", "manage"]
        expected = None if ranks.index(given) >= ranks.index(role) else Forbidden
        assert await refusal(gate, EVE, method, path, body, query) is expected, given


@pytest.mark.parametrize(
    "path", ["/", "/static-files/static/js/main.1.js", "/version", "/ajax-api/3.0/mlflow/server-info"]
)
async def test_mlflows_own_pages_pass_for_everybody(gate: TeamGate, path: str) -> None:
    assert await refusal(gate, EVE, "GET", path) is None


# --- what never passes


@pytest.mark.parametrize(
    "path",
    [
        "/gateway/x/mlflow/invocations",
        "/ajax-api/3.0/mlflow/assistant/message",
        "/api/2.0/mlflow/webhooks",
        "/ajax-api/3.0/jobs/search",
        "/api/3.0/mlflow/scorers/register",
        "/api/3.0/mlflow/gateway/secrets/get",
        "/api/2.0/mlflow/artifacts/presigned-upload-url",
        "/api/2.0/mlflow-artifacts/mpu/create/1/r/artifacts/a",
        "/api/2.0/preview/mlflow/runs/get",
        "/api/4.0/mlflow/runs/get",
        "/api/2.0/mlflow/no/such",
        "/openapi.json",
        "/metrics",
    ],
)
async def test_what_is_not_in_the_table_does_not_pass(gate: TeamGate, path: str) -> None:
    for caller in (ANA, ADA):
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "get"):
            assert await refusal(gate, caller, method, path, {}) is NotAllowed


async def test_mlflows_page_is_told_that_there_are_no_models_to_try_and_none_is_asked(gate: TeamGate) -> None:
    path = "/ajax-api/2.0/mlflow/gateway-proxy"
    passage = await send(gate, EVE, "GET", path, query="gateway_path=api%2F2.0%2Fendpoints%2F")
    assert passage.answer is not None
    assert await passage.answer(500, b"whatever is behind it") == (200, b'{"endpoints": []}')
    for query in ("", "gateway_path=gateway/x/invocations", "gateway_path=api/2.0/endpoints/../secrets"):
        assert await refusal(gate, ADA, "GET", path, query=query) is Forbidden
    assert await refusal(gate, ADA, "POST", path, {"gateway_path": "api/2.0/endpoints/"}) is NotAllowed


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "Post", "GET "])
async def test_another_method_is_another_route(gate: TeamGate, method: str) -> None:
    assert await refusal(gate, ANA, method, f"{MLFLOW}runs/get", query="run_id=anas-run") is NotAllowed
    assert await refusal(gate, ANA, method, f"{MLFLOW}runs/update", {"run_id": "anas-run"}) is NotAllowed


async def test_a_method_in_a_header_changes_nothing(gate: TeamGate) -> None:
    passage = await send(
        gate, ANA, "GET", f"{MLFLOW}runs/get", query="run_id=anas-run", X_HTTP_Method_Override="DELETE"
    )
    assert (dict(passage.headers), passage.body) == ({}, b"")


# --- paths that could be read in two ways


@pytest.mark.parametrize(
    "path",
    [
        "//api/2.0/mlflow/runs/get",
        "/api//2.0/mlflow/runs/get",
        "/api/2.0//mlflow/runs/get",
        "/api/2.0/mlflow/runs/get/",
        "/api/2.0/mlflow/./runs/get",
        "/api/2.0/mlflow/experiments/../runs/get",
        "/api/2.0/mlflow/experiments/%2e%2e/runs/get",
        "/api/2.0/mlflow/experiments/%2E%2E/runs/get",
        "/api/2.0/mlflow%2Fruns/get",
        "/api/2.0/mlflow/runs%5Cget",
        "/api/2.0/mlflow/runs\\get",
        "/API/2.0/mlflow/runs/get",
        "/api/2.0/mlflow/Runs/Get",
        "/api/2.0/mlflow/runs/get;x=1",
        "/api/2.0/mlflow/runs/get%00",
        "/api/2.0/mlflow/runs/get%20",
        "/api/2.0/mlflow/runs/get%3Frun_id=eves-run",
        "/api/2.0/mlflow/runs/get%ff",
        "api/2.0/mlflow/runs/get",
        "/get-artifact/",
        "/static-files/../get-artifact",
        "/static-files/%2e%2e/get-artifact",
        "http://elsewhere/api/2.0/mlflow/runs/get",
    ],
)
async def test_a_path_has_one_form(gate: TeamGate, path: str) -> None:
    assert await refusal(gate, ANA, "GET", path, query="run_id=anas-run") in (NotAllowed, InvalidRequest)


async def test_what_may_be_encoded_is_encoded_once_when_it_leaves(gate: TeamGate) -> None:
    passage = await send(gate, ANA, "GET", "/api/2.0/mlflow/%72uns/get", query="run_id=anas-run")
    assert passage.path == "/api/2.0/mlflow/runs/get"
    artifact = "/api/2.0/mlflow-artifacts/artifacts/1/anas-run/artifacts/d/50%25 é+.txt".replace(" ", "%20")
    passage = await send(gate, ANA, "GET", artifact)
    assert passage.path == "/api/2.0/mlflow-artifacts/artifacts/1/anas-run/artifacts/d/50%25%20%C3%A9%2B.txt"


@pytest.mark.parametrize(
    "path",
    [
        "2/eves-run/artifacts/a.txt",
        "%32/eves-run/artifacts/a.txt",
        "1/../2/eves-run/artifacts/a.txt",
        "1/%2e%2e/2/eves-run/artifacts/a.txt",
        "1/%252e%252e/2/eves-run/artifacts/a.txt",
        "1/%25252e%25252e/2/eves-run/artifacts/a.txt",
        "1/..%2f2/eves-run/artifacts/a.txt",
        "1/..%252f2/eves-run/artifacts/a.txt",
        "1/x%5c..%5c..%5c2/artifacts/a.txt",
        "%2531/../2/eves-run/artifacts/a.txt",
        "%2532/eves-run/artifacts/a.txt",
        "./2/eves-run/artifacts/a.txt",
        "/2/eves-run/artifacts/a.txt",
        "",
        "%2f",
        "file:%2f%2f%2fetc/passwd/x",
        "1%23/../2/x/artifacts/a",
        "workspaces/x/2/eves-run/artifacts/a",
        "1/anas-run/artifacts/a%00b",
        "1/anas-run/artifacts/%2500/a",
    ],
)
async def test_an_artifacts_path_leads_nowhere_else(gate: TeamGate, path: str) -> None:
    base = "/api/2.0/mlflow-artifacts/artifacts"
    for method in ("GET", "PUT", "DELETE"):
        found = await refusal(gate, ANA, method, f"{base}/{path}")
        assert found in (NotFound, InvalidRequest, NotAllowed), method
    if path != "%2f":
        found = await refusal(gate, ANA, "GET", base, query=f"path={quote(unquote(path))}")
        assert found in (NotFound, InvalidRequest)
    assert await refusal(gate, ANA, "GET", base) is InvalidRequest, "the root is nobody's"


@pytest.mark.parametrize("path", ["1", "1/anas-run", "1/models"])
async def test_a_whole_experiments_files_are_not_removed_or_replaced(gate: TeamGate, path: str) -> None:
    for method in ("PUT", "DELETE"):
        assert await refusal(gate, ANA, method, f"/api/2.0/mlflow-artifacts/artifacts/{path}") is InvalidRequest


@pytest.mark.parametrize(
    "path", ["../../2/eves-run/artifacts/a", "%2e%2e/x", "%252e%252e/x", "/etc/passwd", "a\\..\\b", "a/..%2f"]
)
async def test_a_path_inside_a_run_stays_inside(gate: TeamGate, path: str) -> None:
    for method, url, names in (
        ("GET", "/get-artifact", "run_id=anas-run&path="),
        ("GET", f"{MLFLOW}artifacts/list", "run_id=anas-run&path="),
        ("POST", "/ajax-api/2.0/mlflow/upload-artifact", "run_uuid=anas-run&path="),
        ("GET", "/model-versions/get-artifact", "name=anas&version=1&path="),
        ("GET", "/ajax-api/2.0/mlflow/logged-models/m-ana/artifacts/files", "artifact_file_path="),
        ("GET", "/ajax-api/2.0/mlflow/get-trace-artifact", "request_id=tr-ana&path="),
    ):
        for encoded in (quote(path), quote(path, safe="%/")):
            assert await refusal(gate, ANA, method, url, query=names + encoded) is InvalidRequest, (url, encoded)


# --- fields that could be read in two ways


@pytest.mark.parametrize(
    "body",
    [
        {"run_id": "anas-run", "runId": "eves-run"},
        {"runId": "anas-run", "run_id": "eves-run"},
        {"run_id": "anas-run", "run_uuid": "eves-run"},
        {"run_uuid": "anas-run", "run_id": "eves-run"},
        {"run_id": "anas-run", "runUuid": "eves-run"},
        {"run_uuid": "anas-run", "runUuid": "eves-run"},
        {"run_id": ["eves-run"]},
        {"run_id": {"a": "eves-run"}},
        {"run_id": None},
        {"run_id": ""},
        {"run_id": True},
        {"run_id": "eves-run/../anas-run"},
        {"run_id": "anas-run\n"},
        {},
        [],
        "eves-run",
        json.dumps({"run_id": "anas-run"}),
        b'{"run_id": "anas-run", "run_id": "eves-run"}',
        b'{"run_id": "anas-run", "run\\u005fid": "eves-run"}',
        b'\xff\xfe{"run_id": "anas-run"}',
        b'{"run_id": "anas-run"',
        b"run_id=anas-run",
        b'{"run_id":"anas-run"}{"run_id":"eves-run"}',
    ],
    ids=str,
)
async def test_a_field_has_one_value(gate: TeamGate, body: Any) -> None:
    found = await refusal(gate, ANA, "POST", f"{MLFLOW}runs/update", body)
    assert found is not None
    assert issubclass(found, (InvalidRequest, NotFound))


@pytest.mark.parametrize(
    "query",
    [
        "run_id=anas-run&run_id=eves-run",
        "run_id=anas-run&run_uuid=eves-run",
        "run_uuid=anas-run&run_id=eves-run",
        "run_id=anas-run&runId=eves-run",
        "run_id=anas-run&run_i%64=eves-run",
        "run_id=",
        "",
        "run_id=anas-run%00",
        "run_id=%ff",
    ],
)
async def test_a_parameter_has_one_value(gate: TeamGate, query: str) -> None:
    for path in (f"{MLFLOW}runs/get", "/get-artifact"):
        assert await refusal(gate, ANA, "GET", path, query=query) is InvalidRequest


async def test_mlflow_gets_no_body_beside_a_query_and_no_query_beside_a_body(gate: TeamGate) -> None:
    passage = await send(gate, ANA, "GET", f"{MLFLOW}runs/get", {"run_id": "eves-run"}, "run_id=anas-run")
    assert (passage.query, passage.body) == ("run_id=anas-run", b"")
    passage = await send(gate, ANA, "POST", f"{MLFLOW}runs/update", {"runId": "anas-run"}, "run_id=eves-run")
    assert (passage.query, got(passage)) == ("", {"run_id": "anas-run"})


async def test_what_is_in_the_path_is_in_the_body_too(gate: TeamGate) -> None:
    path = "/api/2.0/mlflow/logged-models/m-ana/params"
    passage = await send(gate, ANA, "POST", path, {"modelId": "m-eve", "params": []})
    assert got(passage) == {"model_id": "m-ana", "params": []}
    path = "/api/3.0/mlflow/traces/tr-ana/assessments"
    assert await refusal(gate, ANA, "POST", path, {"assessment": {"trace_id": "tr-eve"}}) is InvalidRequest
    passage = await send(gate, ANA, "POST", path, {"assessment": {"assessment_name": "x"}})
    assert got(passage)["assessment"]["trace_id"] == "tr-ana"


async def test_a_body_is_json_and_not_compressed(gate: TeamGate) -> None:
    path, body = f"{MLFLOW}runs/update", {"run_id": "anas-run"}
    for headers in (
        {"Content_Encoding": "gzip"},
        {"Content_Type": "text/plain"},
        {"Content_Type": "multipart/form-data"},
    ):
        assert await refusal(gate, ANA, "POST", path, body, **headers) is InvalidRequest
    assert await refusal(gate, ANA, "POST", path, body, Content_Type="application/json; charset=utf-8") is None


async def test_all_of_several_have_to_be_theirs(gate: TeamGate) -> None:
    for ids in (["1", "2"], ["2", "1"], ["1", "1", "2"]):
        assert await refusal(gate, ANA, "POST", f"{MLFLOW}runs/search", {"experiment_ids": ids}) is NotFound
    for ids in ([], None, ["*"], [["1"]], "1", {"0": "1"}, ["1"] * 1001):
        body = {"experiment_ids": ids}
        assert await refusal(gate, ANA, "POST", f"{MLFLOW}runs/search", body) is InvalidRequest, ids
    bulk = "/ajax-api/2.0/mlflow/metrics/get-history-bulk"
    assert await refusal(gate, ANA, "GET", bulk, query="run_id=anas-run&run_id=eves-run&metric_key=x") is NotFound
    traces = {"locations": [{"mlflow_experiment": {"experiment_id": one}} for one in ("1", "2")]}
    assert await refusal(gate, ANA, "POST", "/api/3.0/mlflow/traces/search", traces) is NotFound
    table = {"locations": [{"inference_table": {"full_table_name": "x"}}]}
    assert await refusal(gate, ANA, "POST", "/api/3.0/mlflow/traces/search", table) is InvalidRequest
    assert await refusal(gate, ANA, "GET", "/api/3.0/mlflow/datasets/d-both") is NotFound
    for dataset in ("d-none", "d-unknown"):
        assert await refusal(gate, ANA, "GET", f"/api/3.0/mlflow/datasets/{dataset}") is NotFound


async def test_a_batch_does_not_reach_what_is_anothers(gate: TeamGate) -> None:
    run = {"run_id": "anas-run"}
    for path, body, expected in (
        ("runs/log-batch", {**run, "metrics": [{"key": "a"}, {"key": "b", "modelId": "m-eve"}]}, NotFound),
        ("runs/log-batch", {**run, "metrics": [{"key": "a", "runId": "eves-run"}]}, InvalidRequest),
        ("runs/log-batch", {**run, "metrics": [{"key": "a", "model_id": "m-ana", "modelId": "m-eve"}]}, InvalidRequest),
        ("runs/log-metric", {**run, "key": "a", "modelId": "m-eve"}, NotFound),
        ("runs/log-inputs", {**run, "models": [{"modelId": "m-eve"}]}, NotFound),
        ("runs/outputs", {**run, "models": [{"model_id": "m-ana"}, {"model_id": "m-eve"}]}, NotFound),
        ("logged-models", {"experiment_id": "1", "sourceRunId": "eves-run"}, NotFound),
        ("traces/link-to-run", {**run, "trace_ids": ["tr-ana", "tr-eve"]}, NotFound),
        ("traces/link-prompts", {"trace_id": "tr-ana", "prompt_versions": [{"name": "eves"}]}, NotFound),
    ):
        assert await refusal(gate, ANA, "POST", MLFLOW + path, body) is expected, (path, body)


# --- what is made


async def test_a_run_is_by_whoever_the_hub_says(gate: TeamGate) -> None:
    body = {
        "experimentId": "1",
        "user_id": "eve",
        "tags": [
            {"key": "mlflow.user", "value": "eve"},
            {"key": "a", "value": "b"},
            {"key": "aidp.user", "value": "x"},
        ],
    }
    sent = got(await send(gate, ANA, "POST", f"{MLFLOW}runs/create", body))
    assert sent["user_id"] == "ana"
    tags = [(tag["key"], tag["value"]) for tag in sent["tags"]]
    assert sorted(tags) == [("a", "b"), ("aidp.user", "ana"), ("mlflow.user", "ana")]
    for path, said in (
        ("runs/set-tag", {"run_id": "anas-run", "key": "mlflow.user", "value": "eve"}),
        ("runs/delete-tag", {"run_id": "anas-run", "key": "mlflow.user"}),
        ("runs/log-batch", {"run_id": "anas-run", "tags": [{"key": "aidp.user", "value": "eve"}]}),
        ("traces", {"experiment_id": "1", "tags": [{"key": "mlflow.artifactLocation", "value": "file:///"}]}),
    ):
        assert await refusal(gate, ANA, "POST", MLFLOW + path, said) is Forbidden, path
    for path in ("/api/3.0/mlflow/traces/tr-ana/tags", "/api/2.0/mlflow/traces/tr-ana/tags"):
        said = {"key": "mlflow.artifactLocation", "value": "mlflow-artifacts:/2/traces/tr-eve/artifacts"}
        assert await refusal(gate, ANA, "PATCH", path, said) is Forbidden


async def test_a_run_that_was_made_is_known_without_asking(gate: TeamGate, mlflow: Mlflow) -> None:
    passage = await send(gate, ANA, "POST", f"{MLFLOW}runs/create", {"experiment_id": "1"})
    assert passage.answer is not None
    raw = json.dumps({"run": {"info": {"run_id": "fresh"}}}).encode()
    assert await passage.answer(200, raw) == (200, raw)
    await send(gate, ANA, "POST", f"{MLFLOW}runs/update", {"run_id": "fresh"})
    assert mlflow.asked == []
    for _ in range(2):
        await send(gate, ANA, "POST", f"{MLFLOW}runs/update", {"run_id": "anas-run"})
    assert len(mlflow.asked) == 1


async def test_an_experiment_belongs_to_its_maker(gate: TeamGate, table: Permissions) -> None:
    passage = await send(gate, EVE, "POST", f"{MLFLOW}experiments/create", {"name": "new"})
    assert passage.answer is not None
    await passage.answer(400, b'{"error_code": "RESOURCE_ALREADY_EXISTS"}')
    assert not await table.knows("experiment", "7")
    await passage.answer(200, b'{"experiment_id": "7"}')
    assert await table.shared("experiment", "7") == Shared("eve", {"fish": "read"})
    both = Caller("bo", ("birds", "fish"))
    tags = [{"key": "aidp.team", "value": "birds"}]
    passage = await send(gate, both, "POST", f"{MLFLOW}experiments/create", {"name": "x", "tags": tags})
    assert passage.answer is not None
    await passage.answer(200, b'{"experiment_id": "8"}')
    assert await table.shared("experiment", "8") == Shared("bo", {"birds": "read"})
    said = {"name": "x", "tags": [{"key": "aidp.team", "value": "birds"}]}
    assert await refusal(gate, EVE, "POST", f"{MLFLOW}experiments/create", said) is InvalidRequest


@pytest.mark.parametrize("where", ["file:///etc", "mlflow-artifacts:/2", "s3://b/x", "/data"])
async def test_nobody_says_where_artifacts_lie(gate: TeamGate, where: str) -> None:
    for name in ("artifact_location", "artifactLocation"):
        assert (
            await refusal(gate, ANA, "POST", f"{MLFLOW}experiments/create", {"name": "x", name: where})
            is InvalidRequest
        )


async def test_a_name_with_a_tilde_is_its_users(gate: TeamGate) -> None:
    for name, expected in (
        ("~ana", None),
        ("~ana/x", None),
        ("~eve", Forbidden),
        ("~anas", Forbidden),
        ("~", Forbidden),
    ):
        assert await refusal(gate, ANA, "POST", f"{MLFLOW}experiments/create", {"name": name}) is expected
        rename = {"experiment_id": "1", "newName": name}
        assert await refusal(gate, ANA, "POST", f"{MLFLOW}experiments/update", rename) is expected


async def test_the_default_experiment_is_nobodys_and_says_what_to_do(gate: TeamGate) -> None:
    with pytest.raises(Forbidden) as caught:
        await send(gate, ANA, "POST", f"{MLFLOW}runs/create", {"experiment_id": "0"})
    assert "~ana" in str(caught.value.next_step)


async def test_a_registered_model_belongs_to_its_maker(gate: TeamGate, table: Permissions, mlflow: Mlflow) -> None:
    create = f"{MLFLOW}registered-models/create"
    with pytest.raises(AidpError) as caught:
        await send(gate, ANA, "POST", create, {"name": "eves"})
    assert caught.value.code == "conflict"
    mlflow.models.discard("eves")  # deleted without us: its name is free, and old rights go
    passage = await send(gate, ANA, "POST", create, {"name": "eves"})
    assert passage.answer is not None
    await passage.answer(200, b"{}")
    assert await table.shared("model", "eves") == Shared("ana", {"birds": "read"})
    passage = await send(gate, ANA, "POST", f"{MLFLOW}registered-models/rename", {"name": "eves", "newName": "x"})
    assert passage.answer is not None
    await passage.answer(200, b"{}")
    assert await table.may_model(ANA, "x", "manage")
    passage = await send(gate, ANA, "DELETE", f"{MLFLOW}registered-models/delete", {"name": "x"})
    assert passage.answer is not None
    await passage.answer(500, b"")
    assert await table.knows("model", "x")
    await passage.answer(200, b"{}")
    assert not await table.knows("model", "x")


@pytest.mark.parametrize(
    ("source", "more", "expected"),
    [
        ("runs:/anas-run/model", {"run_id": "anas-run"}, None),
        ("runs:/eves-run/model", {"run_id": "anas-run"}, NotFound),
        ("runs:/anas-run/model", {"runId": "eves-run"}, NotFound),
        ("models:/m-ana", {"model_id": "m-ana"}, None),
        ("models:/m-eve", {"model_id": "m-ana"}, NotFound),
        ("models:/m-ana", {"modelId": "m-eve"}, NotFound),
        ("models:/anas/1", {}, None),
        ("models:/eves/1", {}, NotFound),
        ("models:/eves@champion", {}, NotFound),
        ("mlflow-artifacts:/1/anas-run/artifacts/model", {"run_id": "anas-run"}, None),
        ("mlflow-artifacts:/2/eves-run/artifacts/model", {"run_id": "anas-run"}, NotFound),
        ("mlflow-artifacts:/1/../2/eves-run/artifacts", {"run_id": "anas-run"}, InvalidRequest),
        ("mlflow-artifacts:/1/%2e%2e/2/eves-run/artifacts", {"run_id": "anas-run"}, InvalidRequest),
        ("mlflow-artifacts://elsewhere/1/x", {"run_id": "anas-run"}, InvalidRequest),
        ("mlflow-artifacts:/1/anas-run/artifacts", {}, InvalidRequest),
        ("file:///etc/passwd", {"run_id": "anas-run"}, InvalidRequest),
        ("/etc/passwd", {}, InvalidRequest),
        ("http://169.254.169.254/latest", {}, InvalidRequest),
        ("s3://bucket/x", {}, InvalidRequest),
        ("dbfs:/x", {}, InvalidRequest),
        ("", {}, InvalidRequest),
        ("prompt-template", {}, None),
    ],
)
async def test_a_version_is_of_what_its_maker_may_see(
    gate: TeamGate, source: str, more: dict[str, str], expected: type[AidpError] | None
) -> None:
    body = {"name": "anas", "source": source, **more}
    assert await refusal(gate, ANA, "POST", f"{MLFLOW}model-versions/create", body) is expected


# --- traces of OpenTelemetry


def field(number: int, content: bytes) -> bytes:
    """One field of protobuf's."""
    return bytes([number << 3 | 2, len(content)]) + content


def message(*traces: bytes, more: bytes = b"") -> bytes:
    spans = b"".join(field(2, field(1, trace) + more + field(5, b"name")) for trace in traces)
    return field(1, field(2, spans))


async def test_spans_are_of_the_experiment_that_the_header_names(gate: TeamGate) -> None:
    ours, theirs, fresh = b"\xaa" * 16, b"\xee" * 16, b"\x01" * 16
    kind = {"Content_Type": "application/x-protobuf"}

    async def sent(body: bytes, **headers: str) -> type[AidpError] | None:
        return await refusal(gate, ANA, "POST", "/v1/traces", body, **{**kind, **headers})

    passage = await send(
        gate,
        ANA,
        "POST",
        "/v1/traces",
        message(ours, fresh),
        **kind,
        X_Mlflow_Experiment_Id="1",
        X_Mlflow_Run_Id="anas-run",
    )
    assert passage.body == message(ours, fresh)
    assert dict(passage.headers) == {
        "Content-Type": "application/x-protobuf",
        "X-Mlflow-Experiment-Id": "1",
        "X-Mlflow-Run-Id": "anas-run",
    }
    assert await sent(message(ours), X_Mlflow_Experiment_Id="2") is NotFound
    assert await sent(message(ours)) is InvalidRequest
    assert await sent(message(fresh, theirs), X_Mlflow_Experiment_Id="1") is Forbidden
    assert await sent(message(ours), X_Mlflow_Experiment_Id="1", X_Mlflow_Run_Id="eves-run") is NotFound
    for content in ("application/json", "text/plain"):
        assert await sent(b"{}", X_Mlflow_Experiment_Id="1", Content_Type=content) is InvalidRequest
    assert await sent(message(ours), X_Mlflow_Experiment_Id="1", Content_Encoding="gzip") is InvalidRequest
    location = field(9, field(1, b"mlflow.traceTag.mlflow.artifactLocation"))
    assert await sent(message(ours, more=location), X_Mlflow_Experiment_Id="1") is Forbidden
    for broken in (b"\xff" * 20, message(ours)[:-3], message(b"short"), b"\x0b", b"\x00"):
        assert await sent(broken, X_Mlflow_Experiment_Id="1") is InvalidRequest, broken


async def test_a_trace_cannot_take_anothers_id(gate: TeamGate) -> None:
    info: dict[str, Any] = {"trace_id": "tr-eve", "traceLocation": {"mlflowExperiment": {"experimentId": "1"}}}
    start = "/api/3.0/mlflow/traces"
    assert await refusal(gate, ANA, "POST", start, {"trace": {"traceInfo": info}}) is Forbidden
    info["trace_id"] = "tr-ana"
    assert await refusal(gate, ANA, "POST", start, {"trace": {"traceInfo": info}}) is None
    info["tags"] = {"mlflow.artifactLocation": "x"}
    assert await refusal(gate, ANA, "POST", start, {"trace": {"traceInfo": info}}) is Forbidden
    for body in ({}, {"trace": {}}, {"trace": {"trace_info": {"trace_location": {"type": "INFERENCE_TABLE"}}}}):
        assert await refusal(gate, ANA, "POST", start, body) is InvalidRequest


# --- lists


async def test_a_list_has_the_callers_part_and_is_filled_from_the_next_pages(gate: TeamGate, mlflow: Mlflow) -> None:
    path = f"{MLFLOW}experiments/search"
    page = [{"experiment_id": "2", "name": "eves"}, {"experiment_id": "0", "name": "Default"}]
    mlflow.pages[path] = [
        {},
        {"experiments": page, "next_page_token": "2"},
        {"experiments": [{"experiment_id": "1", "name": "anas"}]},
    ]
    first = json.dumps({"experiments": page, "next_page_token": "1"}).encode()
    for method, body, query in (("POST", {"max_results": 1}, ""), ("GET", None, "max_results=1&order_by=name")):
        passage = await send(gate, ANA, method, path, body, query)
        assert passage.answer is not None
        status, raw = await passage.answer(200, first)
        assert (status, json.loads(raw)) == (200, {"experiments": [{"experiment_id": "1", "name": "anas"}]})
        assert await passage.answer(500, b"oh") == (500, b"oh")
    assert mlflow.asked[-1] == f"GET {path}?max_results=1&order_by=name&page_token=2"
    passage = await send(gate, ADA, "GET", path)
    assert passage.answer is not None
    assert await passage.answer(200, first) == (200, first)


@pytest.mark.parametrize(
    ("path", "name"), [("registered-models", "registered_models"), ("model-versions", "model_versions")]
)
async def test_models_are_listed_by_their_own_rights(gate: TeamGate, path: str, name: str) -> None:
    passage = await send(gate, ANA, "GET", f"{MLFLOW}{path}/search", query="filter=name%20LIKE%20'%25'")
    assert passage.answer is not None
    raw = json.dumps({name: [{"name": "eves"}, {"name": "anas"}, {"name": "nobodys"}, None]}).encode()
    assert json.loads((await passage.answer(200, raw))[1]) == {name: [{"name": "anas"}]}
    with pytest.raises(AidpError):
        await passage.answer(200, b"<html>")


async def test_an_experiment_is_found_by_name_only_where_it_may_be_read(gate: TeamGate) -> None:
    raw = json.dumps({"experiment": {"experiment_id": "1", "name": "anas"}}).encode()
    for caller, expected in ((ANA, 200), (BEN, 200), (EVE, 404)):
        passage = await send(gate, caller, "GET", f"{MLFLOW}experiments/get-by-name", query="experiment_name=anas")
        assert passage.answer is not None
        status, body = await passage.answer(200, raw)
        assert status == expected
        if status == 404:
            assert json.loads(body)["error_code"] == "RESOURCE_DOES_NOT_EXIST", "as MLflow's client knows it"
            assert b'"1"' not in body


async def test_a_changed_right_holds_for_the_next_call(gate: TeamGate, table: Permissions) -> None:
    call = ("GET", f"{MLFLOW}runs/get", None, "run_id=anas-run")
    assert await refusal(gate, BEN, *call) is None
    await table.share(ANA, "experiment", ANAS, Shared("ana"))
    assert await refusal(gate, BEN, *call) is NotFound


# --- MLflow's page of a run

RUN_QUERY = """query GetRun($data: MlflowGetRunInput!) @component(name: "MLflow.ExperimentRunTracking") {
  mlflowGetRun(input: $data) {
    run { info { runName } modelVersions { status version name source __typename } data { metrics { key value } } }
  }
}"""


def graph(query: str = RUN_QUERY, **variables: Any) -> dict[str, Any]:
    return {"operationName": "GetRun", "query": query, "variables": variables}


async def test_the_page_of_a_run_is_for_those_who_may_read_it(gate: TeamGate) -> None:
    passage = await send(gate, ANA, "POST", "/graphql", graph(data={"runId": "anas-run"}))
    assert got(passage) == graph(data={"runId": "anas-run"})
    assert await refusal(gate, EVE, "POST", "/graphql", graph(data={"runId": "anas-run"})) is NotFound
    assert passage.answer is not None
    versions = [{"name": "anas"}, {"name": "eves"}, {}]
    raw = json.dumps({"data": {"mlflowGetRun": {"run": {"modelVersions": versions}}}}).encode()
    status, shown = await passage.answer(200, raw)
    assert (status, json.loads(shown)) == (200, {"data": {"mlflowGetRun": {"run": {"modelVersions": versions[:1]}}}})
    for query, variables in (
        (
            "query Q($i: MlflowGetExperimentInput!) { a: mlflowGetExperiment(input: $i) { experiment { name } } }",
            {"i": {"experimentId": "1"}},
        ),
        ('{ mlflowListArtifacts(input: {runId: "anas-run", path: "m"}) { files { path } } }', {}),
        (
            "query Q($i: X) { mlflowGetMetricHistoryBulkInterval(input: $i) { metrics { key } } }",
            {"i": {"runIds": ["anas-run"]}},
        ),
        (
            "query Q($r: [String]) { mlflowSearchRuns(input: {experimentIds: $r}) { runs { info { runId } } } }",
            {"r": ["1"]},
        ),
    ):
        assert await refusal(gate, ANA, "POST", "/graphql", graph(query, **variables)) is None, query
        assert await refusal(gate, EVE, "POST", "/graphql", graph(query, **variables)) is NotFound, query


@pytest.mark.parametrize(
    ("query", "variables"),
    [
        (RUN_QUERY, {"data": {"runId": "eves-run"}}),
        (RUN_QUERY, {"data": {"runId": "anas-run", "runUuid": "eves-run"}}),
        (RUN_QUERY, {"data": {"runUuid": "anas-run", "runId": "eves-run"}}),
        (RUN_QUERY, {"data": {"run_id": "anas-run"}}),
        (RUN_QUERY, {"data": {}}),
        (RUN_QUERY, {"data": "anas-run"}),
        (RUN_QUERY, {"data": {"runId": 1}}),
        (RUN_QUERY, {}),
        (RUN_QUERY, {"data": [{"runId": "anas-run"}]}),
        ('query Q($d: X = {runId: "eves-run"}) { mlflowGetRun(input: $d) { run { info { runName } } } }', {}),
        (
            '{ a: mlflowGetRun(input: {runId: "anas-run"}) { run { info { runName } } }'
            ' b: mlflowGetRun(input: {runId: "eves-run"}) { run { info { runName } } } }',
            {},
        ),
        ('{ ...F } fragment F on Query { mlflowGetRun(input: {runId: "eves-run"}) { run { info { runName } } } }', {}),
        ('{ ... on Query { mlflowGetRun(input: {runId: "eves-run"}) { run { info { runName } } } } }', {}),
        (
            'query A { mlflowGetRun(input: {runId: "anas-run"}) { run { info { runName } } } }'
            ' query GetRun { mlflowGetRun(input: {runId: "eves-run"}) { run { info { runName } } } }',
            {},
        ),
        ('mutation { testMutation(inputString: "x") { output } }', {}),
        ('subscription { mlflowGetRun(input: {runId: "anas-run"}) { run { info { runName } } } }', {}),
        ('{ mlflowSearchModelVersions(input: {filter: ""}) { modelVersions { name } } }', {}),
        ("{ mlflowSearchRuns(input: {experimentIds: []}) { runs { info { runId } } } }", {}),
        ('{ mlflowSearchRuns(input: {experimentIds: ["1", "2"]}) { runs { info { runId } } } }', {}),
        ("{ mlflowSearchRuns { runs { info { runId } } } }", {}),
        ('{ mlflowGetRun(input: {runId: "anas-run"}) { run { v: modelVersions { name } } } }', {}),
        ('{ mlflowGetRun(input: {runId: "anas-run"}) { run { modelVersions { source } } } }', {}),
        ('{ mlflowGetRun(input: {runId: "anas-run"}) { run { modelVersions { n: name } } } }', {}),
        ('{ mlflowGetRun(input: {runId: "anas-run"}) { run { modelVersions { n: name name: version } } } }', {}),
        ('{ mlflowGetRun(input: {runId: "anas-run"}) { run { modelVersions { name @skip(if: true) source } } } }', {}),
        ('{ mlflowListArtifacts(input: {runId: "anas-run", path: "../../../2"}) { files { path } } }', {}),
        ("{ __schema { types { name } } }", {}),
        ("{ __typename }", {}),
        ("{ test }", {}),
        ("{", {}),
        ("{" * 3000, {}),
        ("", {}),
    ],
)
async def test_no_other_query_passes(gate: TeamGate, query: str, variables: dict[str, Any]) -> None:
    found = await refusal(gate, ANA, "POST", "/graphql", graph(query, **variables))
    assert found in (NotFound, Forbidden, InvalidRequest)


async def test_queries_come_one_at_a_time_and_in_a_body(gate: TeamGate) -> None:
    assert await refusal(gate, ANA, "GET", "/graphql", query="query={__typename}") is NotAllowed
    assert await refusal(gate, ANA, "POST", "/graphql", [graph(data={"runId": "anas-run"})]) is not None
    for body in ({}, {"query": 1}, {"query": RUN_QUERY, "variables": "x"}):
        assert await refusal(gate, ANA, "POST", "/graphql", body) is InvalidRequest


# --- the table itself

ROUTES = """
import json, os
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
from mlflow.server import app
from mlflow.server.fastapi_app import create_fastapi_app

found = {(method, rule.rule) for rule in app.url_map.iter_rules() for method in rule.methods}

def walk(routes, prefix=""):
    for route in routes:
        inside = getattr(route, "original_router", None)
        if inside is not None:
            walk(inside.routes, prefix + (getattr(route.include_context, "prefix", "") or ""))
        elif getattr(route, "methods", None):
            found.update((method, prefix + route.path) for method in route.methods)

walk(create_fastapi_app().routes)
print("ROUTES" + json.dumps(sorted(found)))
"""


@pytest.fixture(scope="module")
def routes() -> list[tuple[str, str]]:
    """The installed MLflow's own routes, as its process lists them."""
    answer = subprocess.run([sys.executable, "-c", ROUTES], capture_output=True, text=True, timeout=300, check=False)
    lines = [line for line in answer.stdout.splitlines() if line.startswith("ROUTES")]
    assert lines, answer.stderr
    return [(method, path) for method, path in json.loads(lines[0].removeprefix("ROUTES"))]


def short(path: str) -> str:
    for prefix in ("/ajax-api/", "/api/"):
        if path.startswith(prefix):
            return path.removeprefix(prefix)
    return path


def example(path: str) -> str:
    """A path for a pattern of Flask's or FastAPI's."""
    return re.sub(r"<path:\w+>|\{\w+:path\}", "1/anas-run/artifacts/x", re.sub(r"<\w+>|\{\w+\}", "x", path))


def refuses(method: str, path: str) -> bool:
    """Whether the list of what is left out has a route."""
    return any(fnmatchcase(text, pattern) for pattern in REFUSED for text in (path, f"{method} {path}"))


def test_each_route_of_the_installed_mlflow_has_a_rule_or_is_refused(routes: list[tuple[str, str]]) -> None:
    assert len(routes) > 400
    assert any("/assistant/" in path for _, path in routes), "FastAPI's own are among them"
    unknown = set()
    for method, path in routes:
        if method in ("HEAD", "OPTIONS"):
            continue
        one = short(path)
        is_refused = refuses(method, one)
        has_rule = find(method, short(example(path))) is not None
        assert not (is_refused and has_rule), (method, path)
        if not is_refused and not has_rule:
            unknown.add((method, one))
    assert unknown == {("GET", "/graphql")}, "a query by GET is refused by itself, see above"


def test_no_rule_is_for_a_route_that_is_not_there(routes: list[tuple[str, str]]) -> None:
    there = {(method, short(example(path))) for method, path in routes}
    there |= {("GET", "/version"), ("GET", "/health")}
    for method, path in RULES:
        concrete = re.sub(r"\{\w+\}", "x", re.sub(r"\{\*\w+\}", "1/anas-run/artifacts/x", path))
        assert (method, concrete) in there, (method, path)


async def test_every_route_that_is_refused_answers_so(gate: TeamGate, routes: list[tuple[str, str]]) -> None:
    for method, path in routes:
        if method in ("HEAD", "OPTIONS") or refuses(method, short(path)):
            found = await refusal(gate, ADA, method, example(path), {})
            assert found in (NotAllowed, InvalidRequest), (method, path)
