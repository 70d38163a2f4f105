"""Which wires want to be straight: where ways part or meet, those of the main way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .diagram import Arrow, Box
from .network import Network, Wire
from .ranks import Key

SIDED = {"attention", "convolution", "norm", "product", "recurrent"}


@dataclass(frozen=True, slots=True)
class Wiring:
    """The arrows of a whole net, and how many arrows lie before each box at most."""

    arrows: tuple[Arrow, ...]
    depths: Mapping[int, int]

    @classmethod
    def of(cls, arrows: tuple[Arrow, ...]) -> Wiring:
        """Count the arrows before each box."""
        before: dict[int, list[int]] = {}
        for arrow in arrows:
            before.setdefault(arrow.target, []).append(arrow.source)
        depths: dict[int, int] = {}
        for arrow in arrows:
            stack = [arrow.target]
            while stack:
                missing = [b for b in before.get(stack[-1], ()) if b not in depths]
                if missing:
                    stack += missing
                else:
                    at = stack.pop()
                    depths[at] = max((1 + depths[b] for b in before.get(at, ())), default=0)
        return cls(arrows, depths)


def main_wires(net: Network, wires: Sequence[Wire], depths: Mapping[int, int]) -> set[Wire]:
    """Of two wires that part, the one with the longer way ahead; of two that meet, the one with
    the longer way behind; where three or more do, all of them, but for layers whose first input
    is what they are about.
    """
    order = {node: i for i, node in enumerate(net.nodes)}
    ahead = _ahead(net, wires)

    def leaves(wire: Wire) -> tuple[int, int]:
        return ahead[wire.target], -order[wire.target]

    def arrives(wire: Wire) -> tuple[int, int]:
        return depths.get(wire.value[0], 0), -order[wire.source]

    main = set()
    for wire in wires:
        apart = [w for w in wires if w.source == wire.source]
        together = [w for w in wires if w.target == wire.target]
        first = _has_a_first_input(net, wire.target)
        if len(apart) < 3 and wire != max(apart, key=leaves):
            continue
        if first and wire != together[0]:
            continue
        if not first and len(together) < 3 and wire != max(together, key=arrives):
            continue
        main.add(wire)
    return main


def _has_a_first_input(net: Network, node: Key) -> bool:
    """Is it a layer that looks at other things on the side, such as attention?"""
    part = net.parts.get(node)
    families = {strip.family for strip in part.strips} if isinstance(part, Box) else set()
    return bool(families & SIDED)


def _ahead(net: Network, wires: Sequence[Wire]) -> dict[Key, int]:
    """How many wires lie after each node at most."""
    after: dict[Key, list[Key]] = {node: [] for node in net.nodes}
    for wire in wires:
        after[wire.source].append(wire.target)
    found: dict[Key, int] = {}
    for node in net.nodes:
        stack = [node]
        while stack:
            missing = [n for n in after[stack[-1]] if n not in found]
            if missing:
                stack += missing
            else:
                at = stack.pop()
                found[at] = max((1 + found[n] for n in after[at]), default=0)
    return found
