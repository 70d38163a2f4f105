"""The GEMM kernel, written for one contraction: literal features, only the masks it needs.

    product = a @ b -> epilogue                      split == 1
    partial[split] = a @ b over a share of k         split > 1, phase one
    product = partial[0] + partial[1] ... -> epilogue  phase two, in this order: same bits

A program computes one block of the product.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from .contraction import placement, sum_tile
from .gemm_loop import loop, sum_guard
from .kernel import Factor, Factors, KernelText, Parameter, Workspace, merged, scalars
from .request import Gemm
from .template import call, fill, template
from .tiles import Tile

BODY = 4
"""Columns of indentation of a kernel's body."""


UNROLLED = 32
"""Shares that are added without a loop."""


def gemm_kernel(gemm: Gemm) -> tuple[KernelText, ...]:
    """The kernel, or the two kernels of a split contraction: `name` and `name`_sum."""
    return (_whole(gemm),) if gemm.tile.split == 1 else (_shares(gemm), sum_kernel(gemm))


def _whole(gemm: Gemm) -> KernelText:
    found = loop(gemm)
    after = list(found.after)
    if gemm.sums:
        after += _store_sum(gemm, f"{gemm.sums.buffer}_ptr", _sum_index(gemm))
    parameters = merged(_operands(gemm), gemm.parameters, _summed(gemm), _extents(gemm))
    title = [gemm.title, f"{gemm.product}{_shape(gemm)} = {gemm.contraction}"]
    before = [*gemm.before, *found.before]
    holes = {"before": before, "steps": found.steps, "after": after, "end": gemm.epilogue}
    return _kernel(gemm, title, parameters, holes, dots=found.dots)


def _shares(gemm: Gemm) -> KernelText:
    """Phase one: each program sums one block over its share of k."""
    found, partials = loop(gemm), partials_of(gemm)
    after = list(found.after)
    c = gemm.contraction
    rows = _product((*c.batch, c.m))
    at = f"{partials[0].parameter} + (split * {rows} + row) * {c.n} + column"
    end = _store(at, gemm.product, gemm.inside, BODY)
    if gemm.sums:
        pointer, index = partials[1].parameter, _sum_index(gemm)
        after += _store_sum(gemm, pointer, f"split * {_sum_count(gemm)} + {index}")
    pointers = [Parameter(w.parameter, "*fp32", divisible=True) for w in partials]
    parameters = merged(_operands(gemm), gemm.parameters, pointers, _extents(gemm))
    split = gemm.tile.split
    title = [
        f"{gemm.title}: phase one, partial sums",
        f"{gemm.product}_partial[{split}, {_shape(gemm)[1:]} = {c}, k in {split} shares",
    ]
    before = ["split = tl.program_id(1)", *gemm.before, *found.before]
    holes = {"before": before, "steps": found.steps, "after": after, "end": end}
    return _kernel(gemm, title, parameters, holes, dots=found.dots, partials=partials)


def sum_kernel(gemm: Gemm) -> KernelText:
    """Phase two: adds the shares in order, then the epilogue."""
    c, split, partials = gemm.contraction, gemm.tile.split, partials_of(gemm)
    pointers = [Parameter(w.parameter, "*fp32", divisible=True) for w in partials]
    gemm = replace(gemm, name=f"{gemm.name}_sum", tile=sum_tile(c, gemm.tile))
    at = f"{partials[0].parameter} + row * {c.n} + column"
    step = _product((*c.batch, c.m, c.n))
    steps = _add_shares(gemm.product, at, step, split, gemm.inside, BODY)
    after: list[str] = []
    if gemm.sums:
        name = f"{gemm.sums.buffer}_sum"
        at = f"{partials[1].parameter} + {_sum_index(gemm)}"
        indent = 8 if sum_guard(gemm) else BODY
        added = _add_shares(name, at, _sum_count(gemm), split, _sum_mask(gemm), indent)
        added += _store(
            f"{gemm.sums.buffer}_ptr + {_sum_index(gemm)}", name, _sum_mask(gemm), indent
        )
        after = _guarded(gemm, added)
    parameters = merged(pointers, gemm.parameters, _summed(gemm), _extents(gemm))
    title = [
        f"{gemm.title}: phase two",
        f"{gemm.product}{_shape(gemm)} = the {split} shares of {c}, added in order",
    ]
    holes = {"before": (), "steps": steps, "after": after, "end": gemm.epilogue}
    return _kernel(gemm, title, parameters, holes)


def _add_shares(
    name: str, at: str, step: str, split: int, mask: str | None, indent: int
) -> list[str]:
    masks = [f"mask={mask}", "other=0.0"] if mask else []
    first = call(f"{name} = tl.load", [at, *masks], indent)
    rest = call(f"{name} += tl.load", [f"{at} + share * {step}", *masks], indent + 4)
    steps = f"range(1, {split})" if split > UNROLLED else f"tl.static_range(1, {split})"
    return [*first, f"for share in {steps}:", *(f"    {line}" for line in rest)]


def _kernel(
    gemm: Gemm,
    title: Sequence[str],
    parameters: tuple[Parameter, ...],
    holes: Mapping[str, Sequence[str]],
    *,
    dots: int = 0,
    partials: tuple[Workspace, ...] = (),
) -> KernelText:
    c, tile = gemm.contraction, gemm.tile
    grid: list[Factors] = [
        (Factor(c.m, tile.rows), Factor(c.n, tile.columns), *map(Factor, c.batch))
    ]
    if tile.split > 1:
        grid.append((Factor(tile.split),))
    return assembled(
        gemm.name,
        [*title, *gemm.places],
        parameters,
        tile,
        {"place": placement(c, tile, wide=gemm.wide), **holes},
        tuple(grid),
        dots=dots,
        partials=partials,
    )


def assembled(
    name: str,
    title: Sequence[str],
    parameters: tuple[Parameter, ...],
    tile: Tile,
    holes: Mapping[str, Sequence[str]],
    grid: tuple[Factors, ...],
    *,
    dots: int = 0,
    partials: tuple[Workspace, ...] = (),
    more: Mapping[str, int] | None = None,
) -> KernelText:
    """A kernel from its lines; definitions in `place`, and parameters, that nobody reads go.

    `more`: sizes of blocks beside those of the tile.
    """
    lines = [line for part in ("before", "steps", "after", "end") for line in holes[part]]
    place = needed(holes["place"], lines)
    sizes = {"BM": tile.rows, "BN": tile.columns, "BK": tile.depth, **(more or {})}
    blocks = [f"{name}: tl.constexpr = {size}" for name, size in sizes.items()]
    blocks = needed(blocks, [*place, *lines])
    used = _words([*blocks, *place, *lines])
    parameters = tuple(p for p in parameters if p.name in used)
    text = fill(
        template("gemm"),
        {"title": title[0]},
        {
            "signature": call(f"def {name}", [p.name for p in parameters], 0, "):"),
            "about": title[1:],
            "blocks": blocks,
            **holes,
            "place": place,
        },
    )
    return KernelText(name, text, parameters, grid, tile.warps, tile.stages, dots, partials)


def needed(definitions: Sequence[str], readers: Sequence[str]) -> list[str]:
    """The definitions `name = ...` or `name: type = ...` whose name is read later on."""
    kept: list[str] = []
    words = _words(readers)
    for line in reversed(definitions):
        name = re.match(r"\w+", line)
        if name and name[0] in words:
            kept.append(line)
            words |= _words([line.split("=", 1)[1]])
    return kept[::-1]


def _words(lines: Sequence[str]) -> set[str]:
    return set().union(*map(_words_of, lines))


@lru_cache(maxsize=1 << 14)
def _words_of(line: str) -> frozenset[str]:
    """Without those of a comment; kernels have many lines in common."""
    return frozenset(re.findall(r"\w+", line.split("  #")[0]))


def partials_of(gemm: Gemm) -> tuple[Workspace, ...]:
    """The partial sums that a split product leaves."""
    c, split = gemm.contraction, Factor(gemm.tile.split)
    product = Workspace(f"{gemm.product}_partial_ptr", (split, *c.rows, Factor(c.n)))
    if not gemm.sums:
        return (product,)
    extent = c.rows if gemm.rowwise_sums else (*map(Factor, c.batch), Factor(c.n))
    return product, Workspace(f"{gemm.sums.buffer}_partial_ptr", (split, *extent))


def _store(at: str, value: str, mask: str | None, indent: int) -> list[str]:
    return call("tl.store", [at, value, *([f"mask={mask}"] if mask else [])], indent)


def _store_sum(gemm: Gemm, pointer: str, index: str) -> list[str]:
    if not gemm.sums:
        return []
    indent = 8 if sum_guard(gemm) else BODY
    name = f"{gemm.sums.buffer}_sum"
    return _guarded(gemm, _store(f"{pointer} + {index}", name, _sum_mask(gemm), indent))


def _guarded(gemm: Gemm, lines: list[str]) -> list[str]:
    guard = sum_guard(gemm)
    return [f"if {guard}:", *(f"    {line}" for line in lines)] if guard else lines


def _sum_index(gemm: Gemm) -> str:
    if gemm.rowwise_sums:
        return "row"
    return f"batch * {gemm.contraction.n} + column" if gemm.contraction.batch else "column"


def _sum_mask(gemm: Gemm) -> str | None:
    return gemm.in_row if gemm.rowwise_sums else gemm.in_column


def _sum_count(gemm: Gemm) -> str:
    """How many sums there are, as text that can be a factor."""
    c = gemm.contraction
    return _product((*c.batch, c.m) if gemm.rowwise_sums else (*c.batch, c.n))


def _product(extents: Sequence[int | str]) -> str:
    """The product of the extents as text that can be a factor."""
    number = 1
    for extent in extents:
        number *= extent if isinstance(extent, int) else 1
    names = [extent for extent in extents if isinstance(extent, str)]
    text = " * ".join([*([str(number)] if number != 1 or not names else []), *names])
    return f"({text})" if "*" in text else text


def _operands(gemm: Gemm) -> list[Parameter]:
    operands = (o for c in gemm.contraction.terms for o in (c.a, c.b))
    return [Parameter.pointer(o.buffer, o.dtype) for o in operands]


def _summed(gemm: Gemm) -> list[Parameter]:
    return [Parameter.pointer(gemm.sums.buffer, "f32")] if gemm.sums else []


def _extents(gemm: Gemm) -> tuple[Parameter, ...]:
    return scalars(gemm.contraction.extents, gemm.divisible)


def _shape(gemm: Gemm) -> str:
    c = gemm.contraction
    return f"[{', '.join(map(str, (*c.batch, c.m, c.n)))}]"
