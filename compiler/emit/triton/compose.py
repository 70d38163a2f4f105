"""The texts of one piece of work: a loop kernel, a product with what rides in it, a scatter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from ....spec.dims import Dim, numel
from ...plan.forms import Form
from ...plan.moments import LONG
from ...plan.product import Product
from ..loops import Kernel
from .adjoints import adjoints
from .attention import attention
from .axes import prepared
from .chained import chained
from .choice import choose
from .composed import Composed, composed
from .contraction import Contraction, Frame, Sums, divides, frame, one_block
from .epilogue import Epilogue, Writer, attachable, pressure, whole_rows
from .gemm import gemm_kernel
from .gemm_loop import STEP
from .heads import heads_of
from .kernel import Extent, Parameter, drawing
from .library import PLACES
from .moments import left, moments, words_of
from .part import Machine, Part, Work
from .printer import print_kernel
from .products import Names, contraction_of, product_flops, result_index
from .prologue import Prologue, leaves, prologue, prologues
from .request import Gemm
from .row_parts import partable
from .scatter import scatter_kernel
from .spelling import both
from .template import call
from .tiles import Tile
from .window_kernels import windowed

UNKNOWN = object()

HELD = ("cuda:80", "cuda:86", "cuda:89")
"""Where sums of products lie in registers that epilogues need; others have more or other memory."""


def compose(part: Part, work: Work, machine: Machine) -> Composed:
    """The kernels of a piece of work.

    Raises: LookupError when no tile is left.
    """
    found = hosted(part, work.members[0] if work.members else work, machine)
    assert found is not None
    return found


def hosted(part: Part, work: Work, machine: Machine) -> Composed | None:
    """The kernels of a product or windows with the group that follows, or of anything else; None
    where they cannot be one kernel.  Those of one form are written once.

    Raises: LookupError when no tile is left.
    """
    if work not in part.hosted:
        key, form = part.form(work)
        known = part.values.plans.composed
        found = known.get(key, UNKNOWN)
        if found is UNKNOWN:
            found = known[key] = _written(part, work, machine, form)
        if isinstance(found, Composed):
            names = {form.ids[i]: name for i, name in found.names.items()}
            lowered = part.lowered(work.roots) if work.roots else found
            found = replace(
                found,
                names=names,
                places=part.sources(work),
                streams=lowered.streams,
                starts=lowered.starts,
            )
        part.hosted[work] = found
    found = part.hosted[work]
    if isinstance(found, str):
        raise LookupError(found)
    return found


def _written(part: Part, work: Work, machine: Machine, form: Form) -> Composed | str | None:
    """The kernels for the numbers of a form in place of values, or why no tile is left."""
    write: Callable[[Part, Work, Machine], Composed | None]
    write = _loops if work.heavy is None else _scatter
    if work.heavy is not None and part.graph[work.heavy].op == "moments":
        return moments(part, work).of(form.ranks())
    if part.is_attention(work):
        write = attention
    elif work.weight is not None:
        write = adjoints
    elif work.then is not None:
        write = chained
    elif part.is_host(work):
        write = product if part.is_product(work) else windowed
    try:
        found = write(part, work, machine)
    except LookupError as none_left:
        return str(none_left)
    return found.of(form.ranks()) if found else None


def _loops(part: Part, work: Work, machine: Machine) -> Composed:
    lowered = part.lowered(work.roots)
    names = part.short(dict.fromkeys(b.value for b in lowered.buffers))
    name, title = part.name(work), part.title(names, work)
    key = f"{name}: {title}"
    found = print_kernel(
        prepared(lowered, names),
        name,
        title,
        part.values.sizes,
        wide=part.wide(names),
        interpret=machine.interpreted,
        level=machine.levels.get(key, 0),
    )
    return Composed(
        (found.text,), (found.grid,), names, found.numbers, found.partials, lowered.places,
        "loops", lowered.flops, key,
    )  # fmt: skip


def _scatter(part: Part, work: Work, machine: Machine) -> Composed:
    node = part.graph[work.key]
    indices, updates = (part.values.base(o) for o in node.operands)
    made = part.result(work)
    old = [part.values.base(part.values.onto[node.id][1])] if made != node.id else []
    names, sizes = part.short(dict.fromkeys((indices, updates, *old, made))), Names()
    text = scatter_kernel(
        part.name(work),
        names[indices],
        names[updates],
        names[made],
        onto=names[old[0]] if old else None,
        in_place=part.in_place(work),
        index=part.graph[indices].dtype,
        entries=sizes.extent(node.shape[0], "entries"),
        width=sizes.extent(numel(node.shape[1:]), "width"),
        count=sizes.extent(numel(part.graph[node.operands[0]].shape), "count"),
    )
    flops = part.values.count(updates)
    return composed((text,), names, sizes, (), part.places([node.id]), "scatter", flops)


# ---- products ------------------------------------------------------------------------------------


def product(part: Part, work: Work, machine: Machine) -> Composed | None:
    """A contraction with the group that follows it; None where they cannot be one kernel.

    Raises: LookupError when no tile is left.
    """
    key, p = work.key, part.product(work.key)
    z, terms = part.values.made_as_one(key)
    a, b = part.values.memory(key, p.a), part.values.memory(key, p.b)
    others = [part.product(i) for i in terms[1:]]
    lowered = part.lowered(work.roots) if work.roots else None
    read = [x.value for x in lowered.buffers] if lowered else []
    read += [i for i in (work.summed, work.moments) if i is not None]
    read += leaves(part, key)
    added = [part.values.memory(x.c, i) for x in others for i in (x.a, x.b)]
    names, sizes = part.short(dict.fromkeys((a, b, *added, *read, z))), Names()
    c = contraction_of(p, (names[a], part.graph[a].dtype), (names[b], part.graph[b].dtype), sizes)
    c = replace(c, others=tuple(_other(part, other, names, sizes) for other in others))
    flops = sum(product_flops(each, part.values.sizes) for each in (p, *others))
    places = part.places(terms)
    taken = frozenset(tile for each in c.terms for tile in (each.a_tile, each.b_tile))
    taken |= {f"{names[i]}_tile" for i in (a, b)}
    taken |= words_of(names[work.moments]) if work.moments is not None else frozenset()
    ahead = prologues(part, key, (p.a, p.b), names, sizes, taken)
    added_ahead = [prologue(part, x.c, x.a, names, sizes, taken) for x in others]
    kernel, heads = None, heads_of(lowered, p) if lowered is not None else None
    if lowered is not None:
        whole = lowered if heads is None else heads.kernel
        kernel = prepared(whole, names, flat=False, taken=taken)
        if not attachable(kernel, z, p):
            return None
        flops += lowered.flops
        places = tuple(dict.fromkeys((*places, *lowered.places)))
    parted = kernel is not None and heads is None and _is_long(c.n) and partable(kernel)
    by_rows = kernel is not None and heads is None and whole_rows(kernel)
    tile = _tile(part, work, machine, c, sizes, kernel, whole=by_rows and not parted)
    shape = frame(c, tile)
    if by_rows and not (shape.whole_rows or parted):
        return None
    if heads is not None and not heads.fit(shape.columns):
        return None
    wide = part.wide(names)
    if kernel is not None:
        kept = names[z] if z in work.writes else None
        parted = parted and not shape.whole_rows
        writer = Writer(kernel, z, shape, sizes, wide=wide, parted=parted, heads=heads)
        epilogue = writer.write(kept)
    else:
        epilogue = _stored(p, names[z], shape, sizes)
    if work.moments is not None:
        epilogue = left(epilogue, shape, names[work.moments], part.graph[z], sizes)
    sums = None
    if work.summed is not None:
        sums = Sums(sums_of(part, z, work.summed) or "", names[work.summed])
        places = tuple(dict.fromkeys((*places, *part.places([work.summed]))))
    gemm = Gemm(
        name=part.name(work),
        contraction=c,
        tile=tile,
        product=epilogue.product,
        epilogue=epilogue.lines,
        parameters=(*_pointers(part, names, epilogue), *sizes.parameters()),
        title=part.title(names, work),
        places=(PLACES,),
        precision=machine.precision,
        wide=wide,
        sums=sums,
    )
    left_before, left_step = _ahead(gemm, ahead[0], "a")
    right_before, right_step = _ahead(gemm, ahead[1], "b")
    made = [
        _ahead(replace(gemm, contraction=term), each, "a")
        for term, each in zip(c.others, added_ahead, strict=True)
    ]
    before = (*left_before, *right_before, *(line for lines, _ in made for line in lines))
    gemm = replace(
        gemm, prologue_a=left_step, prologue_b=right_step, before=before,
        others=tuple(lines for _, lines in made),
    )  # fmt: skip
    texts = gemm_kernel(gemm)
    found = composed(texts, names, sizes, epilogue.partials, places, "product", flops)
    own = _key(part, work, c)
    return replace(found, key=own, second=own + PHASE_TWO, parted=epilogue.parted, tile=tile)


PHASE_TWO = ": phase two"


def _key(part: Part, work: Work, c: Contraction) -> str:
    """What tells the kernel from others when its tile is refused."""
    return f"{part.name(work)}: {c}"


def _other(part: Part, p: Product, names: Mapping[int, str], sizes: Names) -> Contraction:
    """One more product that a kernel adds."""
    a, b = part.values.memory(p.c, p.a), part.values.memory(p.c, p.b)
    return contraction_of(
        p, (names[a], part.graph[a].dtype), (names[b], part.graph[b].dtype), sizes
    )


def _is_long(columns: Extent) -> bool:
    """Do the rows of a product not fit its blocks?"""
    return isinstance(columns, int) and columns > LONG


def _ahead(
    gemm: Gemm, ahead: Prologue | None, side: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The lines that make an operand of the block that was loaded: before the sum, and in it."""
    if ahead is None:
        return (), ()
    c = gemm.contraction
    masked = not divides(gemm.tile.depth, c.k)
    if side == "a":
        tile, along, rest = c.a_tile, "depth[None, :]", gemm.matrix_row
        deep, other = "in_depth[None, :]" if masked else None, gemm.in_row
        by_depth = c.a.column_stride == 1
    else:
        tile, along, rest = c.b_tile, "depth[:, None]", "column"
        deep, other = "in_depth[:, None]" if masked else None, gemm.in_column
        by_depth = c.b.row_stride == 1
    source, channel = (along, deep) if by_depth else (rest, other)
    place, row = (rest, other) if by_depth else (along, deep)
    made = ahead.made(tile, source, place, (row, channel), both(other, deep), STEP)
    before, step = (made.rows, made.channels) if by_depth else (made.channels, made.rows)
    first = None if one_block(gemm.tile.columns, c.n) else "(tile_n == 0)"
    stored = ahead.stored(tile, rest, both(first, other, deep), STEP)
    return (*made.numbers, *before), (*step, *made.elements, *stored)


def _tile(
    part: Part, work: Work, machine: Machine, c: Contraction, sizes: Names, kernel: Kernel | None,
    *, whole: bool,
) -> Tile:  # fmt: skip
    made = bool(part.values.made_by(work.key))
    held = not made and machine.arch in HELD
    asked = pressure(kernel, moments=work.moments is not None, held=held)
    asked = max(asked, int(made))
    own = _key(part, work, c)
    level, halved = (machine.levels.get(key, 0) for key in (own, own + PHASE_TWO))
    nominals = sizes.sizes(part.values.sizes)
    tile = choose(
        machine.arch,
        c,
        nominals,
        pressure=asked,
        whole_rows=whole,
        level=level,
        times=work.times,
        beside=_beside(part, work) if machine.arch in HELD else 0,
    )
    tile = replace(tile, halved=halved)
    if work.shares and tile.form == "dot":
        return replace(tile, split=work.shares)
    return replace(tile, rows=1) if tile.form == "vector" and c.m == 1 else tile


def _beside(part: Part, work: Work) -> int:
    """How many blocks of rows are loaded beside the one that would be, if the left operand is made
    of several.
    """
    whole = part.values.bytes_of(part.product(work.key).a)
    large = sum(part.values.bytes_of(i) >= whole for i in leaves(part, work.key))
    return max(0, large - 1)


def _stored(p: Product, name: str, shape: Frame, sizes: Names) -> Epilogue:
    """The epilogue of a product that nothing rides in."""
    mask = [f"mask={shape.inside}"] if shape.inside else []
    lines = call("tl.store", [f"{name}_ptr + {result_index(p, sizes)}", name, *mask], 4)
    return Epilogue(name, tuple(lines), ())


def _pointers(part: Part, names: Mapping[int, str], epilogue: Epilogue) -> list[Parameter]:
    partial = {p.buffer for p in epilogue.partials} | {p.buffer for p in epilogue.parted}
    found = [
        Parameter.pointer(n, part.graph[i].dtype) for i, n in names.items() if n not in partial
    ]
    found += [Parameter.pointer(f"{n}_partial", "f32") for n in sorted(partial)]
    return [*found, *drawing(epilogue.streams)]


def sums_of(part: Part, z: int, root: int) -> str | None:
    """Is `root` the row sums of z's left operand ("a") or the column sums of the right ("b")?"""
    node, p = part.graph[root], part.product(z)
    operand = part.graph[node.operands[0]]
    contiguous = part.layout(root).strides == row_strides(node.shape)
    leading = node["axes"] == tuple(range(len(node["axes"])))
    if p.outer or node.dtype != "f32" or not contiguous or not leading:
        return None
    folded = numel(operand.shape[d] for d in node["axes"])
    for side, i, rest, stride in (("a", p.a, p.m, p.m.a), ("b", p.b, p.n, p.n.b)):
        same = part.values.base(i) == part.values.base(operand.id) and stride == 1
        if same and folded != 1 and (p.k.extent, rest.extent) == (folded, numel(node.shape)):
            return side
    return None


def row_strides(shape: tuple[Dim, ...]) -> tuple[Dim, ...]:
    """The strides of a contiguous value."""
    strides: list[Dim] = []
    step: Dim = 1
    for extent in reversed(shape):
        strides.append(step)
        step = step * extent
    return tuple(reversed(strides))
