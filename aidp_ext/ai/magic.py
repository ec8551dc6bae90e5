"""``%%ai`` and ``%ai`` in a notebook. Nothing here is imported before one of them is used."""

from __future__ import annotations

import argparse
import difflib
import html
import math
import re
import shlex
import string
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from aidp_ext.ai import client
from aidp_ext.ai.client import About, AiError, Reply, ReplyStream
from aidp_ext.ai.models import Task
from aidp_ext.ai.policy import REASONS

#: Seconds between two updates of an answer on the page: more would only keep the browser busy.
UPDATE_S = 0.1
#: The most characters that one variable puts into a prompt.
MAX_VALUE = 20_000
_HEAD_ROWS = 10
_CODE = "Answer with Python code only, in one fenced block, without any explanation."

# {{, }}, or a name with attributes and indices, a conversion and a format. The braces of JSON and CSS are left alone.
_FIELD = re.compile(
    r"\{\{|\}\}|\{(?P<field>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*|\[[^\[\]{}]+\])*)(?:!(?P<conversion>[rsa]))?(?::(?P<spec>[^{}]*))?\}"
)
_FENCE = re.compile(r"^```[^\n`]*\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)


class MagicError(Exception):
    """What a cell with ``%%ai`` ends with: one message in place of a traceback. It stops *Run All*, as any error."""

    def __init__(self, message: str, next_step: str | None = None) -> None:
        super().__init__(message)
        self.next_step = next_step

    def _render_traceback_(self) -> list[str]:
        return [f"aidp: {self}", *([self.next_step] if self.next_step else [])]


# --- the options ---


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise MagicError(f"{message[:1].upper()}{message[1:]}.", "%ai --help lists the options.")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="%%ai",
        add_help=False,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Ask a model: the text of the cell is the prompt. {name}, {name.attribute} and {name[index]} stand "
        "\nfor variables of the notebook; {{ and }} are plain braces.",
        epilog="%ai says who would answer; it takes --model, --task and --private.",
    )
    add = parser.add_argument
    add("-m", "--model", default="auto", help="auto, auto:local, auto:cloud, or a model's name (taken if unset: auto)")
    add("-t", "--task", choices=[str(task) for task in Task], metavar="TASK", help=", ".join(Task))
    privacy = parser.add_mutually_exclusive_group()
    add_privacy = privacy.add_argument
    add_privacy("-p", "--private", action="store_true", help="local models only, in every mode")
    add_privacy("-r", "--redact", action="store_true", help="replace secrets and personal data before it leaves")
    add("-s", "--system", metavar="TEXT", help="what the model is told before the prompt")
    add("-f", "--format", choices=("markdown", "code", "text"), default="markdown", help="markdown, code or text")
    add("-i", "--insert", action="store_true", help="put the answer's code into a new cell below")
    add("--to", metavar="NAME", help="put the answer into this variable")
    add("--no-stream", action="store_true", help="show nothing before the answer is whole")
    add("-h", "--help", action="store_true", help="show this")
    return parser


def _parsed(line: str) -> argparse.Namespace:
    try:
        options = _parser().parse_args(shlex.split(line))
    except ValueError as error:  # an open quotation mark
        raise MagicError(f"The options cannot be read: {error}.", "%ai --help lists the options.") from error
    if options.to is not None and not options.to.isidentifier():
        raise MagicError(f"{options.to!r} is no name of a variable.")
    return options


# --- the prompt ---


@dataclass(frozen=True)
class Prompt:
    """What is asked: its text, the fields that were filled in, and those of them that had to be shortened."""

    text: str
    fields: tuple[str, ...]
    shortened: tuple[str, ...]


def fill(text: str, names: Mapping[str, Any]) -> Prompt:
    """Return the prompt with its variables filled in.

    Attributes and indices are read as `str.format` does; nothing is called. Raises MagicError for what is not there.
    """
    formatter = string.Formatter()
    fields, shortened = list[str](), list[str]()

    def value_of(match: re.Match[str]) -> str:
        if match["field"] is None:
            return str(match[0])[0]
        field = str(match["field"])
        fields.append(field)
        try:
            said: str
            value, _ = formatter.get_field(field, (), names)
            if match["conversion"] or match["spec"]:
                said = formatter.format_field(formatter.convert_field(value, match["conversion"]), match["spec"] or "")
            else:
                said = shown(value)
        except KeyError as error:
            what = f"There is no variable {field!r}" if field.isidentifier() else f"{{{field}}}: no {error}"
            close = difflib.get_close_matches(field, names, n=1)
            meant = f"Did you mean {{{close[0]}}}? " if close else ""
            raise MagicError(f"{what}; nothing was sent.", f"{meant}For plain braces write {{{{{field}}}}}.") from error
        except Exception as error:
            raise MagicError(f"{{{field}}} cannot be filled in: {error}; nothing was sent.") from error
        if len(said) > MAX_VALUE:
            shortened.append(field)
            half = MAX_VALUE // 2
            said = f"{said[:half]}\n… ({len(said) - 2 * half:,} characters left out) …\n{said[-half:]}"
        return said

    filled = _FIELD.sub(value_of, text)
    return Prompt(filled, tuple(dict.fromkeys(fields)), tuple(dict.fromkeys(shortened)))


def shown(value: Any) -> str:
    """Return a value as a model should read it: a table by its shape, its columns and its first rows."""
    if not all(
        hasattr(value, name) for name in ("head", "columns", "dtypes", "shape")
    ):  # as pandas and polars have them
        return str(value)
    rows = value.head(_HEAD_ROWS)
    table = rows.to_string() if hasattr(rows, "to_string") else str(rows)  # pandas' str() leaves columns out
    kinds = ", ".join(f"{column}: {kind}" for column, kind in zip(value.columns, value.dtypes, strict=True))
    height, width = value.shape
    left_out = f", of which these are the first {_HEAD_ROWS}" if height > _HEAD_ROWS else ""
    return f"{type(value).__name__} with {height:,} rows and {width:,} columns ({kinds}){left_out}:\n{table}"


# --- the answer ---


@dataclass
class _Page:
    """One answer on the page, which grows as it is written."""

    style: str
    can_change: bool  # a terminal shows each change below the last
    _handle: Any = None
    _shown_at: float = 0.0

    def grow(self, text: str) -> None:
        """Show what has come so far, now or with a later piece."""
        now = time.monotonic()
        if self.can_change and now - self._shown_at >= UPDATE_S:
            self.show(text)
            self._shown_at = time.monotonic()

    def show(self, text: str) -> None:
        """Show this text in place of what was there."""
        from IPython.display import display

        bundle = {"text/plain": text}
        if self.style != "text":
            bundle["text/markdown"] = f"```python\n{code_of(text)}\n```" if self.style == "code" else inert(text)
        if self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(bundle, raw=True)


def inert(text: str) -> str:
    """Return Markdown that fetches nothing when it is shown: images become links, HTML becomes text.

    An answer could otherwise carry what the model was told to another server, in the address of an image.
    """
    parts = re.split(r"(```.*?(?:```|\Z)|`[^`\n]*`)", text, flags=re.DOTALL)  # code is shown as it is
    for place in range(0, len(parts), 2):
        parts[place] = re.sub(r"<(?=[a-zA-Z!/])", "&lt;", parts[place].replace("![", "["))
    return "".join(parts)


def code_of(text: str) -> str:
    """Return the code of an answer: its fenced blocks, or all of it where there is none."""
    blocks = _FENCE.findall(text)
    if not blocks and text.lstrip().startswith("```"):  # still being written
        blocks = [text.lstrip().partition("\n")[2]]
    return "\n".join(block.strip("\n") for block in blocks) if blocks else text.strip("\n")


def _money(usd: float) -> str:
    """Return an amount with two digits more than zero, as the AI panel shows it."""
    places = max(2, 1 - math.floor(math.log10(usd))) if usd > 0 else 2
    return f"${usd:.{places}f}"


def footer(about: About, *more: str) -> str:
    """Return the line under an answer: who gave it, where, what it cost, why, and what was changed on the way."""
    parts = [about.route.partition("/")[2] or about.route, about.locality]
    if about.cost_usd:
        parts.append(_money(about.cost_usd))
    elif about.cost_usd is None and (tokens := about.usage.get("total_tokens")):
        parts.append(f"{tokens:,} tokens")
    parts.append(REASONS.get(about.reason, about.reason).rstrip("."))
    if about.redactions:
        parts.append(f"{about.redactions} replaced before it left")
    if about.finish_reason == "length":
        parts.append("cut at the longest answer allowed")
    return " · ".join(part for part in (*parts, *about.notes, *more) if part)


def _say(line: str) -> None:
    from IPython.display import display

    quiet = f'<small style="opacity: 0.7">{html.escape(line)}</small>'
    display({"text/plain": line, "text/html": quiet}, raw=True)  # type: ignore[no-untyped-call]


# --- the magics ---


def run(shell: Any, line: str, cell: str | None) -> None:
    """Do what ``%ai`` (no cell) or ``%%ai`` says. Raises MagicError."""
    options = _parsed(line)
    if options.help:
        print(_parser().format_help())  # noqa: T201 - a magic's output
        return
    try:
        if cell is None:
            _status(options)
        else:
            _ask(shell, options, cell)
    except AiError as error:
        raise MagicError(error.message, error.next_step) from error
    except KeyboardInterrupt:
        raise MagicError("Stopped.") from None


def _status(options: argparse.Namespace) -> None:
    said = client.route(model=options.model, task=options.task, private=options.private)
    if said["route"] is None:
        raise MagicError(said["message"], said["next_step"])
    _say(
        f"{said['route']} · {said['locality']} · {said['message']} Mode: {said['mode']}. %ai --help lists the options."
    )


def _ask(shell: Any, options: argparse.Namespace, cell: str) -> None:
    prompt = fill(cell.strip(), shell.user_ns)
    if not prompt.text:
        raise MagicError("The cell holds no question.", "Write it below the line with %%ai.")
    system = " ".join(filter(None, (options.system, _CODE if options.format == "code" else None)))
    asked: dict[str, Any] = {
        "model": options.model,
        "task": options.task,
        "private": options.private,
        "system": system or None,
        # what a variable holds came out of a cell
        "headers": client.notebook_header(with_outputs=bool(prompt.fields)),
    }
    if options.redact:
        asked["headers"]["X-AIDP-Privacy"] = "redact"
    page = _Page(options.format, can_change=hasattr(shell, "kernel"))
    if options.no_stream:
        reply = client.chat(prompt.text, **asked)
        page.show(reply)
    else:
        reply = _streamed(client.stream(prompt.text, **asked), page)
    _say(footer(reply.about, *(f"{{{field}}} was shortened" for field in prompt.shortened)))
    _keep(shell, options, reply)


def _streamed(answer: ReplyStream, page: _Page) -> Reply:
    """Show an answer as it comes and return it; what has come stays on the page, however it ends."""
    try:
        with answer:
            for _ in answer:
                page.grow(answer.reply)
    except KeyboardInterrupt:
        page.show(answer.reply)
        _say(footer(answer.about, "stopped"))
        raise
    except AiError:
        if answer.reply:
            page.show(answer.reply)
        raise
    page.show(answer.reply)
    return answer.reply


def _keep(shell: Any, options: argparse.Namespace, reply: Reply) -> None:
    if options.to is not None:
        shell.user_ns[options.to] = Reply(code_of(reply), reply.about) if options.format == "code" else reply
    if options.insert:
        shell.set_next_input(code_of(reply), replace=False)
