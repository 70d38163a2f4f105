"""One graph of an entry: what is launched for it, the kernel of each launch, how values lie."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from ....spec.dims import Dim
from ...ir.graph import Graph, Node
from ...ops.products import letters
from ...plan.attention import Attention, attentions
from ...plan.forms import Plans
from ...plan.launch import Launch, heavy_launch, heavy_nodes
from ...plan.layout import Layout, is_weight, row_major, value_layout, weight_layout
from ...plan.memory import Home
from ...plan.panels import PanelFusion
from ...plan.product import product_of
from ...plan.schedule import multiplications
from ...plan.strips import Even
from ...plan.values import Values, lowering
from ...plan.windows import WEIGHTS
from ..loops import Kernel
from ..lower import lower, of_values
from .attention import Attended, attended
from .begun import begun
from .call import walked
from .strips import even_kernel, even_product, over_positions


class Launches:
    """The launches of one graph, before they are put in order.

    `homes` places inputs and outputs, and more values as they are decided on.  `keep`: every value
    stays readable afterwards (probes).  `fusion`: that of another part of the same graph; `plans`:
    what other parts found; `alone`: one thread does all of it.  `added`: products and scattered
    rows that are only added to what lies in the place of a sum, and the sums; `begun`: products
    that begin with a row, the sums that they make, and the rows.
    """

    def __init__(
        self,
        graph: Graph,
        homes: Mapping[int, Home],
        sizes: Mapping[str, int],
        *,
        keep: bool,
        fusion: PanelFusion | None,
        plans: Plans | None,
        alone: bool = False,
    ) -> None:
        self.graph = graph
        self.given = dict(homes)
        self.homes = dict(homes)
        self._defaults: dict[int, Layout] = {}
        self.keep = keep
        self.fusion = fusion or PanelFusion(planned_values(graph, sizes, plans, keep=keep))
        self.values = self.fusion.values
        self.heavy = [node for node in heavy_nodes(graph) if self.values.is_heavy(node)]
        self.added = self._added()
        self.begun = {} if keep or alone else begun(self)

    def launches(self) -> list[Launch]:
        """All launches, in no order."""
        made = {*self.added.values(), *(total for total, _ in self.begun.values())}
        groups = [roots for roots in self.fusion.groups if not roots & made]
        found = [self._heavy(node) for node in self.heavy]
        found += [self._attention(launch) for launch in self.values.attention]
        return found + [self._group(roots) for roots in groups]

    # ---- layouts -------------------------------------------------------------------------------

    def layout(self, i: int) -> Layout:
        """How a value lies in memory."""
        if lowering(self.graph[i]) == "alias":
            return row_major(self.graph[i].shape)
        if self.values.is_view(i):
            node = self.graph[i]
            inner = self.layout(node.operands[0])
            order = node["order"] if node.op == "transpose" else range(len(node.shape))
            return Layout(tuple(inner.strides[k] for k in order), inner.span)
        return self.homes[i].layout if i in self.homes else self._default(self.graph[i])

    def lay_like(self, i: int, other: int) -> None:
        """A value that takes the place of another one lies as that would."""
        self._defaults[i] = self.layout(other)

    def _default(self, node: Node) -> Layout:
        """How a value lies where nothing else says it."""
        if node.id not in self._defaults:
            self._defaults[node.id] = self._chosen(node)
        return self._defaults[node.id]

    def _chosen(self, node: Node) -> Layout:
        if node.op in WEIGHTS or is_weight(self.graph, node.id):
            return weight_layout(node.shape)
        users = [self.graph[u] for u in self.graph.users(node.id)]
        plain = any(lowering(u) == "alias" or u.op == "scatter_add" for u in users)
        plain = plain or node.op == "scan" or _of_batches(node)
        if len(node.shape) > 2:  # only products and maps walk rows with gaps between them
            heavy = {n.op for n in (node, *users) if lowering(n) == "heavy"}
            plain = plain or heavy != {"contract"}
        return value_layout(node, native=True, plain=plain)

    def _outermost(self, node: Node) -> int:
        """The dimension whose neighbours lie furthest apart."""
        strides = enumerate(self.layout(node.id).strides)
        literal = [(step, -axis) for axis, step in strides if isinstance(step, int)]
        return -max(literal, default=(0, 0))[1]

    # ---- products ------------------------------------------------------------------------------

    def _added(self) -> dict[int, int]:
        """Products and scattered rows that are only added to what lies in the place of the sum, and
        the sums.
        """
        graph, found = self.graph, {}
        for roots in self.fusion.groups:
            total = min(roots)
            node = graph[total]
            if len(roots) > 1 or node.op != "add" or self.values.cone(roots)[0] != [total]:
                continue
            before, product = node.operands
            home = self.homes.get(total)
            made = graph[product]
            if product in self.values.launches or home is None:
                continue
            if made.op == "scatter_add" and graph[before].op == "contract" and not self.keep:
                alone = graph.users(before) == [total] and before not in self.values.launches
                self.homes |= {before: home} if alone else {}
            if home != self.homes.get(before) or made.op not in ("contract", "scatter_add"):
                continue
            launch = heavy_launch(self.values, made)
            if graph.users(product) == [total] and made.phase == node.phase and not launch.summed:
                self.homes[product] = home
                found[product] = total
        return found

    def _heavy(self, node: Node) -> Launch:
        """The launch of a heavy node; a product that is added to a sum, or begins with a row, makes
        the sum.
        """
        launch = heavy_launch(self.values, node, self._outermost(node))
        if node.id not in self.added | self.begun.keys():
            return launch
        along = dict(launch.along)
        place = along.pop(node.id)
        if node.id in self.begun:
            total, before = self.begun[node.id]
            along |= {total: place, before: None}
        else:
            total = self.added[node.id]
            before = self.graph[total].operands[0]
            along |= {total: place, before: place}
        return replace(
            launch,
            reads=launch.reads | {before},
            writes=frozenset({total}),
            along=tuple(along.items()),
        )

    # ---- attention -----------------------------------------------------------------------------

    def _attention(self, attention: Attention) -> Launch:
        """The launch that walks the scores of some samples."""
        found = self.attended(attention, "draft")
        reads = frozenset(b.value for b in found.kernel.buffers if b.role == "in")
        launch = self._of_kernel(found.kernel, found.domain, reads, frozenset())
        return replace(launch, attention=attention)

    def attended(self, attention: Attention, name: str) -> Attended:
        """The function of an attention launch."""
        values = self.values
        members, _ = values.cone_of(attention)
        form = values.form(members, named=True)
        ranks = form.ranks()
        laid = tuple(self.layout(i) for i in form.ids if self.graph[i].op != "constant")
        marks = attention.owner, attention.owned, attention.walked, attention.repeated
        key = "attention", form.key, laid, *marks, tuple(ranks[r] for r in attention.results)
        known = values.plans.kernels
        if key not in known:
            streams = {stream: rank for rank, stream in enumerate(form.streams)}
            found = attended(values, attention, self.layout, "attend")
            known[key] = replace(found, kernel=of_values(found.kernel, ranks, streams, ranks))
        found = known[key]
        kernel = of_values(found.kernel, form.ids, form.streams, {})
        places = (line(self.graph[i]) for i in members if self.graph[i].place is not None)
        kernel = replace(kernel, name=name, places=tuple(dict.fromkeys(places)))
        touched = {b.value for b in kernel.buffers}
        moved = sum(map(values.bytes_of, (i for i in touched if not self.cached(i))))
        made = {*attention.products, *attention.results}
        products = [i for i in made if self.graph[i].op == "contract"]
        flops = sum(map(values.flops, members))
        flops += sum(2 * multiplications(values, i) for i in products)  # whatever masks leave out
        return replace(found, kernel=replace(kernel, bytes=moved, flops=flops))

    # ---- groups --------------------------------------------------------------------------------

    def _group(self, roots: frozenset[int]) -> Launch:
        kernel = self.lowered(roots, "draft")
        domain = kernel.rows[0].extent if kernel.rows else 1
        reads = frozenset(self.values.base(i) for i in self.fusion.reads(roots))
        return self._of_kernel(kernel, domain, reads, roots)

    def _of_kernel(
        self, kernel: Kernel, domain: Dim, reads: frozenset[int], roots: frozenset[int]
    ) -> Launch:
        """The launch of a kernel that walks a domain."""
        along = {b.value: b.along for b in kernel.buffers}
        for b in kernel.buffers:
            if along[b.value] != b.along:
                along[b.value] = None
        summed = frozenset(b.value for b in kernel.buffers if b.role == "gather")
        writes = frozenset(b.value for b in kernel.buffers if b.role != "in")
        return Launch(None, roots, reads, writes, domain, tuple(sorted(along.items())), summed)

    def lowered(self, roots: frozenset[int], name: str) -> Kernel:
        """The kernel of a group."""
        members, _ = self.values.cone(roots)
        places = {i: line(self.graph[i]) for i in members if self.graph[i].place is not None}
        reads, written = self.fusion.reads(roots), self.fusion.written(roots)
        flops = sum(map(self.values.flops, members))
        moved = self._moved(reads, written, self.values.taken(roots))
        return lower(self.values, roots, written, self.layout, name, places, moved, flops)

    def _moved(self, reads: Iterable[int], writes: Iterable[int], taken: Mapping[int, int]) -> int:
        """Bytes between memory and a kernel: what stays in cache is free, and of some values a
        kernel reads only what is `taken`.
        """
        touched = {self.values.base(i) for i in reads} | set(writes)
        bytes_of = self.values.bytes_of
        return sum(taken.get(i, bytes_of(i)) for i in touched if not self.cached(i))

    def cached(self, i: int) -> bool:
        """Does a value never leave the cache of the thread that makes it?"""
        return i in self.homes and self.homes[i].space in ("local", "own")

    # ---- strips --------------------------------------------------------------------------------

    def even(self, launch: Launch) -> Even | None:
        """How a launch walks positions, if it treats each by itself."""
        if launch.heavy is None:
            plain = launch.attention is None and launch.finishes is None
            return even_kernel(self.lowered(launch.roots, "draft")) if plain else None
        node = self.graph[launch.heavy]
        if node.op != "contract" or node.id in self.added:
            return None
        found = product_of(self.graph, node, self.layout, launch.letter)
        base = self.values.base
        made, _ = self.begun.get(node.id, (found.c, 0))
        sides = {"a": base(found.a), "b": base(found.b), "c": made}
        return even_product(found, walked(found, launch.letter), launch.domain, sides)

    def over_positions(self, kernel: Kernel) -> Kernel:
        """A kernel for the positions of a strip."""
        known, key = self.values.plans.kernels, ("strip", kernel.form)
        if key not in known:
            known[key] = over_positions(kernel)
        buffers = zip(known[key].buffers, kernel.buffers, strict=True)
        return replace(
            kernel,
            rows=known[key].rows,
            columns=known[key].columns,
            passes=known[key].passes,
            buffers=tuple(b.of(own.value) for b, own in buffers),
            form=known[key].form,
        )


def planned_values(
    graph: Graph, sizes: Mapping[str, int], plans: Plans | None, *, keep: bool
) -> Values:
    """What is stored of a graph; `keep`: scores of attention too."""
    found = () if keep else attentions(graph, merged=True)
    return Values(graph, sizes, keep_dear=True, plans=plans, attention=found)


def _of_batches(node: Node) -> bool:
    """Is it one product for each of a batch?  Its columns are contiguous then."""
    if node.op != "contract":
        return False
    first, second, result = letters(node["spec"])
    return bool({*first} & {*second} & {*result})


def line(node: Node) -> str:
    """Where a value comes from, for a comment."""
    return f"{node.place}  {node.scope}" if node.scope else str(node.place)
