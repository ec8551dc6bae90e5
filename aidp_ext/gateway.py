"""What an admin gives the team gateway beside its environment: a file with keys, and a file with settings."""

from __future__ import annotations

import io
import os
import re
import stat
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dotenv.parser import parse_stream
from traitlets import TraitError
from traitlets.config import Config
from traitlets.config.loader import ConfigFileNotFound, JSONFileConfigLoader, PyFileConfigLoader

from aidp_ext.ai.config import AiConfig
from aidp_ext.ai.prices import Prices
from aidp_ext.core.errors import AidpError

KEYS_FILE = "AIDP_KEYS_FILE"
SERVICE_CONFIG = "AIDP_SERVICE_CONFIG"
TOKEN_CACHE = "AIDP_TOKEN_CACHE_S"  # noqa: S105 - a variable's name

#: What may stand in the file: keys, of aidp's providers and of those in other packages, and where the ledger and the
#: runs are, whose addresses may hold a password.
_SECRET = re.compile(r"[A-Z][A-Z0-9_]*_API_KEY|AIDP_DATABASE_URL|AIDP_TRACKING_(URI|TOKEN)")
_USUAL_CACHE_S, _LONGEST_CACHE_S = 30, 60


class SettingsError(AidpError):
    """A variable has a value that cannot be used; the message says which and what to do."""

    code = "bad_settings"


def check_file(variable: str, path: Path, *, is_secret: bool) -> None:
    """Check that ``path``, given in ``variable``, is a file that nobody but its owner (we, or root) can change.

    ``is_secret``: nobody else may read it either. Its content is not read. Raises SettingsError.
    """
    os.close(_opened(variable, path, is_secret=is_secret))


def read_keys(path: Path) -> dict[str, str]:
    """Return the variables of a file with lines such as ``OPENAI_API_KEY=…``.

    Raises SettingsError where others can read it, or where a line is none such. Values are never in the message.
    """
    with os.fdopen(_opened(KEYS_FILE, path, is_secret=True), encoding="utf-8") as file:
        try:
            lines = list(parse_stream(io.StringIO(file.read())))  # nothing is filled in: a $ in a key is a $
        except UnicodeDecodeError as error:
            raise SettingsError(f"{KEYS_FILE}: {path} is no text in UTF-8.") from error
    found: dict[str, str] = {}
    for line in lines:
        if line.error:
            raise SettingsError(f"{KEYS_FILE}: {path}, line {line.original.line}, is not of the form OPENAI_API_KEY=….")
        if line.key is None:  # a comment
            continue
        if not _SECRET.fullmatch(line.key):
            raise SettingsError(
                f"{KEYS_FILE}: {path}, line {line.original.line}, is no key, such as OPENAI_API_KEY=…, nor"
                " AIDP_DATABASE_URL, AIDP_TRACKING_URI or AIDP_TRACKING_TOKEN; other settings go into the environment."
            )
        value = (line.value or "").strip()
        if not value:
            raise SettingsError(f"{KEYS_FILE}: {line.key} in {path} has no value; add it, or take the line out.")
        found[line.key] = value
    return found


def load_config(path: Path | None) -> AiConfig:
    """Return the gateway's settings: those in ``path`` (Python, or JSON where it ends in ``.json``), else the usual.

    Raises SettingsError, which names the setting where it is one that is wrong.
    """
    config = Config() if path is None else _read_config(path)
    known = AiConfig.class_trait_names(config=True)
    for section in config:
        if section != AiConfig.__name__:
            raise SettingsError(f"{SERVICE_CONFIG}: {path} sets c.{section}; the gateway knows c.AiConfig alone.")
    for name in config.AiConfig:
        if name not in known:
            raise SettingsError(f"{SERVICE_CONFIG}: {path} sets c.AiConfig.{name}, which is no setting.")
    config.AiConfig.gateway_url = ""  # the gateway is nobody's gateway but its own: its token is for asking the hub
    try:
        made = AiConfig(config=config)
    except TraitError as error:
        raise SettingsError(f"{SERVICE_CONFIG}: {path}: {error}") from error
    try:
        Prices(made.prices)
    except (ValueError, AttributeError) as error:
        raise SettingsError(f"{SERVICE_CONFIG}: {path}: c.AiConfig.prices: {error}") from error
    return made


def token_cache_s(environ: Mapping[str, str]) -> int:
    """Return for how many seconds a caller's token is believed without asking the hub. Raises SettingsError."""
    given = environ.get(TOKEN_CACHE, "").strip() or str(_USUAL_CACHE_S)
    # JupyterHub would take 0 for "for ever".
    if not (given.isascii() and given.isdigit() and 1 <= int(given[:9]) <= _LONGEST_CACHE_S):
        raise SettingsError(f"{TOKEN_CACHE} is {given[:20]!r}; it takes whole seconds from 1 to {_LONGEST_CACHE_S}.")
    return int(given)


def _opened(variable: str, path: Path, *, is_secret: bool) -> int:
    """Return the open file, checked itself and not only its name: what is checked is what is read."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe must not make us wait
    except OSError as error:
        raise SettingsError(f"{variable}: {path} cannot be read: {error.strerror}.") from error
    try:
        _check(variable, path, os.fstat(file), is_secret=is_secret)
    except BaseException:
        os.close(file)
        raise
    return file


def _check(variable: str, path: Path, found: os.stat_result, *, is_secret: bool) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise SettingsError(f"{variable}: {path} is no file.")
    if found.st_uid not in (os.geteuid(), 0):
        raise SettingsError(f"{variable}: {path} belongs to another account; make it your own: chown {_me()} {path}")
    mode = stat.S_IMODE(found.st_mode)
    if is_secret and mode & 0o077:
        raise SettingsError(f"{variable}: others can read {path} (mode {mode:04o}); close it: chmod 600 {path}")
    if mode & 0o022:
        raise SettingsError(f"{variable}: others can change {path} (mode {mode:04o}); close it: chmod go-w {path}")


def _me() -> str:
    return str(os.geteuid())


def _read_config(path: Path) -> Config:
    check_file(SERVICE_CONFIG, path, is_secret=False)
    kind: type[Any] = JSONFileConfigLoader if path.suffix == ".json" else PyFileConfigLoader
    try:
        return Config(kind(path.name, path=str(path.parent.absolute())).load_config())
    except ConfigFileNotFound as error:
        raise SettingsError(f"{SERVICE_CONFIG}: {path} cannot be read.") from error
    except Exception as error:  # the file is a program: anything can go wrong in it
        places = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        line = getattr(error, "lineno", None) or (places[-1] if places else None)
        where = f", line {line}" if line else ""
        raise SettingsError(f"{SERVICE_CONFIG}: {path}{where}: {type(error).__name__}: {error}") from error
