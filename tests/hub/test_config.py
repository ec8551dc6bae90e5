"""Each part of the configuration, over a bare Config."""

import os
import stat
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from jupyterhub.auth import Authenticator
from jupyterhub.services.service import Service
from jupyterhub.spawner import SimpleLocalProcessSpawner, SpawnException
from traitlets.config import Config

from hub_config import auth, network, roles, services, spawner
from hub_config import local as local_spawner
from hub_config.passwords import ALPHABET, admin_password, needed_passwords, user_password
from hub_config.people import people_of
from hub_config.providers import GitHub, Oidc
from hub_config.settings import CRYPT_KEY, SECRET_VARIABLES, SERVICE_VARIABLES, Gateway, Settings, SettingsError
from hub_config.standing import Lists

GITHUB = GitHub("an-id", "a-secret", url="https://github.example.org", organizations=frozenset({"acme"}))


def configured(part, settings: Settings) -> Config:
    c = Config()
    part.apply(c, settings)
    return c


def named(c: Config) -> dict[str, dict]:
    """The roles, by their names."""
    return {role["name"]: role for role in c.JupyterHub.load_roles}


@pytest.fixture
def local(tmp_path: Path) -> Settings:
    settings = Settings(state_dir=tmp_path, admin_users=frozenset({"ada"}))
    for file in needed_passwords(settings):
        file.make()
    return settings


def test_github_sign_in_lets_in_only_those_who_are_named(tmp_path):
    c = configured(auth, Settings(state_dir=tmp_path, github=GITHUB, allowed_users=frozenset({"ada"})))
    assert c.JupyterHub.authenticator_class == "hub_config.forge.GitHubSignIn"
    assert c.GitHubOAuthenticator.github_url == "https://github.example.org"
    assert c.GitHubOAuthenticator.allowed_organizations == {"acme"}
    assert c.GitHubOAuthenticator.scope == ["read:org"]
    assert c.KnownPeople.lists == Lists(frozenset({"ada"}))
    assert "allowed_users" not in c.Authenticator  # JupyterHub would make an account of that name, whoever comes
    assert c.Authenticator.allow_existing_users is False
    assert "allow_all" not in c.Authenticator


def test_the_tokens_of_a_github_sign_in_are_kept_under_a_key_of_the_owners(tmp_path, monkeypatch):
    monkeypatch.delenv(CRYPT_KEY, raising=False)
    settings = Settings(state_dir=tmp_path, github=GITHUB)
    c = configured(auth, settings)
    (key,) = c.CryptKeeper["keys"]
    assert len(bytes.fromhex(key)) == 32
    assert c.Authenticator.enable_auth_state is True
    file = tmp_path / "auth-state-key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert configured(auth, settings).CryptKeeper["keys"] == [key], "it outlives a restart"
    file.chmod(0o640)
    with pytest.raises(SettingsError, match="chmod 600"):
        configured(auth, settings)
    file.chmod(0o600)
    file.write_text("")
    with pytest.raises(SettingsError, match="damaged"):
        configured(auth, settings)
    monkeypatch.setenv(CRYPT_KEY, "an admin's own")
    assert "keys" not in configured(auth, settings).CryptKeeper


def test_the_service_alone_may_hand_out_tokens_and_only_where_there_are_some(tmp_path):
    assert "aidp-forge" not in named(configured(roles, Settings(state_dir=tmp_path)))
    c = configured(roles, Settings(state_dir=tmp_path, github=GITHUB))
    *others, forge = c.JupyterHub.load_roles
    assert forge == {"name": "aidp-forge", "services": ["aidp"], "scopes": [roles.FORGE_SCOPE]}
    held = {scope for role in others for scope in role.get("scopes", [])}
    assert roles.FORGE_SCOPE not in held | set(c.Spawner.server_token_scopes) | c.JupyterHub.extra_user_scopes
    assert not [scope for scope in roles.CUSTOM_SCOPES.values() if roles.FORGE_SCOPE in scope.get("subscopes", [])]


def test_local_sign_in_uses_the_generated_passwords(local):
    c = configured(auth, local)
    assert c.JupyterHub.authenticator_class == "hub_config.password_sign_in.PasswordSignIn"
    assert c.SharedPasswordAuthenticator.user_password == user_password(local).read()
    assert c.SharedPasswordAuthenticator.admin_password == admin_password(local).read()
    assert c.Authenticator.allow_all is True


def test_local_sign_in_can_be_kept_to_some_names(local):
    settings = Settings(state_dir=local.state_dir, allowed_users=frozenset({"bob"}))
    assert configured(auth, settings).Authenticator.allow_all is False


def test_local_sign_in_without_a_password_does_not_start(tmp_path):
    with pytest.raises(SettingsError, match="aidp hub"):
        configured(auth, Settings(state_dir=tmp_path))


def test_a_password_is_long_plain_private_and_new_each_time(local):
    file = user_password(local)
    first, second = file.make(), file.make()
    assert first != second == file.read()
    assert len(second.replace("-", "")) >= 16
    assert len(admin_password(local).read()) >= 32
    assert set(second) <= {*ALPHABET, "-"}
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600


def test_a_password_that_someone_made_short_is_refused(local):
    user_password(local).path.write_text("admin\n")
    with pytest.raises(SettingsError, match="too short"):
        configured(auth, local)


@pytest.mark.parametrize("name", ["..", ".", "a/b", "-rf", "", "a" * 65, "ada\n", "a%2f"])
def test_names_that_are_no_good_as_a_folder_are_refused(local, name):
    pattern = configured(auth, local).Authenticator.username_pattern
    assert not Authenticator(username_pattern=pattern).validate_username(name)


def test_only_the_proxy_listens_beyond_loopback(tmp_path):
    settings = Settings(host="0.0.0.0", state_dir=tmp_path, github=GITHUB)
    c = configured(network, settings)
    assert c.JupyterHub.bind_url == "http://0.0.0.0:8000/"
    service = configured(services, settings).JupyterHub.services[0]
    private = [urlsplit(u) for u in (c.JupyterHub.hub_bind_url, c.ConfigurableHTTPProxy.api_url, service["url"])]
    assert {u.hostname for u in private} == {"127.0.0.1"}
    assert len({u.port for u in private}) == 3
    assert "auth_token" not in c.ConfigurableHTTPProxy


def test_all_that_is_kept_lies_in_the_state_folder(tmp_path):
    c = configured(network, Settings(state_dir=tmp_path))
    kept = (c.JupyterHub.cookie_secret_file, c.JupyterHub.db_url, c.ConfigurableHTTPProxy.pid_file)
    assert all(str(tmp_path) in place for place in kept)


def test_the_service_gets_the_keys_and_jupyterhub_does_not_write_them_down(tmp_path):
    settings = Settings(state_dir=tmp_path, service_environment={"OPENAI_API_KEY": "sk-1"})
    (service,) = configured(services, settings).JupyterHub.services
    assert service["name"] == "aidp"
    assert service["environment"] == {"OPENAI_API_KEY": "sk-1", "AIDP_STATE_DIR": str(tmp_path)}
    assert Service.class_traits()["environment"].metadata["in_db"] is False


def test_a_gateway_that_others_run_is_known_and_not_started(tmp_path):
    gateway = Gateway("http://10.0.0.7:9000", "t" * 32)
    settings = Settings(state_dir=tmp_path, gateway=gateway, service_environment={"OPENAI_API_KEY": "sk-1"})
    (service,) = configured(services, settings).JupyterHub.services
    scopes = ["access:services!service=aidp", "custom:aidp:execute", "custom:aidp:admin"]  # whoever has them
    assert service == {
        "name": "aidp",
        "oauth_no_confirm": True,
        "oauth_client_allowed_scopes": scopes,
        "display": False,
        "url": "http://10.0.0.7:9000",
        "api_token": "t" * 32,
    }


def test_prometheus_is_known_by_its_token_and_reads_metrics_only(tmp_path):
    settings = Settings(state_dir=tmp_path, metrics_token="m" * 32)
    assert configured(services, settings).JupyterHub.services[1] == {"name": "aidp-metrics", "api_token": "m" * 32}
    role = named(configured(roles, settings))["aidp-metrics"]
    assert role["services"] == ["aidp-metrics"]
    assert set(role["scopes"]) == {"access:services!service=aidp", "custom:aidp:metrics", "read:metrics"}


def test_no_secret_of_the_hub_is_inherited_by_servers_or_the_proxy(tmp_path):
    """A server inherits what its spawner is told to keep, the proxy what is not taken from it."""
    c = configured(spawner, Settings(state_dir=tmp_path))
    assert "env_keep" not in c.Spawner
    assert not set(SimpleLocalProcessSpawner().env_keep) & {*SERVICE_VARIABLES, *SECRET_VARIABLES} - {"HOME"}
    command = configured(network, Settings(state_dir=tmp_path)).ConfigurableHTTPProxy.command
    assert set(SECRET_VARIABLES) <= set(command)
    assert CRYPT_KEY in command
    assert {"OPENAI_API_KEY", "AIDP_DATABASE_URL", "AIDP_METRICS_TOKEN", "GITHUB_CLIENT_SECRET"} <= set(command)


def test_a_users_server_gets_addresses_and_no_key(tmp_path):
    settings = Settings(
        state_dir=tmp_path, user_environment={"OLLAMA_HOST": "o"}, service_environment={"OPENAI_API_KEY": "sk-1"}
    )
    c = configured(spawner, settings)
    assert c.Spawner.environment == {"OLLAMA_HOST": "o", "AIDP_SERVICE_URL": "http://127.0.0.1:8000/services/aidp/"}
    assert ("--allow-root" in c.Spawner.args) == (os.geteuid() == 0)


def test_a_state_folder_with_braces_is_no_template(tmp_path):
    c = configured(spawner, Settings(state_dir=tmp_path / "{x}"))
    home = c.SimpleLocalProcessSpawner.home_dir_template.format(username="ada")
    assert home == str(tmp_path / "{x}" / "homes" / "ada")


def test_the_administrators_list_is_exact_and_servers_hold_the_services_scopes(tmp_path):
    c = configured(roles, Settings(state_dir=tmp_path, admin_users=frozenset({"bob", "ada"})))
    assert named(c)["admin"] == {"name": "admin", "users": ["ada", "bob"], "groups": []}
    assert named(c)["aidp-admin"]["users"] == ["ada", "bob"]
    assert named(c)["aidp-metrics"]["services"] == []
    assert "custom:aidp:admin" not in {*c.Spawner.server_token_scopes, *c.JupyterHub.extra_user_scopes}
    assert set(c.Spawner.server_token_scopes) > c.JupyterHub.extra_user_scopes
    assert "users:activity!user" in c.Spawner.server_token_scopes


def test_of_a_providers_people_those_administer_who_are_known_by_their_ids_and_the_teams(tmp_path):
    github = replace(GITHUB, admin_teams=frozenset({"Acme:Admins"}))
    settings = Settings(state_dir=tmp_path, github=github, admin_users=frozenset({"ada", "eve"}))
    people = people_of(settings)
    people.keep("1", "countess")
    people.keep("1", "ada")  # a name that came later gives nothing
    people.keep("2", "eve")
    people.keep("2", "evelyn")
    roles_now = named(configured(roles, settings))
    assert roles_now["admin"] == {"name": "admin", "users": ["eve"], "groups": ["acme:admins"]}
    assert roles_now["aidp-admin"]["groups"] == ["acme:admins"]


def test_the_file_says_the_key_for_users_tokens_unless_the_environment_does(tmp_path, monkeypatch):
    monkeypatch.delenv(CRYPT_KEY, raising=False)
    settings = Settings(state_dir=tmp_path, github=GITHUB, crypt_key="ab" * 32 + ";" + "cd" * 32)
    assert configured(auth, settings).CryptKeeper["keys"] == ["ab" * 32, "cd" * 32]


def test_a_provider_of_openid_connect_is_asked_for_what_it_needs(tmp_path):
    oidc = Oidc("google", "an-id", "a-secret", "https://accounts.google.com", domains=frozenset({"example.org"}))
    c = configured(auth, Settings(state_dir=tmp_path, oidc=oidc))
    assert c.JupyterHub.authenticator_class == "hub_config.oidc.OidcSignIn"
    assert c.OAuthenticator.extra_authorize_params == {"access_type": "offline", "prompt": "consent"}
    assert c.OAuthenticator.login_service == "Google"
    assert "allow_all" not in c.Authenticator


def test_a_new_home_has_the_examples_and_is_its_owners_only(tmp_path):
    home = tmp_path / "homes" / "ada"
    local_spawner.prepare_home(SimpleNamespace(home_dir=str(home)))
    assert (home / "examples" / "penguins.ipynb").is_file()
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


def test_a_home_that_is_there_is_left_alone(tmp_path):
    home = tmp_path / "ada"
    home.mkdir()
    local_spawner.make_home(home, tmp_path / "no such examples")
    assert list(home.iterdir()) == []


def test_a_home_whose_making_failed_is_made_whole_the_next_time(tmp_path):
    home, examples = tmp_path / "ada", tmp_path / "given"
    with pytest.raises(OSError, match="given"):
        local_spawner.make_home(home, examples)
    assert not home.exists()
    examples.mkdir()
    local_spawner.make_home(home, examples)
    assert (home / "examples").is_dir()


def test_a_home_that_cannot_be_made_is_said_to_the_user(tmp_path):
    (tmp_path / "homes").write_text("a file where the folder should be")
    with pytest.raises(SpawnException) as caught:
        local_spawner.prepare_home(SimpleNamespace(home_dir=str(tmp_path / "homes" / "ada")))
    assert "could not be made" in caught.value.message
    assert caught.value.status_code == 500
