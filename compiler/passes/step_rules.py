"""How each op is computed at the wanted positions of a sequence: node, view -> the new value."""

from __future__ import annotations

from ...spec.dims import symbol, symbols
from ..artifact import FRESH
from ..ir.graph import Node
from ..ir.types import TensorType
from ..ops.products import letters
from ..ops.scans import operands_of
from .step import ALL, NEW, Carry, Rule, Step, View


def _whole(step: Step, node: Node, view: View) -> int:
    """A value without the sequence, as it is."""
    operands = [step.value(o, ("",) * len(step.graph[o].shape)) for o in node.operands]
    if any(step.along(d) for o in node.operands for d in step.graph[o].shape):
        raise step.unable(node, f"`{node.op}` along the sequence")
    return step.b.repeat(node, operands)


def _input(step: Step, node: Node, view: View) -> int:
    feed = node["feed"]
    made = step.b.input(feed, TensorType(node.dtype, step.shape(node, view)))
    if feed in step.data:
        step.tokens[feed] = made
    return made


def _constant(step: Step, node: Node, view: View) -> int:
    return step.b.constant(node["value"], node.dtype)


def _size(step: Step, node: Node, view: View) -> int:
    dim = node["dim"]
    if not isinstance(dim, int) and step.time in symbols(dim):
        raise step.unable(node, "the length of the sequence")
    return step.b.size(dim)


def _iota(step: Step, node: Node, view: View) -> int:
    axis, shape = node["axis"], step.shape(node, view)
    if not view[axis]:
        return step.b.iota(shape, axis)
    return step.b.broadcast(step.positions(view[axis]), (axis,), shape)


def _map(step: Step, node: Node, view: View) -> int:
    operands = [step.value(o, view if step.graph[o].shape else ()) for o in node.operands]
    return step.b.repeat(node, operands)


def _broadcast(step: Step, node: Node, view: View) -> int:
    inner = step.value(node.operands[0], tuple(view[d] for d in node["dims"]))
    return step.b.broadcast(inner, node["dims"], step.shape(node, view))


def _transpose(step: Step, node: Node, view: View) -> int:
    order = node["order"]
    inner = tuple(view[order.index(axis)] for axis in range(len(order)))
    return step.b.transpose(step.value(node.operands[0], inner), order)


def _squeeze(step: Step, node: Node, view: View) -> int:
    rank = len(step.graph[node.operands[0]].shape)
    kept = [axis for axis in range(rank) if axis not in node["axes"]]
    inner = tuple(view[kept.index(a)] if a in kept else "" for a in range(rank))
    return step.b.squeeze(step.value(node.operands[0], inner), node["axes"])


def _reshape(step: Step, node: Node, view: View) -> int:
    operand = step.graph[node.operands[0]]
    inner = [""] * len(operand.shape)
    for axis, wanted in enumerate(view):
        if wanted:
            source = step.source_axis(node, axis)
            if source is None:
                raise step.unable(node, "a reshape that joins the sequence with other axes")
            inner[source] = wanted
    return step.b.reshape(step.value(operand.id, tuple(inner)), step.shape(node, view))


def _fold(step: Step, node: Node, view: View) -> int:
    operand = step.graph[node.operands[0]]
    kept = [axis for axis in range(len(operand.shape)) if axis not in node["axes"]]
    inner = [view[kept.index(a)] if a in kept else "" for a in range(len(operand.shape))]
    for axis in node["axes"]:
        if step.along(operand.shape[axis]):
            step.proved(node, operand, axis, "zero" if node.op == "sum" else "low")
            inner[axis] = ALL
    return step.b.reduce(node.op, step.value(operand.id, tuple(inner)), node["axes"], node.name)


def _contract(step: Step, node: Node, view: View) -> int:
    first, second, result = letters(node["spec"])
    wanted = dict(zip(result, view, strict=True))
    operands = []
    for text, o in zip((first, second), node.operands, strict=True):
        operand = step.graph[o]
        inner = [
            wanted.get(letter, ALL if step.along(dim) else "")
            for letter, dim in zip(text, operand.shape, strict=True)
        ]
        operands.append(step.value(o, tuple(inner)))
    summed = {
        letter
        for text, o in zip((first, second), node.operands, strict=True)
        for letter, dim in zip(text, step.graph[o].shape, strict=True)
        if letter not in result and step.along(dim)
    }
    for letter in summed:
        step.proved_product(node, letter)
    return step.b.contract(node["spec"], operands[0], operands[1], node.name)


def _take(step: Step, node: Node, view: View) -> int:
    table, index = (step.graph[o] for o in node.operands)
    rank = len(index.shape)
    if step.along(table.shape[0]):
        raise step.unable(node, "an index into the sequence")
    rest = view[rank:]
    return step.b.take(step.value(table.id, ("", *rest)), step.value(index.id, view[:rank]))


def _slice(step: Step, node: Node, view: View) -> int:
    """The first T rows of a table are those of the wanted positions."""
    operand = step.graph[node.operands[0]]
    if operand.op == "pad" and (axis := _later(step, node, operand)) is not None:
        return _delayed(step, operand, axis, view)
    starts, sizes, steps = node["starts"], node["sizes"], node["steps"]
    inner: list[str] = []
    picked: list[int] = []
    for axis, wanted in enumerate(view):
        whole = starts[axis] == 0 and steps[axis] == 1
        if wanted and whole and step.along(operand.shape[axis]):
            inner.append(wanted)
        elif wanted and whole and operand.id not in step.fed and wanted != ALL:
            inner.append("")
            picked.append(axis)
        elif wanted or step.along(operand.shape[axis]):
            raise step.unable(node, "a part of the sequence")
        else:
            inner.append("")
    b, made = step.b, step.value(operand.id, tuple(inner))
    for axis in picked:
        order = [axis, *(a for a in range(len(view)) if a != axis)]
        rows = b.take(b.transpose(made, order), step.positions(view[axis]))
        made = b.transpose(rows, [order.index(a) for a in range(len(view))])
    now = b[made].shape
    passed = [axis for axis, wanted in enumerate(view) if wanted]
    starts = [0 if a in passed else starts[a] for a in range(len(view))]
    sizes = [now[a] if a in passed else sizes[a] for a in range(len(view))]
    return b.slice(made, starts, sizes, steps)


def _later(step: Step, node: Node, padded: Node) -> int | None:
    """The axis along which a part of a padded value is the sequence some positions later."""
    moved = [axis for axis, low in enumerate(padded["low"]) if low]
    whole = not any(padded["high"]) and not any(node["starts"]) and {*node["steps"]} == {1}
    if len(moved) != 1 or not whole:
        return None
    source = step.graph[padded.operands[0]]
    return moved[0] if step.along(source.shape[moved[0]]) and source.shape == node.shape else None


def _delayed(step: Step, padded: Node, axis: int, view: View) -> int:
    """The last entries so far stand before the fresh ones; as many are kept for the next call."""
    if view[axis] != NEW:
        raise step.unable(padded, "a sequence that is padded")
    b, by, source = step.b, padded["low"][axis], padded.operands[0]
    fresh = step.value(source, view)
    shape = tuple(by if a == axis else extent for a, extent in enumerate(b[fresh].shape))
    carry = Carry(f"state_{len(step.carries)}", TensorType(padded.dtype, shape))
    kept = b.input(carry.name, carry.type)
    padding = b.broadcast(b.constant(padded["value"], padded.dtype), (), shape)
    kept = b.map("where", b.broadcast(step.first(), (), shape), padding, kept)
    both = b.concat((kept, fresh), axis)
    ones, zeros = (1,) * len(shape), (0,) * len(shape)
    starts = tuple(symbol(FRESH) if a == axis else 0 for a in range(len(shape)))
    step.carries[carry.name] = carry, b.slice(both, starts, shape, ones)
    return b.slice(both, zeros, b[fresh].shape, ones)


def _concat(step: Step, node: Node, view: View) -> int:
    if view[node["axis"]]:
        raise step.unable(node, "a sequence put together from parts")
    return step.b.concat([step.value(o, view) for o in node.operands], node["axis"])


def _pad(step: Step, node: Node, view: View) -> int:
    if any(c and (node["low"][a], node["high"][a]) != (0, 0) for a, c in enumerate(view)):
        raise step.unable(node, "a sequence that is padded")
    made = step.value(node.operands[0], view)
    return step.b.pad(made, node["low"], node["high"], node["value"])


def _scan(step: Step, node: Node, view: View) -> int:
    """A loop goes on from its states, which all its results share."""
    body, b = node["body"], step.b
    dims = (dim for inner in body.nodes for dim in inner.shape if not isinstance(dim, int))
    if node["reverse"]:
        raise step.ahead(node)
    if any(step.time in symbols(dim) for dim in dims):
        raise step.unable(node, "a step that knows the length of the sequence")
    key = node.operands, body
    if key not in step.loops:
        fixed, starts, sequences = operands_of(node)
        still = [step.value(o, ("",) * len(step.graph[o].shape)) for o in fixed]
        begun = [_carried(step, o) for o in starts]
        walked = [step.value(o, step.new_view(step.graph[o])) for o in sequences]
        operands = *still, *(i for _, i in begun), *walked
        step.loops[key] = operands
        for index, (name, start) in enumerate(begun):
            made = b.insert("scan", operands, b[start].name, body=body, index=index, reverse=False)
            batch, _, *rest = b[made].shape
            at = (0, symbol(FRESH) - 1, *(0 for _ in rest))
            last = b.slice(made, at, (batch, 1, *rest), (1,) * (len(rest) + 2))
            step.carries[name] = step.carries[name][0], b.squeeze(last, (1,))
    return b.repeat(node, step.loops[key])


def _carried(step: Step, state: int) -> tuple[str, int]:
    """Where a state goes on: as it began, or where the last call left it.  Its name among those."""
    b, node = step.b, step.graph[state]
    carry = Carry(f".state_{len(step.carries)}", node.type)
    own = step.value(state, ("",) * len(node.shape))
    before = b.input(carry.name, carry.type)
    step.carries[carry.name] = carry, before
    first = b.broadcast(step.first(), (), node.shape)
    return carry.name, b.map("where", first, own, before)


RULES: dict[str, Rule] = {
    "map": _map,
    "whole": _whole,
    "input": _input,
    "constant": _constant,
    "size": _size,
    "iota": _iota,
    "broadcast": _broadcast,
    "transpose": _transpose,
    "squeeze": _squeeze,
    "reshape": _reshape,
    "sum": _fold,
    "max": _fold,
    "logsumexp": _fold,
    "contract": _contract,
    "take": _take,
    "slice": _slice,
    "concat": _concat,
    "pad": _pad,
    "scan": _scan,
}
"""By op; `map` is for every element-wise one, `whole` for values without the sequence."""
