"""The C target: the loop IR and whole steps printed as C, and the hand-written library they call.

The library lies beside this file.  `weft.h` is what every file includes; the rest are *units*: a
header that says what a unit does, and bodies that are compiled once on a machine, whatever networks
call them.  All of it goes along with the emitted files, so that these compile anywhere with nothing
but a C compiler.
"""

from __future__ import annotations

import re
from collections.abc import Container
from functools import cache
from pathlib import Path

BASE = ("math", "random", "team", "step", "clock")
"""The texts of `weft.h`: what is worth compiling anew, where sizes are known."""

UNITS = {
    "turn": ("turn",),
    "products": ("gemm",),
    "tile_units": ("planes", "tiles"),
    "windows": (
        *("window_axes", "window_rows", "window_tiles", "window_direct", "window_weights"),
        *("window_sparse", "window_lanes", "window_winograd"),
        *("window_ways", "convolutions", "window_picked", "window_winners"),
    ),
    "pools": ("pools",),
    "pooled": ("pooled",),
    "attend": ("attend",),
    "kept": ("kept",),
    "moments": ("moments",),
    "join": ("join",),
}
"""The bodies of each unit, in the order in which they lean on each other."""

HEADERS = ("beside",)
"""Headers without a body of their own: what is printed for a network leans on them."""

HEADER = "weft.h"

GEMM_SCRATCH = 24576 + 98304 + 8192
"""Floats of scratch that `weft_gemm` wants from each thread, on every machine."""

_INCLUDE = re.compile(r'^#include "([^"]+)"', re.MULTILINE)
_DECLARED = re.compile(r"^WEFT_(?:SHARED|INLINE)\b[^;{(]*?\b(weft_\w+)\(", re.MULTILINE)


def includes(text: str) -> str:
    """The lines that a text has to begin with, for what it calls."""
    words = set(re.findall(r"\bweft_\w+", text))
    units = (*UNITS, *HEADERS)
    headers = [HEADER, *(f"{unit}.h" for unit in units if words & _declared(unit))]
    return "".join(f'#include "{header}"\n' for header in headers)


def library(*texts: str, beside: Container[str] = ()) -> dict[str, str]:
    """The files that these texts include, and the units behind them, by name; without those
    `beside` them.
    """
    files: dict[str, str] = {}
    waiting = [name for text in texts for name in _INCLUDE.findall(text)]
    while waiting:
        name = waiting.pop()
        if name not in files and name not in beside:
            files[name] = _file(name)
            waiting += _INCLUDE.findall(files[name])
            stem = name.removesuffix(".h")
            waiting += [f"{stem}.c"] if stem in UNITS else []
    return dict(sorted(files.items()))


@cache
def _declared(unit: str) -> frozenset[str]:
    return frozenset(_DECLARED.findall(_read(f"{unit}.h")))


def _file(name: str) -> str:
    """A file of the library as it goes along."""
    stem, _, kind = name.partition(".")
    if name == HEADER:
        return "#pragma once\n" + "\n".join(_read(f"{part}.h") for part in BASE)
    if kind == "c":
        return "\n".join(_read(f"{part}.c") for part in UNITS[stem])
    return _read(name)


@cache
def _read(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
