"""Content that an admin has kept: sealed, for the holder of the private key alone."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from traitlets.config import Config

from aidp_ext.ai.config import AiConfig
from aidp_ext.ai.content import ContentVault, new_keys, open_sealed
from aidp_ext.ai.models import Caller, Dialect, RouteRequest
from aidp_ext.ai.service import AiService
from aidp_ext.cli import main
from aidp_ext.core.errors import StorageError
from tests.support.upstream import KEY, Upstream

ANA = Caller("ana")
SECRET = "ana@example.org"


@pytest.fixture
def keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert main(["audit", "new-key", str(tmp_path / "keys")]) == 0
    assert "audit_content_key_file" in capsys.readouterr().out
    return tmp_path / "keys"


@pytest.fixture
async def service(tmp_path: Path, keys: Path, upstream: Upstream) -> AsyncIterator[AiService]:
    traits = {
        "openai_base_url": f"{upstream.url}/v1",
        "openai_api_key": KEY,
        "ollama_host": "127.0.0.1:9",
        "audit_content_key_file": str(keys / "audit-public.key"),
    }
    made = AiService(AiConfig(config=Config({"AiConfig": traits})), tmp_path / "state")
    yield made
    await made.stop()


@pytest.mark.parametrize("stream", [False, True])
async def test_what_was_sent_and_said_is_kept_and_only_the_private_key_reads_it(
    service: AiService, tmp_path: Path, keys: Path, stream: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    body = {"model": "openai/good", "messages": [{"role": "user", "content": f"I am {SECRET}."}], "stream": stream}
    answer = await service.answer(Dialect.CHAT, RouteRequest(model="openai/good"), body, ANA, 100)
    if answer.events is not None:
        async for _ in answer.events:
            pass
        await answer.events.aclose()
    (file,) = (tmp_path / "state" / "content").glob("*.sealed")
    assert file.stem == answer.call_id
    assert file.stat().st_mode & 0o777 == 0o600
    assert b"I am" not in file.read_bytes()
    assert main(["audit", "show", str(file), "--key", str(keys / "audit-private.key")]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["request"]["messages"][0]["content"] == "I am [EMAIL_1].", "as it left: redacted"
    assert "guins" in shown["answer"]


def test_another_key_a_changed_file_or_another_calls_name_opens_nothing(tmp_path: Path) -> None:
    public, private = new_keys()
    ContentVault(tmp_path, public).keep("call", {"prompt": "x"}, b"y")
    file = tmp_path / "call.sealed"
    assert open_sealed(file, private) == {"request": {"prompt": "x"}, "answer": "y"}
    with pytest.raises(StorageError, match="another key, or changed"):
        open_sealed(file, new_keys()[1])
    moved = file.rename(tmp_path / "other.sealed")
    with pytest.raises(StorageError, match="another key, or changed"):
        open_sealed(moved, private)
    raw = bytearray(moved.read_bytes())
    raw[-1] ^= 1
    file.write_bytes(raw)
    with pytest.raises(StorageError, match="another key, or changed"):
        open_sealed(file, private)


def test_the_server_cannot_read_what_it_wrote() -> None:
    public, _ = new_keys()
    with pytest.raises(StorageError, match="no key of the form aidp-content-private"):
        open_sealed(Path("any"), public)


def test_a_key_file_that_is_missing_or_wrong_stops_the_start_in_words(tmp_path: Path) -> None:
    for content in (None, "not a key", new_keys()[1]):
        path = tmp_path / "key"
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_text(content)
        config = AiConfig(config=Config({"AiConfig": {"audit_content_key_file": str(path)}}))
        with pytest.raises(StorageError):
            AiService(config, tmp_path / "state")


def test_new_keys_are_written_over_nothing(keys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (keys / "audit-private.key").read_text()
    assert (keys / "audit-private.key").stat().st_mode & 0o777 == 0o600
    assert main(["audit", "new-key", str(keys)]) == 2
    assert "there already" in capsys.readouterr().err
    assert (keys / "audit-private.key").read_text() == before
