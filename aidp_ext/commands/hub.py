"""``aidp hub``: check the machine, then run JupyterHub until Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import errno
import fcntl
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import closing, suppress
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import IO
from urllib.parse import urlsplit

import aiohttp

from aidp_ext.core.errors import AidpError
from hub_config.network import cookie_secret, database, find_proxy, proxy_pid
from hub_config.passwords import PasswordFile, needed_passwords
from hub_config.settings import Settings, SettingsError
from hub_config.supervise import Ending, supervise

OLDEST_NODE = 20


class CannotStart(AidpError):
    """Something on this machine has to be put right first; ``code`` says what, ``message`` how."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def run(args: argparse.Namespace) -> int:
    """Run the hub until it is asked to stop, and end it whole.

    Takes ``args.port`` (None: as the environment says) and ``args.new_password``. Returns 0 for a stop in good order,
    1 for a hub that failed and 2, before anything starts, for one that cannot.
    """
    environ = dict(os.environ)
    if args.port is not None:
        environ["AIDP_HUB_PORT"] = str(args.port)
    try:
        settings = Settings.from_env(environ)
        if args.new_password and not settings.is_local:
            raise SettingsError(f"--new-password is for the local sign-in, but the one with {settings.provider} is on.")
        config_file = check_machine(settings)
        with hold_state(settings), closing(open_log(settings)) as log:
            ready = hub_engine().make_ready(settings)
            for note in filter(None, [ready.note, hub_engine().without_live(ready.settings)]):
                say(f"aidp: {note}", to=sys.stderr)
            return serve(ready.settings, environ, config_file, log, new_password=args.new_password)
    except AidpError as error:
        say(f"aidp: {error.code}: {error.message}", to=sys.stderr)
        if error.next_step:
            say(f"  → {error.next_step}", to=sys.stderr)
        return 2


def hub_engine() -> ModuleType:
    """What makes the container engine ready; imported once it is known that its parts are installed."""
    from aidp_ext.commands import hub_engine as module

    return module


def serve(
    settings: Settings, environ: Mapping[str, str], config_file: Path, log: IO[bytes], *, new_password: bool
) -> int:
    """Run JupyterHub on a machine that has been checked; returns the command's exit status."""
    forget_processes(settings)
    if new_password:
        end_sessions(settings)
    made = {file: file.make() for file in needed_passwords(settings) if new_password or not file.path.exists()}
    for file in needed_passwords(settings):
        file.read()
    shown = False

    def on_ready() -> None:
        nonlocal shown
        shown = True
        say(welcome(settings, made))

    ending = asyncio.run(
        supervise(
            [sys.executable, "-P", "-m", "jupyterhub", "-f", str(config_file)],
            hub_environment(settings, environ),
            log,
            ready=lambda: until_answering(f"{settings.local_url}hub/health", urlsplit(settings.public_url).netloc),
            on_ready=on_ready,
            on_stop=lambda: say(f"\nStopping the hub{_and_servers(settings)} (Ctrl-C again ends it at once)"),
        )
    )
    if not shown:  # a password that nobody has seen is made anew at the next start
        for file in made:
            file.path.unlink(missing_ok=True)
    if ending in (Ending.CRASHED, Ending.NEVER_READY):
        say(f"aidp: hub_failed: JupyterHub ended {ending.value}; its log is {log_path(settings)}", to=sys.stderr)
        say(last_errors(log_path(settings)), to=sys.stderr)
    if settings.containers.spawner == "docker" and (left := hub_engine().left_running(settings)):
        say(left)
    return 0 if ending in (Ending.STOPPED, Ending.FORCED) else 1


def _and_servers(settings: Settings) -> str:
    return "" if settings.containers.spawner == "docker" else " and its servers"


def say(text: str, to: IO[str] | None = None) -> None:
    """Write a line for the person at the terminal, at once."""
    with suppress(OSError):  # the terminal may be gone, and the hub has to end in order all the same
        print(text, file=to or sys.stdout, flush=True)


# what has to be in place


def check_machine(settings: Settings) -> Path:
    """Check what the hub needs on this machine; returns the configuration file, raises CannotStart."""
    check_packages(settings)
    check_node()
    check_proxy()
    check_state_dir(settings.state_dir)
    check_port(settings)
    return find_config_file()


def check_packages(settings: Settings) -> None:
    """Raise CannotStart where a package is missing that these settings need."""
    # Lab itself is in the containers' image; where they are not asked for, it is needed here too
    lab = [] if settings.containers.spawner == "docker" else ["jupyterlab"]
    for module in ("jupyterhub", "dockerspawner", *lab, *([] if settings.is_local else ["oauthenticator"])):
        if find_spec(module) is None:
            raise CannotStart(
                "no_jupyterhub", f"{module} is not installed; run `make hub`, or `pip install 'aidp-ext[lab,hub]'`."
            )


def check_proxy() -> None:
    """Raise CannotStart without JupyterHub's proxy."""
    if find_proxy() is None:
        raise CannotStart(
            "no_proxy",
            "JupyterHub's proxy is not installed; run `make hub`, or `npm install -g configurable-http-proxy`.",
        )


def check_node() -> None:
    """Raise CannotStart without a Node that is new enough for the proxy."""
    node = shutil.which("node")
    if node is None:
        raise CannotStart(
            "no_node", f"Node.js is not installed; install version {OLDEST_NODE} or newer from https://nodejs.org."
        )
    try:
        answer = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=30, check=True)
        version = answer.stdout.strip()
        major = int(version.lstrip("v").split(".")[0])
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise CannotStart("no_node", f"{node} does not run; install Node.js again from https://nodejs.org.") from error
    if major < OLDEST_NODE:
        raise CannotStart(
            "no_node", f"Node.js {version} is too old; install {OLDEST_NODE} or newer from https://nodejs.org."
        )


def check_state_dir(folder: Path) -> None:
    """Make the state folder, for its owner only; raises CannotStart where it cannot be written."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise CannotStart(
            "state_not_writable",
            f"The hub cannot keep its state in {folder} ({error.strerror}); "
            "set AIDP_STATE_DIR to a folder that you may write to.",
        ) from error


def check_port(settings: Settings) -> None:
    """Raise CannotStart where the hub could not listen."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        where = f"{settings.host}:{settings.port}"
        if error.errno == errno.EADDRINUSE:
            raise CannotStart(
                "port_in_use",
                f"Another program listens on {where}; stop it, or choose another port with `aidp hub --port` "
                "or AIDP_HUB_PORT.",
            ) from error
        raise CannotStart(
            "port_not_usable",
            f"The hub cannot listen on {where} ({error.strerror}); change AIDP_HUB_HOST or AIDP_HUB_PORT.",
        ) from error


def find_config_file() -> Path:
    """The configuration beside the package in a checkout, else the installed one; raises CannotStart."""
    name = "jupyterhub_config.py"
    places = (Path(__file__).resolve().parents[2] / name, Path(sys.prefix, "share", "aidp", name))
    for place in places:
        if place.is_file():
            return place
    raise CannotStart("no_jupyterhub", f"{places[-1]} is missing; install aidp-ext again.")


# what is kept


def hold_state(settings: Settings) -> IO[bytes]:
    """Hold the state folder for this hub alone, until the file is closed; raises CannotStart."""
    file = os.fdopen(os.open(settings.state_dir / "lock", os.O_WRONLY | os.O_CREAT, 0o600), "wb")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise CannotStart(
            "state_in_use",
            f"Another hub keeps its state in {settings.state_dir}; stop it, or set AIDP_STATE_DIR to another folder.",
        ) from error
    return file


def log_path(settings: Settings) -> Path:
    """The file that everything the hub and its parts say goes to."""
    return settings.state_dir / "hub.log"


def open_log(settings: Settings) -> IO[bytes]:
    """A new log, readable by its owner only; the log of the start before is kept beside it."""
    path = log_path(settings)
    if path.exists():
        path.replace(path.with_suffix(".log.1"))
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb")


def last_errors(path: Path) -> str:
    """The last few lines of a log that JupyterHub itself marked as errors."""
    lines = path.read_text(errors="replace").splitlines()
    return "\n".join([line for line in lines if line.startswith(("[E ", "[C ")) and " JupyterHub " in line][-3:])


def end_sessions(settings: Settings) -> None:
    """Make every cookie and every token worthless that was given out under the old password."""
    cookie_secret(settings).unlink(missing_ok=True)
    change_records(
        settings,
        api_tokens="DELETE FROM api_tokens WHERE user_id IS NOT NULL",
        oauth_codes="DELETE FROM oauth_codes",
    )
    if settings.containers.spawner == "docker":
        with hub_engine().engine_of(settings) as engine:
            engine.end_servers()  # they would go on with a token that is worth nothing


def forget_processes(settings: Settings) -> None:
    """Drop the process numbers that an earlier hub wrote down; containers are found again by their names.

    On Linux its processes ended with it, and a number may since have become another program's, after a power cut or in
    a container, which JupyterHub would then end. Elsewhere a server may have outlived a crash, and JupyterHub finds it.
    """
    if sys.platform == "linux":
        proxy_pid(settings).unlink(missing_ok=True)
        change_records(
            settings, spawners="UPDATE spawners SET state = NULL WHERE json_extract(state, '$.pid') IS NOT NULL"
        )


def change_records(settings: Settings, **statements: str) -> None:
    """Change tables of JupyterHub's records while no hub runs, those that are there; raises CannotStart."""
    path = database(settings)
    if not path.exists():
        return
    try:
        with closing(sqlite3.connect(path)) as records, records:
            there = {name for (name,) in records.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            for table in there & statements.keys():
                records.execute(statements[table])
    except sqlite3.Error as error:
        raise CannotStart(
            "state_damaged",
            f"JupyterHub's records in {path} cannot be used ({error}); move the file away to start with new ones.",
        ) from error


# what is run and said


def hub_environment(settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of JupyterHub: ours, where programs of this installation are found first."""
    return {
        **environ,
        "AIDP_STATE_DIR": str(settings.state_dir),
        "AIDP_SPAWNER": settings.containers.spawner,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), environ.get("PATH", os.defpath)]),
    }


async def until_answering(url: str, host: str) -> None:
    """Return once ``url`` answers with 200 to who asks for ``host``, by which the proxy may go."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
        while True:
            try:
                async with session.get(url, headers={"Host": host}, allow_redirects=False) as response:
                    if response.status == 200:
                        return
            except (aiohttp.ClientError, TimeoutError):
                pass
            await asyncio.sleep(0.25)


def welcome(settings: Settings, made: Mapping[PasswordFile, str]) -> str:
    """What the terminal says when the hub is ready; a new password is shown here once, and in no log."""
    return "\n".join(
        [
            f"aidp hub is ready: {settings.public_url}",
            "",
            *(f"  {label:<9} {text}" for label, text in sign_in(settings, made)),
            *(f"  {label:<9} {text}" for label, text in servers(settings)),
        ]
    )


def servers(settings: Settings) -> list[tuple[str, str]]:
    """How users' servers run, and what a stop does, as labelled lines."""
    if settings.containers.spawner == "docker":
        kind = settings.containers
        runs = f"a container for each, from {kind.image}, homes in volumes {kind.prefix}-home-…"
        stop = "Ctrl-C stops it; users' servers go on, and the next start finds them"
    else:
        runs = f"a local process for each user, homes in {settings.state_dir / 'homes'}; this machine only"
        stop = "Ctrl-C stops it, with every server"
    return [("servers", runs), ("log", str(log_path(settings))), ("stop", stop)]


def sign_in(settings: Settings, made: Mapping[PasswordFile, str]) -> list[tuple[str, str]]:
    """Who signs in and how, as labelled lines."""
    if not settings.is_local:
        return [("sign in", f"with {settings.provider}: {', '.join(settings.who_may_enter)}")]
    users = ", ".join(sorted(settings.allowed_users - settings.admin_users)) or "any name"
    names = [users, ", ".join(sorted(settings.admin_users))]
    lines = []
    for file, who_may in zip(needed_passwords(settings), names, strict=False):
        lines.append(("sign in", f"as {who_may}, with the password {_where(file, made)}"))
    return lines


def _where(file: PasswordFile, made: Mapping[PasswordFile, str]) -> str:
    """The password itself the first time; afterwards where it is kept."""
    if file in made:
        return f"{made[file]}\n{'':<12}(shown this once; kept in {file.path})"
    return f"in {file.path}\n{'':<12}(`aidp hub --new-password` makes a new one)"
