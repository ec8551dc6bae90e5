"""`%%ai`: its options, its prompt, what it sends, and what it leaves on the page. Real kernels are in tests/hosts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from traitlets.config import Config

import aidp_ext
from aidp_ext.ai import magic
from aidp_ext.ai.client import About, Reply
from aidp_ext.ai.magic import MagicError, code_of, fill, footer, shown
from tests.support import ai_stub
from tests.support.ai_stub import TOKEN, Stub, chat, piece, stream, whole

CHAT = "v1/chat/completions"
FENCED = "Here:\n\n```python\nx = 1\n```\n\nand\n\n```\ny = 2\n```\n"

# --- the prompt ---


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{name} and {name}", "Ana and Ana"),
        ("{person.real} {numbers[1]} {table[key]}", "4 20 v"),
        ("{table[key].upper}", None),
        ("{ratio:.2f} {name!r:>6} {count:,}", "0.67  'Ana' 12,345"),
        ("{{name}} }}{{", "{name} }{"),
        ('{"name": 1} {} { name } {0} {a b} ${1}', '{"name": 1} {} { name } {0} {a b} ${1}'),
        ("body { color: red }\nf({1: 2})", "body { color: red }\nf({1: 2})"),
    ],
)
def test_variables_are_filled_in_and_other_braces_left_alone(text: str, expected: str | None) -> None:
    names = {"name": "Ana", "person": 4, "numbers": [10, 20], "table": {"key": "v"}, "ratio": 2 / 3, "count": 12345}
    if expected is None:
        assert fill(text, names).text.startswith("<built-in method upper")
    else:
        assert fill(text, names).text == expected


def test_nothing_is_called() -> None:
    called = []
    names = {"f": lambda: called.append(1), "self": called}
    assert fill("{f()} {self.append(1)} {f}", names).text.startswith("{f()} {self.append(1)} <function")
    assert called == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{nme}", "There is no variable 'nme'; nothing was sent."),
        ("{table[kee]}", "{table[kee]}: no 'kee'"),
        ("{table.kee}", "'kee'"),
        ("{numbers[9]}", "out of range"),
        ("{numbers:.2f}", "unsupported format string"),
    ],
)
def test_what_is_not_there_is_said_before_anything_is_sent(text: str, says: str) -> None:
    with pytest.raises(MagicError) as caught:
        fill(text, {"table": {}, "numbers": [1]})
    assert says in str(caught.value)
    assert "nothing was sent" in str(caught.value)


def test_a_plain_brace_is_explained_where_it_was_taken_for_a_variable() -> None:
    with pytest.raises(MagicError) as caught:
        fill("print(f'{birb}')", {"bird": 1, "fish": 2})
    assert caught.value._render_traceback_() == [
        "aidp: There is no variable 'birb'; nothing was sent.",
        "Did you mean {bird}? For plain braces write {{birb}}.",
    ]
    with pytest.raises(MagicError) as caught:
        fill("{x}", {"bird": 1})
    assert caught.value.next_step == "For plain braces write {{x}}."


def test_a_long_value_keeps_its_ends_and_is_named() -> None:
    filled = fill("{log}{short}", {"log": "a" * 30_000 + "z" * 30_000, "short": "s"})
    assert len(filled.text) < magic.MAX_VALUE + 100
    assert filled.text.startswith("aaa")
    assert filled.text.endswith("zzzs")
    assert "(40,000 characters left out)" in filled.text
    assert (filled.fields, filled.shortened) == (("log", "short"), ("log",))


def test_a_table_is_told_by_its_shape_its_columns_and_its_first_rows() -> None:
    wide = pd.DataFrame({f"column_{n}": np.arange(1000) for n in range(40)})
    text = shown(wide)
    assert text.startswith("DataFrame with 1,000 rows and 40 columns (column_0: int64, column_1: int64,")
    assert "of which these are the first 10" in text
    assert "column_39" in text.splitlines()[1], "no column is left out"
    assert len(text.splitlines()) == 12
    assert "first" not in shown(wide.head(3))
    assert len(shown(np.zeros((500, 500)))) < 1000
    assert shown(wide["column_0"]).count("\n") < 20


# --- the answer ---


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (FENCED, "x = 1\ny = 2"),
        ("x = 1\n", "x = 1"),
        ("```python\nx = 1\nfor", "x = 1\nfor"),
        ("```py\n\n    x = 1\n```", "    x = 1"),
        ("", ""),
    ],
)
def test_code_is_taken_from_its_fences(text: str, code: str) -> None:
    assert code_of(text) == code


@pytest.mark.parametrize(
    ("about", "line"),
    [
        (
            About("anthropic/claude-sonnet", "cloud", "cloud_first", cost_usd=0.0042),
            "claude-sonnet · cloud · $0.0042 · This kind of task goes to a strong cloud model first",
        ),
        (About("openai/org/m", "cloud", "new_reason", cost_usd=0.00001), "org/m · cloud · $0.000010 · new_reason"),
        (About("local/tiny", "local", "asked_for", cost_usd=0.0), "tiny · local · You asked for this model"),
        (
            About("openai/m", "cloud", "asked_for", ("seed",), 2, usage={"total_tokens": 1234}, finish_reason="length"),
            "m · cloud · 1,234 tokens · You asked for this model · 2 replaced before it left"
            " · cut at the longest answer allowed · seed",
        ),
        (About(), ""),
    ],
)
def test_one_line_says_who_answered_where_for_how_much_and_why(about: About, line: str) -> None:
    assert footer(about) == line


# --- in a notebook ---


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stub]:
    with ai_stub.ai_stub() as running:
        monkeypatch.setenv("AIDP_AI_URL", running.url)
        monkeypatch.setenv("AIDP_AI_TOKEN", TOKEN)
        monkeypatch.setenv("AIDP_NOTEBOOK", "birds.ipynb")
        running.answers[CHAT] = ai_stub.birds(**{"X-AIDP-Locality": "local"})
        yield running


class Shell(InteractiveShell):
    """A shell that keeps no history and remembers what it is asked to put into the next cell."""

    kernel = None  # as a notebook's has one: answers grow in place
    next_input = ""

    def set_next_input(self, text: str, replace: bool = False) -> None:
        assert not replace
        self.next_input = text


@pytest.fixture
def shell() -> Iterator[Shell]:
    shell: Shell = Shell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    shell.extension_manager.load_extension("aidp_ext")
    yield shell
    Shell.clear_instance()


def run(shell: Shell, cell: str) -> tuple[list[dict[str, Any]], str]:
    """Run a cell; return what it displays, each in its last state, and what it prints."""
    with capture_output() as captured:
        result = shell.run_cell(cell)
    shown = [output.data for output in captured.outputs]
    return shown, captured.stdout + captured.stderr + repr(result.error_in_exec or "")


def test_the_answer_grows_in_place_and_one_line_stands_below(stub: Stub, shell: Shell) -> None:
    displays, _ = run(shell, "%%ai\nWhich bird is it?")
    *grown, last, line = displays
    assert grown[0]["text/markdown"] == "Pen"
    assert last == {"text/plain": "Penguins are birds.", "text/markdown": "Penguins are birds."}
    assert line["text/plain"].startswith("claude-sonnet · local · ")
    assert "<small" in line["text/html"]
    assert stub.asked[0].body["messages"] == [{"role": "user", "content": "Which bird is it?"}]
    assert stub.asked[0].body["model"] == "auto"
    assert stub.asked[0].headers["x-aidp-path"] == "birds.ipynb"
    assert len(stub.asked) == 1


def test_options_are_sent(stub: Stub, shell: Shell) -> None:
    run(shell, "%%ai -m openai/gpt -t fix --private --system 'Be brief.'\nx")
    run(shell, "%%ai --redact -f code\nx")
    first, second = stub.asked
    assert (first.body["model"], first.headers["x-aidp-task"]) == ("openai/gpt", "fix")
    assert first.headers["x-aidp-privacy"] == "local"
    assert first.body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert second.headers["x-aidp-privacy"] == "redact"
    assert "code only" in second.body["messages"][0]["content"]


def test_variables_of_the_notebook_go_with_the_question_and_are_said_to_be_results(stub: Stub, shell: Shell) -> None:
    shell.user_ns["bird"] = "puffin"
    run(shell, "%%ai\nWhat is a {bird}?")
    assert stub.asked[0].body["messages"][0]["content"] == "What is a puffin?"
    assert stub.asked[0].headers["x-aidp-path"] == "birds.ipynb,outputs"


def test_nothing_is_sent_where_a_variable_is_missing(stub: Stub, shell: Shell) -> None:
    _, said = run(shell, "%%ai\nWhat is a {nonesuch}?")
    assert "There is no variable 'nonesuch'; nothing was sent." in said
    assert "Traceback" not in said
    assert stub.asked == []


def test_the_answer_goes_into_a_variable_and_a_new_cell(stub: Stub, shell: Shell) -> None:
    stub.answers[CHAT] = stream(piece(FENCED), b"data: [DONE]\n\n")
    run(shell, "%%ai --to answer --insert\nx")
    answer = shell.user_ns["answer"]
    assert isinstance(answer, Reply)
    assert (answer, answer.route) == (FENCED, "anthropic/claude-sonnet")
    assert shell.next_input == "x = 1\ny = 2"
    run(shell, "%%ai --to code -f code\nx")
    assert shell.user_ns["code"] == "x = 1\ny = 2"


def test_without_streaming_it_is_shown_once(stub: Stub, shell: Shell) -> None:
    stub.answers[CHAT] = chat("Penguins.", **{"X-AIDP-Cost-USD": "0.0042"})
    displays, _ = run(shell, "%%ai --no-stream\nx")
    assert [display["text/plain"] for display in displays[:-1]] == ["Penguins."]
    assert "claude-sonnet · cloud · $0.0042 ·" in displays[-1]["text/plain"]
    assert stub.asked[0].body["stream"] is False


@pytest.mark.parametrize(
    ("style", "kind", "text"),
    [
        ("markdown", "text/markdown", FENCED),
        ("code", "text/markdown", "```python\nx = 1\ny = 2\n```"),
        ("text", "text/plain", FENCED),
    ],
)
def test_the_format_is_chosen(stub: Stub, shell: Shell, style: str, kind: str, text: str) -> None:
    stub.answers[CHAT] = stream(piece(FENCED), b"data: [DONE]\n\n")
    displays, _ = run(shell, f"%%ai -f {style}\nx")
    assert displays[-2][kind] == text
    assert ("text/markdown" in displays[-2]) is (style != "text")


def test_in_a_terminal_the_answer_comes_once(stub: Stub, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(Shell, "kernel")
    displays, _ = run(shell, "%%ai\nx")
    assert [display["text/plain"] for display in displays[:-1]] == ["Penguins are birds."]


def test_a_refusal_is_one_message_with_its_next_step_and_ends_the_cell(stub: Stub, shell: Shell) -> None:
    details = {"next_step": "Start Ollama."}
    body = {"error": {"code": "no_model_available", "message": "No model answers.", "details": details}}
    stub.answers[CHAT] = whole(body, 503)
    _, said = run(shell, "%%ai\nx")
    assert "aidp: No model answers.\nStart Ollama." in said
    assert "Traceback" not in said
    assert "MagicError" in said, "so that Run All stops here"


def test_an_answer_that_breaks_off_stays_on_the_page(stub: Stub, shell: Shell) -> None:
    stub.answers[CHAT] = stream(piece("Pen"), piece("guins"))
    displays, said = run(shell, "%%ai\nx")
    assert displays[-1]["text/plain"] == "Penguins"
    assert "aidp: The answer broke off." in said


def test_the_line_magic_says_who_would_answer(stub: Stub, shell: Shell) -> None:
    decision = {"route": "local/tiny", "locality": "local", "message": "Fast.", "mode": "hybrid", "next_step": None}
    stub.answers["route"] = whole(decision)
    displays, _ = run(shell, "%ai -t docs")
    assert displays[0]["text/plain"] == "local/tiny · local · Fast. Mode: hybrid. %ai --help lists the options."
    assert stub.asked[0].body == {"model": "auto", "task": "docs"}
    stub.answers["route"] = whole(
        {**decision, "route": None, "message": "No model answers.", "next_step": "Start one."}
    )
    _, said = run(shell, "%ai")
    assert "aidp: No model answers.\nStart one." in said


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        ("%%ai --modell x\ny", "Unrecognized arguments: --modell x."),
        ("%%ai --task sing\ny", "invalid choice: 'sing'"),
        ("%%ai --private --redact\ny", "not allowed with"),
        ("%%ai --system 'open\ny", "The options cannot be read"),
        ("%%ai --to 1x\ny", "'1x' is no name of a variable."),
        ("%%ai\n\n  \n", "The cell holds no question."),
        ("%ai what is this", "Unrecognized arguments"),
    ],
)
def test_a_slip_in_the_options_is_said_and_nothing_sent(stub: Stub, shell: Shell, cell: str, says: str) -> None:
    _, said = run(shell, cell)
    assert says in said
    assert "Traceback" not in said
    assert stub.asked == []


@pytest.mark.parametrize("cell", ["%ai --help", "%%ai -h\nx"])
def test_help_lists_every_option(stub: Stub, shell: Shell, cell: str) -> None:
    _, said = run(shell, cell)
    for option in (
        "--model",
        "--task",
        "--private",
        "--redact",
        "--system",
        "--format",
        "--insert",
        "--to",
        "--no-stream",
    ):
        assert option in said
    assert stub.asked == []


def test_unloading_takes_the_magics_away(shell: Shell) -> None:
    assert "ai" in shell.magics_manager.magics["cell"]
    aidp_ext.unload_ipython_extension(shell)
    assert "ai" not in {**shell.magics_manager.magics["cell"], **shell.magics_manager.magics["line"]}
