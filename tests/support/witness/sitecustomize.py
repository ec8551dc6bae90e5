"""The second witness: Python's own audit events, written down by every Python process that finds this on its path."""

import json
import os
import sys
from typing import Any

_EVENTS = ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.connect", "socket.sendto")


def _write(event: str, arguments: tuple[Any, ...]) -> None:
    if event in _EVENTS:
        said = [str(argument) for argument in arguments if not hasattr(argument, "fileno")]
        line = json.dumps({"event": event, "pid": os.getpid(), "arguments": said}) + "\n"
        file = os.open(os.environ["WITNESS_FILE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(file, line.encode())
        finally:
            os.close(file)


if "WITNESS_FILE" in os.environ:
    sys.addaudithook(_write)
