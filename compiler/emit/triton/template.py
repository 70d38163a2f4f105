"""Kernel templates: text files with holes.

A hole is a line `#: name`; filling replaces it by lines at its indentation, and an empty hole
vanishes.  `{{name}}` inside a line is replaced by a word or two.  Blank lines that holes leave
behind are merged.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources

WIDTH = 100

_HOLE = re.compile(r"^(\s*)#: (\w+)\s*$")
_WORD = re.compile(r"\{\{(\w+)\}\}")


@cache
def template(name: str) -> str:
    """The text of the template file `name`.txt beside this module."""
    return resources.files(__package__).joinpath(f"{name}.txt").read_text(encoding="utf-8")


def fill(text: str, words: Mapping[str, str], holes: Mapping[str, Sequence[str]]) -> str:
    """The template `text` with its words and holes filled.

    Raises: KeyError for a word or hole that the template has and the caller does not give, or the
    other way round.
    """
    unused = set(words) | set(holes)
    lines: list[str] = []
    for line in text.splitlines():
        hole = _HOLE.match(line)
        if hole:
            unused.discard(hole[2])
            lines += [hole[1] + given if given else "" for given in holes[hole[2]]]
            continue
        unused -= set(_WORD.findall(line))
        lines.append(_WORD.sub(lambda found: words[found[1]], line))
    if unused:
        raise KeyError(f"the template has no {', '.join(sorted(unused))}")
    return tidy(lines)


def tidy(lines: Sequence[str]) -> str:
    """The lines as text without trailing blanks, doubled blank lines or blank lines at the ends."""
    kept: list[str] = []
    for line in (line.rstrip() for line in "\n".join(lines).split("\n")):
        if line or (kept and kept[-1]):
            kept.append(line)
    while kept and not kept[-1]:
        kept.pop()
    return "\n".join(kept) + "\n"


def call(head: str, arguments: Sequence[str], indent: int, tail: str = ")") -> list[str]:
    """`head(arguments)` on one line where it fits within 100 columns, else broken as ruff does."""
    joined = ", ".join(arguments)
    if indent + len(head) + 1 + len(joined) + len(tail) <= WIDTH:
        return [f"{head}({joined}{tail}"]
    if indent + 4 + len(joined) <= WIDTH:
        return [f"{head}(", f"    {joined}", tail]
    return [f"{head}(", *(f"    {argument}," for argument in arguments), tail]
