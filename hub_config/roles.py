"""Who may do what with the hub's service, and how soon a change of that holds."""

from __future__ import annotations

from traitlets.config import Config

from hub_config.idle import CULLER, CULLER_SCOPES
from hub_config.people import admins_of
from hub_config.services import METRICS_SERVICE, SERVICE_ACCESS
from hub_config.settings import Settings

CACHE_MAX_AGE_S = 30
"""How long a server may go on with what it knew of a user's rights; JupyterHub's own default is five minutes."""

CUSTOM_SCOPES = {
    "custom:aidp:read": {"description": "See what aidp shows"},
    "custom:aidp:write": {"description": "Change what aidp keeps", "subscopes": ["custom:aidp:read"]},
    "custom:aidp:execute": {"description": "Use the AI gateway and run work", "subscopes": ["custom:aidp:write"]},
    "custom:aidp:metrics": {"description": "Read the gateway's metrics"},
    "custom:aidp:forge": {"description": "Hand out the tokens of the users' sign-in"},
    "custom:aidp:admin": {
        "description": "See what everybody used, and what it cost",
        "subscopes": ["custom:aidp:execute", "custom:aidp:metrics"],
    },
}

ADMIN_ROLE = "aidp-admin"
"""What an administrator of the hub may do with its service."""

FORGE_SCOPE = "custom:aidp:forge"
"""To get a token of any user's at GitHub, one at a time. The hub's service alone has it."""

USER_SCOPES = (SERVICE_ACCESS, "custom:aidp:execute")
"""What every user, and so every user's server, may do with the service.

Nothing is needed for teams: the hub tells a service the groups of whoever shows it a token, whatever its scopes.
"""

SERVER_SCOPES = ("users:activity!user", "access:servers!server")
"""What a single-user server needs for itself; naming any scope replaces JupyterHub's default of these two."""


def apply(c: Config, settings: Settings) -> None:
    """Define the scopes, give them to users and their servers, and name the administrators."""
    c.JupyterHub.custom_scopes = CUSTOM_SCOPES
    c.JupyterHub.extra_user_scopes = set(USER_SCOPES)
    c.Spawner.server_token_scopes = [*SERVER_SCOPES, *USER_SCOPES]
    # a list in the role is exact: `admin_users` alone would grant and never take back
    admins, admin_groups = admins_of(settings)
    c.JupyterHub.load_roles = [
        # a role of its own, since JupyterHub's admin role takes no further scopes; an admin's own server has neither
        {
            "name": ADMIN_ROLE,
            "users": admins,
            "groups": admin_groups,
            "scopes": [SERVICE_ACCESS, "custom:aidp:admin"],
        },
        # after the other, which makes the groups: JupyterHub 6.1 fails on one that its admin role is the first to name
        {"name": "admin", "users": admins, "groups": admin_groups},
        # what the admin's page shows and stops, and the metrics count
        {"name": "aidp-admin-page", "services": ["aidp"], "scopes": ["list:users", "read:servers", "delete:servers"]},
        {"name": CULLER, "services": [CULLER] if settings.idle.is_on else [], "scopes": list(CULLER_SCOPES)},
        {
            "name": "aidp-metrics",
            "services": [METRICS_SERVICE] if settings.metrics_token else [],
            "scopes": [SERVICE_ACCESS, "custom:aidp:metrics", "read:metrics"],
        },
    ]
    if settings.github:
        c.JupyterHub.load_roles.append({"name": "aidp-forge", "services": ["aidp"], "scopes": [FORGE_SCOPE]})
