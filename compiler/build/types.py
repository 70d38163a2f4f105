"""Types of inputs: what arrives is checked against them, and binds their sizes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ...spec.dims import Dim, Polynomial, exact_quotient, symbol
from ...spec.expressions import Binary, Dots, Expr, Name
from ...spec.place import Place
from ...spec.spell import expression
from ...spec.tree import Input, Type
from ..ir.types import DTYPES, FLOATS, INTEGERS, NARROW, TensorType
from . import expressions
from .elaboration import Elaboration
from .faults import Faults, fault
from .messages import origins
from .names import names_in
from .request import agree, shown
from .scope import Scope
from .values import Origin, Tensor, Value, is_number, show

ANY = "any"  # the element type of an input that takes all of them
SYMBOL = re.compile(r"[A-Z][A-Z0-9_]*")


@dataclass(frozen=True, slots=True)
class Binder:
    """`H`, or `H%8`: a size that is bound here."""

    name: str
    multiple: int
    place: Place


def bind_input(
    e: Elaboration, declared: Input, value: Value, body: Scope, place: Place, subject: str
) -> Tensor:
    """What arrives for an input, checked; its sizes become names of the body.

    Raises: Faults E402, E403, E413 for the shape, E414 for the element type.
    """
    type = declared.type
    check_dtype(type, (*DTYPES, ANY))
    if not isinstance(value, Tensor):
        return _number(e, declared, value, body, place, subject)
    if not takes(type.dtype, value.type.dtype):
        hint = f"convert it: cast({value.name or declared.name}, {type.dtype})"
        message = f"`{declared.name}` must be {type.dtype}, got {value.type}"
        raise fault("E414", message, place, hint, subject)
    _bind_dims(e, declared, value, body, place, subject)
    if type.dtype in NARROW:
        id = e.b.rounded(value.id, type.dtype)
        value = replace(value, id=id, type=e.b[id].type)
    if body.library:
        return replace(value, name=declared.name) if not value.name else value
    return replace(value, name=declared.name, origin=Origin(declared.name, declared.place, "input"))


def declared_type(e: Elaboration, type: Type, body: Scope, place: Place) -> TensorType:
    """The type of an input that nothing arrives for yet: unknown sizes become symbols."""
    check_dtype(type, DTYPES)
    dims: list[Dim] = []
    for dim in type.dims:
        if isinstance(dim, Dots):
            hint = "write all axes: f32[B, 3, H, W]"
            raise fault("E402", "the number of axes must be known here", dim.place, hint)
        binder = _binder(e, dim, body)
        if binder is not None:
            size = symbol(binder.name, binder.multiple)
            body.define(binder.name, size, binder.place, "dim")
            dims.append(size)
            continue
        for each in _fixed(e, dim, body):
            if isinstance(each, int) and each < 1:
                raise fault("E311", f"a size must be at least 1, not {each}", dim.place)
            dims.append(each)
    return TensorType(type.dtype, tuple(dims))


def check_dtype(type: Type, known: Sequence[str]) -> None:
    """Raises: Faults E414 for an element type that does not exist."""
    if type.dtype not in known:
        hint = f"element types are {', '.join(DTYPES)}"
        raise fault(
            "E414", f"unknown element type `{type.dtype}`", type.place.first(len(type.dtype)), hint
        )


def turned_round(inputs: Sequence[Input], given: Sequence[Value], subject: str) -> str | None:
    """`f(a, b)` where two tensors fit the inputs of an operation in the other order alone."""
    tensors = [value for value in given if isinstance(value, Tensor)]
    if len(inputs) != 2 or len(tensors) != 2 or subject.startswith("_"):
        return None
    wanted, got = [i.type.dtype for i in inputs], [t.type.dtype for t in tensors]
    if all(map(takes, wanted, got)) or not all(map(takes, wanted, got[::-1])):
        return None
    names = [t.name or i.name for i, t in zip(inputs, tensors[::-1], strict=True)]
    return f"the other way round: `{subject}({', '.join(names)})`"


def takes(wanted: str, got: str) -> bool:
    """Floating-point types stand for each other here, and so do whole numbers."""
    same = (wanted in FLOATS and got in FLOATS) or (wanted in INTEGERS and got in INTEGERS)
    return wanted in (ANY, got) or same


def _number(
    e: Elaboration, declared: Input, value: Value, body: Scope, place: Place, subject: str
) -> Tensor:
    """A number for an input: repeated to the shape where the type says which."""
    dtype = declared.type.dtype
    if not (is_number(value) or isinstance(value, bool)):
        message = f"`{declared.name}` must be a tensor or a number, not {show(value)}"
        raise fault("E317", message, place, None, subject)
    (id,) = e.operands((value,))
    if dtype != ANY and not takes(dtype, e.b[id].dtype):
        if dtype not in FLOATS:
            message = f"`{declared.name}` must be {dtype}, got {show(value)}"
            raise fault("E414", message, place, None, subject)
        id = e.b.cast(id, dtype)
    unbound = any(isinstance(d, Dots) or _binder(e, d, body) for d in declared.type.dims)
    if not unbound:
        shape = [each for dim in declared.type.dims for each in _fixed(e, dim, body)]
        id = e.b.expand(id, tuple(shape))
    return e.tensor(id, Origin(show(value), place, "expression"))


def size_of(e: Elaboration, dim: Expr, body: Scope) -> Dim | None:
    """The size that a dim of an input says, None for one that what arrives decides."""
    return None if _binder(e, dim, body) is not None else _fixed(e, dim, body)[0]


def bind_size(dim: Expr, size: Dim, body: Scope) -> None:
    """Give the size that a dim names to the body, unless the name has one."""
    if isinstance(dim, Name) and not body.has(dim.id):
        body.define(dim.id, size, dim.place, "dim")


# ---- sizes -----------------------------------------------------------------------------------


def _bind_dims(
    e: Elaboration, declared: Input, value: Tensor, body: Scope, place: Place, subject: str
) -> None:
    patterns = _patterns(e, declared.type.dims, body)
    shape = value.type.shape
    dots = sum(isinstance(p, Dots) for p in patterns)
    if len(patterns) - dots > len(shape) or (not dots and len(patterns) != len(shape)):
        message = f"`{declared.name}` must be {_spelt(e, declared.type, body)}, got {shown(shape)}"
        raise fault("E402", message, place, origins(e, [value], place, None), subject)
    axis = 0
    for pattern in patterns:
        if isinstance(pattern, Dots):
            axis += len(shape) - len(patterns) + 1
            continue
        got = shape[axis]
        if isinstance(pattern, Binder):
            _bind(e, declared, pattern, got, value, body, place, subject)
        else:
            if not isinstance(pattern, (int, Polynomial)):
                pattern = _fixed(e, pattern, body)[0]
            code = agree(pattern, got)
            if code:
                raise _mismatch(e, declared, value, axis, pattern, code, body, place, subject)
        axis += 1


def _patterns(e: Elaboration, dims: Sequence[Expr], body: Scope) -> list[Dim | Binder | Expr]:
    """Sizes, binders and dots, one an axis; an expression that waits for a binder stays one."""
    patterns: list[Dim | Binder | Expr] = []
    waiting: set[str] = set()
    for dim in dims:
        binder = None if isinstance(dim, Dots) else _binder(e, dim, body)
        if isinstance(dim, Dots):
            patterns.append(dim)
        elif binder is not None and binder.name not in waiting:
            patterns.append(binder)
            waiting.add(binder.name)
        elif waiting & set(names_in(dim)):
            patterns.append(dim)
        else:
            patterns += _fixed(e, dim, body)
    return patterns


def _binder(e: Elaboration, dim: Expr, body: Scope) -> Binder | None:
    """The size that a dim binds: a name in capitals that is not defined otherwise."""
    base, multiple = dim, 1
    if isinstance(dim, Binary) and dim.operator == "%" and isinstance(dim.left, Name):
        base = dim.left
    if not isinstance(base, Name) or not SYMBOL.fullmatch(base.id) or body.has(base.id):
        return None
    if e.catalogue.taken(base.id):
        return None
    if base is not dim:
        assert isinstance(dim, Binary)
        found = expressions.known(e, dim.right, body, "a divisor")
        if isinstance(found, bool) or not isinstance(found, int) or found < 1:
            raise fault(
                "E311",
                f"a divisor must be a whole number of at least 1, not {show(found)}",
                dim.place,
            )
        multiple = found
    return Binder(base.id, multiple, dim.place)


def _bind(
    e: Elaboration,
    declared: Input,
    binder: Binder,
    got: Dim,
    value: Tensor,
    body: Scope,
    place: Place,
    subject: str,
) -> None:
    if exact_quotient(got, binder.multiple) is None:
        decided = isinstance(got, int)
        message = f"`{declared.name}` must be {_spelt(e, declared.type, body)}, got {value}: "
        message += f"{got} is not {'' if decided else 'known to be '}divisible by {binder.multiple}"
        hint = None if decided else f"write `{got}%{binder.multiple}` in the type of the input"
        raise fault("E403" if decided else "E413", message, place, hint, subject)
    body.define(binder.name, got, binder.place, "dim")


def _fixed(e: Elaboration, dim: Expr, body: Scope) -> list[Dim]:
    """The sizes that an expression gives: one, or those of a list such as `shape(x)`."""
    found = expressions.known(e, dim, body, "a size")
    listed = found if isinstance(found, tuple) else (found,)
    sizes: list[Dim] = []
    for each in listed:
        if isinstance(each, bool) or not isinstance(each, (int, Polynomial)):
            raise fault("E311", f"a size must be a whole number, not {show(each)}", dim.place)
        sizes.append(each)
    return sizes


def _mismatch(
    e: Elaboration,
    declared: Input,
    value: Tensor,
    axis: int,
    want: Dim,
    code: str,
    body: Scope,
    place: Place,
    subject: str,
) -> Faults:
    got = value.type.shape[axis]
    relation = "is not" if code == "E403" else "is not known to be"
    wanted = _spelt(e, declared.type, body)
    message = f"`{declared.name}` must be {wanted}, got {value}: {got} {relation} {want}"
    said = origins(e, [value], place, axis)
    hint = f"axis {axis}: {said}" if said else None
    return fault(code, message, place, hint, subject)


def _spelt(e: Elaboration, type: Type, body: Scope) -> str:
    """The type as the text has it, with a list of sizes as what it stands for."""
    parts = []
    for dim in type.dims:
        text = expression(dim) if not isinstance(dim, Dots) else "..."
        listed = _binder(e, dim, body) is None and "(" in text
        parts += [str(size) for size in _fixed(e, dim, body)] if listed else [text]
    return f"{type.dtype}[{', '.join(parts)}]"
