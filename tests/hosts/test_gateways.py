"""Several real gateway processes on one database, behind a hub that checks what it is asked: money, records, end."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from aidp_ext.ai.budgets import nano
from aidp_ext.ai.ledger import Ledger
from aidp_ext.core.audit import verify
from tests.ai.ledgers import rows
from tests.ai.test_ledger_processes import LIMIT, LIMIT_USD, is_whole, watch
from tests.support.jupyter import clean_environment
from tests.support.postgresql import PostgreSql, postgresql
from tests.support.processes import end_group, free_port, running, wait_for_http
from tests.support.wire import serving

PREFIX = "/services/aidp/"
KEY = "sk-the-organisations-key-0123456789"
SCOPES = ["access:services!service=aidp", *(f"custom:aidp:{action}" for action in ("read", "write", "execute"))]
# Dollars per million tokens, and what the double reports: what a call costs is less than what is set aside for it.
PRICES = {"openai/*": {"input": 10, "output": 100}}
USAGE = {"prompt_tokens": 700, "completion_tokens": 30, "total_tokens": 730}
COST = 10_000_000
LONGEST = 40  # tokens of an answer
FAILS, ANSWERS, ENDLESS = "gpt-4.1-fails", "gpt-4o-answers", "gpt-4-endless"


@dataclass
class Cloud:
    """OpenAI's API: it bills what it answers, and holds every answer until `opens`."""

    opens: asyncio.Event = field(default_factory=asyncio.Event)
    came: asyncio.Condition = field(default_factory=asyncio.Condition)
    asked: int = 0
    billed: int = 0  # nano-dollars
    was_beyond: bool = False

    async def handle(self, request: web.Request) -> web.StreamResponse:
        assert request.headers["Authorization"] == f"Bearer {KEY}"
        if request.path == "/v1/models":
            names = (FAILS, ANSWERS, ENDLESS)
            return web.json_response({"object": "list", "data": [{"id": n, "object": "model"} for n in names]})
        body = await request.json()
        assert body["max_tokens"] == LONGEST
        async with self.came:
            self.asked += 1
            self.came.notify_all()
        await self.opens.wait()
        if body["model"] == FAILS:
            return web.json_response({"error": {"message": "cuda died"}}, status=500)
        if not body.get("stream"):
            choice = {"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}
            self.bill()
            return web.json_response({"id": "c", "object": "chat.completion", "choices": [choice], "usage": USAGE})
        assert body["stream_options"] == {"include_usage": True}
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        said: dict[str, Any] = {"choices": [{"index": 0, "delta": {"content": "ok"}, "finish_reason": None}]}
        await response.write(b"data: " + json.dumps(said).encode() + b"\n\n")
        if body["model"] == ENDLESS:
            await asyncio.Event().wait()  # until the gateway leaves
        self.bill()
        await response.write(b"data: " + json.dumps({"choices": [], "usage": USAGE}).encode() + b"\n\n")
        await response.write(b"data: [DONE]\n\n")
        return response

    def bill(self) -> None:
        self.billed += COST
        self.was_beyond |= self.billed > LIMIT

    async def until(self, calls: int) -> None:
        async with self.came:
            await self.came.wait_for(lambda: self.asked >= calls)


async def hub_api(request: web.Request) -> web.Response:
    """``GET /hub/api/user``, for tokens such as ``ana-token``."""
    assert (request.method, request.path) == ("GET", "/hub/api/user")
    name = request.headers["Authorization"].removeprefix("token ").removesuffix("-token")
    return web.json_response({"kind": "user", "name": name, "admin": False, "groups": ["ml"], "scopes": SCOPES})


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSql]:
    with postgresql() as found:
        yield found


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.db"
    url: str = request.getfixturevalue("server").database()
    return url


@dataclass
class Gateways:
    """Two processes, as two machines behind one balancer would run them; here they share the audit record too."""

    urls: list[str]
    processes: list[subprocess.Popen[bytes]]
    cloud: Cloud
    audit: Path


@pytest.fixture
async def gateways(tmp_path: Path, database: str) -> AsyncIterator[Gateways]:
    watch(database)
    cloud = Cloud()
    keys, settings = tmp_path / "keys", tmp_path / "gateway.py"
    keys.write_text(f"OPENAI_API_KEY={KEY}\nAIDP_DATABASE_URL={database}\n")
    keys.chmod(0o600)
    settings.write_text(f"c.AiConfig.monthly_budget_usd = {LIMIT_USD}\nc.AiConfig.prices = {PRICES!r}\n")
    settings.chmod(0o644)
    async with serving(cloud.handle) as upstream, serving(hub_api) as hub:
        with ExitStack() as stack:
            urls, processes = [], []
            for number in range(2):
                url = f"http://127.0.0.1:{free_port()}"
                environment = {
                    "AIDP_KEYS_FILE": str(keys),
                    "AIDP_SERVICE_CONFIG": str(settings),
                    "AIDP_STATE_DIR": str(tmp_path / "state"),
                    "OPENAI_BASE_URL": f"{upstream}/v1",
                    "JUPYTERHUB_API_TOKEN": "a-token-of-the-service",
                    "JUPYTERHUB_API_URL": f"{hub}/hub/api",
                    "JUPYTERHUB_SERVICE_NAME": "aidp",
                    "JUPYTERHUB_SERVICE_PREFIX": PREFIX,
                    "JUPYTERHUB_SERVICE_URL": url,
                }
                process = stack.enter_context(
                    running(
                        [sys.executable, "-P", "-m", "aidp_ext.hubservice"],
                        log=tmp_path / f"gateway{number}.log",
                        env=clean_environment(tmp_path / "home", environment),
                    )
                )
                urls.append(f"{url}{PREFIX}aidp/")
                processes.append(process)
            for url, process in zip(urls, processes, strict=True):
                await asyncio.to_thread(wait_for_http, f"{url}health", process)
            yield Gateways(urls, processes, cloud, tmp_path / "state" / "service" / "audit.jsonl")


class Client:
    """Asks as a balancer does: another gateway where one has gone."""

    def __init__(self, session: aiohttp.ClientSession, urls: list[str]) -> None:
        self.session, self.urls = session, urls
        self.outcomes: Counter[str] = Counter()
        self.refusals: list[Any] = []

    async def call(self, number: int, at: int) -> None:
        model = (ANSWERS, "auto", ENDLESS, FAILS, ANSWERS)[number % 5]
        streams = model == ENDLESS or number % 2 == 0
        body = {"model": "auto" if model == "auto" else f"openai/{model}", "stream": streams, "max_tokens": LONGEST}
        body["messages"] = [{"role": "user", "content": "x"}]
        try:
            await self._ask(self.urls[at], f"user{number % 7}", body)
        except aiohttp.ClientError:
            self.outcomes["moved"] += 1
            await self._ask(self.urls[1], f"user{number % 7}", body)

    async def _ask(self, url: str, user: str, body: dict[str, Any]) -> None:
        headers = {"Authorization": f"Bearer {user}-token"}
        async with self.session.post(f"{url}ai/v1/chat/completions", json=body, headers=headers) as response:
            if response.status != 200:
                error = (await response.json())["error"]
                self.outcomes[error["code"]] += 1
                if response.status == 402:
                    self.refusals.append(error)
                return
            if body["stream"] and response.headers["X-AIDP-Route"].endswith(ENDLESS):
                await response.content.readuntil(b"\n\n")
                self.outcomes["left"] += 1  # and closes the connection
                response.close()
                return
            await response.read()
            self.outcomes["ok"] += 1


async def test_two_hundred_calls_of_two_gateways_and_a_death_stay_within_the_budget(
    gateways: Gateways, database: str
) -> None:
    cloud = gateways.cloud
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=25)) as session:
        client = Client(session, gateways.urls)
        async with asyncio.TaskGroup() as group:
            for at in (0, 1):  # both hold money for calls under way; the first will die with it
                for number in range(8):
                    group.create_task(client.call(number, at))
                await cloud.until(8 * (at + 1))
            for number in range(16, 200):
                group.create_task(client.call(number, number % 2))
            await cloud.until(18)
            gateways.processes[0].send_signal(signal.SIGKILL)
            await asyncio.to_thread(gateways.processes[0].wait)
            cloud.opens.set()
    done = client.outcomes
    assert sum(done.values()) - done["moved"] == 200, done
    assert done["moved"] >= 8, "the killed gateway had calls under way"
    assert done["ok"] > 0, done
    assert done["budget_exhausted"] > 0, "the limit was never reached: this test shows nothing"
    assert set(done) <= {"ok", "left", "moved", "budget_exhausted", "upstream_rejected"}, done
    for error in client.refusals:
        assert "resets on" in error["message"]
        assert error["details"]["resets_at"][:10] > "2026"

    assert not cloud.was_beyond, "what the provider bills, at any time"
    assert rows(database, "SELECT * FROM beyond") == [], "what is spent and set aside, at any time"
    end_group(gateways.processes[1])
    assert gateways.processes[1].returncode == 0
    is_whole(database)
    assert rows(database, "SELECT count(*) FROM ai_call WHERE cost > 0")[0][0] >= done["ok"]
    await _dead_ones_money_comes_free(database)
    is_whole(database)

    assert verify(gateways.audit) > done["ok"]
    audit = [sys.executable, "-m", "aidp_ext", "audit", "verify", str(gateways.audit)]
    assert subprocess.run(audit, capture_output=True, timeout=60).returncode == 0
    actors = {json.loads(line)["actor"] for line in gateways.audit.read_text().splitlines()}
    assert actors <= {f"user{n}" for n in range(7)}


async def _dead_ones_money_comes_free(database: str) -> None:
    left = rows(database, "SELECT id FROM ai_reservation")
    assert len(left) >= 8
    survivor = Ledger(database, lease_s=0.3)
    await survivor.start()
    while rows(database, "SELECT id FROM ai_reservation"):
        await survivor.flush()
        await asyncio.sleep(0.02)
    await survivor.close()
    assert rows(database, "SELECT * FROM ai_spend WHERE reserved <> 0") == []


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_the_key_is_in_the_process_that_needs_it_and_not_to_be_seen_from_outside(gateways: Gateways) -> None:
    gateways.cloud.opens.set()
    async with aiohttp.ClientSession() as session:
        client = Client(session, gateways.urls)
        await client.call(0, 0)
    assert client.outcomes == {"ok": 1}, "the double takes no other key"
    for process in gateways.processes:
        folder = Path("/proc", str(process.pid))
        assert KEY.encode() not in (folder / "environ").read_bytes() + (folder / "cmdline").read_bytes()


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("AIDP_KEYS_FILE", "OPENAI_APIKEY=sk-secret\n", "line 1, is no key"),
        ("AIDP_SERVICE_CONFIG", "c.AiConfig.team_model = {}\n", "c.AiConfig.team_model"),
        ("AIDP_TOKEN_CACHE_S", None, "AIDP_TOKEN_CACHE_S"),
    ],
)
def test_a_gateway_that_is_told_something_wrong_says_what_and_does_not_start(
    tmp_path: Path, name: str, text: str | None, words: str
) -> None:
    value = "0"
    if text is not None:
        path = tmp_path / "given.py"
        path.write_text(text)
        path.chmod(0o600)
        value = str(path)
    environment = {
        name: value,
        "AIDP_STATE_DIR": str(tmp_path),
        "JUPYTERHUB_API_TOKEN": "t",
        "JUPYTERHUB_API_URL": "http://127.0.0.1:9/hub/api",
        "JUPYTERHUB_SERVICE_PREFIX": PREFIX,
        "JUPYTERHUB_SERVICE_URL": f"http://127.0.0.1:{free_port()}",
    }
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "aidp_ext.hubservice"],
        env=clean_environment(tmp_path / "home", {**environment, "PYTHONPATH": str(Path.cwd())}),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 2
    assert f"bad_settings: {name}" in ended.stderr
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "sk-secret" not in ended.stderr


def test_nano_dollars_of_a_call_are_those_of_the_prices() -> None:
    """The figures above belong together: what the double bills is what the gateway counts."""
    price = PRICES["openai/*"]
    assert nano((700 * price["input"] + 30 * price["output"]) / 1e6) == COST
