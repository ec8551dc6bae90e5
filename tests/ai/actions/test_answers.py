"""What becomes of what models really answer: a table of answers, and the source or the refusal that comes of each."""

from __future__ import annotations

import pytest

from aidp_ext.ai.actions import prompts
from aidp_ext.ai.actions.files import Files
from aidp_ext.ai.actions.proposals import proposed
from aidp_ext.core.errors import NoProposal
from tests.ai.actions.asking import job, new_source, proposal

CELL = "import pandas as pd\n\ndf = pd.read_csv('a.csv')\ndf.groupy('sex').mean()\n"
GOOD = "import pandas as pd\n\ndf = pd.read_csv('a.csv')\ndf.groupby('sex').mean()\n"
CODE = GOOD.rstrip("\n")

ANSWERS = {
    "a fence": f"It is groupby.\n```python\n{CODE}\n```",
    "a fence without a language": f"```\n{CODE}\n```",
    "a fence of tildes": f"~~~python\n{CODE}\n~~~",
    "a longer fence": f"````python\n{CODE}\n````",
    "a fence that is never closed": f"It is groupby.\n```python\n{CODE}",
    "a fence with a name": f"```python cell=c1\n{CODE}\n```",
    "a fence with a number": f"```python cell=1\n{CODE}\n```",
    "a fence with attributes in braces": f'```{{.python cell="c1"}}\n{CODE}\n```',
    "a fence in a list": "1. Do this:\n\n   ```python\n" + "\n".join("   " + x for x in CODE.split("\n")) + "\n   ```",
    "Windows line ends": f"It is groupby.\n```python\n{CODE}\n```\n".replace("\n", "\r\n"),
    "no fence": CODE,
    "no fence, and words before": f"Here is the fixed code:\n\n{CODE}",
    "no fence, and words behind": f"{CODE}\n\nThis works because the method is called groupby.",
    "words behind the fence": f"```python\n{CODE}\n```\nHope this helps! Let me know.",
    "thinking": f"<think>\nLet me see.\n```python\nprint('a draft')\n```\n</think>\n\n```python\n{CODE}\n```",
    "JSON": '{"explanation": "groupby", "code": "import pandas as pd\\n\\ndf = pd.read_csv(\'a.csv\')'
    "\\ndf.groupby('sex').mean()\"}",
    "JSON in a fence": '```json\n{"code": "import pandas as pd\\n\\ndf = pd.read_csv(\'a.csv\')'
    "\\ndf.groupby('sex').mean()\"}\n```",
    "the wrong line first": f"The problem is\n```python\ndf.groupy('sex').mean()\n```\nWrite\n```python\n{CODE}\n```",
    "the output behind": f"```python\n{CODE}\n```\nIt prints\n```text\nmale 1\nfemale 2\n```",
    "a shell command before": f"```bash\npip install pandas\n```\n```python\n{CODE}\n```",
    "a diff": "```diff\n--- a\n+++ b\n@@ -3,2 +3,2 @@\n df = pd.read_csv('a.csv')\n-df.groupy('sex').mean()\n"
    "+df.groupby('sex').mean()\n```",
    "a diff with wrong numbers": "```diff\n@@ -40,2 +41,2 @@\n df = pd.read_csv('a.csv')\n-df.groupy('sex').mean()\n"
    "+df.groupby('sex').mean()\n```",
    "a diff without a head": "```diff\n-df.groupy('sex').mean()\n+df.groupby('sex').mean()\n```",
    "a diff in a Python fence": "```python\n@@ -4 +4 @@\n-df.groupy('sex').mean()\n+df.groupby('sex').mean()\n```",
    "a diff without a fence": "--- a/x.py\n+++ b/x.py\n@@ -4 +4 @@\n-df.groupy('sex').mean()\n"
    "+df.groupby('sex').mean()",
    "chat marks": f"```python\n{CODE}\n```<|im_end|>",
    "only the line that changes": "Write\n```python\ndf.groupby('sex').mean()\n```",
    "words in a fence before": f"```python\nThe method is misspelt\n```\n```python\n{CODE}\n```",
    "blank lines around": f"```python\n\n\n{CODE}\n\n\n```",
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_the_same_code_is_found_in_every_kind_of_answer(answer: str) -> None:
    assert new_source("fix", answer, CELL) == GOOD


REFUSED = {
    "nothing": ("", "no code"),
    "white space": ("  \n\n ", "no code"),
    "words": ("I cannot help with that.", "no code"),
    "words that are Python by accident": ("This", "no code"),
    "no change": ("The code is correct. No changes are needed.", "nothing to change"),
    "the same code": (f"```python\n{CELL}```", "changes nothing"),
    "an empty fence": ("```python\n```", "no code"),
    "three dots": ("```python\nimport pandas as pd\n...\ndf.groupby('sex').mean()\n```", "left code out"),
    "a comment with dots": ("```python\n# ... rest of the code\ndf.groupby('sex').mean()\n```", "left code out"),
    "a comment in words": ("```python\n# existing code\ndf.groupby('sex').mean()\n```", "left code out"),
    "unchanged": ("```python\nimport pandas as pd\n# (unchanged)\ndf.groupby('sex').mean()\n```", "left code out"),
    "the rest remains": (
        "```python\ndf.groupby('sex').mean()\n# The rest of your code remains the same\n```",
        "left code out",
    ),
    "a fragment": ("```python\ndf.plot()\n```", "fragment"),
    "only a new function": (
        "```python\ndef f(x):\n    a = 1\n    b = 2\n    return x\n```",
        "would delete",
    ),
    "a diff that does not fit": ("```diff\n@@ -1 +1 @@\n-df.plot()\n+df.hist()\n```", "does not fit"),
    "a diff with a placeholder": (
        "```diff\n@@ -1,4 +1,2 @@\n import pandas as pd\n-\n-df = pd.read_csv('a.csv')\n+# ... as before\n```",
        "left code out",
    ),
    "a diff that changes nothing": ("```diff\n@@ -1 +1 @@\n import pandas as pd\n```", "changes nothing"),
    "cells that are not there": ("```python cell=8\nx = 1\n```\n```python cell=9\nx = 2\n```", "not there"),
    "words in a fence": ("```python\nthe whole new source of cell 1\n```", "no code"),
    "only thinking": ("<think>\n```python\nx = 1\n```", "no code"),
    "JSON without code": ('{"answer": 42}', "no code"),
}


@pytest.mark.parametrize(("answer", "says"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_safe_change_is_refused_with_a_next_step(answer: str, says: str) -> None:
    with pytest.raises(NoProposal, match=says) as refused:
        proposal("fix", answer, CELL)
    assert refused.value.next_step
    assert refused.value.code == "no_proposal"


# --- placeholders that are none


KEPT = {
    "dots that were there": ("class P:\n    ...\nx = 1\n", "```python\nclass P:\n    ...\nx = 2\n```"),
    "a comment that was there": ("# existing code\nx = 1\n", "```python\n# existing code\nx = 2\n```"),
    "a doctest": (
        "def f(x):\n    return x\n",
        '```python\ndef f(x):\n    """Return it.\n\n    >>> for x in "ab":\n    ...     f(x)\n    ...\n    """\n'
        "    return x\n```",
    ),
    "a stub that is new": ("x = 1\n", "```python\nclass P:\n    ...\n\nx = 1\n```"),
    "a comment where nothing is lost": ("x = 1\ny = 2\n", "```python\nx = 1\n# y stays the same\ny = 2\n```"),
    "an ellipsis in code": ("x = a[0]\n", "```python\nx = a[..., 0]\n```"),
}


@pytest.mark.parametrize(("source", "answer"), KEPT.values(), ids=KEPT)
def test_dots_and_comments_that_stand_for_nothing_are_no_placeholders(source: str, answer: str) -> None:
    assert new_source("edit", answer, source) == answer.split("\n", 1)[1].removesuffix("```")


# --- only a part of the source


LONG = (
    "%matplotlib inline\nimport os\n\nDATA = 1  # Ünïcode\n\n\ndef first(x):\n    return x\n\n\n"
    "@cache\ndef second(x):\n    return x + 1\n\n\nprint(second(DATA))\n"
)


def test_one_function_of_a_longer_cell_takes_the_place_of_the_one_of_its_name() -> None:
    answer = "```python\n@cache\ndef second(x):\n    return x + 2\n```"
    assert new_source("fix", answer, LONG) == LONG.replace("x + 1", "x + 2")


def test_the_imports_and_the_helpers_that_come_with_a_function_are_put_where_they_belong() -> None:
    helper = "def helper(x):\n    return math.sqrt(x)\n"
    answer = f"```python\nimport math\n\n{helper}\ndef first(x):\n    return helper(x)\n```"
    made = new_source("optimize", answer, LONG)
    assert made == LONG.replace("import os", "import math\nimport os").replace(
        "def first(x):\n    return x\n",
        f"{helper}\n\ndef first(x):\n    return helper(x)\n",
    )


def test_a_method_goes_into_the_one_class_that_has_it() -> None:
    source = "class A:\n    def f(self):\n        return 1\n\n    def g(self):\n        return 2\n"
    answer = "```python\ndef f(self):\n    return 3\n```"
    assert new_source("fix", answer, source) == source.replace("return 1", "return 3")


def test_a_name_that_is_there_twice_is_refused() -> None:
    source = "def f():\n    return 1\n\ndef f():\n    return 2\n\nx = f()\n"
    with pytest.raises(NoProposal, match="more than one `f`"):
        proposal("fix", "```python\ndef f():\n    return 3\n```", source)
    classes = "class A:\n    def f(self): return 1\nclass B:\n    def f(self): return 2\n"
    with pytest.raises(NoProposal, match="more than one `f`"):
        proposal("fix", "```python\ndef f(self):\n    return 3\n```", classes)


def test_line_ends_of_windows_are_kept() -> None:
    source = LONG.replace("\n", "\r\n")
    answer = "```python\n@cache\ndef second(x):\n    y = 2\n    return x + y\n```"
    assert new_source("fix", answer, source) == source.replace("return x + 1", "y = 2\r\n    return x + y")
    assert new_source("edit", "```python\na = 1\nb = 2\n```", "a = 1\r\n") == "a = 1\r\nb = 2\r\n"


def test_an_import_is_not_lost_where_only_the_function_comes_back() -> None:
    source = "import os\n\ndef f():\n    return os.name\n"
    answer = "```python\ndef f() -> str:\n    return os.name\n```"
    assert new_source("docs", answer, source) == source.replace("def f()", "def f() -> str")


def test_docstrings_never_cost_a_function() -> None:
    source = "def f():\n    return 1\n\ndef g():\n    return 2\nx = 1\n"
    answer = '```python\ndef f():\n    """One."""\n    return 1\nx = 1\ny = 2\n```'
    with pytest.raises(NoProposal, match="would delete `g`"):
        proposal("docs", answer, source)


# --- magics


@pytest.mark.parametrize("magic", ["%%time", "%%sql sqlite://", "%%bash"])
def test_the_magic_of_a_cell_is_kept(magic: str) -> None:
    assert new_source("edit", "```\nb\n```", f"{magic}\na\n") == f"{magic}\nb\n"
    assert new_source("edit", f"```\n{magic}\nb\n```", f"{magic}\na\n") == f"{magic}\nb\n"


def test_magics_at_the_top_survive_a_small_change() -> None:
    source = "%matplotlib inline\n!pip install x\nx = 1\ny = x.foo\n"
    assert new_source("fix", "```python\nx = 1\ny = x.real\n```", source) == source.replace("foo", "real")


def test_magics_are_no_broken_python() -> None:
    answer = "```python\n%timeit f()\nfiles = !ls\nx = %who_ls\ndf?\nawait f()\n```"
    (change,) = proposal("edit", answer, "x = 1\n").changes
    assert change.why == ""


def test_a_proposal_that_is_no_python_is_shown_and_says_so() -> None:
    (change,) = proposal("edit", "```python\ndef f(:\n    pass\n```", "x = 1\n").changes
    assert change.source == "def f(:\n    pass\n"
    assert "not valid Python (line 1" in change.why


def test_a_docstring_may_have_fences_of_its_own() -> None:
    code = 'def f():\n    """Do it.\n\n    ```\n    f()\n    ```\n    """\n    return 1\n'
    assert new_source("edit", f"Here.\n```python\n{code}```\nDone.", "x = 1\n") == code


# --- selections


SELECTED = "def f(x):\n    if x:\n        y = 1\n        z = 2\n    return y\n\ntotal = f(1)\n"


@pytest.mark.parametrize(
    ("part", "answer", "expected"),
    [
        ("        y = 1\n", "y = 3\nif z:\n    z = 4", "        y = 3\n        if z:\n            z = 4\n"),
        ("y = 1\n        z = 2", "    y = 3\n    z = 4", "y = 3\n        z = 4"),
        ("        y = 1\n", "        y = 3", "        y = 3\n"),
        ("f(1)", "f(2)", "f(2)"),
        ("f(1)", "f(\n    2\n)", "f(\n    2\n)"),
        ("        z = 2\n    return y\n", "        z = 3\n    return z", "        z = 3\n    return z\n"),
    ],
)
def test_a_selection_is_indented_as_it_was_and_the_rest_stays(part: str, answer: str, expected: str) -> None:
    start = SELECTED.index(part)
    selection = {"start": start, "end": start + len(part)}
    made = new_source("edit", f"```python\n{answer}\n```", SELECTED, selection=selection)
    assert made == SELECTED[:start] + expected + SELECTED[start + len(part) :]


def test_a_model_that_answers_a_selection_with_the_whole_cell_changes_the_selection_alone() -> None:
    part = "        y = 1\n        z = 2\n"
    start = SELECTED.index(part)
    answer = SELECTED.replace("y = 1", "y = 5")
    selection = {"start": start, "end": start + len(part)}
    assert new_source("edit", f"```python\n{answer}```", SELECTED, selection=selection) == answer


def test_a_selection_counts_code_points() -> None:
    source = "a = '😀😀'\nb = 1\n"
    start = source.index("b = 1")
    made = new_source("edit", "```python\nb = 2\n```", source, selection={"start": start, "end": start + 5})
    assert made == "a = '😀😀'\nb = 2\n"


# --- several cells


def test_a_fix_may_mend_the_cell_that_is_the_cause() -> None:
    answer = "The name is wrong above.\n```python cell=1\ntotal = 1\n```\n"
    found = proposal("fix", answer, "totl = 1", "print(total)", active=1)
    (change,) = found.changes
    assert (change.cell, change.original, change.source) == ("c1", "totl = 1", "total = 1")
    assert change.why == ""  # all of it is the proposal's


def test_each_cell_of_a_fix_says_which_it_is_and_why() -> None:
    answer = "First the name.\n```python cell=c1\ntotal = 1\n```\nThen the call.\n```python\nprint(total, 1)\n```"
    found = proposal("fix", answer, "totl = 1", "print(total)", active=1)
    assert [(change.cell, change.why) for change in found.changes] == [
        ("c2", "Cell 2. Then the call."),
        ("c1", "Cell 1. First the name."),
    ]


def test_more_than_three_cells_are_refused() -> None:
    blocks = "\n".join(f"```python cell={number}\ny = {number}\n```" for number in range(1, 5))
    with pytest.raises(NoProposal, match="4 cells"):
        proposal("fix", blocks, *["x = 0"] * 4)


def test_a_fix_of_a_selection_changes_no_other_cell() -> None:
    answer = "```python cell=1\nb = 2\n```\n```python\nprint(2)\n```"
    found = proposal("fix", answer, "a = 1", "print(1)\n", active=1, selection={"start": 0, "end": 8})
    assert [change.cell for change in found.changes] == ["c2"]


# --- secrets

KEY = "AKIA" + "QWERTYUIOP234567"


def test_a_secret_is_put_back_where_its_mark_stands() -> None:
    source = f"key = '{KEY}'\nconect(key)\n"
    answer = "```python\nkey = '[HIDDEN_1]'\nconnect(key)\n```"
    assert new_source("fix", answer, source) == source.replace("conect", "connect")


def test_a_cell_whose_secret_the_model_has_not_seen_is_not_overwritten() -> None:
    answer = "```python cell=1\nkey = '[SECRET]'\nb = 2\n```"
    with pytest.raises(NoProposal, match="secret"):
        proposal("fix", answer, f"key = '{KEY}'\nb = 1\n", "print(b)", active=1)


# --- Markdown, and code from a comment


def test_a_summary_becomes_a_cell_of_markdown_above_the_first() -> None:
    answer = "```markdown\n# Titanic\n\nIt asks **who** survived.\n\n```python\ndf.head()\n```\n\nThe end.\n```"
    (change,) = proposal("summary", answer, "x = 1", "y = 2", active=1).changes
    assert (change.kind, change.cell, change.cell_type, change.original) == ("insert_above", "c1", "markdown", "")
    assert change.source == "# Titanic\n\nIt asks **who** survived.\n\n```python\ndf.head()\n```\n\nThe end."


def test_a_summary_brings_no_image_and_no_html() -> None:
    answer = "# A\n![x](http://evil.example/?q=1) <img src='http://evil.example'> `<b>` a < b\n<script>x</script>"
    (change,) = proposal("summary", answer, "x = 1").changes
    assert change.source == (
        "# A\n[x](http://evil.example/?q=1) &lt;img src='http://evil.example'> `<b>` a < b\n&lt;script>x&lt;/script>"
    )


@pytest.mark.parametrize(
    "answer",
    [
        "\\``` ![x](http://evil.example/?q=1) ```",
        "- ```\n![x](http://evil.example/?q=1)",
        "`\n\n![x](http://evil.example/?q=1) `",
        "text ``` ![x](http://evil.example/?q=1) `` text ```` more",
    ],
)
def test_what_only_looks_like_code_brings_no_image_into_a_cell(answer: str) -> None:
    (summary,) = proposal("summary", answer, "x = 1").changes
    (edit,) = proposal("edit", answer, "# Old\n", types={1: "markdown"}).changes
    assert "![" not in summary.source
    assert "![" not in edit.source


def test_images_that_a_cell_of_markdown_has_already_stay_and_are_pointed_out() -> None:
    source = "# Old\n![mine](figure.png)\n"
    (change,) = proposal(
        "edit", "# New\n![mine](figure.png)\n![x](http://evil.example)", source, types={1: "markdown"}
    ).changes
    assert "![mine](figure.png)" in change.source
    assert change.why.startswith("Look closely: it has images")


@pytest.mark.parametrize("before", ["", "```markdown\n", "Better:\n\n```md\n"])
def test_a_cell_of_markdown_can_be_edited(before: str) -> None:
    answer = before + "# New\n\nText." + ("\n```" if before else "")
    (change,) = proposal("edit", answer, "# Old\n", types={1: "markdown"}).changes
    assert (change.kind, change.cell_type, change.source) == ("replace", "markdown", "# New\n\nText.\n")


@pytest.mark.parametrize(
    ("source", "code", "expected"),
    [
        ("# the mean by sex\n", "df.groupby('sex').mean()", "# the mean by sex\ndf.groupby('sex').mean()\n"),
        ("# the mean", "# the mean\ndf.mean()", "# the mean\ndf.mean()"),
        ("def f():\n    # the mean\n    return 1\n", "x = 2", "def f():\n    # the mean\n    x = 2\n    return 1\n"),
        ("# one\r\nx = 1\r\n", "y = 2\nz = 3", "# one\r\ny = 2\r\nz = 3\r\nx = 1\r\n"),
        ("", "x = 1", "x = 1"),
        ("x = 1", "y = 2", "x = 1\ny = 2"),
    ],
)
def test_code_from_a_comment_comes_below_it_and_changes_nothing_else(source: str, code: str, expected: str) -> None:
    assert new_source("generate", f"```python\n{code}\n```", source) == expected


def test_code_from_a_cell_of_words_becomes_a_cell_below() -> None:
    (change,) = proposal("generate", "```python\nx = 1\n```", "Load the data.", types={1: "markdown"}).changes
    assert (change.kind, change.cell, change.cell_type, change.source) == ("insert_below", "c1", "code", "x = 1")


def test_a_cell_that_is_no_python_can_be_mended() -> None:
    source = "def f(x)\n    return x\n\nprint(f(1))\n"
    assert new_source("fix", f"```python\n{source.replace('(x)', '(x):', 1)}```", source) == source.replace(
        "(x)", "(x):", 1
    )


def test_a_function_that_is_to_go_goes() -> None:
    source = "def f():\n    return 1\n\n\ndef g():\n    return 2\n"
    assert new_source("edit", "```python\ndef g():\n    return 2\n```", source) == "def g():\n    return 2\n"


def test_a_secret_is_not_copied_into_a_test() -> None:
    answer = "```python\ndef test_ask():\n    assert ask() == 1\n```"
    source = new_source("tests", answer, f"KEY = '{KEY}'\n", "def ask():\n    return 1 if KEY else 0\n", active=1)
    assert KEY not in source
    assert "KEY = '[HIDDEN_1]'" in source


def test_a_line_that_may_be_for_several_is_refused() -> None:
    with pytest.raises(NoProposal, match="fragment"):
        proposal("fix", "```python\nax.plot(c)\n```", "ax.plot(a)\nax.plot(b)\nshow()\nx = 1\n")


def test_a_small_cell_may_be_replaced_by_a_function() -> None:
    answer = "```python\ndef mean(values):\n    return sum(values) / len(values)\n```"
    assert new_source("fix", answer, "men([1, 2])") == answer.split("\n", 1)[1].removesuffix("\n```")


def test_control_tokens_of_a_model_are_kept_from_it_and_come_back() -> None:
    source = "stop = ['<|im_end|>', '</s>', '[INST]']\nx = 1\n"
    asked = job("edit", source, instruction="make it 2")
    sent = repr(prompts.messages(asked, ""))
    assert not any(token in sent for token in ("im_end", "</s>", "[INST]"))
    target = asked.target.source.replace("x = 1", "x = 2")
    (change,) = proposed(asked, f"```python\n{target}```", Files(None)).changes
    assert change.source == source.replace("x = 1", "x = 2")
