"""Outputs and tracebacks in short."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aidp_ext.ai.context import outputs

MODERN = """\x1b[0;31m---------------------------------------------------------------------------\x1b[0m
\x1b[0;31mKeyError\x1b[0m                                  Traceback (most recent call last)
File \x1b[0;32m~/v/lib/python3.11/site-packages/pandas/base.py:3805\x1b[0m, in \x1b[0;36mIndex.get_loc\x1b[0m
\x1b[1;32m   3804\x1b[0m try:
\x1b[0;32m-> 3805\x1b[0m     return self._engine.get_loc(casted_key)

KeyError: 'agee'

The above exception was the direct cause of the following exception:

KeyError                                  Traceback (most recent call last)
Cell \x1b[0;32mIn[7], line 2\x1b[0m
\x1b[1;32m      1\x1b[0m x = clean(df)
\x1b[0;32m----> 2\x1b[0m mean_age(df)

Cell \x1b[0;32mIn[3], line 2\x1b[0m, in \x1b[0;36mmean_age\x1b[0m\x1b[0;34m(df)\x1b[0m
\x1b[1;32m      1\x1b[0m def mean_age(df):
\x1b[0;32m----> 2\x1b[0m     return df['agee'].mean()

File \x1b[0;32m~/v/lib/python3.11/site-packages/pandas/frame.py:4102\x1b[0m, in \x1b[0;36mDataFrame.__getitem__\x1b[0m
   4102     indexer = self.columns.get_loc(key)

KeyError: 'agee'"""


def test_a_traceback_keeps_the_error_and_the_notebooks_own_frames() -> None:
    found = outputs.traceback(MODERN, 4000, {7: 12, 3: 4})
    assert found.error == "KeyError: 'agee'"
    assert found.counts == (7, 3)
    assert found.text == (
        "KeyError: 'agee'\nThe above exception was the direct cause of the following exception:\n"
        "(cell 12) Cell In[7], line 2\n      1 x = clean(df)\n----> 2 mean_age(df)\n"
        "(cell 4) Cell In[3], line 2, in mean_age\n      1 def mean_age(df):\n"
        "----> 2     return df['agee'].mean()\n"
        "… 2 frames in libraries …\nKeyError: 'agee'"
    )


@pytest.mark.parametrize(
    "frame",
    [
        "Input In [5], in <cell line: 2>()\n----> 2 f()",
        "<ipython-input-5-0a1b2c> in <module>\n----> 2 f()",
        "In[5], line 2\n f()",
    ],
)
def test_tracebacks_of_older_kernels_are_understood(frame: str) -> None:
    found = outputs.traceback(f"{frame}\n\nValueError: no", 4000, {5: 2})
    assert found.counts == (5,)
    assert found.text.startswith("(cell 2) ")
    assert found.text.endswith("ValueError: no")


def test_a_traceback_of_plain_python_keeps_the_files_of_the_workspace() -> None:
    text = (
        'Traceback (most recent call last):\n  File "prep.py", line 3, in clean\n    x()\n'
        '  File "/usr/lib/python3.11/json/__init__.py", line 2, in f\n    y()\nOSError: gone'
    )
    found = outputs.traceback(text, 4000, {})
    assert 'File "prep.py", line 3' in found.text
    assert "json" not in found.text
    assert found.error == "OSError: gone"


def test_a_verbose_traceback_does_not_tell_what_the_variables_hold() -> None:
    text = (
        "Cell In[3], line 2, in f(df=     name\n0  Braund\n1  Cumings)\n"
        "      1 def f(df):\n----> 2     return df['x']\n"
        "        df =      name\n0  Braund\n3  Cumings\n\nKeyError: 'x'"
    )
    found = outputs.traceback(text, 4000, {})
    assert found.text == "Cell In[3], line 2, in f\n      1 def f(df):\n----> 2     return df['x']\nKeyError: 'x'"


def test_a_syntax_error_keeps_its_mark() -> None:
    text = "  Cell In[5], line 1\n    1 +\n       ^\nSyntaxError: invalid syntax"
    assert outputs.traceback(text, 4000, {}).text == text.lstrip()


def test_an_error_of_several_lines_is_whole() -> None:
    text = "Cell In[1], line 1\n----> 1 f()\n\nValidationError: 2 errors\n  age: missing\n  sex: missing"
    assert outputs.traceback(text, 4000, {}).error == "ValidationError: 2 errors\n  age: missing\n  sex: missing"


@pytest.mark.parametrize("text", ["", "no traceback at all", "Error", "\x1b[31m", "x" * 100_000, "In[1]\n" * 20_000])
def test_what_is_no_traceback_is_bounded_text(text: str) -> None:
    assert len(outputs.traceback(text, 500, {}).text) <= 520


def test_an_output_is_plain_text() -> None:
    assert (
        outputs.plain("\x1b[31mred\x1b[0m\n 10%\r 50%\r100%\nbell\x07 \x1b]8;;http://x\x07link")
        == "red\n100%\nbell link"
    )


def test_a_huge_output_costs_no_more_than_its_ends() -> None:
    text = "first\n" + "x" * 50_000_000 + "\nlast"
    found = outputs.plain(text)
    assert found.startswith("first")
    assert found.endswith("last")
    assert len(found) < 100_000


def test_a_long_text_loses_lines_from_its_middle() -> None:
    text = "\n".join(f"line {number}" for number in range(1000))
    found = outputs.clipped(text, 300)
    assert len(found) <= 300
    assert found.startswith("line 0\n")
    assert found.endswith("line 999")
    assert "lines left out" in found


@given(st.text(max_size=2000), st.integers(0, 400))
def test_a_clipped_text_is_never_too_long(text: str, most: int) -> None:
    assert len(outputs.clipped(text, most)) <= most


PANDAS = "   age  sex\n0   22    m\n1   38    f\n\n[2 rows x 2 columns]"


@pytest.mark.parametrize(
    "text",
    [
        PANDAS,
        "    name\n0   Ana\n1  Bela",
        "0    22\n1    38\nName: age, dtype: int64",
        "shape: (2, 1)\n┌─────┐\n│ age │\n└─────┘",
        "array([22, 38])",
        "[[1 2]\n [3 4]]",
        "[22.5 38.  26. ]",
        "tensor([[1.0]])",
        "+---+\n|age|\n+---+",
        "|    |   age |\n|---:|------:|\n|  0 |    22 |",
    ],
)
def test_printed_data_is_recognised(text: str) -> None:
    assert outputs.is_table(text)


@pytest.mark.parametrize(
    "text", ["done", "0.93", "epoch 1 loss 0.3\nepoch 2 loss 0.2", "Index: a", "", "  indented words only"]
)
def test_other_text_is_not_taken_for_data(text: str) -> None:
    assert not outputs.is_table(text)


def test_of_a_table_only_the_size_is_shown_unless_values_are_allowed() -> None:
    shown = outputs.table(PANDAS, 1000, shows_values=False)
    assert shown == "… rows not shown … [2 rows x 2 columns]"
    assert "22" in outputs.table(PANDAS, 1000, shows_values=True)


def test_a_first_row_is_not_taken_for_the_header_of_a_table_without_one() -> None:
    assert outputs.table("  Braund 22\nCumings 38", 1000, shows_values=False) == "… rows not shown …"


def test_of_a_long_table_the_first_rows_are_shown() -> None:
    text = "   age\n" + "\n".join(f"{row}  {row * 2}" for row in range(100))
    shown = outputs.table(text, 1000, shows_values=True)
    assert shown.endswith("5  10\n… 94 lines left out …")


@pytest.mark.parametrize(
    "unit", ["1", "\n", "-", "x\n\r", "[[", " ", "\x1b[", "\r", "a: ", "File a", "E:", "_", "Name: "]
)
def test_hostile_outputs_take_linear_time(unit: str) -> None:
    """Quadratic time would be minutes here; the suite's own time limit would end it."""
    text = unit * 500_000
    outputs.is_table(outputs.plain(text))
    outputs.traceback(text, 4000, {})
    outputs.traceback(text + "\nx\n", 4000, {})
