"""Finds the names that stand in a piece of the tree, without elaborating it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass

from ...spec.expressions import Call, Name, Pipe
from ...spec.place import Place


def names_in(tree: object) -> Iterator[str]:
    """Every name that an expression, flow or structure mentions, those of its calls too."""
    if isinstance(tree, tuple):
        for item in tree:
            yield from names_in(item)
    elif isinstance(tree, Name):
        yield tree.id
    elif is_dataclass(tree) and not isinstance(tree, (Place, type)):
        if isinstance(tree, Call):
            yield tree.name
        for field in fields(tree):
            if field.name not in ("place", "places"):
                yield from names_in(getattr(tree, field.name))


def calls_in(tree: object) -> set[str]:
    """The names of everything that an expression calls; a pipeline calls its stages."""
    if isinstance(tree, tuple):
        return {name for item in tree for name in calls_in(item)}
    if not is_dataclass(tree) or isinstance(tree, (Place, type)):
        return set()
    own = {tree.name} if isinstance(tree, Call) else {"->"} if isinstance(tree, Pipe) else set()
    inner = (getattr(tree, f.name) for f in fields(tree) if f.name not in ("place", "places"))
    return own.union(*(calls_in(item) for item in inner))


def every_call(tree: object) -> Iterator[Call]:
    """The calls with settings in a piece of the tree, outer ones first."""
    if isinstance(tree, tuple):
        for item in tree:
            yield from every_call(item)
    elif is_dataclass(tree) and not isinstance(tree, (Place, type)):
        if isinstance(tree, Call):
            yield tree
        for field in fields(tree):
            if field.name not in ("place", "places"):
                yield from every_call(getattr(tree, field.name))
