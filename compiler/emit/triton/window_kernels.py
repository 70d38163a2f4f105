"""The kernels of convolutions and their adjoints, with the group that follows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ....spec.dims import Dim, numel
from ...plan.memory import nominal
from ...plan.windows import CONVOLUTIONS
from ..loops import Kernel
from . import convolution, weight_gradient, windows
from .choice import choose
from .composed import Composed
from .contraction import (
    Contraction,
    Operand,
    divides,
    frame,
)
from .convolution import Windows
from .epilogue import Epilogue, pressure, whole_rows
from .gemm import partials_of, sum_kernel
from .gemm_loop import Loop
from .kernel import Extent, Factor, Factors, KernelText, widened
from .library import PLACES
from .part import Machine, Part, Work
from .pool_kernels import pool
from .request import Gemm
from .spelling import both
from .template import call
from .tiles import MACHINES, Tile, blocks, power_of_two
from .weight_gradient import WeightGradient
from .windowed import Windowed, blocks_of, plain

ADDRESS, GATHERED = 2.5, 128
"""Registers of an element that is gathered, and of all those and the results of a lane."""

PHASED = 32
"""Results that a lane may hold where 16-bit elements meet taps by phases."""

SHARES = 64
"""Programs that share the windows of a depthwise weight gradient, at most."""


def windowed(part: Part, work: Work, machine: Machine) -> Composed | None:
    """A windowed node with the group that follows it; None where they cannot be one kernel.

    Raises: LookupError when no tile is left.
    """
    kernels = Windowed(part, work, machine)
    try:
        if kernels.node.op == "convolve_weight":
            return _weight_gradient(kernels)
        return (_convolution if kernels.node.op in CONVOLUTIONS else pool)(kernels)
    except LookupError:
        if work.roots:
            return None
        raise


# ---- convolutions --------------------------------------------------------------------------------


def _convolution(k: Windowed) -> Composed:
    part, node, g = k.part, k.node, k.g
    x, v = node.operands
    w = Windows(
        axes=k.axes,
        batch=k.sizes.extent(part.graph[x].shape[0], "images"),
        groups=g.groups,
        depth=g.channels // g.groups,
        columns=g.outputs // g.groups,
        x=k.image(x),
        w=k.weight(v, part.layout(v)),
        adjoint=k.adjoint,
        precision=k.machine.precision,
        wide=k.wide,
        wider=widened(part.graph[x].dtype),
        ahead=k.ahead,
    )
    split_columns = w.groups > 1 and not w.direct
    kernel = k.rider(numel(node.shape[:-1]), g.outputs, split_columns=split_columns)
    places = [part.graph[x].shape[0]]
    if w.phases > 1 and not w.direct:
        steps = zip(g.outer, g.stride, strict=True)
        places += [(extent + (step - 1)) // step for extent, step in steps]
    else:
        places += g.outer
    m = k.sizes.extent(numel(places), "rows")
    asked = pressure(kernel, moments=k.work.moments is not None)
    whole = kernel is not None and whole_rows(kernel)
    tile = _tile(k, w, m, asked, whole, k.level())
    direct = w.direct or tile.form == "outer"
    met = numel((part.graph[x] if w.adjoint else node).shape[:-1])  # windows
    flops = 2 * nominal(met, part.values.sizes) * windows.count(w.axes) * w.depth * g.outputs
    if w.phases > 1 and not direct:
        texts, epilogue = _phased(k, w, m, tile, kernel)
        return k.composed(texts, epilogue, flops)
    n, groups = (g.outputs, 1) if direct else (w.columns, w.groups)
    place, shape = blocks_of(m, n, tile, "row", wide=k.wide, groups=groups)
    word = "in" if w.adjoint else "out"
    place += windows.pixels("row", w.axes, word, wide=k.wide)
    place += [] if w.adjoint else windows.corners(w.axes)
    place += convolution.direct_bases(w) if direct else convolution.bases(w)
    masks = (shape.in_row, shape.in_column)
    grid: list[Factors] = [(Factor(m, tile.rows), Factor(n, tile.columns))]
    grid += [(Factor(groups),)] if groups > 1 else []
    if tile.split == 1:
        epilogue = k.epilogue(kernel, shape)
        found = convolution.loop(w, tile, epilogue.product, masks)
        text = k.kernel(tile, place, found, epilogue, grid)
        return k.composed([text], epilogue, flops)
    matrix = _matrix(k, m, g.outputs, windows.count(w.axes) * w.depth)
    epilogue = k.epilogue(kernel, frame(matrix, tile))
    found = convolution.loop(w, tile, epilogue.product, masks)
    return k.composed(
        _split(k, matrix, tile, place, found, epilogue, grid, shape.inside), epilogue, flops
    )


def _matrix(k: Windowed, m: Extent, n: int, depth: Extent) -> Contraction:
    """A windowed node as if its windows lay in a matrix."""
    names = [k.names[i] for i in k.operands]
    dtype = k.part.graph[k.node.operands[0]].dtype
    return Contraction(
        m, n, depth, Operand(names[0], dtype, depth, 1), Operand(names[1], dtype, n, 1)
    )


def _tile(k: Windowed, w: Windows, m: Extent, asked: int, whole: bool, level: int) -> Tile:
    nominals = k.sizes.sizes(k.part.values.sizes)
    rows = m if isinstance(m, int) else nominals[m]
    if w.direct:
        return plain(k, rows, w.groups * w.columns, whole, level)
    if whole and w.groups > 1:
        raise LookupError("the columns of groups are apart")
    depth = max(1, windows.count(w.axes) * w.depth // w.phases)
    if w.phases > 1:
        depth = max(16, depth)
    matrix = _matrix(k, m, max(2, w.columns), depth)
    matrix = replace(matrix, batch=(w.groups * w.phases,))
    tile = choose(k.machine.arch, matrix, nominals, pressure=asked, whole_rows=whole, level=level)
    if w.phases > 1 and w.wider and tile.load > PHASED:
        return _tile(k, w, m, asked, whole, level + 1)
    if tile.form == "outer":
        return tile if w.phases == 1 else replace(tile, depth=16)
    tile = replace(tile, depth=w.block(tile.depth))
    if w.flat or w.phases > 1:
        tile = _gathering(tile)
    return tile if w.phases == 1 else replace(tile, split=1)


def _gathering(tile: Tile) -> Tile:
    """A tile whose windows have addresses and masks of their own for every element: less depth."""
    while tile.depth > 16 and tile.load + ADDRESS * tile.patch > GATHERED:
        tile = replace(tile, depth=tile.depth // 2)
    return tile


def _phased(
    k: Windowed, w: Windows, m: Extent, tile: Tile, kernel: Kernel | None
) -> tuple[list[KernelText], Epilogue]:
    """The adjoint of strides: each phase of elements has its own blocks of rows."""
    place, shape = blocks_of(m, w.columns, tile, "pixel", wide=k.wide, groups=w.groups)
    place = [line for line in place if not line.startswith("in_row")]
    axis = 1 if w.groups == 1 else 2
    place += [f"phase = tl.program_id({axis})", *convolution.phase_place(w)]
    place += [*convolution.phase_rows(w), *convolution.bases(w)]
    tiles = str(blocks(m, tile.rows)) if isinstance(m, int) else "tiles_m"
    panel = "phase" if tiles == "1" else "panel"
    if tiles != "1":
        place.append(f"panel = phase * {tiles} + tile_m")
    panels = (Factor(w.phases), *shape.panels)
    shape = replace(shape, in_row="in_row", panel=panel, panels=panels)
    epilogue = k.epilogue(kernel, shape)
    found = convolution.loop(w, tile, epilogue.product, ("in_row", shape.in_column))
    grid: list[Factors] = [(Factor(m, tile.rows), Factor(w.columns, tile.columns))]
    grid += [(Factor(w.groups),)] if w.groups > 1 else []
    grid.append((Factor(w.phases),))
    return [k.kernel(tile, place, found, epilogue, grid)], epilogue


def _split(
    k: Windowed, matrix: Contraction, tile: Tile, place: Sequence[str], found: Loop,
    epilogue: Epilogue, grid: list[Factors], inside: str | None,
) -> list[KernelText]:  # fmt: skip
    """Two kernels: programs that share a sum leave their parts, which are added in order."""
    gemm = Gemm(
        name=k.part.name(k.work),
        contraction=matrix,
        tile=tile,
        product=epilogue.product,
        epilogue=epilogue.lines,
        parameters=k.parameters(epilogue),
        title=k.part.title(k.names, k.work),
        places=(PLACES,),
        precision=k.machine.precision,
        wide=k.wide,
    )
    partials = partials_of(gemm)
    at = f"{partials[0].parameter} + (split * {matrix.m} + row) * {matrix.n} + column"
    masks = [f"mask={inside}"] if inside else []
    stored = tuple(call("tl.store", [at, epilogue.product, *masks], 4))
    axis = len(grid)
    first = k.kernel(
        tile,
        [f"split = tl.program_id({axis})", *place],
        found,
        Epilogue(epilogue.product, stored, ()),
        [*grid, (Factor(tile.split),)],
        tail="Phase one: partial sums.",
        partials=partials,
    )
    return [first, sum_kernel(gemm)]


# ---- the adjoint in the weight -------------------------------------------------------------------


def _weight_gradient(k: Windowed) -> Composed:
    part, node, g = k.part, k.node, k.g
    x, d = node.operands
    if k.lowered is not None:
        raise LookupError("nothing rides in the adjoint of a weight")
    made, read, *taps = part.layout(node.id).strides
    pixels: Dim = numel(part.graph[d].shape[:-1])
    w = WeightGradient(
        axes=k.axes,
        count=k.sizes.extent(pixels, "pixels"),
        groups=g.groups,
        depth=g.channels // g.groups,
        columns=g.outputs // g.groups,
        x=k.image(x),
        d=k.names[part.values.memory(node.id, d)],
        result=(k.sizes.stride(made), k.sizes.stride(read), k.spatial(taps)),
        precision=k.machine.precision,
        wide=k.wide,
        wider=widened(part.graph[x].dtype),
        ahead=k.ahead,
        beside=k.beside,
    )
    count = nominal(pixels, part.values.sizes)
    tile = _gradient_tile(k, w, count, k.level())
    rows, columns = w.shape
    in_row = None if w.direct or divides(tile.rows, w.columns) else "in_row"
    across = columns if w.direct or w.flat else w.depth
    in_column = None if divides(tile.columns, across) else "in_column"
    place = weight_gradient.place(w, tile)
    found = weight_gradient.loop(w, tile, k.value(), (in_row, in_column))
    lines, at = weight_gradient.result_at(w)
    number = w.taps * blocks(columns, tile.columns) if w.direct else (
        blocks(w.columns, tile.rows) * weight_gradient.column_tiles(w, tile))  # fmt: skip
    grid: list[Factors] = [(Factor(number),)]
    grid += [(Factor(w.groups),)] if w.groups > 1 and not w.direct else []
    flops = 2 * count * rows * columns
    inside = both(in_row, in_column)
    if tile.split == 1:
        epilogue = k.stored(at, inside)
        text = k.kernel(tile, place, found, epilogue, grid)
        return replace(k.composed([text], epilogue, flops), tile=tile)
    matrix = _matrix(k, rows, columns, w.count)
    epilogue = k.stored(at, frame(matrix, tile).inside, lines)
    texts = _split(k, matrix, tile, place, found, epilogue, grid, inside)
    return replace(k.composed(texts, epilogue, flops), tile=tile)


def _gradient_tile(k: Windowed, w: WeightGradient, count: int, level: int) -> Tile:
    arch = k.machine.arch
    if w.direct:
        columns = min(64, max(16, power_of_two(w.shape[1])))
        depth = max(1, min(32, 2048 // columns) >> level)
        tile = Tile(1, columns, depth, 4, 2)
        processors = MACHINES[arch].processors if arch in MACHINES else 0
        split, programs = 1, w.taps * blocks(w.shape[1], columns)
        while split < SHARES and programs * split < 2 * processors and count > 4 * depth * split:
            split *= 2
        return replace(tile, split=2 if k.machine.interpreted and count > 64 else split)
    nominals = k.sizes.sizes(k.part.values.sizes)
    across = w.taps * w.depth if w.flat else w.depth
    number: Extent = max(16, w.count) if isinstance(w.count, int) else w.count
    matrix = _matrix(k, w.columns, max(2, across), number)
    matrix = replace(matrix, batch=(w.groups * (1 if w.flat else w.taps),))
    tile = choose(arch, matrix, nominals, pressure=1, level=level)
    if k.work.shares:
        return replace(tile, split=k.work.shares, depth=16 if k.machine.interpreted else tile.depth)
    return replace(tile, split=2, depth=16) if k.machine.interpreted and count > 64 else tile
