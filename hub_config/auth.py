"""Who may sign in: GitHub accounts that are named, or whoever knows this machine's generated password."""

from __future__ import annotations

import os

from traitlets.config import Config

from hub_config.passwords import admin_password, user_password
from hub_config.settings import CRYPT_KEY, USER_NAME, GitHub, Settings


def apply(c: Config, settings: Settings) -> None:
    """Set the authenticator; raises SettingsError where the local sign-in has no password yet."""
    c.Authenticator.username_pattern = rf"{USER_NAME.pattern}\Z"
    c.Authenticator.admin_users = set(settings.admin_users)
    c.Authenticator.allowed_users = set(settings.allowed_users)
    # the lists above are the whole truth: taking a name off them takes the person's access away
    c.Authenticator.allow_existing_users = False
    if settings.github:
        _apply_github(c, settings, settings.github)
    else:
        _apply_local(c, settings)


def _apply_github(c: Config, settings: Settings, github: GitHub) -> None:
    """GitHub sign-in for the people and organisations that are named, never for all of GitHub."""
    c.JupyterHub.authenticator_class = "hub_config.forge.GitHubSignIn"
    _keep_tokens(c, settings)
    c.GitHubOAuthenticator.client_id = github.client_id
    c.GitHubOAuthenticator.client_secret = github.client_secret
    c.GitHubOAuthenticator.allowed_organizations = set(github.organizations)
    # without read:org GitHub shows public members only
    c.GitHubOAuthenticator.scope = [*github.scopes, *(["read:org"] if _needs_read_org(github) else [])]
    if github.url:
        c.GitHubOAuthenticator.github_url = github.url
    if github.callback_url:
        c.GitHubOAuthenticator.oauth_callback_url = github.callback_url


def _needs_read_org(github: GitHub) -> bool:
    """Whether members are to be looked up, and no scope that is asked for says so yet."""
    return bool(github.organizations) and not {"read:org", "write:org", "admin:org"} & set(github.scopes)


def _keep_tokens(c: Config, settings: Settings) -> None:
    """What GitHub gave at the sign-in is kept, encrypted, for the users' git.

    The key is given here and not in the environment, where whatever the hub starts could inherit it; only an admin who
    has set one there themselves, to keep it elsewhere or to change it, is followed.
    """
    from hub_config.forge import crypt_key

    c.Authenticator.enable_auth_state = True
    if not os.environ.get(CRYPT_KEY, "").strip():
        c.CryptKeeper.keys = [crypt_key(settings.state_dir / "auth-state-key")]


def _apply_local(c: Config, settings: Settings) -> None:
    """JupyterHub's shared password; administrators, where some are named, have a password of their own.

    There is none by default: whoever started the hub rules it from the terminal, and a role that every
    holder of the shared password could take would be no role.
    """
    c.JupyterHub.authenticator_class = "shared-password"
    c.SharedPasswordAuthenticator.user_password = user_password(settings).read()
    c.Authenticator.allow_all = not settings.allowed_users
    if settings.admin_users:
        c.SharedPasswordAuthenticator.admin_password = admin_password(settings).read()
