"""The AI router's settings: traits, with the environment variables that users know as their defaults.

Set them in ``jupyter_server_config.py`` (``c.AiConfig.mode = "local"``), on the command line
(``--AiConfig.mode=local``), or through the environment and ``.env``.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from traitlets import Bool, CaselessStrEnum, Dict, Float, Int, List, TraitError, Type, Unicode, default, validate
from traitlets.config import Configurable

from aidp_ext.ai.models import Locality, Mode, Policy, Privacy, Task
from aidp_ext.ai.policy import Scorer
from aidp_ext.core.errors import StorageError

log = logging.getLogger("aidp")


# RFC 1918 and RFC 4193. Python's `is_private` would include more, such as networks reserved for documentation.
_PRIVATE = tuple(map(ipaddress.ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")))


class AiConfig(Configurable):
    """What the router knows of the world outside."""

    mode = CaselessStrEnum(
        [str(mode) for mode in Mode],
        help="hybrid, local, offline or cloud. What a user chooses in Lab is kept and comes before this."
        " Environment: AIDP_AI_MODE.",
    ).tag(config=True)

    openai_api_key = Unicode(help="Key for OpenAI's API. Environment: OPENAI_API_KEY.").tag(config=True)
    openai_base_url = Unicode(
        help="OpenAI's API, or one that speaks like it and takes openai_api_key. Environment: OPENAI_BASE_URL."
    ).tag(config=True)
    anthropic_api_key = Unicode(help="Key for Anthropic's API. Environment: ANTHROPIC_API_KEY.").tag(config=True)
    anthropic_base_url = Unicode(help="Anthropic's API. Environment: ANTHROPIC_BASE_URL.").tag(config=True)
    gemini_api_key = Unicode(help="Key for Google's Gemini API. Environment: GEMINI_API_KEY.").tag(config=True)
    gemini_base_url = Unicode(help="Gemini's API. Environment: GEMINI_BASE_URL.").tag(config=True)

    ollama_host = Unicode(help="Where Ollama listens. Environment: OLLAMA_HOST, in Ollama's own forms.").tag(
        config=True
    )
    local_openai_base_url = Unicode(
        help="A model server of your own that speaks OpenAI's API (llama.cpp, vLLM, TensorRT-LLM),"
        " such as http://127.0.0.1:8080/v1. Environment: LOCAL_OPENAI_BASE_URL."
    ).tag(config=True)
    local_openai_api_key = Unicode(help="Its key, if it wants one. Environment: LOCAL_OPENAI_API_KEY.").tag(config=True)
    allow_local_models = Bool(
        help="Whether local models may be used at all. Environment: ALLOW_LOCAL_MODELS (0 or 1)."
    ).tag(config=True)
    local_hosts = List(
        Unicode(),
        help="Further hosts that count as local: your own machines under public names. Loopback, private addresses,"
        " single-label names and names below .local, .internal, .lan and .home.arpa do already.",
    ).tag(config=True)

    gateway_url = Unicode(
        help="The team's gateway, as the hub tells its users' servers. Environment: AIDP_SERVICE_URL."
    ).tag(config=True)
    gateway_token = Unicode(help="The token for it. Environment: JUPYTERHUB_API_TOKEN.").tag(config=True)

    monthly_budget_usd = Float(
        None,
        allow_none=True,
        min=0,
        help="Dollars a month that everybody here together may spend; 0 forbids models that cost something."
        " Environment: AIDP_AI_MONTHLY_BUDGET_USD.",
    ).tag(config=True)
    daily_budget_usd = Float(
        None, allow_none=True, min=0, help="The same a day. Environment: AIDP_AI_DAILY_BUDGET_USD."
    ).tag(config=True)
    user_monthly_budget_usd = Float(
        None,
        allow_none=True,
        min=0,
        help="Dollars a month for each user. Environment: AIDP_AI_USER_MONTHLY_BUDGET_USD.",
    ).tag(config=True)
    user_daily_budget_usd = Float(
        None, allow_none=True, min=0, help="The same a day. Environment: AIDP_AI_USER_DAILY_BUDGET_USD."
    ).tag(config=True)
    team_monthly_budgets_usd = Dict(
        value_trait=Float(min=0),
        key_trait=Unicode(),
        help='Dollars a month by team (group of the hub): {"research": 200}.',
    ).tag(config=True)
    team_daily_budgets_usd = Dict(value_trait=Float(min=0), key_trait=Unicode(), help="The same a day.").tag(
        config=True
    )
    soft_budget_share = Float(
        0.8, min=0, max=1, help="From this share of a budget on, local and cheaper models come first."
    ).tag(config=True)
    prices = Dict(
        help="Your own prices, by pattern over <provider>/<model>, in dollars per million tokens:"
        ' {"openai/gpt-*": {"input": 2.5, "output": 10, "cached_input": 1.25}}.'
    ).tag(config=True)
    default_output_tokens = Int(
        8192,
        min=1,
        help="The longest answer that a budget pays for where a request does not say; noted in X-AIDP-Notes.",
    ).tag(config=True)
    reference_price = Dict(
        value_trait=Float(),
        key_trait=Unicode(),
        default_value={"input": 0.4, "output": 1.6},
        help="Dollars per million tokens that local answers would have cost elsewhere, for the money saved."
        " The default is what OpenAI lists for gpt-4.1-mini.",
    ).tag(config=True)
    requests_per_minute = Int(0, min=0, help="Requests a minute that each user may make; 0: no limit.").tag(config=True)
    database_url = Unicode(
        help="Where calls and money are written down: an SQLAlchemy URL, such as postgresql://…; several gateway"
        " processes may share one. Default: an SQLite file in the state folder. Environment: AIDP_DATABASE_URL."
    ).tag(config=True)
    keep_calls_days = Int(400, min=1, help="Days that the row of each call is kept.").tag(config=True)

    allowed_models = List(
        Unicode(), help="Patterns over model names; where there are any, no other model answers, by whatever name."
    ).tag(config=True)
    denied_models = List(
        Unicode(), help="Patterns over model names that never answer, by whatever name; stronger than those allowed."
    ).tag(config=True)
    team_models = Dict(
        help='The same by team: {"interns": {"allowed": ["ollama/*"], "denied": ["*-pro"]}}. A user of several teams'
        " may use what one of them allows, and nothing that one of them denies."
    ).tag(config=True)
    task_models = Dict(
        help='Patterns over model names by task, best first, before the preferred ones: {"review": ["claude-opus*"]}.'
    ).tag(config=True)
    local_first_tasks = List(
        CaselessStrEnum([str(task) for task in Task]),
        default_value=sorted(Policy().local_first),
        help="Tasks that go to local models first in the hybrid mode.",
    ).tag(config=True)
    scorer_class = Type(
        klass=Scorer,
        default_value=Scorer,
        help="Judges how hard a request is, for choosing between local and cloud models. The default does not judge.",
    ).tag(config=True)

    privacy = CaselessStrEnum(
        [str(privacy) for privacy in Privacy],
        default_value=None,
        allow_none=True,
        help="The least private class that anybody may ask for here: local, redact or cloud.",
    ).tag(config=True)
    default_privacy = CaselessStrEnum(
        [str(privacy) for privacy in Privacy],
        default_value=str(Privacy.REDACT),
        help="The class of a request that does not name one.",
    ).tag(config=True)
    never_leave = List(
        Unicode(),
        help="Patterns of paths whose text stays on local models, for every workspace here, beside those in the"
        ' workspace\'s own aidp.toml: ["data/**", "*.csv", "outputs"].',
    ).tag(config=True)
    detected = CaselessStrEnum(
        ["redact", "local"],
        default_value="redact",
        help="What secrets and personal data found in a request lead to: they are replaced, or the request stays on"
        " local models.",
    ).tag(config=True)
    redact_names = List(Unicode(), help="Names of people that are replaced too.").tag(config=True)

    audit_content_key_file = Unicode(
        help="A file with the public key of a pair made by `aidp audit new-key`. Where it is set, the content of each"
        " call is kept beside the audit record, readable only with the private key; otherwise content is never kept."
    ).tag(config=True)

    local_concurrency = Int(
        0, min=0, help="Requests that a local server works on at once; the others wait. 0: as the server says."
    ).tag(config=True)
    breaker_failures = Int(3, min=1, help="Failures in a row after which a model is left to cool.").tag(config=True)
    breaker_cooldown_s = Float(10.0, min=0.1, help="Seconds of its first rest.").tag(config=True)
    max_retry_wait_s = Float(
        2.0, min=0, help="The longest wait before a busy server is asked once more, in seconds; 0: never."
    ).tag(config=True)
    preferred_models = List(
        Unicode(),
        default_value=["claude-opus*", "claude-sonnet*", "gpt-5*", "gpt-4.1*", "gpt-4o*", "gemini-*-pro*"],
        help="Patterns over model names, best first: which one answers where several may.",
    ).tag(config=True)

    connect_timeout_s = Float(5.0, min=0.1, help="Seconds to reach a model server.").tag(config=True)
    read_timeout_s = Float(
        120.0, min=0.1, help="Seconds of silence after which a model server counts as hung, first word included."
    ).tag(config=True)
    completion_timeout_s = Float(
        20.0, min=0.1, help="The same for inline completion: what comes later, nobody waits for."
    ).tag(config=True)
    probe_timeout_s = Float(3.0, min=0.1, help="Seconds for asking a server which models it has.").tag(config=True)
    max_prompt_bytes = Int(
        32 * 1024 * 1024, min=1024, help="Largest request body, in bytes; larger ones are refused at once."
    ).tag(config=True)

    @default("mode")
    def _default_mode(self) -> str:
        given = os.environ.get("AIDP_AI_MODE", "").strip().lower()
        if given and given not in set(Mode):
            # The strictest one: a typo must not open what the user wanted closed.
            log.error("AIDP_AI_MODE=%r is none of %s: taking offline", given, ", ".join(Mode))
            return str(Mode.OFFLINE)
        return given or str(Mode.HYBRID)

    @default("openai_api_key")
    def _default_openai_api_key(self) -> str:
        return _env("OPENAI_API_KEY")

    @default("openai_base_url")
    def _default_openai_base_url(self) -> str:
        return _env("OPENAI_BASE_URL") or "https://api.openai.com/v1"

    @default("anthropic_api_key")
    def _default_anthropic_api_key(self) -> str:
        return _env("ANTHROPIC_API_KEY")

    @default("anthropic_base_url")
    def _default_anthropic_base_url(self) -> str:
        return _env("ANTHROPIC_BASE_URL") or "https://api.anthropic.com"

    @default("gemini_api_key")
    def _default_gemini_api_key(self) -> str:
        return _env("GEMINI_API_KEY")

    @default("gemini_base_url")
    def _default_gemini_base_url(self) -> str:
        return _env("GEMINI_BASE_URL") or "https://generativelanguage.googleapis.com"

    @default("ollama_host")
    def _default_ollama_host(self) -> str:
        return _env("OLLAMA_HOST")

    @default("local_openai_base_url")
    def _default_local_openai_base_url(self) -> str:
        return _env("LOCAL_OPENAI_BASE_URL")

    @default("local_openai_api_key")
    def _default_local_openai_api_key(self) -> str:
        return _env("LOCAL_OPENAI_API_KEY")

    @default("allow_local_models")
    def _default_allow_local_models(self) -> bool:
        return _env("ALLOW_LOCAL_MODELS").lower() not in ("0", "false", "no", "off")

    @default("gateway_url")
    def _default_gateway_url(self) -> str:
        return _env("AIDP_SERVICE_URL")

    @default("gateway_token")
    def _default_gateway_token(self) -> str:
        return _env("JUPYTERHUB_API_TOKEN")

    @default("monthly_budget_usd")
    def _default_monthly_budget_usd(self) -> float | None:
        return _amount("AIDP_AI_MONTHLY_BUDGET_USD")

    @default("daily_budget_usd")
    def _default_daily_budget_usd(self) -> float | None:
        return _amount("AIDP_AI_DAILY_BUDGET_USD")

    @default("user_monthly_budget_usd")
    def _default_user_monthly_budget_usd(self) -> float | None:
        return _amount("AIDP_AI_USER_MONTHLY_BUDGET_USD")

    @default("user_daily_budget_usd")
    def _default_user_daily_budget_usd(self) -> float | None:
        return _amount("AIDP_AI_USER_DAILY_BUDGET_USD")

    @default("database_url")
    def _default_database_url(self) -> str:
        return _env("AIDP_DATABASE_URL")

    @validate("team_models")
    def _check_team_models(self, proposal: Any) -> Any:
        """Refuse what would be ignored: a rule that is written wrong must not let its team through."""
        for team, rule in proposal.value.items():
            if not isinstance(rule, dict) or not set(rule) <= {"allowed", "denied"}:
                raise TraitError(f"team_models: the rule of {team!r} takes 'allowed' and 'denied', nothing else.")
            for which, patterns in rule.items():
                if not isinstance(patterns, list | tuple) or not all(isinstance(one, str) for one in patterns):
                    raise TraitError(f"team_models: {which!r} of {team!r} takes a list of patterns.")
        return proposal.value

    @validate("task_models")
    def _check_task_models(self, proposal: Any) -> Any:
        for task, patterns in proposal.value.items():
            if task not in set(Task) or not isinstance(patterns, list | tuple):
                raise TraitError(f"task_models: {task!r} takes lists of patterns, for the tasks {', '.join(Task)}.")
        return proposal.value

    def policy(self, mode: Mode, teams: tuple[str, ...] = ()) -> Policy:
        """Return the rules for a mode and a caller of these teams."""
        rules = [self.team_models[team] for team in teams if team in self.team_models]
        allowed = [tuple(rule.get("allowed", ())) for rule in rules]
        # One team without a list of its own may use everything that the deployment allows.
        of_teams = tuple(p for patterns in allowed for p in patterns) if rules and all(allowed) else ()
        return Policy(
            mode=mode,
            allow_local=self.allow_local_models,
            allowed_models=tuple(self.allowed_models),
            team_allowed_models=of_teams,
            denied_models=(*self.denied_models, *(p for rule in rules for p in rule.get("denied", ()))),
            preferred_models=tuple(self.preferred_models),
            task_models={Task(task): tuple(patterns) for task, patterns in self.task_models.items()},
            local_first=frozenset(Task(task) for task in self.local_first_tasks),
        )

    def locality_of(self, url: str) -> Locality:
        """Return where a server at ``url`` stands. Unknown public names count as cloud: the careful side."""
        try:
            host = (urlsplit(url).hostname or "").rstrip(".")
        except ValueError:
            return Locality.CLOUD
        return Locality.LOCAL if host in self.local_hosts or _is_local_host(host) else Locality.CLOUD


def _is_local_host(host: str) -> bool:
    if not host.isascii() or re.fullmatch(r"0[xX][0-9a-fA-F]*|[0-9]+", host):
        return False  # names that look like others, and addresses written as one number
    try:
        address = ipaddress.ip_address(host.split("%")[0])
    except ValueError:
        return bool(host) and (
            "." not in host or host.endswith((".local", ".localhost", ".internal", ".lan", ".home.arpa"))
        )
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_loopback or address.is_link_local or any(address in network for network in _PRIVATE)


def ollama_url(host: str) -> str:
    """Return the base URL for what OLLAMA_HOST may hold: a host, ``host:port``, ``:port`` or a URL.

    Source: Ollama's envconfig.Host. 0.0.0.0 is where a server listens; a client reaches it by loopback.
    """
    text = host.strip().strip("\"'").rstrip("/")
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "http", text
    port = {"http": "11434" if not separator else "80", "https": "443"}.get(scheme, "11434")
    place, slash, path = rest.partition("/")
    if place.startswith("["):
        name, _, tail = place.partition("]")
        name, given = f"{name}]", tail.lstrip(":")
    elif place.count(":") > 1:
        name, given = f"[{place}]", ""
    else:
        name, _, given = place.partition(":")
    if name in ("", "0.0.0.0"):  # noqa: S104
        name = "127.0.0.1"
    elif name == "[::]":
        name = "[::1]"
    return f"{scheme}://{name}:{given if given.isdigit() else port}{slash}{path}"


def _env(name: str) -> str:
    return os.environ.get(name, "").strip()


def _amount(name: str) -> float | None:
    given = _env(name)
    if not given:
        return None
    try:
        amount = float(given)
    except ValueError:
        amount = -1.0
    if not 0 <= amount < float("inf"):
        log.error("%s=%r is no amount: taking 0, so no model that costs something is used", name, given)
        return 0.0
    return amount


class ModeStore:
    """Keeps the mode that a user chose over restarts, in one small file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Mode | None:
        """Return the kept mode, or None where none is kept or the file cannot be understood."""
        try:
            kept: Any = msgspec.json.decode(self._path.read_bytes())
            return Mode(kept["mode"])
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
            log.warning("%s cannot be read (%s): taking the configured mode", self._path.name, type(error).__name__)
            return None

    def write(self, mode: Mode) -> None:
        """Keep a mode. Raises StorageError where the file cannot be written."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            fresh = self._path.with_suffix(f".{os.getpid()}")
            fresh.write_bytes(msgspec.json.encode({"mode": mode}))
            fresh.replace(self._path)  # at once: a reader never sees half a file
        except OSError as error:
            raise StorageError(
                f"The mode holds until the server stops; it cannot be kept: {error.strerror}.",
                next_step=f"Make {self._path.parent} writable.",
            ) from error
