"""Keeps users' containers from a cloud's metadata addresses, whatever else they reach. Standard library only.

Run inside a short-lived container in the host's network: it adds rules to the host's routing, by which packets that
come in from the users' bridge for those addresses are refused. Names are still resolved there: some clouds' resolvers
have such an address. ``python -c <this file> add|remove <bridge>`` says how many rules it changed.
"""

import errno
import os
import socket
import struct
import sys

# linux/rtnetlink.h, linux/fib_rules.h
KINDS = {"add": 32, "remove": 33}
REQUEST, ACK, EXCLUSIVE, CREATE = 1, 4, 0x200, 0x400
DST, IIF, PRIORITY, TABLE, ORIGIN, PROTOCOL, PORTS = 1, 3, 6, 15, 21, 22, 24
TO_TABLE, PROHIBIT, MAIN = 1, 8, 254
KERNEL = 2
"""As whose the rules are added: systemd-networkd takes away all others that are not its own, each time it restarts."""

#: The clouds' own: link-local (AWS, Google, Azure, OpenStack, DigitalOcean, Oracle), Alibaba's, Azure's wire server.
ADDRESSES = (("169.254.0.0", 16), ("100.100.100.200", 32), ("168.63.129.16", 32))
FIRST = 117  # before everything that an admin usually has, after the machine's own addresses (0)


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute of a message, filled up to four bytes."""
    data = struct.pack("HH", 4 + len(value), kind) + value
    return data + b"\0" * (-len(data) % 4)


def rules(bridge: str, origin: "int | None" = None) -> "list[bytes]":
    """The rules as the kernel is told of them: what is let through to resolvers first, then what is refused.

    Without ``origin`` they stand for rules of any.
    """
    found = []
    for address, bits in ADDRESSES:
        for protocol in (socket.IPPROTO_UDP, socket.IPPROTO_TCP, None):
            table, action = (MAIN, TO_TABLE) if protocol else (0, PROHIBIT)
            rule = struct.pack("BBBBBBBBI", socket.AF_INET, bits, 0, 0, table, 0, 0, action, 0)
            rule += attribute(DST, socket.inet_aton(address)) + attribute(IIF, bridge.encode() + b"\0")
            rule += attribute(PRIORITY, struct.pack("I", FIRST if protocol else FIRST + 1))
            if origin is not None:
                rule += attribute(ORIGIN, bytes([origin]))
            if protocol:
                rule += attribute(PROTOCOL, bytes([protocol])) + attribute(PORTS, struct.pack("HH", 53, 53))
            found.append(rule)
    return found


def change(what: str, bridge: str) -> int:
    """Add the rules that are missing, or remove those that are there; how many those were. Raises OSError."""
    changed = 0
    flags = REQUEST | ACK | (CREATE | EXCLUSIVE if what == "add" else 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as link:
        link.bind((0, 0))
        for rule in rules(bridge, KERNEL if what == "add" else None):
            is_done = False
            while not is_done:
                link.send(struct.pack("IHHII", 16 + len(rule), KINDS[what], flags, 1, 0) + rule)
                (code,) = struct.unpack_from("i", link.recv(65536), 16)
                if code and -code not in (errno.EEXIST, errno.ENOENT):
                    raise OSError(-code, os.strerror(-code))
                changed += not code
                is_done = bool(code) or what == "add"  # an earlier release's rule may be there as well
    return changed


if __name__ == "__main__":
    try:
        sys.stdout.write(str(change(*sys.argv[1:])))
    except OSError as error:
        sys.exit(f"{error.strerror}")
