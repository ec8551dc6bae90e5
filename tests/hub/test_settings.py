from pathlib import Path

import pytest

from hub_config.settings import Ports, Settings, SettingsError

SECRET = "5f3c9a1e7b2d4c6f8a0b1c2d3e4f5a6b7c8d9e0f"
APP = {"GITHUB_CLIENT_ID": "Iv1.7c2e", "GITHUB_CLIENT_SECRET": SECRET, "AIDP_ALLOWED_USERS": "ada"}


def test_an_empty_environment_is_a_local_hub_on_this_machine():
    settings = Settings.from_env({})
    assert (settings.host, settings.port, settings.github) == ("127.0.0.1", 8000, None)
    assert settings.state_dir == Path.cwd() / ".aidp" / "hub"
    assert settings.public_url == "http://127.0.0.1:8000/"


def test_empty_variables_count_as_not_set():
    assert Settings.from_env({"GITHUB_CLIENT_ID": "", "AIDP_HUB_PORT": " ", "AIDP_ALLOWED_USERS": " , "}).github is None


@pytest.mark.parametrize("prefix", ["GITHUB_CLIENT_", "GITHUB_"])
def test_both_spellings_of_the_github_app_are_read(prefix):
    env = {f"{prefix}ID": "Iv1.7c2e", f"{prefix}SECRET": SECRET, "AIDP_ADMIN_USERS": "ada"}
    github = Settings.from_env(env).github
    assert github is not None
    assert (github.client_id, github.client_secret) == ("Iv1.7c2e", SECRET)


def test_lists_are_split_trimmed_and_users_lowercased():
    settings = Settings.from_env(
        {**APP, "AIDP_ALLOWED_USERS": " Ada, bob ,", "GITHUB_ALLOWED_ORGANIZATIONS": "Acme,acme:ml"}
    )
    assert settings.allowed_users == {"ada", "bob"}
    assert settings.github is not None
    assert settings.github.organizations == {"Acme", "acme:ml"}


def test_a_github_hub_may_listen_everywhere_and_is_known_by_its_callback():
    settings = Settings.from_env(
        {**APP, "AIDP_HUB_HOST": "0.0.0.0", "OAUTH_CALLBACK_URL": "https://hub.example.org/hub/oauth_callback"}
    )
    assert settings.bind_url == "http://0.0.0.0:8000/"
    assert settings.public_url == "https://hub.example.org/"
    assert settings.service_url == "http://127.0.0.1:8000/services/aidp/"


def test_an_ipv6_address_stands_in_brackets():
    assert Settings.from_env({"AIDP_HUB_HOST": "::1"}).bind_url == "http://[::1]:8000/"


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"AIDP_HUB_PORT": "80o0"}, "AIDP_HUB_PORT"),
        ({"AIDP_HUB_PORT": "65536"}, "65535"),
        ({"AIDP_HUB_HOST": "0.0.0.0"}, "this machine only"),
        ({"AIDP_HUB_HOST": "hub.example.org"}, "this machine only"),
        ({"AIDP_ALLOWED_USERS": "../root"}, "AIDP_ALLOWED_USERS"),
        ({"AIDP_ADMIN_USERS": "a b"}, "AIDP_ADMIN_USERS"),
        ({"GITHUB_CLIENT_ID": "Iv1.7c2e"}, "GITHUB_CLIENT_SECRET"),
        ({"GITHUB_SECRET": SECRET}, "GITHUB_CLIENT_ID is not"),
        ({"GITHUB_ID": "Iv1.7c2e", "GITHUB_SECRET": SECRET}, "nobody is allowed in"),
        ({**APP, "GITHUB_URL": "github.example.org"}, "GITHUB_URL"),
        ({"AIDP_KEYS_FILE": "/nowhere/keys"}, "AIDP_KEYS_FILE"),
        ({"AIDP_SERVICE_CONFIG": "/nowhere/gateway.py"}, "AIDP_SERVICE_CONFIG"),
        ({"AIDP_TOKEN_CACHE_S": "0"}, "AIDP_TOKEN_CACHE_S"),
        ({"AIDP_METRICS_TOKEN": SECRET[:31]}, "AIDP_METRICS_TOKEN"),
        ({"AIDP_GATEWAY_URL": "http://10.0.0.7:9000"}, "AIDP_GATEWAY_TOKEN"),
        ({"AIDP_GATEWAY_TOKEN": SECRET}, "AIDP_GATEWAY_URL"),
        ({"AIDP_GATEWAY_URL": "10.0.0.7", "AIDP_GATEWAY_TOKEN": SECRET}, "AIDP_GATEWAY_URL"),
        ({**APP, "GITHUB_ALLOWED_ORGANIZATIONS": "a/b"}, "GITHUB_ALLOWED_ORGANIZATIONS"),
        ({**APP, "OAUTH_CALLBACK_URL": "https://hub.example.org/"}, "/hub/oauth_callback"),
    ],
)
def test_what_the_hub_cannot_start_with_is_said_without_secrets(env, words):
    with pytest.raises(SettingsError) as caught:
        Settings.from_env(env)
    assert words in caught.value.message
    assert caught.value.code == "bad_settings"
    assert SECRET[:31] not in str(caught.value)


def test_keys_go_to_the_service_and_never_to_users():
    env = {"OPENAI_API_KEY": "sk-1", "OLLAMA_HOST": "http://o", "AIDP_AI_MODE": "local", "HOME": "/home/ada", "X": "y"}
    settings = Settings.from_env(env)
    assert settings.user_environment == {"OLLAMA_HOST": "http://o", "AIDP_AI_MODE": "local"}
    assert settings.service_environment == {name: env[name] for name in env if name != "X"}


def test_files_are_passed_on_as_whole_paths_to_the_service_alone_and_not_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "keys").write_text("OPENAI_API_KEY=sk-in-the-file\n")
    (tmp_path / "keys").chmod(0o600)
    settings = Settings.from_env({"AIDP_KEYS_FILE": "keys"})
    assert settings.service_environment == {"AIDP_KEYS_FILE": str(tmp_path / "keys")}
    assert settings.user_environment == {}
    (tmp_path / "keys").chmod(0o640)
    with pytest.raises(SettingsError, match=r"AIDP_KEYS_FILE: others can read .*chmod 600"):
        Settings.from_env({"AIDP_KEYS_FILE": "keys"})


def test_secrets_do_not_show_in_a_printed_settings_object():
    tokens = {"AIDP_METRICS_TOKEN": SECRET, "AIDP_GATEWAY_TOKEN": SECRET}
    text = repr(Settings.from_env({**APP, **tokens, "AIDP_GATEWAY_URL": "http://g:1", "OPENAI_API_KEY": "sk-1"}))
    assert SECRET not in text
    assert "sk-1" not in text


def test_free_ports_differ():
    ports = Ports.free()
    assert len({ports.hub, ports.proxy_api, ports.service}) == 3


def test_a_model_server_with_a_key_is_reached_through_the_gateway_alone():
    given = {"LOCAL_OPENAI_BASE_URL": "http://gpu-box/v1", "OLLAMA_HOST": "gpu-box"}
    assert Settings.from_env(given).user_environment == given
    settings = Settings.from_env({**given, "LOCAL_OPENAI_API_KEY": "hunter2"})
    assert settings.user_environment == {"OLLAMA_HOST": "gpu-box"}
    assert settings.service_environment["LOCAL_OPENAI_API_KEY"] == "hunter2"


def test_what_is_asked_of_github_can_be_said():
    def scopes(**env: str) -> tuple[str, ...]:
        github = Settings.from_env({**APP, **env}).github
        assert github is not None
        return github.scopes

    assert scopes() == ("repo", "read:org")
    assert scopes(AIDP_GITHUB_SCOPES="public_repo, read:org public_repo") == ("public_repo", "read:org")
    with pytest.raises(SettingsError, match="AIDP_GITHUB_SCOPES"):
        scopes(AIDP_GITHUB_SCOPES="repo;admin")


def test_users_servers_are_told_where_the_hubs_sign_in_has_tokens_for():
    assert "AIDP_FORGE_URL" not in Settings.from_env({}).user_environment
    assert Settings.from_env(APP).user_environment["AIDP_FORGE_URL"] == "https://github.com"
    settings = Settings.from_env({**APP, "GITHUB_URL": "https://git.example.org/"})
    assert settings.user_environment["AIDP_FORGE_URL"] == "https://git.example.org"
