"""A net over whole sequences -> the same net one step on: some new positions, and what is kept.

tokens [B, T] -> logits [B, T, V]
tokens [B, fresh], past, caches [.., slots, ..] -> logits [B, V], new entries of the caches
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from ...spec.dims import readable, symbol, symbols
from ...spec.errors import UsageError
from ..ir.graph import Graph
from .step import LAST, Cache, Carry, Step
from .step_rules import RULES

FRAMES = 8  # Python calls for each value


@dataclass(frozen=True, slots=True)
class Decoding:
    """The step graph of a net, and what surrounds it.

    `graph` has the outputs `logits`, `new_<cache>` and `next_<carry>`; `tokens` are its inputs that
    run along the sequence.  `prepared` names values that do not: nodes of the net's own graph that
    are computed once, or inputs as they are.  The first call must have at least `prefix` positions,
    which see each other.
    """

    graph: Graph
    time: str
    tokens: tuple[str, ...]
    caches: tuple[Cache, ...]
    carries: tuple[Carry, ...]
    prepared: Mapping[str, int]
    prefix: int


def decode(graph: Graph, output: str, data: Collection[str], *, prefixes: bool = True) -> Decoding:
    """The step graph for one output of a net, whose inputs are `data`; with `prefixes` the first
    positions may see each other.

    Raises: UsageError where the net has no sequence, or a position sees later ones.
    """
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, FRAMES * len(graph)))  # it walks down to the inputs
    try:
        return _step(graph, output, frozenset(data), prefixes)
    finally:
        sys.setrecursionlimit(before)


def time_of(graph: Graph, output: str) -> str:
    """The size along which the net predicts: the second to last of its output, and of an input.

    Raises: UsageError.
    """
    node = graph[graph.outputs[output]]
    hint = "a net that writes has an input such as `tokens: i32[B, T]` and gives [B, T, entries]"
    dim = node.shape[1] if len(node.shape) == 3 else None
    names = symbols(dim) if dim is not None and not isinstance(dim, int) else frozenset()
    if len(names) != 1 or dim != symbol(next(iter(names))):
        shape = ", ".join(map(readable, node.shape))
        raise UsageError(f"`{output}` [{shape}] is no prediction for each position", hint=hint)
    return next(iter(names))


def _step(graph: Graph, output: str, data: frozenset[str], prefixes: bool) -> Decoding:
    step = Step(graph, data, time_of(graph, output), RULES, prefixes)
    out, b = graph[graph.outputs[output]], step.b
    batch, _, entries = out.shape
    logits = b.reshape(step.value(out.id, ("", LAST, "")), (batch, entries))
    b.outputs = {"logits": logits}
    b.outputs |= {f"new_{name}": new for name, (_, new) in step.caches.items()}
    b.outputs |= {f"next_{name}": last for name, (_, last) in step.carries.items()}
    return Decoding(
        b.graph(),
        step.time,
        tuple(step.tokens),
        tuple(cache for cache, _ in step.caches.values()),
        tuple(carry for carry, _ in step.carries.values()),
        dict(step.prepared),
        step.prefix,
    )
