"""The packages of the environment in which code runs, written down once for all of its processes.

:func:`note` is called where a run starts; it looks at the times of some folders, and only where they are new it has
a thread list the packages. The other functions read what was written, in the server.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import re
import sys
import threading
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

_KEY = re.compile(r"[0-9a-f]{16}")
_begun: set[str] = set()


def note(folder: str | None) -> str:
    """Return what names this environment as it is now, and see to it that its packages get listed in ``folder``.

    Empty without a folder. A thread does the work, and a process does not end before it is done.
    """
    if not folder:
        return ""
    key = _key()
    if key not in _begun:
        _begun.add(key)
        file = file_of(Path(folder), key)
        if not file.exists():
            threading.Thread(target=_write, args=(file,), name="aidp-packages").start()
    return key


def file_of(folder: Path, key: str) -> Path:
    """Return where an environment is described."""
    return folder / f"environment-{key}.json"


def _key() -> str:
    times = [(path, _changed(path)) for path in sys.path if path]
    told = repr((sys.version, sys.prefix, [one for one in times if one[1]]))
    return hashlib.sha256(told.encode(errors="surrogateescape")).hexdigest()[:16]


def _changed(path: str) -> int:
    try:
        # only where packages are installed: other folders change with every file that is saved there
        return os.stat(path).st_mtime_ns if path.endswith(("-packages",)) else 0  # noqa: PTH116 - quicker
    except OSError:
        return 0


def _write(file: Path) -> None:
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        made = file.with_name(f".{file.name}.{os.getpid()}.{threading.get_ident()}")
        descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as out:
            json.dump(describe(), out, indent=1)
        made.replace(file)


def describe() -> dict[str, Any]:
    """Return Python, platform and packages of this process. Where a package came from a folder or a URL, ``from``."""
    packages: dict[str, str] = {}
    origins: dict[str, str] = {}
    for one in metadata.distributions():
        with contextlib.suppress(Exception):  # a half-removed package is no reason to list none
            name = one.metadata["Name"]
            if name and name not in packages:
                packages[name] = one.version
                if origin := _origin(one.read_text("direct_url.json")):
                    origins[name] = origin
    conda = os.environ.get("CONDA_DEFAULT_ENV")
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": platform.platform(),
        **({"conda": conda} if conda else {}),
        "packages": dict(sorted(packages.items(), key=lambda item: item[0].lower())),
        "from": origins,
    }


def _origin(told: str | None) -> str:
    """Return where a package was installed from, without credentials; empty for an index."""
    if not told:
        return ""
    said = json.loads(told)
    url = re.sub(r"//[^/@]*@", "//", str(said.get("url", "")))
    source = said.get("vcs_info") or {}
    return f"{source['vcs']}+{url}@{source.get('commit_id', '')}" if source.get("vcs") else url


# ---- what follows runs in the server


def read(folder: Path, key: str) -> dict[str, Any] | None:
    """Return what was written of an environment; None where it is not there (yet)."""
    if not _KEY.fullmatch(key):
        return None
    try:
        found = json.loads(file_of(folder, key).read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def requirements(environment: Mapping[str, Any]) -> str:
    """Return what pip installs this environment from. What came from a folder of the machine is left as a comment."""
    origins = environment.get("from") or {}
    lines = [f"# Python {environment.get('python', '')}, {environment.get('platform', '')}"]
    for name, version in (environment.get("packages") or {}).items():
        origin = str(origins.get(name, ""))
        if not origin:
            lines.append(f"{name}=={version}")
        elif origin.startswith("file:"):
            lines.append(f"# {name}=={version} (was installed from a file or folder)")
        else:
            lines.append(f"{name} @ {origin}")
    return "\n".join(lines) + "\n"
