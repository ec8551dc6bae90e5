"""The HTTP under the stand-ins for a forge: a threaded server, and one request with its answer."""

from __future__ import annotations

import base64
import binascii
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any, Self
from urllib.parse import parse_qs

BLOCK = 65536


@dataclass(frozen=True)
class Asked:
    """A request as it is remembered: who it was, never with which token."""

    method: str
    path: str  # without the query
    query: dict[str, str]
    login: str | None
    status: int
    body: Any = None  # of an API: what was sent, as JSON or form
    headers: dict[str, str] = field(default_factory=dict)  # in small letters, without Authorization

    @property
    def service(self) -> str | None:
        """``git-upload-pack`` or ``git-receive-pack`` of a request of git, also when it only asks for the refs."""
        last = self.path.rsplit("/", 1)[-1]
        return self.query.get("service") if last == "refs" else last if last.startswith("git-") else None


class Listening:
    """A server on 127.0.0.1 in a thread of its own; use it as a context manager, or call ``close``.

    ``url`` is its address, ``requests`` what it was asked; ``down`` makes it reset each connection.
    ``certificate``: a PEM file with certificate and key, for https.
    """

    def __init__(self, certificate: Path | None = None) -> None:
        self.requests: list[Asked] = []
        self.down = False
        self.closing = threading.Event()
        self.open: set[socket.socket] = set()
        self._server = _Server(("127.0.0.1", 0), type("Handler", (Exchange,), {"server_": self}))
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            plain = self._server.socket
            self._server.socket = context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def host(self) -> str:
        """Its host and port, as a remote's address names it."""
        return self.url.partition("://")[2]

    def answer(self, exchange: Exchange) -> None:
        """Answer one request."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop, and end what is still being answered."""
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)
        for connection in list(self.open):
            shut(connection)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def shutdown_request(self, request: Any) -> None:
        self.close_request(request)  # no farewell: a connection that was reset stays so

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client that left, or one that this server cut off


class Exchange(BaseHTTPRequestHandler):
    """One request and its answer. What is mounted uses the parts without an underscore."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server_: Listening
    location = ""  # the path, without the query and with its escapes
    query: dict[str, str] = {}

    def setup(self) -> None:
        self.server_.open.add(self.request)
        super().setup()

    def finish(self) -> None:
        try:
            super().finish()
        finally:
            self.server_.open.discard(self.request)

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def respond(self) -> None:
        """Answer one request."""
        if self.server_.down:
            self.close_connection = True
            return shut(self.connection, at_once=True)
        self.location, _, query = self.path.partition("?")
        self.query = {name: values[-1] for name, values in parse_qs(query, keep_blank_values=True).items()}
        return self.server_.answer(self)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = respond

    def token(self) -> str | None:
        """Return the token that was sent, by whichever scheme."""
        scheme, _, value = self.headers.get("Authorization", "").partition(" ")
        if scheme.lower() in ("bearer", "token"):
            return value.strip()
        if scheme.lower() != "basic":
            return None
        try:
            user, _, password = base64.b64decode(value).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return ""
        return password or user

    def body(self, into: IO[bytes] | None = None, limit: int | None = None) -> bytes:
        """Read the body, of a known length or in chunks, up to ``limit`` bytes; return it, or write it to a file."""
        kept: list[bytes] = []
        taken = 0
        for block in self._blocks():
            taken += len(block)
            into.write(block) if into is not None else kept.append(block)
            if limit is not None and taken >= limit:
                break
        return b"".join(kept)

    def _blocks(self) -> Iterable[bytes]:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while size := int(self.rfile.readline().split(b";")[0], 16):
                while size:
                    block = self.rfile.read(min(size, BLOCK))
                    if not block:
                        raise ConnectionError("the client left in mid-chunk")
                    size -= len(block)
                    yield block
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass  # trailers
            return
        left = int(self.headers.get("Content-Length") or 0)
        while left:
            block = self.rfile.read(min(left, BLOCK))
            if not block:
                raise ConnectionError("the client left in mid-body")
            left -= len(block)
            yield block

    def send(self, status: int, body: bytes, kind: str, headers: Mapping[str, str] | None = None) -> None:
        """Send a whole answer."""
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def remember(self, login: str | None, status: int, body: Any = None) -> None:
        """Note what was asked, without the token."""
        headers = {name.lower(): value for name, value in self.headers.items() if name.lower() != "authorization"}
        self.server_.requests.append(Asked(self.command, self.location, self.query, login, status, body, headers))

    def break_off(self, kind: str) -> None:
        """Break the connection off in mid-answer, as a network does.

        Without the begin of an answer libcurl would quietly ask again, if it had used the connection before.
        """
        self.close_connection = True
        self.wfile.write(f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: 1000\r\n\r\n".encode())
        shut(self.connection)


def shut(connection: socket.socket, *, at_once: bool = False) -> None:
    try:
        if at_once:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


def certificate(folder: Path) -> Path:
    """Make a certificate for 127.0.0.1 and localhost, and return the PEM file with it and its key."""
    pem, key = folder / "server.pem", folder / "server.key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key), "-out", str(pem)),
        ],
        check=True,
        capture_output=True,
    )
    pem.write_bytes(key.read_bytes() + pem.read_bytes())
    return pem
