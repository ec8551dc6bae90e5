"""Who may sign in: people whom a provider knows and the settings name, or whoever knows this machine's password."""

from __future__ import annotations

import os

from traitlets.config import Config

from hub_config.passwords import admin_password, user_password
from hub_config.people import people_of
from hub_config.providers import USER_NAME, GitHub, Oidc
from hub_config.settings import CRYPT_KEY, Settings
from hub_config.standing import Lists

ANSWER_S = 20.0
"""Seconds that a sign-in waits for each of the provider's answers, with its turn among others at the same moment."""


def apply(c: Config, settings: Settings) -> None:
    """Set the authenticator; raises SettingsError where the local sign-in has no password yet."""
    c.Authenticator.username_pattern = rf"{USER_NAME.pattern}\Z"
    # the lists are the whole truth: taking a name off them takes the person's access away
    c.Authenticator.allow_existing_users = False
    c.Authenticator.auth_refresh_age = settings.recheck_s
    # a token of somebody who may no longer be here is good for nothing either
    c.Authenticator.auth_refresh_strict = True
    c.Audited.audit_file = str(settings.state_dir / "service" / "audit.jsonl")
    if settings.is_local:
        _apply_local(c, settings)
        return
    c.KnownPeople.people = people_of(settings)
    c.KnownPeople.lists = Lists(settings.allowed_users, settings.admin_users)
    c.KnownPeople.recheck_s = settings.recheck_s
    c.OAuthenticator.custom_403_message = (
        f"{settings.provider} knows you, but you are not among those who may use this hub. Ask whoever runs it."
    )
    c.OAuthenticator.http_request_kwargs = {"connect_timeout": ANSWER_S, "request_timeout": ANSWER_S}
    _keep_tokens(c, settings)
    if settings.github:
        _apply_github(c, settings.github)
    elif settings.oidc:
        _apply_oidc(c, settings.oidc)


def _apply_github(c: Config, github: GitHub) -> None:
    """GitHub sign-in for the people, organisations and teams that are named, never for all of GitHub."""
    c.JupyterHub.authenticator_class = "hub_config.forge.GitHubSignIn"
    c.GitHubOAuthenticator.client_id = github.client_id
    c.GitHubOAuthenticator.client_secret = github.client_secret
    c.GitHubOAuthenticator.allowed_organizations = set(github.organizations)
    c.GitHubSignIn.admin_teams = set(github.admin_teams)
    asks = bool(github.organizations or github.admin_teams)
    # teams become groups of the hub; without any organisation groups are the admin's own to make
    c.Authenticator.manage_groups = asks
    # without read:org GitHub shows public members only
    known = {"read:org", "write:org", "admin:org"} & set(github.scopes)
    c.GitHubOAuthenticator.scope = [*github.scopes, *(["read:org"] if asks and not known else [])]
    if github.url:
        c.GitHubOAuthenticator.github_url = github.url
    if github.callback_url:
        c.GitHubOAuthenticator.oauth_callback_url = github.callback_url


def _apply_oidc(c: Config, oidc: Oidc) -> None:
    """A provider of OpenID Connect, whose addresses and keys are looked up at the first sign-in."""
    c.JupyterHub.authenticator_class = "hub_config.oidc.OidcSignIn"
    c.OidcSignIn.provider = oidc
    c.OAuthenticator.login_service = oidc.preset.title
    c.OAuthenticator.client_id = oidc.client_id
    c.OAuthenticator.client_secret = oidc.client_secret
    c.OAuthenticator.scope = list(oidc.scopes)
    parameters = dict(oidc.preset.parameters)
    if oidc.institutions:
        parameters["selected_idp"] = ",".join(sorted(oidc.institutions))
    c.OAuthenticator.extra_authorize_params = parameters
    c.Authenticator.manage_groups = True
    if oidc.callback_url:
        c.OAuthenticator.oauth_callback_url = oidc.callback_url


def _keep_tokens(c: Config, settings: Settings) -> None:
    """What the provider gave at the sign-in is kept, encrypted: for the users' git, and to ask again who may be here.

    The key is given here and not in the environment, where whatever the hub starts could inherit it; only an admin who
    has set one there themselves, to keep it elsewhere or to change it, is followed.
    """
    from hub_config.forge import crypt_key

    c.Authenticator.enable_auth_state = True
    if settings.crypt_key:
        c.CryptKeeper.keys = [key for key in settings.crypt_key.split(";") if key]
    elif not os.environ.get(CRYPT_KEY, "").strip():
        c.CryptKeeper.keys = [crypt_key(settings.state_dir / "auth-state-key")]


def _apply_local(c: Config, settings: Settings) -> None:
    """JupyterHub's shared password; administrators, where some are named, have a password of their own.

    There is none by default: whoever started the hub rules it from the terminal, and a role that every
    holder of the shared password could take would be no role.
    """
    c.JupyterHub.authenticator_class = "hub_config.password_sign_in.PasswordSignIn"
    c.Authenticator.admin_users = set(settings.admin_users)
    c.Authenticator.allowed_users = set(settings.allowed_users)
    c.SharedPasswordAuthenticator.user_password = user_password(settings).read()
    c.Authenticator.allow_all = not settings.allowed_users
    if settings.admin_users:
        c.SharedPasswordAuthenticator.admin_password = admin_password(settings).read()
