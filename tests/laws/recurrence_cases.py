"""Recurrent layers over time."""

from __future__ import annotations

from tests.laws.cases import B, Build, Case, T, f32
from weft.compiler.ir.builder import Builder
from weft.compiler.ops.recurrences import CELLS


def recurrence(cell: str, units: int) -> Build:
    def build(b: Builder) -> dict[str, int]:
        kind = CELLS[cell]
        wide = kind.gates * units
        gates, bias = f32(b, "gates", B, T, wide), f32(b, "bias", wide)
        weight = b.map("mul", f32(b, "weight", wide, units), 0.4)
        begin = [f32(b, f"begin_{k}", B, units) for k in range(kind.states)]
        made = b.insert("recurrence", (gates, weight, bias, *begin), cell=cell)
        return {"states": b.map("mul", made, 0.5)}

    return build


SIZES = ({"B": 3, "T": 4}, {"B": 1, "T": 1}, {"B": 70, "T": 3})

RECURRENCE_CASES: tuple[Case, ...] = tuple(
    Case(f"{cell}_{units}", recurrence(cell, units), SIZES)
    for cell in CELLS
    for units in (5, 17, 32)
)
