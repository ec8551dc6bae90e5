"""What is there in the workspace. Only looks: whatever is written, the user writes by accepting it."""

from __future__ import annotations

from pathlib import Path

from aidp_ext.core.errors import Conflict

_LONGEST = 400_000  # bytes of a file that is shown as the original of a change


class Files:
    """The files of a workspace; of none, where there is no workspace."""

    def __init__(self, root: Path | None) -> None:
        self.root = root

    def find(self, path: str) -> Path | None:
        """Return where a path leads, links followed; None for what is not inside of the workspace."""
        if self.root is None or not path or "\0" in path:
            return None
        try:
            base = self.root.resolve()
            found = (base / path.lstrip("/")).resolve()
        except (OSError, ValueError, RuntimeError):  # a loop of links, a name that is too long
            return None
        return found if found.is_relative_to(base) else None

    def text(self, path: str) -> str | None:
        """Return a file's text; None where there is no file, or none that is text of a bearable length."""
        found = self.find(path)
        try:
            if found is None or not found.is_file() or found.stat().st_size > _LONGEST:
                return None
            return found.read_bytes().decode()
        except (OSError, ValueError):
            return None

    def original(self, path: str) -> str:
        """Return the text of the file that a new one would overwrite, an empty one where there is none.

        Raises Conflict where there is something else, or the path leads out of the workspace.
        """
        text, found = self.text(path), self.find(path)
        try:
            is_taken = text is None and self.root is not None and (found is None or found.exists())
        except OSError:
            is_taken = True
        if is_taken:
            says = f"There is something at {path} that is no text file of this workspace."
            raise Conflict(says, next_step="Choose another name for the new file.")
        return text or ""

    def is_folder(self, path: str) -> bool:
        """Return whether there is a folder of this path."""
        found = self.find(path)
        try:
            return found is not None and found.is_dir()
        except OSError:
            return False
