"""How many of the planted secrets are found, and that nothing else is."""

from __future__ import annotations

from pathlib import Path

import pytest

from aidp_ext.git.preflight import secrets
from aidp_ext.git.preflight.blobs import Staged
from aidp_ext.git.preflight.document import document
from tests.git import corpus
from tests.git.corpus import Figures
from tests.git.staging import Repo, find


@pytest.fixture
async def found(tmp_path: Path) -> Figures:
    repo = Repo(tmp_path)
    for plant in corpus.planted():
        repo.write(plant.path, plant.content)
    for files in corpus.innocent().values():
        for path, content in files.items():
            repo.write(path, content)
    repo.sh("add", "-f", ".")
    return corpus.figures(await repo.findings("secrets"))


async def test_every_planted_secret_is_found_and_nothing_else(found: Figures) -> None:
    print(found.table())
    assert found.missed == ()
    assert found.messages == ()


@pytest.mark.parametrize("seed", range(1, 5))
def test_what_is_no_secret_gives_no_alarm_whatever_its_random_characters(seed: int) -> None:
    alarms = [
        (path, draft.message)
        for files in corpus.innocent(seed).values()
        for path, content in files.items()
        for draft in secrets.look(document(Staged(path, "100644", "", "A"), memoryview(content)), find).drafts
    ]
    assert alarms == []
