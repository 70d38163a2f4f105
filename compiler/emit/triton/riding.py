"""Arithmetic on finished sums rides in the launch that finishes them: loss = sum / count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ....spec.dims import symbol
from ..loops import Kernel, Load, Pass, Store
from ..names import size_name
from .axes import prepared, rename, statements
from .body import Body, Setting
from .part import Part
from .printer import Partial
from .products import Names
from .spelling import all_symbols, dims_of, symbol_arguments
from .template import call

TOTAL = "total"
"""What the finish kernel calls the sum, a block [1, COLUMNS] of which one element counts."""

"""What it calls the number of partial sums."""


def riders(
    part: Part, sums: Mapping[int, str], partials: Sequence[Partial], sizes: Names
) -> tuple[dict[str, list[str]], dict[int, str]]:
    """Groups of numbers that need one of these sums and nothing later.

    Returns lines by the sum they ride with, and the names of the other buffers.  Adds the sizes
    they need to `sizes`, and marks the groups as done.
    """
    lines: dict[str, list[str]] = {}
    names: dict[int, str] = {}
    in_column = "in_column" if max(p.columns for p in partials) > 1 else None
    single = {p.buffer for p in partials if p.columns == 1}
    for group in part.groups_reading(i for i, buffer in sums.items() if buffer in single):
        needs = group.reads & sums.keys()
        if len(needs) != 1 or group in part.done:
            continue
        lowered, buffer = part.lowered(group.roots), sums[min(needs)]
        symbols = all_symbols(dims_of(lowered))
        ready = all(_ready(part, i) for i in group.reads - needs)
        if not ready or not _rideable(lowered):
            continue
        sizes.dims |= {size_name(name): symbol(name) for name in symbols}
        new = dict.fromkeys(b.value for b in lowered.buffers if b.value not in {**sums, **names})
        names |= part.short(new, taken=(*sums.values(), *names.values(), TOTAL))
        kernel = prepared(lowered, {**sums, **names}, taken=frozenset({TOTAL}))
        lines.setdefault(buffer, []).extend(_lines(kernel, buffer, in_column))
        part.finish(group)
    return lines, names


def _ready(part: Part, i: int) -> bool:
    """Is the value fed, or made by a launch that is written already?"""
    return part.graph[i].op == "input" or i in part.made


def _rideable(kernel: Kernel) -> bool:
    """Has the kernel neither rows, columns nor random numbers, and stores what it computed?"""
    stores = [s for s in statements(kernel) if isinstance(s, Store)]
    return (
        not kernel.rows
        and not kernel.columns
        and not kernel.streams
        and all(isinstance(s.operand, str) for s in stores)
    )


class _Numbers(Body):
    """Writes results beside the sum: at the first column."""

    def store(self, s: Store) -> list[str]:
        mask = [f"mask={self.setting.in_column}"] if self.setting.in_column else []
        place = f"{s.buffer}_ptr + column"
        return call("tl.store", [place, self.writer.value_of(s), *mask], self.setting.indent)


def _lines(kernel: Kernel, buffer: str, in_column: str | None) -> list[str]:
    """The kernel's statements over `total`, the finished sum of `buffer`."""
    loads = [s for s in statements(kernel) if isinstance(s, Load) and s.buffer == buffer]
    kernel = rename(kernel, {s.target: TOTAL for s in loads}, {})
    kernel = replace(kernel, passes=(Pass(False, tuple(statements(kernel))),))
    symbols = symbol_arguments(kernel)
    setting = Setting(None, in_column, "ROWS", "", "", symbols, indent=8)
    return _Numbers(kernel, setting, lambda s, x: [], buffer).lines(statements(kernel), {TOTAL})
