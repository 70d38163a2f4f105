"""The launches of an entry before their buffers have a place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from ...artifact import Expression
from .kernel import KernelText

Argument = str | tuple[str, Expression] | tuple[str, str, Expression]
"""A buffer, a number, or a buffer with the distance that it moves on from step to step."""


@dataclass(frozen=True, slots=True)
class Turns:
    """Launches that are repeated together, `times` times, numbered backwards if `reverse`."""

    number: int
    times: Expression
    reverse: bool


@dataclass(frozen=True, slots=True)
class Call:
    """One launch before its buffers have a place; `arguments` follow the kernel's parameters."""

    text: KernelText
    grid: tuple[Expression, ...]
    arguments: tuple[Argument, ...]
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    turns: Turns | None = None


def buffer_of(argument: Argument) -> str:
    """The buffer behind a pointer."""
    return argument if isinstance(argument, str) else argument[1]  # type: ignore[return-value]


def less_aligned(text: KernelText, known: Mapping[str, Argument]) -> KernelText:
    """The kernel without promises about the addresses of what moves on from step to step."""
    moving = {name for name, found in known.items() if isinstance(found, tuple) and len(found) == 3}
    if not moving & {p.name for p in text.parameters}:
        return text
    parameters = (replace(p, divisible=False) if p.name in moving else p for p in text.parameters)
    return replace(text, parameters=tuple(parameters))


@lru_cache(1 << 10)
def stores(text: str) -> frozenset[str]:
    """The pointers through which a kernel writes."""
    stored = set(re.findall(r"tl\.store\(\s*(\w+_ptr)", text))
    chosen = re.findall(r"^ +(\w+_ptr) = (\w+_ptr)$", text, re.MULTILINE)
    return frozenset(stored | {other for name, other in chosen if name in stored})
