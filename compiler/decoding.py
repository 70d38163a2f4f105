"""The entries of a net that writes: what is computed once, and one step on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from .artifact import DECODE, FRESH, PAST, PREPARE, SLOTS, Kept
from .entries import EntryGraph, own_memory, port, ports_of
from .ir.builder import Builder
from .ops import OPS
from .ops.rules import RULES
from .passes.decode import Decoding, decode

if TYPE_CHECKING:
    from .build import NetProgram

LIKELY = {FRESH: 1, SLOTS: 256}
"""Sizes that kernels are planned for; all others work too."""


def decoding_of(net: NetProgram, output: str | None = None, *, prefixes: bool = True) -> Decoding:
    """The step graph of a net for one of its outputs (the first); without `prefixes` of one in
    which no position sees a later one.

    Raises: UsageError where it cannot be had.
    """
    return decode(net.graph, output or next(iter(net.outputs)), net.inputs, prefixes=prefixes)


def kept_by(decoding: Decoding) -> Kept:
    """What whoever calls the entries has to know."""
    return Kept(
        decoding.tokens,
        tuple(decoding.prepared),
        tuple((cache.name, cache.axis) for cache in decoding.caches),
        tuple(carry.name for carry in decoding.carries),
        decoding.prefix,
    )


def decode_entries(net: NetProgram, decoding: Decoding) -> list[EntryGraph]:
    """`decode`, and `prepare` where there is something to prepare.

    `decode` takes the fresh tokens, `past` i32[] (how many came before), what was prepared, caches
    and states; it gives `logits`, `new_<cache>` and `next_<state>`.
    """
    b = Builder(OPS, RULES)
    b.nodes = list(decoding.graph.nodes)
    b.outputs = own_memory(b, decoding.graph.outputs)
    names = (
        *decoding.tokens,
        PAST,
        *decoding.prepared,
        *(cache.name for cache in decoding.caches),
        *(carry.name for carry in decoding.carries),
    )
    types = {node["feed"]: node.type for node in decoding.graph.inputs()}
    inputs = tuple(
        replace(port(name, types[name]), below=net.below.get(name, 0))
        for name in names
        if name in types
    )
    outputs = tuple(port(name, b[i].type) for name, i in b.outputs.items())
    entries = [EntryGraph(DECODE, net.name, b.graph(), inputs, outputs, {})]
    computed = {name: i for name, i in decoding.prepared.items() if name not in net.inputs}
    if computed:
        entries.append(_prepare(net, computed))
    return entries


def _prepare(net: NetProgram, computed: dict[str, int]) -> EntryGraph:
    b = Builder(OPS, RULES)
    b.nodes = list(net.builder.nodes)
    b.outputs = own_memory(b, computed)
    graph = b.graph()
    fed = {node["feed"] for node in graph.inputs()}
    inputs = ports_of(net, fed)
    outputs = tuple(port(name, b[i].type) for name, i in b.outputs.items())
    return EntryGraph(PREPARE, net.name, graph, inputs, outputs, {})
