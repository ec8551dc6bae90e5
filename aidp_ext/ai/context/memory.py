"""A memory of what was made of a text: most cells of a notebook are the same from one request to the next."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

_CHARACTERS = 4_000_000  # in each of the two generations: some ten times as many bytes with what is made of them
_EACH = 200  # characters that an entry counts as beside its text


class Memory(Generic[T]):
    """Calls ``make`` for a text that it has not seen of late. Any thread may ask.

    Two generations instead of an order of use: once the young one is full it becomes the old one, and what is asked
    for again moves back.
    """

    def __init__(self, make: Callable[[str], T], most_characters: int = _CHARACTERS) -> None:
        self._make = make
        self._most = most_characters
        self._young: dict[str, T] = {}
        self._old: dict[str, T] = {}
        self._size = 0

    def __call__(self, text: str) -> T:
        """Return what is made of a text."""
        found = self._young.get(text)
        if found is None:
            found = self._old.get(text)
            if found is None:
                found = self._make(text)
            self._size += len(text) + _EACH
            if self._size > self._most:
                self._old, self._young, self._size = self._young, {}, len(text) + _EACH
            self._young[text] = found
        return found

    def knows(self, text: str) -> bool:
        """Return whether an answer would come from memory."""
        return text in self._young or text in self._old
