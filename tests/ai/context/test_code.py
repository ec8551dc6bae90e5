"""What a source imports, defines and uses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aidp_ext.ai.context.code import blanked, names, read, words


@pytest.mark.parametrize(
    ("source", "defines", "uses"),
    [
        ("df = pd.read_csv(path)", {"df"}, {"pd", "path"}),
        ("df = df.dropna()", {"df"}, {"df"}),
        ("df['age'] = df.age.fillna(limit)", {"df"}, {"df", "limit"}),
        ("df.loc[df.age > limit, 'x'] += other", {"df"}, {"df", "limit", "other"}),
        ("a, (b, *c) = f(k=d)", {"a", "b", "c"}, {"f", "d"}),
        ("a = b = c", {"a", "b"}, {"c"}),
        ("model: Net = build(1)", {"model"}, {"build"}),
        ("x == 3", set(), {"x"}),
        ("t = 1; u = t + v", {"t", "u"}, {"v"}),
        ("for row in df.itertuples():\n    total += row.age", {"row", "total"}, {"df", "total"}),
        ("with open(path) as file:\n    text = file.read()", {"file", "text"}, {"path"}),
        ("if (n := count(xs)) > most:\n    pass", {"n"}, {"count", "xs", "most"}),
        ("ys = [g(x) for x in xs]", {"ys"}, {"g", "xs"}),
        ("plot(\n    df,\n    hue=column,\n)", set(), {"plot", "df", "column"}),
        ("print(f'{model.name:>3} {best!r}')", set(), {"model", "best"}),
        ("print('model', \"best\")  # total", set(), set()),
    ],
)
def test_names_are_found(source: str, defines: set[str], uses: set[str]) -> None:
    found = read(source)
    assert found.defines == defines
    assert found.uses == uses


def test_what_a_function_has_for_itself_is_neither_defined_nor_used() -> None:
    source = (
        "def mean(frame, n=SIZE):\n    part = frame.head(n)\n    return part.age.mean() + offset\n\nresult = mean(df)"
    )
    found = read(source)
    assert found.defines == {"mean", "result"}
    assert found.uses == {"SIZE", "offset", "df"}


def test_a_class_is_defined_and_its_methods_are_not() -> None:
    found = read("class Net(Base):\n    def fit(self, x):\n        return helper(x)")
    assert found.defines == {"Net"}
    assert found.uses == {"Base", "helper"}


def test_imports_are_whole_and_bind_names() -> None:
    found = read(
        "import numpy as np, os.path\nfrom prep import (\n    clean,  # of names\n    load as read_all,\n)\nx = 1"
    )
    assert found.imports == "import numpy as np, os.path\nfrom prep import ( clean, load as read_all, )"
    assert found.imported == {"np", "os", "clean", "read_all"}
    assert found.modules == {"numpy", "os.path", "prep"}
    assert found.has_more
    assert not read("import numpy as np\nimport os").has_more


def test_a_relative_import_names_the_module() -> None:
    assert read("from .prep import clean\nfrom . import tools").modules == {"prep", "", "tools"}


def test_magics_do_not_hide_python() -> None:
    found = read("%%time\n%matplotlib inline\nfiles = !ls *.csv\n!pip install x\n%time result = fit(model)")
    assert found.defines == {"files", "result"}
    assert found.uses == {"fit", "model"}


@pytest.mark.parametrize("magic", ["%%bash", "%%sql", "%%writefile prep.py", "%%html"])
def test_a_cell_in_another_language_defines_nothing(magic: str) -> None:
    found = read(f"{magic}\nresult = 1")
    assert (found.defines, found.uses) == (frozenset(), frozenset())
    assert "result" in found.words


@pytest.mark.parametrize("source", ["x = foo(", 'y = """never closed', "def f(a, b", "for", "a = = b", "]])", "\x00=1"])
def test_broken_code_is_read_as_far_as_it_goes(source: str) -> None:
    assert read(f"{source}\n").words is not None
    assert "first" in read(f"first = 1\n{source}").defines


@pytest.mark.parametrize(
    ("language", "source", "name"),
    [
        ("R", "people <- read.csv('a.csv')", "people"),
        ("julia", "function area(r)\n  r\nend", "area"),
        ("javascript", "const total = add(1)", "total"),
        ("sql", "CREATE TABLE people AS SELECT 1", "people"),
    ],
)
def test_other_languages_define_names(language: str, source: str, name: str) -> None:
    assert name in read(source, language).defines


def test_words_are_those_that_tell_something() -> None:
    assert words("for penguin in print(bill_length)") == {"penguin", "bill_length"}
    assert names("why is df not X") >= {"df", "X"}


@given(st.text(alphabet=st.sampled_from("ab =()[]{}\"'#\\\n:;,.%!f0\ud800é\r\t"), max_size=300))
def test_no_source_is_too_odd(source: str) -> None:
    read(source)
    read(source, "r")
    assert len(blanked(source)) == len(source)


@pytest.mark.parametrize(
    "unit",
    [
        '"',
        "[",
        "(",
        "=",
        "a=[",
        "for x ",
        "x, ",
        "f'{",
        "a:",
        "a ",
        "with as a, ",
        "f'{a",
        "\\",
        "%a -b ",
        " \t",
        "[[a]]",
        "@",
        "{",
        "#",
    ],
)
def test_a_hostile_source_is_read_in_linear_time(unit: str) -> None:
    """Quadratic time would be minutes here; the suite's own time limit would end it."""
    for source in (unit * 200_000, "x" + unit * 200_000 + "= y", f"f'{{{unit * 30_000}"):
        read(source)
        read(source, "r")
