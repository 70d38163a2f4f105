"""Every error a user can meet, and how it is shown: what, where, why, and what to do about it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .place import Place

SCREEN = 100  # widest excerpt of a source line, in characters


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding in a spec: a stable code, a sentence, where it stands, and a way out.

    `notes` name the calls that led here, innermost first: `(place of the call, block name)`.
    """

    code: str
    message: str
    place: Place | None = None
    hint: str | None = None
    notes: tuple[tuple[Place, str], ...] = ()

    def __str__(self) -> str:
        where = f"{self.place}: " if self.place else ""
        return f"{where}error[{self.code}]: {self.message}"


class WeftError(Exception):
    """The base of all errors of weft; `exit_code` is what the command line returns for it."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        self.message = message
        self.hint = hint
        super().__init__(message)

    def __str__(self) -> str:
        return f"{self.message}\n  = hint: {self.hint}" if self.hint else self.message


class SpecError(WeftError):
    """The spec is wrong: all findings together, with the texts they point into."""

    exit_code = 2

    def __init__(
        self,
        diagnostics: Iterable[Diagnostic] | Diagnostic,
        texts: Mapping[str, str] | None = None,
    ) -> None:
        found = (diagnostics,) if isinstance(diagnostics, Diagnostic) else tuple(diagnostics)
        if not found:
            raise InternalError("a SpecError without diagnostics")
        self.diagnostics: tuple[Diagnostic, ...] = found
        self.texts: dict[str, str] = dict(texts or {})
        super().__init__("\n".join(str(d) for d in found))

    def __str__(self) -> str:
        return render_all(self.diagnostics, self.texts)

    def __reduce__(self) -> tuple[type[SpecError], tuple[object, ...]]:
        return (SpecError, (self.diagnostics, self.texts))


class UsageError(WeftError):
    """The command line or a call of the API asks for something that does not exist."""

    exit_code = 2


class DataError(WeftError):
    """Data that is missing, unreadable, or not of the declared type."""


class DeviceError(WeftError):
    """The machine cannot do what was asked: no compiler, no such GPU, not enough memory."""


class CheckpointError(WeftError):
    """A checkpoint that is damaged or does not fit the spec."""


class DivergenceError(WeftError):
    """Training produced numbers that are not finite."""


class UnheardError(WeftError):
    """Another process of the same training says what went wrong; this one ends without a word."""

    def __init__(self, exit_code: int) -> None:
        self.exit_code = exit_code
        super().__init__("another process of this training says what went wrong")


class InternalError(WeftError):
    """A mistake in weft itself; `around` shows the part of the program it happened in."""

    def __init__(self, message: str, *, around: str = "") -> None:
        self.around = around
        super().__init__(message, hint="this is a bug in weft; please report it with the spec")

    def __str__(self) -> str:
        text = f"internal error: {self.message}"
        return f"{text}\n{self.around}" if self.around else text


def _render(diagnostic: Diagnostic, source: Sequence[str] | None) -> str:
    """The finding with its source line, a caret under the place, its hint and its notes."""
    lines = [str(diagnostic)]
    place = diagnostic.place
    if place is not None and source is not None:
        lines += _excerpt(place, source)
    if diagnostic.hint:
        lines.append(f"      = hint: {diagnostic.hint}")
    lines += [f"      = from: {where} {name}" for where, name in diagnostic.notes]
    return "\n".join(lines)


def render_all(diagnostics: Iterable[Diagnostic], texts: Mapping[str, str]) -> str:
    """All findings, one below the other, each with the line of the text it points into."""
    sources = {file: text.split("\n") for file, text in texts.items()}
    return "\n".join(
        _render(found, sources.get(found.place.file) if found.place else None)
        for found in diagnostics
    )


def suggest(word: str, known: Iterable[str]) -> str | None:
    """`did you mean ...?` when one of the known words is close to this one."""
    names = list(dict.fromkeys(known))
    folded = {name.lower(): name for name in reversed(names)}
    if word.lower() in folded and folded[word.lower()] != word:
        return f"did you mean `{folded[word.lower()]}`?"
    close = difflib.get_close_matches(word, names, 1, cutoff=0.6)
    return f"did you mean `{close[0]}`?" if close else None


def _excerpt(place: Place, source: Sequence[str]) -> list[str]:
    """The line of the place and the caret line below it; long lines are cut round the place."""
    if not 1 <= place.line <= len(source):
        return []
    line = source[place.line - 1].rstrip("\r")  # as the readers count: `\n` alone ends a line
    start = place.column - 1
    width = max(1, min(place.end_column, len(line) + 1) - place.column)
    cut = 0
    if len(line) > SCREEN and start + width > SCREEN - 10:
        cut = max(0, start - SCREEN // 2)
    shown = "".join(
        c if c.isprintable() or c == "\t" else "\ufffd" for c in line[cut : cut + SCREEN + 1]
    )
    if len(shown) > SCREEN:
        shown = shown[: SCREEN - 1] + "…"
    lead = "".join("\t" if c == "\t" else " " for c in line[cut:start])
    mark = "^" * max(1, min(width, SCREEN - len(lead)))
    return [f"{place.line:>5} | {shown}", f"      | {lead.ljust(start - cut)}{mark}"]
