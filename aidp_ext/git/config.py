"""The slice's settings: traits, with the environment variables that users know as their defaults."""

from __future__ import annotations

import os

from traitlets import Bool, Dict, Enum, Float, Int, List, Unicode, default
from traitlets.config import Configurable


class GitConfig(Configurable):
    """What Ship does, and with whom it talks."""

    forges = Dict(
        value_trait=Unicode(),
        key_trait=Unicode(),
        help="Further forges: the address of a GitHub Enterprise or GitLab server to its kind, github or gitlab, such"
        ' as {"https://git.example.org": "gitlab"}. github.com and gitlab.com are known. Environment: AIDP_FORGES,'
        " as https://git.example.org=gitlab, separated by commas.",
    ).tag(config=True)
    device_client_id = Unicode(
        help="The client id of a GitHub app with the device flow on; with it one signs in by a code instead of a"
        " pasted token. Environment: GITHUB_DEVICE_CLIENT_ID."
    ).tag(config=True)
    allowed_owners = List(
        Unicode(),
        help="Owners on a forge whose repositories get the sign-in's token; none: all that the token may. Environment:"
        " AIDP_GIT_OWNERS, separated by commas.",
    ).tag(config=True)
    pull_how = Enum(
        ["rebase", "merge"], "rebase", help="How Ship takes in what others pushed meanwhile, unless it is told."
    ).tag(config=True)
    conventional_commits = Bool(False, help="Whether a suggested message follows Conventional Commits 1.0.").tag(
        config=True
    )
    find_personal_data = Bool(False, help="Whether checks look for personal data too, besides secrets.").tag(
        config=True
    )
    large_bytes = Int(5_000_000, min=1, help="A file of more bytes counts as large.").tag(config=True)
    run_hooks = Bool(True, help="Whether checks run the repository's pre-commit hooks, where they are set up.").tag(
        config=True
    )
    checks_wait_s = Float(
        900.0, min=0, help="For how many seconds Ship follows the checks of what it pushed before it leaves them."
    ).tag(config=True)

    @default("forges")
    def _default_forges(self) -> dict[str, str]:
        said = (part.rpartition("=") for part in _listed("AIDP_FORGES"))
        return {url.strip(): kind.strip() for url, _, kind in said if url.strip()}

    @default("device_client_id")
    def _default_device_client_id(self) -> str:
        return os.environ.get("GITHUB_DEVICE_CLIENT_ID", "").strip()

    @default("allowed_owners")
    def _default_allowed_owners(self) -> list[str]:
        return _listed("AIDP_GIT_OWNERS")


def _listed(name: str) -> list[str]:
    return [part.strip() for part in os.environ.get(name, "").split(",") if part.strip()]
