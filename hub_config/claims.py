"""What the claims of a provider of OpenID Connect say about somebody, and what they are not trusted with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hub_config.providers import GROUP, Oidc
from hub_config.standing import Dismissed, Standing, fold

_LONGEST = 256
_MOST_GROUPS = 1000


def subject(info: Mapping[str, Any], oidc: Oidc) -> str:
    """Return the id that never changes. Raises Dismissed where there is none."""
    return _claim(info, oidc.preset.subject)


def name(info: Mapping[str, Any], oidc: Oidc) -> str:
    """Return what somebody is called. Raises Dismissed where it is not said, or an address that nobody verified."""
    if oidc.username_claim == "email" and not is_verified(info):
        raise Dismissed("the provider has not verified the e-mail address")
    return fold(_claim(info, oidc.username_claim))


def standing(info: Mapping[str, Any], oidc: Oidc) -> Standing:
    """Return the groups, and whether they or the domain let somebody in.

    Raises Dismissed where they come from an institution that is not named.
    """
    if oidc.institutions and info.get("idp") not in oidc.institutions:
        raise Dismissed("they come from an institution that is not on the list")
    found = _find(info, oidc.groups_claim)
    listed = [found] if isinstance(found, str) else found if isinstance(found, list) else []
    groups = frozenset(one for one in listed[:_MOST_GROUPS] if isinstance(one, str) and GROUP.fullmatch(one))
    return Standing(groups, bool(groups & (oidc.groups | oidc.admin_groups)) or domain(info, oidc) in oidc.domains)


def domain(info: Mapping[str, Any], oidc: Oidc) -> str | None:
    """Return the domain that somebody belongs to for sure, None where that cannot be told."""
    source = oidc.preset.domains
    if source is None or (source in ("email", "hd") and not is_verified(info)):
        return None
    said = info.get(source)
    if not isinstance(said, str):
        return None
    if source == "hd":
        return fold(said)
    person, at, rest = said.partition("@")
    return fold(rest) if person and at and "@" not in rest else None


def is_verified(info: Mapping[str, Any]) -> bool:
    """Return whether the provider says that it has verified the e-mail address; some say it as a text."""
    return info.get("email_verified") in (True, "true")


def _claim(info: Mapping[str, Any], claim: str) -> str:
    said = _find(info, claim)
    if isinstance(said, int) and not isinstance(said, bool):
        said = str(said)
    if not isinstance(said, str) or not said.strip() or len(said) > _LONGEST or not said.isprintable():
        raise Dismissed(f"the provider says no `{claim}` that can be used")
    return said.strip()


def _find(info: Mapping[str, Any], claim: str) -> Any:
    """The claim of this name, or below the claims that its dots lead through."""
    if claim in info:
        return info[claim]
    found: Any = info
    for part in claim.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found
