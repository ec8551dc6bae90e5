"""Runs of experiments go along with a commit: named in it, told of it, and never in its way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from aidp_ext.core.errors import Unavailable
from aidp_ext.git.ship import steps as shipping
from aidp_ext.git.ship.runs import all_of, named_in
from tests.git.forge import NAME, Desk, desk, failed
from tests.git.repo import Repo


@pytest.fixture
async def ana(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    async with desk(tmp_path, monkeypatch) as made:
        await made.clone()
        (made.root / "titanic" / "train.py").write_text("lr = 1\n")
        await made.stage_all()
        yield made


def body(ana: Desk) -> str:
    return Repo(ana.root / "titanic")("log", "-1", "--format=%B").strip()


async def test_the_runs_of_what_is_staged_are_named_and_told(ana: Desk) -> None:
    before = Repo(ana.root / "titanic").head
    ana.lab.runs = ["elk", "newt", "elk"]
    assert await ana.service.runs("titanic") == (("elk", "newt"), "")
    job = await ana.ship("Train\n\nLonger.", open=None)
    assert job.state == "done", job
    assert body(ana) == "Train\n\nLonger.\n\nMLflow-Run: elk\nMLflow-Run: newt"
    assert job.runs == ("elk", "newt") and "2 runs" in job.step("commit").text
    assert ana.lab.asked[-1] == (ana.root / "titanic", ["train.py"], before)
    assert ana.lab.shipped == [(("elk", "newt"), job.commit)]


async def test_they_may_be_left_out(ana: Desk) -> None:
    ana.lab.runs = ["elk"]
    job = await ana.ship("Train", open=None, with_runs=False)
    assert body(ana) == "Train" and job.runs == () and ana.lab.shipped == [] and ana.lab.asked == []


async def test_a_message_that_names_some_is_not_given_them_twice(ana: Desk) -> None:
    ana.lab.runs = ["elk", "newt"]
    job = await ana.ship("Train\n\nMLflow-Run: newt\nReviewed-by: Bea", open=None)
    assert body(ana) == "Train\n\nMLflow-Run: newt\nReviewed-by: Bea\nMLflow-Run: elk"
    assert {*job.runs} == {"elk", "newt"} == {*ana.lab.shipped[0][0]}


async def test_a_user_whose_trailers_replace_each_other_loses_none(ana: Desk) -> None:
    Repo(ana.root / "titanic")("config", "trailer.ifexists", "replace")
    ana.lab.runs = ["elk", "newt"]
    await ana.ship("Train", open=None)
    assert body(ana).count("MLflow-Run: ") == 2


async def test_ten_are_named_and_what_is_no_id_is_not() -> None:
    assert named_in("a\n\nMLflow-Run: x1\nmlflow-run: x2 \nMLflow-Run: a b\n") == ("x1", "x2")
    assert all_of("a\n\nMLflow-Run: x1", ["x1", "a\nb", "", *(f"r{n}" for n in range(20))]) == (
        "x1",
        *(f"r{n}" for n in range(9)),
    )


@pytest.mark.parametrize(("error", "words"), [(Unavailable("MLflow sleeps."), "MLflow sleeps."), (OSError(5), "")])
async def test_what_fails_there_is_a_note_of_the_commit(ana: Desk, error: Exception, words: str) -> None:
    ana.lab.fails = error
    assert words in (await ana.service.runs("titanic"))[1]
    job = await ana.ship("Train\n\nMLflow-Run: elk", open=None)
    assert job.state == "done", job
    said = job.step("commit").text
    assert "its runs are not known" in said and "its runs do not know of it" in said and words in said


async def test_what_takes_too_long_is_not_waited_for(ana: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aidp_ext.git.ship.runs._ASKED_S", 0.0)
    ana.lab.hangs = True
    job = await ana.ship("Train", open=None)
    assert job.state == "done" and "it took too long" in job.step("commit").text and body(ana) == "Train"


async def test_a_rebase_tells_them_of_the_commit_that_it_became(ana: Desk) -> None:
    ana.lab.runs = ["elk"]
    ana.server.commit(NAME, {"theirs.py": "t = 1\n"})
    job = await ana.ship("Train", open=None)
    assert job.state == "done", job
    (_, first), (_, last) = ana.lab.shipped
    assert first != last == job.commit == Repo(ana.root / "titanic").head
    assert body(ana) == "Train\n\nMLflow-Run: elk"


async def test_a_merge_leaves_them_with_their_commit(ana: Desk) -> None:
    ana.lab.runs = ["elk"]
    ana.server.commit(NAME, {"theirs.py": "t = 1\n"})
    job = await ana.ship("Train", open=None, how="merge")
    assert job.state == "done" and len(ana.lab.shipped) == 1
    assert ana.lab.shipped[0][1] == Repo(ana.root / "titanic")("rev-parse", "HEAD^1")


async def test_after_a_crash_behind_the_commit_they_are_told_when_it_goes_on(
    ana: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    ana.lab.runs = ["elk"]
    real = shipping.work.commit

    async def commit(*args: object, **options: object) -> str:
        await real(*args, **options)  # type: ignore[arg-type]
        raise Unavailable("The server is gone.")

    monkeypatch.setattr(shipping.work, "commit", commit)
    assert failed(await ana.ship("Train", open=None)) == "unavailable"
    monkeypatch.setattr(shipping.work, "commit", real)
    job = await ana.resume()
    assert job.state == "done", job
    assert ana.lab.shipped == [(("elk",), job.commit)] and body(ana).count("MLflow-Run") == 1
