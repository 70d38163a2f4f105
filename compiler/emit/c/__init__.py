"""The C target: the loop IR and whole steps printed as C, and the hand-written text they call.

The texts are plain headers beside this file; they become one header beside the emitted files, so
that these compile anywhere with nothing but a C compiler.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

FORMS = ("windows", "window_rows", "window_tiles", "window_direct", "window_weights", "window_ways")
"""What convolutions lean on: geometry, and the ways that they may go."""

WINDOWS = (*FORMS, "convolutions", "pools")
"""Texts that lean on the geometry of windows."""

PARTS = (
    *("math", "random", "gemm", "planes", "tiles", "attend", *WINDOWS, "kept", "recurrent"),
    *("moments", "team", "step"),
)
"""The texts in the order in which they lean on each other: all but the first need `math`."""

PRODUCTS = ("planes", "tiles", "attend", *WINDOWS, "kept", "recurrent")
"""Texts that lean on matrix products, or on their vectors."""

GEMM_SCRATCH = 24576 + 98304 + 8192
"""Floats of scratch that `weft_gemm` wants from each thread, on every machine."""


def text(*parts: str) -> str:
    """The named texts, each once, in the order of `PARTS`."""
    unknown = set(parts) - set(PARTS)
    if unknown:
        raise KeyError(f"no C text named {', '.join(sorted(unknown))}")
    wanted = {"math", *parts}
    if wanted & {"gemm", *PRODUCTS}:
        wanted |= {"gemm", "planes", "tiles"}
    wanted |= {"kept"} if "recurrent" in wanted else set()
    if wanted & {*WINDOWS}:
        wanted |= {*FORMS}
    return "\n".join(_read(part) for part in PARTS if part in wanted)


@cache
def _read(part: str) -> str:
    return Path(__file__).with_name(f"{part}.h").read_text(encoding="utf-8")
