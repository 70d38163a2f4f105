"""A loop over time: one step, which a body says, carried out for all steps of all samples.

    scan(fixed, …, start, …, sequence, …)   [B, T, ...]

A sequence [B, T, ...] gives each step a part [B, ...], a start [B, ...] is the state before the
first one.  `index` counts the results of the body, the states and then what it emits, each for all
steps; nodes that differ in nothing else are results of one loop.  The adjoint is a loop the other
way: it reads the products of the steps forward; what it needs else is computed again for all steps
at once, and so are the gradients of weights.
Source: Werbos 1990, "Backpropagation through time".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from ...spec.dims import Dim
from ..ir.body import ROWS, Body, replaced, rows_axis
from ..ir.builder import Builder
from ..ir.cotangents import cotangents
from ..ir.graph import Node
from ..ir.op import Attributes, Op, ShapeError
from ..ir.types import FLOATS, TensorType
from .along_time import Along
from .weave import before_at, dear_at, weave

Types = tuple[TensorType, ...]


# ---- shape rule ----------------------------------------------------------------------------------


def _infer(types: Types, a: Attributes) -> TensorType:
    body: Body = a["body"]
    if len(types) != len(body.inputs) or not body.sequences:
        raise ShapeError("E403", f"a scan of {len(body.inputs)} operands got {len(types)}")
    first = types[len(types) - len(body.sequences)]
    if first.rank < 2:
        raise ShapeError("E402", f"{first} has no axis of time", (len(types) - 1,))
    batch, time, *_ = first.shape
    steady = len(types) - len(body.sequences)
    for slot, (i, type) in enumerate(zip(body.inputs, types, strict=True)):
        want = replaced(body.nodes[i].type, {ROWS: batch})
        if slot >= steady:
            want = TensorType(want.dtype, (want.shape[0], time, *want.shape[1:]))
        if want != type:
            raise ShapeError("E403", f"a scan needs {want}, got {type}", (slot,))
    made: TensorType = replaced(body.nodes[body.results[a["index"]]].type, {ROWS: batch})
    return TensorType(made.dtype, (batch, time, *made.shape[1:]))


def _no_reference(*_: object, **__: object) -> np.ndarray:
    raise TypeError("the reference of a scan runs its body")


def _work(types: Types, result: TensorType, a: Attributes) -> Dim:
    """What the body costs, in every step."""
    batch, time, *_ = types[-1].shape
    each: Dim = replaced(a["body"].flops, {ROWS: batch})
    return each * time


# ---- gradient ------------------------------------------------------------------------------------


def siblings(b: Builder, n: Node) -> tuple[int, ...]:
    """The results of one loop that are values, ascending."""
    return tuple(m.id for m in b.nodes if alike(m, n))


def alike(m: Node, n: Node) -> bool:
    """Are two nodes results of one loop?"""
    return m.op == "scan" and loop_key(m) == loop_key(n)


def loop_key(n: Node) -> tuple[object, ...]:
    """What the results of one loop have in common, and no others."""
    return n.operands, n.phase, n["reverse"], n["body"]


def operands_of(n: Node) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """The fixed operands, the starts, the sequences."""
    body: Body = n["body"]
    at, end = len(body.fixed), len(body.fixed) + len(body.states)
    return n.operands[:at], n.operands[at:end], n.operands[end:]


def _joint(b: Builder, n: Node, ds: tuple[int | None, ...]) -> tuple[int | None, ...]:
    """The adjoint: a loop the other way, which carries the cotangents of the states."""
    body: Body = n["body"]
    reverse = n["reverse"]
    fixed, starts, sequences = operands_of(n)
    known: dict[int, int] = {}
    for i, d in zip(siblings(b, n), ds, strict=True):
        index = b[i]["index"]
        if d is not None:
            known[index] = b.map("add", known[index], d) if index in known else d

    def result(k: int) -> int:
        name = body.nodes[body.results[k]].name
        return b.insert("scan", n.operands, name, body=body, index=k, reverse=reverse)

    before = [result(before_at(body, j)) for j in range(len(starts))]
    step, left = _adjoint_step(b, body, list(known))
    zeros = [b.broadcast(b.constant(0.0), (), b[start].shape) for start in starts]
    given = *sequences, *before, *known.values(), *map(result, left)
    states_d, emitted = weave(b, step, fixed, zeros, given, reverse=not reverse)
    batch, time = n.shape[:2]
    wrt = _differentiable(body)
    by_input = {i: _whole(b, body, i, each, time) for i, each in zip(wrt, emitted, strict=True)}
    d_starts = []
    for d in states_d:
        rest = b[d].shape[2:]
        at = time - 1 if reverse else 0
        last = b.slice(d, (0, at, *(0 for _ in rest)), (batch, 1, *rest), (1,) * (len(rest) + 2))
        d_starts.append(b.squeeze(last, (1,)))
    return (
        *(by_input.get(i) for i in body.fixed),
        *d_starts,
        *(by_input.get(i) for i in body.sequences),
    )


def _whole(b: Builder, body: Body, i: int, d: Along, time: Dim) -> int:
    """The cotangent of an operand: that of a fixed one is the sum over all steps."""
    shape = b[d.id].shape
    if i in body.sequences:
        full = (shape[0], time, *shape[1:])
        return d.id if d.timed else b.broadcast(d.id, (0, *range(2, len(full))), full)
    if not d.timed:
        return d.id
    at = rows_axis(body.nodes[i].shape)
    assert at is not None
    return b.sum(d.id, (at + 1,))


def _differentiable(body: Body) -> list[int]:
    """The inputs apart from states that may have a gradient."""
    return [i for i in (*body.fixed, *body.sequences) if body.nodes[i].dtype in FLOATS]


def _adjoint_step(b: Builder, body: Body, known: list[int]) -> tuple[Body, list[int]]:
    """One step of the adjoint, and the results of the loop forward that it reads.

    The states before are sequences now; `known` are the results with a cotangent of their own, each
    a sequence too.  The states are the cotangents of the states.
    """
    c = Builder(b.ops, b.rules)
    c.nodes = list(body.nodes)
    own = []
    for index in known:
        result = body.nodes[body.results[index]]
        own.append(c.input(f"d_result_{index}", result.type))
    carried = [c.input(f"d_state_{j}", body.nodes[i].type) for j, i in enumerate(body.states)]
    seeds: dict[int, int] = {}
    for i, d in (
        *((body.results[index], d) for index, d in zip(known, own, strict=True)),
        *zip(body.next, carried, strict=True),
    ):
        seeds[i] = c.map("add", seeds[i], d) if i in seeds else d
    wrt = _differentiable(body)
    found = cotangents(c, seeds, (*body.states, *wrt))

    def of(i: int) -> int:
        zero = c.constant(0.0)
        return found[i] if i in found else c.broadcast(zero, (), c[i].shape)

    after, emits = (tuple(map(of, some)) for some in (body.states, wrt))
    left = _left_behind(c, body, (*after, *emits))
    for i, k in left.items():
        feed = (("feed", f"left_{k}"), ("type", c[i].type))
        c.nodes[i] = replace(c.nodes[i], op="input", operands=(), attributes=feed)
    sequences = *body.sequences, *body.states, *own, *left
    step = Body(tuple(c.nodes), body.fixed, tuple(carried), sequences, after, emits)
    return step, list(left.values())


def _left_behind(c: Builder, body: Body, wanted: Iterable[int]) -> dict[int, int]:
    """The values of a step forward that an adjoint reads of what is left behind."""
    kept, found, seen, stack = dear_at(body), dict[int, int](), set[int](), list(wanted)
    while stack:
        i = stack.pop()
        if i in kept and i not in body.inputs:
            found[i] = kept[i]
        elif i not in seen:
            seen.add(i)
            stack.extend(c[i].operands)
    return dict(sorted(found.items()))


SCANS: dict[str, Op] = {
    "scan": Op(
        "scan",
        "heavy",
        _infer,
        _no_reference,
        None,
        work=_work,
        siblings=siblings,
        joint=_joint,
    )
}
