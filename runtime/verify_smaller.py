"""A spec with smaller settings, where checking it as it stands is too much work."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from ..compiler.build import elaborate
from ..spec.errors import SpecError
from ..spec.load import with_params
from .verify_extent import MUCH, told_apart

if TYPE_CHECKING:
    from ..compiler.build import Program
    from ..spec.load import Spec
    from ..spec.static import Value

FEWEST = 4
"""A number below is no size but a choice: 2 of something, a stride, a kernel."""

GAIN = 0.97
"""A setting that leaves more than this share of the work is not what makes it much."""


def smaller(
    spec: Spec, program: Program, kept: Collection[str] = (), much: float = MUCH
) -> tuple[Spec, Program, dict[str, Value]]:
    """The spec, its program, and the settings that were halved until `much` is enough for all.

    Params are halved in turn, as long as the spec still holds together and the work becomes less;
    those that are `kept` stay.  Where that is not enough, the least that was found is returned.
    """
    chosen: dict[str, Value] = {}
    names = [name for name in spec.constants if name not in kept]
    given = {name: spec.constants[name] for name in kept}
    work, before = told_apart(program), float("inf")
    while much < work < before:
        before = work
        for name in tuple(names):
            value = halved(spec.constants[name])
            if value is None:
                continue
            settings = {**chosen, name: value}
            try:
                tried = with_params(spec, {**given, **settings})
                made = elaborate(tried)
                needed = told_apart(made)
            except SpecError:
                continue
            if needed < GAIN * work:
                spec, program, work, chosen = tried, made, needed, settings
            else:
                names.remove(name)
            if work <= much:
                break
    return spec, program, chosen


def halved(value: Value) -> Value | None:
    """Half of a size, or of all sizes in a list; None where the value is none."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value // 2 if value >= FEWEST else None
    if isinstance(value, tuple):
        halves = [halved(entry) for entry in value]
        found = (one if half is None else half for one, half in zip(value, halves, strict=True))
        return None if all(half is None for half in halves) else tuple(found)
    return None
