"""The reference, made from the code: it leaves nothing out, and the hand-written lists agree with it."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from types import ModuleType

import pytest

from aidp_ext import app, hubservice
from aidp_ext.ai import contract
from aidp_ext.ai.config import AiConfig
from aidp_ext.ai.policy import REASONS
from aidp_ext.ai.routes import ROUTES, USER_ROUTES
from aidp_ext.app import AidpApp
from aidp_ext.core import errors, openapi, web
from aidp_ext.experiments.config import ExperimentsConfig
from aidp_ext.git.config import GitConfig
from aidp_ext.git.routes import ROUTES as GIT_ROUTES
from aidp_ext.hub.token_routes import ROUTES as TOKEN_ROUTES
from tests.git import corpus
from tests.support.processes import REPO


def load_generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("aidp_docs_generate", REPO / "docs" / "generate.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look it up
    spec.loader.exec_module(module)
    return module


generate = load_generator()


def error_tree(cls: type[errors.AidpError] = errors.AidpError) -> set[type[errors.AidpError]]:
    slices = (errors.__name__, "aidp_ext.git.", "aidp_ext.hub.")
    return {cls}.union(*(error_tree(child) for child in cls.__subclasses__() if child.__module__.startswith(slices)))


@pytest.mark.parametrize("cls", [AiConfig, ExperimentsConfig, GitConfig, AidpApp])
def test_every_trait_is_there_with_its_help(cls: type) -> None:
    page = generate.settings()
    for name, trait in cls.class_own_traits(config=True).items():
        assert f"### {cls.__name__}.{name}\n" in page
        assert trait.help.partition("Environment:")[0].strip().rstrip(".") in page


def test_defaults_are_those_of_an_empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIDP_AI_MODE", "offline")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    page = generate.settings()
    assert "taken if unset: `hybrid`" in page
    assert "sk-very-secret" not in page


def test_nothing_of_the_machine_is_in_a_page() -> None:
    for name, page in generate.PAGES.items():
        assert str(REPO) not in page(), name
        assert sys.prefix not in page(), name


def test_every_route_is_there_with_its_methods() -> None:
    found = {(e.host, e.path, e.method) for e in generate.endpoints()}
    hosts = {
        "server": ("/aidp/", [*ROUTES, *USER_ROUTES, *GIT_ROUTES]),
        "hub service": ("/services/aidp/aidp/", [*ROUTES, *TOKEN_ROUTES]),
    }
    for host, (prefix, routes) in hosts.items():
        assert (host, f"{prefix}health", "GET") in found
        for pattern, cls in routes:
            path = prefix + re.sub(r"\([^)]*\)", "{name}", pattern)
            methods = {name.upper() for name in web.METHODS if hasattr(getattr(cls, name), "__aidp_action__")}
            assert methods == {e.method for e in generate.endpoints() if (e.host, e.path) == (host, path)}


def test_every_endpoint_says_what_it_does_and_what_it_needs() -> None:
    page = generate.api()
    for e in generate.endpoints():
        assert e.says.endswith("."), e
        assert f"| `{e.method}` | `{e.path}` | {e.action} | " in page


def test_every_error_code_is_there_with_its_status() -> None:
    page = generate.error_reference()
    for cls in error_tree():
        error = errors.UpstreamRejected("", status=500) if cls is errors.UpstreamRejected else cls("")
        assert re.search(rf"^\| `{cls.code}` \| {web.status_of(error)}[ ,]", page, re.MULTILINE), cls
    for code in (
        "method_not_allowed",
        "too_large",
        "port_in_use",
        "no_node",
        "secrets_staged",
        "checks_failed",
        "no_forge",
    ):
        assert f"| `{code}` | " in page


def test_every_reason_is_there() -> None:
    page = generate.reasons()
    for code, words in REASONS.items():
        assert f"| `{code}` | {words} |" in page


def test_every_setting_of_lab_is_there() -> None:
    page = generate.lab_settings()
    assert generate.schemas()
    for path in generate.schemas():
        for name, one in json.loads(path.read_text())["properties"].items():
            assert f"| {one['title']} | `{name}` | {one['type']} | `{json.dumps(one['default'])}` |" in page


def test_every_command_is_there() -> None:
    page = generate.command()
    for name in ("lab", "hub", "doctor", "audit"):
        assert f"usage: aidp {name} " in page


def test_env_example_names_every_variable_of_the_code_and_no_other() -> None:
    documented = [one.name for one in generate.documented()]
    assert len(documented) == len(set(documented))
    assert set(documented) == generate.variables()


def test_every_variable_of_a_setting_is_in_env_example() -> None:
    traits = [
        trait
        for cls in (AiConfig, ExperimentsConfig, GitConfig)
        for trait in cls.class_own_traits(config=True).values()
    ]
    named = {generate.environment_of(trait) for trait in traits} - {None}
    assert {"AIDP_AI_MODE", "OPENAI_API_KEY", "OLLAMA_HOST"} <= named
    assert {"AIDP_FORGES", "AIDP_GIT_OWNERS", "GITHUB_DEVICE_CLIENT_ID"} <= named
    assert named <= {one.name for one in generate.documented()}


def test_env_example_explains_each_variable_and_sets_none() -> None:
    for one in generate.documented():
        assert one.section, one.name
        assert one.says.endswith("."), one.name
    lines = (REPO / ".env.example").read_text().splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == []
    # a line that the reader of this file would overlook
    assert [line for line in lines if re.match(r"#\s+[A-Z_]+=", line)] == []


def test_the_environment_page_is_env_example() -> None:
    page = generate.environment()
    for one in generate.documented():
        assert f"| `{one.name}` | " in page
        assert one.says in page


@pytest.mark.parametrize(
    ("name", "routes"),
    [("openapi.json", app.ROUTES), ("openapi-hub.json", (*hubservice.TRACKING_ROUTES, *hubservice.ROUTES))],
)
def test_the_openapi_documents_are_those_that_the_hosts_give(name: str, routes: tuple[web.Route, ...]) -> None:
    made = json.loads(generate.PAGES[name]())
    document = openapi.document(routes, made["servers"][0]["url"])
    assert made == json.loads(json.dumps(document))  # which knows no tuples
    assert name in generate.api()


def test_every_header_is_there() -> None:
    page = generate.api()
    for kind in (contract.RequestHeaders, contract.AnswerHeaders):
        for field in openapi.fields(kind):
            assert field["description"].endswith(".")
            assert f"| `{field['name']}` | " in page


def test_the_table_of_what_is_found_has_every_kind_and_place_of_the_corpus() -> None:
    page = generate.preflight_figures()
    assert re.findall(r"^\| (.+?) \| 10 \| 10 \|$", page, re.MULTILINE) == list(corpus.KINDS)
    assert re.findall(r"^\| (.+?) \| 16 \| 16 \|$", page, re.MULTILINE) == list(corpus.PLACES)
    assert re.findall(r"^\| (.+?) \| 0 \| [\d,]+ \|$", page, re.MULTILINE) == list(corpus.innocent())
