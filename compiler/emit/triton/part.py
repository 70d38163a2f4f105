"""One graph of an entry: its stored values, the kernels that make them, what they are called."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ....spec.dims import Dim
from ...ir.graph import Graph, Node
from ...plan.device import DeviceFusion
from ...plan.forms import Form
from ...plan.layout import Layout, row_major
from ...plan.memory import Home
from ...plan.product import Product, pointwise, product_of
from ...plan.values import Values, lowering
from ...plan.windows import CONVOLUTIONS, WINDOWED, is_pointwise
from ..loops import Kernel
from ..lower import lower
from ..names import identifier
from .products import row_wise
from .spelling import GROWTH, WIDE

if TYPE_CHECKING:
    from .composed import Composed

Roots = frozenset[int]
TITLE = 92
"""Columns of a docstring's first line."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What kernels are written for: an architecture of `choose`, and how products multiply.

    `levels` counts, by a kernel's key, how often its tile was refused.
    """

    arch: str
    precision: str
    levels: Mapping[str, int] = field(default_factory=dict)

    @property
    def interpreted(self) -> bool:
        """Is it Triton's interpreter?"""
        return self.arch == "interpret"


@dataclass(frozen=True, slots=True)
class Work:
    """One kernel: a contraction or scatter, a group of roots, or a contraction with its group.

    `summed`: a sum of one operand over the depth, which rides in the contraction; `moments`: those
    of what it makes; `weight`: the adjoint in the weight, beside that in the operand; `then`: the
    product that reads what this one makes, in the same launch.  `members` are products of one form
    that are one launch, `times` says how many of these there are.  `pair`: two of which the first
    kernels are one launch; `shares`: so many programs share the rows of a gradient there, in place
    of the `apart` that would in a launch of its own.
    """

    heavy: int | None
    roots: Roots
    reads: frozenset[int]
    writes: frozenset[int]
    summed: int | None = None
    moments: int | None = None
    weight: int | None = None
    then: Work | None = None
    times: int = 1
    members: tuple[Work, ...] = ()
    pair: tuple[Work, ...] = ()
    shares: int = 0
    apart: int = 0
    _hash: int = field(default=0, init=False, compare=False, repr=False)

    def __hash__(self) -> int:
        """Worked out once: work is looked up by the hundred thousands."""
        if not self._hash:
            own = self.heavy, self.roots, self.reads, self.writes, self.summed, self.moments
            beside = self.weight, self.then, self.members, self.pair, self.shares
            object.__setattr__(self, "_hash", hash((own, beside)) or 1)
        return self._hash

    @property
    def key(self) -> int:
        """A number of its own, by which launches are ordered."""
        return self.heavy if self.heavy is not None else min(self.roots)


@dataclass
class Part:
    """A graph, where its inputs and outputs live (`homes`), and the work it takes.

    In a step of a scan, `moved` values lie so many elements further on in the next one.
    """

    graph: Graph
    homes: dict[int, Home]
    values: Values
    works: list[Work] = field(default_factory=list)
    done: set[Work] = field(default_factory=set)
    names: dict[int, str] = field(default_factory=dict)
    hosted: dict[Work, Composed | str | None] = field(default_factory=dict)
    known: dict[Roots, Kernel] = field(default_factory=dict)
    planned: DeviceFusion | None = None
    made: set[int] = field(default_factory=set)
    readers: dict[int, list[int]] = field(default_factory=dict)
    moved: dict[int, Dim] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.layouts: dict[int, Layout] = {}
        self.laid: dict[int, int] = {}
        self.lines: dict[int, str | None] = {}
        self.products: dict[int, Product] = {}
        self.replaced = self._replaced()
        self.fusion = self.planned or DeviceFusion(self.values, self.replaced)

    def again(self, homes: Mapping[int, Home]) -> Part:
        """The same graph for another entry, which may have its inputs and outputs elsewhere."""
        if homes == self.homes:
            return replace(self, done=set(), names={}, made=set(), planned=self.fusion)
        return Part(self.graph, dict(homes), self.values, planned=self.fusion)

    # ---- work ------------------------------------------------------------------------------------

    def plan(self, works: list[Work]) -> None:
        """Take the work, in order."""
        self.works, self.readers = works, {}
        for number, work in enumerate(works):
            for value in work.reads if work.heavy is None else ():
                self.readers.setdefault(value, []).append(number)

    def groups_reading(self, values: Iterable[int]) -> list[Work]:
        """The groups that read one of some values, in order."""
        numbers = {number for i in values for number in self.readers.get(i, ())}
        return [self.works[number] for number in sorted(numbers)]

    def finish(self, work: Work) -> None:
        """Note that the launches of a piece of work are written."""
        self.done.add(work)
        self.made |= work.writes

    def _replaced(self) -> dict[int, int]:
        """The outputs that lie where an input does, and that input."""
        places = {
            (h.space, h.slot, h.offset): i
            for i, h in self.homes.items()
            if self.graph[i].op == "input" and h.space in ("parameter", "state")
        }
        found = {}
        for i in self.values.outputs:
            home = self.homes.get(i)
            if home is not None and (home.space, home.slot, home.offset) in places:
                found[i] = places[home.space, home.slot, home.offset]
        return found

    # ---- memory --------------------------------------------------------------------------------

    def layout(self, i: int) -> Layout:
        """How a value lies in memory: row-major wherever it is ours to say."""
        if i not in self.layouts:
            self.layouts[i] = self._layout(i)
        return self.layouts[i]

    def _layout(self, i: int) -> Layout:
        node = self.graph[i]
        if self.values.is_view(i):
            inner = self.layout(node.operands[0])
            if node.op == "slice":
                steps = zip(inner.strides, node["steps"], strict=True)
                return Layout(tuple(stride * step for stride, step in steps), inner.span)
            return Layout(tuple(inner.strides[k] for k in node["order"]), inner.span)
        if i in self.values.within:
            return row_major(self.graph[self.values.within[i].host].shape)
        if i in self.homes and lowering(node) != "alias":
            return self.homes[i].layout
        if node.op == "cast" and node.operands[0] in self.homes:
            return self.homes[node.operands[0]].layout  # a weight in 16 bits lies as it does in 32
        return row_major(node.shape)

    def bytes_of(self, work: Work) -> int:
        """Bytes between memory and the chip."""
        values, several = self.values, work.members or work.pair or (work,)
        heavy = [i for w in several for i in (w.heavy, w.weight) if i is not None]
        whole = {i for h in heavy for i in values.operands(self.graph[h])}
        roots = [root for w in several for root in w.roots]
        taken = values.taken(frozenset(roots)) if work.then is None else {}
        written = sum(map(values.bytes_of, work.writes))
        bytes_of = {i: values.bytes_of(i) for i in work.reads - work.writes}
        read = sum(size if i in whole else taken.get(i, size) for i, size in bytes_of.items())
        return written + read - self.left_alone(work) + self.parts(work)

    def parts(self, work: Work) -> int:
        """Bytes of the shares that a pair leaves behind beyond those of launches of their own."""
        shared = (w for w in work.pair if w.shares)
        return sum(8 * (w.shares - w.apart) * self.values.count(w.key) for w in shared)

    def in_place(self, work: Work) -> bool:
        """Are rows added where those lie that they are added to?"""
        onto = self.values.onto.get(work.heavy) if work.heavy is not None else None
        if onto is None:
            return False
        total, old = self.homes.get(onto[0]), self.homes.get(self.values.base(onto[1]))
        return total is not None and total == old

    def left_alone(self, work: Work) -> int:
        """Bytes of what a kernel reads and writes that it does not touch: rows nobody adds to."""
        if work.heavy is None or not self.in_place(work):
            return 0
        table, updates = work.heavy, self.graph[work.heavy].operands[1]
        return 2 * max(0, self.values.bytes_of(table) - self.values.bytes_of(updates))

    def wide(self, values: Iterable[int]) -> bool:
        """May an offset into one of the values pass 32 bits?"""
        values = [self.values.within[i].host if i in self.values.within else i for i in values]
        symbolic = any(not isinstance(d, int) for i in values for d in self.graph[i].shape)
        longest = max(map(self.values.count, values), default=0)
        return longest * (GROWTH if symbolic else 1) >= WIDE

    # ---- kernels -------------------------------------------------------------------------------

    def phase(self, work: Work) -> int:
        """When it is done: all of a phase before the next."""
        return self.graph[work.key].phase

    def is_attention(self, work: Work) -> bool:
        """Does it stream scores?"""
        return work.heavy in self.values.launches

    def is_product(self, work: Work) -> bool:
        """Is there a contraction in it, or a convolution that is one?"""
        if work.heavy is None or self.is_attention(work):
            return False
        node = self.graph[work.heavy]
        if node.op == "contract":
            return True
        return is_pointwise(self.graph, node)

    def is_host(self, work: Work) -> bool:
        """Can a group ride in it?"""
        windows = work.heavy is not None and self.graph[work.heavy].op in WINDOWED
        return windows or self.is_product(work)

    def leaves_rows(self, work: Work) -> bool:
        """Is it a convolution whose blocks are rows of pixels?"""
        if work.heavy is None or self.graph[work.heavy].op not in CONVOLUTIONS[:2]:
            return False
        return not self.is_product(work) or row_wise(self.product(work.heavy))

    def product(self, z: int) -> Product:
        """A contraction, or a convolution that is one, as matrix products."""
        if z not in self.products:
            node = self.graph[z]
            read = product_of if node.op == "contract" else pointwise
            self.products[z] = read(self.graph, node, self.layout)
        return self.products[z]

    def result(self, work: Work) -> int:
        """What a product makes: its value, or that of a sum of products."""
        return self.values.made_as_one(work.key)[0]

    def form(self, work: Work, *, alike: bool = False) -> tuple[Hashable, Form]:
        """What the kernels of a piece of work depend on; `alike`: but for the words in their texts,
        and for how what they read was made.
        """
        own = self._own(work)
        if work.then is not None:
            own = [*own, *self._own(work.then)]
        form = self.values.form(own, named=not alike, origins=not alike)
        ranks = form.ranks()
        laid = tuple(-1 if alike and self._is_plain(i) else self._laid(i) for i in form.ids)
        sets = [own, work.reads & ranks.keys(), work.writes]
        for each in (work, work.then):
            if each is not None:
                sets += [each.roots, self.fusion.written(each.roots)]
        marks = tuple(tuple(sorted(ranks[i] for i in some)) for some in sets)
        return (form.key, laid, self.in_place(work), work.times, work.shares, *marks), form

    def _laid(self, i: int) -> int:
        """A number that values of the same layout share."""
        found = self.laid.get(i)
        if found is None:
            stored = self.graph[i].op != "constant"
            found = self.laid[i] = self.values.plans.token(self.layout(i)) if stored else -2
        return found

    def _own(self, work: Work) -> list[int]:
        """What a launch computes, riders of a recurrence last."""
        own = [i for i in (work.heavy, work.summed, work.moments, work.weight) if i is not None]
        if work.heavy is not None and self.is_attention(work):
            own = self.values.cone_of(self.values.launches[work.heavy])[0]
        elif not work.roots:
            own = [*own, *sorted(work.writes.difference(own))]  # what rides in a recurrence
        if work.heavy is not None:
            own = [*own, *self.values.cone(self.values.made_by(work.heavy))[0]]
            total, terms = self.values.made_as_one(work.heavy)
            own += [total, *terms[1:]] if total != work.heavy else []
        if work.weight is not None:
            own = [*own, *self.values.cone(self.values.made_by(work.weight))[0]]
        return [*own, *self.values.cone(work.roots)[0]]

    def _is_plain(self, i: int) -> bool:
        """Does a value lie as its shape says?"""
        return self.layout(i) == row_major(self.graph[i].shape)

    def sources(self, work: Work) -> tuple[str, ...]:
        """The lines of the spec that a piece of work comes from."""
        several = work.members or work.pair
        if several:
            return tuple(dict.fromkeys(line for w in several for line in self.sources(w)))
        heavy = [] if work.heavy is None else self.places([work.heavy])
        if work.heavy is not None and self.is_attention(work):
            heavy = self.places(self.values.cone_of(self.values.launches[work.heavy])[0])
        group = self.lowered(work.roots).places if work.roots else ()
        summed = [] if work.summed is None else self.places([work.summed])
        beside = [] if work.weight is None else self.places([work.weight])
        behind = self.sources(work.then) if work.then is not None else ()
        return tuple(dict.fromkeys((*heavy, *beside, *group, *summed, *behind)))

    def lowered(self, roots: Roots) -> Kernel:
        """The loop kernel of a group."""
        if roots not in self.known:
            members, _ = self.values.cone(roots)
            places = {i: text for i in members if (text := self._line(i)) is not None}
            written = self.fusion.written(roots)
            flops = sum(map(self.values.flops, members))
            self.known[roots] = lower(
                self.values, roots, written, self.layout, "draft", places, 0, flops
            )
        return self.known[roots]

    # ---- words -----------------------------------------------------------------------------------

    def name(self, work: Work) -> str:
        """What a kernel is called: its largest result."""
        made = [i for i in work.writes or work.roots if i not in self.values.ahead]
        main = max(made, key=lambda i: (self.values.count(i), -i))
        return last(self.graph[main].name)

    def short(self, values: Iterable[int], taken: Collection[str] = ()) -> dict[int, str]:
        """A name within one kernel for each value: the last part of its path."""
        found: dict[int, str] = {}
        for i in values:
            node = self.graph[i]
            base = last(node["feed"] if node.op == "input" else node.name)
            found[i] = free(base, {*found.values(), *taken})
        return found

    def title(self, names: Mapping[int, str], work: Work) -> str:
        """`results from operands` with their shapes, in one line of a docstring."""

        def shown(values: Iterable[int]) -> str:
            return ", ".join(names[i] + shape(self.graph[i].shape) for i in sorted(values))

        joined = {i for i in names if i in self.values.parts}
        made, read = shown(work.writes), shown(work.reads & names.keys() | joined)
        text = f"{made} from {read}" if read else made
        return text if len(text) <= TITLE else text[: TITLE - 4].rsplit(", ", 1)[0] + ", ..."

    def places(self, nodes: Iterable[int]) -> tuple[str, ...]:
        """The spec lines of values."""
        found = (self._line(i) for i in nodes)
        return tuple(dict.fromkeys(text for text in found if text is not None))

    def _line(self, i: int) -> str | None:
        """Where in the spec a value comes from."""
        if i not in self.lines:
            node = self.graph[i]
            self.lines[i] = None if node.place is None else line(node)
        return self.lines[i]


def shape(dims: tuple[Dim, ...]) -> str:
    """A shape as text; nothing for a number."""
    return f"[{', '.join(map(str, dims))}]" if dims else ""


def line(node: Node) -> str:
    """Where in the spec a value comes from."""
    return f"{node.place}  {node.scope}" if node.scope else str(node.place)


def free(base: str, taken: Collection[str]) -> str:
    """`base`, or with a number after it where that is taken."""
    name, count = base, 2
    while name in taken:
        name, count = f"{base}_{count}", count + 1
    return name


def last(name: str) -> str:
    """The last part of a path: d_mlp.linear_0.weight -> d_weight."""
    head, _, tail = name.rpartition(".")
    return identifier(f"d_{tail}" if head.startswith("d_") else tail)
