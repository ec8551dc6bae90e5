"""Makes a proposal of what a model said. Pure but for a look at files that would be overwritten."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher

from aidp_ext.ai.actions import merge, parse, python, testfile
from aidp_ext.ai.actions.files import Files
from aidp_ext.ai.actions.job import Job
from aidp_ext.ai.actions.merge import Target
from aidp_ext.ai.actions.parse import Block, Read
from aidp_ext.ai.actions.patch import AGAIN
from aidp_ext.ai.actions.prompts import subjects
from aidp_ext.ai.actions.wire import Action, Change, Proposal, Runnable
from aidp_ext.ai.chats.display import shown
from aidp_ext.ai.context.wire import CellSaid
from aidp_ext.core.errors import NoProposal

MOST_CELLS = 3
_MOST_WHY = 1500  # characters
#: What stands for a secret in the context, which is not ours to put back.
_SECRET = "[SECRET]"  # noqa: S105 - a mark
_SMALL = frozenset({Action.FIX, Action.DOCS})


def proposed(job: Job, answer: str, files: Files) -> Proposal:
    """Return the proposal that an answer makes. Raises NoProposal where it makes none that is safe to show."""
    if job.action is Action.SUMMARY:
        return _summary(job, answer)
    expects_python = python.is_python(job.target.source, job.language)
    read = parse.read(answer, expects_python=expects_python)
    if job.language == "markdown" and job.action is not Action.GENERATE:
        read = _as_markdown(read, answer)
    blocks = [block for block in read.blocks if not block.is_output] or list(read.blocks)
    if not blocks:
        _refuse(read)
    if not all(block.is_closed for block in blocks[:-1]):
        blocks = [block for block in blocks if block.is_closed]
    make = {Action.FIX: _fix, Action.TESTS: _tests, Action.GENERATE: _generated, Action.CONVERT: _converted}
    changes, run = make.get(job.action, _changed)(job, blocks, files)
    why = read.prose[:_MOST_WHY].strip()
    return Proposal(title=_title(job), why=why, changes=changes, run=run)


def _refuse(read: Read) -> None:
    if read.says_no_change:
        raise NoProposal("The model finds nothing to change.", next_step="Say what should be different, or ask again.")
    raise NoProposal("The model's answer has no code that could be taken over.", next_step=AGAIN)


def _title(job: Job) -> str:
    names = subjects(job) if job.action is Action.TESTS else ()
    what = f"{job.error} in {job.where}" if job.action is Action.FIX and job.error else job.where
    words = {
        Action.FIX: f"Fix: {what}",
        Action.TESTS: f"Tests for {', '.join(names[:3]) or job.where}",
        Action.DOCS: f"Docstrings and types: {job.where}",
        Action.OPTIMIZE: f"Refactor: {job.where}",
        Action.CONVERT: f"{'Module' if job.new_file else 'Function'}: {job.where}",
        Action.GENERATE: f"Code from a comment: {job.where}",
    }
    return words.get(job.action, f"Edit: {job.where}")


def _as_markdown(read: Read, answer: str) -> Read:
    """Return the answer for a Markdown cell: what is in a fence that says so, else all of it."""
    fenced = [block for block in read.blocks if block.language in ("markdown", "md")]
    if len(fenced) == 1:
        text = parse.without_fence(f"```markdown\n{answer.partition('```')[2].partition(chr(10))[2]}")
        return Read(read.prose, (Block(text, "markdown"),))
    return Read("", (Block(parse.without_fence(answer), "markdown"),)) if answer.strip() else read


def _replacement(job: Job, cell: CellSaid, target: Target, block: Block, why: str = "") -> Change:
    """Return the change that puts a block into a source. Raises NoProposal as merge.merged does."""
    source = merge.merged(target, block, is_small=job.action in _SMALL, keeps_names=job.action is Action.DOCS)
    if source.count(_SECRET) > target.source.count(_SECRET):
        raise NoProposal("The model's answer would overwrite a secret that it was not shown.", next_step=AGAIN)
    warning = merge.broken(source, job.language)
    if cell.type == "markdown" and shown(source) != source:
        # Once accepted it is rendered. What the user wrote stays as it is, though.
        if shown(target.source) == target.source:
            source = shown(source)
        else:
            warning = "Look closely: it has images or HTML, which the cell loads once it is shown."
    return Change(
        kind="replace",
        cell=cell.id,
        path=job.document.path,
        cell_type="markdown" if cell.type == "markdown" else "code",
        original=cell.source,
        source=job.veil.lifted(source),
        why=" ".join(part for part in (why[:_MOST_WHY].strip(), warning) if part),
    )


def _best(blocks: Sequence[Block], original: str) -> Block:
    """Return the block that is the new source, where a model shows several: the nearest to the original.

    What only repeats a part of the original is none; of two that are as near, the later one counts.
    """
    new = [block for block in blocks if block.text.strip() not in original] or list(blocks)
    if len(new) == 1:
        return new[0]

    def nearness(numbered: tuple[int, Block]) -> tuple[float, int]:
        number, block = numbered
        lines = SequenceMatcher(None, original.split("\n")[:500], block.text.split("\n")[:500])
        return (lines.ratio(), number)

    return max(enumerate(new[:20]), key=nearness)[1]


Changes = tuple[list[Change], Runnable | None]


def _changed(job: Job, blocks: Sequence[Block], files: Files) -> Changes:
    return [_replacement(job, job.cell, job.target, _best(blocks, job.target.chosen))], None


def _fix(job: Job, blocks: Sequence[Block], files: Files) -> Changes:
    """Return a change for each cell that the model names, and for the target where a block names none."""
    elsewhere: dict[int, tuple[CellSaid, Block]] = {}
    here = [block for block in blocks if not block.cell]
    for block in (block for block in blocks if block.cell):
        cell = job.named(block.cell) if job.document.kind == "notebook" and not job.target.is_part else None
        if cell is job.cell or (cell is None and len(blocks) == 1):
            here.append(block)
        elif cell is not None:
            elsewhere[id(cell)] = (cell, block)
    changes = []
    if here:
        changes.append((job.cell, job.target, _best(here, job.target.chosen)))
    for cell, block in elsewhere.values():
        changes.append((cell, Target.whole(job.veil(cell.source), job.language), block))
    if not changes:
        raise NoProposal("The model's answer is for cells that are not there.", next_step=AGAIN)
    if len(changes) > MOST_CELLS:
        says = f"The model wants to change {len(changes)} cells, and at most {MOST_CELLS} are changed at once."
        raise NoProposal(says, next_step="Ask for a fix of one cell after the other.")
    has_several = len(changes) > 1
    made = []
    nothing: NoProposal | None = None
    for cell, target, block in changes:
        says = f"{job.label(cell).capitalize()}. {block.before}" if has_several else ""
        try:
            made.append(_replacement(job, cell, target, block, says))
        except NoProposal as error:
            if not has_several or "changes nothing" not in error.message:
                raise
            nothing = error  # a model repeats the failing cell beside the one that it mends
    if not made and nothing is not None:
        raise nothing
    return made, None


def _tests(job: Job, blocks: Sequence[Block], files: Files) -> Changes:
    path = testfile.tests_path(job, files)
    existing = files.original(path)
    texts = [block.text for block in blocks if block.language in ("", "python", "py")]
    sound = [text for text in texts if not isinstance(python.parse(text), python.Broken)]
    code = "\n\n\n".join(sound or texts)
    source = testfile.tests(job, code, path, files, existing)
    # Secrets stay behind their marks: a copy of them does not belong into a test.
    change = Change(kind="create_file", path=path, original=existing, source=source)
    return [change], Runnable(path=path)


def _generated(job: Job, blocks: Sequence[Block], files: Files) -> Changes:
    """Return the change that puts new code below the comment; nothing that is there changes."""
    if job.cell.type != "code":
        below = Change(
            kind="insert_below",
            cell=job.cell.id,
            path=job.document.path,
            source=job.veil.lifted(blocks[0].text.strip("\n")),
            why=merge.broken(blocks[0].text, job.document.language),
        )
        return [below], None
    code = "\n\n".join(block.text.strip("\n") for block in blocks)
    source = merge.below_comment(job.target, code)
    change = Change(
        kind="replace",
        cell=job.cell.id,
        path=job.document.path,
        original=job.cell.source,
        source=job.veil.lifted(source),
        why=merge.broken(source, job.language),
    )
    return [change], None


def _converted(job: Job, blocks: Sequence[Block], files: Files) -> Changes:
    """Return the change to functions; with a new file, the file and the cell that imports from it."""
    if not job.new_file:
        return _changed(job, blocks, files)
    existing = files.original(job.new_file)
    in_file = [block.text for block in blocks if block.file]
    beside = [block.text for block in blocks if not block.file]
    code = "\n\n\n".join([*in_file, *beside]) if in_file else _best(blocks, job.target.chosen).text
    merge.refuse_placeholders(code, job.target.chosen)
    module, cell = testfile.module_and_cell(job, code, existing)
    replaced = _replacement(job, job.cell, job.target, Block(cell, "python"))
    created = Change(
        kind="create_file",
        path=job.new_file,
        original=existing,
        source=job.veil.lifted(module),
        why=merge.broken(module, "python"),
    )
    return [created, replaced], None


def _summary(job: Job, answer: str) -> Proposal:
    text = shown(parse.without_fence(answer))  # a cell of it is rendered at once, and would fetch what it names
    if not text.strip():
        raise NoProposal("The model's answer is empty.", next_step=AGAIN)
    change = Change(
        kind="insert_above",
        cell=job.document.cells[0].id,
        path=job.document.path,
        cell_type="markdown",
        source=job.veil.lifted(text),
    )
    return Proposal(title=f"Summary of {job.file_name}", why="", changes=[change])
