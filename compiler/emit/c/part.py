"""One graph of an entry, planned: its launches, levels, panels, and the homes of its values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import replace

from ....spec.dims import Dim, numel
from ....spec.errors import InternalError
from ...ir.graph import Graph, Node
from ...plan.attention import domain as launch_domain
from ...plan.forms import Plans
from ...plan.launch import BATCHED, EVERY, LARGE, PANELS, SPLIT, Launch, Level, Stage
from ...plan.layout import LANES, Layout
from ...plan.memory import Home, Request, nominal, pack
from ...plan.panels import PanelFusion, batch_panel, literal_panel
from ...plan.product import product_of
from ...plan.schedule import PARTS, arrange, in_order, levels, work
from ...plan.strips import Strip, strips
from ...plan.values import lowering
from ...plan.windows import CONVOLUTIONS, WEIGHTS, kept_floats
from .attention_sums import QUERIES
from .batched import planes
from .call import Share, Walk
from .in_place import Place, Places
from .launches import Launches

STRIPES = 64  # rows or columns of a large product that are worth rearranging the other operand
MANY_ROWS = 256  # of a product, whose chunks are whole tiles
TILE = 4  # rows of a product that fill some register tile
TILE_ROWS = 16  # that are worth reading large weights for
SUMMED_PIXELS = 512  # of windows that are worth adding to the gradient of their weights
SEQUENCE_ROWS = 256  # that are worth rearranging large weights for, where a sample has many
FOREVER = 1 << 30  # a moment after the last


class Part(Launches):
    """Plans one graph: the order of its launches, and where all its values lie.

    `alone`: one thread does all of it, one launch after the other; `spare` are the offsets of
    values that every thread makes, in the thread's own memory.  Units: `local` and `own` in
    elements.
    """

    def __init__(
        self,
        graph: Graph,
        homes: Mapping[int, Home],
        sizes: Mapping[str, int],
        *,
        keep: bool,
        fusion: PanelFusion | None = None,
        plans: Plans | None = None,
        alone: bool = False,
    ) -> None:
        super().__init__(graph, homes, sizes, keep=keep, fusion=fusion, plans=plans, alone=alone)
        launches = self.launches()
        fixed = frozenset(i for i, h in self.homes.items() if h.space in ("parameter", "state"))
        fixed |= frozenset(self.added.values())
        arranged = in_order(launches) if alone else arrange(self.values, launches, fixed)
        self.levels: list[Level] = levels(arranged)
        self.readers: dict[int, set[Stage]] = {}
        for stage in self._stages():
            for value in frozenset().union(*(launch.reads for launch in stage.launches)):
                self.readers.setdefault(value, set()).add(stage)
        self.host: dict[int, int] = {}  # in whose memory a value lies
        self.starts: dict[int, int] = {}  # where in it, if not in front
        if not keep:
            self._share()
        self.overlapping: set[int] = set()  # values of a step that share memory with others
        self.names: dict[int, str] = {}
        self.spare: dict[int, int] = {}
        self.panels: dict[Stage, int] = {}
        self.strips: dict[Stage, list[Strip]] = {}
        self.shares = {s: x for level in self.levels for s, x in self._shares(level).items()}
        self.walks: dict[int, Walk] = {}
        self.parts: dict[int, Dim] = {}
        self.own = self._place_own()
        self.local = max((self._place_local(stage) for stage in self._stages()), default=0)
        spans = [planes(graph, node, sizes) for node in self.heavy if node.op in BATCHED]
        spans += [self.attended(launch, "draft").planes for launch in self.values.attention]
        self.planes = largest(spans, sizes)
        self.kept = max((sum(self.keeps(stage).values()) for stage in self._stages()), default=0)
        self.planned = dict(self.homes)

    def again(self) -> Part:
        """The same plan for another entry that has its inputs and outputs in the same places."""
        part = copy(self)
        part.homes, part.names, part.parts = dict(self.planned), {}, {}
        return part

    def _stages(self) -> Iterable[Stage]:
        return (stage for level in self.levels for stage in level)

    # ---- values in the place of others ---------------------------------------------------------

    def _share(self) -> None:
        """Results of scans lie where the scan reads, if they can."""
        taken = {*self.homes, *(node.id for node in self.graph if self._shared(node.id))}
        for value, place in Places(self, self.levels).all(taken).items():
            self.host[value], self.starts[value] = place.host, place.start
            self._defaults[value] = self.layout(place.host)

    def _shared(self, value: int) -> bool:
        """Is it an output, or has it another shape too?"""
        users = (self.graph[u] for u in self.graph.users(value))
        return value in self.values.outputs or any(lowering(u) == "alias" for u in users)

    def _tenants(self, value: int) -> list[int]:
        """All values that lie where one does."""
        host = self.host.get(value, value)
        return [host, *(v for v, h in self.host.items() if h == host)]

    def place_of(self, value: int) -> Place:
        """Where a value [.., n] lies in the memory of another, or its own."""
        wide = self.graph[value].shape[-1:]
        width = wide[0] if wide and isinstance(wide[0], int) else 1
        return Place(self.host.get(value, value), self.starts.get(value, 0), width)

    def _settle(self, value: int, home: Home) -> None:
        """A value, and all that lie in its memory, have found their place."""
        for each in self._tenants(value):
            self.homes[each] = replace(home, offset=home.offset + self.starts.get(each, 0))

    # ---- homes ---------------------------------------------------------------------------------

    def _place_own(self) -> int:
        """What every thread computes for itself lies in memory of its own."""
        at = 0
        for stage in self._stages():
            if stage.mode != EVERY:
                continue
            for value in sorted(stage.writes):
                layout = self.layout(value)
                if value not in self.homes and not self.keep:
                    self.homes[value] = Home("own", 0, at, layout)
                else:
                    self.spare[value] = at
                at += whole_lines(layout.span)
        return at

    def _place_local(self, stage: Stage) -> int:
        """Values made and used up within one stage live in a panel; returns its floats."""
        local = [
            v
            for v in sorted(stage.writes)
            if all(self._is_local(tenant, stage) for tenant in self._tenants(v))
        ]
        row = sum(nominal(numel(self.graph[v].shape[1:]), self.values.sizes) for v in local)
        if stage.mode != PANELS:
            panel = 1
        elif isinstance(stage.domain, int):
            panel = self._literal_panel(stage.domain, stage.launches[0], self.shares[stage].total)
        else:
            panel = self._batch_panel(stage, row)
        self.panels[stage] = panel
        if stage.mode == PANELS and not isinstance(stage.domain, int) and not self.keep:
            self.strips[stage] = strips(stage.launches, self.even)
        for value in stage.summed:
            self.walks[value] = Walk(stage.domain, panel, self.layout(value).span)
        return self._pack_local(stage, local, panel)

    def _pack_local(self, stage: Stage, local: Iterable[int], panel: int) -> int:
        """Blocks of a panel, shared by values that are not needed at the same time: what outlives
        a strip lives as long as all that its launches make.
        """
        life: dict[int, tuple[int, int]] = {}
        found = self.strips.get(stage, ())
        moments = {launch: now for now, launch in enumerate(stage.launches)}
        runs = {launch: strip for strip in found for launch in strip.launches}
        for launch, now in moments.items():
            strip = runs.get(launch)
            for value in (self.host.get(v, v) for v in launch.reads | launch.writes):
                begin = end = now
                if strip is not None and value not in strip.own:
                    begin, end = moments[strip.launches[0]], moments[strip.launches[-1]]
                known = life.get(value, (begin, end))
                life[value] = min(begin, known[0]), max(end, known[1])
        nodes = {value: self.graph[value] for value in local if value not in self.host}
        layouts = {v: _panel_layout(self._default(n), n, panel) for v, n in nodes.items()}
        for strip in found:
            own = {v: step * strip.rows for v, step in strip.own.items() if v in layouts}
            layouts |= {v: Layout(layouts[v].strides, span) for v, span in own.items()}
        requests = [Request(("", v), whole_lines(x.span), *life[v]) for v, x in layouts.items()]
        packing = pack(requests, self.values.sizes)
        for value, layout in layouts.items():
            home = Home("local", 0, packing.offsets["", value], layout)
            self._settle(value, home)
        return whole_lines(packing.total)

    def _batch_panel(self, stage: Stage, row: int) -> int:
        """Samples of a panel; `row` floats of each live in it."""
        sizes, graph = self.values.sizes, self.graph
        made = [v for v in stage.writes - stage.summed - stage.crossed if graph[v].shape]
        each = sum(nominal(numel(graph[v].shape[1:]), sizes) for v in made)
        least = max(map(self._least_rows, stage.launches), default=1)
        return batch_panel(nominal(stage.domain, sizes), row, PARTS, each, least)

    def _least_rows(self, launch: Launch) -> int:
        """Samples that are worth reading the weights of a product or a scan for."""
        if launch.heavy is None:
            return 1
        node, sizes = self.graph[launch.heavy], self.values.sizes
        if node.op == "scan":
            return TILE_ROWS
        if node.op in WEIGHTS:
            windows = nominal(numel(self.graph[node.operands[1]].shape[1:-1]), sizes)
            return max(1, min(TILE_ROWS, SUMMED_PIXELS // max(windows, 1)))
        literal = (o for o in node.operands if isinstance(numel(self.graph[o].shape), int))
        if node.op != "contract" or all(self.values.count(o) < LARGE for o in literal):
            return 1
        each = nominal(numel(node.shape[1:-1]), sizes)  # rows of one sample
        return TILE_ROWS if each == 1 else -(-SEQUENCE_ROWS // each)

    def _shares(self, level: Level) -> dict[Stage, Share]:
        """What threads share of a level: its domains of known size, one after the other."""
        found: dict[Stage, Share] = {}
        walked = [s for s in level if s.mode == PANELS and isinstance(s.domain, int)]
        works = [max(1, sum(work(self.values, x) for x in stage.launches)) for stage in walked]
        for position, stage in enumerate(walked):
            found[stage] = Share(sum(works[:position]), works[position], sum(works))
        return found

    def _literal_panel(self, domain: int, launch: Launch, together: int) -> int:
        """Rows of a chunk: whole strips of columns where a product walks those of its result."""
        heavy, size = launch.heavy, work(self.values, launch)
        if launch.attention is not None:
            of_queries = launch_domain(self.graph, launch.attention) == launch.attention.owned
            return literal_panel(domain, size, QUERIES if of_queries else 1)
        if heavy is None or self.graph[heavy].op in BATCHED:
            return literal_panel(domain, size, LANES if heavy is None else 1)
        if launch.summed:
            return -(-domain // SPLIT)
        found = product_of(self.graph, self.graph[heavy], self.layout, launch.letter)
        columns = found.n.letter.startswith(launch.letter)
        grain = 2 * LANES if columns or domain >= MANY_ROWS else TILE
        if min(domain, nominal(found.k.extent, self.values.sizes)) >= 2 * STRIPES:
            grain = STRIPES
        return literal_panel(domain, size, grain, together)

    def _is_local(self, value: int, stage: Stage) -> bool:
        if stage.mode != PANELS or isinstance(stage.domain, int):
            return False
        if value in self.homes or self.keep or value in stage.summed:
            return False
        if not self._keeps_rows(value):
            return False
        if self.readers.get(value, set()) - {stage}:
            return False
        if value in stage.crossed:
            return False
        return isinstance(numel(self.graph[value].shape[1:]), int)

    def _keeps_rows(self, value: int) -> bool:
        """Do all values that share its memory have its rows?"""
        found = [self.graph[u] for u in self.graph.users(value)]
        aliases = [node for node in found if lowering(node) == "alias"]
        rows = self.graph[value].shape[:1]
        return all(node.shape[:1] == rows and self._keeps_rows(node.id) for node in aliases)

    def keeps(self, stage: Stage) -> dict[int, int]:
        """Convolutions of a stage whose weights are rearranged once, and the floats for them."""
        nodes = [self.graph[x.heavy] for x in stage.launches if x.heavy is not None]
        found = {
            node.id: kept_floats(self.graph, node) for node in nodes if node.op in CONVOLUTIONS
        }
        return {i: floats for i, floats in found.items() if floats}

    # ---- memory --------------------------------------------------------------------------------

    def requests(self, number: int, moment: int) -> list[Request]:
        """Blocks of the workspace that this part needs, its levels counted from `moment`."""
        found: list[Request] = []
        first: dict[int, int] = {}
        last: dict[int, int] = {}
        summed: dict[int, int] = {}
        for now, level in enumerate(self.levels, moment):
            for launch in (x for stage in level for x in stage.launches):
                for value in (self.host.get(v, v) for v in launch.reads | launch.writes):
                    first.setdefault(value, now)
                    last[value] = now
                if launch.mode == PANELS:
                    summed |= dict.fromkeys(launch.summed, now)
                if launch.finishes is not None:
                    value = launch.finishes
                    span = self.walks[value].stride * self.walks[value].most
                    found.append(Request((f"{number}:parts", value), span, summed[value], now))
        for value in (v for v in first if v not in self.homes):
            begin, end = (0, FOREVER) if self.keep else (first[value], last[value])
            key = (f"{number}:value", value)
            found.append(Request(key, self.layout(value).span, begin, end))
        return found

    def place(self, number: int, offsets: Mapping[tuple[str, int], Dim]) -> None:
        """Take the blocks that were found for the requests."""
        self.parts = {
            v: offset for (kind, v), offset in offsets.items() if kind == f"{number}:parts"
        }
        for (kind, value), offset in offsets.items():
            if kind == f"{number}:value":
                self._settle(value, Home("workspace", 0, offset, self.layout(value)))


def largest(spans: Iterable[Dim], sizes: Mapping[str, int]) -> Dim:
    """Room for each of some blocks: the largest number, or the sum of all that depend on sizes."""
    known, symbolic = 0, []
    for span in spans:
        if isinstance(span, int):
            known = max(known, span)
        elif span not in symbolic:
            symbolic.append(span)
    total: Dim = -(-known // LANES) * LANES
    for span in symbolic:
        total = total + span
    return total


def whole_lines(span: Dim) -> int:
    """Floats in whole cache lines."""
    if not isinstance(span, int):
        raise InternalError(f"a block of {span} floats in a thread's own memory")
    return -(-span // LANES) * LANES


def _panel_layout(layout: Layout, node: Node, panel: int) -> Layout:
    """The layout of a panel: `panel` rows instead of all."""
    if layout.strides[0] == 1 and len(node.shape) == 2 and node.shape[1] != 1:
        return Layout((1, panel), panel * node.shape[1])
    return Layout(layout.strides, layout.strides[0] * panel)
