"""A graph -> one C function that runs all of it: stages of panels, and barriers between levels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ....spec.dims import Dim, substitute, symbols
from ...artifact import THREADS, Entry, KernelRecord
from ...ir.body import ROWS
from ...ir.graph import Graph, Node
from ...ops import OPS
from ...plan.forms import Plans
from ...plan.launch import ONCE, Launch, Stage
from ...plan.layout import padded_symbol
from ...plan.memory import Home, expression, nominal, pack
from ...plan.product import product_of
from ...plan.schedule import multiplications
from ...plan.windows import CONVOLUTIONS, WEIGHTS, WINDOWED
from ..loops import Kernel
from ..names import c_expression, identifier, local_name, size_name
from ..ports import Ports
from .beside import Beside
from .beside import text as beside_text
from .call import ADDING, WAITING, Call
from .kept import Kept, kept_products
from .kernels import Kernels
from .launches import line
from .part import Part, largest
from .pointers import buffers_of, own_pointers, pointers
from .printer import Signature
from .scalars import LEARNING_RATE, UPDATE
from .scan import BLOCK
from .stage import StageWriter
from .stage_calls import LOOP
from .walk import walk_of
from .windowed import record as windows_record

ALONE = 20.0  # microseconds of work below which one thread is faster
BARRIER = ("        weft_barrier(&team, size);", f"        WEFT_LAP({WAITING});")
TAKEN = (
    "me planes kept size rows begin end rest tiled joined first sample strip positions chunk "
    "chunks part parts scratch local own workspace team call "
    f"threads seed step laps lap_began lap_ended {LEARNING_RATE} {UPDATE}"
)


class StepWriter:
    """Plans and writes one entry.  `keep`: every value stays readable afterwards (probes)."""

    def __init__(
        self,
        ports: Ports,
        kernels: Kernels,
        sizes: Mapping[str, int],
        *,
        keep: bool = False,
        plans: Plans | None = None,
    ) -> None:
        self.ports = ports
        self.kernels = kernels
        self.sizes = dict(sizes)
        self.keep = keep
        self.plans = plans or Plans()
        self.parts: list[Part] = []
        self.records: list[KernelRecord] = []
        self._used = set(TAKEN.split())
        self._loops: list[Dim] = []  # floats that the loops of scans need of each thread

    def add(self, graph: Graph, homes: Mapping[int, Home], known: Part | None = None) -> Part:
        """Plan one graph; `homes` places its inputs and outputs.

        `known`: the part that the same graph is in another entry.
        """
        if known is not None and known.given == homes and known.keep == self.keep:
            part = known.again()
        else:
            shared = known is not None and not (self.keep and known.values.attention)
            fusion = known.fusion if known is not None and shared else None
            part = Part(graph, homes, self.sizes, keep=self.keep, fusion=fusion, plans=self.plans)
        self.parts.append(part)
        return part

    # ---- memory --------------------------------------------------------------------------------

    def _pack(self) -> Dim:
        """Place what lives in the workspace; returns its length in elements."""
        requests = []
        moment = 0
        for number, part in enumerate(self.parts):
            requests += part.requests(number, moment)
            moment += len(part.levels)
        packing = pack(requests, self.sizes)
        for number, part in enumerate(self.parts):
            part.place(number, packing.offsets)
        return packing.total

    @property
    def _own(self) -> int:
        return sum(part.own for part in self.parts)

    @property
    def _private(self) -> int:
        """Floats of each thread beside the scratch of the products."""
        return self._own + self._local + self._kept

    @property
    def _local(self) -> int:
        """Floats of the values of a panel."""
        return max((part.local for part in self.parts), default=0)

    @property
    def _kept(self) -> int:
        """Floats of weights that a thread rearranges once for a stage."""
        return max((part.kept for part in self.parts), default=0)

    @property
    def _planes(self) -> Dim:
        """Floats of each thread for the padded rows of convolutions: whole cache lines."""
        span = largest((*(part.planes for part in self.parts), *self._loops), self.sizes)
        return span if isinstance(span, int) else padded_symbol(span)

    # ---- text ----------------------------------------------------------------------------------

    def write(self) -> tuple[str, Entry]:
        """The C function, and its record."""
        total = self._pack()
        name = f"weft_{self.ports.kind}_{identifier(self.ports.subject)}"
        for part in self.parts:
            self._name_values(part)
        body = "\n".join(text for part in self.parts for text in self._part(part))
        names = self._size_names()
        lines = ["WEFT_ENTRY", f"int {name}(const weft_call *call)", "{"]
        sizes = enumerate(map(size_name, names))
        lines += [f"    const long {size} = call->sizes[{k}];" for k, size in sizes]
        lines += pointers(self.parts, body, self.ports.scalars)
        if "seed" in body:
            lines.append("    const uint32_t seed = call->seed, step = call->step;")
        lines += self._region(total)
        lines += [body, "    }", "    return 0;", "}"]
        return "\n".join(lines), self._entry(name, names, total)

    def _region(self, total: Dim) -> list[str]:
        """The start of the parallel region: who am I, and where is my memory?"""
        threads = "1" if self._microseconds() < ALONE else "call->threads"
        private = c_expression(self._private + self._planes)
        start, each = _tight(c_expression(total)), f"(WEFT_GEMM_SCRATCH + {private})"
        lines = [
            "    weft_team team = WEFT_TEAM;",
            f"    #pragma omp parallel num_threads({threads})",
            "    {",
            "        const int size = omp_get_num_threads(), me = omp_get_thread_num();",
            f"        float *const scratch = workspace + {start} + me * {each};",
        ]
        if self._own:
            lines.append("        float *const own = scratch + WEFT_GEMM_SCRATCH;")
        before = f" + {self._own}" if self._own else ""
        if self._local:
            lines.append(f"        float *const local = scratch + WEFT_GEMM_SCRATCH{before};")
        if self._kept:
            at = f"WEFT_GEMM_SCRATCH + {self._own + self._local}"
            lines.append(
                f"        float *const kept_planes = scratch + {at};  /* weights in planes */"
            )
        if self._planes != 0:
            at = f"WEFT_GEMM_SCRATCH + {self._private}"
            lines.append(f"        float *const planes = scratch + {at};  /* padded rows */")
        lines += [f"        {text}" for text in own_pointers(self.parts)]
        return [*lines, "        WEFT_CLOCK(me);"]

    def _size_names(self) -> list[str]:
        """Symbols in the order in which the host passes them."""
        nodes = [node for part in self.parts for node in part.graph]
        dims = {d for n in nodes for d in (*n.shape, *((n["dim"],) if n.op == "size" else ()))}
        return sorted({name for d in dims for name in symbols(d)})

    def _name_values(self, part: Part) -> None:
        launches = [x for level in part.levels for stage in level for x in stage.launches]
        for value in sorted({v for launch in launches for v in launch.reads | launch.writes}):
            node = part.graph[value]
            base = identifier(node["feed"] if node.op == "input" else node.name)
            base = f"value_{base}" if base.startswith(LOOP) else base
            found, count = base, 2
            while found in self._used:
                found, count = f"{base}_{count}", count + 1
            self._used.add(found)
            part.names[value] = found

    def _part(self, part: Part) -> list[str]:
        lines: list[str] = []
        for level in part.levels:
            if lines:
                lines += BARRIER
            for stage in level:
                strips = {x: strip for strip in part.strips.get(stage, ()) for x in strip.launches}
                calls = [self._call(part, x, in_strip=x in strips) for x in stage.launches]
                writer = StageWriter(
                    stage,
                    calls,
                    part.panels[stage],
                    part.homes,
                    part.names,
                    part.values,
                    part.walks,
                    part.keeps(stage),
                    part.shares.get(stage),
                    strips,
                )
                lines += writer.text(2)
        if part is not self.parts[-1] and lines:
            lines += BARRIER
        return lines

    # ---- calls and records ---------------------------------------------------------------------

    def _call(self, part: Part, launch: Launch, *, in_strip: bool = False) -> Call:
        if launch.finishes is not None:
            return Call(launch, None, None, (), lap=ADDING)
        if launch.heavy is not None:
            return self._heavy(part, launch, part.graph[launch.heavy])
        if launch.attention is not None:
            main = max(launch.writes, key=lambda i: (part.values.count(i), -i))
            found = part.attended(launch.attention, f"attend_{local_name(part.graph[main].name)}")
            signature = self.kernels.add_text(found.kernel, found.text, found.signature)
            return self._recorded(part, launch, found.kernel, signature, "attention")
        main = max(launch.writes or launch.roots, key=lambda i: (part.values.count(i), -i))
        name = f"compute_{local_name(part.graph[main].name)}"
        kernel = part.lowered(launch.roots, name)
        kernel = part.over_positions(kernel) if in_strip else kernel
        signature = self.kernels.add(kernel, _aliased(part, kernel))
        return self._recorded(part, launch, kernel, signature, "loops")

    def _recorded(
        self, part: Part, launch: Launch, kernel: Kernel, signature: Signature, kind: str
    ) -> Call:
        """The call of a kernel, which is taken down."""
        self.records.append(
            KernelRecord(
                signature.name,
                f"{self.ports.kind}_{self.ports.subject}",
                kind,
                kernel.bytes,
                kernel.flops,
                tuple(part.names[b.value] for b in kernel.buffers if b.role == "in"),
                tuple(part.names[b.value] for b in kernel.buffers if b.role != "in"),
                kernel.places,
            )
        )
        return Call(launch, (kernel, signature), None, kernel.places, lap=self._lap)

    @property
    def _lap(self) -> int:
        """The number of the region that was taken down last."""
        return ADDING + len(self.records)

    def _heavy(self, part: Part, launch: Launch, node: Node) -> Call:
        places = (line(node),) if node.place else ()
        operands = [part.values.base(o) for o in node.operands]
        moved = sum(part.values.bytes_of(i) for i in (*operands, node.id))
        product = node.op == "contract"
        flops = _work(part, node)
        kind = "product" if product else node.op
        reads = tuple(part.names[i] for i in operands)
        entry = f"{self.ports.kind}_{self.ports.subject}"
        result, row = part.begun.get(node.id, (part.added.get(node.id, node.id), None))
        made = (part.names[result],)
        self.records.append(KernelRecord(kind, entry, kind, moved, flops, reads, made, places))
        found = product_of(part.graph, node, part.layout, launch.letter) if product else None
        if found is not None and result != node.id:
            found = replace(found, c=result)
        record = ""
        if node.op in WINDOWED:
            record = windows_record(part.graph, node, part.layout, self.sizes)
        if node.op == "scan":
            loop, lap = self._loop(part, launch, node), self._lap
            return Call(launch, None, None, places, loop=loop, lap=lap)
        added = node.id in part.added
        return Call(launch, None, found, places, record, added=added, row=row, lap=self._lap)

    def _loop(self, part: Part, launch: Launch, node: Node) -> tuple[str, tuple[str, ...]]:
        """The function of a scan, whose body is planned as a part of its own."""
        writes = [node.id, *sorted(launch.writes - {node.id})]
        walk = walk_of(part, node, writes, self.plans)
        loop, body, maps = walk.loop, walk.body, walk.maps
        inner = StepWriter(self.ports, self.kernels, loop.sizes, plans=self.plans)
        inner.parts.append(body)
        inner._used |= loop.reserved
        inner._name_values(body)
        parts = {i: found.parts for i, found in maps.items()}
        loop = replace(loop, kept=kept_products(body, walk.moving, loop.steady(body), parts))
        floats = loop.place(body, walk.still)
        at_once = {i: inner._beside(body, maps[i], x) for i, x in loop.kept.items() if x.parts > 1}
        texts = [inner._whole(body, some, loop.kept, at_once) for some in (walk.still, walk.moving)]
        text, sizes = loop.text(body, floats, *texts)
        self._loops.append(substitute(floats, {ROWS: BLOCK}) + inner._planes)
        name = self.kernels.add_function(loop.name, text)
        return name, (c_expression(loop.time), *sizes)

    def _beside(self, part: Part, found: Beside, kept: Kept) -> str:
        """The call that makes a product and the map behind it at once; was it done?"""
        name = self.kernels.add_family(f"{found.name}_beside", beside_text(found, kept))
        a = part.names[part.values.base(found.product.a)]
        row = c_expression(found.product.m.a)
        given = [part.names[b.value] for b in found.buffers]
        arguments = ", ".join(["rows_size", a, row, kept.place, *found.sizes, *given])
        return f"{kept.how} == WEFT_AS_PLANES && {name}({arguments})"

    def _whole(
        self,
        part: Part,
        launches: Sequence[Launch],
        kept: Mapping[int, Kept],
        beside: Mapping[int, str],
    ) -> list[str]:
        """What one thread does of a part."""
        stage = Stage(ONCE, 1, tuple(launches))
        calls = [_without_paths(self._call(part, launch)) for launch in launches]
        own = part.homes, part.names, part.values
        writer = StageWriter(stage, calls, 1, *own, {}, {}, kept=kept, beside=beside)
        return writer.alone()

    def _entry(self, name: str, names: Sequence[str], total: Dim) -> Entry:
        from . import GEMM_SCRATCH

        ports, per_thread = self.ports, 4 * (GEMM_SCRATCH + self._private + self._planes)
        workspace = ("+", ("*", 4, expression(total)), ("*", expression(per_thread), THREADS))
        buffers = tuple(b for part in self.parts for b in buffers_of(part))
        shown = ports.inputs, ports.outputs, tuple(names), ports.scalars
        return Entry(ports.kind, ports.subject, name, *shown, workspace, buffers)

    def _microseconds(self) -> float:
        """A rough estimate on one thread: 200 GFLOP/s in products, 10 in maps, 40 GB/s."""
        total = 0.0
        for each in self.records:
            fast = ("product", "attention", *CONVOLUTIONS, *WEIGHTS, "scan")
            rate = 2e5 if each.kind in fast else 1e4
            total += max(each.flops / rate, each.bytes / 4e4)
        return total


def _work(part: Part, node: Node) -> int:
    """Floating-point operations of a heavy node, at the nominal sizes."""
    if node.op == "contract":
        return 2 * multiplications(part.values, node.id)
    found = OPS[node.op].work
    if found is None:
        return part.values.count(part.values.base(node.operands[-1]))
    types = tuple(part.graph[o].type for o in node.operands)
    return nominal(found(types, node.type, dict(node.attributes)), part.values.sizes)


def _aliased(part: Part, kernel: Kernel) -> frozenset[str]:
    """Buffers that share memory: updated in place."""
    seen: dict[tuple[object, ...], list[str]] = {}
    for b in kernel.buffers:
        home = part.homes[b.value]
        place = home.space, home.slot, home.offset
        seen.setdefault(("shared",) if b.value in part.overlapping else place, []).append(b.name)
    return frozenset(name for names in seen.values() if len(names) > 1 for name in names)


def _without_paths(call: Call) -> Call:
    """The call with the lines it comes from, which equal layers share, within one lap."""
    return replace(call, places=tuple(place.partition("  ")[0] for place in call.places), lap=None)


def _tight(text: str) -> str:
    return text if text.replace("_", "").isalnum() else f"({text})"
