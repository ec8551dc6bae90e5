"""Starts a program under a kernel filter that tells another process of every contact. ``recorded.py SOCKET ARGV…``.

The filter (seccomp with user notification, Linux 5.5) holds for the program and all its children, whatever they are
written in: each ``connect``, ``sendto``, ``sendmsg`` and ``sendmmsg`` waits until the process at SOCKET has looked at
its address. io_uring, which would pass by the filter, is as if the kernel did not have it, and so are the calls of
other architectures. No rights are needed. Source: seccomp_unotify(2), and linux/seccomp.h, linux/filter.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import socket
import struct
import sys
import threading

#: By machine: AUDIT_ARCH, seccomp(2), then connect, sendto, sendmsg, sendmmsg and io_uring_setup.
NUMBERS = {
    "x86_64": (0xC000003E, 317, (42, 44, 46, 307), 425),
    "aarch64": (0xC00000B7, 277, (203, 206, 211, 269), 425),
}
_ALLOW, _NOTIFY, _REFUSE = 0x7FFF0000, 0x7FC00000, 0x00050000 | errno.ENOSYS
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_X32 = 0x40000000  # from here on, numbers of x86-64's other calls
_PR_SET_NO_NEW_PRIVS, _SET_MODE_FILTER, _NEW_LISTENER = 38, 1, 8


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]


def _filter(architecture: int, calls: tuple[int, ...], io_uring_setup: int) -> bytes:
    """Return the program that the kernel runs for each call; it reads ``struct seccomp_data``."""

    def step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
        return struct.pack("=HBBI", code, if_true, if_false, value)

    steps = [step(_LOAD, 4), step(_EQUAL, architecture, 1), step(_RETURN, _REFUSE), step(_LOAD, 0)]
    steps += [step(_AT_LEAST, _X32, 0, 1), step(_RETURN, _REFUSE)]
    steps += [step(_EQUAL, io_uring_setup, 0, 1), step(_RETURN, _REFUSE)]
    for call in calls:
        steps += [step(_EQUAL, call, 0, 1), step(_RETURN, _NOTIFY)]
    return b"".join([*steps, step(_RETURN, _ALLOW)])


def _install() -> int:
    """Install the filter for this thread alone, and return the descriptor at which its notifications are read."""
    architecture, seccomp, calls, io_uring_setup = NUMBERS[platform.machine()]
    libc = ctypes.CDLL(None, use_errno=True)
    program = _filter(architecture, calls, io_uring_setup)
    handed = _Program(len(program) // 8, program)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    listener: int = libc.syscall(seccomp, _SET_MODE_FILTER, _NEW_LISTENER, ctypes.byref(handed))
    if listener < 0:
        raise OSError(ctypes.get_errno(), "seccomp")
    return listener


def main(where: str, argv: list[str]) -> None:
    """Become ``argv``, under the filter."""
    installed, may_go = threading.Event(), threading.Event()
    found: list[int | OSError] = []

    def become() -> None:
        try:
            found.append(_install())
        except OSError as error:
            found.append(error)
        installed.set()
        may_go.wait()
        os.execvp(argv[0], argv)  # the filter of this thread becomes that of the whole process

    threading.Thread(target=become, daemon=True).start()
    installed.wait()
    if not isinstance(found[0], int):
        raise found[0]
    # This thread is not filtered: it can hand over the descriptor that somebody must answer first.
    with socket.socket(socket.AF_UNIX) as supervisor:
        supervisor.connect(where)
        socket.send_fds(supervisor, [b"listener"], [found[0]])
        supervisor.recv(2)
    os.close(found[0])
    may_go.set()
    threading.Event().wait()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
