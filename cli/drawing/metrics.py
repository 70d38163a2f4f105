"""How large texts and boxes are.

Units: pixels.  The widths are those of DejaVu Sans, rounded up; the other usual fonts are narrower.
"""

from __future__ import annotations

from .diagram import Box, Frame, Strip, heading

BODY, SMALL = 12.0, 10.5
STRIP, THIN = 26.0, 19.0
HEADER, SIDE, FOOT = 24.0, 16.0, 14.0
CIRCLE = 24.0
GAP = 8.0

NARROW = dict.fromkeys("ijl.,:;'|!", 0.34) | dict.fromkeys('()[]{}frtI/\\"- ', 0.44)
WIDE = dict.fromkeys("mwMW@%…—", 1.0) | dict.fromkeys("ABCDEFGHJKLNOPQRSTUVXYZ×+=<>−÷·", 0.8)
WIDTHS = NARROW | WIDE


def width(text: str, size: float = BODY, *, bold: bool = False) -> float:
    """How wide a text is at most; a sign that is not listed is 0.64 of its size, 1 if exotic."""
    units = sum(WIDTHS.get(sign, 0.64 if sign.isascii() else 1.0) for sign in text)
    return units * size * (1.14 if bold else 1.0)


def strip_height(strip: Strip) -> float:
    """One line."""
    return THIN if strip.thin else STRIP


def strip_width(strip: Strip, count: int = 1) -> float:
    """Room for the title, the settings, and the note at the right."""
    size = SMALL if strip.thin else BODY
    title = width(heading(strip.title, count), size, bold=not strip.thin)
    first = title + (GAP + width(strip.detail, size) if strip.detail else 0)
    return first + (2 * GAP + width(strip.note, SMALL) if strip.note else 0)


def box_size(box: Box) -> tuple[float, float]:
    """Width and height; operators are circles, if their sign is all they have to say."""
    if box.kind == "operator":
        (strip,) = box.strips
        if not strip.detail and len(strip.title) == 1:
            return CIRCLE, CIRCLE
        return strip_width(strip) + 20, CIRCLE
    count = 1 if box.title else box.count
    wide = max(strip_width(strip, count) for strip in box.strips) + 22
    high = sum(map(strip_height, box.strips))
    if box.title:
        return max(wide, frame_width(box)), high + HEADER
    return max(wide, 64.0), high + (6.0 if box.kind in ("input", "output") else 0.0)


def frame_width(frame: Frame | Box) -> float:
    """Room for the head of a frame."""
    title = width(heading(frame.title, frame.count), BODY, bold=True)
    return title + width(frame.note, SMALL) + 2 * GAP + 24
