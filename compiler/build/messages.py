"""Turns what an operation cannot do into a finding that names where its operands came from."""

from __future__ import annotations

from collections.abc import Sequence

from ...spec.dims import Dim, sign
from ...spec.place import Place
from ..ir.op import ShapeError
from .elaboration import Elaboration
from .faults import Faults, fault
from .request import demanded
from .values import Origin, Tensor, Value


def shape_fault(
    e: Elaboration, error: ShapeError, operands: Sequence[Value], place: Place, subject: str
) -> Faults:
    """The finding for operands that do not fit, at the call."""
    hint = getattr(error, "hint", None)
    if hint is None:
        named = [operands[i] for i in error.operands if i < len(operands)]
        blamed, axis = [v for v in named if isinstance(v, Tensor)], getattr(error, "axis", None)
        hint = origins(e, blamed, place, axis)
        if subject == "concat" and (way := _cropped(blamed, axis)):
            hint = f"{hint}; {way}" if hint else way
    return fault(error.code, error.message, place, hint, subject)


def origins(e: Elaboration, blamed: Sequence[Tensor], place: Place, axis: int | None) -> str | None:
    """Where the operands came from: ``axis 2: H//2 since max_pool at 3:27; `s` from 3:8``.

    Inside a library block all of it is seen from the user's call.
    """
    if e.maker is not None and e.maker.place is not None:
        place = e.maker.place
    parts = []
    where = axis
    if where is None and len(blamed) == 2:
        where = _first_difference(blamed[0], blamed[1])
    for tensor in blamed:
        said = _origin(tensor, place, where)
        if said and said not in parts:
            parts.append(said)
    if not parts:
        return None
    text = "; ".join(parts)
    return f"axis {where}: {text}" if axis is not None and axis >= 0 and len(blamed) == 2 else text


def _cropped(blamed: Sequence[Tensor], axis: int | None) -> str | None:
    """How two sets of maps of unlike sizes come to stand beside each other."""
    if axis is None or axis < 2 or [len(t.type.shape) for t in blamed] != [4, 4]:
        return None
    ours, theirs = (tensor.type.shape[2:] for tensor in blamed)
    order = {sign(a - b) for a, b in zip(ours, theirs, strict=True)} - {0}
    if order == {1} or order == {-1}:
        sizes = ", ".join(map(str, theirs if order == {1} else ours))
        return f"center_crop([{sizes}]) cuts the larger"
    wanted = [demanded(a, b) for a, b in zip(ours, theirs, strict=True)]
    if None not in wanted and any(wanted):
        listed = ", ".join(filter(None, wanted))
        return f"write {listed} in the type of the input, or cut with center_crop"
    return "center_crop cuts both to one size"


def shortcut(main: Tensor, short: Tensor) -> str | None:
    """The layer that would give the other side of a `residual` the shape of this one, if any."""
    ours, theirs = main.type.shape, short.type.shape
    if len(ours) != len(theirs):
        return "linear(n)"
    differing = [i for i, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b]
    if differing == [len(ours) - 1]:
        return f"linear({ours[-1]})"
    if len(ours) < 3 or 0 in differing:
        return "linear(n)"
    if differing == [1]:
        return f"conv({ours[1]}, 1)"
    if not all(map(_halved, ours[2:], theirs[2:])):
        return None
    return f"conv({ours[1]}, 1, stride=2)" if 1 in differing else "max_pool(1, stride=2)"


def _halved(ours: Dim, theirs: Dim) -> bool:
    """May this be what a stride of 2 leaves of an axis?"""
    extra = 2 * ours - theirs
    return sign(extra) in (0, 1, None) and sign(extra - 2) in (-1, None)


def _origin(tensor: Tensor, place: Place, axis: int | None) -> str | None:
    """`` `s` from 3:8``, or `H//2 since max_pool at 3:27` for a value without a name."""
    if tensor.origin.place == place or tensor.origin.place is None:
        return None
    if tensor.name:
        return f"`{tensor.name}` from {tensor.origin.where(place)}{_since(tensor, place, axis)}"
    if axis is not None and -len(tensor.since) <= axis < len(tensor.since):
        since = tensor.since[axis]
        if since.place is not None:
            return f"{tensor.type.shape[axis]} since {made_by(since)} at {since.where(place)}"
    return f"{tensor} from {made_by(tensor.origin)} at {tensor.origin.where(place)}"


def _since(tensor: Tensor, place: Place, axis: int | None) -> str:
    """`, 16 since conv at 4:12`: the layer that made an axis of a named value so long."""
    if axis is None or not -len(tensor.since) <= axis < len(tensor.since):
        return ""
    since = tensor.since[axis]
    if since.place is None or since.place == tensor.origin.place:
        return ""
    return f", {tensor.type.shape[axis]} since {made_by(since)} at {since.where(place)}"


def made_by(origin: Origin) -> str:
    """Who made it, as the text has it."""
    return f"`{origin.label}`" if origin.kind in ("input", "data", "weight") else origin.label


def _first_difference(a: Tensor, b: Tensor) -> int | None:
    """The last axis, counted from the back, in which two shapes do not broadcast."""
    pairs: list[tuple[Dim, Dim]] = list(
        zip(reversed(a.type.shape), reversed(b.type.shape), strict=False)
    )
    for i, (e, f) in enumerate(pairs):
        if e != f and 1 not in (e, f):
            return -1 - i
    return None
