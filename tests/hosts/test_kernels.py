"""Kernels and terminals of a real server: what they are given, what they are not, and what their token opens."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from jupyter_client.kernelspec import KernelSpec

from aidp_ext import kernels
from aidp_ext.app import OWNER
from tests.support.jupyter import Server, clean_environment, jupyter_server
from tests.support.kernel import Kernel, in_terminal, kernel
from tests.support.processes import free_port, running, wait_for_http, wait_until
from tests.support.route_list import served
from tests.support.upstream import KEY, Upstream

SECRETS = {
    "OPENAI_API_KEY": KEY,
    "ANTHROPIC_API_KEY": "sk-ant-SECRET",
    "ANTHROPIC_AUTH_TOKEN": "oauth-SECRET",
    "GEMINI_API_KEY": "gemini-SECRET",
    "LOCAL_OPENAI_API_KEY": "local-SECRET",
    "JUPYTERHUB_API_TOKEN": "hub-SECRET",
    "JPY_API_TOKEN": "hub-SECRET",
    "AIDP_DATABASE_URL": "postgresql://user:SECRET@host/db",
    "GITHUB_CLIENT_SECRET": "github-SECRET",
    "MLFLOW_TRACKING_URI": "http://me:SECRET@127.0.0.1:9/tracking",  # nobody listens there
    "MLFLOW_TRACKING_USERNAME": "me",
    "MLFLOW_TRACKING_PASSWORD": "mlflow-SECRET",
}
ASK = (
    "import openai; print({client}.chat.completions.create(model='auto:local', max_tokens=4,"
    " messages=[{{'role': 'user', 'content': 'x'}}]).choices[0].message.content)"
)
#: What the token may be for, below aidp/.
FOR_KERNELS = {
    *("ai/v1/chat/completions", "ai/v1/completions", "ai/v1/embeddings", "ai/v1/messages"),
    *("ai/v1/models", "ai/v1/models/x", "ai/route", "ai/preview", "ai/calls", "mlflow/x"),
}


@pytest.fixture(scope="module")
def governed(tmp_path_factory: pytest.TempPathFactory, llama: str, _upstream: Upstream) -> Iterator[Server]:
    """A server below a path, with secrets in its environment, a dead proxy, and all its routes listed."""
    folder = tmp_path_factory.mktemp("governed")
    extensions = folder / "home" / "config" / "jupyter_server_config.d"
    extensions.mkdir(parents=True)
    listed = {"ServerApp": {"jpserver_extensions": dict.fromkeys(("tests.support.route_list", "jupyterlab"), True)}}
    (extensions / "more.json").write_text(json.dumps(listed))
    dead = "http://127.0.0.1:9"
    environment = {
        **SECRETS,
        "LOCAL_OPENAI_BASE_URL": llama,
        "OPENAI_BASE_URL": f"{_upstream.url}/v1",
        "HTTP_PROXY": dead,
        "HTTPS_PROXY": dead,
        "NO_PROXY": "intranet.example",
        "AIDP_TEST_PLAIN": "kept",
    }
    with jupyter_server(folder, environment, "--ServerApp.base_url=/deep/er") as running:
        yield Server(f"{running.url}deep/er/", *(getattr(running, n) for n in ("token", "root", "home", "log", "pid")))


@pytest.fixture(scope="module")
def cell(governed: Server) -> Iterator[Kernel]:
    """A notebook's kernel there."""
    (governed.root / "examples").mkdir()
    with kernel(governed, notebook="examples/birds.ipynb") as running:
        yield running


@pytest.fixture(scope="module")
def token(cell: Kernel) -> str:
    """The token that its kernels have."""
    return environment_of(cell)["OPENAI_API_KEY"]


def environment_of(cell: Kernel) -> dict[str, str]:
    found: dict[str, str] = json.loads(cell.run("import json, os; print(json.dumps(dict(os.environ)))").text)
    return found


def status(url: str, method: str, headers: Mapping[str, str]) -> int:
    """Return the status of one request, which has an empty JSON object as its body and follows no redirect."""
    request = urllib.request.Request(url, b"{}", {**headers, "Content-Type": "application/json"}, method=method)

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: Any) -> None:
            return None

    try:
        with urllib.request.build_opener(Stay).open(request, timeout=30) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


# --- the environment ---


def test_a_kernel_has_the_address_and_the_token_and_none_of_the_servers_secrets(governed: Server, cell: Kernel) -> None:
    found = environment_of(cell)
    assert found["GIT_TERMINAL_PROMPT"] == "0"
    assert found["OPENAI_BASE_URL"] == f"{governed.url}aidp/ai/v1"
    assert found["ANTHROPIC_BASE_URL"] == found["AIDP_AI_URL"] == f"{governed.url}aidp/ai"
    assert len({found[name] for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "AIDP_AI_TOKEN")}) == 1
    assert len(found["OPENAI_API_KEY"]) >= 32
    assert "SECRET" not in json.dumps(found)
    assert governed.token not in json.dumps(found)
    assert found["AIDP_TEST_PLAIN"] == "kept"
    assert found["AIDP_NOTEBOOK"] == "examples/birds.ipynb"
    assert found["MLFLOW_TRACKING_URI"] == f"{governed.url}aidp/mlflow"
    assert found["MLFLOW_TRACKING_TOKEN"] == found["AIDP_AI_TOKEN"]
    assert not {"MLFLOW_TRACKING_USERNAME", "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "MLFLOW_EXPERIMENT_NAME"} & set(
        found
    )
    assert {*found["NO_PROXY"].split(",")} == {"intranet.example", "127.0.0.1", "localhost", "::1"}


def test_a_kernel_without_a_notebook_has_the_same(governed: Server) -> None:
    with kernel(governed) as running:
        found = environment_of(running)
    assert found["OPENAI_BASE_URL"] == f"{governed.url}aidp/ai/v1"
    assert "AIDP_NOTEBOOK" not in found
    assert "SECRET" not in json.dumps(found)


def test_a_terminal_has_the_same_and_the_sdk_works_there(governed: Server) -> None:
    screen = in_terminal(governed, "env; echo EN''D", "END")
    assert f"OPENAI_BASE_URL={governed.url}aidp/ai/v1" in screen
    assert "AIDP_TEST_PLAIN=kept" in screen
    assert "SECRET" not in screen
    assert governed.token not in screen
    code = "import openai; print('LIS' + 'TED', [m.id for m in openai.OpenAI().models.list()][0], 'TOGE' + 'THER')"
    assert "LISTED auto TOGETHER" in in_terminal(governed, f'{sys.executable} -c "{code}"', "TOGETHER")


def test_a_kernel_keeps_it_over_a_restart(governed: Server) -> None:
    with kernel(governed, notebook="again.ipynb") as running:
        before = environment_of(running)
        running.restart()
        after = environment_of(running)
        assert after["OPENAI_API_KEY"] == before["OPENAI_API_KEY"]
        assert "SECRET" not in json.dumps(after)
        assert running.run("import openai; print(openai.OpenAI().models.list().data[0].id)").text == "auto\n"
        assert "mode" in running.run("%ai").shown.lower()


def test_a_kernel_of_another_environment_starts_as_ever(governed: Server, tmp_path: Path) -> None:
    """It gets the address and the token, but no magic: aidp_ext may not be there."""
    link = tmp_path / "bin" / "python"
    link.parent.mkdir()
    link.symlink_to(sys.executable)
    folder = governed.home / "data" / "kernels" / "other"
    folder.mkdir(parents=True)
    argv = [str(link), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {
        "argv": argv,
        "display_name": "Other",
        "language": "python",
        "env": {"PYTHONPATH": os.pathsep.join(sys.path)},
    }
    (folder / "kernel.json").write_text(json.dumps(spec))
    with kernel(governed, name="other") as running:
        assert running.run("print('ai' in get_ipython().magics_manager.magics['cell'])").text == "False\n"
        assert environment_of(running)["OPENAI_BASE_URL"] == f"{governed.url}aidp/ai/v1"


# --- what the token opens ---


def test_the_token_passes_where_kernels_need_it(governed: Server, token: str) -> None:
    for headers in ({"Authorization": f"Bearer {token}"}, {"x-api-key": token}, {"x-api-key": governed.token}):
        for path in ("v1/chat/completions", "v1/completions"):
            assert status(f"{governed.url}aidp/ai/{path}", "POST", headers) == 400, "let in, and told what is missing"
        assert status(f"{governed.url}aidp/ai/v1/models", "GET", headers) == 200
        assert status(f"{governed.url}aidp/ai/v1/models/auto", "GET", headers) == 200
        assert status(f"{governed.url}aidp/ai/route", "POST", headers) == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "api/contents"),
        ("PUT", "api/contents/x.txt"),
        ("POST", "api/kernels"),
        ("POST", "api/terminals"),
        ("POST", "api/sessions"),
        ("GET", "api/me"),
        ("GET", "api/status"),
        ("POST", "api/shutdown"),
        ("GET", "aidp/health"),
        ("GET", "aidp/ai/mode"),
        ("PUT", "aidp/ai/mode"),
        ("GET", "aidp/ai/providers"),
        ("PUT", "aidp/ai/keys/openai"),
        ("POST", "aidp/ai/pull"),
        ("GET", "aidp/ai/rules"),
        ("POST", "aidp/no/such"),
    ],
)
@pytest.mark.parametrize("header", ["Authorization", "x-api-key"])
def test_the_token_is_refused_elsewhere(governed: Server, token: str, method: str, path: str, header: str) -> None:
    headers = {header: f"Bearer {token}" if header == "Authorization" else token}
    assert status(governed.url + path, method, headers) in (401, 403)


def test_on_every_other_route_of_the_server_its_bearer_is_nobody(governed: Server, token: str) -> None:
    """Jupyter's, Lab's and other extensions' routes too: the answer is the one that a stranger gets."""
    paths = {route.example for route in served(governed.root)}
    ours = {path.removeprefix("/deep/er/") for path in paths if path.startswith("/deep/er/")}
    assert {
        "api/contentsx",
        "api/kernels",
        "api/sessions",
        "api/terminals",
        "aidp/ai/mode",
        "lab/api/settings/x",
    } <= ours
    opened = set()
    ours -= {"lab/api/licenses/x"}  # Lab leaves a stranger there without any answer
    for path, method in itertools.product(sorted(ours), ("GET", "POST", "PUT", "DELETE")):
        stranger = status(governed.url + path, method, {})
        for headers in ({"Authorization": f"Bearer {token}"}, {"x-api-key": token}):
            if status(governed.url + path, method, headers) not in (stranger, 403):
                opened.add(path)
    assert {"aidp/ai/v1/chat/completions", "aidp/ai/v1/models", "aidp/ai/route", "aidp/mlflow/x"} <= opened
    assert opened <= {f"aidp/{path}" for path in FOR_KERNELS}


def test_what_the_token_is_not_for_is_said(governed: Server, cell: Kernel) -> None:
    error = cell.fail("import openai; openai.OpenAI().files.list()")
    assert error["ename"] == "PermissionDeniedError"
    assert "for asking models" in error["evalue"]


def test_a_wrong_or_empty_token_opens_nothing(governed: Server) -> None:
    for given in ("wrong", "", " ", "ä"):
        for headers in ({"Authorization": f"Bearer {given}"}, {"x-api-key": given}):
            quoted = {name: value.encode().decode("latin-1") for name, value in headers.items()}
            assert status(f"{governed.url}aidp/ai/v1/models", "GET", quoted) == 401


def test_a_call_from_a_kernel_is_recorded_as_its_owners(governed: Server, cell: Kernel) -> None:
    cell.run(ASK.format(client="openai.OpenAI()"))
    record = [json.loads(line) for line in (governed.home / "data" / "aidp" / "audit.jsonl").read_text().splitlines()]
    last = [entry for entry in record if entry["event"] == "ai.call"][-1]
    assert (last["actor"], last["route"], last["outcome"]) == (OWNER, "local/tiny-coder", "ok")


# --- the SDKs, with no arguments ---


def test_openai_answers_in_a_cell(cell: Kernel) -> None:
    assert len(cell.run(ASK.format(client="openai.OpenAI()")).text) > 4


def test_anthropic_answers_in_a_cell(cell: Kernel) -> None:
    code = (
        "import anthropic; client = anthropic.Anthropic()\n"
        "said = client.messages.create(model='auto:local', max_tokens=4, messages=[{'role': 'user', 'content': 'x'}])\n"
        "print(said.content[0].text)"
    )
    assert len(cell.run(code).text) > 4


# --- %%ai and aidp_ext.ai in a cell ---


@pytest.fixture(scope="module")
def free(server: Server) -> Iterator[Kernel]:
    """A kernel of the server whose cloud is the misbehaving one."""
    with kernel(server, notebook="free.ipynb") as running:
        yield running


def test_the_magic_is_there_without_a_word_and_answers(free: Kernel) -> None:
    result = free.run("%%ai --model auto:local --to answer\nWhich bird is it?")
    answer, line = result.displays
    assert len(answer["text/markdown"]) > 10
    assert line["text/plain"].startswith("tiny-coder · local · ")
    assert result.text == ""
    assert free.run("print(answer.route, len(answer))").text.startswith("local/tiny-coder ")


def test_an_answer_of_many_pieces_grows_on_the_page(free: Kernel, upstream: Upstream) -> None:
    result = free.run("%%ai -m openai/good\nx")
    assert result.shown.startswith("Penguins are birds.\ngood · cloud · ")
    assert result.updates >= 1
    (asked,) = upstream.posts()
    assert asked.body["messages"] == [{"role": "user", "content": "x"}]


def test_the_new_cell_below_has_the_code(free: Kernel, upstream: Upstream) -> None:
    (payload,) = free.run("%%ai -m openai/good --insert\nx").payload
    assert payload == {"source": "set_next_input", "text": "Penguins are birds.", "replace": False}


def test_an_error_is_one_message_and_no_traceback(free: Kernel, upstream: Upstream) -> None:
    error = free.fail("%%ai -m openai/nonesuch\nx")
    assert error["ename"] == "MagicError"
    assert error["traceback"][0].startswith("aidp: There is no model")
    assert len(error["traceback"]) == 2


@pytest.mark.parametrize(
    "code", ["%%ai -m openai/forever\nx", "for _ in ai.stream('x', model='openai/forever'): print(_)"]
)
def test_an_interrupt_stops_the_model_and_keeps_what_has_come(free: Kernel, upstream: Upstream, code: str) -> None:
    free.run("from aidp_ext import ai")
    number = free.begin(code)
    wait_until(upstream.posts, "the model has the question")
    free.wait_for_output(number)
    free.interrupt()
    result = free.end(number)
    assert result.status == "error"
    wait_until(lambda: upstream.aborted, "the model was stopped")
    assert "tick" in result.shown + result.text
    if code.startswith("%%ai"):
        assert result.error["traceback"] == ["aidp: Stopped."]
        assert "forever · cloud · You asked for this model · stopped" in result.shown


def test_an_interrupt_before_the_first_word_stops_the_model_too(
    free: Kernel, server: Server, upstream: Upstream
) -> None:
    number = free.begin("%%ai -m openai/hang\nx")
    wait_until(upstream.posts, "the model has the question")
    free.interrupt()
    assert free.end(number).error["traceback"] == ["aidp: Stopped."]
    record = server.home / "data" / "aidp" / "audit.jsonl"
    wait_until(
        lambda: json.loads(record.read_text().splitlines()[-1]).get("route") == "openai/hang", "it is recorded", 10
    )
    assert json.loads(record.read_text().splitlines()[-1])["outcome"] == "cancelled", "not left to its time-out"


def test_the_client_answers_in_a_cell(free: Kernel, upstream: Upstream) -> None:
    free.run("from aidp_ext import ai; reply = ai.chat('x', model='openai/good')")
    assert free.run("print(reply, reply.route, reply.reason)").text == "Penguins are birds. openai/good asked_for\n"
    assert free.run("reply").displays[0]["text/markdown"] == "Penguins are birds."
    assert free.run("print(*ai.stream('x', model='openai/good'), sep='|')").text == "Pen|guins| are| birds|.\n"
    error = free.fail("ai.chat('x', model='openai/good', private=True)")
    assert error["ename"] == "AiError"
    assert error["evalue"].startswith("policy_refused: ")
    assert len(upstream.posts()) == 2


def test_a_notebook_with_a_key_of_its_own_keeps_the_magic(free: Kernel, upstream: Upstream) -> None:
    free.run("import os; os.environ |= {'OPENAI_API_KEY': 'sk-mine', 'OPENAI_BASE_URL': 'http://127.0.0.1:9/v1'}")
    assert free.run("%%ai -m openai/good\nx").shown.startswith("Penguins are birds.")


# --- other servers ---


def test_a_server_that_does_not_govern_leaves_kernels_and_terminals_as_they_are(tmp_path: Path, llama: str) -> None:
    environment = {"OPENAI_API_KEY": KEY, "GEMINI_API_KEY": "gemini-SECRET", "LOCAL_OPENAI_BASE_URL": llama}
    with jupyter_server(tmp_path, environment, "--AidpApp.govern_kernels=False") as server, kernel(server) as cell:
        found = environment_of(cell)
        assert (found["OPENAI_API_KEY"], found["GEMINI_API_KEY"]) == (KEY, "gemini-SECRET")
        assert not {"OPENAI_BASE_URL", "AIDP_AI_TOKEN", "ANTHROPIC_API_KEY", "MLFLOW_TRACKING_URI"} & set(found)
        assert cell.run("print('ai' in get_ipython().magics_manager.magics['cell'])").text == "False\n"
        assert f"OPENAI_API_KEY={KEY}" in in_terminal(server, "env; echo EN''D", "END")
        assert status(f"{server.url}aidp/ai/v1/models", "GET", {"Authorization": "Bearer "}) == 401


def test_what_is_hidden_can_be_chosen(tmp_path: Path) -> None:
    environment = {"GEMINI_API_KEY": "kept", "GOOGLE_API_KEY": "gone"}
    option = "--AidpApp.hidden_from_kernels=GOOGLE_*"
    with jupyter_server(tmp_path, environment, option) as server, kernel(server) as cell:
        found = environment_of(cell)
    assert found["GEMINI_API_KEY"] == "kept"
    assert "GOOGLE_API_KEY" not in found


def test_a_server_with_tls_opens_a_door_on_loopback_for_the_ai_routes_alone(
    tmp_path: Path, llama: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDKs would not trust a certificate of its own making."""
    certificate, key = make_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))  # for the test's own requests
    port = free_port()
    options = (f"--certfile={certificate}", f"--keyfile={key}", "--ip=127.0.0.1", f"--port={port}")
    with other_server(tmp_path, llama, *options) as (process, server):
        wait_for_http(f"https://127.0.0.1:{port}/api", process)
        server = replace(server, url=f"https://127.0.0.1:{port}/")
        with kernel(server) as cell:
            assert len(cell.run(ASK.format(client="openai.OpenAI()")).text) > 4
            door = environment_of(cell)["OPENAI_BASE_URL"].removesuffix("aidp/ai/v1")
        assert door.startswith("http://127.0.0.1:")
        assert status(f"{door}aidp/ai/v1/models", "GET", {}) == 401
        behind = {
            path: status(door + path, "GET", server.headers) for path in ("aidp/ai/v1/models", "api/contents", "")
        }
        assert behind == {"aidp/ai/v1/models": 200, "api/contents": 404, "": 404}


def test_a_server_on_a_unix_socket_opens_such_a_door_too(tmp_path: Path, llama: str) -> None:
    path = tmp_path / "s.sock"
    with other_server(tmp_path, llama, f"--sock={path}") as (process, server):
        wait_until(lambda: path.exists() or process.poll(), "it listens")
        created = post_over_socket(path, "/api/kernels", server.headers)
        cell = Kernel(server, created["id"])
        assert environment_of(cell)["OPENAI_BASE_URL"].startswith("http://127.0.0.1:")
        assert len(cell.run(ASK.format(client="openai.OpenAI()")).text) > 4
        cell.disconnect()


@contextlib.contextmanager
def other_server(folder: Path, llama: str, *options: str) -> Iterator[tuple[subprocess.Popen[bytes], Server]]:
    """Run a server that listens as ``options`` say; its URL is for the test to fill in."""
    home, log, token = folder / "home", folder / "log", "test-token"
    argv = [sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root", f"--ServerApp.root_dir={folder}"]
    argv += ['--ServerApp.jpserver_extensions={"aidp_ext": True}', *options]
    environment = clean_environment(home, {"JUPYTER_TOKEN": token, "LOCAL_OPENAI_BASE_URL": llama})
    with running(argv, log=log, env={k: v for k, v in environment.items() if k != "SSL_CERT_FILE"}) as process:
        yield process, Server("", token, folder, home, log, process.pid)


def post_over_socket(path: Path, target: str, headers: dict[str, str]) -> Any:
    connection = http.client.HTTPConnection("localhost", timeout=60)
    with contextlib.closing(connection):
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(path))
        connection.request("POST", target, b"{}", headers)
        return json.loads(connection.getresponse().read())


# --- the rules, without a server ---

URL = "http://127.0.0.1:8888/aidp/ai"


def server_on(**traits: Any) -> Any:
    """What `Kernels` reads of a server."""
    usual = {"sock": "", "certfile": "", "ssl_options": None, "ip": "localhost", "port": 8888, "base_url": "/"}
    settings = SimpleNamespace(settings={})
    manager = SimpleNamespace(start_kernel="untouched")
    gateway = SimpleNamespace(gateway_enabled=True)
    return SimpleNamespace(
        **{**usual, "web_app": settings, "kernel_manager": manager, "gateway_config": gateway, **traits}
    )


@pytest.mark.parametrize(
    ("traits", "url"),
    [
        ({}, "http://localhost:8888/aidp/ai"),
        ({"ip": "127.0.0.1", "port": 9000, "base_url": "/user/ana/"}, "http://127.0.0.1:9000/user/ana/aidp/ai"),
        ({"ip": ""}, "http://127.0.0.1:8888/aidp/ai"),
        ({"ip": "0.0.0.0"}, "http://127.0.0.1:8888/aidp/ai"),
        ({"ip": "192.168.7.5"}, "http://192.168.7.5:8888/aidp/ai"),
        ({"ip": "::"}, "http://[::1]:8888/aidp/ai"),
        ({"ip": "fd00::5"}, "http://[fd00::5]:8888/aidp/ai"),
    ],
)
def test_the_address_is_one_that_a_child_process_can_reach(traits: dict[str, Any], url: str) -> None:
    governor = kernels.Kernels(server_on(**traits), "t", [])
    governor.start()
    assert governor.url == url


def test_kernels_of_a_gateway_are_left_alone() -> None:
    server = server_on()
    kernels.Kernels(server, "t", []).start()
    assert server.kernel_manager.start_kernel == "untouched"


def test_runs_are_logged_by_us_and_by_nothing_that_is_meant_for_another_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    theirs = {"MLFLOW_TRACKING_PASSWORD": "p", "MLFLOW_TRACKING_AUTH": "x", "MLFLOW_EXPERIMENT_NAME": "mine"}
    found = kernels.tracking(theirs, "http://h:1/aidp", "t", experiment="~ana")
    assert found["MLFLOW_TRACKING_URI"] == "http://h:1/aidp/mlflow"
    assert found["MLFLOW_TRACKING_TOKEN"] == "t"
    assert (found["MLFLOW_TRACKING_PASSWORD"], found["MLFLOW_TRACKING_AUTH"]) == (None, None)
    assert not {"MLFLOW_EXPERIMENT_NAME", "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING"} & set(found)
    assert kernels.tracking({}, "u", "t", experiment="~ana")["MLFLOW_EXPERIMENT_NAME"] == "~ana"

    (tmp_path / ".mlflow").mkdir()
    (tmp_path / ".mlflow" / "credentials").write_text("[mlflow]")
    found = kernels.tracking({}, "u", "t")
    assert (found["MLFLOW_TRACKING_USERNAME"], found["MLFLOW_TRACKING_PASSWORD"]) == ("aidp", "t")


def test_system_metrics_are_on_where_the_setting_says_so_unless_the_user_said_otherwise() -> None:
    name = "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING"
    assert kernels.tracking({}, "u", "t", system_metrics=True)[name] == "true"
    assert kernels.tracking({name: "false"}, "u", "t", system_metrics=True)[name] == "false"


@pytest.mark.parametrize(
    ("current", "expected"),
    [
        ({}, None),
        ({"NO_PROXY": "a"}, None),
        ({"HTTPS_PROXY": ""}, None),
        ({"https_proxy": "http://p", "NO_PROXY": "*"}, None),
        ({"HTTP_PROXY": "http://p"}, "127.0.0.1,localhost,::1"),
        ({"all_proxy": "http://p", "NO_PROXY": "a, b", "no_proxy": "b,c"}, "a,b,c,127.0.0.1,localhost,::1"),
    ],
)
def test_the_server_is_reached_without_the_proxy_where_there_is_one(
    current: dict[str, str], expected: str | None
) -> None:
    found = kernels.changes(current, URL, "t", ())
    assert found.get("NO_PROXY") == found.get("no_proxy") == expected


def test_a_server_at_another_address_is_reached_without_the_proxy_too() -> None:
    found = kernels.changes({"HTTP_PROXY": "http://p"}, "http://[fd00::5]:80/x/aidp/ai", "t", ())
    assert found["NO_PROXY"] == "127.0.0.1,localhost,::1,fd00::5"


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["python3", "-m", "ipykernel_launcher", "-f", "{connection_file}"], True),
        ([sys.executable, "-Xfrozen_modules=off", "-m", "ipykernel_launcher"], True),
        ([sys.executable, "-m", "bash_kernel"], False),
        (["/usr/bin/env", "python3", "-m", "ipykernel_launcher"], False),
        ([os.path.realpath(sys.executable), "-m", "ipykernel_launcher"], False),
        (["conda", "run", "python", "-m", "ipykernel_launcher"], False),
        ([], False),
    ],
)
def test_only_ipykernel_of_the_servers_own_environment_gets_the_magic(argv: list[str], expected: bool) -> None:
    assert kernels.can_load_magics(argv) is expected


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({}, True),
        ({"kernel_provisioner": {"provisioner_name": "local-provisioner"}}, True),
        ({"kernel_provisioner": {"provisioner_name": "kubernetes-provisioner"}}, False),
    ],
)
def test_kernels_that_run_elsewhere_are_left_alone(metadata: dict[str, Any], expected: bool) -> None:
    assert kernels.is_local(KernelSpec(metadata=metadata)) is expected


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """Write a certificate for 127.0.0.1 that signs itself, and its key; return their paths."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    plain = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(plain)
    return folder / "cert.pem", folder / "key.pem"
