"""From items to a diagram: strips stacked into boxes, blocks as frames, values as arrows."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace

from ...spec.place import Place
from . import labels
from .diagram import Arrow, Box, Diagram, Frame, Strip
from .fold import Alias, fold, limit, total
from .sketch import Item, Source, leaves, sketch

LONGEST = 8  # layers in a box
MOST = 110  # boxes in a picture that closes blocks by itself
Stacks = dict[Item, list[Item]]  # by its first leaf; every leaf is in one


def diagram(source: Source, *, depth: int | None = None, folded: bool = True) -> Diagram:
    """The picture of a net.

    `depth`: blocks inside so many others are closed, by default as many as keep the picture from
    growing out of hand; `folded`: what repeats is drawn once.
    """
    drawn = _diagram(source, depth, folded)
    if depth is not None or not folded or _size(drawn) <= MOST:
        return drawn
    for depth in range(drawn.depth() - 1, 0, -1):
        drawn = _diagram(source, depth, folded)
        if _size(drawn) <= MOST:
            break
    return replace(drawn, note=f"{drawn.note}, closed below --depth {depth}")


def _size(drawn: Diagram) -> int:
    return sum(1 for _ in drawn.boxes())


def _diagram(source: Source, depth: int | None, folded: bool) -> Diagram:
    """The picture down to a depth."""
    items = sketch(source)
    alias: Alias = {}
    if folded:
        items, alias = fold(items)
    else:
        total(items)
    if depth is not None:
        items = limit(items, depth, alias)
    composed = _Composer(source, alias, items)
    count = sum(item.total for item in items)
    note = f"{labels.number(count)} parameters" if count else ""
    parts = tuple(composed.parts(items))
    return Diagram(source.net.name, note, parts, tuple(composed.arrows()))


class _Composer:
    """Gives numbers to what is drawn."""

    def __init__(self, source: Source, alias: Alias, items: list[Item]) -> None:
        self.source, self.alias = source, alias
        self.numbers = itertools.count()
        self.home: dict[Item, int] = {}
        self.heads: dict[Item, Item] = {}  # the first layer of the box of a layer
        self.leaves = list(leaves(items))
        self.feeds = {leaf: self._feeds(leaf) for leaf in self.leaves}
        self.readers: dict[Item, set[Item]] = {leaf: set() for leaf in self.leaves}
        for leaf, feeds in self.feeds.items():
            for feeder, _ in feeds:
                self.readers[feeder].add(leaf)

    def _feeds(self, leaf: Item) -> list[tuple[Item, int]]:
        found = ((self.alias.get(source, source), i) for source, i in leaf.feeds)
        return list(dict.fromkeys((source, i) for source, i in found if source is not leaf))

    def parts(self, items: list[Item]) -> list[Box | Frame]:
        """Boxes and frames, in the order of the text."""
        parts: list[Box | Frame] = []
        stacks = self._stacks(items)
        for item in items:
            if item.is_group and self._is_chain(item):
                parts.append(self._box(item.parts, item))
            elif item.is_group:
                inside = tuple(self.parts(item.parts))
                note = labels.number(item.total) if item.total else ""
                parts.append(Frame(next(self.numbers), _title(item), note, inside, item.count))
            elif item in stacks:
                parts.append(self._box(stacks[item]))
        return parts

    def arrows(self) -> list[Arrow]:
        """Between boxes; one for each value."""
        found: dict[Arrow, None] = {}
        for leaf in self.leaves:
            for source, i in self.feeds[leaf]:
                ends = self.home[source], self.home[leaf]
                if ends[0] != ends[1]:
                    label, changed = self._shape(source, i)
                    found[Arrow(*ends, label, changed)] = None
        return list(found)

    def _shape(self, source: Item, i: int) -> tuple[str, bool]:
        shape = self.source.shape(i)
        label = labels.shape_text(shape)
        last = source.last
        if last is not None and shape in source.shapes:
            label = labels.shape_text(shape, last.shapes[source.shapes.index(shape)])
        if source.kind == "input":
            return label, False
        feeds = self.feeds[self.heads.get(source, source)]
        before = [self.source.shape(j) for _, j in feeds]
        return label, source.count > 1 or shape not in before

    # ---- boxes -----------------------------------------------------------------------------

    def _stacks(self, items: list[Item]) -> Stacks:
        """Layers and the thin ones round them: `linear -> relu`, `batch_norm -> relu -> conv`."""
        top: dict[Item, Item] = {}
        stacks: Stacks = {}
        for item in items:
            if item.is_group:
                continue
            sources = {source for source, _ in self.feeds[item]}
            (source,) = sources if len(sources) == 1 else (None,)
            head = top.get(source) if source is not None else None
            if head is not None and source is not None and self._joins(stacks[head], source, item):
                stacks[head].append(item)
            else:
                head = item
                stacks[item] = [item]
            top[item] = head
        return stacks

    def _joins(self, stack: list[Item], source: Item, item: Item) -> bool:
        """May a layer lie directly below what it reads?"""
        if stack[-1] is not source or self.readers[source] != {item}:
            return False
        if any(each.kind != "layer" or each.count > 1 for each in (*stack, item)):
            return False
        if not labels.is_thin(item):
            return all(map(labels.is_thin, stack))
        begun = labels.is_thin(stack[0]) and not all(map(labels.is_thin, stack))
        same = item.shapes == source.shapes
        return same and not (begun and labels.family(item) == "norm")

    def _is_chain(self, group: Item) -> bool:
        """A few layers one after the other: they are drawn as one box with a head."""
        layers = group.parts
        if len(layers) > LONGEST or any(p.kind != "layer" or p.count > 1 for p in layers):
            return False
        return all(
            {source for source, _ in self.feeds[after]} == {before}
            and self.readers[before] == {after}
            for before, after in itertools.pairwise(layers)
        )

    def _box(self, stack: list[Item], group: Item | None = None) -> Box:
        """Strips one below the other; a group gives its name."""
        number = next(self.numbers)
        first = stack[0]
        self.home.update(dict.fromkeys(stack, number))
        self.heads.update(dict.fromkeys(stack, first))
        strips = tuple(_strip(item, self._slice) for item in stack)
        kind = "block" if first.kind in ("turn", "net") else first.kind
        if group is None:
            return Box(number, kind, strips, first.count)
        several = sum(bool(strip.count) for strip in strips) > 1 or group.count > 1
        note = labels.number(group.total) if group.total and several else ""
        return Box(number, kind, strips, group.count, _title(group), note)

    def _slice(self, item: Item) -> str:
        """The brackets of an index, from the text."""
        place = item.place
        return "" if place is None else _brackets(_text(self.source.texts, place))


def _title(item: Item) -> str:
    if item.kind != "turn":
        return item.name
    if item.count > 1:
        return item.name
    return ".".join(item.path.split(".")[-2:])


def _strip(item: Item, slice_text: Callable[[Item], str]) -> Strip:
    """How a leaf is written."""
    count = _count(item.parameters, item.last.parameters if item.last else None)
    match item.kind:
        case "input" | "output":
            return Strip(item.name, item.note, item.kind, thin=True)
        case "operator":
            detail = labels.detail(item, slice_text)
            return Strip(labels.operator(item), detail, "", thin=True)
        case "weight":
            return Strip(item.name, labels.shape_text(item.shapes[0]), "weight", "", count)
        case "block" | "net" | "turn":
            return Strip(_title(item), item.note, "block", "", count)
    detail, thin = labels.detail(item, slice_text), labels.is_thin(item)
    name = "" if thin else _name(item)
    count = "same weights" if item.again else count
    return Strip(item.name, detail, labels.family(item), name, count, thin)


def _count(count: int, last: int | None) -> str:
    return labels.number(count, last) if count else ""


def _name(item: Item) -> str:
    """The name that the text gives a layer, if it is its own."""
    own = item.path.rpartition(".")[2]
    return "" if own.rstrip("0123456789").rstrip("_") in (item.name, "") else own


def _text(texts: Mapping[str, str], place: Place) -> str:
    lines = texts.get(place.file, "").splitlines()
    line = lines[place.line - 1] if place.line <= len(lines) else ""
    return line[place.column - 1 : place.end_column - 1]


def _brackets(text: str) -> str:
    start = text.find("[")
    return text[start:] if start >= 0 else ""
