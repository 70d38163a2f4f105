"""The state of an elaboration: one graph being built, and what all graphs of a spec share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from ...spec.dims import Dim, Polynomial
from ...spec.load import Spec
from ...spec.place import Place
from ...spec.static import FUNCTIONS
from ...spec.tree import Block, Net
from ..artifact import Initialiser
from ..ir.builder import Builder
from ..ir.types import FLOATS, TensorType
from ..ops import new_builder
from .faults import Fault, Faults, fault
from .intrinsics import INTRINSICS, Intrinsic
from .scope import Scope
from .values import Origin, Tensor, Value, is_number

Callee: TypeAlias = Intrinsic | Block | Net

DEEPEST = 64  # blocks inside blocks
MOST_CALLS = 100_000  # operations of one graph
TRAINING = "training"  # the static name that tells a step from inference


@dataclass(frozen=True, slots=True)
class ParameterDeclaration:
    """A trainable tensor that the spec declares.

    `name`: "mlp.linear.weight", in PyTorch's layout; `node`: what feeds it into every graph.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    initialiser: Initialiser
    node: str
    place: Place
    trainable: bool = True


@dataclass(frozen=True, slots=True)
class Row:
    """One call of the user's text in a net: which nodes and parameters it made."""

    path: str
    op: str
    outputs: tuple[TensorType, ...]
    nodes: range
    parameters: tuple[str, ...]
    place: Place


class Catalogue:
    """What the graphs of one spec share: its names, its parameters, the findings so far."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.nets = {net.name: net for net in spec.file.nets}
        self.declared: dict[str, ParameterDeclaration] = {}
        self.faults: list[Fault] = []
        self.broken: set[str] = set()
        self._roots: dict[str, Scope] = {}

    def find(self, name: str, library: bool) -> tuple[Callee, bool] | None:
        """What a name calls, as seen from a text, and whether that is the library's."""
        own, prelude = self.spec.blocks.own, self.spec.blocks.behind
        if not library:
            found = own.get(name) or self.nets.get(name)
            if found is not None:
                return found, False
        if name in INTRINSICS:
            return INTRINSICS[name], True
        if name in prelude and (library or not name.startswith("_")):
            return prelude[name], True
        return None

    def operations(self, library: bool = False) -> list[str]:
        """All names that can be called, for suggestions."""
        names = [*self.spec.blocks.own, *self.nets] if not library else []
        return [*names, *INTRINSICS, *(n for n in self.spec.blocks.behind if n[0] != "_")]

    def taken(self, name: str) -> str | None:
        """What already has this name everywhere, if anything: a value may not hide it."""
        spec = self.spec
        if name in spec.blocks.own or name in self.nets:
            return "block" if name in spec.blocks.own else "net"
        if name in INTRINSICS or name in FUNCTIONS or name in spec.blocks.behind:
            return "operation"
        return "word" if name == TRAINING else None

    def root(self, place: Place, library: bool) -> Scope:
        """The scope of the file in which a block or net stands."""
        file = f"{library}:{place.file}"
        if file not in self._roots:
            home = None if library else self.spec.modules.get(place.file)
            constants = dict(home.constants) if home else {}
            self._roots[file] = Scope.of_file(constants, home.defaults if home else (), library)
        return self._roots[file]

    def add(self, found: Faults) -> None:
        """Keep findings; of one kind at one place, the first: a block is used more than once."""
        for new in found.faults:
            if all((new.code, new.place) != (f.code, f.place) for f in self.faults):
                self.faults.append(new)


@dataclass(slots=True)
class Elaboration:
    """One graph being built.

    `streams` numbers its random values from there on; `maker` is the user's call of a library block
    that is running, `home` where the layer stands whose weights are being made,
    `running` the nets that are open.
    """

    catalogue: Catalogue
    training: bool
    declaring: bool
    streams: int
    b: Builder = field(default_factory=new_builder)
    depth: int = 0
    calls: int = 0
    maker: Origin | None = None
    home: Place | None = None
    parameters: dict[str, Tensor] = field(default_factory=dict)
    made: set[str] = field(default_factory=set)
    running: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    bounds: dict[str, tuple[int, int, int | None]] = field(default_factory=dict)
    called: dict[int, int] = field(default_factory=dict)

    # ---- values ------------------------------------------------------------------------------

    def tensor(
        self, id: int, origin: Origin, operands: Iterable[Value] = (), name: str = ""
    ) -> Tensor:
        """A value of the graph; an axis keeps its maker as long as it keeps its extent."""
        origin = self.maker or origin
        type = self.b[id].type
        known: dict[Dim, Origin] = {}
        for operand in operands:
            if isinstance(operand, Tensor):
                for extent, since in zip(operand.type.shape, operand.since, strict=True):
                    known.setdefault(extent, since)
        return Tensor(id, type, origin, name, tuple(known.get(e, origin) for e in type.shape))

    def operands(self, values: Sequence[Value]) -> list[int]:
        """Node ids of operands; numbers take the element type of the tensors beside them."""
        dtypes = [v.type.dtype for v in values if isinstance(v, Tensor)]
        floats = [d for d in dtypes if d in FLOATS]
        real = max(floats, key=("f16", "bf16", "f32", "f64").index) if floats else "f32"
        whole = real if floats else "i64" if "i64" in dtypes else "i32"
        return [self._operand(v, real, whole) for v in values]

    def _operand(self, value: Value, real: str, whole: str) -> int:
        if isinstance(value, Tensor):
            return value.id
        if isinstance(value, bool):
            return self.b.constant(value, "bool")
        if isinstance(value, Polynomial):
            return self.b.cast(self.b.size(value), real)
        assert isinstance(value, (int, float))
        return self.b.constant(value, whole if isinstance(value, int) else real)

    def rename(self, value: Value, name: str) -> Value:
        """The value under the name that the text gives it; names from further outside win.

        What is only repeated along axes is called the same as its repetition.
        """
        if not isinstance(value, Tensor):
            return value
        id = value.id
        while self.called.get(id, DEEPEST + 1) > self.depth:
            self.called[id] = self.depth
            self.b.rename(id, name)
            if self.b[id].op not in ("broadcast", "squeeze"):
                break
            id = self.b[id].operands[0]
        return replace(value, name=name)

    def stream(self) -> int:
        """A number that no other random value of the program has."""
        self.streams += 1
        return self.streams

    def bound(self, id: int, below: Dim, ignore: int | None) -> None:
        """Note the range of a field of whole numbers that comes straight from the data."""
        while self.b[id].op in ("cast", "reshape", "squeeze", "broadcast", "stop_gradient"):
            id = self.b[id].operands[0]
        if self.b[id].op != "input" or not isinstance(below, int):
            return
        name = self.b[id]["feed"]
        old = self.bounds.get(name)
        if old is not None:
            below = min(below, old[1])
            ignore = ignore if old[2] == ignore else None
        self.bounds[name] = (0, below, ignore)

    # ---- calls -------------------------------------------------------------------------------

    def count_call(self, place: Place) -> None:
        """Raises: Faults E319 for a spec that grows without end."""
        self.calls += 1
        if self.calls > MOST_CALLS:
            raise fault(
                "E319", f"more than {MOST_CALLS:,} operations", place, "is a count too large?"
            )


def is_operand(value: Value) -> bool:
    """Can the value be an operand of an operation on tensors?"""
    return isinstance(value, (Tensor, bool)) or is_number(value)
