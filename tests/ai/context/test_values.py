"""A dataframe's values do not leave in what code prints, however it prints them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aidp_ext.ai.context import outputs
from aidp_ext.ai.context.values import ROWS, without_values
from aidp_ext.ai.context.wire import CellSaid, OpenFileSaid, OutputSaid
from aidp_ext.ai.models import Task
from tests.ai.context.said import cell, choose, frame, kernel, question

FRAME = "     name  age\n0  Braund   22\n1   Allen   35"
#: As pandas, NumPy and Python print two rows with the names Braund and Allen.
PRINTED = {
    "a frame": FRAME,
    "a frame below a title": f"Top rows:\n{FRAME}",
    "a frame above a remark": f"{FRAME}\ndone",
    "a frame of one column": "Names:\n     name\n0  Braund\n1   Allen",
    "a frame without its index": "x\n  name  age\nBraund   22\n Allen   35",
    "a column without its index": "x\n  name\nBraund\n Allen",
    "two columns without an index": "x\n  name   kin\nBraund Owens\n Allen  Owen",
    "rows without a header": "x\nBraund 22\n Allen 35",
    "a frame on its side": "x\n           0      1\nname  Braund  Allen\nage       22     35",
    "a series": "s\n0    Braund\n1     Allen\nName: name, dtype: str",
    "a list": "names: ['Braund', 'Allen']",
    "a list over lines": "names: [\n  'Braund',\n  'Allen'\n]",
    "a cut list": "names: ['Braund', 'Al\n…\n'Allen', 'Braund'] done",
    "the end of a cut list": "'Braund', 'Allen'] done",
    "an array": "x ['Braund' 'Allen']",
    "an array's form": "x array(['Braund', 'Allen'], dtype=object)",
    "a nested array": "x\n[['Braund' 22]\n ['Allen' 35]]",
    "a list with a bracket in it": "['Brau]nd', 'Allen]', 'Braund']",
    "an index": "x Index(['Braund', 'Allen'], dtype='str', name='name')",
    "a set": "{'Braund', 'Allen'}",
    "records": "[{'name': 'Braund'}, {'name': 'Allen'}]",
    "a record": "Pandas(Index=0, name='Braund')\nPandas(Index=1, name='Allen')",
    "a cut record": "Pandas(Index=0, name='Braund",
    "a tuple": "('Braund', 22)",
    "JSON": '{"name": {"0": "Braund", "1": "Allen"}}',
    "lines of JSON": '{"name":"Braund"}\n{"name":"Allen"}',
    "a part of JSON": '  "0": "Braund",\n  "1": "Allen"',
    "CSV": "x\nname,age\nBraund,22\nAllen,35",
    "CSV with a semicolon": "name;age\nBraund;22\nAllen;35",
    "CSV with tabs": "name\tage\nBraund\t22\nAllen\t35",
    "HTML": "<tr>\n<td>Braund</td>\n<td>Allen</td>",
    "XML": "<name>Braund</name>\n<name>Allen</name>",
    "TeX": "Braund & 22 \\\\\nAllen & 35 \\\\",
    "Markdown": "x\n| name   |\n|:-------|\n| Braund |\n| Allen  |",
    "a simple grid": "x\nname      age\n------  -----\nBraund     22\nAllen      35",
    "lines between rules": "+--------+\n| Braund |\n+--------+",
    "one text": "'Braund'",
}


@pytest.mark.parametrize("text", PRINTED.values(), ids=PRINTED)
def test_what_shows_data_is_left_out(text: str) -> None:
    shown = outputs.shown(outputs.plain(text), 1000, is_data=False, shows_values=False)
    assert "Braund" not in shown
    assert "Allen" not in shown
    assert outputs.shown(text, 1000, is_data=False, shows_values=True) == text


#: What loops print, of which no form tells that it is data, and what the code that printed it says.
LOOSE = {
    "a line a row": ("for name, fare in rows:\n    print(name, fare)", "Braund 7.25\nAllen 8.05"),
    "a label a row": ("for name, fare in rows:\n    print(f'{name}: {fare}')", "Braund: 7.25\nAllen: 8.05"),
    "one row": ("print(*df.iloc[0])", "Braund 22"),
    "one text": ("print(df.name[0])", "Braund"),
    "a column": ("print(*df.name, sep='\\n')", "Braund\nAllen"),
    "a column in a line": ("print(*df.name)", "Braund Allen"),
    "a column as CSV": ("print(df[['name']].to_csv(index=False))", "name\nBraund\nAllen"),
    "an element": ("df.fare.iloc[0], df.name[0]", "np.float64(7.25) Braund"),
    "numbers": ("print(*df.fare, sep='\\n')", "Braund\n7.25\n8.05\n53.1"),
}


@pytest.mark.parametrize(("source", "text"), LOOSE.values(), ids=LOOSE)
def test_lines_without_a_word_of_the_code_are_left_out(source: str, text: str) -> None:
    here = CellSaid(id="here", source=source, outputs=[OutputSaid(kind="text", text=text)])
    chosen = choose(question([here], "here", Task.EXPLAIN))
    for value in ("Braund", "Allen", "7.25", "8.05", "53.1"):
        assert value not in chosen.text
    assert [(item.kind, item.id) for item in chosen.withheld] == [("output", "here")]
    allowed = choose(question([here], "here", Task.EXPLAIN, kernel=kernel(allows_values=True)))
    assert "Braund" in allowed.text


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("print('Accuracy', accuracy)", "Accuracy 0.87"),
        ("print(f'mean {x}')", "mean 3.5"),
        ("print('df', len(df))", "df 3"),
        ("len(df)", "891"),
        ("print(len(df))\nprint(len(test))", "891\n418"),
        ("!pip install nothing", "ERROR: Could not install: gone"),
        ("%pip install nothing", "ERROR: Could not install: gone"),
        ("f()", "prep.py:3: FutureWarning: Passing a Braund"),
        ("print('größe', n)", "Größe 3"),
    ],
)
def test_lines_with_a_word_of_the_code_stay(source: str, text: str) -> None:
    here = CellSaid(id="here", source=source, outputs=[OutputSaid(kind="text", text=text)])
    chosen = choose(question([here], "here", Task.EXPLAIN))
    assert text in chosen.text
    assert chosen.withheld == ()


@pytest.mark.parametrize(
    "text",
    [
        "accuracy: 0.87\nloss 0.3",
        "Epoch 1/3: loss=0.5, val=0.6\nEpoch 2/3: loss=0.4, val=0.5",
        "[INFO] started (see the docs, please)",
        "shape (891, 12)",
        "(891, 12)",
        "Saved 1,234,567 rows to out.csv",
        "KeyError: 'age'",
        "size mismatch: torch.Size([10, 5]) and torch.Size([5])",
        "3",
        "",
    ],
)
def test_other_words_stay(text: str) -> None:
    assert without_values(text) == text


def test_words_around_data_stay() -> None:
    assert without_values(f"Top rows:\n{FRAME}\ndone") == f"Top rows:\n{ROWS}\ndone"
    assert without_values("best: {'C': 1.0} of 5") == "best: {…} of 5"


@pytest.mark.parametrize(
    "unit", ["\n", "[", "]", "(", "{", "[a]", "(a", "'", "['", "\\", "a,b\n", "[\\'", "['a", " a\n", "-= "]
)
def test_hostile_outputs_take_linear_time(unit: str) -> None:
    """Quadratic time would be minutes here; the suite's own time limit would end it."""
    without_values(unit * (300_000 // len(unit)))


@given(st.text(alphabet=st.sampled_from("[]{}()'\"\\ ,;|\n\tab1<>&…"), max_size=200))
def test_any_text_is_taken(text: str) -> None:
    assert without_values(without_values(text)) is not None


@pytest.mark.parametrize("kind", ["text", "table", "image", "other"])
def test_printed_rows_are_withheld_from_a_model_and_listed(kind: str) -> None:
    here = CellSaid(id="here", source="print(df)", outputs=[OutputSaid(kind=kind, text=f"Top:\n{FRAME}")])  # type: ignore[arg-type]
    chosen = choose(question([here], "here", Task.EXPLAIN, kernel=kernel(frame("df"))))
    assert "Braund" not in repr(chosen)
    assert "age" in chosen.text  # of the schema, which is allowed
    assert [(item.kind, item.id) for item in chosen.withheld] == [("output", "here")]


def test_the_data_below_an_error_is_not_told() -> None:
    text = f"AssertionError: Arrays are not equal\n x: array(['Braund'])\n{FRAME}"
    assert outputs.traceback(text, 4000, {}).text == "AssertionError: Arrays are not equal\n" + "\n".join(
        (" x: array(…)", ROWS)
    )
    assert "Braund" in outputs.traceback(text, 4000, {}, shows_values=True).text


#: Errors as pandas, NumPy and Python raise them, the line that fails, and what is told of them.
ERRORS = {
    "float(x)": ("ValueError: could not convert string to float: 'Braund'", "to float: '…'"),
    "int(x)": ("ValueError: invalid literal for int() with base 10: 'Braund'", "base 10: '…'"),
    "df[x]": ("KeyError: 'Braund'", "KeyError: '…'"),
    "df['age']": ("KeyError: 'age'", "KeyError: 'age'"),
    "df.loc[x]": ("KeyError: 4711", "KeyError: …"),
    "df.loc[12]": ("KeyError: 12", "KeyError: 12"),
    "df[['age', x]]": ("KeyError: \"['Braund'] not in index\"", 'KeyError: "[…] not in index"'),
    "df[['a', 'b']]": ("KeyError: \"['b'] not in index\"", "KeyError: \"['b'] not in index\""),
    "df.mean()": ("TypeError: Could not convert string 'BraundAllen' to numeric", "string '…' to numeric"),
    "names.index(x)": ("ValueError: 4711 is not in list", "ValueError: … is not in list"),
    "pd.to_datetime(x)": (
        "DateParseError: Unknown datetime string format, unable to parse: Braund, Mr., at position 0",
        "unable to parse: …",
    ),
    "raise ValueError(f'bad row {x}')": ("ValueError: bad row Braund 4711", "ValueError: bad row …"),
    "raise ValueError('bad row', x)": ("ValueError: ('bad row', 'Braund')", "ValueError: (…)"),
    "assert False, x": ("AssertionError: Braund", "AssertionError: …"),
    "raise Gone(x)": ("Gone: Braund", "Gone: …"),
    "raise KeyError(x)  # several": ("KeyError: {'name': 'Braund', 'fare': 4711}", "KeyError: {…}"),
    "df.agee": ("AttributeError: 'DataFrame' object has no attribute 'agee'", "'DataFrame' object has no"),
    "1 + ''": ("TypeError: unsupported operand type(s) for +: 'int' and 'str'", "for +: 'int' and 'str'"),
    "a + b": (
        "ValueError: operands could not be broadcast together with shapes (3,) (4,)",
        "with shapes (3,) (4,)",
    ),
    "f()": ("TypeError: f() missing 1 required positional argument: 'where'", "argument: 'where'"),
    "open(p)": ("UnicodeDecodeError: 'utf-8' codec can't decode byte 0xe9 in position 3", "'utf-8' codec can't"),
    "a[5]": (
        "IndexError: index 5 is out of bounds for axis 0 with size 3",
        "index 5 is out of bounds for axis 0 with size 3",
    ),
}


@pytest.mark.parametrize(("source", "error", "told"), [(k, *v) for k, v in ERRORS.items()], ids=ERRORS)
def test_an_error_names_no_value_that_the_code_does_not_have(source: str, error: str, told: str) -> None:
    text = f"Cell In[1], line 1\n----> 1 {source}\n\n{error}"
    here = CellSaid(id="here", source=source, count=1, outputs=[OutputSaid(kind="error", text=text)])
    for task in Task:
        chosen = choose(question([here], "here", task))
        assert told in chosen.text
        assert "Braund" not in repr(chosen)
        assert "4711" not in repr(chosen)
    assert error in choose(question([here], "here", Task.FIX, kernel=kernel(allows_values=True))).text


def test_the_error_that_led_to_another_names_no_value_either() -> None:
    text = (
        "Cell In[1], line 2\n      1 try:\n----> 2     float(x)\n\nValueError: could not convert string: 'Braund'\n\n"
        "During handling of the above exception, another exception occurred:\n\n"
        "Cell In[1], line 4\n      3 except ValueError:\n----> 4     raise RuntimeError(x)\n\nRuntimeError: Braund"
    )
    told = outputs.traceback(text, 4000, {}).text
    assert "Braund" not in told
    assert "could not convert string: '…'" in told
    assert "RuntimeError: …" in told
    assert "Braund" in outputs.traceback(text, 4000, {}, shows_values=True).text


def test_what_another_cell_says_is_no_news_in_an_error() -> None:
    text = "Cell In[2], line 1\n----> 1 df[name]\n\nKeyError: 'agee'"
    cells = [
        CellSaid(id="a", source="name = 'agee'", count=1),
        CellSaid(id="here", source="df[name]", count=2, outputs=[OutputSaid(kind="error", text=text)]),
    ]
    assert "KeyError: 'agee'" in choose(question(cells, "here", Task.FIX)).text


@pytest.mark.parametrize("unit", ["'", "\"'", "['", "a: ", "… ", "'\\", "1,", "'a' ", "parse: "])
def test_hostile_errors_take_linear_time(unit: str) -> None:
    outputs.traceback(f"In[1], line 1\n----> 1 raise E\n\nValueError: {unit * (300_000 // len(unit))}", 4000, {})


def test_a_traceback_that_is_none_is_a_text_as_others() -> None:
    assert "Braund" not in outputs.traceback(f"{FRAME}\nKeyError: 'x'", 4000, {}).text


@pytest.mark.parametrize("path", ["people.csv", "people.tsv", "people.json", "people.txt", "people.dat", "people"])
def test_rows_in_an_open_file_are_told_only_where_the_file_is_named(path: str) -> None:
    data = OpenFileSaid(path=path, text="passenger,cabin,fare\nBraund,C85,7.25\nAllen,C123,53.1")
    asked = question([cell("here", "x")], "here", query="which passenger had the cabin for what fare", open=[data])
    assert "Braund" not in choose(asked).text
    asked.mentions = [f"file:{path}"]
    assert "Braund" in choose(asked).text


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("people.txt", "passenger\tcabin\tfare\nBraund\tC85\t7.25\n"),
        ("people.sql", "create table passenger (cabin text, fare real);\ninsert into passenger values ('Braund');"),
        ("more.sql", "insert into passenger (cabin, fare) values\n('Braund', 7.25),\n('Allen', 53.1);"),
    ],
)
def test_rows_in_a_file_of_the_workspace_are_not_found_by_words(tmp_path: Path, path: str, text: str) -> None:
    (tmp_path / path).write_text(text)
    asked = question([cell("here", "x")], "here", query="which passenger had the cabin for what fare in people")
    assert "Braund" not in choose(asked, tmp_path).text


@pytest.mark.parametrize("path", ["people.csv", "people.json", "people.ipynb"])
def test_a_file_of_data_that_is_worked_on_is_told_only_where_it_is_named_or_values_are_allowed(path: str) -> None:
    asked = question([cell("file", "passenger,cabin\nBraund,C85")], "file", query="explain")
    assert asked.document is not None
    asked.document.kind, asked.document.path = "file", path
    chosen = choose(asked)
    assert "Braund" not in chosen.text
    assert [(item.kind, item.id) for item in chosen.withheld] == [("file", path)]
    asked.kernel = kernel(allows_values=True)
    assert "Braund" in choose(asked).text
    asked.kernel, asked.mentions = None, [f"file:{path}"]
    assert "Braund" in choose(asked).text


@pytest.mark.parametrize("end", ["", ',\n "cells'])
def test_of_a_notebook_that_is_open_as_text_the_outputs_are_not_told_cut_or_not(end: str) -> None:
    output = '{"output_type": "stream", "text": "passenger cabin fare Braund"}'
    code = f'{{"cell_type": "code", "source": "passenger = cabin", "outputs": [{output}]}}'
    text = f'{{"cells": [{code}]{end or "}"}'
    asked = question([cell("here", "x")], "here", query="which passenger had the cabin for what fare")
    asked.open = [OpenFileSaid(path="other.ipynb", text=text)]
    assert "Braund" not in choose(asked).text
    asked.mentions = ["file:other.ipynb"]
    assert "Braund" not in choose(asked).text
