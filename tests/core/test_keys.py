"""The key store: a keyring of the system where there is a real one, else an encrypted file."""

from __future__ import annotations

import logging
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keyring
import keyring.errors
import pytest
from cryptography.fernet import Fernet
from keyring.backend import KeyringBackend
from keyring.backends import chainer, fail, null

from aidp_ext.core import keys
from aidp_ext.core.errors import InvalidRequest, StorageError
from aidp_ext.core.keys import KeyStore

KEY = "sk-test-0123456789abcdefSECRET"
OTHER = "sk-other-0123456789abcdefSECRET"


@pytest.fixture(autouse=True)
def _no_keyring() -> Iterator[None]:
    """The machine's own keyring is not for tests."""
    before = keyring.get_keyring()
    keyring.set_keyring(fail.Keyring())
    yield
    keyring.set_keyring(before)


class Memory(KeyringBackend):
    """A keyring as a desktop has one, with what may go wrong."""

    priority = 5  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[tuple[str, str], str] = {}
        self.error: Exception | None = None
        self.hangs: threading.Event | None = None

    def _enter(self) -> None:
        if self.hangs is not None:
            self.hangs.wait(30)
        if self.error is not None:
            raise self.error

    def get_password(self, service: str, username: str) -> str | None:
        self._enter()
        return self.held.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self._enter()
        self.held[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        self._enter()
        if (service, username) not in self.held:
            raise keyring.errors.PasswordDeleteError
        del self.held[service, username]


class Plain(Memory):
    """One that writes plain text into a file ranks low."""

    priority = 0.5  # type: ignore[assignment]


@pytest.fixture
def desktop() -> Memory:
    backend = Memory()
    keyring.set_keyring(backend)
    return backend


# --- the file ---


def test_a_key_is_kept_for_the_next_start(tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "aidp")
    assert (store.kind, store.get("openai"), store.source("openai")) == ("file", None, "none")
    store.set("openai", KEY)
    store.set("anthropic", OTHER)
    again = KeyStore(tmp_path / "aidp")
    assert (again.get("openai"), again.get("anthropic"), again.source("openai")) == (KEY, OTHER, "file")
    again.set("openai", OTHER)
    again.delete("anthropic")
    again.delete("gemini")
    assert (store.get("openai"), store.get("anthropic")) == (OTHER, None)


def test_the_files_are_their_owners_alone_and_one_of_them_tells_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "aidp"
    KeyStore(folder).set("openai", KEY)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    files = {path.name: path for path in folder.iterdir()}
    assert set(files) == {"keys.enc", "keys.secret", "keys.lock"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files.values()} == {0o600}
    for path in files.values():
        assert KEY.encode() not in path.read_bytes()
        assert b"openai" not in path.read_bytes()


def test_asking_makes_no_file(tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "aidp")
    store.get("openai")
    store.delete("openai")
    assert not (tmp_path / "aidp").exists()


@pytest.mark.parametrize("name", ["keys.enc", "keys.secret"])
@pytest.mark.parametrize(
    "damage",
    [b"", b"{}", b"\xff" * 100, Fernet.generate_key(), None],
    ids=["empty", "json", "noise", "another-key", "gone"],
)
def test_damage_is_said_and_nothing_is_lost(tmp_path: Path, name: str, damage: bytes | None) -> None:
    store = KeyStore(tmp_path)
    store.set("openai", KEY)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    broken = tmp_path / name
    if damage is None:
        broken.rename(tmp_path / "moved")
    else:
        broken.write_bytes(damage)
    if name == "keys.enc" and damage is None:
        assert store.get("openai") is None, "moved away, it begins anew"
        return
    left = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for work in (lambda: store.get("openai"), lambda: store.set("gemini", OTHER), lambda: store.delete("openai")):
        with pytest.raises(StorageError) as caught:
            work()
        assert "left as it is" in caught.value.message
        assert caught.value.next_step
        assert KEY not in str(caught.value)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == left
    (tmp_path / name).write_bytes(before[name])
    assert store.get("openai") == KEY


def test_a_file_of_another_kind_is_not_understood(tmp_path: Path) -> None:
    KeyStore(tmp_path).set("openai", KEY)
    sealed = Fernet((tmp_path / "keys.secret").read_bytes()).encrypt(b'{"openai": 5}')
    (tmp_path / "keys.enc").write_bytes(sealed)
    with pytest.raises(StorageError, match="damaged"):
        KeyStore(tmp_path).get("openai")


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written") as caught:
        KeyStore(tmp_path / "file" / "aidp").set("openai", KEY)
    assert KEY not in str(caught.value)


def test_a_write_that_fails_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = KeyStore(tmp_path)
    store.set("openai", KEY)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        store.set("openai", OTHER)
    assert store.get("openai") == KEY
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from aidp_ext.core.keys import KeyStore\n"
        "store = KeyStore(Path(sys.argv[1]))\n"
        "for turn in range(10): store.set(f'provider-{sys.argv[2]}', f'{sys.argv[3]}-{turn}')"
    )
    argv = [sys.executable, "-c", code, tmp_path]
    environment = {**os.environ, "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"}
    writers = [subprocess.Popen([*argv, str(number), f"{KEY}-{number}"], env=environment) for number in range(4)]
    assert [writer.wait(60) for writer in writers] == [0] * 4
    store = KeyStore(tmp_path)
    assert [store.get(f"provider-{number}") for number in range(4)] == [f"{KEY}-{number}-9" for number in range(4)]


# --- what is a key ---


@pytest.mark.parametrize(
    "key", ["", "short", "x" * 4097, f"{KEY}\n", f"a {KEY}", f"{KEY}\tx", "schlüssel-0123", "\0" * 20]
)
def test_what_is_no_key_is_refused_and_not_shown(tmp_path: Path, desktop: Memory, key: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        KeyStore(tmp_path).set("openai", key)
    assert caught.value.details["field"] == "key"
    assert not key or key not in caught.value.message
    assert not desktop.held


@pytest.mark.parametrize("provider", ["", "../openai", "Open AI", "a" * 65])
def test_what_is_no_provider_is_refused(tmp_path: Path, provider: str) -> None:
    store = KeyStore(tmp_path)
    for work in (store.get, store.delete, store.source, lambda name: store.set(name, KEY)):
        with pytest.raises(InvalidRequest):
            work(provider)


def test_a_store_never_shows_a_key(tmp_path: Path, caplog: pytest.LogCaptureFixture, desktop: Memory) -> None:
    caplog.set_level(logging.DEBUG)
    store = KeyStore(tmp_path)
    store.set("openai", KEY)
    desktop.error = RuntimeError(f"could not keep {KEY}")
    with pytest.raises(StorageError) as caught:
        store.set("openai", KEY)
    assert KEY not in f"{store!r} {vars(store)} {caught.value} {caught.value.details} {caplog.text}"
    assert caught.value.__suppress_context__


# --- the keyring ---


def test_a_keyring_comes_before_the_file(tmp_path: Path, desktop: Memory) -> None:
    store = KeyStore(tmp_path)
    store.set("openai", KEY)
    assert (store.kind, store.get("openai"), store.source("openai")) == ("keyring", KEY, "keyring")
    assert list(desktop.held.values()) == [KEY]
    assert [path.name for path in tmp_path.iterdir()] == ["keys.used"], "that there is one, and nothing of it"
    assert KeyStore(tmp_path).was_used
    store.delete("openai")
    store.delete("openai")
    assert (store.get("openai"), store.source("openai"), desktop.held) == (None, "none", {})


def test_folders_do_not_share_their_keys(tmp_path: Path, desktop: Memory) -> None:
    KeyStore(tmp_path / "a").set("openai", KEY)
    assert KeyStore(tmp_path / "b").get("openai") is None


def test_a_key_from_a_time_without_a_keyring_is_found_and_moves_when_it_is_set(tmp_path: Path) -> None:
    KeyStore(tmp_path).set("openai", KEY)
    keyring.set_keyring(Memory())
    store = KeyStore(tmp_path)
    assert (store.get("openai"), store.source("openai"), store.kind) == (KEY, "file", "keyring")
    store.set("openai", OTHER)
    assert (store.get("openai"), store.source("openai")) == (OTHER, "keyring")
    keyring.set_keyring(fail.Keyring())
    assert KeyStore(tmp_path).get("openai") is None, "the old one does not come back"


@pytest.mark.parametrize("backend", [fail.Keyring(), null.Keyring(), Plain()])
def test_a_keyring_that_is_none_is_not_used(tmp_path: Path, backend: Any) -> None:
    keyring.set_keyring(backend)
    store = KeyStore(tmp_path)
    store.set("openai", KEY)
    assert (store.kind, store.source("openai")) == ("file", "file")


def test_of_several_keyrings_the_first_real_one_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Memory()
    monkeypatch.setattr(chainer.ChainerBackend, "backends", [Plain(), real])
    keyring.set_keyring(chainer.ChainerBackend())
    store = KeyStore(tmp_path)
    store.set("openai", KEY)
    assert (store.kind, list(real.held.values())) == ("keyring", [KEY])


def test_a_keyring_that_does_not_answer_at_all_is_not_waited_for(
    tmp_path: Path, desktop: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A headless machine: it asks to be unlocked in a window that nobody sees."""
    monkeypatch.setattr(keys, "PROBE_S", 0.05)
    desktop.hangs = threading.Event()
    store = KeyStore(tmp_path)
    store.set("openai", KEY)
    assert (store.kind, store.get("openai")) == ("file", KEY)
    desktop.hangs.set()


@pytest.mark.parametrize("trouble", ["locked", "hangs"])
def test_a_keyring_that_refuses_later_is_said_and_nothing_goes_elsewhere(
    tmp_path: Path, desktop: Memory, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    store = KeyStore(tmp_path)
    assert store.kind == "keyring"
    if trouble == "locked":
        desktop.error = keyring.errors.KeyringLocked(KEY)
    else:
        monkeypatch.setattr(keys, "ANSWER_S", 0.05)
        desktop.hangs = threading.Event()
    for work in (lambda: store.get("openai"), lambda: store.set("openai", KEY), lambda: store.delete("openai")):
        with pytest.raises(StorageError) as caught:
            work()
        assert "Unlock it" in str(caught.value.next_step)
        assert KEY not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    if desktop.hangs:
        desktop.hangs.set()


def test_a_machine_without_any_keyring_takes_the_file_and_loads_neither_library_before() -> None:
    code = (
        "import sys, tempfile, pathlib\n"
        "from aidp_ext.core.keys import KeyStore\n"
        "assert not {'keyring', 'cryptography'} & set(sys.modules)\n"
        "store = KeyStore(pathlib.Path(tempfile.mkdtemp()))\n"
        f"store.set('openai', {KEY!r}); print(store.kind)"
    )
    environment = {
        "PATH": "/usr/bin",
        "PYTHONPATH": ":".join(sys.path),
        "DBUS_SESSION_BUS_ADDRESS": "unix:path=/nowhere",
    }
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=60)
    assert (done.stdout, done.returncode) == ("file\n", 0), done.stderr


def test_that_a_key_was_kept_is_known_without_opening_anything(tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "state")
    assert not store.was_used
    store.set("openai", "sk-0123456789")
    assert KeyStore(tmp_path / "state").was_used
