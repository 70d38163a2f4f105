"""One value of a step, computed for all steps at once: each op with an axis of time more.

A value of a step with the samples on some axis gets the steps on the axis behind it:
x [rows, D] -> [B, T, D].  What sums over the samples sums over the steps too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...spec.dims import Dim
from ..ir.body import ROWS, of_samples, repeated, replaced, rows_axis
from ..ir.builder import Builder
from ..ir.graph import Node
from ..ir.types import Shape
from .products import letters

VIEWS = ("broadcast", "transpose", "squeeze", "reshape", "slice", "pad")
ALONE = ("contract", "scatter_add", "moments")
"""Heavy operations that do not simply treat each sample by itself."""


@dataclass(frozen=True, slots=True)
class Along:
    """A value outside of the step; `timed`: it has an axis of time."""

    id: int
    timed: bool


@dataclass(frozen=True, slots=True)
class Steps:
    """How many samples and steps there are.  Writes values of a step for all of them."""

    b: Builder
    batch: Dim
    time: Dim

    @property
    def sizes(self) -> Mapping[str, Dim]:
        return {ROWS: self.batch}

    def can(self, node: Node, operands: Sequence[tuple[Node, bool]]) -> bool:
        """Is there a form of the value for all steps?  Of operands: has each time?"""
        if not any(timed for _, timed in operands):
            return True
        if any(rows_axis(o.shape) is None for o, timed in operands if timed):
            return False
        kind = self.b.ops[node.op].lowering
        at = rows_axis(node.shape)
        summed = not of_samples(node.shape)
        if kind == "map":
            return at is not None
        if node.op in VIEWS:
            source = operands[0][0]
            return at is not None and _passes(node, source, rows_axis(source.shape) or 0, at)
        if node.op == "concat":
            return at is not None and node["axis"] != at
        if kind == "fold":
            return (summed and node.op == "sum") or at is not None
        if node.op == "contract":
            return summed or at is not None
        if node.op == "take":
            return at is not None and not operands[0][1] and operands[1][1]
        if node.op == "scatter_add":
            return summed and all(rows_axis(o.shape) == 0 for o, _ in operands)
        merges = kind == "heavy" and node.op not in ALONE
        firsts = all(rows_axis(o.shape) == 0 for o, _ in operands if of_samples(o.shape))
        return merges and firsts and (summed or at == 0)

    def write(self, node: Node, step: Sequence[Node], operands: Sequence[Along]) -> Along:
        """The value for all steps; `step` are its operands in the step."""
        b = self.b
        timed = any(o.timed for o in operands)
        ids = [o.id for o in operands]
        if not timed:
            return Along(repeated(b, node, ids, self.sizes), False)
        with b.at(node.place, node.scope):
            made = self._write(node, step, operands)
        if b[made].name == b[made].op:
            b.rename(made, node.name)
        return Along(made, of_samples(node.shape))

    def _write(self, node: Node, step: Sequence[Node], operands: Sequence[Along]) -> int:
        kind = self.b.ops[node.op].lowering
        if kind == "map":
            return self._map(node, step, operands)
        if node.op in VIEWS:
            return self._view(node, step[0], operands[0].id)
        if node.op == "concat":
            return self._concat(node, step, operands)
        if kind == "fold":
            return self._fold(node, step[0], operands[0].id)
        if node.op == "contract":
            return self._contract(node, step, operands)
        if node.op in ("take", "scatter_add"):
            wide = operands if node.op == "take" else self._wide(step, operands)
            return self._again(node, [o.id for o in wide])
        return self._merged(node, step, operands)

    def _again(self, node: Node, operands: Sequence[int]) -> int:
        return repeated(self.b, node, operands, self.sizes)

    # ---- operands --------------------------------------------------------------------------------

    def shape(self, shape: Shape) -> Shape:
        """The shape of a step's value with time."""
        at = rows_axis(shape)
        assert at is not None
        full: Shape = replaced(shape, self.sizes)
        return (*full[: at + 1], self.time, *full[at + 1 :])

    def spread(self, node: Node, value: Along, at: int | None = None) -> int:
        """A value of the step, the same in all steps; `at`: the axis behind which time stands."""
        if value.timed:
            return value.id
        at = rows_axis(node.shape) if at is None else at
        assert at is not None
        full: Shape = replaced(node.shape, self.sizes)
        dims = [axis + (axis > at) for axis in range(len(full))]
        return self.b.broadcast(value.id, dims, (*full[: at + 1], self.time, *full[at + 1 :]))

    def _wide(self, step: Sequence[Node], operands: Sequence[Along]) -> list[Along]:
        return [
            Along(self.spread(n, o), True) if of_samples(n.shape) else o
            for n, o in zip(step, operands, strict=True)
        ]

    # ---- one op each -----------------------------------------------------------------------------

    def _map(self, node: Node, step: Sequence[Node], operands: Sequence[Along]) -> int:
        at = rows_axis(node.shape)
        ids = [
            o.id if not n.shape else self.spread(n, o, at)
            for n, o in zip(step, operands, strict=True)
        ]
        return self._again(node, ids)

    def _view(self, node: Node, source: Node, x: int) -> int:
        b, a = self.b, rows_axis(source.shape)
        at = rows_axis(node.shape)
        assert a is not None and at is not None
        full = self.shape(node.shape)
        match node.op:
            case "broadcast":
                dims = [d + (d > at) for d in node["dims"]]
                return b.broadcast(x, [*dims[: a + 1], at + 1, *dims[a + 1 :]], full)
            case "transpose":
                order = [o + (o > a) for o in node["order"]]
                return b.transpose(x, [*order[: at + 1], a + 1, *order[at + 1 :]])
            case "squeeze":
                return b.squeeze(x, [axis + (axis > a) for axis in node["axes"]])
            case "reshape":
                return b.reshape(x, full)
            case "slice":
                starts, sizes = (replaced(node[n], self.sizes) for n in ("starts", "sizes"))
                steps = node["steps"]
                return b.slice(
                    x,
                    (*starts[: a + 1], 0, *starts[a + 1 :]),
                    (*sizes[: a + 1], self.time, *sizes[a + 1 :]),
                    (*steps[: a + 1], 1, *steps[a + 1 :]),
                )
        low, high = (replaced(node[n], self.sizes) for n in ("low", "high"))
        low, high = (*low[: a + 1], 0, *low[a + 1 :]), (*high[: a + 1], 0, *high[a + 1 :])
        return b.pad(x, low, high, node["value"])

    def _concat(self, node: Node, step: Sequence[Node], operands: Sequence[Along]) -> int:
        at, axis = rows_axis(node.shape), node["axis"]
        assert at is not None
        ids = [self.spread(n, o, at) for n, o in zip(step, operands, strict=True)]
        return self.b.concat(ids, axis + (axis > at))

    def _fold(self, node: Node, source: Node, x: int) -> int:
        a, axes = rows_axis(source.shape), node["axes"]
        assert a is not None
        moved = [axis + (axis > a) for axis in axes] + ([a + 1] if a in axes else [])
        return self.b.reduce(node.op, x, moved, node.name)

    def _contract(self, node: Node, step: Sequence[Node], operands: Sequence[Along]) -> int:
        *sides, result = letters(node["spec"])
        time = next(x for x in "tuvwxyzabcdefghijklmnopqrs" if x not in node["spec"])
        samples = next(
            text[rows_axis(n.shape) or 0]
            for text, n, o in zip(sides, step, operands, strict=True)
            if o.timed
        )
        if samples not in result:
            operands = self._wide(step, operands)
        texts = [
            text.replace(samples, samples + time) if o.timed else text
            for text, o in zip(sides, operands, strict=True)
        ]
        spec = f"{','.join(texts)}->{result.replace(samples, samples + time)}"
        more = {name: value for name, value in node.attributes if name != "spec"}
        return self.b.insert("contract", [o.id for o in operands], node.name, spec=spec, **more)

    def _merged(self, node: Node, step: Sequence[Node], operands: Sequence[Along]) -> int:
        """Samples of all steps are samples: [B, T, ...] -> [B T, ...] -> [B, T, ...]."""
        b, sizes = self.b, {ROWS: self.batch * self.time}
        ids = [
            b.reshape(o.id, replaced(n.shape, sizes)) if o.timed else o.id
            for n, o in zip(step, self._wide(step, operands), strict=True)
        ]
        made = repeated(b, node, ids, sizes)
        return b.reshape(made, self.shape(node.shape)) if of_samples(node.shape) else made


def _passes(node: Node, source: Node, a: int, at: int) -> bool:
    """Does a view keep the samples as they are?"""
    match node.op:
        case "broadcast":
            return bool(node["dims"][a] == at)
        case "transpose":
            return bool(node["order"][at] == a)
        case "squeeze":
            return a not in node["axes"]
        case "reshape":
            return a == at and source.shape[: a + 1] == node.shape[: a + 1]
        case "slice":
            whole = node["starts"][a] == 0 and node["steps"][a] == 1
            return bool(whole and node.shape[a] == source.shape[a])
    return (node["low"][a], node["high"][a]) == (0, 0)
