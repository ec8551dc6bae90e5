"""`aidp audit`: whether the record is whole, keys for kept content, and reading it."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from jupyter_core.paths import jupyter_data_dir

from aidp_ext.ai.content import new_keys, open_sealed
from aidp_ext.core.audit import verify
from aidp_ext.core.errors import StorageError

PUBLIC, PRIVATE = "audit-public.key", "audit-private.key"


def run_verify(args: argparse.Namespace) -> int:
    """Check a record and say how long it is. Raises StorageError naming the first line that is not as it was."""
    path = args.file or Path(jupyter_data_dir()) / "aidp" / "audit.jsonl"
    print(f"{verify(path)} records, unbroken: {path}")
    return 0


def run_new_key(args: argparse.Namespace) -> int:
    """Write a pair of keys into a folder, over no existing file. Raises StorageError."""
    public, private = new_keys()
    folder: Path = args.folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, key, mode in ((PRIVATE, private, 0o600), (PUBLIC, public, 0o644)):
            fd = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
            with os.fdopen(fd, "w") as file:
                file.write(key + "\n")
    except FileExistsError as error:
        raise StorageError(f"{error.filename} is there already; nothing was changed.") from error
    except OSError as error:
        raise StorageError(f"{folder} cannot be written: {error.strerror}.") from error
    print(f"{folder / PUBLIC}: for the server, c.AiConfig.audit_content_key_file")
    print(f"{folder / PRIVATE}: for whoever may read; keep it elsewhere")
    return 0


def run_show(args: argparse.Namespace) -> int:
    """Print what a call held, as JSON. Raises StorageError for another key or a changed file."""
    try:
        key = args.key.read_text()
    except OSError as error:
        raise StorageError(f"{args.key} cannot be read: {error.strerror}.") from error
    print(json.dumps(open_sealed(args.file, key), indent=1, ensure_ascii=False))
    return 0
