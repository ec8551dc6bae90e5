"""Where keys and tokens of the user's are kept: in the system's keyring, or in an encrypted file where there is none.

The file is encrypted with a key that lies beside it, both readable by their owner alone. That protects a copy of the
one without the other, such as a file that gets into a repository; it protects from nobody who can read both.

Every method may block, on a keyring that asks to be unlocked up to a minute: an async service calls them in a thread.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from aidp_ext.core.errors import InvalidRequest, StorageError

log = logging.getLogger("aidp")
T = TypeVar("T")

Kind = Literal["keyring", "file"]
Source = Literal["keyring", "file", "none"]

_PROVIDER = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
KEY = "[!-~]{8,4096}"  # printable ASCII without space: it becomes an HTTP header
#: Seconds that the keyring has to show that it is there: a headless machine's may wait for a window that never opens.
PROBE_S = 3.0
#: Seconds for what may ask the user to unlock it.
ANSWER_S = 60.0


class KeyStore:
    """The keys of one user, by the name of the provider. Several processes may use one folder."""

    def __init__(self, folder: Path, *, otherwise: str = ", or put the key into .env") -> None:
        """``otherwise`` ends the advice to unlock the keyring: what else would do."""
        self._folder = folder
        self._otherwise = otherwise
        self._file = _EncryptedFile(folder)
        self._mark = folder / "keys.used"
        self._service = f"aidp ({folder.absolute()})"
        self._keyring: Any = None
        self._is_known = False
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"KeyStore({str(self._folder)!r})"

    @property
    def kind(self) -> Kind:
        """Where a key is put from now on."""
        return "file" if self._backend() is None else "keyring"

    @property
    def was_used(self) -> bool:
        """Whether a key was ever kept here; where not, looking for one is not worth loading what it takes."""
        return self._mark.exists() or self._file.exists()

    def get(self, provider: str) -> str | None:
        """Return the key of a provider, or None. Raises StorageError where the store cannot be read."""
        return self._find(provider)[0]

    def source(self, provider: str) -> Source:
        """Return where the key of a provider is. Raises StorageError where the store cannot be read."""
        return self._find(provider)[1]

    def set(self, provider: str, key: str) -> None:
        """Keep a key. Raises InvalidRequest for what is no key, StorageError where it cannot be kept."""
        _check_provider(provider)
        if not re.fullmatch(KEY, key):
            raise InvalidRequest(
                "That is no key: one has 8 to 4096 letters, digits and signs, without spaces and line breaks.",
                next_step="Copy it again from the provider's page.",
                field="key",
            )
        backend = self._backend()
        if backend is None:
            self._file.change({provider: key})
            return
        self._answered(lambda: backend.set_password(self._service, provider, key))
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._mark.touch(mode=0o600)
        except OSError as error:
            raise StorageError(f"The key holds until the server stops: {error.strerror}.") from error
        self._file.change({provider: None})  # from a time without a keyring

    def delete(self, provider: str) -> None:
        """Forget a key, wherever it is; it need not be there. Raises StorageError where that fails."""
        _check_provider(provider)
        backend = self._backend()
        if backend is not None and self._answered(lambda: backend.get_password(self._service, provider)) is not None:
            self._answered(lambda: backend.delete_password(self._service, provider))
        self._file.change({provider: None})

    def _find(self, provider: str) -> tuple[str | None, Source]:
        _check_provider(provider)
        backend = self._backend()
        if backend is not None:
            key = self._answered(lambda: backend.get_password(self._service, provider))
            if key is not None:
                return str(key), "keyring"
        key = self._file.read().get(provider)
        return (key, "file") if key is not None else (None, "none")

    def _answered(self, ask: Callable[[], T]) -> T:
        """Return what the keyring answers. Raises StorageError."""
        try:
            return _within(ANSWER_S, ask)
        except Exception as error:  # backends raise errors of their own libraries, which may hold what was asked
            what = "did not answer in time" if isinstance(error, TimeoutError) else f"refused ({type(error).__name__})"
            raise StorageError(
                f"The system's keyring {what}.", next_step=f"Unlock it and try again{self._otherwise}."
            ) from None

    def _backend(self) -> Any:
        with self._lock:
            if not self._is_known:
                self._keyring = _find_backend(self._service)
                self._is_known = True
        return self._keyring


def _check_provider(provider: str) -> None:
    if not _PROVIDER.fullmatch(provider):
        raise InvalidRequest("That is no name of a provider.", field="provider")


# --- the system's keyring ---


def _find_backend(service: str) -> Any:
    """Return the system's keyring where there is a real one that answers, else None."""

    def probe() -> Any:
        import keyring
        from keyring.core import recommended

        backend = keyring.get_keyring()
        # Several at once come as one that asks each in turn; the one that only refuses and those that keep keys in
        # plain files have a low priority.
        candidates = getattr(backend, "backends", [backend])
        real = next((one for one in candidates if recommended(one)), None)
        if real is not None:
            real.get_password(service, "probe")
        return real

    try:
        return _within(PROBE_S, probe)
    except Exception as error:
        log.info("no keyring of the system answers (%s): keys go into an encrypted file", type(error).__name__)
        return None


def _within(seconds: float, work: Callable[[], T]) -> T:
    """Return what ``work`` returns, or raise what it raises; TimeoutError where it takes longer.

    It goes on in a thread that nobody waits for, since a call over D-Bus cannot be called back.
    """
    done: list[T] = []
    failed: list[BaseException] = []

    def target() -> None:
        try:
            done.append(work())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=target, name="aidp keyring", daemon=True)
    thread.start()
    thread.join(seconds)
    if failed:
        raise failed[0]
    if not done:
        raise TimeoutError
    return done[0]


# --- the file ---


class _EncryptedFile:
    """A mapping of names to keys in ``keys.enc``, encrypted by Fernet with the key in ``keys.secret``."""

    def __init__(self, folder: Path) -> None:
        self._data = folder / "keys.enc"
        self._secret = folder / "keys.secret"
        self._guard = folder / "keys.lock"

    def exists(self) -> bool:
        """Return whether a key was ever put into the file."""
        return self._data.exists()

    def read(self) -> dict[str, str]:
        """Return what is in it; an empty mapping where there is no file. Raises StorageError."""
        try:
            sealed = self._data.read_bytes()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise self._unusable(f"cannot be read ({error.strerror})") from error
        from cryptography.fernet import Fernet, InvalidToken

        try:
            return msgspec.json.decode(Fernet(self._secret.read_bytes()).decrypt(sealed), type=dict[str, str])
        except OSError as error:
            raise self._unusable(f"cannot be read: {self._secret.name} beside it is missing or closed") from error
        except (InvalidToken, ValueError) as error:  # msgspec's errors are ValueErrors
            raise self._unusable("is damaged, or keys.secret beside it belongs to another one") from error

    def change(self, changes: dict[str, str | None]) -> None:
        """Set and, where None, remove entries. Raises StorageError; then the file is as it was."""
        if all(value is None for value in changes.values()) and not self._data.exists():
            return
        try:
            self._data.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self._locked():
                merged = {**self.read(), **changes}
                _write(self._data, self._fernet().encrypt(msgspec.json.encode({k: v for k, v in merged.items() if v})))
        except OSError as error:
            raise self._unusable(f"cannot be written ({error.strerror})") from error

    def _fernet(self) -> Any:
        from cryptography.fernet import Fernet

        if not self._data.exists() and not self._secret.exists():
            _write(self._secret, Fernet.generate_key())
        try:
            return Fernet(self._secret.read_bytes())
        except ValueError as error:
            raise self._unusable("cannot be written: keys.secret beside it is damaged") from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        # A file of its own: the others are replaced, and a lock on what was replaced holds nobody off.
        fd = os.open(self._guard, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def _unusable(self, how: str) -> StorageError:
        return StorageError(
            f"The file with the keys, {self._data.name}, {how}. It was left as it is.",
            next_step=f"Look into {self._data.parent}; moved away, it is made anew and the keys are entered again.",
        )


def _write(path: Path, data: bytes) -> None:
    """Replace a file at once, readable by its owner alone: a reader never sees half of it, and no crash leaves half."""
    fd, fresh = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # made with mode 0600
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(fresh).replace(path)
    except BaseException:
        Path(fresh).unlink(missing_ok=True)
        raise
