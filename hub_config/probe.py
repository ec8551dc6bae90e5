"""What a user's container can reach, tried from inside one: `aidp hub check` runs it. Standard library only.

``python -c <this file> <address:port> …`` prints one JSON object: by address, ``open``, ``refused`` or ``unreachable``.
``python -c <this file> listen`` listens on port 8888 until it is ended.
"""

import errno
import json
import socket
import sys
from concurrent.futures import ThreadPoolExecutor

PATIENCE_S = 2.0


def reach(place: str) -> str:
    """Whether something listens there, nothing does, or there is no way."""
    address, _, port = place.rpartition(":")
    with socket.socket() as probe:
        probe.settimeout(PATIENCE_S)
        try:
            probe.connect((address, int(port)))
        except OSError as error:
            return "refused" if error.errno == errno.ECONNREFUSED else "unreachable"
        return "open"


def listen() -> None:
    """Take connections, for a neighbour to try."""
    with socket.create_server(("", 8888)) as server:
        while True:
            server.accept()[0].close()


if __name__ == "__main__":
    if sys.argv[1:] == ["listen"]:
        listen()
    with ThreadPoolExecutor(16) as threads:
        found = list(threads.map(reach, sys.argv[1:]))
    sys.stdout.write(json.dumps(dict(zip(sys.argv[1:], found, strict=True))))
