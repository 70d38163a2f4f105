"""The second stage of sums over rows: adds what each block of rows left behind, in a fixed order.

partial[count, columns] -> out[columns]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from .gemm import needed
from .kernel import Extent, Factor, KernelText, Parameter, merged, scalars
from .template import call, fill, template
from .tiles import blocks, power_of_two

ELEMENTS = 2048
"""Elements of a block: 16 a thread."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """One sum: the buffer of partial results [count, columns] and the buffer of the result."""

    partial: str
    out: str
    columns: int


def finish_kernel(
    name: str,
    gathers: Sequence[Gathered],
    *,
    count: Extent,
    title: str,
    places: Sequence[str] = (),
    epilogues: Mapping[str, Sequence[str]] | None = None,
    parameters: Sequence[Parameter] = (),
) -> KernelText:
    """One launch that finishes all the gathers of one kernel.

    `epilogues` may rewrite `total` [1, COLUMNS] (name `column`) before it is stored in `out`;
    `parameters` are what they need.
    """
    ridden = tuple((out, tuple(lines)) for out, lines in (epilogues or {}).items())
    given = tuple(places), ridden, tuple(parameters)
    return _finish_kernel(name, tuple(gathers), count, title, *given)


@lru_cache(maxsize=1 << 10)
def _finish_kernel(
    name: str,
    gathers: tuple[Gathered, ...],
    count: Extent,
    title: str,
    places: tuple[str, ...],
    ridden: tuple[tuple[str, tuple[str, ...]], ...],
    parameters: tuple[Parameter, ...],
) -> KernelText:
    """The kernel, written once for equal layers."""
    epilogues = dict(ridden)
    widest = max(g.columns for g in gathers)
    columns = min(power_of_two(widest), 32)
    rows = ELEMENTS // columns
    if isinstance(count, int):
        rows = min(rows, power_of_two(count))
    body: list[str] = []
    first, numbers = 0, [blocks(g.columns, columns) for g in gathers]
    for gather, number in zip(gathers, numbers, strict=True):
        lines = _one(gather, count, rows, columns, first, epilogues.get(gather.out, ()))
        if len(gathers) == 1:
            body = lines
        else:
            last = first + number == sum(numbers)
            test = f"if tl.program_id(0) < {first + number}:" if first == 0 else "else:"
            if first and not last:
                test = f"elif tl.program_id(0) < {first + number}:"
            body += [test, *(f"    {line}" for line in lines)]
        first += number
    pointers = [Parameter.pointer(buffer, "f32") for g in gathers for buffer in (g.partial, g.out)]
    used = merged(pointers, parameters, scalars([count], {}))
    about = [
        f"{g.out}[{g.columns}] = the sum of {g.partial}[{count}, {g.columns}]" for g in gathers
    ]
    text = fill(
        template("finish"),
        {"title": title, "rows": str(rows), "columns": str(columns)},
        {
            "signature": call(f"def {name}", [p.name for p in used], 0, "):"),
            "about": [*about, *places],
            "body": body,
        },
    )
    return KernelText(name, text, used, ((Factor(sum(numbers)),),), 4, 2)


def _one(
    gather: Gathered, count: Extent, rows: int, columns: int, first: int, epilogue: Sequence[str]
) -> list[str]:
    """The lines for one gather, whose column blocks begin at program `first`."""
    block = "tl.program_id(0)" if first == 0 else f"(tl.program_id(0) - {first})"
    single = gather.columns <= columns
    start = "" if single else f"{block} * COLUMNS + "
    place = [f"column = {start}tl.arange(0, COLUMNS)[None, :]"]
    in_column = None
    if gather.columns % columns:
        in_column = "in_column"
        place.append(f"in_column = column < {gather.columns}")
    once = isinstance(count, int) and count <= rows
    masked = not (isinstance(count, int) and count % rows == 0)
    step = [f"row = {'' if once else 'start + '}tl.arange(0, ROWS)[:, None]"]
    in_row = f"(row < {count})" if in_column else f"row < {count}"
    mask = " & ".join(filter(None, (in_row if masked else None, in_column)))
    at = f"{gather.partial}_ptr + row * {gather.columns} + column"
    masks = [f"mask={mask}", "other=0.0"] if mask else []
    if once:
        step += call("part = tl.load", [at, *masks], 8)
        lines = [*step, "total = tl.sum(part, axis=0, keep_dims=True)"]
    else:
        step += call("part += tl.load", [at, *masks], 12)
        lines = [
            "part = tl.zeros([ROWS, COLUMNS], tl.float32)",
            f"for start in range(0, {count}, ROWS):",
            *(f"    {line}" for line in step),
            "total = tl.sum(part, axis=0, keep_dims=True)",
        ]
    store = [f"{gather.out}_ptr + column", "total", *([f"mask={in_column}"] if in_column else [])]
    lines += [*epilogue, *call("tl.store", store, 8)]
    return [*needed(place, lines), *lines]
