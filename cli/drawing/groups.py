"""A group as it lies: a scene, and the rows that it is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .diagram import Box
from .geometry import Scene
from .network import Network, Value, Wire
from .ranks import Key


@dataclass(slots=True)
class Group:
    """A laid-out group; `enters`, `leaves`: where values cross its upper and lower edge."""

    scene: Scene
    enters: dict[Value, float] = field(default_factory=dict)
    leaves: dict[Value, float] = field(default_factory=dict)


@dataclass(slots=True)
class Rows:
    """A group with its nodes in rows.

    `chains` are the wires with the invisible nodes that they pass; `x` are middles, `top` and
    `bottom` the edges of the rows; `skips` run beside all of it.
    """

    net: Network
    inner: Mapping[Key, Group]
    size: dict[Key, tuple[float, float]]
    row: dict[Key, int]
    skips: list[Wire]
    chains: list[tuple[Wire, list[Key]]]
    root: bool
    spine: set[Wire] = field(default_factory=set)
    x: dict[Key, float] = field(default_factory=dict)
    table: list[list[Key]] = field(default_factory=list)
    top: list[float] = field(default_factory=list)
    bottom: list[float] = field(default_factory=list)

    def leaving(self, wire: Wire) -> float:
        """Where a wire leaves its source, from the source's middle."""
        group = self.inner.get(wire.source)
        return group.leaves[wire.value] - self.size[wire.source][0] / 2 if group else 0.0

    def arriving(self, wire: Wire) -> float:
        """Where a wire arrives at its target, from the target's middle."""
        group = self.inner.get(wire.target)
        if group:
            return group.enters[wire.value] - self.size[wire.target][0] / 2
        others = [w for w in self.net.into(wire.target) if w not in self.skips]
        if len(others) < 2 or wire in self.skips or self.is_side(wire):
            return 0.0
        others = [w for w in others if not self.is_side(w)]
        half = (self.size[wire.target][0] - 16) / 2
        others.sort(key=lambda w: self.x.get(w.source, 0.0))
        main = [others.index(w) for w in others if w in self.spine]
        if len(main) == 1:
            return (others.index(wire) - main[0]) * min(20.0, half / max(len(others) - 1, 1))
        room = min(22.0, 2 * half / max(len(others) - 1, 1))
        return (others.index(wire) - (len(others) - 1) / 2) * room

    def is_side(self, wire: Wire) -> bool:
        """Does a wire come to an operator from the side?  The first operand comes from above."""
        part = self.net.parts.get(wire.target)
        if not isinstance(part, Box) or part.kind != "operator" or wire in self.skips:
            return False
        others = [w for w in self.net.into(wire.target) if w not in self.skips]
        return len(others) == 2 and wire == others[1] and others[0].source != wire.source

    def is_labelled(self, wire: Wire) -> bool:
        """Is the shape written on a wire?  Where it changed, and outside of what it leaves."""
        crossing = isinstance(wire.target, tuple) or isinstance(wire.source, tuple)
        return wire.changed and bool(wire.value[1]) and not crossing
