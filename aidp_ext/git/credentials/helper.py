"""What git runs to be told a token: it asks the Jupyter server, over a socket that only its owner reaches.

Run as ``python -I -S helper.py get``: the standard library alone, since git waits for it each time. A server that is
not there is no error: git then goes on as if there were no helper.
"""

import _socket  # what `socket` is made of: loading that takes longer than all else that is done here
import os
import sys

_LONGEST = 16384  # bytes, of a question and of an answer
_PATIENCE_S = 75.0  # a token may have to be renewed by way of the hub


def main() -> int:
    """Pass git's question on, and the answer back; return the exit status, which is always 0."""
    action, place = sys.argv[-1], os.environ.get("AIDP_CRED_SOCK")
    if action not in ("get", "erase") or not place:  # nothing is ever stored: the server knows the tokens
        return 0
    try:
        asked = sys.stdin.buffer.read(_LONGEST)
        server = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        server.settimeout(_PATIENCE_S)
        server.connect(place)
        server.sendall(action.encode() + b"\n" + asked)
        server.shutdown(_socket.SHUT_WR)
        answer = b""
        while len(answer) < _LONGEST and (part := server.recv(_LONGEST)):
            answer += part
        server.close()
    except OSError:
        return 0
    for line in answer.decode(errors="replace").splitlines():
        name, _, value = line.partition("=")
        if name in ("username", "password", "password_expiry_utc"):
            sys.stdout.write(f"{name}={value}\n")
        elif name == "message":
            sys.stderr.write(f"aidp: {value}\n")
            sys.stdout.write("quit=1\n")  # else git would ask, and a cell of a notebook would wait for ever
    return 0


if __name__ == "__main__":
    sys.exit(main())
