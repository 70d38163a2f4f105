"""Arithmetic on finished sums rides in the launch that finishes them: loss = sum / count."""

from __future__ import annotations

from dataclasses import replace

from ..loops import Kernel, Load, Pass, Store
from .axes import rename, statements
from .body import Body, Setting, dims_of
from .spelling import all_symbols
from .template import call

TOTAL = "total"
"""What the finish kernel calls the sum, a block [1, COLUMNS] of which one element counts."""


class _Scalars(Body):
    """Writes results beside the sum: at the first column."""

    def store(self, s: Store) -> list[str]:
        mask = [f"mask={self.setting.in_column}"] if self.setting.in_column else []
        return call(
            "tl.store",
            [f"{s.buffer}_ptr + column", self.writer.value_of(s), *mask],
            self.setting.indent,
        )


def rideable(kernel: Kernel) -> bool:
    """Has the kernel neither rows nor columns, and only stores of computed numbers?"""
    stores = [s for s in statements(kernel) if isinstance(s, Store)]
    return (
        not kernel.rows and not kernel.columns and all(isinstance(s.operand, str) for s in stores)
    )


def riding_lines(kernel: Kernel, buffer: str, in_column: str | None) -> list[str]:
    """The kernel's statements over `total`, the finished sum of `buffer`."""
    targets = {
        s.target: TOTAL for s in statements(kernel) if isinstance(s, Load) and s.buffer == buffer
    }
    kernel = rename(kernel, targets, {})
    kernel = replace(kernel, passes=(Pass(False, tuple(statements(kernel))),))
    symbols = {name: name for name in all_symbols(dims_of(kernel))}
    setting = Setting(None, in_column, "ROWS", "", "", symbols, indent=8)
    body = _Scalars(kernel, setting, lambda s, x: [], buffer)
    return body.lines(statements(kernel), {TOTAL})
