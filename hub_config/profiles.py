"""What a user may choose at the start of their server: profiles of memory, CPUs, a GPU and an image."""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hub_config.given import SettingsError, called

FILE, MEMORY, CPUS = "AIDP_PROFILES", "AIDP_MEMORY", "AIDP_CPUS"
DEFAULT_MEMORY, DEFAULT_CPUS = 4 * 1024**3, 2.0
#: Less than this and Lab with one kernel does not start.
LEAST_MEMORY = 512 * 1024**2

_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
_MEMORY = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,3})?) ?([KMGT]?)(?:i?B)?", re.IGNORECASE)
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_KEYS = {"name", "title", "description", "gpu", "memory", "cpus", "image"}


@dataclass(frozen=True)
class Profile:
    """One choice. ``memory`` is in bytes; ``image`` None is the one of the settings, with or without a GPU."""

    name: str
    title: str
    description: str = ""
    gpu: bool | str = False
    """Whether a GPU goes with it; a text asks for one kind, as its name or a MIG profile has it ("A100", "1g.10gb")."""
    memory: int = DEFAULT_MEMORY
    cpus: float = DEFAULT_CPUS
    image: str | None = None

    @property
    def size(self) -> str:
        """What one gets, in a few words: "4 GB memory · 2 CPUs · GPU"."""
        gpu = "" if not self.gpu else " · GPU" if self.gpu is True else f" · GPU {self.gpu}"
        cpus = f"{self.cpus:g} CPU{'' if self.cpus == 1 else 's'}"
        return f"{spoken(self.memory)} memory · {cpus}{gpu}"


def from_env(env: Mapping[str, str]) -> tuple[Profile, ...]:
    """The profiles of the file in AIDP_PROFILES, else one without a GPU and one with it.

    Raises SettingsError, which names the variable, and the profile and its key.
    """
    memory = _memory(env[MEMORY], called(MEMORY)) if MEMORY in env else DEFAULT_MEMORY
    cpus = _cpus(env[CPUS], called(CPUS)) if CPUS in env else DEFAULT_CPUS
    if FILE in env:
        return read(Path(env[FILE]).expanduser(), memory=memory, cpus=cpus)
    return (
        Profile("cpu", "Notebooks", "For most work.", memory=memory, cpus=cpus),
        Profile("gpu", "Notebooks with a GPU", "For training and large models.", gpu=True, memory=memory, cpus=cpus),
    )


def read(path: Path, *, memory: int, cpus: float) -> tuple[Profile, ...]:
    """The profiles in ``[[hub.profiles]]``, or ``[[profiles]]``, of a TOML file; raises SettingsError."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{called(FILE)}: {path} cannot be read ({error.strerror}).") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{called(FILE)}: {path} is no TOML: {error}.") from error
    hub = table.get("hub")
    rows = hub.get("profiles") if isinstance(hub, dict) and "profiles" in hub else table.get("profiles")
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise SettingsError(f"{called(FILE)}: {path} has no profile; each is a table, [[hub.profiles]].")
    found = tuple(_profile(row, path, number, memory, cpus) for number, row in enumerate(rows, 1))
    names = [profile.name for profile in found]
    if twice := {name for name in names if names.count(name) > 1}:
        raise SettingsError(f"{called(FILE)}: {path} has two profiles that are called {sorted(twice)[0]!r}.")
    return found


def _profile(row: Mapping[str, Any], path: Path, number: int, memory: int, cpus: float) -> Profile:
    where = f"{called(FILE)}: {path}, profile {row.get('name') or number}"
    if unknown := sorted(set(row) - _KEYS):
        raise SettingsError(f"{where} has {unknown[0]!r}, which is none of {', '.join(sorted(_KEYS))}.")
    name = row.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise SettingsError(f'{where}: `name` takes small letters, digits and dashes, such as "large".')
    for key in ("title", "description", "image"):
        if not isinstance(row.get(key, ""), str):
            raise SettingsError(f"{where}: `{key}` takes a text.")
    gpu = row.get("gpu", False)
    if not isinstance(gpu, bool | str):
        raise SettingsError(f'{where}: `gpu` takes true, false or the kind of GPU, such as "A100".')
    return Profile(
        name=name,
        title=row.get("title") or name.capitalize(),
        description=row.get("description", ""),
        gpu=gpu.strip() or False if isinstance(gpu, str) else gpu,
        memory=_memory(row["memory"], f"{where}: `memory`") if "memory" in row else memory,
        cpus=_cpus(row["cpus"], f"{where}: `cpus`") if "cpus" in row else cpus,
        image=row.get("image") or None,
    )


def _memory(value: object, where: str) -> int:
    """A size in bytes from "4G", "512 MB" or a number of bytes, or SettingsError."""
    found = None if isinstance(value, bool) else _MEMORY.fullmatch(str(value).strip())
    size = int(float(found[1]) * _UNITS[found[2].upper()]) if found else 0
    if size < LEAST_MEMORY:
        raise SettingsError(
            f'{where} is {str(value)[:40]!r}; it takes a size such as "4G", {spoken(LEAST_MEMORY)} or more.'
        )
    return size


def _cpus(value: object, where: str) -> float:
    try:
        number = float(str(value))
    except ValueError:
        number = 0
    if isinstance(value, bool) or not 0.1 <= number <= 1024:
        raise SettingsError(f"{where} is {str(value)[:40]!r}; it takes a number of CPUs such as 2 or 0.5.")
    return number


def spoken(size: int) -> str:
    """A size as people say it: "4 GB", "512 MB"."""
    for unit, factor in (("TB", 1024**4), ("GB", 1024**3), ("MB", 1024**2)):
        if size >= factor:
            return f"{size / factor:.3g} {unit}"
    return f"{size} bytes"


def offered(profiles: Sequence[Profile], *, gpus: bool) -> tuple[Profile, ...]:
    """Those that can be had on a machine with or without GPUs; all of them where that would leave none."""
    return tuple(each for each in profiles if gpus or not each.gpu) or tuple(profiles)


def find(profiles: Sequence[Profile], name: object) -> Profile:
    """The profile that is called so, the first where none is named; raises SpawnException, which lists the names."""
    if name is None and profiles:
        return profiles[0]
    for profile in profiles:
        if profile.name == name:
            return profile
    from jupyterhub.spawner import SpawnException  # the settings are read before it is known to be there

    names = ", ".join(profile.name for profile in profiles)
    raise SpawnException(
        f"There is no profile {str(name)[:40]!r}; there are: {names}.", reason="unknown-profile", status_code=400
    )


def options_from_form(form: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """What the form on the spawn page says, as ``user_options`` keeps it."""
    chosen = form.get("profile")
    return {"profile": chosen[0]} if chosen and chosen[0] else {}


def chosen(profiles: Sequence[Profile], options: Mapping[str, Any] | None) -> Profile:
    """The profile that a start's options ask for; raises SpawnException where they ask for what is not offered."""
    from jupyterhub.spawner import SpawnException

    options = options or {}
    if unknown := sorted(map(str, set(options) - {"profile"})):
        raise SpawnException(
            f"A server's start takes `profile` and nothing else; not {unknown[0][:40]!r}.",
            reason="unknown-option",
            status_code=400,
        )
    return find(profiles, options.get("profile"))


def choice_of(profiles: Sequence[Profile]) -> Callable[[Any, Mapping[str, Any] | None], None]:
    """A hook for ``Spawner.apply_user_options``: the profile, from the form or the API, goes to ``spawner.profile``."""
    from jupyterhub.spawner import SpawnException

    def apply(spawner: Any, options: Mapping[str, Any] | None) -> None:
        try:
            spawner.profile = chosen(profiles, options)
        except SpawnException:
            # what was offered once, and is no more, must not be refused at each start to come
            spawner.orm_spawner.user_options = None
            raise

    return apply


def _only_what_is_offered(target: Any, value: Any, *_: object) -> None:
    chosen(_offered[0], value)


_offered: list[Sequence[Profile]] = []  # what is offered, once that is known


def refuse_early(profiles: Sequence[Profile]) -> None:
    """Keep from JupyterHub's records what is not offered, from now on. One offer for each process.

    JupyterHub writes a start's options down, as the next start's default, before it asks whether they are any good.
    """
    from jupyterhub import orm
    from jupyterhub.apihandlers.users import UserServerAPIHandler
    from jupyterhub.user import User
    from sqlalchemy import event

    if not _offered:
        start = User.spawn

        @functools.wraps(start)
        async def spawn(
            self: Any, server_name: str = "", display_name: str = "", options: Any = None, handler: Any = None
        ) -> Any:
            if options is not None:
                chosen(_offered[0], options)
            return await start(self, server_name, display_name, options=options, handler=handler)

        body_of = UserServerAPIHandler.get_json_body

        @functools.wraps(body_of)
        def get_json_body(self: Any) -> Any:
            body = body_of(self)
            options = body.get("user_options") if isinstance(body, dict) else None
            if isinstance(options, dict):
                chosen(_offered[0], options)
            return body

        # requests that change a server's record and start nothing: one writes what it got to the log
        UserServerAPIHandler.get_json_body = get_json_body
        event.listen(orm.Spawner.user_options, "set", _only_what_is_offered)
        User.spawn = spawn
    _offered[:] = [tuple(profiles)]
