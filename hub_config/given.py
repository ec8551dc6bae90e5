"""What the hub was told: the environment, and ``[hub]`` in ``aidp.toml`` for what is not in it.

Both give texts by the variable's name, so that every part of the settings reads one mapping. Here is what the parts
check alike: names, addresses, and secrets that are none.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aidp_ext.gateway import SettingsError as SettingsError
from hub_config.table import BY_KEY, BY_NAME, SETTINGS, Setting

CONFIG_FILE = "AIDP_HUB_CONFIG"
USUAL_FILE = "aidp.toml"
PROFILES = "profiles"
"""The one key of ``[hub]`` that is no text: the tables ``[[hub.profiles]]``."""

_PROFILES_FILE = "AIDP_PROFILES"
_MAX_BYTES = 256 * 1024

_ALIASES = {"GITHUB_ID": "GITHUB_CLIENT_ID", "GITHUB_SECRET": "GITHUB_CLIENT_SECRET"}

# What stands in the examples of this and other projects where a secret belongs, without punctuation
_PLACEHOLDERS = re.compile(
    r"(?:your|my|our|the|a|put|paste|insert|some|fill|enter)?(?:own|in)?"
    r"(?:github|oidc|oauth|oauth2|google|keycloak|entra|cilogon|client|app|hub|jupyterhub|aidp|api|crypt|metrics)*"
    r"(?:changeme|changethis|changeit|changed|replaceme|replacethis|secret|s3cret|secrets|password|passw0rd|passwd|pass"
    r"|token|key|example|placeholder|sample|dummy|test|testing|todo|tbd|fixme|none|null|undefined|default|admin|value"
    r"|clientid|clientsecret|id|here|goeshere|letmein|hunter2|qwerty|123456(?:7890?|78|7)?|0123456789(?:abcdef)?)+"
    r"(?:here|value|please)?[0-9]{0,4}"
)


def given(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what is set, by the variable's name and without blanks around it; the environment before the file.

    An empty variable counts as one that is not set. Raises SettingsError for a file that cannot be understood, and for
    a secret that is none.
    """
    env = {name: value.strip() for name, value in environ.items() if value.strip()}
    for other, name in _ALIASES.items():
        if other in env:
            env.setdefault(name, env[other])
    table, path = read_file(env)
    for key, value in table.items():
        if key == PROFILES:
            env.setdefault(_PROFILES_FILE, str(path))
        elif (text := _text(BY_KEY[key], value, path)) and BY_KEY[key].name not in env:
            env[BY_KEY[key].name] = text
    for setting in SETTINGS:
        if setting.is_secret and setting.name in env:
            check_secret(setting, env[setting.name])
    return env


def read_file(env: Mapping[str, str]) -> tuple[dict[str, Any], Path]:
    """Return ``[hub]`` of the file that AIDP_HUB_CONFIG names, else of ``aidp.toml`` here, and where the file is.

    The table is empty where there is no such file. Raises SettingsError where it cannot be read, is no TOML, has a key
    that is no setting, or holds a secret and others can read it.
    """
    path = Path(env.get(CONFIG_FILE, USUAL_FILE)).expanduser().absolute()
    if CONFIG_FILE not in env and not path.is_file():
        return {}, path
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(_MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
            raise SettingsError(f"{path} is too large; it takes a few settings.")
        table = tomllib.loads(data.decode()).get("hub", {})
    except OSError as error:
        raise SettingsError(f"{CONFIG_FILE}: {path} cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path} is no text in UTF-8.") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is no TOML: {_where(error)}.") from None
    if not isinstance(table, dict):
        raise SettingsError(f"{path}: `hub` has to be a table, [hub].")
    _check_keys(table, path, is_private=not mode & 0o077)
    return table, path


def _where(error: tomllib.TOMLDecodeError) -> str:
    """What is wrong and where, never the line itself: it may hold a secret."""
    found = re.search(r"\(at [^)]*\)\s*\Z", str(error))
    return found[0].strip("() \n") if found else "it cannot be understood"


def _check_keys(table: Mapping[str, Any], path: Path, *, is_private: bool) -> None:
    for key in table:
        if key == PROFILES:
            continue
        setting = BY_KEY.get(key)
        if setting is None:
            named = BY_NAME[key.upper()].key if key.upper() in BY_NAME else ""
            close = [named] if named else difflib.get_close_matches(key, [*BY_KEY, PROFILES], n=1, cutoff=0.5)
            hint = f"; did you mean `{close[0]}`?" if close else "; the reference lists all settings of the hub."
            raise SettingsError(f"{path}: [hub] has no setting `{key[:60]}`{hint}")
        if setting.is_secret and not is_private:
            raise SettingsError(f"{path} holds {setting.key}, and others can read the file; close it: chmod 600 {path}")


def _text(setting: Setting, value: Any, path: Path) -> str:
    """The value of a key as its variable would have it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list) and all(isinstance(one, str | int) and not isinstance(one, bool) for one in value):
        return ",".join(str(one).strip() for one in value)
    raise SettingsError(f"{path}: {setting.key} takes a text, a number or a list of texts.")


def called(name: str) -> str:
    """Both names of a setting, as errors say them."""
    return BY_NAME[name].called if name in BY_NAME else name


# secrets


def check_secret(setting: Setting, value: str) -> None:
    """Raise SettingsError, without the value, for a secret that stands in an example or that somebody made up."""
    parts = urlsplit(value) if "://" in value else None
    secret = (parts.password or "") if parts else value  # a database's address holds its password
    if not secret:
        return
    if is_placeholder(secret):
        raise SettingsError(f"{setting.called} holds an example, not a secret; put in the real one.")
    if len(secret) < setting.shortest:
        raise SettingsError(
            f"{setting.called} is too short for a secret of its kind, which has {setting.shortest} characters or more;"
            + (
                " make one: openssl rand -hex 32"
                if setting.name.startswith(("AIDP_", "JUPYTERHUB_"))
                else " copy it again from where it was made."
            )
        )


def is_placeholder(text: str) -> bool:
    """Whether a text only holds a secret's place: "changeme", "<your-client-secret>", "xxxxxxxx"."""
    bare = "".join(letter for letter in text.lower() if letter.isalnum())
    if len(set(bare)) <= 1 or text.startswith(("<", "${", "{{")):
        return True
    return len(bare) <= 80 and _PLACEHOLDERS.fullmatch(bare) is not None  # a longer one takes time, and is no word


# what the parts have in common


def names(env: Mapping[str, str], variable: str, form: re.Pattern[str], *, lower: bool = False) -> frozenset[str]:
    """The comma-separated names in a variable, each checked against ``form``, or SettingsError."""
    found = {name.strip() for name in env.get(variable, "").split(",")} - {""}
    for name in found:
        if not form.fullmatch(name.lower() if lower else name):
            raise SettingsError(
                f"{called(variable)} holds {name[:80]!r}, which is no valid name; it takes names between commas."
            )
    return frozenset(name.lower() for name in found) if lower else frozenset(found)


def url(env: Mapping[str, str], variable: str) -> str | None:
    """The URL in a variable, without a slash at its end, None where it is not set, or SettingsError."""
    text = env.get(variable)
    if text is None:
        return None
    try:
        parts = urlsplit(text)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good:
        raise SettingsError(
            f"{called(variable)} is {text[:200]!r}; it takes a full URL such as https://github.example.org."
        )
    return text.rstrip("/")


def whole_number(env: Mapping[str, str], variable: str, default: int, low: int, high: int) -> int:
    """The number in a variable, or SettingsError where it is none from ``low`` to ``high``."""
    text = env.get(variable, str(default))
    if text.isascii() and text.isdigit() and len(text) < 10 and low <= int(text) <= high:
        return int(text)
    raise SettingsError(f"{called(variable)} is {text[:80]!r}; it takes a number from {low} to {high}.")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach ``host``."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def one_of(env: Mapping[str, str], variable: str, choices: tuple[str, ...]) -> str:
    """One of the choices, the first where none is given; raises SettingsError."""
    value = env.get(variable, choices[0]).lower()
    if value not in choices:
        raise SettingsError(
            f"{called(variable)} is {value[:40]!r}; it takes {', '.join(choices[:-1])} or {choices[-1]}."
        )
    return value
