"""Recurrent layers over time."""

from __future__ import annotations

from tests.laws.cases import B, Build, Case, T, f32
from weft.compiler.ir.builder import Builder
from weft.compiler.ops.recurrences import CELLS


def _operands(b: Builder, cell: str, units: int) -> tuple[int, ...]:
    kind = CELLS[cell]
    wide = kind.gates * units
    gates, bias = f32(b, "gates", B, T, wide), f32(b, "bias", wide)
    small = 0.4 if units < 64 else 0.05  # or errors would grow from step to step
    weight = b.map("mul", f32(b, "weight", wide, units), small)
    begin = [f32(b, f"begin_{k}", B, units) for k in range(kind.states)]
    return (gates, weight, bias, *begin)


def recurrence(cell: str, units: int) -> Build:
    def build(b: Builder) -> dict[str, int]:
        made = b.insert("recurrence", _operands(b, cell, units), cell=cell)
        return {"states": b.map("mul", made, 0.5)}

    return build


def _read(cell: str, units: int) -> Build:
    """A product reads h where it lies, between the other states."""

    def build(b: Builder) -> dict[str, int]:
        made = b.insert("recurrence", _operands(b, cell, units), cell=cell)
        h = b.slice(made, (0, 0, 0), (B, T, units), (1, 1, 1))
        out = b.map("mul", f32(b, "out", units, 9), 0.1)
        return {"y": b.contract("btu,uo->bto", h, out)}

    return build


def _gates(cell: str, units: int, *, known: bool) -> Build:
    """What opens, on the way to the states, or with the states before every step `known`."""

    def build(b: Builder) -> dict[str, int]:
        operands = _operands(b, cell, units)
        if known:
            states = f32(b, "states", B, T, CELLS[cell].states * units)
        else:
            states = b.insert("recurrence", operands, cell=cell)
        opened = b.insert("recurrence_gates", (states, *operands), cell=cell)
        return {"opened": opened} if known else {"opened": opened, "states": states}

    return build


def _begin(cell: str, units: int, *, known: bool) -> Build:
    """What began it, made together with the cotangents of the gates, or from those alone."""

    def build(b: Builder) -> dict[str, int]:
        kind = CELLS[cell]
        opened = b.map("sigmoid", f32(b, "opened", B, T, kind.kept * units))
        weight = b.map("mul", f32(b, "weight", kind.gates * units, units), 0.4)
        states, d = (f32(b, name, B, T, kind.states * units) for name in ("states", "d"))
        operands = opened, weight, states, f32(b, "begin", B, kind.states * units), d
        d_gates = b.insert("recurrence_input", operands, cell=cell)
        if known:
            d_gates = b.copy(d_gates, "known")
        begin = b.insert("recurrence_begin", (d_gates, *operands), cell=cell)
        return {"begin": begin, "gates": d_gates}

    return build


LONG = ({"B": 16, "T": 4}, {"B": 20, "T": 3})  # all rows of a tile, and ten each
SIZES = ({"B": 3, "T": 4}, {"B": 1, "T": 1}, {"B": 70, "T": 3})

RECURRENCE_CASES: tuple[Case, ...] = (
    *(
        Case(f"{cell}_{units}", recurrence(cell, units), SIZES)
        for cell in CELLS
        for units in (5, 17, 32)
    ),
    *(Case(f"{cell}_read", _read(cell, 33), SIZES) for cell in CELLS),
)

WIDE_CASES = tuple(Case(f"{cell}_200", recurrence(cell, 200), LONG) for cell in CELLS)
"""Several groups of units on tile units."""

ON_THE_WAY_CASES: tuple[Case, ...] = tuple(
    Case(f"{cell}_{what}_{name}", build(cell, 33, known=known), SIZES, smooth=False)
    for cell in CELLS
    for what, build in (("gates", _gates), ("begin", _begin))
    for name, known in (("made", False), ("known", True))
)
"""Without a derivative: what a recurrence or its adjoint makes on the way."""
