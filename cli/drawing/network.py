"""One group as a graph: its parts, the values that enter and leave, and who is linked with whom."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from .diagram import Arrow, Box, Frame, boxes
from .ranks import Key

Value = tuple[int, str]  # the box that makes it, its shape


@dataclass(frozen=True, slots=True)
class Wire:
    """A value on its way from one node of a group to another."""

    source: Key
    target: Key
    value: Value
    changed: bool


@dataclass(slots=True)
class Network:
    """`enters` and `leaves` are nodes of their own: ("in", value) and ("out", value)."""

    parts: dict[Key, Box | Frame]
    wires: list[Wire]
    enters: list[Value] = field(default_factory=list)
    leaves: list[Value] = field(default_factory=list)

    @property
    def nodes(self) -> list[Key]:
        """Everything that gets a place, in the order of the text."""
        return [*(("in", v) for v in self.enters), *self.parts, *(("out", v) for v in self.leaves)]

    def into(self, node: Key) -> list[Wire]:
        """The wires that end at a node."""
        return [wire for wire in self.wires if wire.target == node]


def network(parts: Sequence[Box | Frame], arrows: Iterable[Arrow]) -> Network:
    """The graph of some parts: arrows between what lies deeper are lifted to the parts."""
    home = {box.id: part.id for part in parts for box in boxes((part,))}
    found = Network({part.id: part for part in parts}, [])
    wires: dict[tuple[Key, Key, Value], Wire] = {}
    for arrow in arrows:
        inside = arrow.source in home, arrow.target in home
        if not any(inside):
            continue
        value = (arrow.source, arrow.label)
        source: Key = home[arrow.source] if inside[0] else ("in", value)
        target: Key = home[arrow.target] if inside[1] else ("out", value)
        if not inside[0] and value not in found.enters:
            found.enters.append(value)
        if not inside[1] and value not in found.leaves:
            found.leaves.append(value)
        if source != target:
            wires.setdefault((source, target, value), Wire(source, target, value, arrow.changed))
    found.wires = list(wires.values())
    return found


def skips(network: Network, rows: Mapping[Key, int]) -> set[Wire]:
    """Wires past other nodes that lie between their ends on another way."""
    after: dict[Key, set[Key]] = {node: set() for node in network.nodes}
    for wire in network.wires:
        after[wire.source].add(wire.target)
    reach: dict[Key, set[Key]] = {}
    for node in sorted(network.nodes, key=lambda node: -rows[node]):
        reach[node] = after[node].union(*(reach[n] for n in after[node]))
    return {
        wire
        for wire in network.wires
        if rows[wire.target] - rows[wire.source] > 1
        and not (isinstance(wire.target, tuple) and isinstance(wire.source, tuple))
        and any(wire.target in reach[other] for other in after[wire.source])
    }
