"""The function of a scan: a block of samples goes through all of time.

Its body is a graph of its own, planned as what one thread does: the kernels and products of one
step, with the block's samples as rows.  States lie in the thread's memory; the parts of sequences
and results that belong to a step lie where they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ....spec.dims import Dim, numel, symbols
from ...ir.body import ROWS, Body, of_samples
from ...ir.graph import Graph, Node
from ...plan.launch import Launch
from ...plan.layout import Layout, padded_symbol, row_major
from ...plan.memory import Home, pack
from ..names import c_expression, local_name, size_name
from .call import place_in
from .in_place import Place, Shared
from .joined import JOINED, PartOf, parts_of, with_joined
from .kept import Kept
from .part import FOREVER, Part
from .printer import STORED

BLOCK = 64  # samples that walk through time together
DEEPEST = 9  # axes of a state
RESERVED = ("samples", "steps", "memory", "most")


@dataclass(frozen=True, slots=True)
class Loop:
    """One scan: its body as a graph, and where the inputs and results of a step lie.

    `operands` and `results` are those of the node, `lies` how each lies in memory outside; `time`
    is the number of steps.  `index` counts the results that somebody reads.  `kept`: products
    that read what is rearranged once; `joined`: values that lie within others; `shared`: results
    that are written where a step reads; `late`: those that would come too early there, and are
    copied at the end of the step; `renewed`: states after the step, by id, that lie where those
    before it did.
    """

    name: str
    graph: Graph
    body: Body
    homes: Mapping[int, Home]
    sizes: Mapping[str, int]
    time: Dim
    reverse: bool
    operands: tuple[tuple[Node, Layout], ...]
    results: tuple[tuple[int, Node, Layout], ...]
    joined: Mapping[int, PartOf]
    shared: tuple[Shared, ...] = ()
    late: frozenset[int] = frozenset()
    renewed: Mapping[int, int] = field(default_factory=dict)
    kept: Mapping[int, Kept] = field(default_factory=dict)

    @property
    def reserved(self) -> set[str]:
        """Names of the function around the body."""
        sides = (("operand", self.operands), ("result", self.results))
        numbered = {f"{side}_{k}" for side, some in sides for k in range(len(some))}
        return {*RESERVED, *numbered, *(f"i{axis}" for axis in range(DEEPEST))}

    # ---- memory ----------------------------------------------------------------------------------

    def divided(self, launches: Sequence[Launch]) -> tuple[list[Launch], list[Launch]]:
        """What is the same in all steps, and what is not, or a result of each."""
        body, results = self.body, frozenset(self.body.results)
        moving = {*body.states, *body.sequences}
        still: list[Launch] = []
        rest: list[Launch] = []
        for launch in launches:
            moves = bool(launch.reads & moving or launch.writes & results)
            moving |= launch.writes if moves else set()
            (rest if moves else still).append(launch)
        return still, rest

    def ends(self) -> dict[int, int]:
        """The states after a step that no one reads outside, and those before it."""
        read = {self.body.results[index] for index, _, _ in self.results} - self.late
        read |= {i for p in self.joined.items() for i in (p[0], p[1].whole)}
        pairs = zip(self.body.next, self.body.states, strict=True)
        return {after: state for after, state in pairs if after not in read}

    def carried_out(self, launches: Sequence[Launch]) -> list[Launch]:
        """Those that do anything: what is joined is there when its parts are."""
        nodes = ((x, x.heavy) for x in launches)
        return [x for x, i in nodes if i is None or self.graph[i].op != JOINED]

    def place(self, part: Part, still: Sequence[Launch]) -> Dim:
        """Place what lies in the thread's memory; the floats of it for the rows of a block."""
        kept = frozenset[int]().union(*(launch.writes for launch in still))
        requests = [
            replace(r, first=0, last=FOREVER) if r.key[1] in kept else r
            for r in part.requests(0, 0)
        ]
        packing = pack(requests, self.sizes)
        part.place(0, packing.offsets)
        return self._states + padded_symbol(packing.total)

    def steady(self, part: Part) -> dict[int, str]:
        """Operands that are the same for all samples and steps, and what they are called."""
        fixed = (i for i in self.body.fixed if not of_samples(self.graph[i].shape))
        return {i: part.names[i] for i in fixed if i in part.names}

    @property
    def _planes(self) -> int:
        """Floats of what is rearranged once."""
        return sum(kept.floats for kept in self.kept.values())

    @property
    def _states(self) -> Dim:
        """Floats of the states, of results that nobody reads, and of what is joined."""
        total: Dim = self._planes
        for i in self._buffers():
            total = total + self._span(i)
        return total

    def _buffers(self) -> list[int]:
        read = {self.body.results[index] for index, _, _ in self.results} - self.late
        wholes = dict.fromkeys(each.whole for each in self.joined.values())
        made = dict.fromkeys((*self.body.next, *wholes, *sorted(self.late)))
        return [*self.body.states, *(i for i in made if i not in read and i not in self.renewed)]

    def _span(self, i: int) -> Dim:
        return padded_symbol(BLOCK * numel(self.graph[i].shape[1:]))

    # ---- text ------------------------------------------------------------------------------------

    def text(
        self, part: Part, floats: Dim, still: Sequence[str], moving: Sequence[str]
    ) -> tuple[str, tuple[str, ...]]:
        """The function, and the sizes that it takes."""
        body, rows = self.body, size_name(ROWS)
        begin, after = self._begin(part), self._go_on(part)
        read = _words([*begin, *still, *moving, *after])
        read |= {part.names[p.whole] for i, p in self.joined.items() if part.names.get(i) in read}
        block = [*self._block(part), f"float *const planes = memory + {c_expression(floats)};"]
        most, keeping = self._most()
        lines = [
            *keeping,
            f"for (long first = 0; first < samples; first += {most}) {{",
            f"    const long {rows} = samples - first < {most} ? samples - first : {most};",
            *_indented(_read(block, read), 1),
            *_indented(begin, 1),
            *_indented(still, 1),
            "    for (long at = 0; at < steps; ++at) {",
            f"        const long t = {'steps - 1 - at' if self.reverse else 'at'};",
            *_indented(_read(self._each(part), read), 2),
            *_indented(moving, 2),
            *_indented(after, 2),
            "    }",
            "}",
        ]
        named = _words(lines) - {rows}
        sizes = tuple(n for n in map(size_name, self._sizes()) if n in named)
        parameters = [f"long {name}" for name in ("samples", "steps", *sizes)]
        for slot, (i, (node, _)) in enumerate(zip(body.inputs, self.operands, strict=True)):
            parameters.append(f"const {STORED[node.dtype]} *{self._outer(part, i, slot)}")
        for k, (_, node, _) in enumerate(self.results):
            parameters.append(f"{STORED[node.dtype]} *result_{k}")
        parameters += ["float *scratch", "float *memory"]
        head = f"WEFT_KERNEL void {self.name}({', '.join(parameters)})"
        return "\n".join([head, "{", *_indented(lines, 1), "}"]), sizes

    def _most(self) -> tuple[str, list[str]]:
        """The samples of a block, and what rearranges the operands that are kept."""
        if not self.kept:
            return str(BLOCK), []
        each = list(self.kept.values())
        how = " || ".join(f"{kept.how} == WEFT_AS_PLANES" for kept in each)
        how = f"{how} ? WEFT_AS_PLANES : WEFT_AS_IT_IS"
        lines = [kept.text() for kept in each]
        return "most", [*lines, f"const long most = weft_rows_of_time(samples, {how});"]

    def _sizes(self) -> list[str]:
        """The symbols that the text may mention."""
        outside = [*self.operands, *((node, layout) for _, node, layout in self.results)]
        found = {n for node, layout in outside for n in self._symbols(node, layout)}
        found |= {n for node in self.graph for dim in node.shape for n in symbols(dim)}
        return sorted(found - {ROWS})

    def _symbols(self, node: Node, layout: Layout) -> set[str]:
        return {n for dim in (*node.shape, *layout.strides) for n in symbols(dim)}

    def _outer(self, part: Part, i: int, slot: int) -> str:
        """The parameter of an operand: the value itself where that is the same for all samples."""
        steady = i in self.body.fixed and not of_samples(self.graph[i].shape)
        return part.names[i] if steady and i in part.names else f"operand_{slot}"

    def _block(self, part: Part) -> list[str]:
        """Where the values of a block of samples lie."""
        lines, body = [], self.body
        for slot, (i, (node, layout)) in enumerate(zip(body.inputs, self.operands, strict=True)):
            if i in body.fixed and of_samples(self.graph[i].shape) and i in part.names:
                kind = STORED[node.dtype]
                shift = _times("first", layout.strides[0])
                lines.append(f"const {kind} *const {part.names[i]} = operand_{slot}{shift};")
        at: Dim = self._planes
        for i in self._buffers():
            if i in part.names:
                kind = STORED[self.graph[i].dtype]
                home = Home("", 0, at, part.homes[i].layout)
                lines.append(f"{kind} *const {part.names[i]} = {place_in('memory', home, kind)};")
            at = at + self._span(i)
        for i, state in self.renewed.items():
            if i in part.names and state in part.names:
                kind = STORED[self.graph[i].dtype]
                lines.append(f"{kind} *const {part.names[i]} = {part.names[state]};")
        for i, name in part.names.items():
            home = part.homes[i]
            if home.space == "workspace":
                kind = STORED[self.graph[i].dtype]
                moved = Home("", 0, home.offset + at, home.layout)
                lines.append(f"{kind} *const {name} = {place_in('memory', moved, kind)};")
        return lines + self._parts(part, lines)

    def _parts(self, part: Part, lines: Sequence[str]) -> list[str]:
        """Where the parts of those joined values lie that some lines declare."""
        declared = _words(line.partition(" = ")[0] for line in lines)
        known = ((part.names.get(i), part.names.get(p.whole), p) for i, p in self.joined.items())
        return [
            f"float *const {name} = {whole}{_times(c_expression(p.start), int(p.start != 0))};"
            for name, whole, p in known
            if name and whole in declared
        ]

    def _each(self, part: Part) -> list[str]:
        """Where the parts of sequences and results of a step lie."""
        lines, body = [], self.body
        for slot, (i, (node, layout)) in enumerate(zip(body.inputs, self.operands, strict=True)):
            if i in body.sequences and i in part.names:
                kind = STORED[node.dtype]
                lines.append(
                    f"const {kind} *const {part.names[i]} = operand_{slot}"
                    f"{_times('first', layout.strides[0])}{_times('t', layout.strides[1])};"
                )
        for k, (index, node, layout) in enumerate(self.results):
            i = body.results[index]
            if i not in self.late:
                kind = STORED[node.dtype]
                lines.append(f"{kind} *const {part.names[i]} = {_at_step(k, layout)};")
        return lines + self._parts(part, lines)

    def _begin(self, part: Part) -> list[str]:
        """The states before the first step."""
        lines, first = [], len(self.body.fixed)
        for j, i in enumerate(self.body.states):
            if i in part.names:
                _, layout = self.operands[first + j]
                source = f"operand_{first + j}{_times('first', layout.strides[0])}"
                lines += copied(self.graph[i], source, layout.strides, part.names[i])
        return lines

    def _go_on(self, part: Part) -> list[str]:
        """Results go where a step has read; the states after it are those before the next."""
        lines = []
        for k, (index, _, layout) in enumerate(self.results):
            i = self.body.results[index]
            if i in self.late:
                target = f"({_at_step(k, layout)})"
                own, strides = (
                    part.homes[i].layout.strides,
                    (layout.strides[0], *layout.strides[2:]),
                )
                lines += copied(self.graph[i], part.names[i], own, target, strides)
        for i, after in zip(self.body.states, self.body.next, strict=True):
            if i in part.names and after not in self.renewed:
                strides = part.homes[after].layout.strides
                lines += copied(self.graph[i], part.names[after], strides, part.names[i])
        return lines


def _at_step(k: int, layout: Layout) -> str:
    """Where a result of a step lies."""
    first, step = layout.strides[:2]
    return f"result_{k}{_times('first', first)}{_times('t', step)}"


def loop_of(
    part: Part, node: Node, writes: Sequence[int], late: frozenset[int] = frozenset()
) -> Loop:
    """What is known of a scan before its body is planned; `writes` are its results in order."""
    graph, body = part.graph, with_joined(node["body"])
    operands = tuple((graph[o], part.layout(o)) for o in node.operands)
    results = tuple((graph[i]["index"], graph[i], part.layout(i)) for i in writes)
    outputs = {f"next_{j}": i for j, i in enumerate(body.next)}
    outputs |= {f"result_{index}": body.results[index] for index, _, _ in results}
    inner = Graph(body.nodes, outputs)
    homes: dict[int, Home] = {}
    for slot, (i, (_, layout)) in enumerate(zip(body.inputs, operands, strict=True)):
        own = layout
        if i in body.states:
            own = row_major(body.nodes[i].shape)
        elif i in body.sequences:
            own = Layout((layout.strides[0], *layout.strides[2:]), layout.span)
        homes[i] = Home("input", slot, 0, own)
    for j, i in enumerate(body.next):
        homes[i] = Home("output", len(results) + j, 0, row_major(body.nodes[i].shape))
    for slot, (index, _, layout) in enumerate(results):
        strides, i = (layout.strides[0], *layout.strides[2:]), body.results[index]
        own = row_major(body.nodes[i].shape) if i in late else Layout(strides, layout.span)
        homes[i] = Home("output", slot, 0, own)
    for whole in (n for n in body.nodes if n.op == JOINED and n.id not in homes):
        homes[whole.id] = Home("output", len(homes), 0, row_major(whole.shape))
    joined = parts_of(body, homes)
    for i, p in joined.items():
        homes[i] = replace(homes[p.whole], offset=homes[p.whole].offset + p.start)
    sizes = {**part.values.sizes, ROWS: BLOCK}
    name = f"scan_{local_name(node.name)}"
    time = graph[node.operands[-1]].shape[1]
    shared = tuple(s for s in _shared(part, node, body, joined, writes) if s.result not in late)
    reverse = node["reverse"]
    lies = operands, results, joined, shared, late
    return Loop(name, inner, body, homes, sizes, time, reverse, *lies)


def _shared(
    part: Part, node: Node, body: Body, joined: Mapping[int, PartOf], writes: Sequence[int]
) -> Iterator[Shared]:
    """What is written where the step reads sequences."""
    walked = node.operands[len(node.operands) - len(body.sequences) :]
    for i in writes:
        place, result = part.place_of(i), body.results[part.graph[i]["index"]]
        for sequence, o in zip(body.sequences, walked, strict=True):
            other = part.place_of(part.values.base(o))
            if place.host != other.host:
                continue
            pieces = {result: 0}
            if body.nodes[result].op == JOINED:
                pieces = {made: p.start for made, p in joined.items() if p.whole == result}
            for made, at in pieces.items():
                wide = body.nodes[made].shape[-1]
                own = Place(place.host, place.start + at, wide)
                if own.meets(other):
                    yield Shared(result, made, sequence, own.start - other.start)


def copied(
    node: Node, source: str, strides: Sequence[Dim], target: str, own: Sequence[Dim] = ()
) -> list[str]:
    """The loops that copy a value of a block of samples, to rows of its own or as `own` says."""
    own = own or row_major(node.shape).strides
    lines, names = [], [f"i{axis}" for axis in range(len(node.shape))]
    for depth, (name, extent) in enumerate(zip(names, node.shape, strict=True)):
        if depth == len(names) - 1:
            lines.append("    " * depth + "#pragma omp simd")
        text = c_expression(extent)
        lines.append("    " * depth + f"for (long {name} = 0; {name} < {text}; ++{name})")
    to, of = (
        "".join(_times(n, s) for n, s in zip(names, some, strict=True)).removeprefix(" + ")
        for some in (own, strides)
    )
    lines.append("    " * len(names) + f"{target}[{to}] = ({source})[{of}];")
    return lines


def _indented(lines: Iterable[str], depth: int) -> list[str]:
    return [f"{'    ' * depth}{line}" for line in lines]


def _words(lines: Iterable[str]) -> set[str]:
    return {word for line in lines for word in re.findall(r"[A-Za-z_]\w*", line)}


def _read(lines: Sequence[str], words: set[str]) -> list[str]:
    """The declarations of what is read."""
    return [line for line in lines if line.partition(" = ")[0].rpartition("const ")[2] in words]


def _times(name: str, stride: Dim) -> str:
    if stride == 0:
        return ""
    text = c_expression(stride)
    if text == "1":
        return f" + {name}"
    return f" + {name} * {text}" if text.replace("_", "").isalnum() else f" + {name} * ({text})"
