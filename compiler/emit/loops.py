"""The loop IR, one page: a kernel walks rows, a pass walks the columns of one row.

A value is `full` (varies over rows and columns), `row`, `column` or `scalar`.  A value folded over
the columns is a row value afterwards.  Both printers read exactly this.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...spec.dims import Dim

Operand = str | float | int | bool  # the name of a value, or a number


@dataclass(frozen=True, slots=True)
class Axis:
    """A loop; `extent` is a number or a polynomial of symbolic sizes."""

    name: str
    extent: Dim


@dataclass(frozen=True, slots=True)
class Affine:
    """Sum of axis (or named integer value) times stride, plus offset.  Units: elements."""

    terms: tuple[tuple[Axis | str, Dim], ...]
    offset: Dim = 0


@dataclass(frozen=True, slots=True)
class Guard:
    """`low <= index < high`, else the load gives its `other`."""

    index: Affine
    low: Dim
    high: Dim


@dataclass(frozen=True, slots=True)
class Load:
    target: str
    buffer: str
    index: Affine
    guards: tuple[Guard, ...] = ()
    other: float = 0.0


@dataclass(frozen=True, slots=True)
class Let:
    """`target = function(operands)`; `cast` takes its type from the target, `table` gives that of
    its further operands, all numbers, at which the first points.
    """

    target: str
    function: str
    operands: tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class Position:
    """An index as an i32 value."""

    target: str
    index: Affine


@dataclass(frozen=True, slots=True)
class Size:
    """A symbolic size as an f32 value."""

    target: str
    dim: Dim


@dataclass(frozen=True, slots=True)
class Draw:
    """A random number: `kind` uniform or normal, element `index` of a stream, which is the kernel's
    number `stream`.
    """

    target: str
    kind: str
    stream: int
    index: Affine


@dataclass(frozen=True, slots=True)
class Fold:
    """Reduce `operand` over the columns; `target` is a row value once the pass is over."""

    target: str
    function: str
    operand: str


@dataclass(frozen=True, slots=True)
class Gather:
    """Add `operand` over the rows into `buffer`, in a fixed order: chunk partials, then one
    finish.
    """

    buffer: str
    operand: str
    index: Affine


@dataclass(frozen=True, slots=True)
class Store:
    buffer: str
    operand: Operand
    index: Affine


Statement = Load | Let | Position | Size | Draw | Fold | Gather | Store


@dataclass(frozen=True, slots=True)
class Pass:
    """`over_columns`: the body runs for every column; otherwise it is straight-line code of a
    row.
    """

    over_columns: bool
    body: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Value:
    """What is known of a named value."""

    kind: str
    dtype: str


@dataclass(frozen=True, slots=True)
class KernelBuffer:
    """A pointer argument: the graph value it stands for, and `in`, `out` or `gather`.

    `step` elements lie between what consecutive outermost rows access; `along` is the dimension
    that the outermost row walks one by one, None where there is no such dimension; `shape` is for
    the reader.
    """

    name: str
    value: int
    role: str
    dtype: str
    step: Dim
    along: int | None
    shape: str

    def of(self, value: int) -> KernelBuffer:
        """The argument for another value."""
        return KernelBuffer(
            self.name, value, self.role, self.dtype, self.step, self.along, self.shape
        )


@dataclass(frozen=True, slots=True)
class Kernel:
    """One fused loop nest.

    `streams` are those of the random numbers, `starts` the first rows of pieces, which statements
    call by `start_name`.  Kernels with the same `form` differ in these, in `places`, `bytes`, and
    the values behind the buffers.
    Units: `bytes` moved and `flops`, at the nominal sizes.
    """

    name: str
    rows: tuple[Axis, ...]
    columns: tuple[Axis, ...]
    passes: tuple[Pass, ...]
    values: Mapping[str, Value]
    buffers: tuple[KernelBuffer, ...]
    places: tuple[str, ...]
    bytes: int
    flops: int
    streams: tuple[int, ...] = ()
    starts: tuple[int, ...] = ()
    form: object = None


def start_name(number: int) -> str:
    """The size that stands for where a kernel's piece of rows starts."""
    return f".piece_start_{number + 1}"


def operands_of(statement: Statement) -> tuple[str, ...]:
    """The values a statement reads, indices included."""
    if isinstance(statement, Let):
        named = [o for o in statement.operands if isinstance(o, str)]
    elif isinstance(statement, (Fold, Gather)):
        named = [statement.operand]
    elif isinstance(statement, Store):
        named = [statement.operand] if isinstance(statement.operand, str) else []
    else:
        named = []
    index = getattr(statement, "index", None)
    if index is not None:
        named += [term for term, _ in index.terms if isinstance(term, str)]
    for guard in getattr(statement, "guards", ()):
        named += [term for term, _ in guard.index.terms if isinstance(term, str)]
    return tuple(named)
