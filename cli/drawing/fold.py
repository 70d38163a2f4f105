"""Folds what repeats: groups that are alike and follow each other become one with a count."""

from __future__ import annotations

from collections.abc import Sequence

from .sketch import Item, leaves

Alias = dict[Item, Item]


def fold(items: list[Item]) -> tuple[list[Item], Alias]:
    """`a.0 -> a.1 -> a.2 -> b` -> `a.0 × 3 -> b`, from the inside out.

    Turns of a loop that differ in nothing but shapes are folded too; their shapes become ranges.
    The alias says which leaf stands for one that is gone.
    """
    readers = _readers(items)
    total(items)
    alias: Alias = {}
    return _fold(items, readers, alias), alias


def total(items: Sequence[Item]) -> int:
    """Counts the parameters of groups."""
    for item in items:
        if item.is_group:
            item.total = total(item.parts)
    return sum(item.total for item in items)


def limit(items: list[Item], depth: int, alias: Alias) -> list[Item]:
    """Groups that lie deeper than `depth` become leaves."""
    limited = []
    for item in items:
        if not item.is_group:
            limited.append(item)
        elif depth > 1:
            item.parts = limit(item.parts, depth - 1, alias)
            limited.append(item)
        else:
            limited.append(_closed(item, alias))
    return limited


def _closed(item: Item, alias: Alias) -> Item:
    inside = list(leaves([item]))
    members = set(inside)
    feeds = [
        feed for leaf in inside for feed in leaf.feeds if alias.get(feed[0], feed[0]) not in members
    ]
    layers = sum(leaf.kind == "layer" for leaf in inside)
    item.note = f"{layers} layers" if layers != 1 else "1 layer"
    item.feeds = list(dict.fromkeys(feeds))
    item.parameters = item.total // item.count
    item.shapes = tuple(shape for leaf in inside for shape in leaf.shapes)
    item.parts = []
    alias.update({old: item for old, new in alias.items() if new in members})
    alias.update(dict.fromkeys(inside, item))
    return item


def _readers(items: list[Item]) -> dict[Item, set[Item]]:
    readers: dict[Item, set[Item]] = {}
    for leaf in leaves(items):
        for source, _ in leaf.feeds:
            readers.setdefault(source, set()).add(leaf)
    return readers


def _fold(items: list[Item], readers: dict[Item, set[Item]], alias: Alias) -> list[Item]:
    before = {item: list(leaves([item])) for item in items}
    for item in items:
        if item.is_group:
            item.parts = _fold(item.parts, readers, alias)
    folded: list[Item] = []
    while items:
        run = _run(items, before, readers, exact=True)
        run = run if len(run) > 1 else _run(items, before, readers, exact=False)
        folded.append(_merged(run, alias))
        items = items[len(run) :]
    return folded


def _run(
    items: list[Item],
    before: dict[Item, list[Item]],
    readers: dict[Item, set[Item]],
    *,
    exact: bool,
) -> list[Item]:
    """The items at the front that are alike, each fed by the one before it."""
    run = [items[0]]
    like = _like(items[0], exact)
    for item in items[1:]:
        same = item.loop == items[0].loop and (item.loop or (exact and item.is_group))
        if not same or _like(item, exact) != like:
            break
        if not _follows(run[-1], item, run[0], before, readers):
            break
        run.append(item)
    return run


def _like(item: Item, exact: bool) -> object:
    """What two items have in common that are drawn alike."""
    inside = list(leaves([item]))
    number = {leaf: i for i, leaf in enumerate(inside)}

    def told(item: Item) -> object:
        size = (item.total, item.shapes) if exact else len(item.shapes)
        own = (item.kind, item.name if not item.loop else "", item.count, size)
        if item.is_group:
            return (*own, tuple(map(told, item.parts)))
        feeds = tuple(number.get(source, -1) for source, _ in item.feeds)
        return (*own, item.name, tuple(sorted(item.settings.items())), item.again, feeds)

    return told(item)


def _follows(
    previous: Item,
    item: Item,
    first: Item,
    before: dict[Item, list[Item]],
    readers: dict[Item, set[Item]],
) -> bool:
    """Does an item read what the one before it makes, who alone does, and else what all read?"""
    inside, earlier, own = set(before[item]), set(before[previous]), set(before[first])
    outside = {s for leaf in before[first] for s, _ in leaf.feeds if s not in own}
    sources = {s for leaf in before[item] for s, _ in leaf.feeds if s not in inside}
    chained = sources & earlier
    left = {r for leaf in earlier for r in readers.get(leaf, ()) if r not in earlier}
    return bool(chained) and sources <= earlier | outside and left <= inside


def _merged(run: list[Item], alias: Alias) -> Item:
    first, last = run[0], run[-1]
    if len(run) == 1:
        return first
    mine = list(leaves([first]))
    for item in run[1:]:
        alias.update(zip(leaves([item]), mine, strict=True))
    for old, new in list(alias.items()):
        alias[old] = alias.get(new, new)
    for leaf, other in zip(mine, leaves([last]), strict=True):
        leaf.last = other
    first.count = len(run)
    first.total = sum(item.total for item in run)
    return first
