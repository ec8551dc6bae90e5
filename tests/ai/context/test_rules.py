"""What the rules and the detector of secrets keep out, before anything is chosen."""

from __future__ import annotations

from pathlib import Path

import pytest

from aidp_ext.ai.context.clean import PLACEHOLDER
from aidp_ext.ai.context.wire import ContextQuestion, OpenFileSaid
from aidp_ext.ai.models import Task
from tests.ai.context.said import cell, choose, failed, frame, kernel, printed, question, told
from tests.support.planted import SECRETS

CLEAN = "def clean(frame):\n    return frame.dropna()\n"
NEVER_CSV = '[ai]\nnever_leave = ["private/", "*.csv"]\n'
NEVER_OUTPUTS = '[ai]\nnever_leave = ["outputs"]\n'
USES = [cell("i", "from prep import clean"), cell("here", "clean(df)")]


@pytest.mark.parametrize(("kind", "secret"), SECRETS)
@pytest.mark.parametrize("task", [Task.COMPLETE, Task.FIX])
def test_no_secret_is_told_from_anywhere(tmp_path: Path, kind: str, secret: str, task: Task) -> None:
    (tmp_path / "prep.py").write_text(f"def clean(frame):\n    return send(frame, '{secret}')\n")
    (tmp_path / "notes.md").write_text(f"Use {secret} for it.\n")
    cells = [
        cell("i", f"from prep import clean\nkey = '{secret}'  # {secret}"),
        cell("here", "clean(df, key)", outputs=[printed(f"sent {secret}"), failed(f"KeyError: {secret}")]),
    ]
    held = kernel(frame("df", value=secret), allows_values=True)
    asked = question(cells, "here", task, kernel=held, mentions=["file:notes.md", "cell:i"], query="clean key")
    asked.open = [OpenFileSaid(path="other.py", text=f"def df():\n    return '{secret}'\n")]
    chosen = choose(asked, tmp_path)
    assert secret not in repr(chosen)
    assert {"notes.md", "prep.py"} <= set(told(chosen, "file"))
    assert chosen.secrets >= 4
    assert chosen.text.count(PLACEHOLDER) == chosen.secrets


def test_a_secret_that_is_known_by_its_name_is_found_where_it_has_none() -> None:
    cells = [
        cell("a", "password = 'hunter2-horse9'"),
        cell("here", "show()", outputs=[printed("it is hunter2-horse9!")]),
    ]
    chosen = choose(question(cells, "here"))
    assert f"it is {PLACEHOLDER}!" in chosen.text
    assert chosen.secrets == 2


def test_a_secret_is_not_cut_into_what_nobody_recognises() -> None:
    token = dict(SECRETS)["github-token"]
    for shift in range(0, 80, 7):
        text = "x " * (450 - shift) + token + " y" * 3000
        chosen = choose(question([cell("here", "1", outputs=[printed(text)])], "here"))
        assert token[:12] not in chosen.text


def test_a_definition_in_the_workspace_is_told(tmp_path: Path) -> None:
    (tmp_path / "prep.py").write_text(CLEAN)
    chosen = choose(question(USES, "here"), tmp_path)
    assert '<file path="prep.py" line="1">\ndef clean(frame):' in chosen.text
    assert chosen.paths == ("work.ipynb", "prep.py")
    complete = choose(question(USES, "here", Task.COMPLETE), tmp_path)
    assert complete.text.startswith("# prep.py\ndef clean(frame):\n    return frame.dropna()\n\n")


@pytest.mark.parametrize("by_admin", [False, True])
def test_a_file_that_never_leaves_is_not_chosen(tmp_path: Path, by_admin: bool) -> None:
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "prep.py").write_text(CLEAN)
    more = {"never_leave": ["private/**"]} if by_admin else {"rules": NEVER_CSV}
    chosen = choose(question(USES, "here"), tmp_path, **more)
    assert "dropna" not in chosen.text
    assert chosen.paths == ("work.ipynb",)
    assert [(item.id, "private/" in item.why) for item in chosen.withheld] == [("private/prep.py", True)]


def test_an_open_file_that_never_leaves_is_not_chosen(tmp_path: Path) -> None:
    asked = question(USES, "here")
    asked.open = [OpenFileSaid(path="private/prep.py", text=CLEAN), OpenFileSaid(path="private/no.py", text="x = 1")]
    chosen = choose(asked, tmp_path, rules=NEVER_CSV)
    assert "dropna" not in chosen.text
    assert [item.id for item in chosen.withheld] == ["private/prep.py"]


def test_a_file_that_the_user_mentions_is_told_and_its_path_goes_along(tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text("name,age\nAna,31\n")
    chosen = choose(question(USES, "here", mentions=["file:people.csv"]), tmp_path, rules=NEVER_CSV)
    assert '<file path="people.csv">\nname,age\nAna,31\n</file>' in chosen.text
    assert chosen.paths == ("work.ipynb", "people.csv")
    assert "*.csv" in chosen.items[0].why


def test_the_documents_own_path_always_goes_along(tmp_path: Path) -> None:
    asked = question([], "")
    assert asked.document is not None
    asked.document.path = "private/work.ipynb"
    assert choose(asked, tmp_path, rules=NEVER_CSV).paths == ("private/work.ipynb",)


@pytest.mark.parametrize("path", ["../outside.py", "/etc/hostname", "link.py", "folder/up.py", "C:/x.py"])
def test_nothing_outside_of_the_workspace_is_told_not_even_on_request(tmp_path: Path, path: str) -> None:
    (tmp_path / "outside.py").write_text(CLEAN)
    work = tmp_path / "work"
    work.mkdir()
    (work / "link.py").symlink_to(tmp_path / "outside.py")
    (work / "folder").symlink_to(tmp_path)
    asked = question(USES, "here", mentions=[f"file:{path}"])
    asked.open = [OpenFileSaid(path=path, text=CLEAN)]
    chosen = choose(asked, work)
    assert not told(chosen, "file")
    assert chosen.paths == ("work.ipynb",)
    assert [item.id for item in chosen.withheld] == [path]


def test_an_open_file_outside_of_the_workspace_is_withheld(tmp_path: Path) -> None:
    asked = question(USES, "here")
    asked.open = [OpenFileSaid(path="../prep.py", text=CLEAN)]
    chosen = choose(asked, tmp_path)
    assert "dropna" not in chosen.text
    assert [item.id for item in chosen.withheld] == ["../prep.py"]


def test_a_rule_for_outputs_withholds_them_and_the_traceback(tmp_path: Path) -> None:
    cells = [cell("here", "1", outputs=[printed("one"), failed("ValueError: two")])]
    chosen = choose(question(cells, "here", Task.FIX), tmp_path, rules=NEVER_OUTPUTS)
    assert not {"one", "two"} & set(chosen.text.split())
    assert "outputs" not in chosen.paths
    assert {item.kind for item in chosen.withheld} == {"output", "traceback"}


def test_rules_that_cannot_be_understood_withhold_files_and_outputs(tmp_path: Path) -> None:
    (tmp_path / "prep.py").write_text(CLEAN)
    cells = [*USES[:1], cell("here", "clean(df)", outputs=[printed("one")])]
    chosen = choose(question(cells, "here"), tmp_path, rules="[ai\n")
    assert "dropna" not in chosen.text
    assert "\none\n" not in chosen.text
    assert all("aidp.toml" in item.why for item in chosen.withheld)
    assert len(chosen.withheld) == 2


def test_a_rule_that_changes_holds_at_once(tmp_path: Path) -> None:
    (tmp_path / "prep.py").write_text(CLEAN)
    asked = question(USES, "here")
    assert "dropna" in choose(asked, tmp_path).text
    assert "dropna" not in choose(asked, tmp_path, rules='[ai]\nnever_leave = ["*.py"]\n').text


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("gone.py", None, "no such file"),
        ("folder", "", "folder"),
        ("picture.png", "\0\1", "not text"),
        ("bad.ipynb", "{", "no notebook"),
    ],
)
def test_a_mentioned_file_that_cannot_be_told_is_named(
    tmp_path: Path, name: str, content: str | None, why: str
) -> None:
    if name == "folder":
        (tmp_path / name).mkdir()
    elif content is not None:
        (tmp_path / name).write_text(content)
    chosen = choose(ContextQuestion(mentions=[f"file:{name}"]), tmp_path)
    assert [(item.id, why in item.why) for item in chosen.withheld] == [(name, True)]


def test_of_a_mentioned_notebook_the_sources_are_told_and_no_outputs(tmp_path: Path) -> None:
    (tmp_path / "other.ipynb").write_text(
        '{"cells": [{"cell_type": "code", "source": ["x = 1\\n", "y = 2"], "outputs": [{"text": "Braund"}]}, '
        '{"cell_type": "markdown", "source": "# Title"}], "metadata": {"a": []}}'
    )
    chosen = choose(ContextQuestion(mentions=["file:other.ipynb"]), tmp_path)
    assert "x = 1\ny = 2\n\n# # Title" in chosen.text
    assert "Braund" not in chosen.text


def test_a_mention_may_write_a_path_in_its_own_way(tmp_path: Path) -> None:
    (tmp_path / "prep.py").write_text(CLEAN)
    chosen = choose(ContextQuestion(mentions=["file: ./prep.py", "file:prep.py"]), tmp_path)
    assert told(chosen, "file") == ["prep.py"]


def test_an_open_file_is_told_as_it_is_in_the_editor(tmp_path: Path) -> None:
    (tmp_path / "prep.py").write_text(CLEAN)
    asked = question(USES, "here", mentions=["file:prep.py"])
    asked.open = [OpenFileSaid(path="prep.py", text="def clean(frame):\n    return 'unsaved'\n")]
    text = choose(asked, tmp_path).text
    assert "unsaved" in text
    assert "dropna" not in text
