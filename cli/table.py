"""Aligned columns of text, and numbers as people read them."""

from __future__ import annotations

import unicodedata
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
    widths = [max(_width(row[i]) for row in every) for i in range(len(head))]
    align = align.ljust(len(head), "<")
    rule = GAP.join("-" * width for width in widths)

    def line(row: Sequence[str]) -> str:
        cells = zip(row, align, widths, strict=True)
        return GAP.join(_aligned(*each) for each in cells).rstrip()

    lines = [line(head), rule, *map(line, rows)]
    return "\n".join([*lines, rule, line(total)] if total else lines)


def _aligned(cell: str, side: str, width: int) -> str:
    blank = " " * (width - _width(cell))
    return blank + cell if side == ">" else cell + blank


def _width(text: str) -> int:
    """Places on a terminal: two for wide characters, none for accents of their own."""
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return len(text) + wide - sum(unicodedata.combining(character) > 0 for character in text)


def count_text(count: float) -> str:
    """1_234_567 -> "1.23 M"."""
    return _scaled(count, 1000, ("", "k", "M", "G", "T", "P"))


def bytes_text(count: float) -> str:
    """Units: bytes in, decimal multiples out (kB, MB)."""
    return _scaled(count, 1000, ("B", "kB", "MB", "GB", "TB", "PB"))


def rate_text(rate: float) -> str:
    """4e14 -> "400 TFLOP/s"."""
    return f"{count_text(rate)}FLOP/s"


def power_text(count: float) -> str:
    """19200000000000000000 -> "1.92e19"."""
    number, _, power = f"{count:.3g}".partition("e")
    return f"{number}e{int(power)}" if power else number


def duration_text(seconds: float) -> str:
    """As `seconds_text`, and in days or years where there are several."""
    days = seconds / 86_400
    if days >= 2 * 365.25:
        return f"{days / 365.25:.3g} years"
    return f"{days:.3g} days" if days >= 2 else seconds_text(seconds)


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
