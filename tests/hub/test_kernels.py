"""A kernel of a user's server on a real hub: its token asks models, in its owner's name, and opens nothing else."""

import json
import urllib.request
from collections.abc import Iterator
from urllib.error import HTTPError

import pytest

from tests.hub.browser import Browser
from tests.hub.process import Hub


@pytest.fixture(scope="module")
def environment(hub: Hub, alice: Browser) -> Iterator[dict[str, str]]:
    """The environment of a kernel of Alice's."""
    owner = Browser(hub.url, alice.api_token("alice"))
    answer = owner.open("user/alice/api/kernels", body={"name": "python3"})
    assert answer.status == 201, answer.text
    yield hub.find("ipykernel_launcher").environ()
    owner.open(f"user/alice/api/kernels/{answer.json()['id']}", method="DELETE")


def status(url: str, method: str, headers: dict[str, str]) -> int:
    request = urllib.request.Request(url, b"{}" if method == "POST" else None, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status
    except HTTPError as error:
        with error:
            return error.code


def test_a_kernel_has_its_servers_address_and_none_of_its_tokens(hub: Hub, environment: dict[str, str]):
    server = hub.find("jupyterhub.singleuser").environ()
    assert environment["OPENAI_BASE_URL"].startswith("http://127.0.0.1:")
    assert environment["OPENAI_BASE_URL"].endswith("/user/alice/aidp/ai/v1")
    assert "JUPYTERHUB_API_TOKEN" not in environment
    assert server["JUPYTERHUB_API_TOKEN"] not in environment.values()


@pytest.mark.parametrize("header", ["Authorization", "x-api-key"])
def test_its_token_is_for_models_alone(hub: Hub, environment: dict[str, str], header: str):
    token = environment["OPENAI_API_KEY"]
    headers = {header: f"Bearer {token}" if header == "Authorization" else token, "Content-Type": "application/json"}
    ai = environment["OPENAI_BASE_URL"]
    assert status(f"{ai}/models", "GET", headers) == 200
    assert status(f"{ai}/chat/completions", "POST", headers) == 400
    assert status(f"{hub.url}user/alice/aidp/ai/v1/models", "GET", headers) == 200
    for path in ("api/contents", "api/kernels", "api/terminals", "api/sessions", "aidp/ai/mode", "aidp/health"):
        assert status(f"{hub.url}user/alice/{path}", "GET", headers) in (401, 403), path
    assert status(f"{hub.url}user/alice/api/kernels", "POST", headers) in (401, 403)
    for path in ("hub/api/user", "services/aidp/aidp/health", "services/aidp/aidp/ai/v1/models"):
        assert status(hub.url + path, "GET", headers) in (401, 403), path


def test_the_owners_own_token_passes_as_anthropics_clients_send_it(hub: Hub, alice: Browser):
    headers = {"x-api-key": alice.api_token("alice")}
    assert status(f"{hub.url}user/alice/aidp/ai/v1/models", "GET", headers) == 200
    assert status(f"{hub.url}user/alice/aidp/ai/mode", "GET", headers) in (401, 403)


def test_its_calls_are_recorded_as_its_owners(hub: Hub, environment: dict[str, str]):
    """Also where no model answers."""
    headers = {"Authorization": f"Bearer {environment['OPENAI_API_KEY']}", "Content-Type": "application/json"}
    body = json.dumps({"model": "auto:local", "messages": [{"role": "user", "content": "x"}]}).encode()
    request = urllib.request.Request(f"{environment['OPENAI_BASE_URL']}/chat/completions", body, headers)
    with pytest.raises(HTTPError) as refused:
        urllib.request.urlopen(request, timeout=60)
    with refused.value as answer:
        assert answer.code == 503
    record = next((hub.state_dir / "homes" / "alice").rglob("audit.jsonl")).read_text().splitlines()
    assert json.loads(record[-1])["actor"] == "alice"
