"""From the outline of a net to items: what ran, who reads whom, without what nothing comes of."""

from __future__ import annotations

import math
from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from ...compiler.build import NetProgram
from ...compiler.build.outline import Part
from ...spec.dims import Dim, substitute
from ...spec.place import Place

Shape = tuple[Dim, ...]
CALLED = {"add": "+", "sub": "-", "mul": "*", "div": "/"}  # operators as operations


@dataclass(slots=True, eq=False)
class Item:
    """A leaf, or a group with `parts`.

    `kind`: input, output, weight, layer, operator; of groups block, net or turn. `feeds`: what a
    leaf reads, as (item, value); `loop`: the loop it is a turn of. After folding it stands for
    `count` equal ones; `last` is the same leaf of the last of them, `total` counts the parameters
    of all.
    """

    kind: str
    name: str
    path: str
    place: Place | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    shapes: tuple[Shape, ...] = ()
    parameters: int = 0
    total: int = 0
    feeds: list[tuple[Item, int]] = field(default_factory=list)
    parts: list[Item] = field(default_factory=list)
    loop: str = ""
    count: int = 1
    last: Item | None = None
    again: bool = False
    note: str = ""

    @property
    def is_group(self) -> bool:
        """Is there something inside?"""
        return bool(self.parts)


def leaves(items: Iterable[Item]) -> Iterator[Item]:
    """All leaves, in the order of the text."""
    for item in items:
        if item.parts:
            yield from leaves(item.parts)
        else:
            yield item


@dataclass(frozen=True, slots=True)
class Source:
    """A net and what is known beside it.

    `counts`: the elements of every trainable parameter; `texts`: the files of the spec by name;
    `sizes`: numbers for sizes that the net leaves open.
    """

    net: NetProgram
    outline: tuple[Part, ...]
    counts: Mapping[str, int]
    texts: Mapping[str, str]
    sizes: Mapping[str, int] = field(default_factory=dict)

    def shape(self, i: int) -> Shape:
        """The shape of a value."""
        return tuple(substitute(dim, self.sizes) for dim in self.net.builder[i].shape)

    def type_text(self, i: int) -> str:
        """The type of a value."""
        return f"{self.net.builder[i].dtype}[{', '.join(map(str, self.shape(i)))}]"


def sketch(source: Source) -> list[Item]:
    """The items of a net."""
    found = _Sketch(source).items()
    found = _needed(found)
    return [_simple(item) for item in found]


class _Sketch:
    """Walks an outline and finds who makes each value."""

    def __init__(self, source: Source) -> None:
        self.source, self.net = source, source.net
        self.makers: ChainMap[int, Item] = ChainMap()  # the innermost body first
        self.seen: set[str] = set()

    def items(self) -> list[Item]:
        b, items = self.net.builder, []
        for node in b.nodes:
            if node.op == "input" and node["feed"] in self.net.inputs:
                item = Item(
                    "input", node["feed"], node["feed"], shapes=(self.source.shape(node.id),)
                )
                item.note = self.source.type_text(node.id)
                self.makers[node.id] = item
                items.append(item)
        items += self._walk(self.source.outline)
        for name, i in b.outputs.items():
            item = Item("output", name, name, shapes=(self.source.shape(i),))
            item.note = self.source.type_text(i)
            item.feeds = self._sources(i, items)
            items.append(item)
        return items

    def _walk(self, parts: Iterable[Part]) -> list[Item]:
        items: list[Item] = []
        for part in parts:
            if part.kind in ("block", "net", "turn"):
                items += self._group(part)
            else:
                self._leaf(part, items)
        return items

    def _group(self, part: Part) -> list[Item]:
        """A body: what it makes is seen outside only as its results.

        Values that are equal to some outside are computed once, and drawn in both places.
        """
        group = Item(part.kind, part.name, part.path, part.place)
        group.loop = part.path.rpartition(".")[0] if part.kind == "turn" else ""
        self.makers = self.makers.new_child()
        group.parts = self._walk(part.parts)
        made, self.makers = self.makers.maps[0], self.makers.parents
        self.makers.update({i: made[i] for i in part.results if i in made})
        return [group] if group.parts else []

    def _leaf(self, part: Part, items: list[Item]) -> None:
        """A call or operator, unless it gives back what it takes, or what is there already."""
        here = self.makers.maps[0]
        made = [i for i in part.results if i not in part.inputs and i not in here]
        if not made:
            return
        item = Item(part.kind, part.name, part.path, part.place, part.settings)
        if part.name in CALLED and part.kind == "layer":
            item.kind, item.name = "operator", CALLED[part.name]
        item.shapes = tuple(map(self.source.shape, part.results))
        item.parameters = item.total = sum(self.source.counts.get(p, 0) for p in part.parameters)
        item.again = part.kind == "layer" and part.path in self.seen and not part.parameters
        self.seen.add(part.path)
        for i in part.inputs:
            item.feeds += self._sources(i, items)
        items.append(item)
        self.makers.update(dict.fromkeys(made, item))

    def _sources(self, i: int, items: list[Item]) -> list[tuple[Item, int]]:
        """Who makes a value; a parameter that is read directly becomes an item of its own."""
        if i in self.makers:
            return [(self.makers[i], i)]
        node = self.net.builder[i]
        if node.op == "input":
            name = node["feed"].partition(".")[2]
            item = Item("weight", name.rpartition(".")[2], name, node.place, shapes=(node.shape,))
            item.parameters = item.total = self.source.counts.get(
                node["feed"], math.prod(node.shape)
            )
            items.append(item)
            self.makers[i] = item
            return [(item, i)]
        return [source for operand in node.operands for source in self._sources(operand, items)]


def _needed(items: list[Item]) -> list[Item]:
    """Only what the outputs depend on, and the inputs."""
    stack = [item for item in leaves(items) if item.kind in ("input", "output")]
    live: set[Item] = set()
    while stack:
        item = stack.pop()
        if item not in live:
            live.add(item)
            stack += [source for source, _ in item.feeds]
    return _kept(items, live)


def _kept(items: list[Item], live: set[Item]) -> list[Item]:
    kept = []
    for item in items:
        if item.is_group:
            item.parts = _kept(item.parts, live)
            kept += [item] if item.parts else []
        elif item in live:
            kept.append(item)
    return kept


def _simple(item: Item) -> Item:
    """A group of one thing is that thing; a turn that is one block is called like the block, and a
    block that is another one like both.
    """
    item.parts = [_simple(part) for part in item.parts]
    if len(item.parts) != 1 or item.kind == "net":
        return item
    (only,) = item.parts
    if item.kind == "turn" or not only.is_group:
        only.loop = item.loop or only.loop
        return only
    if only.kind == "block":
        item.name, item.parts = f"{item.name}: {only.name}", only.parts
    return item
