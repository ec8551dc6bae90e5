"""What an admin gives the gateway: a file with keys and a file with settings; what is wrong is said by its name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aidp_ext.gateway import SettingsError, check_file, load_config, read_keys, token_cache_s


def written(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "AIDP_SERVICE_URL", "JUPYTERHUB_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def test_keys_are_read_as_they_stand(tmp_path: Path) -> None:
    text = "# ours\nOPENAI_API_KEY=sk-$a#b\nexport ANTHROPIC_API_KEY='x y'\n\nAIDP_DATABASE_URL=postgresql://a:b@c/d\n"
    assert read_keys(written(tmp_path / "keys", text)) == {
        "OPENAI_API_KEY": "sk-$a#b",
        "ANTHROPIC_API_KEY": "x y",
        "AIDP_DATABASE_URL": "postgresql://a:b@c/d",
    }


def test_a_link_to_a_private_file_is_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(written(tmp_path / "keys", "OPENAI_API_KEY=k\n", 0o400))
    assert read_keys(tmp_path / "link") == {"OPENAI_API_KEY": "k"}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_keys_that_others_can_read_are_refused(tmp_path: Path, mode: int) -> None:
    path = written(tmp_path / "keys", "OPENAI_API_KEY=sk-secret\n", mode)
    for look in (lambda: read_keys(path), lambda: check_file("AIDP_KEYS_FILE", path, is_secret=True)):
        with pytest.raises(SettingsError, match=f"AIDP_KEYS_FILE: others can read .*{mode:04o}.*chmod 600") as refused:
            look()
        assert "sk-secret" not in str(refused.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_keys_of_another_account_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "keys", "OPENAI_API_KEY=k\n")
    os.chown(path, 12345, -1)
    with pytest.raises(SettingsError, match=r"AIDP_KEYS_FILE: .* belongs to another account"):
        read_keys(path)


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)  # reading it would wait for ever
    for name, words in (("pipe", "is no file"), ("", "is no file"), ("none", "No such file")):
        with pytest.raises(SettingsError, match=f"AIDP_KEYS_FILE: .*{words}"):
            read_keys(tmp_path / name)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("OPENAI_API_KEY=\n", "OPENAI_API_KEY .*has no value"),
        ("OPENAI_API_KEY\n", "OPENAI_API_KEY .*has no value"),
        ("# a\nOPENAI_APIKEY=sk-secret\n", "line 2, is no key"),
        ("OPENAI_API_KEY=a\nJUPYTERHUB_API_URL=sk-secret\n", "line 2, is no key"),
        ("OPENAI_API_KEY=a\nthis is sk-secret no line\n", "line 2"),
        ("OPENAI_API_KEY='sk-secret\n", "line 1"),
    ],
)
def test_a_line_that_is_no_key_is_named_without_its_value(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(SettingsError, match=f"AIDP_KEYS_FILE: .*{words}") as refused:
        read_keys(written(tmp_path / "keys", text))
    assert "secret" not in refused.value.message


def test_settings_are_python_or_json(tmp_path: Path) -> None:
    python = written(tmp_path / "gateway.py", 'c.AiConfig.team_models = {"interns": {"denied": ["*-pro"]}}\n')
    assert load_config(python).team_models == {"interns": {"denied": ["*-pro"]}}
    given = '{"AiConfig": {"team_monthly_budgets_usd": {"ml": 20}}}'
    assert load_config(written(tmp_path / "gateway.json", given)).team_monthly_budgets_usd == {"ml": 20}


def test_the_gateway_is_nobodys_gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIDP_SERVICE_URL", "http://hub/services/aidp/")
    own = written(tmp_path / "gateway.py", 'c.AiConfig.gateway_url = "http://other/"\n')
    assert (load_config(own).gateway_url, load_config(None).gateway_url) == ("", "")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("c.AiConfig.team_model = {}", "c.AiConfig.team_model, which is no setting"),
        ("c.AidpApp.state_dir = '/x'", "sets c.AidpApp"),
        ("c.AiConfig.monthly_budget_usd = 'ten'", "monthly_budget_usd"),
        ("c.AiConfig.monthly_budget_usd = -1", "monthly_budget_usd"),
        ("c.AiConfig.team_monthly_budgets_usd = {'ml': -1}", "team_monthly_budgets_usd"),
        ("c.AiConfig.team_models = {'ml': {'deny': ['*']}}", "team_models: .*'ml'"),
        ("c.AiConfig.team_models = {'ml': {'denied': '*-pro'}}", "team_models: 'denied' of 'ml'"),
        ("c.AiConfig.team_models = {'ml': ['*']}", "team_models: .*'ml'"),
        ("c.AiConfig.task_models = {'chatting': ['*']}", "task_models: 'chatting'"),
        ("c.AiConfig.prices = {'openai/*': {'inputs': 1}}", "c.AiConfig.prices: .*inputs"),
        ("c.AiConfig.prices = {'openai/*': 1}", "c.AiConfig.prices"),
        ("x = 1\nc.AiConfig.mode = nowhere", "line 2: NameError"),
        ("c.AiConfig.mode = (", "line 1: SyntaxError"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(SettingsError, match=f"AIDP_SERVICE_CONFIG: .*gateway.py.*{words}"):
        load_config(written(tmp_path / "gateway.py", text + "\n"))


def test_settings_that_others_can_change_are_refused_and_those_they_can_read_are_not(tmp_path: Path) -> None:
    path = written(tmp_path / "gateway.py", "c.AiConfig.mode = 'cloud'\n", 0o664)
    with pytest.raises(SettingsError, match=r"AIDP_SERVICE_CONFIG: others can change .*chmod go-w"):
        load_config(path)
    path.chmod(0o644)
    assert load_config(path).mode == "cloud"
    with pytest.raises(SettingsError, match=r"AIDP_SERVICE_CONFIG: .*No such file"):
        load_config(tmp_path / "none.py")
    with pytest.raises(SettingsError, match=r"AIDP_SERVICE_CONFIG: .*JSONDecodeError"):
        load_config(written(tmp_path / "gateway.json", "{"))


@pytest.mark.parametrize("given", ["0", "61", "-1", "1.5", "x", "٣"])
def test_a_token_is_never_believed_for_long(given: str) -> None:
    """JupyterHub would take 0 for: for ever."""
    with pytest.raises(SettingsError, match=r"AIDP_TOKEN_CACHE_S .*1 to 60"):
        token_cache_s({"AIDP_TOKEN_CACHE_S": given})
    assert (token_cache_s({}), token_cache_s({"AIDP_TOKEN_CACHE_S": "5"})) == (30, 5)
