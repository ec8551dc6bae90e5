"""Ship, from what is staged to a review: against a real Git server and a forge's stand-in."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from aidp_ext.core.errors import Conflict, NotFound
from aidp_ext.git.ship import job as jobs
from aidp_ext.git.ship.job import JobStore, Open, ShipAsked
from aidp_ext.git.ship.service import AlreadyShipping
from tests.git.forge import NAME, Desk, desk, failed, steps, until
from tests.git.repo import Repo

KEY = "AKIA" + "QYLPMN5HHHFPZAM2"
PNG = "iVBORw0KGgo" + "A" * 4000


@pytest.fixture
async def ana(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    async with desk(tmp_path, monkeypatch) as made:
        await made.clone()
        yield made


def notebook(*sources: str, output: str = "") -> str:
    cells: list[dict[str, Any]] = [
        {
            "cell_type": "code",
            "id": f"cell-{number}",
            "metadata": {},
            "execution_count": number,
            "source": source.splitlines(keepends=True),
            "outputs": [{"output_type": "stream", "name": "stdout", "text": [output]}] if output else [],
        }
        for number, source in enumerate(sources, 1)
    ]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}, indent=1) + "\n"


async def test_the_whole_way_from_a_notebook_to_checks(ana: Desk) -> None:
    root = ana.root / "titanic"
    (root / "analysis.ipynb").write_text(notebook(f"key = '{KEY}'", output="x" * 300_000))
    await ana.stage_all()
    found = await ana.check()
    assert [finding.severity for finding in found["secrets"]] == ["block"]
    assert KEY not in repr(found)
    assert found["outputs"]
    job = await ana.ship()
    assert failed(job) == "checks_found"
    assert steps(job)["commit"] == "waiting"
    # mended: the key leaves the file, the outputs leave the index only
    (root / "analysis.ipynb").write_text(notebook("key = open('key')", output="x" * 300_000))
    on_disk = (root / "analysis.ipynb").read_bytes()
    await ana.stage_all()
    found = await ana.check()
    assert not found["secrets"]
    await ana.service.fix("titanic", found["outputs"][0].id, "strip")
    assert (root / "analysis.ipynb").read_bytes() == on_disk
    words = await ana.service.message("titanic", "commit", None, ("ana", ()))
    message = "".join([word async for word in words]).strip()
    assert "key = open" in str(ana.model.asked[0][0]) and "xxxxxxxx" not in str(ana.model.asked[0][0])
    assert ana.model.asked[0][1] == ["titanic/analysis.ipynb"]
    job = await ana.ship(message, branch="feature/key", open=Open("A title", "Why", labels=("data",)))
    assert job.state == "done", job
    assert job.pull_request is not None and job.pull_request.number == 1
    [pull] = ana.api.pulls[NAME]
    assert (pull["title"], pull["head"]["ref"], pull["base"]["ref"]) == ("A title", "feature/key", "main")
    pushed = ana.server.read(NAME, "analysis.ipynb", "feature/key")
    assert pushed is not None and b"xxxxxxxx" not in pushed and b"key = open" in pushed
    assert ana.server.branches(NAME)["feature/key"] == job.commit


async def test_checks_are_followed_and_a_failing_log_is_told(ana: Desk) -> None:
    (ana.root / "titanic" / "a.py").write_text("a = 1\n")
    await ana.stage_all()
    job = await ana.ship(open=None)
    assert steps(job)["pull-request"] == "skipped"
    ana.api.add_check(job.commit or "", "tests", "failure", log="line 1\nAssertionError: 1 != 2\n")
    (ana.root / "titanic" / "b.py").write_text("b = 1\n")
    _, checks = await ana.service.request("titanic")
    assert checks is not None and checks.state == "failure"
    assert "AssertionError" in (checks.checks[0].log_tail or "")


async def test_a_token_that_ends_in_mid_push_is_replaced_and_the_push_goes_on(ana: Desk) -> None:
    (ana.root / "titanic" / "a.py").write_text("a = 1\n")
    await ana.stage_all()
    ana.server.revoke(ana.token)
    job = await ana.ship()
    assert failed(job) in ("authentication_failed", "signed_out_of_forge")
    assert steps(job)["commit"] == "done"
    fresh = ana.server.issue("ana")
    await ana.credentials.accounts.add(ana.host, fresh)
    job = await ana.resume()
    assert job.state == "done", job
    assert ana.server.branches(NAME)["main"] == job.commit


async def test_what_others_pushed_meanwhile_is_taken_in(ana: Desk) -> None:
    (ana.root / "titanic" / "a.py").write_text("a = 1\n")
    await ana.stage_all()
    theirs = ana.server.commit(NAME, {"theirs.py": "t = 1\n"})
    job = await ana.ship()
    assert job.state == "done", job
    repo = Repo(ana.root / "titanic")
    assert repo("rev-parse", "HEAD~1") == theirs
    assert ana.server.branches(NAME)["main"] == repo.head == job.commit


async def test_a_conflict_waits_for_the_user_and_ship_goes_on_after_it(ana: Desk) -> None:
    root = ana.root / "titanic"
    (root / "README.md").write_text("# Ours\n")
    await ana.stage_all()
    ana.server.commit(NAME, {"README.md": "# Theirs\n"})
    job = await ana.ship(how="rebase")
    assert failed(job) == "merge_conflict"
    state = await ana.service.state("titanic")
    assert state is not None and state.operation == "rebase"
    assert failed(await ana.resume()) == "merge_conflict"
    (root / "README.md").write_text("# Both\n")
    Repo(root)("add", "README.md")
    job = await ana.resume()
    assert job.state == "done", job
    assert ana.server.read(NAME, "README.md", "main") == b"# Both\n"


async def test_a_protected_branch_says_so_in_the_forges_words(ana: Desk) -> None:
    ana.server.protect(NAME, "main")
    (ana.root / "titanic" / "a.py").write_text("a = 1\n")
    await ana.stage_all()
    job = await ana.ship()
    assert failed(job) == "push_rejected"
    error = job.step("push").error
    assert error is not None and "Protected branch" in error.details["output"]


async def test_a_pull_request_that_is_there_is_taken(ana: Desk) -> None:
    for number in (1, 2):
        (ana.root / "titanic" / "a.py").write_text(f"a = {number}\n")
        await ana.stage_all()
        job = await ana.ship(branch="topic")
        assert job.pull_request is not None and job.pull_request.number == 1
    assert len(ana.api.pulls[NAME]) == 1


async def test_what_is_staged_must_be_what_was_checked(ana: Desk) -> None:
    (ana.root / "titanic" / "a.py").write_text("a = 1\n")
    await ana.stage_all()
    tree, _ = [one async for one in ana.service.preflight("titanic")][-1]
    (ana.root / "titanic" / "a.py").write_text("a = 2\n")
    await ana.stage_all()
    assert failed(await ana.ship(tree=tree)) == "index_changed"
    # who goes on has it checked again
    assert (await ana.resume()).state == "done"


async def test_nothing_staged_ships_what_is_committed(ana: Desk) -> None:
    Repo(ana.root / "titanic").commit({"a.py": "a = 1\n"})
    job = await ana.ship("")
    assert steps(job)["commit"] == "skipped"
    assert ana.server.branches(NAME)["main"] == job.commit


async def test_a_stop_ends_the_push_and_it_can_be_gone_on_with(ana: Desk) -> None:
    (ana.root / "titanic" / "a.py").write_text("a = 1\n")
    await ana.stage_all()
    ana.server.gate.clear()
    shipping = asyncio.create_task(ana.ship())
    await until(ana.server.reached.is_set)
    job = await ana.service.job("titanic")
    assert job is not None and job.state == "running"
    with pytest.raises(AlreadyShipping):
        await ana.ship()
    job = await ana.service.cancel("titanic")
    assert job is not None and job.state == "cancelled"
    assert (await shipping).state == "cancelled"
    ana.server.gate.set()
    assert (await ana.resume()).state == "done"


async def test_who_stops_watching_stops_nothing(ana: Desk) -> None:
    (ana.root / "titanic" / "a.py").write_text("a = 1\n")
    await ana.stage_all()
    watching = await ana.service.ship("titanic", ShipAsked("Change"))
    await anext(watching)
    await watching.aclose()

    async def is_over() -> bool:
        job = await ana.service.job("titanic")
        return job is not None and job.state == "done"

    async with asyncio.timeout(60):
        while not await is_over():
            await asyncio.sleep(0.02)
    assert "main" in ana.server.branches(NAME)


async def test_a_push_holds_up_nothing_in_another_repository(ana: Desk) -> None:
    Repo.make(ana.root / "other").commit({"o.py": "1\n"})
    (ana.root / "titanic" / "a.py").write_text("a = 1\n")
    await ana.stage_all()
    ana.server.gate.clear()
    shipping = asyncio.create_task(ana.ship())
    await until(ana.server.reached.is_set)
    async with asyncio.timeout(60):
        (ana.root / "other" / "o.py").write_text("2\n")
        state = await ana.service.stage("other", ["o.py"], True)
        assert state.changes[0].staged == "yes"
        # nor in its own
        assert await ana.service.state("titanic") is not None
    ana.server.gate.set()
    assert (await shipping).state == "done"


@pytest.mark.parametrize("step", jobs.STEPS)
async def test_whatever_step_a_kill_comes_at_it_says_where_it_stands_and_goes_on(
    ana: Desk, step: jobs.StepName, monkeypatch: pytest.MonkeyPatch
) -> None:
    (ana.root / "titanic" / "a.py").write_text("a = 1\n")
    await ana.stage_all()
    store = JobStore(ana.folder / "ship")
    saved: list[Any] = []
    save = JobStore.save

    def remember(self: JobStore, root: Path, job: Any) -> None:
        save(self, root, job)
        saved.append(job)

    monkeypatch.setattr(JobStore, "save", remember)
    job = await ana.ship(branch="topic")
    assert job.state == "done", job
    # what a process that died in this step would have left: all done, and the file as it was when the step began
    before = next(one for one in saved if one.step(step).state == "running")
    save(store, (ana.root / "titanic").resolve(), before)
    job = await ana.service.job("titanic")
    assert job is not None and job.state == "interrupted"
    assert job.step(step).text == "interrupted"
    commits = ana.server.branches(NAME)
    job = await ana.resume()
    assert job.state == "done", job
    assert ana.server.branches(NAME) == commits
    assert len(ana.api.pulls[NAME]) == 1


async def test_a_hook_that_stops_the_commit_is_told_with_its_words(ana: Desk) -> None:
    repo = Repo(ana.root / "titanic")
    repo.hook("pre-commit", "echo 'line 3: too long' >&2; exit 1")
    repo.write({"a.py": "a = 1\n"})
    await ana.stage_all()
    job = await ana.ship()
    assert failed(job) == "hook_failed"
    error = job.step("commit").error
    assert error is not None and "line 3: too long" in error.details["output"]


async def test_a_hook_that_changes_files_stops_it_before_the_push(ana: Desk) -> None:
    repo = Repo(ana.root / "titanic")
    repo.hook("pre-commit", "echo 'b = 2' >> a.py; git add a.py")
    repo.write({"a.py": "a = 1\n"})
    await ana.stage_all()
    job = await ana.ship()
    assert failed(job) == "hook_changed_files"
    before = ana.server.branches(NAME)["main"]
    assert before != job.commit
    job = await ana.resume()
    assert job.state == "done" and ana.server.branches(NAME)["main"] == job.commit


async def test_secrets_are_told_to_no_model(ana: Desk) -> None:
    (ana.root / "titanic" / "a.py").write_text(f"key = '{KEY}'\n")
    await ana.stage_all()
    with pytest.raises(Conflict) as refused:
        await ana.service.message("titanic", "commit", None, ("ana", ()))
    assert refused.value.code == "secrets_staged"
    assert not ana.model.asked
    [finding] = (await ana.check())["secrets"]
    await ana.service.waive("titanic", finding.id, "a key of the documentation", "ana")
    await ana.service.message("titanic", "commit", None, ("ana", ()))
    assert ana.model.asked


async def test_a_repository_without_a_remote_is_only_committed_to(ana: Desk) -> None:
    await ana.service.init("fresh") if (ana.root / "fresh").mkdir() is None else None
    (ana.root / "fresh" / "a.py").write_text("a = 1\n")
    await ana.service.stage("fresh", ["a.py"], True)
    jobs = await ana.service.ship("fresh", ShipAsked("First"))
    job = [one async for one in jobs][-1]
    assert job.state == "done"
    assert steps(job)["push"] == "skipped" and "no remote" in job.step("push").text
    assert job.commit == Repo(ana.root / "fresh").head


async def test_there_is_nothing_to_go_on_with_after_the_end(ana: Desk) -> None:
    with pytest.raises(NotFound):
        await ana.resume()
    (ana.root / "titanic" / "a.py").write_text("a = 1\n")
    await ana.stage_all()
    await ana.ship()
    with pytest.raises(NotFound):
        await ana.resume()
    await ana.service.forget("titanic")
    assert await ana.service.job("titanic") is None


async def test_the_network_goes_in_mid_push_and_comes_back(ana: Desk) -> None:
    (ana.root / "titanic" / "a.py").write_text("a = 1\n")
    await ana.stage_all()
    ana.server.cut_next_push()
    job = await ana.ship()
    assert failed(job) == "network_failed"
    assert (await ana.resume()).state == "done"


async def test_what_a_hook_refused_is_mended_staged_and_gone_on_with(ana: Desk) -> None:
    repo = Repo(ana.root / "titanic")
    repo.hook("pre-commit", "! grep -q bad a.py")
    repo.write({"a.py": "bad = 1\n"})
    await ana.stage_all()
    assert failed(await ana.ship()) == "hook_failed"
    repo.write({"a.py": "good = 1\n"})
    await ana.stage_all()
    job = await ana.resume()
    assert job.state == "done", job
    assert ana.server.read(NAME, "a.py", "main") == b"good = 1\n"


async def test_commits_name_whom_git_knows_else_who_is_signed_in(ana: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    repo = Repo(ana.root / "titanic")
    for number, name in enumerate(("Ana Test", "ana")):
        repo.write({"a.py": f"a = {number}\n"})
        await ana.stage_all()
        assert (await ana.ship()).state == "done"
        assert name in repo("log", "-1", "--format=%an")
        monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")


async def test_a_pull_requests_text_is_asked_for_without_secrets_and_with_its_files(ana: Desk) -> None:
    repo = Repo(ana.root / "titanic")
    repo("switch", "-q", "-c", "topic")
    repo.commit({"a.py": f"key = '{KEY}'\n"}, "Add a key")
    words = await ana.service.message("titanic", "pull-request", None, ("ana", ()))
    assert [word async for word in words]
    [(question, files, _)] = ana.model.asked
    assert KEY not in str(question) and "[AWS access key]" in str(question)
    assert files == ["titanic/a.py"]


async def test_a_stop_right_after_the_start_is_heard(ana: Desk) -> None:
    (ana.root / "titanic" / "a.py").write_text("a = 1\n")
    await ana.stage_all()
    starting = asyncio.create_task(ana.service.ship("titanic", ShipAsked("Change")))
    await until(lambda: ana.service._ship._running)
    job = await ana.service.cancel("titanic")
    assert job is not None and job.state == "cancelled"
    assert [one async for one in await starting][-1].state == "cancelled"
    assert (await ana.resume()).state == "done"
