"""Aligned columns of text, and numbers as people read them."""

from __future__ import annotations

from collections.abc import Sequence

GAP = "  "


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    total: Sequence[str] | None = None,
    align: str = "",
) -> str:
    """Rows under a head, with a total below a rule; `align` has one `<` or `>` a column."""
    every = [head, *rows, *([total] if total else [])]
    widths = [max(len(row[i]) for row in every) for i in range(len(head))]
    align = align.ljust(len(head), "<")
    rule = GAP.join("-" * width for width in widths)

    def line(row: Sequence[str]) -> str:
        cells = zip(row, align, widths, strict=True)
        return GAP.join(f"{cell:{side}{width}}" for cell, side, width in cells).rstrip()

    lines = [line(head), rule, *map(line, rows)]
    return "\n".join([*lines, rule, line(total)] if total else lines)


def count_text(count: float) -> str:
    """1_234_567 -> "1.23 M"."""
    return _scaled(count, 1000, ("", "k", "M", "G", "T", "P"))


def bytes_text(count: float) -> str:
    """Units: bytes in, decimal multiples out (kB, MB)."""
    return _scaled(count, 1000, ("B", "kB", "MB", "GB", "TB", "PB"))


def seconds_text(seconds: float) -> str:
    """0.000123 -> "123 us"; 75 -> "1:15"."""
    if seconds >= 60:
        minutes, rest = divmod(round(seconds), 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def _scaled(count: float, base: int, units: Sequence[str]) -> str:
    power = 0
    while count >= base and power < len(units) - 1:
        count /= base
        power += 1
    digits = f"{count:.0f}" if power == 0 or count >= 100 else f"{count:.3g}"
    return f"{digits} {units[power]}".rstrip()
