"""Scatter-add without atomics: one owner for every block of the table, tokens in order."""

from __future__ import annotations

from .kernel import Extent, Factor, KernelText, Parameter, merged, scalars
from .template import call, tidy
from .tiles import power_of_two

ROWS = 32
TOKENS = 32
WIDTH = 64


def scatter_kernel(
    name: str,
    indices: str,
    updates: str,
    table: str,
    *,
    index: str,
    entries: Extent,
    width: Extent,
    count: Extent,
    onto: str | None = None,
    in_place: bool = False,
) -> KernelText:
    """table[entries, width] = sum of updates[count, width] whose indices[count] name the row, added
    to that of `onto`; `in_place`: which lies where the table does, so that other rows stay.

    `index` is the dtype of the indices.  Every program reads all of them (from L2: 4 bytes x count
    for each block of the table), and those blocks of updates in which one of its rows occurs; the
    sums are in the order of the tokens.
    """
    columns = min(WIDTH, max(16, power_of_two(width))) if isinstance(width, int) else WIDTH
    across = Factor(width, columns)
    parameters = merged(
        [
            Parameter.pointer(indices, index),
            Parameter.pointer(updates, "f32"),
            *([Parameter.pointer(onto, "f32")] if onto else []),
            Parameter.pointer(table, "f32"),
        ],
        scalars([entries, width, count], {}),
    )
    body = [
        f"BV: tl.constexpr = {ROWS}",
        f"BT: tl.constexpr = {TOKENS}",
        f"BC: tl.constexpr = {columns}",
        "row = tl.program_id(0) * BV + tl.arange(0, BV)[:, None]",
        "column = tl.program_id(1) * BC + tl.arange(0, BC)[None, :]",
        f"in_column = column < {width}",
        "total = tl.zeros([BV, BC], tl.float32)",
        f"for start in range(0, {count}, BT):",
        "    token = start + tl.arange(0, BT)",
        f"    index = tl.load({indices}_ptr + token, mask=token < {count}, other=-1)",
        "    hit = row == index[None, :]",
        "    if tl.max(hit.to(tl.int32)) > 0:",
        f"        place = token[:, None].to(tl.int64) * {width} + column",
        f"        inside = (token[:, None] < {count}) & in_column",
        f"        update = tl.load({updates}_ptr + place, mask=inside, other=0.0)",
        '        total = tl.dot(hit.to(tl.float32), update, total, input_precision="ieee")',
        *_stored(table, onto, entries, width, in_place=in_place),
    ]
    if in_place:
        body.insert(7, "found = tl.zeros([BV, 1], tl.int32)")
        at = body.index("    if tl.max(hit.to(tl.int32)) > 0:")
        body.insert(at, "    found += tl.sum(hit.to(tl.int32), axis=1, keep_dims=True)")
    head = call(f"def {name}", [p.name for p in parameters], 0, "):")
    source = f"{updates}[{count}, {width}] at {indices}[{count}]"
    whole = f"{table}[{entries}, {width}]"
    title = f"{whole} = {onto} + {source}, in order." if onto else f"{whole} += {source}, in order."
    cost = [
        f"A program owns {ROWS} rows: it reads every index, and the updates of {TOKENS} tokens",
        "when one of them is its own.",
    ]
    text = [
        "@triton.jit",
        *head,
        f'    """{title}',
        "",
        *(f"    {line}" for line in cost),
        "",
        "    @places@",
        '    """',
    ]
    text += [f"    {line}" for line in body]
    grid = ((Factor(entries, ROWS),), (across,))
    return KernelText(name, tidy(text), parameters, grid, 4, 2)


def _stored(
    table: str, onto: str | None, entries: Extent, width: Extent, *, in_place: bool
) -> list[str]:
    """The end of the kernel: a block of rows, or those of them that were found."""
    lines = [f"at = row.to(tl.int64) * {width} + column"]
    lines.append(f"inside = (row < {entries}) & in_column" + (" & (found > 0)" if in_place else ""))
    if onto:
        lines.append(f"total += tl.load({onto}_ptr + at, mask=inside, other=0.0)")
    return [*lines, *call("tl.store", [f"{table}_ptr + at", "total", "mask=inside"], 4)]
