"""Every setting of the hub: its variable, its key in ``[hub]`` of ``aidp.toml``, and what it means.

Reading, errors and the page of the reference all come from this one table.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Setting:
    """One setting. ``name`` is its variable, ``key`` what the file calls it, ``default`` what is taken without it."""

    section: str
    name: str
    key: str
    says: str
    default: str = ""
    is_secret: bool = False
    shortest: int = 0
    """Characters that a secret of this kind has at least: a shorter one was typed, not generated."""

    @property
    def called(self) -> str:
        """Both names, as an error says them."""
        return f"{self.name} ({self.key} in aidp.toml)"


def _rows(section: str, *rows: Setting | tuple[str, ...]) -> tuple[Setting, ...]:
    """The rows of a section: whole settings, or (name, key, says[, default])."""
    return tuple(row if isinstance(row, Setting) else _plain(section, *row) for row in rows)


def _plain(section: str, name: str, key: str, says: str, default: str = "") -> Setting:
    return Setting(section, name, key, says, default)


def _secret(section: str, name: str, key: str, says: str, shortest: int = 0) -> Setting:
    return Setting(section, name, key, says, is_secret=True, shortest=shortest)


_SIGN_IN, _GITHUB, _OIDC = "Sign-in", "Sign-in with GitHub", "Sign-in with OpenID Connect"
_SERVERS, _GPU, _SERVICE = "Users' servers", "GPUs", "The hub's service"

SETTINGS: tuple[Setting, ...] = (
    *_rows(
        "The hub",
        (
            "AIDP_HUB_HOST",
            "host",
            "The address that the hub listens on; other than loopback not with the local sign-in.",
            "127.0.0.1",
        ),
        ("AIDP_HUB_PORT", "port", "The port that the hub listens on.", "8000"),
        (
            "AIDP_STATE_DIR",
            "state_dir",
            "Where the hub keeps its records, its log, its keys and local users' homes.",
            ".aidp/hub",
        ),
        (
            "AIDP_USER_DOMAINS",
            "user_domains",
            "`on`: each user's server has a domain of its own below the hub's, so that no page in it can act in the"
            " hub or in another's server. Needs a wildcard in DNS and in the certificate.",
            "off",
        ),
    ),
    *_rows(
        _SIGN_IN,
        (
            "AIDP_SIGN_IN",
            "sign_in",
            "Who says who somebody is: `github`, `google`, `entra`, `cilogon`, `keycloak`, `oidc` (any other OpenID"
            " Connect) or `local` (a generated password, this machine only).",
            "github with GITHUB_CLIENT_ID, oidc with OIDC_CLIENT_ID, else local",
        ),
        (
            "AIDP_ALLOWED_USERS",
            "allowed_users",
            "Who may sign in: names between commas. With the local sign-in, unset means any name.",
        ),
        (
            "AIDP_ADMIN_USERS",
            "admin_users",
            "Who administers the hub: names or `id:<number>`, between commas. Nobody if unset.",
        ),
        (
            "OAUTH_CALLBACK_URL",
            "oauth_callback_url",
            "The public address of the hub with /hub/oauth_callback at its end, exactly as the sign-in's app has it.",
        ),
        (
            "AIDP_RECHECK_S",
            "recheck_s",
            "Seconds, from 1 to 360, after which it is asked again whether somebody may still be in; who may not has"
            " their servers stopped and their tokens ended.",
            "240",
        ),
        _secret(
            _SIGN_IN,
            "JUPYTERHUB_CRYPT_KEY",
            "crypt_key",
            "The key that users' tokens are kept under: 64 hexadecimal digits, or several between semicolons, the one"
            " in use first. Without it: a file, auth-state-key, in the state folder.",
            shortest=32,
        ),
    ),
    *_rows(
        _GITHUB,
        (
            "GITHUB_CLIENT_ID",
            "github_client_id",
            "The client id of the app at GitHub. GITHUB_ID is another name for it.",
        ),
        _secret(
            _GITHUB,
            "GITHUB_CLIENT_SECRET",
            "github_client_secret",
            "The client secret of the app at GitHub. GITHUB_SECRET is another name for it.",
            shortest=20,
        ),
        ("GITHUB_URL", "github_url", "A GitHub Enterprise server.", "https://github.com"),
        (
            "GITHUB_ALLOWED_ORGANIZATIONS",
            "github_allowed_organizations",
            "Whose members may sign in: organisations, or organisation:team, between commas.",
        ),
        (
            "AIDP_ADMIN_TEAMS",
            "admin_teams",
            "Teams whose members may sign in and administer the hub: organisation:team, between commas.",
        ),
        (
            "AIDP_GITHUB_SCOPES",
            "github_scopes",
            "What an OAuth app asks for at the sign-in. A GitHub App has permissions of its own and heeds none.",
            "repo read:org",
        ),
    ),
    *_rows(
        _OIDC,
        ("OIDC_CLIENT_ID", "oidc_client_id", "The client id of the hub at the provider."),
        _secret(
            _OIDC,
            "OIDC_CLIENT_SECRET",
            "oidc_client_secret",
            "The client secret of the hub at the provider.",
            shortest=16,
        ),
        (
            "OIDC_ISSUER_URL",
            "oidc_issuer_url",
            "The provider's issuer, as its discovery document names it: a Keycloak realm, an Entra tenant"
            " (`https://login.microsoftonline.com/<tenant id>/v2.0`). Known for Google and CILogon.",
        ),
        (
            "OIDC_USERNAME_CLAIM",
            "oidc_username_claim",
            "The claim that people are called by, in lists and here; choose none that they can change themselves.",
            "preferred_username; email for Google, eppn for CILogon",
        ),
        ("OIDC_GROUPS_CLAIM", "oidc_groups_claim", "The claim with a person's groups.", "groups"),
        ("OIDC_SCOPES", "oidc_scopes", "What is asked for at the sign-in.", "openid profile email"),
        ("AIDP_ALLOWED_GROUPS", "allowed_groups", "The provider's groups whose members may sign in, between commas."),
        (
            "AIDP_ADMIN_GROUPS",
            "admin_groups",
            "The provider's groups whose members may sign in and administer the hub, between commas.",
        ),
        (
            "AIDP_ALLOWED_DOMAINS",
            "allowed_domains",
            "Domains whose people may sign in, between commas: of an e-mail address that the provider has verified,"
            " of a Workspace for Google, of the eppn for CILogon. Not for Entra.",
        ),
        (
            "AIDP_CILOGON_IDPS",
            "cilogon_idps",
            "With CILogon: the entity ids of the institutions that people may come from, between commas.",
        ),
    ),
    *_rows(
        _SERVERS,
        (
            "AIDP_SPAWNER",
            "spawner",
            "`docker`: a container for each user. `local`: a process of this account, for one person's machine."
            " `auto`: containers where an engine answers and the image is there.",
            "auto",
        ),
        ("AIDP_LAB_IMAGE", "lab_image", "The image of users' containers.", "aidp-lab"),
        ("AIDP_LAB_GPU_IMAGE", "lab_gpu_image", "The image of users' containers with a GPU.", "aidp-lab-gpu"),
        ("AIDP_PROFILES", "profiles_file", "A TOML file with the profiles to choose from at the start of a server."),
        ("AIDP_DOCKER_NETWORK", "docker_network", "The network that users' containers are on.", "aidp-users"),
        (
            "AIDP_DOCKER_PREFIX",
            "docker_prefix",
            "What the names of users' containers and volumes begin with; two hubs on one engine need two.",
            "aidp",
        ),
        ("AIDP_EGRESS", "egress", "`open`: containers reach the internet. `none`: the hub alone.", "open"),
        (
            "AIDP_METADATA",
            "metadata",
            "`guarded`: the hub starts only where it can keep containers from a cloud's metadata addresses."
            " `unguarded`: it starts where it cannot, too.",
            "guarded",
        ),
        ("AIDP_MEMORY", "memory", "The memory that a server may take, unless its profile says another.", "4G"),
        ("AIDP_CPUS", "cpus", "The CPUs that a server may take, unless its profile says another.", "2"),
        (
            "AIDP_PROJECT_VOLUMES",
            "project_volumes",
            "What the members of a group share below `projects/` in their homes: `group`, `group=volume` or"
            " `group=/folder` of the host's, each with `:ro` to read only, between commas. `*` is everybody.",
        ),
        (
            "AIDP_IDLE_MINUTES",
            "idle_minutes",
            "Minutes after which a server is stopped in which nobody does anything and nothing works; 0 is never.",
            "120",
        ),
        (
            "AIDP_LIVE_EDITING",
            "live_editing",
            "`on`: who may open a server edits its notebooks together with its owner. `off`: each window by itself.",
            "on",
        ),
    ),
    *_rows(
        _GPU,
        ("AIDP_GPU", "gpu", "`auto`, `off`, `on`, or the ids of the devices to lease, between commas.", "auto"),
        ("AIDP_GPU_LEASE_HOURS", "gpu_lease_hours", "Hours that a GPU is leased for before it is extended.", "8"),
        (
            "AIDP_GPU_IDLE_MINUTES",
            "gpu_idle_minutes",
            "Minutes after which a GPU that does nothing is taken back where somebody waits; 0 never.",
            "30",
        ),
        (
            "AIDP_GPU_GRACE_MINUTES",
            "gpu_grace_minutes",
            "Minutes between telling somebody that their GPU goes to the next, and stopping their server.",
            "5",
        ),
    ),
    *_rows(
        _SERVICE,
        ("AIDP_KEYS_FILE", "keys_file", "A file with the organisation's keys for the team gateway."),
        ("AIDP_SERVICE_CONFIG", "service_config", "The team gateway's further settings, in Python or JSON."),
        ("AIDP_TOKEN_CACHE_S", "token_cache_s", "Seconds that the gateway believes a token without asking.", "30"),
        _secret(_SERVICE, "AIDP_METRICS_TOKEN", "metrics_token", "A token by which Prometheus may read metrics.", 32),
        ("AIDP_GATEWAY_URL", "gateway_url", "Where the gateway runs, if not as the hub's own process."),
        _secret(_SERVICE, "AIDP_GATEWAY_TOKEN", "gateway_token", "The token that those processes have.", 32),
        _secret(_SERVICE, "AIDP_DATABASE_URL", "database_url", "The service's database; a file of its own if unset."),
        ("AIDP_TRACKING", "tracking", "`off`: the hub keeps no runs of experiments.", "on"),
        _secret(_SERVICE, "AIDP_TRACKING_URI", "tracking_uri", "Where the team's runs are; a file if unset."),
        _secret(_SERVICE, "AIDP_TRACKING_TOKEN", "tracking_token", "A token for an MLflow that runs already."),
        (
            "AIDP_TRACKING_TEAM_ROLE",
            "tracking_team_role",
            "What the team of an experiment's maker may: `none`, `read`, `write` or `manage`.",
            "read",
        ),
    ),
    *_rows(
        "What the hub passes on",
        ("AIDP_AI_MODE", "ai_mode", "`hybrid`, `local`, `offline` or `cloud`, for all users.", "hybrid"),
        ("AIDP_AI_MONTHLY_BUDGET_USD", "ai_monthly_budget_usd", "What the organisation's keys may cost in a month."),
        ("AIDP_AI_DAILY_BUDGET_USD", "ai_daily_budget_usd", "What the organisation's keys may cost in a day."),
        ("AIDP_AI_USER_MONTHLY_BUDGET_USD", "ai_user_monthly_budget_usd", "What each user may cost in a month."),
        ("AIDP_AI_USER_DAILY_BUDGET_USD", "ai_user_daily_budget_usd", "What each user may cost in a day."),
        ("ALLOW_LOCAL_MODELS", "allow_local_models", "Whether models on the machines themselves may answer.", "true"),
        ("OLLAMA_HOST", "ollama_host", "Where an Ollama answers."),
        ("LOCAL_OPENAI_BASE_URL", "local_openai_base_url", "Where a model server that speaks OpenAI's API answers."),
        ("AIDP_FORGES", "forges", "Further servers of GitHub Enterprise or GitLab, each as address=kind."),
        ("AIDP_GIT_OWNERS", "git_owners", "Owners whose repositories alone get a token."),
        ("GITHUB_DEVICE_CLIENT_ID", "github_device_client_id", "The GitHub app for signing in by a code in Lab."),
    ),
)

BY_NAME = {setting.name: setting for setting in SETTINGS}
BY_KEY = {setting.key: setting for setting in SETTINGS}
