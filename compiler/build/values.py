"""What a name in a spec stands for while it is elaborated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias, Union

from ...spec.dims import Polynomial, shape_text
from ...spec.expressions import Expr
from ...spec.place import Place
from ..ir.types import TensorType

if TYPE_CHECKING:
    from .scope import Scope


@dataclass(frozen=True, slots=True)
class Origin:
    """Who made a value or the extent of an axis: `conv` at 3:8, or the input `x` at 2:6.

    `kind`: call, input, data, weight or expression.
    """

    label: str
    place: Place | None
    kind: str = "call"

    def where(self, seen_from: Place | None) -> str:
        """The line and column, and the file where it is another one."""
        if self.place is None:
            return "?"
        if seen_from is not None and self.place.file == seen_from.file:
            return f"{self.place.line}:{self.place.column}"
        return str(self.place)


@dataclass(frozen=True, slots=True)
class Tensor:
    """A value of the graph.

    `name` is what the spec calls it; `since` says who made each axis so long; `weight` is the full
    name of a parameter; `given` tells a tensor that stands where a setting may be left out.
    """

    id: int
    type: TensorType
    origin: Origin
    name: str = ""
    since: tuple[Origin, ...] = ()
    weight: str = ""
    given: bool = False

    def __str__(self) -> str:
        return shape_text(self.type.shape)


@dataclass(frozen=True, slots=True)
class Start:
    """An initialiser with all of its settings: how a weight begins."""

    kind: str
    settings: tuple[tuple[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Operation:
    """The name of an operation, block or net, not called yet."""

    name: str


@dataclass(slots=True)
class Layer:
    """A `let`: an operation without its input; all uses share its weights."""

    name: str
    node: Expr
    path: str
    scope: Scope
    place: Place
    uses: int = 0
    weights: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Inner:
    """`layer.part`: what lies below a path inside a layer."""

    layer: Layer
    path: str


class Broken:
    """The value of a name whose definition is wrong: it is silent wherever it is used."""

    def __repr__(self) -> str:
        return "BROKEN"


BROKEN = Broken()

Static: TypeAlias = Union[bool, int, float, str, Polynomial, "tuple[Static, ...]"]
Value: TypeAlias = Tensor | Start | Operation | Layer | Inner | Broken | Static
Values: TypeAlias = tuple[Value, ...]

Settings: TypeAlias = Mapping[str, Any]


def is_number(value: object) -> bool:
    """An int, a float or a dim; not a boolean."""
    return isinstance(value, (int, float, Polynomial)) and not isinstance(value, bool)


def show(value: object) -> str:
    """A value as the spec would write it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple):
        return f"[{', '.join(map(show, value))}]"
    if isinstance(value, Tensor):
        return f"a tensor {value.type}"
    if isinstance(value, Operation):
        return f"the operation `{value.name}`"
    if isinstance(value, Layer):
        return f"the layer `{value.name}`"
    if isinstance(value, Start):
        return f"the initialiser `{value.kind}`"
    return str(value)
