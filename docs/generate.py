"""Makes the reference pages from the code: each function returns one page as Markdown.

``conf.py`` writes them at each build; tests/docs reads them.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import functools
import importlib
import inspect
import json
import os
import pkgutil
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from traitlets import TraitType
from traitlets.config import Configurable

from aidp_ext import app, cli, git, hubservice
from aidp_ext.ai import contract
from aidp_ext.ai.config import AiConfig
from aidp_ext.ai.policy import REASONS
from aidp_ext.app import AidpApp
from aidp_ext.core import errors, openapi, web
from aidp_ext.experiments.config import ExperimentsConfig
from aidp_ext.git.config import GitConfig
from hub_config.table import SETTINGS

REPO = Path(__file__).parents[1]

#: The folders whose Python code may read variables of the environment.
CODE = ("aidp_ext", "hub_config")
#: The packages whose errors an endpoint may answer.
SLICES = tuple(f"aidp_ext.{name}." for name in ("core", "experiments", "git", "hub"))
#: How a variable's name looks as a whole string in the code.
VARIABLE = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+")


def write(folder: Path) -> None:
    """Write every page into ``folder``; what has not changed is left, so that Sphinx need not read it again."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        text, path = page(), folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


# settings of the server


def settings() -> str:
    """The traits."""
    parts = [
        "# Settings of the server",
        'Set them in `jupyter_server_config.py` (`c.AiConfig.mode = "local"`), on the command line'
        " (`--AiConfig.mode=local`), or by the variable named with them. A setting comes before its variable.",
    ]
    for cls in (AiConfig, ExperimentsConfig, GitConfig, AidpApp):
        parts += [f"## {cls.__name__}", _first_line(cls)]
        values = _defaults(cls)
        traits = cls.class_own_traits(config=True)
        for name, trait in ((name, traits[name]) for name in vars(cls) if name in traits):  # in the code's order
            facts = [f"*{_kind(trait)}*"]
            if values[name] is not None:
                facts.append(f"taken if unset: `{values[name]}`")
            says, _, rest = trait.help.partition("Environment: ")
            if variable := environment_of(trait):
                facts.append(f"variable: `{variable}`{rest.removeprefix(variable).rstrip('.')}")
            parts += [f"### {cls.__name__}.{name}", ", ".join(facts), _sentence(says.strip())]
    return _page(parts)


def environment_of(trait: TraitType[Any, Any]) -> str | None:
    """The variable that a trait's help names, or None."""
    found = re.search(r"Environment: (\w+)", trait.help)
    return found[1] if found else None


def _defaults(cls: type[Configurable]) -> dict[str, str | None]:
    """What each trait is when nothing is set, None for what is empty or depends on the machine."""
    with patch.dict(os.environ):
        for name in variables():
            os.environ.pop(name, None)
        made = cls()
        values = {name: getattr(made, name) for name in cls.class_own_traits(config=True)}
    return {name: _shown(value) for name, value in values.items()}


def _shown(value: Any) -> str | None:
    if value in ("", None, [], {}) or (isinstance(value, str) and value.startswith("/")):
        return None
    return json.dumps(value) if isinstance(value, list | bool) else str(value)


def _kind(trait: TraitType[Any, Any]) -> str:
    words = {
        "Unicode": "text",
        "Bool": "yes or no",
        "Int": "whole number",
        "Float": "number",
        "List": "list of texts",
        "Dict": "values by name",
    }
    return words.get(type(trait).__name__, "one word")


# settings of the front end


def lab_settings() -> str:
    """The settings that Lab's editor shows."""
    parts = ["# Settings in Lab", "Under *Settings → Settings Editor*, by the titles below."]
    for path in schemas():
        schema = json.loads(path.read_text(encoding="utf-8"))
        parts += [f"## {schema['title']}", f"`aidp-ext:{path.stem}`. {schema['description']}"]
        rows = []
        for name, one in schema["properties"].items():
            choices = "; ".join(f"`{choice['const']}`: {choice['title']}" for choice in one.get("oneOf", ()))
            limits = f"{one['minimum']} to {one['maximum']}" if "maximum" in one else ""
            says = " ".join(filter(None, [one.get("description"), choices, limits and f"({limits})"]))
            rows.append((one.get("title", name), f"`{name}`", one["type"], f"`{json.dumps(one['default'])}`", says))
        parts.append(_table(("Title", "Name", "Type", "Taken if unset", "Meaning"), rows))
        if keys := schema.get("jupyter.lab.shortcuts"):
            rows = [(f"`{one['command']}`", " ".join(one["keys"]), " ".join(one.get("macKeys", ()))) for one in keys]
            parts += ["Shortcuts:", _table(("Command", "Keys", "On a Mac"), rows)]
    return _page(parts)


def schemas() -> list[Path]:
    """The settings schemas, one for each slice of the front end."""
    return sorted((REPO / "labextension" / "schema").glob("*.json"))


# endpoints


@dataclass(frozen=True)
class Endpoint:
    """One method of one path, as a host serves it."""

    host: str
    path: str
    method: str
    action: str
    says: str


def endpoints() -> list[Endpoint]:
    """What the two hosts really bind, in their order."""
    server = AidpApp()
    server.initialize_handlers()
    with patch.object(hubservice.HubOAuth, "instance"):
        service = hubservice.make_app("/services/aidp/", ai=None)  # type: ignore[arg-type]
    rules = service.wildcard_router.rules
    in_hub = [(rule.matcher.regex.pattern.rstrip("$"), rule.target) for rule in rules]
    return [*_endpoints("server", server.handlers), *_endpoints("hub service", in_hub)]


def _endpoints(host: str, handlers: Iterable[tuple[str, type]]) -> Iterator[Endpoint]:
    for pattern, bound in handlers:
        cls = bound.__mro__[1]  # the slice's own class, before bind() joined it to the host's
        if not pattern.partition("/aidp/")[1] or issubclass(cls, web.UnknownEndpoint):
            continue
        path = re.sub(r"\([^)]*\)", "{name}", pattern)
        if issubclass(cls, web.WsApi):
            yield Endpoint(host, path, "WebSocket", cls.action, _first_line(cls))
            continue
        for name in web.METHODS:
            method = getattr(cls, name)
            if action := getattr(method, "__aidp_action__", None):
                yield Endpoint(host, path, name.upper(), action, _first_line(method))


def api() -> str:
    """The endpoints."""
    found = endpoints()
    titles = {
        "server": "## In your Jupyter server\n\nBelow the server's own address, with its token. An action is one on the"
        " resource `aidp` of Jupyter's authorizer; the server's owner has all of them.",
        "hub service": "## In the hub\n\nBelow the hub's address, with a token of the hub. The action is the scope"
        " `custom:aidp:<action>`; every user has all of them.",
    }
    parts = [
        "# API",
        "No endpoint answers without a token, sent as `Authorization: Bearer …`. Errors have [one form](errors.md).",
        "The types of all requests and answers are in the OpenAPI documents of the {download}`server <openapi.json>`"
        " and of the {download}`hub's service <openapi-hub.json>`; each gives its own at `aidp/openapi.json`.",
    ]
    for host, title in titles.items():
        rows = [(f"`{e.method}`", f"`{e.path}`", e.action, e.says) for e in found if e.host == host]
        parts += [title, _table(("Method", "Path", "Action", "What it does"), rows)]
    parts += [
        "## Names of models",
        "`auto` lets aidp choose, `auto:local` and `auto:cloud` only among local or cloud models;"
        " `<provider>/<model>` and the model's own name ask for one.",
        "## Headers of a request",
        _table(("Header", "Values", "Meaning"), _headers(contract.RequestHeaders)),
        "## Headers of an answer",
        _table(("Header", "Values", "Meaning"), _headers(contract.AnswerHeaders)),
    ]
    return _page(parts)


def _headers(kind: Any) -> list[tuple[str, str, str]]:
    return [
        (
            f"`{field['name']}`",
            " ".join(f"`{one}`" for one in field["schema"].get("enum", ())),
            field["description"],
        )
        for field in openapi.fields(kind)
    ]


def openapi_document(routes: Iterable[web.Route], server: str) -> str:
    """The OpenAPI document of a host, as it gives it out itself."""
    return json.dumps(openapi.document(routes, server), indent=1, ensure_ascii=False) + "\n"


# errors


def error_classes() -> list[type[errors.AidpError]]:
    """The error tree, parents before children, with what the slices add to it."""
    for module in pkgutil.walk_packages(git.__path__, f"{git.__name__}."):
        importlib.import_module(module.name)  # a server loads most of them later
    found: list[type[errors.AidpError]] = []

    def walk(cls: type[errors.AidpError]) -> None:
        if cls.__module__.startswith(SLICES):
            found.append(cls)
            for child in cls.__subclasses__():
                walk(child)

    walk(errors.AidpError)
    return found


def command_errors() -> list[tuple[str, str]]:
    """What the `aidp` command may end with before anything starts: codes, each with its messages."""
    found: dict[str, list[str]] = {}
    for path in [*sorted((REPO / "aidp_ext" / "commands").glob("*.py")), REPO / "hub_config" / "engine.py"]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("CannotStart", "EngineFault"):
                code, message = node.args[:2]
                assert isinstance(code, ast.Constant)
                found.setdefault(str(code.value), []).append(_template(message))
    return [(code, " — ".join(messages)) for code, messages in sorted(found.items())]


def _template(node: ast.expr) -> str:
    """A message as it stands in the code, with … for what is filled in."""
    if isinstance(node, ast.JoinedStr):
        return "".join(str(v.value) if isinstance(v, ast.Constant) else "…" for v in node.values)
    assert isinstance(node, ast.Constant)
    return str(node.value)


def error_reference() -> str:
    """The error tree."""
    rows = []
    for cls in error_classes():
        rejected = cls is errors.UpstreamRejected
        error = errors.UpstreamRejected("", status=500) if rejected else cls("")
        status = f"{web.status_of(error)}" + (", or the server's own 400, 404, 413, 422 or 429" if rejected else "")
        says = "aidp itself failed; the server's log has more." if cls is errors.AidpError else _first_line(cls)
        rows.append((f"`{cls.code}`", status, f"`{web.error_body(error)['error']['type']}`", says))
    known = {cls.code for cls in error_classes()}
    others = [(f"`{code}`", str(status)) for status, code in web._CODES.items() if code not in known]
    return _page(
        [
            "# Errors",
            "Every endpoint answers an error in one form. `code` never changes, `message` is for people;"
            " `details.next_step`, where there is one, says what to do.",
            '```json\n{"error": {"code": "…", "message": "…", "type": "…", "details": {"next_step": "…"}}}\n```',
            "In a stream that has begun, the same object comes as the last event.",
            "## Codes of the API",
            _table(("Code", "Status", "Type", "Meaning"), rows),
            "Tornado's and Jupyter's own refusals have the same form, with these codes besides:",
            _table(("Code", "Status"), others),
            "## Codes of the command",
            "`aidp hub` ends with status 2 and one of these where it cannot start, and with `bad_settings` where a"
            " variable has a value that it cannot use.",
            _table(("Code", "Message"), [(f"`{code}`", message) for code, message in command_errors()]),
        ]
    )


# the rest


def reasons() -> str:
    """Why a model was taken, or not."""
    rows = [(f"`{code}`", words) for code, words in REASONS.items()]
    return _page(
        [
            "# Reasons",
            "Each decision has a reason: in the header `X-AIDP-Reason`, in the answer of `POST aidp/ai/route`, in the"
            " audit record and, in words, in Lab's status bar.",
            _table(("Code", "Words"), rows),
        ]
    )


@dataclass(frozen=True)
class Variable:
    """One variable of .env.example."""

    section: str
    name: str
    value: str
    says: str


def documented() -> list[Variable]:
    """The variables of .env.example, in its order."""
    found, section, words = [], "", list[str]()
    for line in (REPO / ".env.example").read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            section = line.removeprefix("## ")
        elif match := re.fullmatch(r"#(\w+)=(.*)", line):
            found.append(Variable(section, match[1], match[2], " ".join(words)))
        elif line.startswith("# "):
            words.append(line.removeprefix("# "))
            continue
        words = []
    return found


# A name in other people's Python, and files of Git's own
NO_VARIABLES = {"TYPE_CHECKING", "MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "BISECT_LOG"}
MLFLOWS_WORDS = {
    *("BAD_REQUEST", "INTERNAL_ERROR", "INVALID_PARAMETER_VALUE", "INVALID_STATE", "NOT_FOUND", "PERMISSION_DENIED"),
    *("REQUEST_LIMIT_EXCEEDED", "RESOURCE_ALREADY_EXISTS", "RESOURCE_CONFLICT", "RESOURCE_DOES_NOT_EXIST"),
    *("RESOURCE_EXHAUSTED", "TEMPORARILY_UNAVAILABLE"),
    *("O_NOFOLLOW", "SC_PAGE_SIZE", "SC_PHYS_PAGES", "NET_ADMIN"),  # the system's
}
# What kernels, terminals and the tracking server's process get from aidp, or keep of what it has.
SET_FOR_CHILDREN = {
    *("AIDP_CELL", "AIDP_JOB_ID", "AIDP_KERNEL_LOG", "JUPYTERHUB_SERVER_NAME"),
    *("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "JUPYTERHUB_ACTIVITY_INTERVAL", "JUPYTERHUB_ACTIVITY_URL"),
    *("JUPYTER_PATH", "JUPYTER_CONFIG_PATH"),
    *("CONDA_DEFAULT_ENV", "CONDA_PREFIX", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "SSL_CERT_DIR", "SSL_CERT_FILE"),
    *("DO_NOT_TRACK", "MLFLOW_BACKEND_STORE_URI", "MLFLOW_DISABLE_TELEMETRY", "MLFLOW_SERVER_ALLOWED_HOSTS"),
    *("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "MLFLOW_TRACKING_AUTH"),
    *("MLFLOW_TRACKING_AWS_SIGV4", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME"),
    "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING",
}
# Git's own and those of its helpers, which are set for them or taken from them: nothing to be set for aidp
GITS_VARIABLES = ("GIT_", "SSH_ASKPASS", "GCM_", "LC_", "PRE_COMMIT_")


def variables() -> set[str]:
    """The names of variables in the code: whole strings that look like one, but for those of the providers' APIs."""
    return (
        {
            node.value
            for folder in CODE
            for path in (REPO / folder).rglob("*.py")
            if "node_modules" not in path.parts and "providers" not in path.parts
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and VARIABLE.fullmatch(node.value)
            if not node.value.startswith(GITS_VARIABLES)
        }
        - NO_VARIABLES
        - MLFLOWS_WORDS
        - SET_FOR_CHILDREN
    )


def environment() -> str:
    """The variables, from .env.example."""
    parts = [
        "# Environment",
        "`make lab`, `make hub` and the `aidp` command also read them from a file `.env` in the folder they are started"
        " in; what is set already comes before it. `.env.example` is a copy of this page to start from. The value shown"
        " is an example, or what is taken without one.",
    ]
    for section in dict.fromkeys(one.section for one in documented()):
        rows = [
            (f"`{one.name}`", f"`{one.value}`" if one.value else "", one.says)
            for one in documented()
            if one.section == section
        ]
        parts += [f"## {section}", _table(("Variable", "Value", "Meaning"), rows)]
    return _page(parts)


def hub_settings() -> str:
    """The hub's settings, from the table that reads them."""
    parts = [
        "# Settings of the hub",
        "Each has two names: a variable of the environment (or of `.env`), and a key of `[hub]` in `aidp.toml`, in the"
        " folder that the hub is started in or where `AIDP_HUB_CONFIG` says. The environment comes first. A key that"
        " is none is refused, and so is a secret that stands in an example, that is too short to have been generated,"
        " or that lies in a file which others can read (`chmod 600`). Lists are texts between commas, or TOML's"
        " lists; `[[hub.profiles]]` are tables.",
        '```toml\n[hub]\nsign_in = "github"\ngithub_client_id = "…"\ngithub_client_secret = "…"\n'
        'github_allowed_organizations = ["example"]\nadmin_teams = ["example:platform"]\n'
        'oauth_callback_url = "https://hub.example.org/hub/oauth_callback"\n```',
    ]
    for section in dict.fromkeys(one.section for one in SETTINGS):
        rows = [
            (f"`{one.name}`", f"`{one.key}`", one.default, one.says + (" *Secret.*" if one.is_secret else ""))
            for one in SETTINGS
            if one.section == section
        ]
        parts += [f"## {section}", _table(("Variable", "Key in `[hub]`", "If unset", "Meaning"), rows)]
    return _page(parts)


def command() -> str:
    """The help of the command."""
    parser = cli._parser()
    parts = [
        "# The `aidp` command",
        "What `make lab`, `make hub` and `make doctor` call. In a clone it is `.venv/bin/aidp`.",
    ]
    with patch.dict(os.environ, {"COLUMNS": "100", "NO_COLOR": "1"}):
        for name, one in _commands("aidp", parser):
            parts += [f"## {name}", f"```text\n{one.format_help().strip()}\n```"]
    return _page(parts)


def _commands(name: str, parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    yield name, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, one in action.choices.items():
                yield from _commands(f"{name} {word}", one)


def results() -> str:
    """The last benchmark that was recorded, for performance.md."""
    path = REPO / "bench" / "RESULTS.md"
    return path.read_text(encoding="utf-8") if path.exists() else "No run is recorded in this checkout.\n"


@functools.cache
def preflight_figures() -> str:
    """How many planted secrets the checks before a commit find, and how many false alarms they give: measured now."""
    from tests.git import corpus  # what tests/git/test_preflight_corpus.py holds to every secret and no alarm
    from tests.git.staging import Repo

    async def measured(folder: Path) -> str:
        repo = Repo(folder)
        for plant in corpus.planted():
            repo.write(plant.path, plant.content)
        for files in corpus.innocent().values():
            for path, content in files.items():
                repo.write(path, content)
        repo.sh("add", "-f", ".")
        return corpus.figures(await repo.findings("secrets")).table()

    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(measured(Path(folder))) + "\n"


PAGES: dict[str, Callable[[], str]] = {
    "settings.md": settings,
    "lab-settings.md": lab_settings,
    "api.md": api,
    "errors.md": error_reference,
    "reasons.md": reasons,
    "environment.md": environment,
    "hub-settings.md": hub_settings,
    "command.md": command,
    "results.inc": results,
    "preflight.inc": preflight_figures,
    "openapi.json": lambda: openapi_document(app.ROUTES, "/aidp"),
    "openapi-hub.json": lambda: openapi_document(
        (*hubservice.TRACKING_ROUTES, *hubservice.ROUTES), "/services/aidp/aidp"
    ),
}


def _page(parts: Iterable[str]) -> str:
    return "\n\n".join(parts) + "\n"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _first_line(thing: Any) -> str:
    text = (inspect.getdoc(thing) or "").partition("\n\n")[0].replace("\n", " ")
    return text.replace("``", "`")


def _sentence(text: str) -> str:
    return text if text.endswith(".") else f"{text}."
