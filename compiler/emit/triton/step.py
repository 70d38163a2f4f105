"""A graph -> the launches that run all of it.

contraction, group that reads its result elementwise -> one launch
sums over rows                                       -> partial sums, one `finish` launch
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from ....spec.dims import Dim, symbols
from ...artifact import Entry, Expression, KernelRecord, Launch
from ...ir.body import ROWS, replaced
from ...ir.graph import Graph
from ...ops import OPS, costs
from ...plan.attention import attentions
from ...plan.forms import Plans
from ...plan.loaded import LoadedValues
from ...plan.memory import Home, expression, nominal
from ...plan.samples import step_by_step
from ...plan.values import Values
from ..loops import start_name
from ..names import identifier, size_name
from ..ports import Ports
from .adjoints import kept
from .alike import names_of, together
from .attach import plan_works
from .beside import Side, beside
from .buffers import Buffers
from .compose import compose
from .composed import Composed
from .epilogue import panels
from .finish import Gathered, finish_kernel
from .kernel import KernelText, Parameter, stream_name
from .launches import Argument, Call, Turns, buffer_of, less_aligned, stores
from .library import PLACES, Kernels
from .moments import merge_kernel
from .part import Machine, Part, Work
from .printer import Partial
from .products import Names
from .riding import riders
from .row_parts import merge_rows
from .scan import loop_of
from .scan_kernel import walk
from .scan_levels import Level, level_of
from .siblings import key_of
from .time_blocks import time_block


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
        self.buffers = Buffers()

    def add(self, graph: Graph, homes: Mapping[int, Home], known: Part | None = None) -> Part:
        """Plan one graph; `homes` places its inputs and outputs.

        `known`: the part that the same graph is in another entry.
        """
        if known is not None and not (self.keep and known.values.attention):
            part = known.again(homes)
        else:
            part = Part(graph, dict(homes), self._values(graph))
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
                    scan = work.heavy is not None and part.graph[work.heavy].op == "scan"
                    (self._scan if scan else self._work)(part, work)
        buffers, total = self.buffers.placed(self.calls, self.sizes, keep=self.keep)
        launches = tuple(
            Launch(
                c.text.name,
                c.grid,
                c.arguments,
                (),
                c.text.warps,
                c.text.stages,
                *((c.turns.number, c.turns.times, c.turns.reverse) if c.turns else (0, 1, False)),
                c.text.alone,
            )
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
        if work.pair:
            self._pair(part, work)
            return
        found = compose(part, work, self.machine)
        alike = [(work, found)]
        if work.members:
            named = names_of(part, work, found)
            alike = [(w, replace(found, names=n)) for w, n in zip(work.members, named, strict=True)]
        known = [self._arguments(part, each) for _, each in alike]
        found = replace(found, places=part.sources(work), flops=found.flops * len(alike))
        for position, (text, grid) in enumerate(zip(found.texts, found.grids, strict=True)):
            final = position == len(found.texts) - 1
            moved, mine = part.bytes_of(work) if final else 0, known[0]
            if work.members:
                text, mine = together(text, known)
                grid = (("*", len(known), grid[0]), *grid[1:])
            self._launch(text, grid, mine, found, moved, 0 if position else found.flops)
        for (member, each), mine in zip(alike, known, strict=True):
            self._finishes(part, member, each, mine)

    def _pair(self, part: Part, work: Work) -> None:
        """The first kernels of two as one launch, and what remains of each."""
        found = [compose(part, each, self.machine) for each in work.pair]
        known = [self._arguments(part, each) for each in found]
        first, second = (
            Side(each.texts[0], mine, each.grids[0], bool(w.shares))
            for w, each, mine in zip(work.pair, found, known, strict=True)
        )
        both = beside(first, second, work.shares)
        names = [
            self.kernels.add(text, part.sources(w)).name
            for w, text in zip(work.pair, both.functions, strict=True)
        ]
        name, key = f"{part.name(work)}_beside", key_of(part, work.pair)
        title = f"{names[0]} beside {names[1]}"
        text, mine, stored = both.launch(name, title, names)
        flops = sum(each.flops for each in found)
        done = replace(found[0], places=part.sources(work), kind="product", key=key)
        self._launch(text, both.grid, mine, done, part.bytes_of(work), flops, stored)
        for each, told, member in zip(found, known, work.pair, strict=True):
            alone = replace(each, places=part.sources(member))
            for rest, grid in zip(each.texts[1:], each.grids[1:], strict=True):
                self._launch(rest, grid, told, alone, 0, 0)
            self._finishes(part, member, alone, told)

    def _arguments(self, part: Part, found: Composed) -> dict[str, Argument]:
        """What stands behind the parameters of kernels; partial sums get memory."""
        known = self._known(part, found.names, found.sizes)
        known |= {stream_name(n): f"int:{stream}" for n, stream in enumerate(found.streams)}
        known |= {size_name(start_name(n)): f"int:{start}" for n, start in enumerate(found.starts)}
        for text in found.texts:
            for w in text.workspaces:
                known[w.parameter] = self.buffers.workspace(
                    w.parameter, panels(w.factors, found.sizes)
                )
        for p in found.partials:
            known[p.pointer] = self.buffers.workspace(p.pointer, p.span)
        for q in found.parted:
            known[q.pointer] = self.buffers.workspace(q.pointer, q.span)
        return known

    def _finishes(
        self, part: Part, work: Work, found: Composed, known: Mapping[str, Argument]
    ) -> None:
        """The launches that complete what the blocks of a kernel left."""
        for p in (p for p in found.partials if p.numbers > 1):
            self._merge(part, work, found, p, known)
        sums = [p for p in found.partials if p.numbers == 1]
        for count in dict.fromkeys(p.count for p in sums):
            alike = [p for p in sums if p.count == count]
            self._finish(part, work, replace(found, partials=tuple(alike)), known)
        if found.parted:
            self._merge_rows(part, work, found, known)

    def _scan(self, part: Part, work: Work) -> None:
        """One launch for all steps, or those of a step for each."""
        assert work.heavy is not None
        if step_by_step(part.graph[work.heavy], self.sizes) is None:
            try:
                self._whole(part, work)
            except LookupError:
                pass
            else:
                return
        self._steps(part, work)

    def _whole(self, part: Part, work: Work) -> None:
        """A kernel that carries out all steps.

        Raises: LookupError where there is none.
        """
        assert work.heavy is not None
        node, refused = part.graph[work.heavy], self.machine.levels
        writes = [work.heavy, *sorted(work.writes - {work.heavy})]
        rows = {ROWS: node.shape[0]}
        sizes = {**self.sizes, ROWS: nominal(node.shape[0], self.sizes)}
        top = level_of(
            part, work.heavy, writes,
            lambda graph: Values(graph, sizes, turned=True, plans=self.plans), taken=set(),
        )  # fmt: skip
        touched = dict.fromkeys([*(part.values.base(o) for o in node.operands), *writes])
        inside = [each for level in top.levels() for each in (level.begin, level.step)]
        wide = part.wide(touched) or any(p.wide(w.writes) for p in inside for w in p.works)
        name, title = part.name(work), part.title(part.short(touched), work)
        key = f"{name}: {title}"
        block = time_block(sizes[ROWS], self.machine.arch, refused.get(key, 0))
        found = walk(top, block, name, title, self.machine.precision, wide=wide)
        known = self._pointers(part, top, rows)
        numbers = {n: expression(replaced(dim, rows)) for n, dim in found.sizes.items()}
        known |= {n: f"size:{e}" if isinstance(e, str) else ("size", e) for n, e in numbers.items()}
        places = part.places(writes)
        flops = nominal(
            costs.flops(OPS, node, [part.graph[o].type for o in node.operands]), self.sizes
        )
        done = Composed((), (), {}, {}, (), places, "scan", flops, key)
        grid = found.text.launch_grid(numbers)
        self._launch(found.text, grid, known, done, part.bytes_of(work), flops)

    def _pointers(self, part: Part, top: Level, rows: Mapping[str, Dim]) -> dict[str, Argument]:
        """What lies behind the pointers of a loop, and of those inside of it."""
        known: dict[str, Argument] = {}
        for level in top.levels():
            parts = level.begin, level.step
            for inner, outside, names in zip(parts, level.outside, level.names, strict=True):
                for i, o in outside.items():
                    if level is top and i in names:
                        inner.names[i] = self.buffers.of(part, o)
                        known[f"{names[i]}_ptr"] = self.buffers.argument(part, o)
            for before, after, begun in level.loop.states:
                buffer = self.buffers.scratch("state", level.loop.step[before], rows, 2)
                level.begin.names[begun] = buffer
                level.step.names[before] = level.step.names[after] = buffer
            for inner, names in zip(parts, level.names, strict=True):
                for i, short in names.items():
                    if f"{short}_ptr" not in known:
                        if i not in inner.names:
                            inner.names[i] = self.buffers.scratch(short, inner.graph[i], rows, 1)
                        known[f"{short}_ptr"] = inner.names[i]
        return known

    def _steps(self, part: Part, work: Work) -> None:
        """The launches of a step, repeated for all steps, behind those that begin the states."""
        assert work.heavy is not None
        writes = [work.heavy, *sorted(work.writes - {work.heavy})]
        loop = loop_of(part, work.heavy, writes, whole=False)
        begin, step = (
            Part(graph, homes, self._values(graph))
            for graph, homes in ((loop.begin, loop.begin_homes), (loop.step, loop.homes))
        )
        step.moved = {i: by for i, (_, by) in loop.lent.items() if by != 0}
        begin.names |= {i: self.buffers.of(part, o) for i, o in loop.starts.items()}
        step.names |= {i: self.buffers.of(part, o) for i, (o, _) in loop.lent.items()}
        for before, after, begun in loop.states:
            name = self.buffers.scratch("state", loop.step[after])
            begin.names[begun] = step.names[before] = step.names[after] = name
        self._all(begin)
        first, known = len(self.calls), set(self.buffers.memory)
        self._all(step)
        turns = Turns(len(self.buffers.loops) + 1, expression(loop.time), loop.reverse)
        self.calls[first:] = [replace(c, turns=turns) for c in self.calls[first:]]
        alone = frozenset(self.buffers.memory.keys() - known)
        self.buffers.loops.append((range(first, len(self.calls)), alone))

    def _all(self, part: Part) -> None:
        """The launches of a part that stands in another; a scan there is one launch."""
        part.plan(plan_works(part, self.machine, keep=False))
        for work in part.works:
            part.finish(work)
            scan = work.heavy is not None and part.graph[work.heavy].op == "scan"
            (self._whole if scan else self._work)(part, work)

    def _values(self, graph: Graph) -> Values:
        found = () if self.keep else attentions(graph)
        room = kept(self.machine.arch)
        return LoadedValues(graph, self.sizes, plans=self.plans, attention=found, kept=room)

    def _known(
        self, part: Part, names: Mapping[int, str], sizes: Mapping[str, Dim]
    ) -> dict[str, Argument]:
        """The argument behind each parameter."""
        known: dict[str, Argument] = {"seed_ptr": "call:seed", "step_ptr": "call:step"}
        known |= {f"{name}_ptr": self.buffers.argument(part, i) for i, name in names.items()}
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
        stored: Collection[str] | None = None,
    ) -> None:
        """Append a launch and its record; `stored`: what it writes, where its text does not say."""
        key = found.key_of(text)
        text = self.kernels.add(less_aligned(text, known), found.places)
        arguments = tuple(known[p.name] for p in text.parameters)
        stored = stores(text.text) if stored is None else stored
        pointers = [p.name for p in text.parameters if p.type.startswith("*")]
        buffers = {name: buffer_of(known[name]) for name in pointers}
        writes = tuple(buffers[name] for name in pointers if name in stored)
        reads = tuple(buffers[n] for n in pointers if n not in stored and ":" not in buffers[n])
        self.calls.append(Call(text, grid, arguments, reads, writes))
        entry = f"{self.ports.kind}_{self.ports.subject}"
        spec = {**text.spec(), "key": key}
        self.records.append(
            KernelRecord(
                text.name, entry, found.kind, moved, flops, reads, writes, found.places, spec
            )
        )

    def _finish(
        self, part: Part, work: Work, found: Composed, before: Mapping[str, Argument]
    ) -> None:
        """Add the partial sums of one kernel in one launch, with arithmetic that waits for them."""
        partials, sizes = found.partials, Names()
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

    def _merge_rows(
        self, part: Part, work: Work, found: Composed, before: Mapping[str, Argument]
    ) -> None:
        """Merge what the blocks of one kernel left of the folds of their rows."""
        sizes, name, rows = Names(), part.name(work), found.parted[0].rows
        extent = sizes.extent(rows, "rows")
        text = merge_rows(f"merge_{name}", found.parted, extent, f"The rows of {name}.")
        buffers = {p.buffer for p in found.parted}
        names = {i: n for i, n in found.names.items() if n in buffers}
        known = self._known(part, names, sizes.dims)
        known |= {p.pointer: before[p.pointer] for p in found.parted}
        numbers = {n: expression(d) for n, d in sizes.dims.items()}
        done = Composed((), (), {}, {}, (), found.places, "finish", 0)
        moved = sum(4 * (p.numbers + 1) for p in found.parted) * nominal(rows, self.sizes)
        self._launch(text, text.launch_grid(numbers), known, done, moved, moved // 4)

    def _finished(self, p: Partial) -> int:
        """Bytes of partial sums and their result."""
        return 4 * p.numbers * p.columns * (nominal(p.count, self.sizes) + 1)

    def _size_names(self) -> tuple[str, ...]:
        """The symbolic sizes of the entry."""
        nodes = [node for part in self.parts for node in part.graph]
        dims = {d for n in nodes for d in (*n.shape, *((n["dim"],) if n.op == "size" else ()))}
        return tuple(sorted({name for d in dims for name in symbols(d)}))
