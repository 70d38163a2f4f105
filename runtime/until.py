"""A text that comes in pieces, up to a text that ends it."""

from __future__ import annotations

from collections.abc import Sequence


class Until:
    """Lets pieces through until one of the `ends` has come, which itself is left out.

    What may be the beginning of an end waits for the next piece.
    """

    def __init__(self, ends: Sequence[str]) -> None:
        self._ends = tuple(ends)
        self._waiting = ""
        self.done = False

    def feed(self, piece: str) -> str:
        """What of the text so far can be shown now."""
        if self.done:
            return ""
        text = self._waiting + piece
        found = [at for end in self._ends if (at := text.find(end)) >= 0]
        if found:
            self.done, self._waiting = True, ""
            return text[: min(found)]
        begun = [n for end in self._ends for n in range(1, len(end)) if text.endswith(end[:n])]
        shown = len(text) - max(begun, default=0)
        self._waiting = text[shown:]
        return text[:shown]

    def finish(self) -> str:
        """The rest of a text that ends otherwise."""
        rest, self._waiting = self._waiting, ""
        return rest
