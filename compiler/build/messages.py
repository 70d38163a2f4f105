"""Turns what an operation cannot do into a finding that names where its operands came from."""

from __future__ import annotations

from collections.abc import Sequence

from ...spec.dims import Dim
from ...spec.place import Place
from ..ir.op import ShapeError
from .elaboration import Elaboration
from .faults import Faults, fault
from .values import Origin, Tensor, Value


def shape_fault(
    e: Elaboration, error: ShapeError, operands: Sequence[Value], place: Place, subject: str
) -> Faults:
    """The finding for operands that do not fit, at the call."""
    hint = getattr(error, "hint", None)
    if hint is None:
        blamed = [operands[i] for i in error.operands if i < len(operands)]
        hint = origins(
            e, [v for v in blamed if isinstance(v, Tensor)], place, getattr(error, "axis", None)
        )
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


def shortcut(main: Tensor, short: Tensor) -> str:
    """The layer that would give the other side of a `residual` the shape of this one."""
    ours, theirs = main.type.shape, short.type.shape
    differing = [i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b]
    if len(ours) == len(theirs) > 2 and 1 in differing:
        strided = ", stride=2" if differing != [1] else ""
        return f"conv({ours[1]}, 1{strided})"
    known = len(ours) == len(theirs) and differing == [len(ours) - 1]
    return f"linear({ours[-1]})" if known else "linear(n)"


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
