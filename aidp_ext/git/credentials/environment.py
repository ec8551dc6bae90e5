"""What git has to be told so that it asks aidp for a token: in the environment, so that no file of the user's changes.

The entries come after whatever is configured elsewhere. For aidp's hosts the first of them empties the list of helpers,
so that no helper that is set up for every host sees the question, or is given the token to keep.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from aidp_ext.core.errors import AidpError
from aidp_ext.core.proc import run
from aidp_ext.git.credentials import helper

SOCKET = "AIDP_CRED_SOCK"
_COUNT = "GIT_CONFIG_COUNT"
_MOST = 10_000  # entries that another program may have put there before


def git_environment(
    environ: Mapping[str, str], urls: Iterable[str], socket: Path, more: Path | None = None
) -> dict[str, str]:
    """Return the variables to be set beside those of ``environ``, whose entries for git stay.

    ``urls`` are the forges' addresses, such as ``https://github.com``; ``more`` is a file with further entries, which
    git reads anew each time.
    """
    entries = [entry for url in urls for entry in _entries(url)]
    if more is not None:
        entries.append(("include.path", str(more)))
    return {**appended(environ, entries), SOCKET: str(socket)}


def write_forges(file: Path, urls: Iterable[str]) -> None:
    """Write what git is told of forges that came later. An OSError is raised where that cannot be written."""
    lines = ["# aidp: servers that were added under Accounts"]
    for url in urls:
        lines.append(f'[credential "{url}"]')
        lines += [f"\t{key.rpartition('.')[2]} = {_quoted(value)}" for key, value in _entries(url)]
    fresh = file.with_suffix(".new")
    fresh.write_text("\n".join(lines) + "\n")
    fresh.replace(file)


def _entries(url: str) -> list[tuple[str, str]]:
    section = f"credential.{url.rstrip('/')}"
    return [
        (f"{section}.helper", ""),
        (f"{section}.helper", helper_command()),
        (f"{section}.useHttpPath", "true"),
    ]


def appended(environ: Mapping[str, str], entries: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the variables that add entries of git's configuration to those that ``environ`` has."""
    said = environ.get(_COUNT, "").strip()
    start = int(said) if re.fullmatch(r"[0-9]{1,5}", said) and int(said) <= _MOST else 0  # git takes no other either
    added: dict[str, str] = {}
    number = start
    for number, (key, value) in enumerate(entries, start):
        added |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return {**added, _COUNT: str(number + 1)} if added else {}


def helper_command() -> str:
    """Return what git is to run: this very Python, without anything that a user's environment could add to it."""
    return "!" + shlex.join([sys.executable, "-I", "-S", str(Path(helper.__file__).resolve())])


class Identity:
    """Whom commits name where the user has told git nothing of it.

    Git's configuration in the environment would come before a repository's own. So these two settings lie in a file
    that stands in for the system's and includes it: whatever else says anything comes after it. The file can be
    changed at any time, since git reads it anew each time.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "identity.gitconfig"
        self._system: Path | None = None

    async def environment(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Return the variables to be set; none where the user wants no configuration of the system's, or git is old."""
        if environ.get("GIT_CONFIG_NOSYSTEM", "").lower() not in ("", "0", "false", "no", "off"):
            return {}
        self._system = await _system_config(environ)
        self.set(None, None)
        return {"GIT_CONFIG_SYSTEM": str(self._file)}

    def set(self, name: str | None, email: str | None) -> None:
        """Say whom commits name from now on; nobody where None. An OSError is raised where that cannot be written."""
        lines = ["# aidp: whom commits name where nothing else says so"]
        if name and email:
            lines += ["[user]", f"\tname = {_quoted(name)}", f"\temail = {_quoted(email)}"]
        if self._system is not None:  # what the system's own file says comes after, and so holds
            lines += ["[include]", f"\tpath = {_quoted(str(self._system))}"]
        fresh = self._file.with_suffix(".new")
        fresh.write_text("\n".join(lines) + "\n")
        fresh.replace(self._file)


async def _system_config(environ: Mapping[str, str]) -> Path:
    """Return the configuration file of the system."""
    if given := environ.get("GIT_CONFIG_SYSTEM"):
        return Path(given)
    try:
        said = (await run(["git", "var", "GIT_CONFIG_SYSTEM"], timeout_s=10)).stdout.strip()
    except AidpError:  # a git before 2.41 does not say it
        said = ""
    return Path(said.splitlines()[-1] if said else "/etc/gitconfig")


def _quoted(text: str) -> str:
    """Return a text as a value in git's configuration."""
    plain = "".join(sign for sign in text if sign.isprintable())
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'
