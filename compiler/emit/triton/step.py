"""A graph -> the launches that run all of it, each value in a buffer of the entry.

contraction, group that reads its result elementwise -> one launch
sums over rows                                       -> partial sums, one `finish` launch
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from ....spec.dims import Dim, Polynomial, exact_quotient, substitute, symbol, symbols
from ...artifact import ITEM_BYTES, Buffer, Entry, Expression, KernelRecord, Launch, Port, Scalar
from ...ir.graph import Graph
from ...plan.attention import attentions
from ...plan.forms import Plans
from ...plan.layout import LANES, Layout
from ...plan.memory import Home, Request, expression, nominal, pack
from ...plan.values import Values
from ..loops import start_name
from ..names import identifier, size_name, spelled
from .attach import plan_works
from .compose import compose
from .composed import Composed
from .epilogue import panels
from .finish import Gathered, finish_kernel
from .kernel import KernelText, Parameter, stream_name
from .library import PLACES, Kernels
from .moments import merge_kernel
from .part import Machine, Part, Work, free
from .printer import Partial
from .products import Names
from .riding import riders

Argument = str | tuple[str, Expression]


@dataclass(frozen=True, slots=True)
class Ports:
    """What the host sees of an entry."""

    kind: str
    subject: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    scalars: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class Memory:
    """A buffer of the entry before it has a place.  Units: `span` in elements of 4 bytes."""

    name: str
    dtype: str
    shape: tuple[Dim, ...]
    layout: Layout
    home: Home | None
    place: str

    @property
    def span(self) -> Dim:
        size = ITEM_BYTES[self.dtype]
        return self.layout.span * (size // 4) if size >= 4 else words(self.layout.span, size)


@dataclass(frozen=True, slots=True)
class Call:
    """One launch before its buffers have a place; `arguments` follow the kernel's parameters."""

    text: KernelText
    grid: tuple[Expression, ...]
    arguments: tuple[Argument, ...]
    reads: tuple[str, ...]
    writes: tuple[str, ...]


class StepWriter:
    """Plans and writes one entry.  `keep`: every value stays readable afterwards (probes)."""

    def __init__(
        self,
        ports: Ports,
        kernels: Kernels,
        sizes: Mapping[str, int],
        machine: Machine,
        *,
        keep: bool = False,
        plans: Plans | None = None,
    ) -> None:
        self.ports, self.kernels, self.machine, self.keep = ports, kernels, machine, keep
        self.sizes, self.plans = dict(sizes), plans or Plans()
        self.parts: list[Part] = []
        self.calls: list[Call] = []
        self.records: list[KernelRecord] = []
        self.memory: dict[str, Memory] = {}

    def add(self, graph: Graph, homes: Mapping[int, Home], known: Part | None = None) -> Part:
        """Plan one graph; `homes` places its inputs and outputs.

        `known`: the part that the same graph is in another entry.
        """
        if known is not None and not (self.keep and known.values.attention):
            part = known.again(homes)
        else:
            found = () if self.keep else attentions(graph)
            values = Values(
                graph, self.sizes, turned=True, prologues=True, plans=self.plans, attention=found
            )
            part = Part(graph, dict(homes), values)
        if self.keep or not part.works:
            part.plan(plan_works(part, self.machine, keep=self.keep))
        self.parts.append(part)
        return part

    def write(self) -> Entry:
        """Write every kernel; the entry with its launches and buffers."""
        for part in self.parts:
            for work in part.works:
                if work not in part.done:
                    part.finish(work)
                    self._work(part, work)
        offsets, total = self._pack()
        used = dict.fromkeys(name for c in self.calls for name in (*c.reads, *c.writes))
        buffers = tuple(_placed(self.memory[name], offsets) for name in used)
        launches = tuple(
            Launch(c.text.name, c.grid, c.arguments, (), c.text.warps, c.text.stages)
            for c in self.calls
        )
        p, workspace = self.ports, ("*", 4, expression(total))
        name = f"{p.kind}_{identifier(p.subject)}"
        return Entry(
            p.kind, p.subject, name, p.inputs, p.outputs, self._size_names(), p.scalars, workspace,
            buffers, launches,
        )  # fmt: skip

    # ---- launches ------------------------------------------------------------------------------

    def _work(self, part: Part, work: Work) -> None:
        """The launches of one piece of work: phases of a product, the finish of its sums."""
        found = compose(part, work, self.machine)
        known = self._known(part, found.names, found.sizes)
        known |= {stream_name(n): f"int:{stream}" for n, stream in enumerate(found.streams)}
        known |= {size_name(start_name(n)): f"int:{start}" for n, start in enumerate(found.starts)}
        for text in found.texts:
            for w in text.workspaces:
                known[w.parameter] = self._workspace(w.parameter, panels(w.factors, found.sizes))
        for p in found.partials:
            known[p.pointer] = self._workspace(p.pointer, p.span)
        for position, (text, grid) in enumerate(zip(found.texts, found.grids, strict=True)):
            final = position == len(found.texts) - 1
            moved = part.bytes_of(work) if final else 0
            self._launch(text, grid, known, found, moved, 0 if position else found.flops)
        for p in (p for p in found.partials if p.numbers > 1):
            self._merge(part, work, found, p, known)
        if any(p.numbers == 1 for p in found.partials):
            self._finish(part, work, found, known)

    def _known(
        self, part: Part, names: Mapping[int, str], sizes: Mapping[str, Dim]
    ) -> dict[str, Argument]:
        """The argument behind each parameter."""
        known: dict[str, Argument] = {"seed_ptr": "call:seed", "step_ptr": "call:step"}
        known |= {f"{name}_ptr": self._buffer(part, i) for i, name in names.items()}
        for argument, dim in sizes.items():
            value = expression(dim)
            known[argument] = f"size:{value}" if isinstance(value, str) else ("size", value)
        return known

    def _launch(
        self,
        text: KernelText,
        grid: tuple[Expression, ...],
        known: Mapping[str, Argument],
        found: Composed,
        moved: int,
        flops: int,
    ) -> None:
        """Append a launch and its record."""
        text = self.kernels.add(text, found.places)
        arguments = tuple(known[p.name] for p in text.parameters)
        stored = stores(text.text)
        pointers = [p.name for p in text.parameters if p.type.startswith("*")]
        writes = tuple(str(known[name]) for name in pointers if name in stored)
        reads = tuple(str(known[n]) for n in pointers if n not in stored and ":" not in known[n])
        self.calls.append(Call(text, grid, arguments, reads, writes))
        entry = f"{self.ports.kind}_{self.ports.subject}"
        spec = {**text.spec(), "key": found.key}
        self.records.append(
            KernelRecord(
                text.name, entry, found.kind, moved, flops, reads, writes, found.places, spec
            )
        )

    def _finish(
        self, part: Part, work: Work, found: Composed, before: Mapping[str, Argument]
    ) -> None:
        """Add the partial sums of one kernel in one launch, with arithmetic that waits for them."""
        partials, sizes = [p for p in found.partials if p.numbers == 1], Names()
        count = sizes.extent(partials[0].count, "panels")
        buffers = {p.buffer for p in partials}
        sums = {i: n for i, n in found.names.items() if n in buffers}
        lines, names = riders(part, sums, partials, sizes)
        pointers = [Parameter.pointer(n, part.graph[i].dtype) for i, n in names.items()]
        name = part.name(work)
        text = finish_kernel(
            f"finish_{name}",
            [Gathered(f"{p.buffer}_partial", p.buffer, p.columns) for p in partials],
            count=count,
            title=f"The last sums of {name}.",
            places=(PLACES,),
            epilogues=lines,
            parameters=(*pointers, *sizes.parameters()),
        )
        known = self._known(part, {**sums, **names}, sizes.dims)
        known |= {p.pointer: before[p.pointer] for p in partials}
        numbers = {n: expression(d) for n, d in sizes.dims.items()}
        moved = sum(map(self._finished, partials))
        done = Composed((), (), {}, {}, (), found.places, "finish", 0)
        self._launch(text, text.launch_grid(numbers), known, done, moved, moved // 4)

    def _merge(
        self, part: Part, work: Work, found: Composed, p: Partial, before: Mapping[str, Argument]
    ) -> None:
        """Merge the moments of the blocks of one kernel."""
        sizes, name = Names(), part.name(work)
        count = sizes.extent(p.count, "panels")
        text = merge_kernel(f"merge_{name}", p, count, f"The moments of {name}.")
        names = {i: n for i, n in found.names.items() if n == p.buffer}
        known = {**self._known(part, names, sizes.dims), p.pointer: before[p.pointer]}
        numbers = {n: expression(d) for n, d in sizes.dims.items()}
        done = Composed((), (), {}, {}, (), found.places, "finish", 0)
        moved = self._finished(p)
        self._launch(text, text.launch_grid(numbers), known, done, moved, moved)

    def _finished(self, p: Partial) -> int:
        """Bytes of partial sums and their result."""
        return 4 * p.numbers * p.columns * (nominal(p.count, self.sizes) + 1)

    # ---- buffers -------------------------------------------------------------------------------

    def _buffer(self, part: Part, i: int) -> str:
        """The entry's buffer for a value."""
        if i not in part.names:
            node = part.graph[i]
            base = spelled(node["feed"] if node.op == "input" else node.name)
            name = part.names[i] = free(base, self.memory)
            place = str(node.place) if node.place else ""
            home, layout = part.homes.get(i), part.layout(i)
            self.memory[name] = Memory(name, node.dtype, node.shape, layout, home, place)
        return part.names[i]

    def _workspace(self, pointer: str, count: Dim) -> str:
        """A buffer for partial sums."""
        name = free(pointer.removesuffix("_ptr"), self.memory)
        self.memory[name] = Memory(name, "f32", (count,), Layout((1,), count), None, "")
        return name

    def _pack(self) -> tuple[Mapping[tuple[str, int], Dim], Dim]:
        """Offsets in the workspace by lifetime, and its length."""
        moments: dict[str, list[int]] = {}
        for moment, c in enumerate(self.calls):
            for name in (*c.reads, *c.writes):
                moments.setdefault(name, []).append(moment)
        requests = []
        for name, m in self.memory.items():
            if m.home is None and name in moments:
                first, last = (
                    (0, len(self.calls)) if self.keep else (moments[name][0], moments[name][-1])
                )
                requests.append(Request((name, 0), aligned(m.span), first, last))
        packing = pack(requests, self.sizes)
        return packing.offsets, packing.total

    def _size_names(self) -> tuple[str, ...]:
        """The symbolic sizes of the entry."""
        nodes = [node for part in self.parts for node in part.graph]
        dims = [d for n in nodes for d in (*n.shape, *((n["dim"],) if n.op == "size" else ()))]
        return tuple(sorted({name for d in dims for name in symbols(d)}))


def words(span: Dim, size: int) -> Dim:
    """Words of 4 bytes for elements of `size` bytes, fewer than 4."""
    each = 4 // size
    whole = exact_quotient(span, each)
    return (span + (each - 1)) // each if whole is None else whole


@lru_cache(1 << 10)
def stores(text: str) -> frozenset[str]:
    """The pointers through which a kernel writes."""
    return frozenset(re.findall(r"tl\.store\(\s*(\w+_ptr)", text))


def _placed(m: Memory, offsets: Mapping[tuple[str, int], Dim]) -> Buffer:
    home = m.home or Home("workspace", 0, offsets[m.name, 0], m.layout)
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
