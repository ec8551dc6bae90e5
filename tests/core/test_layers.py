"""The direction of imports: cli → hosts → slices → core, and inside a slice routes → service → adapters → models."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import aidp_ext

ROOT = Path(aidp_ext.__file__).parent
SLICES = sorted(p.name for p in ROOT.iterdir() if (p / "routes.py").exists())
CHAT = {"jupyter_ai_persona_manager", "jupyter_ai_router", "jupyterlab_chat", "jupyter_ydoc"}
WEB = {"tornado", "jupyter_server", "jupyterhub", "jupyter_core", *CHAT}
# Who may know a web framework: the hosts, the routes, and the one place that turns errors into a status.
MODULES = sorted(p.relative_to(ROOT).as_posix() for p in ROOT.rglob("*.py"))
MAY_KNOW_WEB = {"app.py", "kernels.py", "hubservice.py", "core/web.py", "core/streamed.py", "cli.py"} | {
    module for module in MODULES if module.endswith("routes.py")
}
# Who may know jupyter-ai's chat: the adapters between it and the chat's service.
MAY_KNOW_CHAT = {f"ai/chats/{name}.py" for name in ("persona", "manager", "reply")}


def imports(module: str) -> set[str]:
    """Return the full names of the modules that a file imports, also inside its functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / module).read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively: the direction could not be read"
            found |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def area(name: str) -> str | None:
    """Return the part of aidp that a module's name belongs to: core, a slice, or a host."""
    parts = name.split(".")
    return parts[1] if parts[0] == "aidp_ext" and len(parts) > 1 else None


def test_there_are_slices_to_check() -> None:
    assert "ai" in SLICES


@pytest.mark.parametrize("module", [m for m in MODULES if m.startswith("core/")])
def test_core_knows_no_feature(module: str) -> None:
    assert {area(name) for name in imports(module)} <= {None, "core", "_version"}


@pytest.mark.parametrize("module", [m for m in MODULES if m.split("/")[0] in SLICES])
def test_a_slice_knows_only_itself_and_core(module: str) -> None:
    assert {area(name) for name in imports(module)} <= {None, "core", module.split("/")[0], "_version"}


@pytest.mark.parametrize("module", [m for m in MODULES if m not in MAY_KNOW_CHAT])
def test_only_the_chats_adapters_know_jupyters_chat(module: str) -> None:
    assert not {name.split(".")[0] for name in imports(module)} & CHAT


@pytest.mark.parametrize(
    "module", [m for m in MODULES if m not in MAY_KNOW_WEB | MAY_KNOW_CHAT and not m.startswith("commands/")]
)
def test_services_know_no_web_framework(module: str) -> None:
    assert not {name.split(".")[0] for name in imports(module)} & WEB


@pytest.mark.parametrize("slice_", SLICES)
def test_inside_a_slice_nothing_looks_up(slice_: str) -> None:
    own = f"aidp_ext.{slice_}."
    known = {m: {n.removeprefix(own).split(".")[0] for n in imports(m) if n.startswith(own)} for m in MODULES}
    assert not {n for n in imports(f"{slice_}/models.py") if n.startswith("aidp_ext.")}, "models are below all"
    outermost = ("routes.py", "views.py", "__init__.py")
    for module in (m for m in MODULES if m.startswith(f"{slice_}/") and not m.endswith(outermost)):
        assert not [one for one in known[module] if one.endswith("routes") or one == "views"], f"{module} knows them"
        if not module.endswith("service.py"):
            assert "service" not in known[module], f"{module} knows the service"
    assert not known.get(f"{slice_}/policy.py", set()) - {"models"}, "the policy is pure"


@pytest.mark.parametrize("module", [m for m in MODULES if "/" in m and not m.startswith("commands/")])
def test_only_hosts_compose(module: str) -> None:
    assert not {area(name) for name in imports(module)} & {"app", "hubservice", "cli", "commands"}
