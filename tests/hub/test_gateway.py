"""The team gateway through a real hub: a user without any key gets answers; rules, money and records are the team's."""

import json
import sqlite3
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import anthropic
import openai
import psutil
import pytest
from jupyter_client.blocking import BlockingKernelClient

from aidp_ext.core.audit import verify
from tests.hub.browser import Browser
from tests.hub.process import Hub, environment, free_port
from tests.support import anthropic_api, gemini_api, openai_api
from tests.support.doubles import Doubles, all_doubles
from tests.support.processes import running, wait_for_http, wait_until

KEYS = (openai_api.KEY, anthropic_api.KEY, gemini_api.KEY)
METRICS_TOKEN = "a-token-for-prometheus-0123456789abcdef"
SETTINGS = """
c.AiConfig.team_models = {"interns": {"denied": ["openai/gpt-4o*", "*embedding*", "anthropic/*"]}}
c.AiConfig.team_monthly_budgets_usd = {"broke": 0}
c.AiConfig.requests_per_minute = 1200
"""
MAIL = "ada.lovelace@example.org"


@pytest.fixture(scope="module")
def doubles() -> Iterator[Doubles]:
    with all_doubles() as running_doubles:
        yield running_doubles


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, doubles: Doubles) -> Iterator[Hub]:
    folder = tmp_path_factory.mktemp("gateway")
    keys, settings = folder / "keys", folder / "gateway.py"
    names = [name for name in doubles.environment if name.endswith("_KEY")]
    keys.write_text("".join(f"{name}={doubles.environment[name]}\n" for name in names))
    keys.chmod(0o600)
    settings.write_text(SETTINGS)
    settings.chmod(0o644)
    hub = Hub(
        folder / "state",
        terminal=True,
        **{name: value for name, value in doubles.environment.items() if name.endswith("_BASE_URL")},
        OLLAMA_HOST="http://127.0.0.1:9",
        AIDP_ADMIN_USERS="ada",
        AIDP_KEYS_FILE=str(keys),
        AIDP_SERVICE_CONFIG=str(settings),
        AIDP_TOKEN_CACHE_S="1",
        AIDP_METRICS_TOKEN=METRICS_TOKEN,
    )
    try:
        hub.wait_ready()
        yield hub
    finally:
        hub.close()


@pytest.fixture(scope="module")
def alice(hub: Hub) -> Browser:
    """Alice, with her server up and a token of her own."""
    browser = Browser(hub.url)
    browser.sign_in("alice", hub.password)
    browser.start_server("alice")
    browser.token = browser.api_token("alice")
    return browser


@pytest.fixture(scope="module")
def ada(hub: Hub) -> Browser:
    """The hub's admin."""
    browser = Browser(hub.url)
    browser.sign_in("ada", (hub.state_dir / "admin-password").read_text().strip())
    browser.token = browser.api_token("ada")
    return browser


@pytest.fixture(scope="module")
def kernel(hub: Hub, alice: Browser) -> Iterator[psutil.Process]:
    answer = alice.open("user/alice/api/kernels", body={"name": "python3"})
    assert answer.status == 201, answer.text
    yield hub.find("ipykernel_launcher")
    alice.open(f"user/alice/api/kernels/{answer.json()['id']}", method="DELETE")


@pytest.fixture(scope="module")
def client(kernel: psutil.Process) -> openai.OpenAI:
    """OpenAI's client with what a kernel of Alice's has."""
    given = kernel.environ()
    return openai.OpenAI(base_url=given["OPENAI_BASE_URL"], api_key=given["OPENAI_API_KEY"], max_retries=0, timeout=60)


@pytest.fixture
def group(ada: Browser, alice: Browser) -> Iterator[str]:
    """A group of the hub that Alice is in for this test; its name is the test's to choose with `join`."""
    joined: list[str] = []

    def join(name: str) -> str:
        assert ada.open(f"hub/api/groups/{name}", method="POST").status == 201
        joined.append(name)
        assert ada.open(f"hub/api/groups/{name}/users", body={"users": ["alice"]}).status == 200
        return name

    yield join
    for name in joined:
        assert ada.open(f"hub/api/groups/{name}", method="DELETE").status == 204


def ask(client: openai.OpenAI, model: str, text: str = "Which bird is it?"):
    return client.chat.completions.create(model=model, messages=[{"role": "user", "content": text}], max_tokens=50)


def refused(client: openai.OpenAI, model: str) -> openai.APIStatusError | None:
    """The refusal, None where there is an answer (the gateway still goes by what it knew of Alice)."""
    try:
        ask(client, model)
    except openai.APIStatusError as error:
        return error
    return None


def error_of(error: openai.APIStatusError) -> dict:
    return error.response.json()["error"]


def run(kernel: psutil.Process, code: str) -> str:
    """What a cell of the kernel prints."""
    line = kernel.cmdline()
    client = BlockingKernelClient(connection_file=line[line.index("-f") + 1])
    client.load_connection_file()
    client.hb_channel.time_to_dead = 30.0  # a second is little on a machine that is busy
    client.start_channels()
    printed: list[str] = []
    try:
        client.wait_for_ready(timeout=60)
        reply = client.execute_interactive(
            code, timeout=60, output_hook=lambda message: printed.append(message["content"].get("text", ""))
        )
    finally:
        client.stop_channels()
    assert reply["content"]["status"] == "ok", reply["content"]
    return "".join(printed)


def gateway_calls(hub: Hub) -> list[dict]:
    """The gateway's own record of calls."""
    path = hub.state_dir / "service" / "audit.jsonl"
    verify(path)
    return [record for line in path.read_text().splitlines() if (record := json.loads(line))["event"] == "ai.call"]


def test_openais_client_in_a_kernel_gets_an_answer_without_any_key(
    hub: Hub, alice: Browser, kernel: psutil.Process, doubles: Doubles
):
    code = (
        "import openai\n"
        "for model in ('auto', 'gateway/openai/gpt-4o'):\n"
        "    raw = openai.OpenAI().chat.completions.with_raw_response.create(\n"
        "        model=model, messages=[{'role': 'user', 'content': 'Which bird is it?'}])\n"
        "    print(raw.headers['X-AIDP-Route'], raw.parse().choices[0].message.content, sep='|')"
    )
    assert run(kernel, code).splitlines() == [
        f"gateway/anthropic/{anthropic_api.NEW}|You said: Which bird is it?",
        "gateway/openai/gpt-4o|You said: Which bird is it?",
    ]
    assert json.loads(doubles.received["openai"][-1].body)["model"] == "gpt-4o"

    call, _ = [one for one in alice.open("user/alice/aidp/ai/calls").json()["calls"] if one["outcome"] == "ok"]
    assert (call["route"], call["locality"]) == ("gateway/openai/gpt-4o", "cloud")
    assert call["cost_usd"] > 0

    def kept() -> list[tuple[str, str, int]]:
        with closing(sqlite3.connect(hub.state_dir / "service" / "aidp.sqlite")) as ledger:
            if not ledger.execute("SELECT name FROM sqlite_master WHERE name = 'ai_call'").fetchall():
                return []  # it makes its tables when it first writes, which is after the answer
            return ledger.execute("SELECT user, route, cost FROM ai_call").fetchall()

    _, (user, route, cost) = wait_until(lambda: kept()[1:] and kept(), "the gateway's ledger has both calls")
    assert (user, route) == ("alice", "openai/gpt-4o")
    assert cost / 1e9 == pytest.approx(call["cost_usd"])
    assert gateway_calls(hub)[-1]["actor"] == "alice"


def test_the_organisations_keys_are_nowhere_near_a_user(hub: Hub, alice: Browser, kernel: psutil.Process):
    server = hub.find("jupyterhub.singleuser")
    tree = [server, *server.children(recursive=True)]
    assert kernel.pid in {process.pid for process in tree}
    everyone = hub.processes()  # not even the gateway shows them, which reads its file itself
    for process in {*tree, *everyone}:
        folder = Path("/proc", str(process.pid))
        seen = (folder / "environ").read_bytes() + (folder / "cmdline").read_bytes()
        assert not [key for key in KEYS if key.encode() in seen], process
    files = [path for path in hub.state_dir.rglob("*") if path.is_file()]
    assert {"hub.log", "jupyterhub.sqlite", "audit.jsonl", "penguins.ipynb"} <= {path.name for path in files}
    for path in [*files, hub.errors]:
        text = path.read_bytes()
        assert not [key for key in KEYS if key.encode() in text], path
    assert not [key for key in KEYS if key in hub.printed]


def test_a_users_server_takes_no_keys(alice: Browser):
    said = alice.open("user/alice/aidp/ai/providers").json()
    assert (said["keys_allowed"], said["key_store"]) == (False, None)
    assert {one["name"]: one["state"] for one in said["providers"]} == {"ollama": "unreachable", "gateway": "ready"}
    answer = alice.open("user/alice/aidp/ai/keys/openai", body={"key": "sk-mine"}, method="PUT")
    assert (answer.status, answer.json()["error"]["code"]) == (403, "forbidden")
    assert "gateway" in answer.json()["error"]["message"]


def test_what_is_private_is_replaced_before_the_gateway_sees_it(
    hub: Hub, alice: Browser, client: openai.OpenAI, doubles: Doubles
):
    answer = ask(client, "gateway/openai/gpt-4o", f"Write to {MAIL}.")
    assert answer.choices[0].message.content == f"You said: Write to {MAIL}.", "put back for the user"
    assert (doubles.were_sent("openai", MAIL), doubles.were_sent("openai", "Write to [EMAIL_1].")) == (False, True)
    assert alice.open("user/alice/aidp/ai/calls").json()["calls"][0]["redactions"] == {"email": 1}
    assert gateway_calls(hub)[-1]["redactions"] == 0, "nothing was left for the gateway to replace"


def test_every_dialect_goes_through_the_gateway(hub: Hub, kernel: psutil.Process, client: openai.OpenAI):
    given = kernel.environ()
    claude = anthropic.Anthropic(
        base_url=given["ANTHROPIC_BASE_URL"], api_key=given["ANTHROPIC_API_KEY"], max_retries=0, timeout=60
    )
    question = [{"role": "user", "content": "Which bird is it?"}]
    model = f"gateway/anthropic/{anthropic_api.NEW}"
    said = claude.messages.create(model=model, max_tokens=50, messages=question)
    assert said.content[-1].text == "You said: Which bird is it?"
    assert said.usage.output_tokens == anthropic_api.USAGE["output_tokens"]
    with claude.messages.stream(model=model, max_tokens=50, messages=question) as events:
        assert events.get_final_text() == "You said: Which bird is it?"

    vectors = client.embeddings.create(model="gateway/openai/text-embedding-3-small", input=["one", "three"])
    assert [len(one.embedding) for one in vectors.data] == [2, 2]

    stream = client.chat.completions.create(
        model="gateway/openai/gpt-4o", messages=question, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "You said: Which bird is it?"
    assert chunks[-1].usage.total_tokens == 21
    spent = gateway_calls(hub)[-4:]
    assert {one["actor"] for one in spent} == {"alice"}
    assert all(one["cost_usd"] > 0 and one["prompt_tokens"] for one in spent), "streams are counted too"


def test_a_groups_rules_bind_its_members(client: openai.OpenAI, alice: Browser, group):
    ask(client, "gateway/openai/gpt-4o")
    group("interns")
    error = wait_until(lambda: refused(client, "gateway/openai/gpt-4o"), "the group's rule holds")
    assert isinstance(error, openai.PermissionDeniedError)
    assert error_of(error)["code"] == "policy_refused"
    assert error_of(error)["message"]
    # also once the user's server has looked at the gateway's shorter list
    alice.open("user/alice/aidp/ai/providers?refresh=1")
    assert "gateway/openai/gpt-4o" not in {model.id for model in client.models.list()}
    error = refused(client, "gateway/openai/gpt-4o")
    assert error is not None
    assert (error.status_code, error_of(error)["code"]) == (403, "policy_refused")
    with pytest.raises(openai.PermissionDeniedError):
        client.embeddings.create(model="gateway/openai/text-embedding-3-small", input="x")
    answer = client.chat.completions.with_raw_response.create(
        model="auto", messages=[{"role": "user", "content": "x"}], max_tokens=20
    )
    assert answer.headers["X-AIDP-Route"] == "gateway/openai/gpt-5"


@pytest.mark.parametrize("model", ["gateway/openai/gpt-4", "auto"])
def test_a_groups_budget_binds_its_members(client: openai.OpenAI, alice: Browser, group, model: str):
    group("broke")
    error = wait_until(lambda: refused(client, model), "the group's budget holds")
    alice.open("user/alice/aidp/ai/providers?refresh=1")
    for said in (error, refused(client, model)):
        assert said is not None
        assert (said.status_code, error_of(said)["code"]) == (402, "budget_exhausted"), error_of(said)
        assert "broke" in error_of(said)["message"]
        assert "resets on" in error_of(said)["message"]


def test_a_revoked_token_is_refused(hub: Hub, alice: Browser):
    made = alice.open("hub/api/users/alice/tokens", body={"note": "to be revoked"}).json()
    other = Browser(hub.url, made["token"])
    assert other.open("services/aidp/aidp/ai/v1/models").status == 200
    assert alice.open(f"hub/api/users/alice/tokens/{made['id']}", method="DELETE").status == 204
    wait_until(lambda: other.open("services/aidp/aidp/ai/v1/models").status == 401, "the token is refused")


def test_only_admins_see_what_others_used(hub: Hub, ada: Browser, alice: Browser, client: openai.OpenAI):
    ask(client, "gateway/openai/gpt-4o")
    bob = Browser(hub.url)
    bob.sign_in("bob", hub.password)
    bob.token = bob.api_token("bob")

    def users(who: Browser) -> set[str]:
        calls = who.open("services/aidp/aidp/ai/calls").json()["calls"]
        usage = who.open("services/aidp/aidp/ai/usage").json()
        assert bool(calls) == bool(usage["by"]["user"])
        return {group["key"] for group in usage["by"]["user"]}

    assert users(ada) == {"alice"}
    assert users(alice) == {"alice"}
    assert users(bob) == set()


def test_metrics_are_for_prometheus_and_admins(hub: Hub, ada: Browser, alice: Browser):
    prometheus = Browser(hub.url, METRICS_TOKEN)
    for who in (prometheus, ada):
        answer = who.open("services/aidp/aidp/metrics")
        assert answer.status == 200
        assert "aidp_ai_calls_total" in answer.text
    assert alice.open("services/aidp/aidp/metrics").status == 403
    assert prometheus.open("services/aidp/aidp/ai/calls").status == 403
    assert prometheus.open("hub/api/users").status == 403


def test_too_many_requests_of_one_user_are_said_so(client: openai.OpenAI):
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: refused(client, "gateway/openai/gpt-4o"), range(200)))
    error = next(error for error in found if error is not None)
    assert isinstance(error, openai.RateLimitError)
    assert error_of(error)["code"] == "rate_limited"
    assert int(error.response.headers["Retry-After"]) > 0


def test_a_gateway_that_is_gone_is_said_so_and_found_again(hub: Hub, alice: Browser):
    """JupyterHub starts its service anew, once it has noticed."""

    def route() -> dict:
        return alice.open("user/alice/aidp/ai/v1/chat/completions", body=body).json()

    body = {"model": "gateway/openai/gpt-4o", "messages": [{"role": "user", "content": "x"}], "max_tokens": 9}
    service = hub.find("aidp_ext.hubservice")
    service.kill()
    # the hub looks after it twice a minute; until then it is a zombie
    wait_until(lambda: not service.is_running() or service.status() == psutil.STATUS_ZOMBIE, "it is gone")
    error = route()["error"]
    assert error["code"] in ("upstream_unreachable", "upstream_error"), error
    assert "gateway" in error["message"]
    assert "admin" in error["details"]["next_step"]
    wait_until(lambda: "choices" in route(), "the gateway answers again", 120)


def test_a_gateway_that_others_run_is_reached_through_the_hub(start_hub, tmp_path: Path, doubles: Doubles):
    url, token = f"http://127.0.0.1:{free_port()}", "a-token-of-the-gateway-0123456789abcdef"
    hub = start_hub(AIDP_GATEWAY_URL=url, AIDP_GATEWAY_TOKEN=token, OPENAI_API_KEY="sk-never-used-by-this-hub")
    given = environment(
        tmp_path / "elsewhere" / "state",
        **{name: value for name, value in doubles.environment.items() if name.startswith("OPENAI")},
        OLLAMA_HOST="http://127.0.0.1:9",
        JUPYTERHUB_API_TOKEN=token,
        JUPYTERHUB_API_URL=f"{hub.url}hub/api",
        JUPYTERHUB_SERVICE_NAME="aidp",
        JUPYTERHUB_SERVICE_PREFIX="/services/aidp/",
        JUPYTERHUB_SERVICE_URL=url,
    )
    (tmp_path / "elsewhere").mkdir()
    argv = [sys.executable, "-P", "-m", "aidp_ext.hubservice"]
    with running(argv, log=tmp_path / "gateway.log", env=given) as process:
        wait_for_http(f"{url}/services/aidp/aidp/health", process)
        assert not [p for p in hub.processes() if "aidp_ext.hubservice" in " ".join(p.cmdline())]
        alice = Browser(hub.url)
        alice.sign_in("alice", hub.password)
        alice.token = alice.api_token("alice")
        body = {"model": "openai/gpt-4o", "messages": [{"role": "user", "content": "x"}]}
        answer = alice.open("services/aidp/aidp/ai/v1/chat/completions", body=body)
        assert answer.json()["choices"][0]["message"]["content"] == "You said: x"
        assert answer.headers["X-AIDP-Route"] == "openai/gpt-4o"
