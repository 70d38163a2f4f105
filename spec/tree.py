"""The tree both surface forms are read into.

Equality ignores places, so a `.weft` text and its YAML twin give equal trees. The place of a
structure is its keyword; of anything with a name, the name. Expressions have a file of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

from .expressions import Expr, Setting
from .place import Place

if TYPE_CHECKING:
    from typing_extensions import TypeIs

# ---------------------------------------------------------------- flows


@dataclass(frozen=True, slots=True)
class Piece:
    """One stage of a flow and the names `as` gives to its values (`places`: one a name)."""

    stage: Expr | Structure
    names: tuple[str, ...]
    place: Place = field(compare=False)
    places: tuple[Place, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Flow:
    """`piece -> piece`; a lone expression is a flow of one piece."""

    pieces: tuple[Piece, ...]
    place: Place = field(compare=False)


@dataclass(frozen=True, slots=True)
class Residual:
    """`residual { main | shortcut }`."""

    main: Flow
    shortcut: Flow | None
    place: Place = field(compare=False)


@dataclass(frozen=True, slots=True)
class Branch:
    """`branch { a | b }`: one value an arm."""

    arms: tuple[Flow, ...]
    place: Place = field(compare=False)


@dataclass(frozen=True, slots=True)
class Repeat:
    """`repeat count as index { body }`."""

    count: Expr
    index: str | None
    body: Flow
    place: Place = field(compare=False)


@dataclass(frozen=True, slots=True)
class For:
    """`for name in values { body }`."""

    name: str
    values: Expr
    body: Flow
    place: Place = field(compare=False)


@dataclass(frozen=True, slots=True)
class If:
    """`if condition { then } else { otherwise }`; `else if` is an If alone in `otherwise`."""

    condition: Expr
    then: Flow
    otherwise: Flow | None
    place: Place = field(compare=False)


Structure: TypeAlias = Residual | Branch | Repeat | For | If


def is_structure(stage: object) -> TypeIs[Structure]:
    """Whether a stage is a structure rather than an expression."""
    return isinstance(stage, (Residual, Branch, Repeat, For, If))


# ---------------------------------------------------------------- bodies


@dataclass(frozen=True, slots=True)
class Type:
    """`f32[B, 3, H%8, W]`."""

    dtype: str
    dims: tuple[Expr, ...]
    place: Place = field(compare=False)


@dataclass(frozen=True, slots=True)
class Input:
    """`in name: type`."""

    name: str
    type: Type
    place: Place = field(compare=False)


@dataclass(frozen=True, slots=True)
class Let:
    """`let name = layer`."""

    name: str
    value: Expr
    place: Place = field(compare=False)


@dataclass(frozen=True, slots=True)
class Weight:
    """`weight name: type = initialiser`."""

    name: str
    type: Type
    init: Expr
    place: Place = field(compare=False)


NOBODY = "_"
"""The name of a value that nobody needs; several may have it."""


@dataclass(frozen=True, slots=True)
class Assign:
    """`a, b = flow` (`places`: one a name)."""

    names: tuple[str, ...]
    flow: Flow
    place: Place = field(compare=False)
    places: tuple[Place, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Default:
    """`default operation(key=value)`."""

    operation: str
    settings: tuple[Setting, ...]
    place: Place = field(compare=False)


@dataclass(frozen=True, slots=True)
class Body:
    """What stands between the braces of a block or net, grouped by section."""

    inputs: tuple[Input, ...]
    defaults: tuple[Default, ...]
    lets: tuple[Let, ...]
    weights: tuple[Weight, ...]
    values: tuple[Assign, ...]
    results: tuple[Flow, ...]
    place: Place = field(compare=False)


# ---------------------------------------------------------------- items of a file


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a block; `choices` are the bare words an argument may be."""

    name: str
    default: Expr | None
    choices: tuple[str, ...]
    place: Place = field(compare=False)


@dataclass(frozen=True, slots=True)
class Block:
    """`block name(parameters) { body }`."""

    name: str
    parameters: tuple[Parameter, ...]
    body: Body
    place: Place = field(compare=False)


@dataclass(frozen=True, slots=True)
class Net:
    """`net name { body }`."""

    name: str
    body: Body
    place: Place = field(compare=False)


@dataclass(frozen=True, slots=True)
class Variant:
    """`variant name { param=value }`."""

    name: str
    settings: tuple[Setting, ...]
    place: Place = field(compare=False)


@dataclass(frozen=True, slots=True)
class Import:
    """`import "path"`."""

    path: str
    place: Place = field(compare=False)


@dataclass(frozen=True, slots=True)
class Data:
    """`data a: type, b: type = source` (`places`: one a name)."""

    names: tuple[str, ...]
    types: tuple[Type, ...] | None
    source: Expr
    place: Place = field(compare=False)
    places: tuple[Place, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Metric:
    """`metric name = flow`."""

    name: str
    flow: Flow
    place: Place = field(compare=False)


@dataclass(frozen=True, slots=True)
class Step:
    """`step name updates nets { … }` (`places`: one an updated net)."""

    name: str
    updates: tuple[str, ...]
    settings: tuple[Setting, ...]
    values: tuple[Assign, ...]
    loss: Flow
    metrics: tuple[Metric, ...]
    place: Place = field(compare=False)
    places: tuple[Place, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Train:
    """`train { … }`."""

    settings: tuple[Setting, ...]
    data: tuple[Data, ...]
    steps: tuple[Step, ...]
    place: Place = field(compare=False)


@dataclass(frozen=True)
class File:
    """One spec file, its items grouped by kind; `text` is what it was read from."""

    imports: tuple[Import, ...]
    params: tuple[Setting, ...]
    variants: tuple[Variant, ...]
    defaults: tuple[Default, ...]
    blocks: tuple[Block, ...]
    nets: tuple[Net, ...]
    train: Train | None
    path: str = field(compare=False)
    text: str = field(compare=False, repr=False)

    @cached_property
    def place(self) -> Place:
        """The start of the file."""
        return Place(self.path, 1, 1, 2)


Node: TypeAlias = (
    Expr
    | Setting
    | Piece
    | Flow
    | Structure
    | Type
    | Input
    | Let
    | Weight
    | Assign
    | Default
    | Body
    | Parameter
    | Block
    | Net
    | Variant
    | Import
    | Data
    | Metric
    | Step
    | Train
)
