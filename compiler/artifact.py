"""What the compiler hands to the runtime: kernel texts, buffers, launches and the training recipe.

This is the one window in the wall between `compiler` and `runtime`.  It holds plain data only, is
written as JSON beside the kernels, and is carried verbatim by every generated package, so it
imports nothing but the standard library.

An `Expression` is a number, a name, or `(operator, operand, ...)`: `("*", "B", 128)` is B*128 and
`("/", 1, ("-", 1, ("**", 0.9, "step")))` Adam's first correction.  It is data, never evaluated
code.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Expression = int | float | str | tuple[Any, ...]

VERSION = 1

KEPT = ".kept."
"""In the names of buffers that hold the states of the sequences in a batch, one a row."""

ITEM_BYTES = {"f64": 8, "i64": 8, "f32": 4, "i32": 4, "f16": 2, "bf16": 2, "bool": 1}
"""Bytes of one element of each dtype."""

OPERATORS: dict[str, Callable[..., float]] = {
    "+": lambda *a: sum(a),
    "-": lambda a, b: a - b,
    "*": lambda *a: math.prod(a),
    "/": lambda a, b: a / b,
    "//": lambda a, b: a // b,
    "%": lambda a, b: a % b,
    "**": lambda a, b: a**b,
    "sqrt": lambda a: math.sqrt(a),
    "min": min,
    "max": max,
}
"""What an expression may compute."""


def evaluate(expression: Expression, names: Mapping[str, float]) -> Any:
    """The value of an `Expression`.

    Raises: KeyError for a name that `names` lacks.
    """
    if isinstance(expression, str):
        return names[expression]
    if isinstance(expression, tuple):
        operator, *operands = expression
        return OPERATORS[operator](*(evaluate(o, names) for o in operands))
    return expression


def names_in(expression: Expression) -> Iterator[str]:
    """The names that an `Expression` is made of."""
    if isinstance(expression, str):
        yield expression
    elif isinstance(expression, tuple):
        for operand in expression[1:]:
            yield from names_in(operand)


THREADS = ".threads"
"""How many there are: beside the sizes in the bytes of a workspace."""


@dataclass(frozen=True, slots=True)
class Initialiser:
    """How a parameter starts: `kind` with its settings, and the fans it is scaled by."""

    kind: str
    settings: tuple[tuple[str, Any], ...]
    fan_in: int
    fan_out: int


@dataclass(frozen=True, slots=True)
class Parameter:
    """One trainable tensor: a strided view of the flat parameter arena with PyTorch's shape.

    `trainable` is false for a buffer, such as a running statistic.  Units: `offset` and `strides`
    in elements.
    """

    name: str
    shape: tuple[int, ...]
    offset: int
    strides: tuple[int, ...]
    initialiser: Initialiser
    place: str
    trainable: bool = True


@dataclass(frozen=True, slots=True)
class Port:
    """A tensor that enters or leaves an entry, contiguous, row-major.

    `below`: its whole numbers index a table of so many entries; 0: they may be any.
    """

    name: str
    dtype: str
    shape: tuple[Expression, ...]
    below: int = 0


@dataclass(frozen=True, slots=True)
class Scalar:
    """A number the host passes with each call, computed from `rate` and `step` (from 1) in
    float64.
    """

    name: str
    value: Expression


@dataclass(frozen=True, slots=True)
class Buffer:
    """A value in memory.

    `space`: input, output, parameter, gradient, state, scalar, constant or workspace; `slot` says
    which one of them; `offset` is in bytes from the start of the space (symbolic in the workspace),
    `strides` in elements.
    """

    name: str
    dtype: str
    shape: tuple[Expression, ...]
    space: str
    slot: int
    offset: Expression
    strides: tuple[Expression, ...]
    place: str


@dataclass(frozen=True, slots=True)
class Launch:
    """One kernel launch of a GPU entry.

    `arguments` name buffers, sizes (`"size:B"`, or `("size", expression)`), numbers (`"int:64"`)
    or what the host passes (`"call:seed"`); `grid` is up to three extents.  Launches of one `loop`
    (none: 0) follow one another and are repeated together, `times` times; `("at", buffer, step)`
    moves on by so many elements each time, from the last to the first if `reverse`.  `alone`: its
    programs have a processor each, so that one may take all registers.
    """

    kernel: str
    grid: tuple[Expression, ...]
    arguments: tuple[str | tuple[str, Expression] | tuple[str, str, Expression], ...]
    constants: tuple[tuple[str, Any], ...]
    warps: int
    stages: int
    loop: int = 0
    times: Expression = 1
    reverse: bool = False
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Need:
    """What must hold of the sizes of a call: `least` is at least 0; `text` is for people."""

    text: str
    least: Expression


@dataclass(frozen=True, slots=True)
class Entry:
    """One function that the runtime can call.

    `kind`: forward, gradient, train, update, evaluate or probe; `subject` the net or training step.
    `workspace` bytes are needed for given sizes.  In C the function is `symbol(const weft_call *)`
    and returns 0, or 1 when a loss or gradient was not finite and nothing was updated.  `buffers`
    are listed in the order in which they are written; a probe reuses none of them.
    """

    kind: str
    subject: str
    symbol: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    sizes: tuple[str, ...]
    scalars: tuple[Scalar, ...]
    workspace: Expression
    buffers: tuple[Buffer, ...]
    launches: tuple[Launch, ...] = ()
    needs: tuple[Need, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.kind}_{self.subject}"


PREPARE, DECODE = "prepare", "decode"
"""The kinds of the two entries of a net that writes: what is computed once, and one step on."""

FRESH, SLOTS, PAST = ".fresh", ".slots", ".past"
"""The sizes of new positions and of a cache, and the input that counts earlier positions."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What a net that writes keeps from one step to the next, by the inputs of its `decode` entry.

    `tokens` run along the sequence; `prepared` are computed once, or given as they are; `caches`
    have room along an axis, and an output `new_<name>`; `carries` come back as `next_<name>`.  The
    first step must have at least `prefix` positions, which see each other.
    """

    tokens: tuple[str, ...]
    prepared: tuple[str, ...]
    caches: tuple[tuple[str, int], ...]
    carries: tuple[str, ...]
    prefix: int = 0


@dataclass(frozen=True, slots=True)
class KernelRecord:
    """What one kernel costs at the nominal sizes, and where in the spec it comes from.

    Units: `bytes` moved between memory and the kernel, `flops` floating-point operations.
    """

    name: str
    entry: str
    kind: str
    bytes: int
    flops: int
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    places: tuple[str, ...]
    compile: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class State:
    """An array as long as the parameter arena that an optimizer keeps."""

    step: str
    name: str
    initial: float


@dataclass(frozen=True, slots=True)
class Artifact:
    """A compiled spec.

    `files` maps file names to kernel texts, `spec` the names of the source files to their texts.
    `length` is the number of elements of the parameter arena (padded); `sizes` the nominal value
    of every symbolic dimension; `train` the training recipe, plain JSON data (see
    docs/architecture.md).
    """

    name: str
    target: str
    precision: str
    files: Mapping[str, str]
    spec: Mapping[str, str]
    parameters: tuple[Parameter, ...]
    length: int
    states: tuple[State, ...]
    entries: tuple[Entry, ...]
    kernels: tuple[KernelRecord, ...]
    sizes: Mapping[str, int]
    train: Mapping[str, Any] | None
    traffic: Mapping[str, Any]
    version: int = VERSION

    def entry(self, kind: str, subject: str) -> Entry:
        """Raises: KeyError when there is none."""
        for entry in self.entries:
            if (entry.kind, entry.subject) == (kind, subject):
                return entry
        raise KeyError(f"{kind}_{subject}")


def to_json(artifact: Artifact) -> str:
    """The artifact without its kernel texts, which are stored as files of their own."""
    data = dataclasses.asdict(artifact)
    data["files"] = sorted(artifact.files)
    return json.dumps(data, indent=1)


def from_json(text: str, files: Mapping[str, str]) -> Artifact:
    """The inverse of `to_json`; `files` gives the kernel texts.

    Raises: ValueError for a manifest of another version.
    """
    data = json.loads(text)
    if data.get("version") != VERSION:
        raise ValueError(f"the manifest has version {data.get('version')}, this is {VERSION}")
    data["files"] = dict(files)
    for field, kind in (
        ("parameters", Parameter),
        ("states", State),
        ("entries", Entry),
        ("kernels", KernelRecord),
    ):
        data[field] = tuple(_build(kind, item) for item in data[field])
    return Artifact(**data)


_NESTED: dict[tuple[type, str], type] = {
    (Parameter, "initialiser"): Initialiser,
    (Entry, "inputs"): Port,
    (Entry, "outputs"): Port,
    (Entry, "scalars"): Scalar,
    (Entry, "buffers"): Buffer,
    (Entry, "launches"): Launch,
    (Entry, "needs"): Need,
}


def _build(kind: type, item: Mapping[str, Any]) -> Any:
    values = {}
    for name, value in item.items():
        nested = _NESTED.get((kind, name))
        if nested and isinstance(value, list):
            values[name] = tuple(_build(nested, v) for v in value)
        elif nested:
            values[name] = _build(nested, value)
        elif name == "compile":
            values[name] = value
        else:
            values[name] = _tuples(value)
    return kind(**values)


def kept_of(data: Mapping[str, Any]) -> Kept:
    """The inverse of `dataclasses.asdict`, of JSON data."""
    return Kept(**{name: _tuples(value) for name, value in data.items()})


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value
