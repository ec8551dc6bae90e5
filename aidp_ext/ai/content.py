"""The content of calls, where an admin wants it kept: one encrypted file a call, beside the audit record.

Content is sealed for the holder of a private key: the server has only the public one and cannot read what it wrote.
Each file begins with an X25519 key made for it alone; the two keys' secret, through HKDF, encrypts the rest with
ChaCha20-Poly1305 (RFC 7748, 5869, 8439), the call's id bound to it.
"""

from __future__ import annotations

import base64
import binascii
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from aidp_ext.core.errors import StorageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

log = logging.getLogger("aidp")

_PUBLIC, _PRIVATE = "aidp-content-public:", "aidp-content-private:"
_KEY = 32
_NONCE = bytes(12)  # each key is used once


class ContentVault:
    """Seals what calls held into a folder. ``public_key`` as `new_keys` makes it; raises StorageError for another."""

    def __init__(self, folder: Path, public_key: str) -> None:
        self._folder = folder
        self._public = _raw(public_key, _PUBLIC)

    @classmethod
    def from_file(cls, folder: Path, key_file: Path) -> ContentVault:
        """Return the vault for the public key in a file. Raises StorageError."""
        try:
            return cls(folder, key_file.read_text().strip())
        except OSError as error:
            raise StorageError(
                f"The key for audited content cannot be read: {error.strerror}.",
                next_step="Make one with `aidp audit new-key`, or leave audit_content_key_file empty.",
            ) from error

    def keep(self, call_id: str, request: Any, answer: bytes) -> None:
        """Keep a call's content. Raises StorageError where that fails."""
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

        own = X25519PrivateKey.generate()
        own_public = own.public_key().public_bytes_raw()
        cipher = _cipher(own.exchange(X25519PublicKey.from_public_bytes(self._public)), own_public, self._public)
        plain = msgspec.json.encode({"request": request, "answer": answer.decode(errors="replace")})
        sealed = own_public + cipher.encrypt(_NONCE, plain, call_id.encode())
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            fd = os.open(self._folder / f"{call_id}.sealed", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "wb") as file:
                file.write(sealed)
        except OSError as error:
            raise StorageError(f"The content of a call cannot be kept: {error.strerror}.") from error


def new_keys() -> tuple[str, str]:
    """Return a fresh pair: the public key for the server, and the private one for whoever may read."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    key = X25519PrivateKey.generate()
    public = base64.b64encode(key.public_key().public_bytes_raw()).decode()
    return _PUBLIC + public, _PRIVATE + base64.b64encode(key.private_bytes_raw()).decode()


def open_sealed(file: Path, private_key: str) -> dict[str, Any]:
    """Return what a file holds: ``request`` and ``answer``. Raises StorageError for another key or a changed file."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

    key = X25519PrivateKey.from_private_bytes(_raw(private_key, _PRIVATE))
    try:
        sealed = file.read_bytes()
        theirs, rest = sealed[:_KEY], sealed[_KEY:]
        secret = key.exchange(X25519PublicKey.from_public_bytes(theirs))
        plain = _cipher(secret, theirs, key.public_key().public_bytes_raw()).decrypt(_NONCE, rest, file.stem.encode())
    except OSError as error:
        raise StorageError(f"{file.name} cannot be read: {error.strerror}.") from error
    except (InvalidTag, ValueError) as error:
        raise StorageError(f"{file.name} was sealed for another key, or changed.") from error
    found: dict[str, Any] = msgspec.json.decode(plain)
    return found


def _raw(key: str, kind: str) -> bytes:
    try:
        raw = base64.b64decode(key.strip().removeprefix(kind), validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if not key.strip().startswith(kind) or len(raw) != _KEY:
        raise StorageError(f"This is no key of the form {kind}…", next_step="`aidp audit new-key` makes a pair.")
    return raw


def _cipher(secret: bytes, sender: bytes, receiver: bytes) -> ChaCha20Poly1305:
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    key = HKDF(SHA256(), _KEY, salt=sender + receiver, info=b"aidp content").derive(secret)
    return ChaCha20Poly1305(key)
