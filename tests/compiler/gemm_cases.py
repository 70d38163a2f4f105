"""Products for the Triton template: shapes, cuts, and what is fused to them."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from weft.compiler.emit.triton import (
    Contraction,
    Gemm,
    KernelText,
    Operand,
    Parameter,
    Sums,
    Tile,
    frame,
    gemm_kernel,
)


@dataclass(frozen=True)
class Case:
    """One GEMM: extents, which operands lie transposed, how it is cut and what is fused to it."""

    m: int
    n: int
    k: int
    tile: Tile
    a_transposed: bool = False
    b_transposed: bool = False
    batch: tuple[int, ...] = ()
    dtype: str = "f32"
    symbolic: str = "m"
    shared_b: bool = False
    sums: str = ""
    prologue: bool = False
    wide: bool = False

    @property
    def name(self) -> str:
        letters = ("t" if self.a_transposed else "n") + ("t" if self.b_transposed else "n")
        tile = re.sub(r"\W", "_", str(self.tile))
        parts = [letters, self.m, self.n, self.k, tile, *self.batch, self.dtype, self.symbolic]
        parts += [self.sums, "pro" if self.prologue else "", "wide" if self.wide else ""]
        parts += ["shared" if self.shared_b else "", f"g{self.tile.group}"]
        return "gemm_" + "_".join(str(p) for p in parts if p != "")


def cases() -> list[Case]:
    small = Tile(16, 32, 16, 4, 2)
    found = [
        Case(m, n, k, tile, at, bt)
        for m, n, k, tile in (
            (37, 53, 29, small),
            (64, 32, 48, Tile(32, 32, 16, 4, 2)),
            (1, 7, 5, replace(small, columns=16)),
            (70, 33, 31, replace(small, columns=16, group=2)),
        )
        for at in (False, True)
        for bt in (False, True)
    ]
    found += [
        Case(23, 19, 61, replace(small, split=s), at, bt, sums=sums, symbolic=symbolic)
        for s in (1, 2, 3)
        for at, bt, sums in ((False, False, "a"), (True, False, "b"), (True, True, ""))
        for symbolic in ("mk", "k")
    ]
    found += [
        Case(17, 19, 23, small, at, bt, (2, 3), shared_b=shared, symbolic=symbolic, wide=at)
        for at, bt, shared, symbolic in (
            (False, True, False, "mnk"),
            (True, False, False, "bm"),
            (False, False, True, ""),
        )
    ]
    found += [
        Case(17, 19, 45, replace(small, split=2), batch=(3,), sums="b"),
        Case(29, 23, 2, Tile(8, 32, 1, 4, 1)),
        Case(29, 23, 3, Tile(8, 16, 1, 4, 1), True, True, sums="a", prologue=True),
        Case(29, 1, 20, Tile(8, 1, 32, 4, 2)),
        Case(29, 1, 77, Tile(8, 1, 16, 4, 2, split=2), True, False, sums="b", prologue=True),
        Case(29, 1, 77, Tile(8, 1, 16, 4, 2), sums="a"),
        Case(5, 10, 100, Tile(16, 16, 32, 4, 2), wide=True, prologue=True),
        Case(16, 16, 16, Tile(16, 16, 16, 4, 2), symbolic=""),
        Case(37, 53, 29, small, dtype="f16", sums="a"),
        Case(37, 53, 29, small, True, True, dtype="f16", sums="b", prologue=True),
        Case(13, 1, 40, Tile(8, 1, 16, 4, 2), dtype="f16"),
    ]
    return found


def build(case: Case) -> tuple[Gemm, tuple[KernelText, ...]]:
    """bias + leaky relu, the pre-activation kept, a residual, row maxima and column sums."""
    m = "rows" if "m" in case.symbolic else case.m
    n = "columns" if "n" in case.symbolic else case.n
    k = "deep" if "k" in case.symbolic else case.k
    batch = ("batches", *case.batch[1:]) if "b" in case.symbolic else case.batch
    sizes = {"rows": case.m, "columns": case.n, "deep": case.k}
    c = Contraction(
        m,
        n,
        k,
        operand("x", case.dtype, case.m, case.k, case.a_transposed, case.batch, False),
        operand("w", case.dtype, case.k, case.n, case.b_transposed, case.batch, case.shared_b),
        batch,
    )
    f = frame(c, case.tile)
    inside = f", mask={f.inside}" if f.inside else ""
    in_column = f", mask={f.in_column}" if f.in_column else ""
    down = ".to(tl.float16)" if case.dtype == "f16" else ""
    at = f"row * {n} + column"
    guarded = f"tl.where({f.inside}, y, 0.0)" if f.inside else "y"
    lines = [
        f"z = product + tl.load(bias_ptr + column{in_column}).to(tl.float32)",
        f"tl.store(z_ptr + {at}, z{down}{inside})",
        f"y = tl.where(z > 0, z, 0.1 * z) + tl.load(r_ptr + {at}{inside}).to(tl.float32)",
        f"tl.store(y_ptr + {at}, y{down}{inside})",
        f"total = tl.sum({guarded}, axis=0, keep_dims=True)",
        f"tl.store(s_partial_ptr + {f.panel} * {n} + column, total{in_column})",
    ]
    parameters = [Parameter.pointer(b, case.dtype) for b in ("bias", "z", "r", "y")]
    parameters.append(Parameter.pointer("s_partial", "f32"))
    if f.whole_rows:
        high = f"tl.where({f.in_column}, y, float('-inf'))" if f.in_column else "y"
        in_row = f", mask={f.in_row}" if f.in_row else ""
        lines.append(f"tl.store(top_ptr + row, row_max({high}){in_row})")
        parameters.append(Parameter.pointer("top", "f32"))
    gemm = Gemm(
        name=case.name,
        contraction=c,
        tile=case.tile,
        product="product",
        epilogue=tuple(lines),
        parameters=tuple(parameters),
        title="y = leaky(x @ w + bias) + r",
        places=("net.weft:3:4  linear",),
        precision="ieee",
        prologue_a=("x_tile = x_tile * x_tile",) if case.prologue else (),
        prologue_b=("w_tile = w_tile + w_tile",) if case.prologue else (),
        sums=Sums(case.sums, "own") if case.sums else None,
        wide=case.wide,
        divisible={name: size % 16 == 0 for name, size in sizes.items()},
    )
    return gemm, gemm_kernel(gemm)


def operand(
    buffer: str, dtype: str, rows: int, columns: int, transposed: bool, batch: tuple, shared: bool
) -> Operand:
    strides = (1, rows) if transposed else (columns, 1)
    size, steps = rows * columns, []
    for extent in reversed(batch):
        steps.append(0 if shared else size)
        size *= extent
    return Operand(buffer, dtype, *strides, tuple(reversed(steps)))
