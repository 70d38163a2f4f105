"""A product inside of a step: the rows of a block of samples times a weight.

    z[sample, n] = sum over k of a[sample, k] * w[k, n]

The weight is read in every step, from the cache.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from ....spec.dims import Dim
from ...ir.body import rows_axis
from ...ir.graph import Node
from ...ops.products import letters
from ...plan.product import Index, merged
from ..loops import Axis
from .blocks import extent
from .kernel import widened
from .part import Part, free
from .printer import decomposed
from .scan_stages import Frame, Moves, Stage, column_lines
from .spelling import dim_text, product
from .template import call


@dataclass(frozen=True, slots=True)
class RowProduct:
    """A product with the samples as its rows: which letters are columns, depth, and loops around.

    Strides are those of `a`, which has the samples, the weight `b` and the result `c`.  `bases` are
    the values in memory behind the operands, `kinds` the operands' types, `made` is the result.
    """

    bases: tuple[int, int]
    kinds: tuple[str, str]
    made: int
    sample: Index
    columns: tuple[Index, ...]
    depth: tuple[Index, ...]
    around: tuple[Index, ...]


@dataclass(frozen=True, slots=True)
class Taken:
    """Columns of a product, from `offset` on, in registers as `target`."""

    product: RowProduct
    target: str
    offset: Dim


def row_product(part: Part, node: Node) -> RowProduct:
    """A contraction of values of samples with a weight.

    Raises: LookupError where both operands have samples, or samples are summed over.
    """
    *sides, result = letters(node["spec"])
    at = rows_axis(node.shape)
    sample = "" if at is None else result[at]
    slots = [slot for slot, text in enumerate(sides) if sample and sample in text]
    if len(slots) != 1:
        raise LookupError("samples are not rows of their own")
    own = slots[0]
    texts = sides[own], sides[1 - own], result
    ids = node.operands[own], node.operands[1 - own], node.id
    found: dict[str, Index] = {}
    for text, i in zip(texts, ids, strict=True):
        for letter, dim in zip(text, part.graph[i].shape, strict=True):
            strides = (
                part.layout(j).strides[other.index(letter)] if letter in other else 0
                for other, j in zip(texts, ids, strict=True)
            )
            found.setdefault(letter, Index(letter, dim, *strides))
    data, weight, made = map(set, texts)
    columns = merged([found[x] for x in found if x in (weight & made) - data], "c")
    depth = merged([found[x] for x in found if x in (data & weight) - made], "a")
    around = tuple(found[x] for x in found if x in (data & made) - {sample})
    if not data | weight <= made | (data & weight):
        raise LookupError("an index of one operand is summed over")
    bases = part.values.base(ids[0]), part.values.base(ids[1])
    kinds = part.graph[ids[0]].dtype, part.graph[ids[1]].dtype
    return RowProduct(bases, kinds, node.id, found[sample], columns, depth, around)


def product_stage(p: RowProduct, names: Mapping[int, str], moves: Moves, frame: Frame) -> Stage:
    """The product, stored."""
    total = free(names[p.made], frame.taken)
    columns = _axes("column", p.columns)
    wide = dim_text(extent(columns), {})
    lines, blocks = dots([Taken(p, total, 0)], names, moves, frame, {*frame.taken, total})
    made = [(Axis("sample", 0), p.sample.c), *((x, i.c) for x, i in _lead(p))]
    made += [(x, i.c) for x, i in zip(columns, p.columns, strict=True)]
    place = _address(names[p.made], [*moves.get(p.made, ()), *made], "sample", "column")
    lines += call("tl.store", [place, total, "mask=in_sample & in_column"], 12)
    lines = [*column_lines(wide, "first", frame), *decomposed(columns, "column", {}), *lines]
    lines = [f"for first in range(0, {wide}, COLUMNS):", *_indented(lines)]
    for axis, _ in reversed(_lead(p)):
        inner = [f"{axis.name} = tl.cast({axis.name}_at, tl.int32)", *lines]
        head = f"for {axis.name}_at in range(0, {dim_text(axis.extent, {})}):"
        lines = [head, *_indented(inner)]
    return Stage(tuple(lines), frozenset((*blocks, total)))


def dots(
    taken: Sequence[Taken], names: Mapping[int, str], moves: Moves, frame: Frame,
    used: Collection[str],
) -> tuple[list[str], set[str]]:  # fmt: skip
    """The lines that compute products for a block of columns, and the names of their operands.

    Products of one operand read it once.
    """
    groups: dict[object, list[Taken]] = {}
    for each in taken:
        p = each.product
        depth = tuple((i.extent, i.a) for i in p.depth)
        groups.setdefault((p.bases[0], p.kinds, p.sample.a, depth, p.around), []).append(each)
    lines: list[str] = []
    found: set[str] = set()
    for group in groups.values():
        p = group[0].product
        local = [free(f"{names[base]}_block", {*used, *found}) for base in p.bases]
        local[1] += "_w" if local[1] == local[0] else ""
        found.update(local)
        lines += [f"{t.target} = tl.zeros([ROWS, COLUMNS], tl.float32)" for t in group]
        lines.append(f"for start in range(0, {dim_text(extent(_axes('', p.depth)), {})}, DEPTH):")
        lines += _indented(_step(group, local, names, moves, frame))
    return lines, found


def _step(
    group: Sequence[Taken], local: Sequence[str], names: Mapping[int, str], moves: Moves,
    frame: Frame,
) -> list[str]:  # fmt: skip
    """One step of the sums of products with the same left operand."""
    p = group[0].product
    depth = _axes("depth", p.depth)
    across = tuple(Axis(a.name.replace("depth", "across"), a.extent) for a in depth)
    long = dim_text(extent(depth), {})
    tails = [widened(kind) if p.kinds[0] != p.kinds[1] else "" for kind in p.kinds]
    data = [(Axis("sample", 0), p.sample.a), *((x, i.a) for x, i in _lead(p))]
    data += [(x, i.a) for x, i in zip(across, p.depth, strict=True)]
    left = _address(names[p.bases[0]], [*moves.get(p.bases[0], ()), *data], "sample", "across")
    lines = [
        "across = start + tl.arange(0, DEPTH)[None, :]",
        "depth = start + tl.arange(0, DEPTH)[:, None]",
        *decomposed(across, "across", {}),
        *decomposed(depth, "depth", {}),
        *_load(local[0], left, f"in_sample & (across < {long})", tails[0]),
    ]
    for each in group:
        p, base = each.product, each.product.bases[1]
        columns = _axes("column", p.columns)
        weight = [(x, i.b) for x, i in _lead(p)]
        weight += [(x, i.b) for x, i in zip(_axes("depth", p.depth), p.depth, strict=True)]
        weight += [(x, i.b) for x, i in zip(columns, p.columns, strict=True)]
        right = _address(names[base], [*moves.get(base, ()), *weight], "depth", "column")
        if each.offset != 0:
            right += f" + {dim_text(each.offset * p.columns[0].b, {})}"
        lines += _load(local[1], right, f"in_column & (depth < {long})", tails[1])
        dot = f"tl.dot({local[0]}, {local[1]}, {each.target}"
        lines.append(f'{each.target} = {dot}, input_precision="{frame.precision}")')
    return lines


def _lead(p: RowProduct) -> list[tuple[Axis, Index]]:
    """The loops around a product."""
    return [(Axis(f"lead_{k}", i.extent), i) for k, i in enumerate(p.around)]


def _axes(word: str, indices: Sequence[Index]) -> tuple[Axis, ...]:
    """Names for the indices of a block along one axis."""
    alone = len(indices) == 1
    return tuple(Axis(word if alone else f"{word}_{k}", i.extent) for k, i in enumerate(indices))


def _address(name: str, terms: Sequence[tuple[Axis, Dim]], *words: str) -> str:
    """Addresses that span the block along the indices with these words."""
    found = [(axis.name, stride) for axis, stride in terms if stride != 0]
    parts = [product(axis, dim_text(stride, {})) for axis, stride in found]
    missing = [w for w in words if not any(axis.startswith(w) for axis, _ in found)]
    return " + ".join([f"{name}_ptr", *parts, *(f"0 * {word}" for word in missing)])


def _load(name: str, at: str, mask: str, tail: str) -> list[str]:
    return call(f"{name} = tl.load", [at, f"mask={mask}", "other=0.0"], 16, f"){tail}")


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"    {line}" for line in lines]
