"""`rearrange(x, "b (h w) c -> b c h w", h=8)`: einops' notation on symbolic shapes.

Source: Rogozhnikov, "Einops: clear and reliable tensor manipulations", ICLR 2022.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from ...spec.dims import Dim, Polynomial, exact_quotient, numel, readable
from .request import Refusal, Request, agree, demanded, shown
from .values import show

Group = list[str]
_TOKEN = re.compile(r"\(|\)|\.\.\.|[A-Za-z_]\w*|1|\S")


def rearrange(r: Request) -> int:
    """Split the axes, order them, join them."""
    pattern = r["pattern"]
    sizes: dict[str, Dim] = {k: v for k, v in r.settings.items() if k != "pattern"}
    sides = pattern.split("->")
    if len(sides) != 2:
        raise _bad(f"`{pattern}` needs one `->`")
    left, right = (_groups(side, pattern) for side in sides)
    left, right = _without_dots(left, right, r)
    _check_names(left, right, sizes, pattern)
    extents = _extents(left, r.shape(), dict(sizes), pattern)
    names = [name for group in left for name in group]
    x = r.b.reshape(r.x[0], [extents[name] for name in names])
    wanted = [name for group in right for name in group if name != "1"]
    x = r.b.transpose(x, [names.index(name) for name in wanted])
    return r.b.reshape(x, [numel(extents[n] for n in group if n != "1") for group in right])


def _bad(message: str, hint: str | None = None) -> Refusal:
    return Refusal("E412", message, (), hint or 'for instance rearrange("b c h w -> b (h w) c")')


def _undivided(rest: Dim, group: Group, extent: Dim, shape: tuple[Dim, ...]) -> Refusal:
    """What is given of an axis does not divide it, or that cannot be known."""
    axis = f"the axis `({' '.join(group)})`, {readable(extent)}, of {shown(shape)}"
    if isinstance(extent, int):
        return Refusal("E409", f"{rest} does not divide {axis}", (0,))
    known = demanded(extent, rest * (extent // rest), rest) if isinstance(rest, int) else None
    hint = f"write {known} in the type of the input" if known else None
    return Refusal("E413", f"{rest} is not known to divide {axis}", (0,), hint)


def _groups(side: str, pattern: str) -> list[Group]:
    """`a (b c) 1` as [[a], [b, c], []]; `...` stays a group of its own."""
    groups: list[Group] = []
    inside: Group | None = None
    for token in _TOKEN.findall(side):
        if token == "(" and inside is None:
            inside = []
        elif token == ")" and inside is not None:
            groups.append(inside)
            inside = None
        elif token == "..." and inside is None:
            groups.append(["..."])
        elif token == "1" or token.isidentifier():
            named = [] if token == "1" else [token]
            if inside is None:
                groups.append(named)
            else:
                inside += named
        else:
            raise _bad(f"`{pattern}` has an unexpected `{token}`")
    if inside is not None:
        raise _bad(f"`{pattern}` has a `(` without `)`")
    return groups


def _without_dots(
    left: list[Group], right: list[Group], r: Request
) -> tuple[list[Group], list[Group]]:
    """`...` as as many axes as it stands for."""
    count = len(r.shape()) - len(left) + 1
    dots = [[f"...{i}"] for i in range(count)] if ["..."] in left else []
    if left.count(["..."]) > 1 or left.count(["..."]) != right.count(["..."]):
        raise _bad("`...` must stand once on both sides, or on none")

    def opened(groups: list[Group]) -> list[Group]:
        return [g for group in groups for g in (dots if group == ["..."] else [group])]

    left, right = opened(left), opened(right)
    if len(left) != len(r.shape()):
        have = shown(r.shape())
        raise Refusal(
            "E412", f"the pattern has {len(left)} axes, the tensor {have} {len(r.shape())}", (0,)
        )
    return left, right


def _check_names(
    left: list[Group], right: list[Group], sizes: Mapping[str, Dim], pattern: str
) -> None:
    before, after = ([n for g in side for n in g] for side in (left, right))
    for names in (before, after):
        double = next((n for n in names if names.count(n) > 1), None)
        if double:
            raise _bad(f"`{pattern}` names `{double}` twice on one side")
    lost = sorted(set(before) ^ set(after))
    if lost:
        raise _bad(f"`{lost[0]}` stands on one side of `{pattern}` only")
    unknown = sorted(set(sizes) - set(before))
    if unknown:
        raise _bad(f"`{pattern}` has no axis `{unknown[0]}`")
    for name, size in sizes.items():
        whole = isinstance(size, (int, Polynomial)) and not isinstance(size, bool)
        if not whole or (isinstance(size, int) and size < 1):
            wanted = "a whole number of at least 1"
            text = f"the size of the axis `{name}` must be {wanted}, not {show(size)}"
            raise Refusal("E311", text, ())


def _extents(
    left: list[Group], shape: tuple[Dim, ...], known: dict[str, Dim], pattern: str
) -> dict[str, Dim]:
    """The extent of every name: given, or what the others leave of its axis."""
    for group, extent in zip(left, shape, strict=True):
        free = [name for name in group if name not in known]
        if len(free) > 1:
            inner = " ".join(group)
            raise _bad(f"`({inner})` needs a size", f"give all but one: rearrange(…, {free[0]}=…)")
        rest = numel(known[name] for name in group if name in known)
        if free:
            share = exact_quotient(extent, rest)
            if share is None:
                raise _undivided(rest, group, extent, shape)
            known[free[0]] = share
        elif agree(rest, extent):
            code = agree(rest, extent) or "E403"
            what = " ".join(group) or "1"
            raise Refusal(code, f"`{what}` of `{pattern}` is {rest}, the axis is {extent}", (0,))
    return known
