"""Which loops over time treat every sample by itself: one kernel carries out all their steps.

A value of a step belongs to a sample where nothing that it is made of comes from another one.  The
program that has a sample then needs nobody else, and reads the weights of a step from the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ...spec.dims import evaluate, numel
from ..artifact import ITEM_BYTES
from ..ir.body import ROW, Body, of_samples, rows_axis
from ..ir.graph import Node
from ..ops.products import letters
from .values import lowering

WEIGHTS = 1 << 20
"""Bytes of weights that a program may read in a step: some 20 us from the L2 cache, which is as
long as the launches of a step take that all processors share.
"""


def step_by_step(node: Node, sizes: Mapping[str, int]) -> str | None:
    """Why a scan is launched step by step; None where one kernel carries out all steps."""
    reason = mixing(node)
    if reason is not None:
        return reason
    held = weight_bytes(node["body"], sizes)
    if held > WEIGHTS:
        return f"{held / 1e6:.1f} MB of weights a step"
    return None


def mixing(node: Node) -> str | None:
    """What keeps a program from taking its samples through all steps of a scan."""
    body: Body = node["body"]
    for value in body.reached(body.results):
        reason = _apart(value, [body.nodes[o] for o in value.operands])
        if reason is not None:
            return f"`{value.name}` {reason}"
    return None


def mixing_inside(node: Node) -> str | None:
    """The same of the scans in the step of a scan, which take no launches of their own steps."""
    body: Body = node["body"]
    inner = (n for n in body.reached(body.results) if n.op == "scan")
    return next((reason for n in inner if (reason := mixing(n)) is not None), None)


def weight_bytes(body: Body, sizes: Mapping[str, int]) -> int:
    """Bytes of what products of a step, and of its loops, read beside values of samples."""
    total, read = 0, set[int]()
    for n in body.reached(body.results):
        if n.op == "scan":
            steps = body.nodes[n.operands[-1]].shape[1]
            total += weight_bytes(n["body"], sizes) * evaluate(steps, sizes)
        if n.op == "contract":
            read |= {o for o in n.operands if not of_samples(body.nodes[o].shape)}
    found = (body.nodes[i] for i in read)
    return total + sum(evaluate(numel(n.shape), sizes) * ITEM_BYTES[n.dtype] for n in found)


def _apart(node: Node, operands: list[Node]) -> str | None:
    """Why a value does not belong to a sample, or has no stage in a kernel."""
    at, kind = rows_axis(node.shape), lowering(node)
    sources = [rows_axis(o.shape) for o in operands]
    own = [o for o in (node, *operands) if of_samples(o.shape)]
    if not own and kind != "heavy":
        return None
    if at is None or any(rows_axis(o.shape) is None for o in own):
        return "does not keep its samples apart"
    if node.op == "contract":
        return _product(node, sources)
    if node.op == "random":
        return "is random"
    if node.op == "scan":
        reason = mixing(node) if at == 0 else "samples are not in front"
        return None if reason is None else f"is a loop in which {reason}"
    if kind == "heavy":
        return f"is a `{node.op}`, which takes launches of its own"
    first = next(iter(sources), None)
    if kind == "fold" and first in node["axes"]:
        return "sums over samples"
    whole: dict[str, Callable[[], bool]] = {
        "slice": lambda: node["starts"][at] == 0 and operands[0].shape[at] == ROW,
        "pad": lambda: node["low"][at] == node["high"][at] == 0,
        "concat": lambda: node["axis"] != at,
        "band": lambda: node["axis"] != at,
        "reshape": lambda: first == at and node.shape[: at + 1] == operands[0].shape[: at + 1],
        "take": lambda: first is None,
    }
    return None if node.op not in whole or whole[node.op]() else "reads other samples"


def _product(node: Node, sources: list[int | None]) -> str | None:
    if None not in sources:
        return "multiplies two values of a sample"
    *sides, result = letters(node["spec"])
    letter = next(t[s] for t, s in zip(sides, sources, strict=True) if s is not None)
    return None if letter in result else "sums over samples"
