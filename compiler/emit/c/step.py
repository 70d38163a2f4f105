"""A graph -> one C function that runs all of it: stages of panels, and barriers between levels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ....spec.dims import Dim, c_expression, numel, symbols
from ....spec.errors import InternalError
from ...artifact import Buffer, Entry, KernelRecord, Port, Scalar
from ...ir.graph import Graph, Node
from ...ops import OPS
from ...plan.fuse import Fusion
from ...plan.layout import LANES, Layout, row_major, value_layout
from ...plan.memory import Home, Request, expression, nominal, pack
from ...plan.product import product_of
from ...plan.schedule import Launch, Level, Stage, heavy_launch, heavy_nodes, levels
from ...plan.values import Values, lowering
from ..loops import Kernel
from ..lower import identifier, lower
from .printer import STORED, Signature, print_kernel
from .stage import PARTS, Call, StageWriter, panel_of

SCRATCH = "WEFT_GEMM_SCRATCH"
ALONE = 20.0  # microseconds of work below which one thread is faster


class Kernels:
    """Printed kernels, each text once: equal layers share theirs."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._known: dict[str, Signature] = {}
        self._names: set[str] = set()

    def add(self, kernel: Kernel, aliased: frozenset[str]) -> Signature:
        """The signature under which a kernel's text is called."""
        text, signature = print_kernel(kernel, aliased)
        body = text[text.index(f"WEFT_KERNEL void {kernel.name}(") :].replace(kernel.name, "", 1)
        if body not in self._known:
            name = self._fresh(kernel.name)
            self.texts.append(text.replace(f"WEFT_KERNEL void {kernel.name}(", f"WEFT_KERNEL void {name}(", 1))
            self._known[body] = Signature(name, signature.sizes, signature.first, signature.buffers)
        return self._known[body]

    def _fresh(self, name: str) -> str:
        found, count = name, 2
        while found in self._names:
            found, count = f"{name}_{count}", count + 1
        self._names.add(found)
        return found


@dataclass
class Part:
    """One graph of an entry and where its inputs and outputs live."""

    graph: Graph
    homes: dict[int, Home]
    values: Values = field(init=False)
    fusion: Fusion = field(init=False)
    levels: list[Level] = field(init=False)
    calls: dict[Launch, Call] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    panels: dict[Stage, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ports:
    """What the host sees of an entry."""

    kind: str
    subject: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    scalars: tuple[Scalar, ...]


class StepWriter:
    """Plans and writes one entry.  `keep`: every value stays readable afterwards (probes)."""

    def __init__(self, ports: Ports, kernels: Kernels, sizes: Mapping[str, int], *, keep: bool = False) -> None:
        self.ports = ports
        self.kernels = kernels
        self.sizes = dict(sizes)
        self.keep = keep
        self.parts: list[Part] = []
        self.records: list[KernelRecord] = []
        self.local = 0
        self._used: set[str] = set(("me", "size", "rows", "first", "chunk", "chunks", "part", "parts"))
        self._used |= {"scratch", "local", "workspace", "team", "call", "threads", "seed", "step"}

    # ---- planning ------------------------------------------------------------------------------

    def add(self, graph: Graph, homes: Mapping[int, Home]) -> Part:
        """Plan one graph; `homes` places its inputs and outputs."""
        part = Part(graph, dict(homes))
        part.values = Values(graph, self.sizes)
        part.fusion = Fusion(part.values)
        launches = [heavy_launch(part.values, node) for node in heavy_nodes(graph)]
        launches += [self._group(part, roots) for roots in part.fusion.groups]
        part.levels = levels(graph, launches)
        self.parts.append(part)
        self._place_local(part)
        return part

    def _layout(self, part: Part, i: int) -> Layout:
        node = part.graph[i]
        if lowering(node) == "alias":
            return row_major(node.shape)
        if i in part.homes:
            return part.homes[i].layout
        return self._default(part, node)

    def _default(self, part: Part, node: Node) -> Layout:
        plain = any(lowering(part.graph[u]) == "alias" for u in part.graph.users(node.id))
        return value_layout(node, native=True, plain=plain)

    def _group(self, part: Part, roots: frozenset[int]) -> Launch:
        kernel = self._lowered(part, roots, "draft")
        along = {b.value: b.along for b in kernel.buffers}
        for b in kernel.buffers:
            if along[b.value] != b.along:
                along[b.value] = None
        summed = frozenset(b.value for b in kernel.buffers if b.role == "gather")
        domain = kernel.rows[0].extent if kernel.rows else 1
        reads = frozenset(part.values.base(i) for i in part.fusion.reads(roots))
        writes = frozenset(part.fusion.written(roots))
        return Launch(None, roots, reads, writes, domain, tuple(sorted(along.items())), summed)

    def _lowered(self, part: Part, roots: frozenset[int], name: str) -> Kernel:
        members, _ = part.values.cone(roots)
        flops = sum(self._flops(part, i) for i in members)
        places = {i: _line(part.graph[i]) for i in members if part.graph[i].place is not None}
        return lower(
            part.values,
            roots,
            part.fusion.written(roots),
            lambda i: self._layout(part, i),
            name,
            places,
            self._moved(part, part.fusion.reads(roots), part.fusion.written(roots)),
            flops,
        )

    def _flops(self, part: Part, i: int) -> int:
        node = part.graph[i]
        each = OPS[node.op].flops
        if lowering(node) == "fold":
            return each * part.values.count(node.operands[0])
        return each * part.values.count(i)

    def _moved(self, part: Part, reads: Iterable[int], writes: Iterable[int]) -> int:
        """Bytes between memory and a kernel: panels that stay in cache are free."""
        touched = {part.values.base(i) for i in reads} | set(writes)
        return sum(
            part.values.bytes_of(i) for i in touched if i not in part.homes or part.homes[i].space != "local"
        )

    def _place_local(self, part: Part) -> None:
        """Values made and used up within one stage live in a panel; the others in the workspace."""
        home_of = {v: (number, stage) for number, level in enumerate(part.levels) for stage in level for v in stage.writes}
        readers: dict[int, set[Stage]] = {}
        for level in part.levels:
            for stage in level:
                for launch in stage.launches:
                    for value in launch.reads:
                        readers.setdefault(value, set()).add(stage)
        aliased = {node.operands[0] for node in part.graph if lowering(node) == "alias"}
        local: dict[Stage, list[int]] = {stage: [] for level in part.levels for stage in level}
        for value, (_, stage) in sorted(home_of.items()):
            if value in part.homes or self.keep or value in stage.summed or value in aliased:
                continue
            if isinstance(stage.domain, int) or readers.get(value, set()) - {stage}:
                continue
            if any(dict(launch.along).get(value, 0) != 0 for launch in stage.launches):
                continue
            if isinstance(numel(part.graph[value].shape[1:]), int):
                local[stage].append(value)
        for stage, values in local.items():
            row = sum(nominal(numel(part.graph[v].shape[1:]), self.sizes) for v in values)
            panel = panel_of(stage.domain, nominal(stage.domain, self.sizes), row, bool(stage.summed))
            part.panels[stage] = panel
            at = 0
            for value in values:
                node = part.graph[value]
                layout = _panel_layout(self._default(part, node), node, panel)
                part.homes[value] = Home("local", 0, at, layout)
                at += _whole_lines(layout.span)
            self.local = max(self.local, at)

    # ---- memory --------------------------------------------------------------------------------

    def _pack(self) -> Dim:
        """Place what is left in the workspace; returns its length in elements."""
        requests: list[Request] = []
        moment = 0
        where: dict[tuple[str, int], tuple[Part, int]] = {}
        for number, part in enumerate(self.parts):
            first: dict[int, int] = {}
            last: dict[int, int] = {}
            for level in part.levels:
                for stage in level:
                    for launch in stage.launches:
                        for value in launch.reads | launch.writes:
                            first.setdefault(value, moment)
                            last[value] = moment
                    for value in stage.summed:
                        key = (f"{number}:parts", value)
                        span = self._home_layout(part, value).span * PARTS
                        requests.append(Request(key, span, moment, moment))
                        where[key] = (part, value)
                moment += 1
            for value in first:
                if value not in part.homes:
                    layout = self._default(part, part.graph[value])
                    begin, end = (0, 1 << 30) if self.keep else (first[value], last[value])
                    key = (f"{number}:value", value)
                    requests.append(Request(key, layout.span, begin, end))
                    where[key] = (part, value)
        packing = pack(requests, self.sizes)
        self.partials: dict[tuple[int, int], Dim] = {}
        for key, (part, value) in where.items():
            if key[0].endswith(":parts"):
                self.partials[id(part), value] = packing.offsets[key]
            else:
                layout = self._default(part, part.graph[value])
                part.homes[value] = Home("workspace", 0, packing.offsets[key], layout)
        return packing.total

    def _home_layout(self, part: Part, value: int) -> Layout:
        return part.homes[value].layout if value in part.homes else self._default(part, part.graph[value])

    # ---- text ----------------------------------------------------------------------------------

    def write(self) -> tuple[str, Entry]:
        """The C function, and its record."""
        total = self._pack()
        symbol_name = f"weft_{self.ports.kind}_{identifier(self.ports.subject)}"
        for part in self.parts:
            self._name_values(part)
        body = [line for part in self.parts for line in self._part(part)]
        thread = c_expression(self.local)
        threads = "1" if self._microseconds() < ALONE else "call->threads"
        names = self._size_names()
        lines = [f"int {symbol_name}(const weft_call *call)", "{"]
        lines += [f"    const long {name} = call->sizes[{k}];" for k, name in enumerate(names)]
        text = "\n".join(body)
        lines += self._pointers(text)
        if "seed" in text:
            lines.append("    const uint32_t seed = call->seed, step = call->step;")
        lines += [
            "    weft_team team = WEFT_TEAM;",
            f"    #pragma omp parallel num_threads({threads})",
            "    {",
            "        const int size = omp_get_num_threads(), me = omp_get_thread_num();",
            f"        float *const scratch = workspace + {_tight(c_expression(total))} + me * ({SCRATCH} + {thread});",
            *(["        float *const local = scratch + WEFT_GEMM_SCRATCH;"] if self.local else []),
            text,
            "    }",
            "    return 0;",
            "}",
        ]
        return "\n".join(lines), self._entry(symbol_name, names, total)

    def _entry(self, name: str, names: Sequence[str], total: Dim) -> Entry:
        from . import GEMM_SCRATCH

        per_thread = 4 * (GEMM_SCRATCH + self.local)
        workspace = ("+", ("*", 4, expression(total)), ("*", per_thread, "threads"))
        buffers = tuple(b for part in self.parts for b in self._buffers(part))
        ports = self.ports
        return Entry(
            ports.kind, ports.subject, name, ports.inputs, ports.outputs, tuple(names), ports.scalars, workspace, buffers
        )

    def _size_names(self) -> list[str]:
        """Symbols in the order in which the host passes them."""
        nodes = [node for part in self.parts for node in part.graph]
        dims = [d for node in nodes for d in (*node.shape, *((node["dim"],) if node.op == "size" else ()))]
        return sorted({name for d in dims for name in symbols(d)})

    def _name_values(self, part: Part) -> None:
        for value in sorted({v for level in part.levels for st in level for x in st.launches for v in x.reads | x.writes}):
            node = part.graph[value]
            base = identifier(node["feed"] if node.op == "input" else node.name)
            found, count = base, 2
            while found in self._used:
                found, count = f"{base}_{count}", count + 1
            self._used.add(found)
            part.names[value] = found

    def _pointers(self, text: str) -> list[str]:
        """A named pointer for every value that the body mentions."""
        lines = ["    float *const workspace = call->workspace;"]
        words = set(_words(text))
        for part in self.parts:
            for value, name in part.names.items():
                home = part.homes[value]
                if name in words and home.space != "local":
                    lines.append(f"    {self._pointer(part.graph[value], home, name)}")
                if (id(part), value) in self.partials and f"{name}_parts" in words:
                    offset = c_expression(self.partials[id(part), value])
                    kind = STORED[part.graph[value].dtype]
                    place = f"workspace + {offset}"
                    place = place if kind == "float" else f"({kind} *)({place})"
                    lines.append(f"    {kind} *const {name}_parts = {place};")
        return lines

    def _pointer(self, node: Node, home: Home, name: str) -> str:
        kind = STORED[node.dtype]
        fixed = "const " if home.space in ("input", "scalar") else ""
        source = {
            "input": f"call->inputs[{home.slot}]",
            "output": f"call->outputs[{home.slot}]",
            "state": f"call->state[{home.slot}]",
            "parameter": "call->parameter",
            "gradient": "call->gradient",
            "scalar": "call->scalars",
            "workspace": "workspace",
        }[home.space]
        if home.offset != 0:
            source += f" + {c_expression(home.offset)}"
        if kind != "float" and home.space not in ("input", "output"):
            source = f"({fixed}{kind} *)({source})"
        return f"{fixed}{kind} *const {name} = {source};  /* [{', '.join(map(str, node.shape))}] */"

    def _part(self, part: Part) -> list[str]:
        lines: list[str] = []
        for number, level in enumerate(part.levels):
            if lines:
                lines.append("        weft_barrier(&team, size);")
            owner = 0
            for stage in level:
                calls = [self._call(part, launch) for launch in stage.launches]
                writer = StageWriter(stage, calls, part.panels[stage], part.homes, part.names, part.values)
                lines += writer.text(2, owner)
                owner += writer.single
            lines += self._finish(part, level)
            del number
        if part is not self.parts[-1] and lines:
            lines.append("        weft_barrier(&team, size);")
        return lines

    def _finish(self, part: Part, level: Level) -> list[str]:
        """Add the partial sums in order."""
        lines: list[str] = []
        number = 0
        for stage in level:
            panel = part.panels[stage]
            if isinstance(stage.domain, int) and stage.domain <= panel:
                continue
            for value in sorted(stage.summed):
                span = c_expression(part.homes[value].layout.span)
                name = part.names[value]
                domain = c_expression(stage.domain)
                parts = f"weft_parts({domain}, {panel}, {PARTS})"
                finish = "weft_finish" if part.graph[value].dtype == "f32" else "weft_finish_int"
                lines.append(f"        if (me == {number} % size) {finish}({parts}, {span}, {name}_parts, {name});")
                number += 1
        return ["        weft_barrier(&team, size);", *lines] if lines else []

    def _call(self, part: Part, launch: Launch) -> Call:
        if launch.heavy is not None:
            node = part.graph[launch.heavy]
            places = (_line(node),) if node.place else ()
            record = self._heavy_record(part, node, places)
            self.records.append(record)
            if node.op != "contract":
                return Call(launch, None, None, places)
            found = product_of(part.graph, node, lambda i: self._layout(part, i), launch.letter)
            return Call(launch, None, found, places)
        main = max(launch.writes or launch.roots, key=lambda i: (part.values.count(i), -i))
        kernel = self._lowered(part, launch.roots, f"compute_{identifier(part.graph[main].name)}")
        signature = self.kernels.add(kernel, self._aliased(part, kernel))
        self.records.append(
            KernelRecord(
                signature.name,
                f"{self.ports.kind}_{self.ports.subject}",
                "loops",
                kernel.bytes,
                kernel.flops,
                tuple(part.names[b.value] for b in kernel.buffers if b.role == "in"),
                tuple(part.names[b.value] for b in kernel.buffers if b.role != "in"),
                kernel.places,
            )
        )
        return Call(launch, (kernel, signature), None, kernel.places)

    def _aliased(self, part: Part, kernel: Kernel) -> frozenset[str]:
        seen: dict[tuple[str, int, Dim], list[str]] = {}
        for b in kernel.buffers:
            home = part.homes[b.value]
            seen.setdefault((home.space, home.slot, home.offset), []).append(b.name)
        return frozenset(name for names in seen.values() if len(names) > 1 for name in names)

    def _heavy_record(self, part: Part, node: Node, places: tuple[str, ...]) -> KernelRecord:
        operands = [part.values.base(o) for o in node.operands]
        moved = sum(part.values.bytes_of(i) for i in (*operands, node.id))
        flops = product_flops(part, node) if node.op == "contract" else part.values.count(node.operands[-1])
        kind = "product" if node.op == "contract" else node.op
        reads = tuple(part.names[i] for i in operands)
        entry = f"{self.ports.kind}_{self.ports.subject}"
        return KernelRecord(kind, entry, kind, moved, flops, reads, (part.names[node.id],), places)

    def _buffers(self, part: Part) -> list[Buffer]:
        found = []
        for level in part.levels:
            for stage in level:
                for launch in stage.launches:
                    for value in sorted(launch.writes):
                        home, node = part.homes[value], part.graph[value]
                        if home.space == "local":
                            continue
                        place = str(node.place) if node.place else ""
                        offset = expression(home.offset * 4)
                        found.append(
                            Buffer(
                                part.names[value], node.dtype, tuple(expression(d) for d in node.shape), home.space,
                                home.slot, offset, tuple(expression(x) for x in home.layout.strides), place,
                            )
                        )  # fmt: skip
        return found

    def _microseconds(self) -> float:
        """A rough estimate on one thread: 200 GFLOP/s in products, 5 GFLOP/s-weighted maps, 40 GB/s."""
        total = 0.0
        for record in self.records:
            rate = 2e5 if record.kind == "product" else 1e4
            total += max(record.flops / rate, record.bytes / 4e4)
        return total


def product_flops(part: Part, node: Node) -> int:
    """Two for every multiply-add."""
    found = product_of(part.graph, node, lambda i: row_major(part.graph[i].shape))
    total: Dim = 2
    for i in found.loops:
        total = total * i.extent
    return nominal(total, part.values.sizes)


def _whole_lines(span: Dim) -> int:
    """A panel's floats in whole cache lines."""
    if not isinstance(span, int):
        raise InternalError(f"a panel of {span} floats")
    return -(-span // LANES) * LANES


def _panel_layout(layout: Layout, node: Node, panel: int) -> Layout:
    """The layout of a panel: `panel` rows instead of all."""
    if isinstance(layout.strides[0], int) and layout.strides[0] == 1 and len(node.shape) == 2 and node.shape[1] != 1:
        return Layout((1, panel), panel * node.shape[1])
    return Layout(layout.strides, layout.strides[0] * panel)


def _line(node: Node) -> str:
    return f"{node.place}  {node.scope}" if node.scope else str(node.place)


def _tight(text: str) -> str:
    return text if text.replace("_", "").isalnum() else f"({text})"


def _words(text: str) -> list[str]:
    import re

    return re.findall(r"[A-Za-z_]\w*", text)


__all__ = ["Kernels", "Ports", "StepWriter"]
