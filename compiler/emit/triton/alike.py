"""Products of one form that read one value are one launch, which reads it once.

    q = x @ wq; k = x @ wk; v = x @ wv              ->  one launch; a block of x meets all weights
    d_wq = x' @ d_q; d_wk = x' @ d_k; d_wv = x' @ d_v

The text is that of one of them. Which one a program computes is the fastest index of the grid, so
that programs which read the same block run at the same time and find it in the cache.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from ...plan.order import Order
from .composed import Composed
from .kernel import Factor, KernelText, Parameter
from .part import Part, Work, free
from .template import call

MOST = 4
"""Products of one launch: what they make lives at the same time."""

PROGRAM, MEMBER = "program", "member"
"""The place of a program in the grid of one product, and the number of the product."""

_FIRST = "tl.program_id(0)"
_SIGNATURE = re.compile(r"def (\w+)\((.*?)\):\n", re.DOTALL)


Argument = TypeVar("Argument")
Edges = Callable[[list[Work]], dict[Work, list[Work]]]


def with_alike(part: Part, works: list[Work], edges: Edges) -> list[Work]:
    """Join products of one layer that have one form and an operand in common."""
    several = _families(part, works)
    if not several:
        return works
    order, left = Order(edges(works)), dict.fromkeys(works)
    for family in several:
        for members in _sharing(part, family):
            if any(order.reaches(a, b) for a in members for b in members if a is not b):
                continue
            if not order.apart(members):
                continue
            joined = _joined(members)
            for member in members:
                del left[member]
            left[joined] = None
            order.merge(members, joined)
    return list(left)


def _families(part: Part, works: Sequence[Work]) -> list[list[Work]]:
    """Several products of one layer with one form; what is quickly told is asked first."""
    near: dict[Hashable, list[Work]] = {}
    for work in works:
        if work.heavy is not None and part.is_host(work):
            node = part.graph[work.heavy]
            touched = len(work.reads), len(work.writes)
            near.setdefault((node.op, node.scope, node.phase, node.type, touched), []).append(work)
    found: dict[Hashable, list[Work]] = {}
    for traits, family in near.items():
        for work in family if len(family) > 1 else ():
            if not _draws(part, work):
                key = traits, part.form(work, alike=True)[0]
                found.setdefault(key, []).append(work)
    return [f for f in found.values() if len(f) > 1]


def _draws(part: Part, work: Work) -> bool:
    """Does a kernel take numbers that differ from layer to layer?"""
    if not work.roots:
        return False
    lowered = part.lowered(work.roots)
    return bool(lowered.streams or lowered.starts)


def _sharing(part: Part, family: Sequence[Work]) -> list[list[Work]]:
    """Members that have their largest common value in common, a few at a time."""
    found: dict[int, list[Work]] = {}
    for work in family:
        others = [w for w in family if w is not work]
        common = work.reads & frozenset().union(*(w.reads for w in others))
        if common:
            found.setdefault(max(common, key=lambda i: (part.values.count(i), i)), []).append(work)
    groups = [g[n : n + MOST] for g in found.values() for n in range(0, len(g), MOST)]
    return [g for g in groups if len(g) > 1]


def _joined(members: Sequence[Work]) -> Work:
    first = replace(members[0], times=len(members))
    reads = frozenset().union(*(w.reads for w in members))
    writes = frozenset().union(*(w.writes for w in members))
    return Work(first.heavy, first.roots, reads, writes, members=(first, *members[1:]))


def names_of(part: Part, work: Work, found: Composed) -> list[dict[int, str]]:
    """What the text of the first member calls the values of each."""
    first = replace(work.members[0], times=1)
    ranks = {i: rank for rank, i in enumerate(part.form(first, alike=True)[1].ids)}
    named = {ranks[i]: name for i, name in found.names.items()}
    return [
        {ids[rank]: name for rank, name in named.items()}
        for ids in (part.form(member, alike=True)[1].ids for member in work.members)
    ]


def together(
    text: KernelText, arguments: Sequence[Mapping[str, Argument]]
) -> tuple[KernelText, dict[str, Argument]]:
    """A kernel for several sets of arguments, and the arguments of its own."""
    taken = {p.name for p in text.parameters}
    parameters, known = list[Parameter](), dict[str, Argument]()
    chosen: list[list[str]] = [[] for _ in arguments]
    for p in text.parameters:
        if all(mine[p.name] == arguments[0][p.name] for mine in arguments):
            parameters.append(p)
            known[p.name] = arguments[0][p.name]
            continue
        for number, mine in enumerate(arguments):
            name = free(f"{p.name.removesuffix('_ptr')}_of_{number + 1}", taken) + "_ptr"
            parameters.append(Parameter(name, p.type, p.divisible))
            known[name] = mine[p.name]
            chosen[number].append(f"{p.name} = {name}")
    lines = [f"{PROGRAM} = {_FIRST} // {len(arguments)}", f"{MEMBER} = {_FIRST} % {len(arguments)}"]
    lines += chosen[0]
    for number, choices in enumerate(chosen[1:], 1):
        lines += [f"if {MEMBER} == {number}:", *(f"    {choice}" for choice in choices)]
    grid = ((Factor(len(arguments)), *text.grid[0]), *text.grid[1:])
    body = _told(text, [p.name for p in parameters], lines)
    return replace(text, text=body, parameters=tuple(parameters), grid=grid), known


def _told(text: KernelText, parameters: Sequence[str], lines: Sequence[str]) -> str:
    """The text with other parameters, and with the lines behind the sizes of its blocks."""
    found = _SIGNATURE.search(text.text)
    assert found is not None
    signature = "\n".join(call(f"def {found[1]}", parameters, 0, "):"))
    whole = text.text.replace(found[0], signature + "\n", 1).replace(_FIRST, PROGRAM)
    head, quotes, rest = whole.rpartition('"""\n')
    sizes = re.match(r"(?:    \w+: tl\.constexpr = .*\n)*", rest)
    assert sizes is not None
    told = "".join(f"    {line}\n" for line in lines)
    return head + quotes + sizes[0] + told + rest[sizes.end() :]
