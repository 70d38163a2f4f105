"""A product inside of a step: the rows of a block of samples times a weight.

    z[sample, n] = sum over k of a[sample, k] * w[k, n]

The weight is read in every step, from the cache.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

    Strides are those of `a`, which has the samples, the weight `b` and the result `c`.
    """

    a: int
    b: int
    sample: Index
    columns: tuple[Index, ...]
    depth: tuple[Index, ...]
    around: tuple[Index, ...]


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
    return RowProduct(ids[0], ids[1], found[sample], columns, depth, around)


def product_stage(
    part: Part, node: Node, names: Mapping[int, str], moves: Moves, frame: Frame
) -> Stage:
    """The product, stored.

    Raises: LookupError as `row_product` does.
    """
    p = row_product(part, node)
    bases = part.values.base(p.a), part.values.base(p.b)
    local = [free(f"{n}_block", frame.taken) for n in (names[bases[0]], names[bases[1]])]
    local[1] += "_w" if local[1] == local[0] else ""
    total = free(names[node.id], {*frame.taken, *local})
    columns, depth = (
        _axes(word, some) for word, some in (("column", p.columns), ("depth", p.depth))
    )
    across = tuple(Axis(a.name.replace("depth", "across"), a.extent) for a in depth)
    around = [Axis(f"lead_{k}", i.extent) for k, i in enumerate(p.around)]
    lead = list(zip(around, p.around, strict=True))
    data = [(Axis("sample", 0), p.sample.a), *((x, i.a) for x, i in lead)]
    weight = [(x, i.b) for x, i in lead]
    made = [(Axis("sample", 0), p.sample.c), *((x, i.c) for x, i in lead)]
    data += [(x, i.a) for x, i in zip(across, p.depth, strict=True)]
    weight += [(x, i.b) for x, i in zip(depth, p.depth, strict=True)]
    weight += [(x, i.b) for x, i in zip(columns, p.columns, strict=True)]
    made += [(x, i.c) for x, i in zip(columns, p.columns, strict=True)]
    left = _address(names[bases[0]], [*moves.get(bases[0], ()), *data], "sample", "across")
    right = _address(names[bases[1]], [*moves.get(bases[1], ()), *weight], "depth", "column")
    place = _address(names[node.id], [*moves.get(node.id, ()), *made], "sample", "column")
    kinds = [part.graph[i].dtype for i in (p.a, p.b)]
    tails = [widened(kind) if kinds[0] != kinds[1] else "" for kind in kinds]
    long, wide = (dim_text(extent(some), {}) for some in (depth, columns))
    step = [
        "across = start + tl.arange(0, DEPTH)[None, :]",
        "depth = start + tl.arange(0, DEPTH)[:, None]",
        *decomposed(across, "across", {}),
        *decomposed(depth, "depth", {}),
        *_load(local[0], left, f"in_sample & (across < {long})", tails[0]),
        *_load(local[1], right, f"in_column & (depth < {long})", tails[1]),
        f'{total} = tl.dot({local[0]}, {local[1]}, {total}, input_precision="{frame.precision}")',
    ]
    lines = [
        f"{total} = tl.zeros([ROWS, COLUMNS], tl.float32)",
        f"for start in range(0, {long}, DEPTH):",
        *_indented(step),
        *call("tl.store", [place, total, "mask=in_sample & in_column"], 12),
    ]
    lines = [*column_lines(wide, "first", frame), *decomposed(columns, "column", {}), *lines]
    lines = [f"for first in range(0, {wide}, COLUMNS):", *_indented(lines)]
    for axis in reversed(around):
        inner = [f"{axis.name} = tl.cast({axis.name}_at, tl.int32)", *lines]
        head = f"for {axis.name}_at in range(0, {dim_text(axis.extent, {})}):"
        lines = [head, *_indented(inner)]
    return Stage(tuple(lines), frozenset((*local, total)))


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
