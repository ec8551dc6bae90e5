"""A recorder at the sockets: every address that a process, and all its children, connect or send to.

Two witnesses who know nothing of each other: the kernel (see `recorded`), for whatever code there is, and Python's
audit events (see `witness/sitecustomize.py`), which also know the names that are looked up. The kernel's is for Linux.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import ipaddress
import json
import os
import platform
import select
import socket
import struct
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.processes import REPO
from tests.support.recorded import NUMBERS

Address = tuple[str, int]

IS_AVAILABLE = sys.platform == "linux" and platform.machine() in NUMBERS
_RECEIVE, _SEND = 0xC0502100, 0xC0182101  # SECCOMP_IOCTL_NOTIF_RECV and _SEND
_CONTINUE = 1  # SECCOMP_USER_NOTIF_FLAG_CONTINUE
_NOTIFICATION = struct.Struct("=QIIiIQ6Q")
_STAYS = (socket.AF_UNSPEC, socket.AF_UNIX, 16)  # no address; this machine; AF_NETLINK, the kernel itself
_MMSGHDR = 64  # bytes of one
_TICK_MS = 50


@dataclass(frozen=True)
class Contact:
    """A call with an address: the family, and for IP the address itself."""

    call: str
    pid: int
    family: int
    address: Address | None


class Recorder:
    """Begin a program with ``launcher`` before its own arguments and ``environment`` added to its own."""

    def __init__(self, folder: Path) -> None:
        self._socket = folder / "recorder"
        self._names = folder / "names.jsonl"
        self._stop = threading.Event()
        self._waiting = socket.socket(socket.AF_UNIX)
        self._waiting.bind(str(self._socket))
        self._waiting.listen()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._error: BaseException | None = None
        self.contacts: list[Contact] = []
        self._numbers = dict(
            zip(NUMBERS[platform.machine()][2], ("connect", "sendto", "sendmsg", "sendmmsg"), strict=True)
        )

    @property
    def launcher(self) -> list[str]:
        """The command that begins another one under the filter."""
        return [sys.executable, "-I", str(REPO / "tests" / "support" / "recorded.py"), str(self._socket)]

    @property
    def environment(self) -> dict[str, str]:
        """What makes the Python processes write down their audit events."""
        return {"PYTHONPATH": str(REPO / "tests" / "support" / "witness"), "WITNESS_FILE": str(self._names)}

    @property
    def addresses(self) -> set[Address]:
        """Every IP address that was connected or sent to, by either witness's word. Fails where one could not see."""
        if self._error is not None:
            raise AssertionError("the recorder went blind") from self._error
        seen = {contact.address for contact in self.contacts if contact.address is not None}
        strange = {c.family for c in self.contacts if c.address is None and c.family not in _STAYS}
        assert not strange, f"sockets of families that nobody expected: {strange}"
        return seen

    @property
    def audited(self) -> set[Address]:
        """The addresses that Python's audit events name."""
        said = (event["arguments"][0] for event in self._events() if event["event"] in _CONTACTS)
        found = (_as_address(one) for one in said)
        return {address for address in found if address is not None}

    @property
    def names(self) -> set[str]:
        """The names that Python code looked up."""
        return {event["arguments"][0] for event in self._events() if event["event"] not in _CONTACTS}

    def _events(self) -> Iterator[dict[str, list[str]]]:
        lines = self._names.read_text().splitlines() if self._names.exists() else []
        return map(json.loads, lines)

    def __enter__(self) -> Recorder:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._waiting.close()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                if select.select([self._waiting], [], [], _TICK_MS / 1000)[0]:
                    with self._waiting.accept()[0] as launcher:
                        _, (listener, *_), _, _ = socket.recv_fds(launcher, 16, 1)
                        launcher.send(b"ok")
                    self._watch(listener)
        except BaseException as error:
            self._error = error
            raise

    def _watch(self, listener: int) -> None:
        """Look at each call until no process is left under the filter, or nobody wants to know any more."""
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        try:
            while not self._stop.is_set():
                for _, event in poll.poll(_TICK_MS):
                    if event & select.POLLHUP:
                        return
                    self._look(listener)
        finally:
            os.close(listener)  # calls that still wait get ENOSYS

    def _look(self, listener: int) -> None:
        said = bytearray(_NOTIFICATION.size)
        try:
            fcntl.ioctl(listener, _RECEIVE, said)
        except OSError as error:
            if error.errno == errno.ENOENT:  # the caller died meanwhile
                return
            raise
        number, pid, _, call, _, _, *arguments = _NOTIFICATION.unpack(said)
        try:
            self.contacts += [
                Contact(self._numbers[call], pid, *_understood(raw))
                for raw in _addresses(pid, self._numbers[call], arguments)
            ]
        finally:
            with contextlib.suppress(FileNotFoundError):
                fcntl.ioctl(listener, _SEND, struct.pack("=QqiI", number, 0, 0, _CONTINUE))


_CONTACTS = ("socket.connect", "socket.sendto")


def _addresses(pid: int, call: str, arguments: list[int]) -> Iterator[bytes]:
    """Yield the raw addresses that a call names; a connected socket names none, and its connect was seen."""
    try:
        with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:

            def read(place: int, size: int) -> bytes:
                memory.seek(place)
                return memory.read(size)

            match call:
                case "connect":
                    yield read(arguments[1], arguments[2])
                case "sendto":
                    if arguments[4]:
                        yield read(arguments[4], arguments[5])
                case _:
                    many = arguments[2] if call == "sendmmsg" else 1
                    for number in range(many):
                        name, length = struct.unpack("=QI", read(arguments[1] + number * _MMSGHDR, 12))
                        if name:
                            yield read(name, length)
    except (FileNotFoundError, ProcessLookupError):  # the process is gone, and its call with it
        return


def _understood(raw: bytes) -> tuple[int, Address | None]:
    family = struct.unpack_from("=H", raw)[0]
    if family == socket.AF_INET:
        return family, (str(ipaddress.IPv4Address(raw[4:8])), struct.unpack_from("!H", raw, 2)[0])
    if family == socket.AF_INET6:
        host = ipaddress.IPv6Address(raw[8:24])
        return family, (str(host.ipv4_mapped or host), struct.unpack_from("!H", raw, 2)[0])
    return family, None


def _as_address(said: str) -> Address | None:
    """Return an address as the audit event writes it, None for a path of a local socket."""
    if not said.startswith("("):
        return None
    host, port, *_ = said.strip("()").split(", ")
    return host.strip("'"), int(port)


@contextlib.contextmanager
def recorder(folder: Path) -> Iterator[Recorder]:
    """Run a recorder while the block runs; its files are in ``folder``."""
    with Recorder(folder) as running:
        yield running
