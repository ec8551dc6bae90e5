"""Who says who somebody is: GitHub, a provider of OpenID Connect, or this machine's own password."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from hub_config.given import SettingsError, called, is_loopback, is_placeholder, names, url

USER_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
"""A user name is a folder's name and a part of URLs too; GitHub's logins all fit."""

ORGANIZATION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(:[A-Za-z0-9_.-]+)?")
"""``organization`` or ``organization:team``."""

TEAM = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*:[A-Za-z0-9_.-]+")

PERSON = re.compile(r"[a-z0-9][a-z0-9_.+-]{0,127}(@[a-z0-9][a-z0-9.-]{0,252})?")
"""How a provider may call somebody in its claim: a name, or one with a domain."""

ID = re.compile(r"id:[\x21-\x2b\x2d-\x7e]{1,255}")
"""Somebody by the id that the provider has for them: GitHub's number, the subject elsewhere."""

GROUP = re.compile(r"[^,\s\x00-\x1f](?:[^,\x00-\x1f]{0,253}[^,\s\x00-\x1f])?")
DOMAIN = re.compile(r"[a-z0-9](?:[a-z0-9-]*\.)+[a-z][a-z0-9-]*")
CLAIM = re.compile(r"[A-Za-z0-9_:/.-]{1,200}")
ENTITY = re.compile(r"(?:https?://|urn:)[^\s,]{1,500}")

GITHUB_SCOPES = "repo read:org"
"""To read and write the user's repositories, and to see who is a member."""

_SCOPE = re.compile(r"[a-z_]+(:[a-z_]+)?")
_OIDC_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,200}")

CALLBACK = "/hub/oauth_callback"


@dataclass(frozen=True)
class GitHub:
    """A GitHub OAuth app, at github.com unless ``url`` names an Enterprise server."""

    client_id: str
    client_secret: str = field(repr=False)
    url: str | None = None
    callback_url: str | None = None
    organizations: frozenset[str] = frozenset()
    scopes: tuple[str, ...] = ()
    """What an OAuth app asks for; a GitHub App has permissions of its own and heeds none."""
    admin_teams: frozenset[str] = frozenset()
    """``organization:team``: their members may sign in and administer the hub."""


@dataclass(frozen=True)
class Preset:
    """What is known of a provider."""

    title: str
    issuer: str | None = None
    subject: str = "sub"
    """The claim that never changes and is never given to anybody else."""
    username: str = "preferred_username"
    groups: str = "groups"
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    parameters: tuple[tuple[str, str], ...] = ()
    """What is added to the request that sends the browser there."""
    domains: str | None = "email"
    """The claim that says a person's domain; None where no claim can be trusted with it."""


PRESETS: Mapping[str, Preset] = {
    "google": Preset(
        "Google",
        "https://accounts.google.com",
        username="email",
        # without these Google gives nothing by which it could be asked again later
        parameters=(("access_type", "offline"), ("prompt", "consent")),
        domains="hd",
    ),
    # `sub` differs from app to app at Entra; `oid` is the person. E-mail addresses there are whatever was typed in.
    "entra": Preset("Microsoft", subject="oid", domains=None),
    "cilogon": Preset(
        "CILogon",
        "https://cilogon.org",
        username="eppn",
        scopes=("openid", "profile", "email", "org.cilogon.userinfo"),
        domains="eppn",
    ),
    "keycloak": Preset("Keycloak"),
    "oidc": Preset("OpenID Connect"),
}

LOCAL, GITHUB = "local", "github"
KINDS = (GITHUB, *PRESETS, LOCAL)


@dataclass(frozen=True)
class Oidc:
    """A provider of OpenID Connect, and whom of its people the hub lets in besides those who are named."""

    kind: str
    client_id: str
    client_secret: str = field(repr=False)
    issuer: str
    callback_url: str | None = None
    username_claim: str = "preferred_username"
    groups_claim: str = "groups"
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    groups: frozenset[str] = frozenset()
    admin_groups: frozenset[str] = frozenset()
    domains: frozenset[str] = frozenset()
    institutions: frozenset[str] = frozenset()
    """With CILogon: where people may come from."""

    @property
    def preset(self) -> Preset:
        """What is known of the provider."""
        return PRESETS[self.kind]


def kind_of(env: Mapping[str, str]) -> str:
    """Return which sign-in the hub has, one of KINDS, or raise SettingsError."""
    kind = env.get("AIDP_SIGN_IN", "").lower()
    if kind:
        if kind not in KINDS:
            raise SettingsError(f"{called('AIDP_SIGN_IN')} is {kind[:80]!r}; it takes one of {', '.join(KINDS)}.")
        return kind
    if "GITHUB_CLIENT_ID" in env or "GITHUB_CLIENT_SECRET" in env:
        return GITHUB
    return "oidc" if "OIDC_CLIENT_ID" in env or "OIDC_CLIENT_SECRET" in env else LOCAL


def github(env: Mapping[str, str]) -> GitHub | None:
    """The GitHub app in the environment, None where the sign-in is another, or SettingsError."""
    if kind_of(env) != GITHUB:
        if "AIDP_ADMIN_TEAMS" in env:
            raise SettingsError(f"{called('AIDP_ADMIN_TEAMS')} are teams at GitHub, but the sign-in is {kind_of(env)}.")
        return None
    client_id, client_secret = _client(env, "GITHUB")
    return GitHub(
        client_id=client_id,
        client_secret=client_secret,
        url=url(env, "GITHUB_URL"),
        callback_url=_callback(env),
        organizations=names(env, "GITHUB_ALLOWED_ORGANIZATIONS", ORGANIZATION),
        scopes=_scopes(env),
        admin_teams=names(env, "AIDP_ADMIN_TEAMS", TEAM),
    )


def oidc(env: Mapping[str, str]) -> Oidc | None:
    """The provider in the environment, None where the sign-in is another, or SettingsError."""
    kind = kind_of(env)
    if kind not in PRESETS:
        for variable in ("AIDP_ALLOWED_GROUPS", "AIDP_ADMIN_GROUPS", "AIDP_ALLOWED_DOMAINS", "AIDP_CILOGON_IDPS"):
            if variable in env:
                raise SettingsError(f"{called(variable)} is for OpenID Connect, but the sign-in is {kind}.")
        return None
    preset = PRESETS[kind]
    client_id, client_secret = _client(env, "OIDC")
    found = Oidc(
        kind=kind,
        client_id=client_id,
        client_secret=client_secret,
        issuer=_issuer(env, kind),
        callback_url=_callback(env),
        username_claim=_claim(env, "OIDC_USERNAME_CLAIM", preset.username),
        groups_claim=_claim(env, "OIDC_GROUPS_CLAIM", preset.groups),
        scopes=_oidc_scopes(env, preset),
        groups=names(env, "AIDP_ALLOWED_GROUPS", GROUP),
        admin_groups=names(env, "AIDP_ADMIN_GROUPS", GROUP),
        domains=names(env, "AIDP_ALLOWED_DOMAINS", DOMAIN, lower=True),
        institutions=names(env, "AIDP_CILOGON_IDPS", ENTITY),
    )
    if found.domains and preset.domains is None:
        raise SettingsError(
            f"{called('AIDP_ALLOWED_DOMAINS')} cannot be used with Entra, where anybody can have any address; name"
            " your tenant in OIDC_ISSUER_URL, and groups in AIDP_ALLOWED_GROUPS."
        )
    if kind == "cilogon" and not found.institutions:
        raise SettingsError(
            f"{called('AIDP_CILOGON_IDPS')} is not set; name the institutions that people may come from, by their"
            " entity ids at https://cilogon.org/idplist."
        )
    return found


def people(env: Mapping[str, str], variable: str) -> frozenset[str]:
    """The people whom a variable names, or SettingsError: names, and with a provider ids (``id:1234``) as it has them.

    An id's letters are kept as they are; a name's case says nothing.
    """
    if kind_of(env) == LOCAL:
        return names(env, variable, USER_NAME, lower=True)
    listed = [one.strip() for one in env.get(variable, "").split(",")]
    ids = ",".join(one for one in listed if one.startswith("id:"))
    others = ",".join(one for one in listed if not one.startswith("id:"))
    form = PERSON if kind_of(env) in PRESETS else USER_NAME
    return names({variable: ids}, variable, ID) | names({variable: others}, variable, form, lower=True)


def _client(env: Mapping[str, str], prefix: str) -> tuple[str, str]:
    """The app's id and its secret, or SettingsError."""
    id_name, secret_name = f"{prefix}_CLIENT_ID", f"{prefix}_CLIENT_SECRET"
    for one, other in ((id_name, secret_name), (secret_name, id_name)):
        if other not in env:
            given = f"{one} is set but {other} is not" if one in env else f"{other} is not set"
            raise SettingsError(
                f"{given}; the sign-in needs both, and without both the hub offers its local sign-in"
                " (AIDP_SIGN_IN=local)."
            )
    if is_placeholder(env[id_name]):
        raise SettingsError(f"{called(id_name)} holds an example, not an id; put in the one of your app.")
    return env[id_name], env[secret_name]


def _callback(env: Mapping[str, str]) -> str | None:
    """The callback's address, None where it is not set, or SettingsError where it cannot lead to this hub."""
    callback = url(env, "OAUTH_CALLBACK_URL")
    if callback is None:
        return None
    what, parts = f"{called('OAUTH_CALLBACK_URL')} is {callback[:200]!r}", urlsplit(callback)
    if not parts.path.endswith(CALLBACK) or parts.query or parts.fragment or parts.username:
        raise SettingsError(f"{what}; it has to end in {CALLBACK}.")
    if parts.path != CALLBACK:
        raise SettingsError(f"{what}, but the hub answers at the root: {CALLBACK} is the whole path.")
    host, port = parts.hostname or "", env.get("AIDP_HUB_PORT", "8000")
    if parts.scheme == "http" and not is_loopback(host):
        raise SettingsError(
            f"{what}; the sign-in of others needs https: put a web server with a certificate before the hub."
        )
    if parts.scheme == "http" and str(parts.port or 80) != port:
        raise SettingsError(f"{what}, but the hub listens on port {port} ({called('AIDP_HUB_PORT')}); one is wrong.")
    is_everywhere = env.get("AIDP_HUB_HOST", "127.0.0.1") in ("0.0.0.0", "::")  # noqa: S104 - compared, not bound
    if parts.scheme == "https" and str(parts.port or 443) == port and (is_everywhere or is_loopback(host)):
        raise SettingsError(
            f"{what}, but on that port the hub itself speaks plain http; give the web server with the certificate"
            f" another than {called('AIDP_HUB_PORT')}."
        )
    return callback


def _scopes(env: Mapping[str, str]) -> tuple[str, ...]:
    """What is asked of GitHub at the sign-in, or SettingsError."""
    scopes = tuple(dict.fromkeys(env.get("AIDP_GITHUB_SCOPES", GITHUB_SCOPES).replace(",", " ").split()))
    for scope in scopes:
        if not _SCOPE.fullmatch(scope):
            raise SettingsError(
                f"{called('AIDP_GITHUB_SCOPES')} holds {scope[:80]!r}, which is no scope of GitHub's; the usual are:"
                f" {GITHUB_SCOPES}."
            )
    return scopes


def _oidc_scopes(env: Mapping[str, str], preset: Preset) -> tuple[str, ...]:
    scopes = env.get("OIDC_SCOPES", " ".join(preset.scopes)).replace(",", " ").split()
    for scope in scopes:
        if not _OIDC_SCOPE.fullmatch(scope):
            raise SettingsError(f"{called('OIDC_SCOPES')} holds {scope[:80]!r}, which is no scope.")
    return tuple(dict.fromkeys(["openid", *scopes]))


def _claim(env: Mapping[str, str], variable: str, usual: str) -> str:
    claim = env.get(variable, usual)
    if not CLAIM.fullmatch(claim):
        raise SettingsError(f"{called(variable)} is {claim[:80]!r}, which is no name of a claim.")
    return claim


def _issuer(env: Mapping[str, str], kind: str) -> str:
    """The provider's issuer, exactly as it names itself, or SettingsError."""
    if url(env, "OIDC_ISSUER_URL") is None:
        usual = PRESETS[kind].issuer
        if usual is None:
            raise SettingsError(f"{called('OIDC_ISSUER_URL')} is not set; it takes the provider's issuer.")
        return usual
    issuer = env["OIDC_ISSUER_URL"]  # a slash at its end counts
    parts = urlsplit(issuer)
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise SettingsError(f"{called('OIDC_ISSUER_URL')} is {issuer[:200]!r}; it has to be https.")
    if parts.query or parts.fragment or parts.username:
        raise SettingsError(f"{called('OIDC_ISSUER_URL')} is no issuer: it has no ? and no #.")
    if kind == "entra" and re.search(r"/(common|organizations|consumers)(/|$)", parts.path):
        raise SettingsError(
            f"{called('OIDC_ISSUER_URL')} lets in every tenant; put in your own:"
            " https://login.microsoftonline.com/<tenant id>/v2.0."
        )
    return issuer
