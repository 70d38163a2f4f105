"""The buffers of an entry: values, scratch of kernels, and where they lie in the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ....spec.dims import Dim, Polynomial, exact_quotient, substitute, symbol, symbols
from ...artifact import ITEM_BYTES, Buffer, Expression
from ...ir.body import replaced
from ...ir.graph import Node
from ...plan.layout import LANES, Layout, row_major
from ...plan.memory import Home, Request, expression, pack
from ..names import spelled
from .launches import Argument, Call
from .part import Part, free


@dataclass(frozen=True, slots=True)
class Memory:
    """A buffer of the entry before it has a place; `within`: another one in which it lies, and from
    which element on.  Units: `span` in elements of 4 bytes.
    """

    name: str
    dtype: str
    shape: tuple[Dim, ...]
    layout: Layout
    home: Home | None
    place: str
    within: tuple[str, int] | None = None

    @property
    def span(self) -> Dim:
        size = ITEM_BYTES[self.dtype]
        return self.layout.span * (size // 4) if size >= 4 else words(self.layout.span, size)


class Buffers:
    """All buffers of an entry, by name."""

    def __init__(self) -> None:
        self.memory: dict[str, Memory] = {}
        self.loops: list[tuple[range, frozenset[str]]] = []  # calls, and buffers of one step alone

    def of(self, part: Part, i: int) -> str:
        """The entry's buffer for a value."""
        if i not in part.names:
            node = part.graph[i]
            home, layout, joint = part.homes.get(i), part.layout(i), part.values.within.get(i)
            within = (self.of(part, joint.host), joint.offset) if joint else None  # takes its name
            base = spelled(node["feed"] if node.op == "input" else node.name)
            name = part.names[i] = free(base, self.memory)
            place = str(node.place) if node.place else ""
            self.memory[name] = Memory(name, node.dtype, node.shape, layout, home, place, within)
        return part.names[i]

    def argument(self, part: Part, i: int) -> Argument:
        """The pointer to a value, which may move on with the steps of a scan."""
        name = self.of(part, i)
        return ("at", name, expression(part.moved[i])) if i in part.moved else name

    def workspace(self, pointer: str, count: Dim) -> str:
        """A buffer for partial sums."""
        name = free(pointer.removesuffix("_ptr"), self.memory)
        self.memory[name] = Memory(name, "f32", (count,), Layout((1,), count), None, "")
        return name

    def scratch(
        self, base: str, node: Node, rows: Mapping[str, Dim] | None = None, times: int = 1
    ) -> str:
        """Memory for a value of a step, so many times; `rows` says how many its samples are."""
        name, shape = free(base, self.memory), replaced(node.shape, rows or {})
        shape = (times, *shape) if times > 1 else shape
        place = str(node.place) if node.place else ""
        self.memory[name] = Memory(name, node.dtype, shape, row_major(shape), None, place)
        return name

    def placed(
        self, calls: Sequence[Call], sizes: Mapping[str, int], *, keep: bool
    ) -> tuple[tuple[Buffer, ...], Dim]:
        """Those that the launches touch, each with its place, and the length of the workspace.

        What is needed at different times shares memory, unless `keep`.
        """
        moments = self._moments(calls)
        requests = []
        needed = self._needed(moments)
        for name, m in self.memory.items():
            if m.home is None and name in needed:
                first, last = (0, len(calls)) if keep else (min(needed[name]), max(needed[name]))
                requests.append(Request((name, 0), aligned(m.span), first, last))
        packing = pack(requests, sizes)
        used = tuple(_placed(self.memory[name], packing.offsets) for name in moments)
        return used, packing.total

    def _needed(self, moments: Mapping[str, list[int]]) -> dict[str, list[int]]:
        """When the memory of each buffer that lies in no other is needed."""
        found: dict[str, list[int]] = {}
        for name, touched in moments.items():
            within = self.memory[name].within
            found.setdefault(within[0] if within else name, []).extend(touched)
        return found

    def _moments(self, calls: Sequence[Call]) -> dict[str, list[int]]:
        """When each buffer is touched, by name."""
        moments: dict[str, list[int]] = {}
        for moment, c in enumerate(calls):
            for name in (*c.reads, *c.writes):
                moments.setdefault(name, []).append(moment)
        for loop, alone in self.loops:  # what one step needs, the next one needs too
            for name in {n for k in loop for n in (*calls[k].reads, *calls[k].writes)} - alone:
                moments[name] = sorted([*moments[name], loop[0], loop[-1]])
        return moments


def words(span: Dim, size: int) -> Dim:
    """Words of 4 bytes for elements of `size` bytes, fewer than 4."""
    each = 4 // size
    whole = exact_quotient(span, each)
    return (span + (each - 1)) // each if whole is None else whole


def _placed(m: Memory, offsets: Mapping[tuple[str, int], Dim]) -> Buffer:
    host, start = m.within or (m.name, 0)
    words_in = start * ITEM_BYTES[m.dtype] // 4
    home = m.home or Home("workspace", 0, offsets[host, 0] + words_in, m.layout)
    shape, strides = _expressions(m.shape), _expressions(home.layout.strides)
    at = expression(home.offset * 4)
    return Buffer(m.name, m.dtype, shape, home.space, home.slot, at, strides, m.place)


def _expressions(dims: Sequence[Dim]) -> tuple[Expression, ...]:
    return tuple(map(expression, dims))


def aligned(span: Dim) -> Dim:
    """A span of whole cache lines at least as long, such that spans of one symbol share a scale."""
    if not isinstance(span, Polynomial) or all(c % LANES == 0 for _, c in span.terms):
        return span
    name = min(symbols(span))
    try:
        found = substitute(span, {name: (symbol(name) + (LANES - 1)) // LANES * LANES})
    except ValueError:
        found = span
    if isinstance(found, Polynomial) and all(c % LANES == 0 for _, c in found.terms):
        return found
    return (span + (LANES - 1)) // LANES * LANES
