"""The kernels of pools and their adjoints, with the group that follows them."""

from __future__ import annotations

from collections.abc import Sequence

from ....spec.dims import Dim, numel
from ...plan.memory import nominal
from ...plan.windows import tiles_image
from . import pooling, windows
from .composed import Composed
from .contraction import Frame
from .epilogue import Epilogue, pressure, whole_rows
from .kernel import Factor, Factors, KernelText, Parameter, Workspace
from .pooling import Pool
from .template import call
from .tiles import Tile
from .windowed import Windowed, blocks_of, plain


def pool(k: Windowed) -> Composed:
    """Those of one node.

    Raises: LookupError when what follows does not fit.
    """
    part, node, g = k.part, k.node, k.g
    adjoint = node.op.endswith("_input")
    first = node.operands[0]
    p = Pool(
        axes=k.axes,
        batch=k.sizes.extent(part.graph[first].shape[0], "images"),
        channels=g.channels,
        x=k.image(first),
        largest=node.op.startswith("pool_max"),
        wide=k.wide,
        tiles=tiles_image(g),
        ahead=k.ahead,
    )
    names = [k.names[i] for i in k.operands]
    flops = part.values.count(node.id) * p.taps
    if node.op == "pool_max_input" and p.tiles:
        if k.lowered is not None:
            raise LookupError("nothing rides behind windows that write")
        windows_of = part.graph[node.operands[1]].shape[:-1]
        tile, place, shape, grid = _pool_blocks(k, p, windows_of, "out", 0, False)
        masks = (shape.in_row, shape.in_column)
        found = pooling.scattered(p, names[1], names[2], k.names[node.id], masks)
        nothing = Epilogue("", (), ())
        text = k.kernel(tile, place, found, nothing, grid)
        return k.composed([text], nothing, flops)
    kernel = k.rider(numel(node.shape[:-1]), g.channels, split_columns=False)
    whole = kernel is not None and whole_rows(kernel)
    asked = pressure(kernel, moments=k.work.moments is not None)
    word = "in" if adjoint else "out"
    tile, place, shape, grid = _pool_blocks(k, p, node.shape[:-1], word, asked, whole)
    masks = (shape.in_row, shape.in_column)
    epilogue = k.epilogue(kernel, shape)
    if not adjoint:
        if node.op == "pool_max_pick":
            given = k.image(node.operands[2])
            found = pooling.picked(p, names[1], given, epilogue.product, masks)
        else:
            found = pooling.loop(p, epilogue.product, masks)
        text = k.kernel(tile, place, found, epilogue, grid)
        return k.composed([text], epilogue, flops)
    if node.op == "pool_sum_input":
        found = pooling.gathered(p, names[0], None, epilogue.product, masks)
        text = k.kernel(tile, place, found, epilogue, grid)
        return k.composed([text], epilogue, flops)
    winners, won = _winners(k, p, names)
    found = pooling.gathered(p, names[2], f"{won}_winner", epilogue.product, masks)
    more = [Parameter(f"{won}_winner_ptr", "*fp32", divisible=True)]
    tail = "Phase two: the gradients of the windows that an element won."
    text = k.kernel(tile, place, found, epilogue, grid, more=more, tail=tail)
    return k.composed([winners, text], epilogue, flops)


def _pool_blocks(
    k: Windowed, p: Pool, rows: Sequence[Dim], word: str, asked: int, whole: bool
) -> tuple[Tile, list[str], Frame, list[Factors]]:
    """The block of a pool, which rows and columns a program makes, and the grid."""
    m = k.sizes.extent(numel(rows), "rows")
    level = k.level() + (1 if asked == 2 else 0)
    tile = plain(k, nominal(numel(rows), k.part.values.sizes), p.channels, whole, level)
    place, shape = blocks_of(m, p.channels, tile, "row", wide=k.wide)
    place += windows.pixels("row", p.axes, word, wide=k.wide)
    place += windows.corners(p.axes) if word == "out" else []
    place.append(pooling.base(p))
    return tile, place, shape, [(Factor(m, tile.rows), Factor(p.channels, tile.columns))]


def _winners(k: Windowed, p: Pool, names: Sequence[str]) -> tuple[KernelText, str]:
    """Phase one of the adjoint of a maximum: which tap of each window won."""
    rows = k.part.graph[k.node.operands[1]].shape[:-1]
    tile, place, shape, grid = _pool_blocks(k, p, rows, "out", 0, False)
    value = k.value()
    masks = shape.in_row, shape.in_column
    again = p.ahead is not None
    found = pooling.largest(p, value, masks) if again else pooling.winner(p, names[1], value, masks)
    name = k.names[k.node.id]
    inside = [f"mask={shape.inside}"] if shape.inside else []
    pointer = f"{name}_winner_ptr"
    store = call("tl.store", [f"{pointer} + row * {p.channels} + column", value, *inside], 4)
    m = k.sizes.extent(numel(rows), "rows")
    space = Workspace(pointer, (Factor(m), Factor(p.channels)))
    text = k.kernel(
        tile,
        place,
        found,
        Epilogue(value, tuple(store), ()),
        grid,
        name=f"{k.part.name(k.work)}_winners",
        tail="Phase one: the element that won each window.",
        partials=(space,),
    )
    return text, name
