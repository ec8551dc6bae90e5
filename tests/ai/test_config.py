"""Settings: the environment that users know, traits over it, and what counts as local."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from traitlets.config import Config

from aidp_ext.ai.config import AiConfig, ModeStore, ollama_url
from aidp_ext.ai.models import Locality, Mode
from aidp_ext.ai.providers import make_providers
from aidp_ext.core.errors import StorageError
from aidp_ext.core.http import HttpClient
from tests.support.jupyter import FOREIGN


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in os.environ if n.startswith(FOREIGN)]:
        monkeypatch.delenv(name)


def test_defaults_need_no_account_and_no_key() -> None:
    config = AiConfig()
    assert config.mode == Mode.HYBRID
    assert config.allow_local_models
    assert [p.name for p in make_providers(config, HttpClient())] == ["ollama"]


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        "OPENAI_API_KEY": "k1",
        "ANTHROPIC_API_KEY": "k2",
        "ANTHROPIC_BASE_URL": "https://claude.example",
        "GEMINI_API_KEY": "k3",
        "LOCAL_OPENAI_BASE_URL": "http://127.0.0.1:8080/v1",
        "OLLAMA_HOST": "gpu-box",
        "AIDP_AI_MODE": "Local",
        "AIDP_AI_MONTHLY_BUDGET_USD": "20",
        "ALLOW_LOCAL_MODELS": "0",
        "AIDP_SERVICE_URL": "http://127.0.0.1:8000/services/aidp/",
        "JUPYTERHUB_API_TOKEN": "t",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    config = AiConfig()
    providers = {p.name: p for p in make_providers(config, HttpClient())}
    assert list(providers) == ["ollama", "local", "gateway", "openai", "anthropic", "gemini"]
    assert providers["ollama"].base_url == "http://gpu-box:11434"
    assert providers["anthropic"].base_url == "https://claude.example/v1"
    assert providers["gateway"].base_url == "http://127.0.0.1:8000/services/aidp/aidp/ai/v1"
    assert (config.mode, config.monthly_budget_usd, config.allow_local_models) == (Mode.LOCAL, 20.0, False)


def test_a_trait_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIDP_AI_MODE", "cloud")
    assert AiConfig(config=Config({"AiConfig": {"mode": "offline"}})).mode == Mode.OFFLINE


@pytest.mark.parametrize("value", ["ofline", "none", "local,cloud"])
def test_a_mistyped_mode_closes_rather_than_opens(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("AIDP_AI_MODE", value)
    assert AiConfig().mode == Mode.OFFLINE


@pytest.mark.parametrize("value", ["twenty", "-1", "nan", "inf"])
def test_a_mistyped_budget_closes_rather_than_opens(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("AIDP_AI_MONTHLY_BUDGET_USD", value)
    assert AiConfig().monthly_budget_usd == 0.0


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("", "http://127.0.0.1:11434"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("0.0.0.0:8080", "http://127.0.0.1:8080"),
        (":8080", "http://127.0.0.1:8080"),
        ("gpu-box", "http://gpu-box:11434"),
        ("gpu-box:1", "http://gpu-box:1"),
        ("http://gpu-box", "http://gpu-box:80"),
        ("https://gpu.example", "https://gpu.example:443"),
        ("https://gpu.example/ollama/", "https://gpu.example:443/ollama"),
        ("[::1]:8080", "http://[::1]:8080"),
        ("::1", "http://[::1]:11434"),
        ("[::]", "http://[::1]:11434"),
        (' "gpu-box" ', "http://gpu-box:11434"),
    ],
)
def test_ollama_host_in_all_its_forms(host: str, url: str) -> None:
    assert ollama_url(host) == url


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("http://127.0.0.1:8080/v1", "local"),
        ("http://localhost:8080", "local"),
        ("http://[::1]:8080", "local"),
        ("http://192.168.1.20", "local"),
        ("http://10.1.2.3", "local"),
        ("http://[fd00::1]", "local"),
        ("http://gpu-box:8080", "local"),
        ("http://host.docker.internal:11434", "local"),
        ("http://nas.local", "local"),
        ("https://api.openai.com/v1", "cloud"),
        ("https://8.8.8.8", "cloud"),
        ("http://127.0.0.1.evil.example", "cloud"),
        ("http://localhost.evil.example", "cloud"),
        ("http://[::ffff:8.8.8.8]", "cloud"),
        ("nonsense", "cloud"),
        ("http://134744072/v1", "cloud"),
        ("http://0x08080808/v1", "cloud"),
        ("http://evil\u3002com/v1", "cloud"),
        ("http://192.0.2.1", "cloud"),
        ("http://198.18.0.1", "cloud"),
        ("http://[2001:db8::1]", "cloud"),
        ("http://[broken", "cloud"),
        ("https://vllm.our-company.example", "local"),
    ],
)
def test_what_counts_as_local(url: str, where: str) -> None:
    config = AiConfig(config=Config({"AiConfig": {"local_hosts": ["vllm.our-company.example"]}}))
    assert config.locality_of(url) == Locality(where)


def test_a_hosted_api_is_cloud_even_when_it_is_reached_over_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:4000/v1")
    providers = {p.name: p for p in make_providers(AiConfig(), HttpClient())}
    assert providers["openai"].locality is Locality.CLOUD


def test_the_chosen_mode_is_kept(tmp_path: Path) -> None:
    store = ModeStore(tmp_path / "aidp" / "mode.json")
    assert store.read() is None
    store.write(Mode.OFFLINE)
    assert ModeStore(tmp_path / "aidp" / "mode.json").read() is Mode.OFFLINE
    assert [p.name for p in (tmp_path / "aidp").iterdir()] == ["mode.json"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"mode": "up"}', b"\xff"])
def test_a_damaged_file_is_no_mode(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mode.json").write_bytes(content)
    assert ModeStore(tmp_path / "mode.json").read() is None


def test_a_mode_that_cannot_be_kept_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be kept"):
        ModeStore(tmp_path / "file" / "mode.json").write(Mode.LOCAL)
