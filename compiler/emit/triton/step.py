"""A graph -> the launches that run all of it, each value in a buffer of the entry.

contraction, group that reads its result elementwise -> one launch (COMPILER: epilogues)
sums over rows                                       -> partial sums, one `finish` launch
"""

from __future__ import annotations

import builtins
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import networkx as nx

from ....spec.dims import Dim, Polynomial, numel, substitute, symbol, symbols
from ...artifact import ITEM_BYTES, Buffer, Entry, Expression, KernelRecord, Launch, Port, Scalar
from ...ir.graph import Graph, Node
from ...ops import OPS
from ...plan.device import DeviceFusion
from ...plan.layout import LANES, Layout, row_major
from ...plan.memory import Home, Request, expression, nominal, pack
from ...plan.product import Product, product_of
from ...plan.schedule import heavy_nodes
from ...plan.values import Values, lowering
from ..loops import Kernel
from ..lower import identifier, lower
from .body import dims_of
from .choice import choose
from .contraction import Sums, frame
from .device import functions, module
from .epilogue import Epilogue, Writer, attachable, panels, pressure, whole_rows
from .finish import Gathered, finish_kernel
from .gemm import gemm_kernel
from .kernel import KernelText, Parameter
from .printer import RESERVED, Partial, prepared, print_kernel
from .products import Names, contraction_of, result_index
from .request import Gemm
from .riding import TOTAL, rideable, riding_lines
from .scatter import scatter_kernel
from .spelling import GROWTH, WIDE, all_symbols
from .template import call

Roots = frozenset[int]
SHOWN = 3  # spec lines that a kernel shared by many layers lists


@dataclass(frozen=True, slots=True)
class Machine:
    """What kernels are written for: an architecture of `choose`, and how products multiply."""

    arch: str
    precision: str

    @property
    def interpreted(self) -> bool:
        return self.arch == "interpret"


@dataclass(frozen=True, slots=True)
class Ports:
    """What the host sees of an entry."""

    kind: str
    subject: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    scalars: tuple[Scalar, ...]


class Kernels:
    """Kernel texts, each once: equal layers share theirs."""

    def __init__(self) -> None:
        self.texts: dict[str, KernelText] = {}
        self.places: dict[str, dict[str, None]] = {}
        self._known: dict[tuple[object, ...], str] = {}

    def add(self, text: KernelText, places: Iterable[str]) -> KernelText:
        """The kernel under whose name this text is in the module."""
        body = re.sub(r'""".*?"""', "", text.text, count=1, flags=re.DOTALL)
        body = re.sub(rf"\b{text.name}\b", "@", body, count=1)
        key = (body, text.parameters, text.warps, text.stages, text.dots)
        if key not in self._known:
            name = self._fresh(text.name)
            whole = re.sub(rf"\bdef {text.name}\(", f"def {name}(", text.text, count=1)
            self.texts[name] = replace(text, name=name, text=whole)
            self._known[key] = name
        found = self._known[key]
        self.places.setdefault(found, {}).update(dict.fromkeys(places))
        return replace(text, name=found)

    def _fresh(self, name: str) -> str:
        taken = functions().keys() | RESERVED | vars(builtins).keys()
        base = f"compute_{name}" if name in taken else name
        found, count = base, 2
        while found in self.texts:
            found, count = f"{base}_{count}", count + 1
        return found

    def module(self, title: str) -> str:
        """The Python module of all kernels."""
        return module([self._whole(name) for name in self.texts], title)

    def _whole(self, name: str) -> str:
        places = list(self.places[name])
        lines = places[:SHOWN] + (
            [f"and {len(places) - SHOWN} more"] if len(places) > SHOWN else []
        )
        text = self.texts[name].text
        if not lines:
            return re.sub(r"\n\n *@places@\n", "\n", re.sub(r"(?<!\n)\n *@places@\n", "\n", text))
        return re.sub(
            r"( *)@places@", lambda m: "\n".join(m[1] + line for line in lines), text, count=1
        )


@dataclass(frozen=True, slots=True)
class Work:
    """One kernel to write: a contraction or scatter, a group of roots, or a contraction with its group.

    `summed`: a sum of one operand over the depth, which rides in the contraction.
    """

    heavy: int | None
    roots: Roots
    reads: frozenset[int]
    writes: frozenset[int]
    summed: int | None = None

    @property
    def key(self) -> int:
        return self.heavy if self.heavy is not None else min(self.roots)


@dataclass
class Part:
    """One graph of an entry and where its inputs and outputs live."""

    graph: Graph
    homes: dict[int, Home]
    values: Values
    fusion: DeviceFusion
    works: list[Work] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)
    done: set[Work] = field(default_factory=set)


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
        return self.layout.span * max(1, ITEM_BYTES[self.dtype] // 4)


@dataclass(frozen=True, slots=True)
class Call:
    """One launch before its buffers have a place; `arguments` follow the kernel's parameters."""

    text: KernelText
    grid: tuple[Expression, ...]
    arguments: tuple[str | tuple[str, Expression], ...]
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
    ) -> None:
        self.ports, self.kernels, self.sizes, self.machine, self.keep = (
            ports,
            kernels,
            dict(sizes),
            machine,
            keep,
        )
        self.parts: list[Part] = []
        self.calls: list[Call] = []
        self.records: list[KernelRecord] = []
        self.memory: dict[str, Memory] = {}

    # ---- planning ------------------------------------------------------------------------------

    def add(self, graph: Graph, homes: Mapping[int, Home]) -> Part:
        """Plan one graph; `homes` places its inputs and outputs."""
        values = Values(graph, self.sizes)
        part = Part(graph, dict(homes), values, DeviceFusion(values))
        works = [self._heavy(part, node) for node in heavy_nodes(graph)]
        works += [self._group(part, roots) for roots in part.fusion.groups]
        part.works = self._sorted(self._with_sums(part, self._attached(part, works)))
        self.parts.append(part)
        return part

    def _heavy(self, part: Part, node: Node) -> Work:
        reads = frozenset(part.values.base(o) for o in node.operands)
        return Work(node.id, frozenset(), reads, frozenset({node.id}))

    def _group(self, part: Part, roots: Roots) -> Work:
        reads = frozenset(part.values.base(i) for i in part.fusion.reads(roots))
        return Work(None, roots, reads, frozenset(part.fusion.written(roots)))

    def _network(self, works: Sequence[Work]) -> nx.DiGraph:
        maker = {value: work for work in works for value in work.writes}
        network = nx.DiGraph()
        network.add_nodes_from(works)
        for work in works:
            for value in work.reads:
                if value in maker and maker[value] is not work:
                    network.add_edge(maker[value], work)
        return network

    def _sorted(self, works: Sequence[Work]) -> list[Work]:
        return list(nx.lexicographical_topological_sort(self._network(works), key=lambda w: w.key))

    def _attached(self, part: Part, works: list[Work]) -> list[Work]:
        """Join each contraction with the group that saves most by reading it from registers."""
        for product in [
            w for w in works if w.heavy is not None and part.graph[w.heavy].op == "contract"
        ]:
            z = product.key
            network = self._network(works)
            readers = [w for w in network.successors(product) if w.heavy is None and z in w.reads]
            for group in sorted(readers, key=lambda w: (-len(w.reads & product.writes), w.key)):
                others = [w for w in network.successors(product) if w is not group]
                if any(nx.has_path(network, w, group) for w in others):
                    continue
                kept = bool(others) or z in part.values.outputs or self.keep
                joined = self._joined(product, group, kept)
                if not self._fits(part, joined):
                    continue
                works = [w for w in works if w not in (product, group)] + [joined]
                break
        return works

    def _joined(self, product: Work, group: Work, kept: bool) -> Work:
        z = product.key
        writes = group.writes | ({z} if kept else frozenset())
        return Work(z, group.roots, product.reads | (group.reads - {z}), writes)

    def _with_sums(self, part: Part, works: list[Work]) -> list[Work]:
        """A group that only sums an operand of a product over its depth joins the product."""
        for group in [w for w in works if w.heavy is None and len(w.roots) == 1]:
            root = min(group.roots)
            if part.graph[root].op != "sum" or part.values.cone(group.roots)[0] != [root]:
                continue
            network = self._network(works)
            for product in [
                w for w in works if w.heavy is not None and not w.roots and w.summed is None
            ]:
                if part.graph[product.key].op != "contract" or not group.reads <= product.reads:
                    continue
                if self._sums_of(part, product.key, root) is None or nx.has_path(
                    network, group, product
                ):
                    continue
                joined = replace(product, writes=product.writes | group.writes, summed=root)
                works = [w for w in works if w not in (product, group)] + [joined]
                break
        return works

    def _sums_of(self, part: Part, z: int, root: int) -> str | None:
        """Is `root` the row sums of the left operand ("a") or the column sums of the right one ("b")?"""
        node = part.graph[root]
        p = product_of(part.graph, part.graph[z], lambda i: self._layout(part, i))
        operand = part.graph[node.operands[0]]
        if p.outer or node.dtype != "f32" or self._layout(part, root) != row_major(node.shape):
            return None
        folded = numel(operand.shape[d] for d in node["axes"])
        for side, i, rest, kept in (("a", p.a, p.m, p.m.a), ("b", p.b, p.n, p.n.b)):
            leading = node["axes"] == tuple(range(len(node["axes"])))
            if part.values.base(i) == part.values.base(operand.id) and leading and kept == 1:
                if (p.k.extent, rest.extent) == (folded, numel(node.shape)) and folded != 1:
                    return side
        return None

    def _fits(self, part: Part, work: Work) -> bool:
        try:
            return self._gemm(part, work, "draft") is not None
        except LookupError:
            return False

    # ---- kernels -------------------------------------------------------------------------------

    def _layout(self, part: Part, i: int) -> Layout:
        node = part.graph[i]
        if i in part.homes and lowering(node) != "alias":
            return part.homes[i].layout
        return row_major(node.shape)

    def _lowered(self, part: Part, roots: Roots) -> Kernel:
        members, _ = part.values.cone(roots)
        places = {i: _line(part.graph[i]) for i in members if part.graph[i].place is not None}
        flops = sum(self._flops(part, i) for i in members)
        written = part.fusion.written(roots)
        return lower(
            part.values, roots, written, lambda i: self._layout(part, i), "draft", places, 0, flops
        )

    def _flops(self, part: Part, i: int) -> int:
        node = part.graph[i]
        return OPS[node.op].flops * part.values.count(
            node.operands[0] if lowering(node) == "fold" else i
        )

    def _short(self, part: Part, values: Iterable[int]) -> dict[int, str]:
        """A name within one kernel for each value: the last part of its path."""
        found: dict[int, str] = {}
        for i in values:
            node = part.graph[i]
            base = _last(node["feed"] if node.op == "input" else node.name)
            found[i] = _free(base, found.values())
        return found

    def _main(self, part: Part, work: Work) -> int:
        """The value after which the kernel is called."""
        return max(work.writes or work.roots, key=lambda i: (part.values.count(i), -i))

    def _kernel_name(self, part: Part, work: Work) -> str:
        return _last(part.graph[self._main(part, work)].name)

    def _elements(self, part: Part, names: Mapping[int, str]) -> dict[str, int]:
        return {name: part.values.count(i) for i, name in names.items()}

    def _wide(self, part: Part, values: Iterable[int]) -> bool:
        symbolic = any(not isinstance(d, int) for i in values for d in part.graph[i].shape)
        return max(map(part.values.count, values), default=0) * (GROWTH if symbolic else 1) >= WIDE

    def _title(
        self, part: Part, names: Mapping[int, str], reads: Iterable[int], writes: Iterable[int]
    ) -> str:
        def shown(values: Iterable[int]) -> str:
            return ", ".join(f"{names[i]}{_shape(part.graph[i])}" for i in values)

        made, read = shown(sorted(writes)), shown(sorted(reads))
        return f"{made} from {read}" if read else made

    def _loops(self, part: Part, work: Work) -> None:
        """A group of its own."""
        lowered = self._lowered(part, work.roots)
        names = self._short(part, dict.fromkeys(b.value for b in lowered.buffers))
        kernel = prepared(lowered, names)
        elements = self._elements(part, names)
        name, title = (
            self._kernel_name(part, work),
            self._title(part, names, work.reads, work.writes),
        )
        found = print_kernel(
            kernel, name, _wrapped(title), self.sizes, elements, interpret=self.machine.interpreted
        )
        moved = self._bytes(part, work)
        self._launch(
            part,
            found.text,
            found.grid,
            names,
            found.numbers,
            lowered.places,
            found.partials,
            "loops",
            moved,
            lowered.flops,
        )
        self._finish(part, name, names, found.partials, lowered.places)

    def _scatter(self, part: Part, work: Work) -> None:
        node = part.graph[work.key]
        indices, updates = (part.values.base(o) for o in node.operands)
        names = self._short(part, dict.fromkeys((indices, updates, node.id)))
        dims = Names()
        text = scatter_kernel(
            self._kernel_name(part, work), names[indices], names[updates], names[node.id],
            entries=dims.extent(node.shape[0], "entries"),
            width=dims.extent(numel(node.shape[1:]), "width"),
            count=dims.extent(numel(part.graph[node.operands[0]].shape), "count"),
        )  # fmt: skip
        grid = text.launch_grid({n: expression(d) for n, d in dims.dims.items()})
        flops = part.values.count(updates)
        self._launch(
            part,
            text,
            grid,
            names,
            dims.dims,
            self._places(part, [node.id]),
            (),
            "scatter",
            self._bytes(part, work),
            flops,
        )

    def _product(self, part: Part, work: Work) -> None:
        """A contraction, with the group that follows it."""
        found = self._gemm(part, work, self._kernel_name(part, work))
        assert found is not None
        texts, names, dims, epilogue, flops, places = found
        numbers = {n: expression(d) for n, d in dims.dims.items()}
        moved = self._bytes(part, work)
        for position, text in enumerate(texts):
            last = position == len(texts) - 1
            for w in texts[0].workspaces:
                self._workspace(
                    f"{work.key}:{len(self.calls) - position}",
                    w.parameter,
                    panels(w.factors, dims.dims),
                )
            shared = {w.parameter: self._last_workspace[w.parameter] for w in texts[0].workspaces}
            partials = epilogue.partials if last and epilogue else ()
            self._launch(
                part, text, text.launch_grid(numbers), names, dims.dims, places, partials, "product",
                moved if last else 0, 0 if position else flops, shared,
            )  # fmt: skip
        if epilogue:
            self._finish(part, self._kernel_name(part, work), names, epilogue.partials, places)

    _last_workspace: dict[str, str]

    def _gemm(
        self, part: Part, work: Work, name: str
    ) -> (
        tuple[tuple[KernelText, ...], dict[int, str], Names, Epilogue | None, int, tuple[str, ...]]
        | None
    ):
        """The kernels of a contraction with its group; None or LookupError where they cannot be one."""
        z = work.key
        p = product_of(part.graph, part.graph[z], lambda i: self._layout(part, i))
        a, b = part.values.base(p.a), part.values.base(p.b)
        lowered = self._lowered(part, work.roots) if work.roots else None
        read = [x.value for x in lowered.buffers] if lowered else []
        read += [work.summed] if work.summed is not None else []
        names = self._short(part, dict.fromkeys((a, b, *read, z)))
        dims = Names()
        c = contraction_of(
            p, (names[a], part.graph[a].dtype), (names[b], part.graph[b].dtype), dims
        )
        wide = self._wide(part, names)
        flops, places = product_flops(p, self.sizes), self._places(part, [z])
        kernel = None
        if lowered is not None:
            taken = frozenset({f"{names[i]}_tile" for i in (a, b)} | dims.dims.keys())
            kernel = prepared(lowered, names, flat=False, taken=taken)
            if not attachable(kernel, z, p):
                return None
            flops += lowered.flops
            places = tuple(dict.fromkeys((*places, *lowered.places)))
        whole = kernel is not None and whole_rows(kernel)
        tile = choose(
            self.machine.arch,
            c,
            dims.sizes(self.sizes),
            pressure=pressure(kernel) if kernel else 0,
            whole_rows=whole,
        )
        if tile.form == "vector" and p.m.extent == 1:
            tile = replace(tile, rows=1)
        shape = frame(c, tile)
        if whole and not shape.whole_rows:
            return None
        epilogue = None
        if kernel is not None:
            epilogue = Writer(kernel, z, shape, dims, wide=wide).write(
                names[z] if z in work.writes else None
            )
            lines, product = epilogue.lines, epilogue.product
        else:
            product = (
                names[z] if names[z] not in RESERVED | functions().keys() else f"{names[z]}_value"
            )
            mask = [f"mask={shape.inside}"] if shape.inside else []
            lines = tuple(
                call("tl.store", [f"{names[z]}_ptr + {result_index(p, dims)}", product, *mask], 4)
            )
        parameters = self._pointers(part, names, epilogue)
        sums = None
        if work.summed is not None:
            sums = Sums(self._sums_of(part, z, work.summed) or "", names[work.summed])
            places = tuple(dict.fromkeys((*places, *self._places(part, [work.summed]))))
        gemm = Gemm(
            name=name, contraction=c, tile=tile, product=product, epilogue=lines,
            parameters=(*parameters, *dims.parameters()),
            title=_wrapped(self._title(part, names, work.reads, work.writes)), places=("@places@",),
            precision=self.machine.precision, wide=wide, sums=sums,
        )  # fmt: skip
        return gemm_kernel(gemm), names, dims, epilogue, flops, places

    def _pointers(
        self, part: Part, names: Mapping[int, str], epilogue: Epilogue | None
    ) -> list[Parameter]:
        partial = {p.buffer for p in epilogue.partials} if epilogue else set()
        found = [
            Parameter.pointer(n, part.graph[i].dtype) for i, n in names.items() if n not in partial
        ]
        found += [Parameter.pointer(f"{n}_partial", "f32") for n in sorted(partial)]
        if epilogue and epilogue.draws:
            found += [Parameter("seed_ptr", "*u32"), Parameter("step_ptr", "*u32")]
        return found

    # ---- launches ------------------------------------------------------------------------------

    def _launch(
        self,
        part: Part,
        text: KernelText,
        grid: tuple[Expression, ...],
        names: Mapping[int, str],
        numbers: Mapping[str, Dim],
        places: tuple[str, ...],
        partials: Sequence[Partial],
        kind: str,
        moved: int,
        flops: int,
        shared: Mapping[str, str] | None = None,
    ) -> None:
        """Append a launch; pointers become buffers of the entry."""
        known: dict[str, str | tuple[str, Expression]] = dict(shared or {})
        known |= {"seed_ptr": "call:seed", "step_ptr": "call:step"}
        known |= {f"{name}_ptr": self._buffer(part, i) for i, name in names.items()}
        for p in partials:
            known[p.pointer] = self._workspace(str(len(self.calls)), p.pointer, p.count * p.columns)
        self._partials = {p.pointer: str(known[p.pointer]) for p in partials}
        for argument, dim in numbers.items():
            found = expression(dim)
            known[argument] = f"size:{found}" if isinstance(found, str) else ("size", found)
        text = self.kernels.add(text, places)
        arguments = tuple(known[p.name] for p in text.parameters)
        pointers = [str(known[p.name]) for p in text.parameters if p.type.startswith("*")]
        stored = set(re.findall(r"tl\.store\(\s*(\w+_ptr)", text.text))
        writes = [str(known[p.name]) for p in text.parameters if p.name in stored]
        reads = [name for name in pointers if name not in writes and ":" not in name]
        self.calls.append(Call(text, grid, arguments, tuple(reads), tuple(writes)))
        self.records.append(
            KernelRecord(
                text.name, f"{self.ports.kind}_{self.ports.subject}", kind, moved, flops, tuple(reads), tuple(writes),
                places, text.spec(),
            )
        )  # fmt: skip

    def _finish(
        self,
        part: Part,
        name: str,
        names: Mapping[int, str],
        partials: Sequence[Partial],
        places: tuple[str, ...],
    ) -> None:
        """Add the partial sums of one kernel, all in one launch."""
        if not partials:
            return
        dims = Names()
        count = dims.extent(partials[0].count, "panels")
        gathers = [Gathered(f"{p.buffer}_partial", p.buffer, p.columns) for p in partials]
        title = f"The last sums of {name}."
        mine = {i: n for i, n in names.items() if n in {p.buffer for p in partials}}
        epilogues, extra = self._riders(part, mine, partials, dims)
        pointers = [Parameter.pointer(n, part.graph[i].dtype) for i, n in extra.items()]
        text = finish_kernel(
            f"finish_{name}",
            gathers,
            count=count,
            title=title,
            places=("@places@",),
            epilogues=epilogues,
            parameters=(*pointers, *dims.parameters()),
        )
        moved = sum(4 * nominal(p.count, self.sizes) * p.columns for p in partials)
        moved += sum(4 * p.columns for p in partials)
        numbers = {n: expression(d) for n, d in dims.dims.items()}
        mine |= extra
        self._launch(
            part, text, text.launch_grid(numbers), mine, dims.dims, places, (), "finish", moved, moved // 4,
            dict(self._partials),
        )  # fmt: skip

    _partials: dict[str, str]

    def _riders(
        self, part: Part, sums: Mapping[int, str], partials: Sequence[Partial], dims: Names
    ) -> tuple[dict[str, list[str]], dict[int, str]]:
        """Groups of numbers that need one of these sums and nothing later: lines by sum, more buffers."""
        lines: dict[str, list[str]] = {}
        names = dict(sums)
        in_column = "in_column" if max(p.columns for p in partials) > 1 else None
        single = {p.buffer for p in partials if p.columns == 1}
        for group in [w for w in part.works if w.heavy is None and w not in part.done]:
            needs = group.reads & sums.keys()
            if len(needs) != 1 or not all(self._ready(part, i) for i in group.reads - needs):
                continue
            buffer = sums[min(needs)]
            lowered = self._lowered(part, group.roots)
            sizes = all_symbols(dims_of(lowered))
            if buffer not in single or not rideable(lowered) or "panels" in sizes:
                continue
            dims.dims |= {name: symbol(name) for name in sizes}
            taken = {*names.values(), TOTAL}
            for i in dict.fromkeys(b.value for b in lowered.buffers):
                if i not in names:
                    names[i] = _free(
                        _last(
                            part.graph[i]["feed"]
                            if part.graph[i].op == "input"
                            else part.graph[i].name
                        ),
                        taken,
                    )
                    taken.add(names[i])
            kernel = prepared(lowered, names, taken=frozenset({TOTAL, "panels"}))
            lines.setdefault(buffer, []).extend(riding_lines(kernel, buffer, in_column))
            part.done.add(group)
        return lines, {i: n for i, n in names.items() if i not in sums}

    def _ready(self, part: Part, i: int) -> bool:
        """Is the value fed, or made by a launch that is written already?"""
        return part.graph[i].op == "input" or any(i in w.writes for w in part.done)

    def _bytes(self, part: Part, work: Work) -> int:
        """Bytes that the launch moves between memory and the chip."""
        return sum(map(part.values.bytes_of, work.reads | work.writes))

    def _places(self, part: Part, nodes: Iterable[int]) -> tuple[str, ...]:
        return tuple(
            dict.fromkeys(_line(part.graph[i]) for i in nodes if part.graph[i].place is not None)
        )

    # ---- buffers -------------------------------------------------------------------------------

    def _buffer(self, part: Part, i: int) -> str:
        """The entry's buffer for a value."""
        if i not in part.names:
            node = part.graph[i]
            name = self._fresh(identifier(node["feed"] if node.op == "input" else node.name))
            part.names[i] = name
            place = str(node.place) if node.place else ""
            self.memory[name] = Memory(
                name, node.dtype, node.shape, self._layout(part, i), part.homes.get(i), place
            )
        return part.names[i]

    def _workspace(self, owner: str, pointer: str, count: Dim) -> str:
        """A buffer for partial sums."""
        name = self._fresh(f"{pointer.removesuffix('_ptr')}")
        self.memory[name] = Memory(name, "f32", (count,), Layout((1,), count), None, "")
        self._last_workspace = {**getattr(self, "_last_workspace", {}), pointer: name}
        return name

    def _fresh(self, base: str) -> str:
        return _free(base, self.memory)

    def write(self) -> Entry:
        """Write every kernel; the entry with its launches and buffers."""
        for part in self.parts:
            for work in part.works:
                if work in part.done:
                    continue
                part.done.add(work)
                if work.heavy is None:
                    self._loops(part, work)
                elif part.graph[work.heavy].op == "contract":
                    self._product(part, work)
                else:
                    self._scatter(part, work)
        offsets, total = self._pack()
        used = dict.fromkeys(name for c in self.calls for name in (*c.reads, *c.writes))
        buffers = tuple(self._placed(self.memory[name], offsets) for name in used)
        launches = tuple(
            Launch(
                c.text.name,
                c.grid,
                c.arguments,
                tuple(c.text.constants.items()),
                c.text.warps,
                c.text.stages,
            )  # type: ignore[arg-type]
            for c in self.calls
        )
        p = self.ports
        workspace: Expression = ("*", 4, expression(total))
        name = f"{p.kind}_{identifier(p.subject)}"
        return Entry(
            p.kind,
            p.subject,
            name,
            p.inputs,
            p.outputs,
            self._size_names(),
            p.scalars,
            workspace,
            buffers,
            launches,
        )

    def _pack(self) -> tuple[Mapping[tuple[str, int], Dim], Dim]:
        first: dict[str, int] = {}
        last: dict[str, int] = {}
        for moment, c in enumerate(self.calls):
            for name in (*c.reads, *c.writes):
                first.setdefault(name, moment)
                last[name] = moment
        forever = (0, len(self.calls))
        requests = [
            Request(
                (name, 0), aligned(m.span), *(forever if self.keep else (first[name], last[name]))
            )
            for name, m in self.memory.items()
            if m.home is None and name in first
        ]
        packing = pack(requests, self.sizes)
        return packing.offsets, packing.total

    def _placed(self, m: Memory, offsets: Mapping[tuple[str, int], Dim]) -> Buffer:
        home = m.home or Home("workspace", 0, offsets[m.name, 0], m.layout)
        shape, strides = (
            tuple(map(expression, m.shape)),
            tuple(map(expression, home.layout.strides)),
        )
        return Buffer(
            m.name,
            m.dtype,
            shape,
            home.space,
            home.slot,
            expression(home.offset * 4),
            strides,
            m.place,
        )

    def _size_names(self) -> tuple[str, ...]:
        """The symbolic sizes of the entry."""
        nodes = [node for part in self.parts for node in part.graph]
        dims = [
            d
            for node in nodes
            for d in (*node.shape, *((node["dim"],) if node.op == "size" else ()))
        ]
        return tuple(sorted({name for d in dims for name in symbols(d)}))


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


def product_flops(p: Product, sizes: Mapping[str, int]) -> int:
    """Two for every multiply-add."""
    total: Dim = 2
    for i in p.loops:
        total = total * i.extent
    return nominal(total, sizes)


def _shape(node: Node) -> str:
    return f"[{', '.join(map(str, node.shape))}]" if node.shape else ""


def _free(base: str, taken: Collection[str]) -> str:
    """`base`, or with a number after it where that is taken."""
    name, count = base, 2
    while name in taken:
        name, count = f"{base}_{count}", count + 1
    return name


def _last(name: str) -> str:
    """The last part of a path: d_mlp.linear_0.weight -> d_weight."""
    head, _, tail = name.rpartition(".")
    return identifier(f"d_{tail}" if head.startswith("d_") else tail)


def _line(node: Node) -> str:
    return f"{node.place}  {node.scope}" if node.scope else str(node.place)


def _wrapped(title: str) -> str:
    """A docstring's first line that fits 100 columns."""
    return title if len(title) <= 92 else f"{title[:88].rsplit(', ', 1)[0]}, ..."
