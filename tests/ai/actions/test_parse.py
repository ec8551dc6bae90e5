"""Reading answers: as they come, in pieces of any size, and whatever they hold."""

from __future__ import annotations

import ast
import contextlib
import random

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from aidp_ext.ai.actions import merge, parse, python
from aidp_ext.ai.actions.merge import Target
from aidp_ext.ai.actions.parse import Block, Splitter
from aidp_ext.core.errors import NoProposal

ANSWER = "Why: `x`.\n```python\nx = 1\n\ny = '```'\n```\nThat is **all**.\n"


def split(answer: str, sizes: list[int], *, bare: bool = True) -> dict[str, str]:
    splitter = Splitter(code_without_fence=bare)
    pieces, place = [], 0
    for size in [*sizes, len(answer)]:
        pieces += splitter.feed(answer[place : place + size])
        place += size
    pieces += splitter.end()
    return {kind: "".join(piece.text for piece in pieces if piece.kind == kind) for kind in ("text", "code")}


@given(st.lists(st.integers(1, 9), max_size=60))
def test_prose_and_code_are_told_apart_however_the_answer_is_cut(sizes: list[int]) -> None:
    assert split(ANSWER, sizes) == {"text": "Why: `x`.\nThat is **all**.\n", "code": "x = 1\n\ny = '```'\n"}


@pytest.mark.parametrize(
    ("answer", "text", "code"),
    [
        ("x = 1\ny = 2", "", "x = 1\ny = 2"),
        ("import os\n", "", "import os\n"),
        ("It is fine.", "It is fine.", ""),
        ("<think>\nhm\n</think>\n\nYes.\n```\nx\n```", "\nYes.\n", "x\n"),
        ("<think>never ends", "", ""),
        ("~~~\na\n~~~\nb", "b", "a\n"),
        ("````\n```\n````\nb", "b", "```\n"),
        ("a\r\n```\r\nb\r\n```\r\n", "a\n", "b\n"),
    ],
)
def test_what_is_shown_of_an_answer_as_it_comes(answer: str, text: str, code: str) -> None:
    assert split(answer, []) == {"text": text, "code": code}


def test_a_fence_that_is_indented_is_one_also_in_pieces() -> None:
    assert split("- a\n  ```\n  b\n  ```\nc", [4, 1, 1, 1, 1, 1]) == {"text": "- a\nc", "code": "  b\n"}


def test_words_are_shown_before_their_line_has_ended() -> None:
    splitter = Splitter()
    assert [piece.text for piece in splitter.feed("The na")] == ["The na"]
    assert [piece.text for piece in splitter.feed("me")] == ["me"]
    assert [piece.text for piece in splitter.feed("\n``")] == ["\n"], "the rest may become a fence"


def test_all_of_an_explanation_is_shown_but_its_thinking() -> None:
    splitter = Splitter(is_prose=True)
    shown = [*splitter.feed("<think>hm\n"), *splitter.feed("</think>\nIt is\n```py"), *splitter.feed("\nx\n```\n<b")]
    assert "".join(piece.text for piece in [*shown, *splitter.end()]) == "It is\n```py\nx\n```\n<b"
    assert {piece.kind for piece in shown} == {"text"}


@pytest.mark.parametrize(
    "unit", ["```\n", "#", "# rest of ", "x = 1\n\n", "@@\n-x\n+y\n", "...\n", "<think>", " ", "\n"]
)
def test_a_very_long_answer_is_read_in_bearable_time(unit: str) -> None:
    """Each of these would take minutes with an expression whose time grows by the square of the length."""
    answer = unit * (300_000 // len(unit))
    found = parse.read(answer)
    for block in (*found.blocks[:2], Block(answer)):
        with contextlib.suppress(NoProposal):
            merge.merged(Target.whole("x = 1\ny = 2\n"), block)
        with contextlib.suppress(NoProposal):
            merge.below_comment(Target.whole("# x\n"), block.text)
    split(answer, [])


# --- whatever comes

LINES = st.sampled_from(
    [
        *("```python", "```", "~~~", "````md", "```diff", "@@ -1 +1 @@", "--- a", "+++ b", "-x = 1", "+x = 2"),
        *("x = 1", "def f():", "    return 1", "class A:", "...", "# rest unchanged", "%%time", "!ls", "df?", " x = 1"),
        *("", "   ", "\t", '"""', "'''", "{", '{"code": "x = 2"}', "import os", "import os, sys", "from a import b"),
        *("@d", "<think>", "</think>", "No changes needed.", "def f(): return 2", "def g(): pass", "\x00", "\x0c"),
        *("x = 1\r", "if x:", "[" * 300, "\\", "The code is fine.", "    # ... existing code ...", "```python cell=1"),
        *("\u2028", "é = '😀'"),
    ]
)
TEXT = st.lists(LINES, max_size=12).map("\n".join)


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(TEXT | st.text(max_size=200))
@example("```" * 50)
@example("```json\n" + "[" * 2000 + "\n```")
@example('{"code": ' + "[" * 100_000)
def test_no_answer_makes_the_reading_fail(answer: str) -> None:
    for expects_python in (True, False):
        parse.read(answer, expects_python=expects_python)
    parse.without_fence(answer)
    shown = split(answer, [3] * 20)
    assert len(shown["text"] + shown["code"]) <= len(answer)


@settings(max_examples=600, suppress_health_check=[HealthCheck.too_slow])
@given(TEXT, TEXT, st.randoms(use_true_random=False), st.booleans())
def test_whatever_the_answer_what_is_not_selected_stays_byte_for_byte(
    source: str, code: str, chance: random.Random, is_small: bool
) -> None:
    start = chance.randint(0, len(source))
    end = chance.randint(start, len(source))
    target = Target(source, start, end)
    with contextlib.suppress(NoProposal):
        made = merge.merged(target, Block(code), is_small=is_small)
        assert made.startswith(source[:start])
        assert made.endswith(source[end:])
        assert len(made) >= start + len(source) - end
        assert made != source


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(TEXT, TEXT)
def test_code_below_a_comment_takes_nothing_away(source: str, code: str) -> None:
    with contextlib.suppress(NoProposal):
        made = merge.below_comment(Target.whole(source), code)
        place = next(n for n in range(len(source) + 1) if n == len(source) or made[n : n + 1] != source[n])
        assert made.startswith(source[:place])
        assert made.endswith(source[place:])


@settings(max_examples=300)
@given(st.lists(st.sampled_from(["x = 1  # é", "", "import os", "print('''\n  text\n''')"]), max_size=6), st.booleans())
def test_what_stands_around_a_replaced_function_stays_byte_for_byte(around: list[str], windows: bool) -> None:
    before, after = "\n".join(around), "\n".join(reversed(around))
    source = f"{before}\ndef f(a):\n    return a\nlast = f(1)\n{after}"
    source = source.replace("\n", "\r\n") if windows else source
    made = merge.merged(Target.whole(source), Block("def f(a):\n    return a + 1"))
    assert made == source.replace("return a", "return a + 1")


@pytest.mark.parametrize(
    "line", ["%time f()", "!ls -l {x}", "df?", "?df", "a = !ls", "a = %who", "    %run x.py", "pd.read_csv??"]
)
def test_magics_are_read_as_what_they_are(line: str) -> None:
    source = f"if True:\n    {line.strip()}\n    x = 1\n"
    assert isinstance(python.parse(source), ast.Module)
    assert python.plain(source).count("\n") == source.count("\n")


def test_a_line_of_a_text_that_looks_like_a_magic_is_kept() -> None:
    source = 'x = """\n%d items\n!\n"""\n'
    assert ast.dump(python.parse(source)) == ast.dump(ast.parse(source))  # type: ignore[arg-type]


@pytest.mark.parametrize("source", ["(" * 5000, "x = " + "-" * 100_000 + "1", "\0", "\ud800 = 1", "a" * 500_000 + " ="])
def test_source_that_python_itself_cannot_bear_is_broken_and_nothing_worse(source: str) -> None:
    assert isinstance(python.parse(source), python.Broken)


@pytest.mark.parametrize(
    "line", ["x" + " " * 200_000, "x" + "\t" * 200_000, "a, " * 70_000, "if " + "a" * 200_000, "a." * 99_000]
)
def test_a_very_long_line_takes_linear_time(line: str) -> None:
    """Quadratic time would be minutes here; the suite's own time limit would end it."""
    splitter = parse.Splitter(code_without_fence=True)
    assert "".join(piece.text for piece in [*splitter.feed(line), *splitter.end()]) == line
    parse.read(line)
