"""Runs in a kernel of a user's, in their container: tries what a hostile user would, and prints what came of it.

It is sent as text; ``PLACES`` and ``NEIGHBOUR`` are put before it.
"""

# ruff: noqa: F821, PTH110, PTH111, PTH123, PTH207, PTH208
import ctypes
import errno
import glob
import json
import os
import socket
import threading

PLACES: list[str]


def outcome(attempt):
    """``done``, or the name of the error."""
    try:
        attempt()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    return "done"


def write(path):
    with open(path, "w") as file:
        file.write("x")


def connect(place):
    address, _, port = place.rpartition(":")
    with socket.socket() as tried:
        tried.settimeout(3)
        tried.connect((address, int(port)))


def call(number, *words):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(number, *words) < 0:
        raise OSError(ctypes.get_errno(), "")


def read(*paths):
    for path in paths:
        if os.path.exists(path):
            with open(path) as file:
                return file.read()
    return ""


def threads_until_refused(most):
    """How many threads the machine gives before it refuses one."""
    done, started = threading.Event(), []
    threading.stack_size(64 * 1024)
    try:
        while len(started) < most:
            thread = threading.Thread(target=done.wait, daemon=True)
            thread.start()
            started.append(thread)
    except RuntimeError:
        pass
    finally:
        done.set()
    for thread in started:
        thread.join()
    return len(started)


home = os.path.expanduser("~")
status = dict(line.split(":\t", 1) for line in read("/proc/self/status").splitlines() if ":\t" in line)
print(
    json.dumps(
        {
            "uid": os.getuid(),
            "status": {name: status[name].strip() for name in ("CapEff", "CapBnd", "CapPrm", "NoNewPrivs", "Seccomp")},
            "not to be written": {
                path: outcome(lambda path=path: write(path))
                for path in ("/x", "/etc/x", "/usr/bin/x", "/opt/aidp/bin/x", "/proc/sys/kernel/hostname", "/sys/x")
            },
            "to be written": {
                path: outcome(lambda path=path: write(path))
                for path in (f"{home}/x", "/tmp/x", "/dev/shm/x", f"{home}/projects/shared/x")
            },
            "projects": sorted(os.listdir(f"{home}/projects")),
            "read only": outcome(lambda: write(f"{home}/projects/analysts-data/x")),
            "rights": {
                "mount": outcome(lambda: call(165, b"none", b"/tmp", b"tmpfs", 0, 0)),
                "unshare a user namespace": outcome(lambda: call(272, 0x10000000)),
                "load a module": outcome(lambda: call(175, 0, 0, b"")),
                "make a device": outcome(lambda: os.mknod("/tmp/disk", 0o60666, os.makedev(8, 0))),
                "become root": outcome(lambda: os.setuid(0)),
                "a raw socket": outcome(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)),
            },
            "engine sockets": glob.glob("/var/run/*docker*")
            + glob.glob("/run/*docker*")
            + glob.glob("/run/containerd*"),
            "reach": {place: outcome(lambda place=place: connect(place)) for place in PLACES},
            "server's environment": read("/proc/1/environ").split("\0"),
            "kernel's environment": dict(os.environ),
            "memory": read("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes").strip(),
            "memory with swap": read(
                "/sys/fs/cgroup/memory.swap.max", "/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes"
            ).strip(),
            "cpu": read("/sys/fs/cgroup/cpu.max", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us").strip(),
            "threads": threads_until_refused(1500),
        }
    )
)
