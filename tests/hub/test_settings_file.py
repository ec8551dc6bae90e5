"""[hub] of aidp.toml, and secrets that are none: what is read, what is refused, and in which words."""

import re
from pathlib import Path

import pytest

from hub_config.given import CONFIG_FILE, is_placeholder
from hub_config.settings import SECRET_VARIABLES, Settings, SettingsError
from hub_config.table import BY_KEY, BY_NAME, SETTINGS

SECRET = "5f3c9a1e7b2d4c6f8a0b1c2d3e4f5a6b7c8d9e0f"
APP = {"GITHUB_CLIENT_ID": "Iv1.7c2e", "GITHUB_CLIENT_SECRET": SECRET, "AIDP_ALLOWED_USERS": "ada"}
OIDC = {
    "AIDP_SIGN_IN": "oidc",
    "OIDC_CLIENT_ID": "aidp",
    "OIDC_CLIENT_SECRET": SECRET,
    "OIDC_ISSUER_URL": "https://id.example.org/",
    "AIDP_ALLOWED_GROUPS": "science",
}


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An aidp.toml that nobody else can read, in the folder that the hub is started in."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "aidp.toml"
    path.write_text("")
    path.chmod(0o600)
    return path


def refusal(**env: str) -> str:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env(env)
    assert caught.value.code == "bad_settings"
    assert "\n" not in caught.value.message
    return caught.value.message


# the table


def test_every_setting_has_two_names_and_one_meaning():
    assert len(BY_NAME) == len(BY_KEY) == len(SETTINGS)
    for setting in SETTINGS:
        assert re.fullmatch(r"[A-Z][A-Z0-9_]+", setting.name)
        assert re.fullmatch(r"[a-z][a-z0-9_]+", setting.key)
        assert setting.says.endswith(".")


def test_every_secret_is_kept_from_those_whom_it_is_not_for():
    assert {setting.name for setting in SETTINGS if setting.is_secret} <= set(SECRET_VARIABLES)


# the file


def test_the_file_says_what_the_environment_does_not(file):
    file.write_text(
        f"""
        [ai]
        never_leave = ["data/**"]
        [hub]
        port = 9000
        host = "0.0.0.0"
        github_client_id = "Iv1.7c2e"
        github_client_secret = "{SECRET}"
        oauth_callback_url = "https://hub.example.org/hub/oauth_callback"
        github_allowed_organizations = ["Acme", "acme:ml"]
        admin_teams = ["acme:ops"]
        allowed_users = "ada, bob"
        allow_local_models = false
        """
    )
    settings = Settings.from_env({"AIDP_ALLOWED_USERS": "eve"})
    assert (settings.port, settings.host) == (9000, "0.0.0.0")
    assert settings.allowed_users == {"eve"}, "the environment comes first"
    assert settings.github is not None
    assert settings.github.organizations == {"Acme", "acme:ml"}
    assert settings.github.admin_teams == {"acme:ops"}
    assert settings.user_environment["ALLOW_LOCAL_MODELS"] == "off"
    assert settings.who_may_enter == ["Acme", "acme:ml", "acme:ops", "eve"]


def test_another_file_can_be_named_and_has_to_be_there(file, tmp_path):
    file.write_text("[hub]\nport = 1\n")
    other = tmp_path / "other.toml"
    assert "cannot be read" in refusal(**{CONFIG_FILE: str(other)})
    other.write_text("[hub]\nport = 9001\n")
    assert Settings.from_env({CONFIG_FILE: str(other)}).port == 9001


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[hub]\nprot = 1\n", "did you mean `port`?"),
        ("[hub]\nAIDP_ADMIN_TEAMS = 'a:b'\n", "did you mean `admin_teams`?"),
        ("[hub]\nallowed_user = 'a'\n", "did you mean `allowed_users`?"),
        ("[hub]\nzzzzzzzz = 1\n", "has no setting `zzzzzzzz`"),
        ("hub = 3\n", "[hub]"),
        ("[hub]\nport = 1\nport = 2\n", "is no TOML"),
        ("[hub]\nport = {a = 1}\n", "port takes"),
        ("[hub]\nallowed_users = [['a']]\n", "allowed_users takes"),
        ("[hub]\nport = 'x'\n", "AIDP_HUB_PORT (port in aidp.toml)"),
        ("[hub]\nadmin_users = ['a b']\n", "AIDP_ADMIN_USERS (admin_users in aidp.toml)"),
        ("[hub]\nx = '" + "y" * 300_000 + "'\n", "too large"),
    ],
)
def test_what_the_file_says_wrongly_is_told_with_its_key(file, text, words):
    file.write_text(text)
    assert words in refusal()


def test_a_broken_line_with_a_secret_in_it_is_not_repeated(file):
    file.write_text(f"[hub]\ngithub_client_secret = {SECRET}\n")
    message = refusal()
    assert "line 2" in message
    assert SECRET not in message


def test_a_file_that_is_no_text_is_told(file):
    file.write_bytes(b"\xff\xfe[hub]")
    assert "UTF-8" in refusal()


def test_a_secret_in_the_file_is_for_its_owner_alone(file):
    file.write_text(f"[hub]\nmetrics_token = '{SECRET}'\n")
    assert Settings.from_env({}).metrics_token == SECRET
    file.chmod(0o640)
    assert "holds metrics_token" in refusal()
    assert f"chmod 600 {file}" in refusal()
    file.write_text("[hub]\nport = 9000\n")
    assert Settings.from_env({}).port == 9000, "without a secret others may read it"


def test_a_crypt_key_of_the_file_is_taken_and_a_bad_one_refused(file):
    file.write_text(f"[hub]\ncrypt_key = '{'ab' * 32}'\n")
    assert Settings.from_env({}).crypt_key == "ab" * 32
    assert Settings.from_env({"JUPYTERHUB_CRYPT_KEY": "cd" * 32}).crypt_key is None, "JupyterHub reads it itself"
    assert "JUPYTERHUB_CRYPT_KEY" in refusal(JUPYTERHUB_CRYPT_KEY="zz" * 32)


# secrets that are none


@pytest.mark.parametrize(
    "secret",
    [
        *("changeme", "CHANGE-ME", "secret", "xxx", "x" * 40, "…", "...", "<client-secret>", "none", "client_secret"),
        *("${GITHUB_CLIENT_SECRET}", "TODO", "password123", "s3cret", "0123456789abcdef" * 2),
        "your-github-client-secret",
    ],
)
def test_a_placeholder_never_starts(secret):
    for env in (APP, OIDC):
        name = "GITHUB_CLIENT_SECRET" if env is APP else "OIDC_CLIENT_SECRET"
        message = refusal(**{**env, name: secret})
        assert name in message
        assert "holds an example" in message
        assert f" {secret} " not in message


@pytest.mark.parametrize(
    ("name", "length"), [("GITHUB_CLIENT_SECRET", 19), ("OIDC_CLIENT_SECRET", 15), ("AIDP_METRICS_TOKEN", 31)]
)
def test_a_secret_that_is_shorter_than_real_ones_never_starts(name, length):
    env = {**(OIDC if name.startswith("OIDC") else APP), name: SECRET[:length]}
    message = refusal(**env)
    assert name in message
    assert "too short" in message
    assert SECRET[:length] not in message


def test_blanks_are_no_secret():
    assert "GITHUB_CLIENT_SECRET is not" in refusal(**{**APP, "GITHUB_CLIENT_SECRET": "  \t"})


def test_an_id_that_is_an_example_and_a_databases_password_too():
    assert "GITHUB_CLIENT_ID" in refusal(**{**APP, "GITHUB_CLIENT_ID": "your-client-id"})
    assert "AIDP_DATABASE_URL" in refusal(AIDP_DATABASE_URL="postgresql://aidp:changeme@db/aidp")


def test_the_values_of_our_own_examples_are_refused():
    found = 0
    for page in ("docs/howto/hub.md", "docs/howto/hub-people.md", "docs/howto/gateway.md"):
        text = (Path(__file__).parents[2] / page).read_text()
        for name, value in re.findall(r"^\s*(\w+_(?:CLIENT_SECRET|TOKEN)) ?= ?\"?([^\s\"]+)", text, re.M):
            assert is_placeholder(value), (page, name)
            found += 1
    assert found >= 3


def test_real_ones_are_taken():
    for secret in (
        "GOCSPX-vJ9kq2Lr8aBcDeFgHiJkLmNoPq",
        "a1~8Q~dE4fGhI9jKlMnOpQrStUvWxYz",
        "passing-hub-secretary-2b7f91",
    ):
        assert not is_placeholder(secret)


# the callback


@pytest.mark.parametrize(
    ("callback", "more", "words"),
    [
        ("https://hub.example.org/hub/oauth_callback/x", {}, "has to end in"),
        ("https://hub.example.org/hub/oauth_callback?a=1", {}, "has to end in"),
        ("https://hub.example.org/jupyter/hub/oauth_callback", {}, "at the root"),
        ("http://hub.example.org/hub/oauth_callback", {}, "needs https"),
        ("http://localhost:9000/hub/oauth_callback", {}, "port 8000"),
        ("http://localhost/hub/oauth_callback", {}, "AIDP_HUB_PORT"),
        ("http://localhost:8000/hub/oauth_callback", {"AIDP_HUB_PORT": "8001"}, "port 8001"),
        ("https://hub.example.org:8000/hub/oauth_callback", {"AIDP_HUB_HOST": "0.0.0.0"}, "plain http"),
        ("https://[::1/hub/oauth_callback", {}, "full URL"),
    ],
)
def test_a_callback_that_cannot_lead_to_this_hub_is_told(callback, more, words):
    for env in (APP, OIDC):
        message = refusal(**env, **more, OAUTH_CALLBACK_URL=callback)
        assert "OAUTH_CALLBACK_URL" in message
        assert words in message


@pytest.mark.parametrize(
    "callback", ["https://hub.example.org/hub/oauth_callback", "http://127.0.0.1:8000/hub/oauth_callback"]
)
def test_a_callback_that_leads_here_is_taken(callback):
    assert Settings.from_env({**APP, "OAUTH_CALLBACK_URL": callback}).public_url + "hub/oauth_callback" == callback


# which sign-in


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"AIDP_SIGN_IN": "saml"}, "AIDP_SIGN_IN"),
        ({**OIDC, "OIDC_ISSUER_URL": ""}, "OIDC_ISSUER_URL"),
        ({**OIDC, "OIDC_ISSUER_URL": "http://id.example.org"}, "has to be https"),
        ({**OIDC, "OIDC_ISSUER_URL": "https://id.example.org/?x=1"}, "no issuer"),
        ({**OIDC, "OIDC_CLIENT_SECRET": ""}, "OIDC_CLIENT_SECRET is not"),
        ({**OIDC, "AIDP_ALLOWED_GROUPS": ""}, "nobody is allowed in"),
        ({**OIDC, "AIDP_ALLOWED_DOMAINS": "example"}, "AIDP_ALLOWED_DOMAINS"),
        ({**OIDC, "AIDP_ADMIN_TEAMS": "a:b"}, "AIDP_ADMIN_TEAMS"),
        ({**OIDC, "OIDC_USERNAME_CLAIM": "a b"}, "OIDC_USERNAME_CLAIM"),
        ({**OIDC, "OIDC_SCOPES": 'openid "'}, "OIDC_SCOPES"),
        ({**OIDC, "AIDP_SIGN_IN": "cilogon"}, "AIDP_CILOGON_IDPS"),
        ({**OIDC, "AIDP_SIGN_IN": "entra", "AIDP_ALLOWED_DOMAINS": "example.org"}, "Entra"),
        (
            {**OIDC, "AIDP_SIGN_IN": "entra", "OIDC_ISSUER_URL": "https://login.microsoftonline.com/common/v2.0"},
            "every tenant",
        ),
        ({**APP, "AIDP_ALLOWED_GROUPS": "x"}, "AIDP_ALLOWED_GROUPS"),
        ({**APP, "AIDP_ADMIN_TEAMS": "no-team"}, "AIDP_ADMIN_TEAMS"),
        ({**APP, "AIDP_RECHECK_S": "0"}, "AIDP_RECHECK_S"),
        ({**APP, "AIDP_RECHECK_S": "361"}, "from 1 to 360"),
        ({"AIDP_HUB_HOST": "0.0.0.0", "AIDP_SIGN_IN": "local", **APP}, "this machine only"),
    ],
)
def test_a_sign_in_that_cannot_work_is_told(env, words):
    assert words in refusal(**env)


def test_the_local_sign_in_can_be_asked_for_although_there_is_an_app():
    assert Settings.from_env({**APP, "AIDP_SIGN_IN": "local"}).is_local


def test_a_provider_is_known_by_its_kind():
    google = Settings.from_env({**OIDC, "AIDP_SIGN_IN": "google", "OIDC_ISSUER_URL": ""})
    assert google.oidc is not None
    assert (google.oidc.issuer, google.oidc.username_claim) == ("https://accounts.google.com", "email")
    assert google.provider == "Google"
    plain = Settings.from_env({name: value for name, value in OIDC.items() if name != "AIDP_SIGN_IN"})
    assert plain.oidc is not None
    assert plain.oidc.issuer == "https://id.example.org/", "a slash at the end counts"
    assert SECRET not in repr(plain)
    people = Settings.from_env({**OIDC, "AIDP_ALLOWED_USERS": "Ana@Example.org,bob"})
    assert people.allowed_users == {"ana@example.org", "bob"}
