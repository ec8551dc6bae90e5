"""The rules of a workspace: what may leave, read from aidp.toml."""

from __future__ import annotations

import itertools
import os
import subprocess
import tomllib
from pathlib import Path

import pytest

from aidp_ext.ai.models import Privacy
from aidp_ext.ai.rules import OUTPUTS, Rules, Verdict, WorkspaceRules, matches
from aidp_ext.core.errors import InvalidRequest, StorageError

LOCAL, REDACT, CLOUD = Privacy.LOCAL, Privacy.REDACT, Privacy.CLOUD


def workspace(root: Path, text: str) -> Rules:
    (root / "aidp.toml").write_text(text)
    return Rules(root)


# ---- patterns


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("*.csv", "a.csv"),
        ("*.csv", "deep/down/a.csv"),
        ("*.csv", "A.CSV"),
        ("data/**", "data/a.ipynb"),
        ("data/**", "data/x/y/z.py"),
        ("data/", "data/a"),
        ("data/", "sub/data/a"),
        ("data", "sub/data/a"),
        ("/data", "data/a"),
        ("data/raw", "data/raw/a"),
        ("**/secret/*.py", "a/b/secret/x.py"),
        ("**/secret/*.py", "secret/x.py"),
        ("a/**/z", "a/z"),
        ("a/**/z", "a/b/c/z"),
        ("outputs", OUTPUTS),
        ("outputs", "runs/outputs/fig.txt"),
        ("data?/[a-c]*.txt", "data1/blob.txt"),
        (r"\*.csv", "*.csv"),
        ("[!a]x", "bx"),
        ("[^a]x", "bx"),
        ("Größe/", "gro\u0308ße/x"),
    ],
)
def test_a_pattern_matches_what_gitignore_users_expect(pattern: str, path: str) -> None:
    assert matches(pattern, path)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("*.csv", "a.csv.py"),
        ("/data", "sub/data/a"),
        ("data/raw", "sub/data/raw/a"),
        ("data/**", "database/a"),
        ("data/**", "sub/data/a"),
        ("outputs", "my_outputs/a"),
        (r"\*.csv", "a.csv"),
        ("# data", "data"),
        ("", "data"),
        ("/", "data"),
        ("a/*/z", "a/b/c/z"),
    ],
)
def test_a_pattern_leaves_other_paths_alone(pattern: str, path: str) -> None:
    assert not matches(pattern, path)


def test_patterns_mean_what_git_takes_them_for(tmp_path: Path) -> None:
    patterns = [
        "*.csv",
        "data/**",
        "/data/",
        "data",
        "a/**/c",
        "**/c",
        "a/*",
        "*a*b*",
        "[ab]",
        "[!ab]*",
        "d?ta",
        "a/b/",
    ]
    names = ["data", "a", "b", "c", "ab", "x.csv"]
    paths = ["/".join(parts) for size in (1, 2, 3) for parts in itertools.product(names, repeat=size)]
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True, env={**os.environ, "GIT_CONFIG_NOSYSTEM": "1"})
    for pattern in patterns:
        (tmp_path / ".gitignore").write_text(pattern + "\n")
        # A folder's name followed by a file's: git cannot know that a path that is not there is a folder
        asked = [path + "/file" for path in paths]
        said = subprocess.run(
            ["git", "-C", str(tmp_path), "check-ignore", "--no-index", "--stdin"],
            input="\n".join(asked),
            capture_output=True,
            text=True,
        )
        assert said.returncode in (0, 1), said.stderr
        ignored = set(said.stdout.split("\n")) - {""}
        assert {path for path in asked if matches(pattern, path)} == ignored, pattern


def test_a_hostile_pattern_is_read_in_linear_time() -> None:
    assert not matches("*a" * 400 + "b", "a" * 5000)
    assert not matches("**/" * 300 + "b", "a/" * 2000 + "c")


# ---- verdicts


def test_without_rules_the_default_holds(tmp_path: Path) -> None:
    assert Rules(tmp_path).judge(None, ["a.ipynb"]) == Verdict(REDACT, "default")
    assert Rules(None, default=CLOUD).judge(None, []) == Verdict(CLOUD, "default")


def test_what_is_asked_for_replaces_the_default(tmp_path: Path) -> None:
    assert Rules(tmp_path).judge(CLOUD, []) == Verdict(CLOUD, "asked")
    assert Rules(tmp_path).judge(LOCAL, []) == Verdict(LOCAL, "asked")


@pytest.mark.parametrize("asked", [None, *Privacy])
@pytest.mark.parametrize("own", [None, *Privacy])
@pytest.mark.parametrize("admin", [None, *Privacy])
def test_the_strictest_wins(tmp_path: Path, asked: Privacy | None, own: Privacy | None, admin: Privacy | None) -> None:
    (tmp_path / "aidp.toml").write_text(f'[ai]\nprivacy = "{own}"\n' if own else "")
    order = [LOCAL, REDACT, CLOUD]
    said = [one for one in (asked, own) if one] or [REDACT]
    strictest = min([*said, *([admin] if admin else [])], key=order.index)
    assert Rules(tmp_path, privacy=admin).judge(asked, []).privacy is strictest


def test_a_path_that_never_leaves_is_local_whatever_is_asked(tmp_path: Path) -> None:
    rules = workspace(tmp_path, '[ai]\nnever_leave = ["data/**", "outputs"]\nprivacy = "cloud"\n')
    assert rules.judge(CLOUD, ["a.ipynb", "data/x.csv"]) == Verdict(LOCAL, "never_leave", "data/**")
    assert rules.judge(CLOUD, ["a.ipynb", OUTPUTS]) == Verdict(LOCAL, "never_leave", "outputs")
    assert rules.judge(CLOUD, ["a.ipynb"]) == Verdict(CLOUD, "asked")


def test_the_admins_patterns_hold_beside_the_workspaces(tmp_path: Path) -> None:
    (tmp_path / "aidp.toml").write_text('[ai]\nnever_leave = ["mine/"]\n')
    rules = Rules(tmp_path, never_leave=["theirs/"])
    assert rules.judge(None, ["mine/a"]).detail == "mine/"
    assert rules.judge(None, ["theirs/a"]).detail == "theirs/"
    assert Rules(None, never_leave=["theirs/"]).judge(CLOUD, ["theirs/a"]).privacy is LOCAL


@pytest.mark.parametrize(
    "path",
    ["./data/a", "x/../data/a", "data\\a", "DATA/a", "data//a", "RTC:data/a", "data/../data/a", "RTC:/data/a"],
)
def test_another_spelling_of_a_path_does_not_slip_through(tmp_path: Path, path: str) -> None:
    rules = workspace(tmp_path, '[ai]\nnever_leave = ["/data/"]\n')
    assert rules.judge(CLOUD, [path]).reason == "never_leave"


@pytest.mark.parametrize("path", ["/etc/passwd", "../a", "a/../../b", "C:\\a", "c:/a", "a\0b", "RTC:../../x"])
def test_a_path_outside_the_workspace_stays_local(tmp_path: Path, path: str) -> None:
    assert Rules(tmp_path).judge(CLOUD, [path]) == Verdict(LOCAL, "outside", path)


def test_a_link_into_a_place_that_never_leaves_is_such_a_place(tmp_path: Path) -> None:
    root = tmp_path / "work"
    (root / "data").mkdir(parents=True)
    (root / "shown").symlink_to("data", target_is_directory=True)
    rules = workspace(root, '[ai]\nnever_leave = ["data/"]\n')
    assert rules.judge(CLOUD, ["shown/a.csv"]) == Verdict(LOCAL, "never_leave", "data/")
    (root / "elsewhere").symlink_to(tmp_path, target_is_directory=True)
    assert rules.judge(CLOUD, ["elsewhere/a.csv"]).reason == "outside"
    (root / "loop").symlink_to("loop")
    assert rules.judge(CLOUD, ["loop/a"]).reason == "outside"


def test_a_workspace_that_is_a_link_itself_is_no_place_outside(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "work").symlink_to("real", target_is_directory=True)
    rules = workspace(tmp_path / "work", '[ai]\nnever_leave = ["data/"]\n')
    assert rules.judge(CLOUD, ["a.ipynb"]) == Verdict(CLOUD, "asked")


# ---- the file


@pytest.mark.parametrize(
    "text",
    [
        "[ai\n",
        "never_leave = ['data/']\n",
        "ai = 3\n",
        "[ai]\nnever_leave = 'data/'\n",
        "[ai]\nnever_leave = [1]\n",
        "[ai]\nnever_leave = ['!data/']\n",
        "[ai]\nnever_leaves = ['data/']\n",
        "[ai]\nnever-leave = ['data/']\n",
        "[ai]\nprivacy = 'secret'\n",
        "[ai]\nprivacy = 1\n",
        "# " + "x" * 300_000,
    ],
)
def test_rules_that_cannot_be_understood_close_everything(tmp_path: Path, text: str) -> None:
    rules = workspace(tmp_path, text)
    verdict = rules.judge(CLOUD, [])
    assert (verdict.privacy, verdict.reason) == (LOCAL, "broken_rules")
    assert "aidp.toml" in verdict.detail
    assert rules.read().problem == verdict.detail


def test_a_file_that_is_no_file_closes_everything(tmp_path: Path) -> None:
    (tmp_path / "aidp.toml").mkdir()
    assert Rules(tmp_path).judge(CLOUD, []).reason == "broken_rules"
    (tmp_path / "aidp.toml").rmdir()
    (tmp_path / "aidp.toml").symlink_to("gone")
    assert Rules(tmp_path).judge(CLOUD, []).reason == "broken_rules"
    (tmp_path / "aidp.toml").unlink()
    (tmp_path / "aidp.toml").write_bytes(b"[ai]\nprivacy = '\xff'\n")
    assert Rules(tmp_path).judge(CLOUD, []).reason == "broken_rules"


def test_an_admins_pattern_that_cannot_be_understood_closes_everything() -> None:
    assert Rules(None, never_leave=["!x"]).judge(CLOUD, []).reason == "broken_rules"


def test_other_keys_and_tables_are_other_peoples(tmp_path: Path) -> None:
    rules = workspace(tmp_path, "[ai]\nmodel = 'x'\nprivacy = 'local'\n[git]\nprivate = true\n")
    assert rules.judge(CLOUD, []) == Verdict(LOCAL, "workspace")


def test_a_change_is_seen_at_once(tmp_path: Path) -> None:
    rules = workspace(tmp_path, "[ai]\nprivacy = 'local'\n")
    assert rules.judge(CLOUD, []).privacy is LOCAL
    workspace(tmp_path, "[ai]\nprivacy = 'cloud'\n")
    assert rules.judge(CLOUD, []).privacy is CLOUD
    (tmp_path / "aidp.toml").unlink()
    assert rules.judge(None, []).reason == "default"


# ---- writing

KEPT = """# our project
title = "x"

[ai] # models
# the data of our customers
never_leave = [
  "old/**",  # since 2023
  "[strange]",
]
temperature = 0.3
privacy = "cloud"

[ai.more]
x = 1

[[list]]
never_leave = ["mine"]
text = \"\"\"
[ai]
privacy = "local"
\"\"\"
"""


def test_writing_keeps_everything_else(tmp_path: Path) -> None:
    rules = workspace(tmp_path, KEPT)
    before = tomllib.loads(KEPT)
    rules.write(WorkspaceRules(("data/**", 'we"ird\\[x]', "Größe"), REDACT))
    text = (tmp_path / "aidp.toml").read_text()
    after = tomllib.loads(text)
    assert after.pop("ai") == {
        **before.pop("ai"),
        "never_leave": ["data/**", 'we"ird\\[x]', "Größe"],
        "privacy": "redact",
    }
    assert after == before
    assert "# our project" in text
    assert "# the data of our customers" in text
    assert rules.read() == WorkspaceRules(("data/**", 'we"ird\\[x]', "Größe"), REDACT)


def test_writing_makes_the_file_and_takes_rules_away_again(tmp_path: Path) -> None:
    rules = Rules(tmp_path)
    rules.write(WorkspaceRules(("data/",)))
    assert rules.judge(CLOUD, ["data/a"]).reason == "never_leave"
    rules.write(WorkspaceRules())
    assert rules.read() == WorkspaceRules()
    assert [path.name for path in tmp_path.iterdir()] == ["aidp.toml"]


@pytest.mark.parametrize("text", ["[ai\n", "ai = {privacy = 'local'}\n", "ai.privacy = 'local'\n", "ai = 3\n"])
def test_a_file_that_cannot_be_edited_safely_is_left_as_it_is(tmp_path: Path, text: str) -> None:
    rules = workspace(tmp_path, text)
    with pytest.raises(StorageError) as caught:
        rules.write(WorkspaceRules(("data/",)))
    assert "by hand" in str(caught.value.next_step)
    assert (tmp_path / "aidp.toml").read_text() == text


@pytest.mark.parametrize("pattern", ["a\x7fb", "\x00", '"', "\\", "\u2028", "\x85", "😀", "a\tb"])
def test_a_pattern_of_odd_characters_is_kept_as_it_is(tmp_path: Path, pattern: str) -> None:
    rules = Rules(tmp_path)
    rules.write(WorkspaceRules((pattern,)))
    assert Rules(tmp_path).read() == WorkspaceRules((pattern,))


def test_a_pattern_that_would_close_everything_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest):
        Rules(tmp_path).write(WorkspaceRules(("!data",)))
    with pytest.raises(StorageError):
        Rules(None).write(WorkspaceRules(("data",)))
    assert not list(tmp_path.iterdir())


def test_writing_keeps_the_files_mode_and_follows_a_link(tmp_path: Path) -> None:
    (tmp_path / "shared.toml").write_text("")
    (tmp_path / "shared.toml").chmod(0o640)
    (tmp_path / "aidp.toml").symlink_to("shared.toml")
    Rules(tmp_path).write(WorkspaceRules(privacy=LOCAL))
    assert (tmp_path / "aidp.toml").is_symlink()
    assert (tmp_path / "shared.toml").stat().st_mode & 0o777 == 0o640
    assert "local" in (tmp_path / "shared.toml").read_text()


def test_a_folder_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(StorageError) as caught:
        Rules(tmp_path / "gone").write(WorkspaceRules(privacy=LOCAL))
    assert "writable" in str(caught.value.next_step)
