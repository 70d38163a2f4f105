"""The state of an elaboration: one graph being built, and what all graphs of a spec share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TypeAlias

from ...spec.dims import Dim, Polynomial
from ...spec.load import Spec
from ...spec.place import Place
from ...spec.static import FUNCTIONS
from ...spec.tree import Block, Net
from ..artifact import Initialiser
from ..ir.types import FLOATS, TensorType
from .faults import Fault, Faults, fault
from .intrinsics import INTRINSICS, Intrinsic
from .outline import Outline
from .recorder import (
    Enter,
    Event,
    Fresh,
    Leave,
    Range,
    Recorder,
    Rename,
    Stream,
    Update,
    Weighed,
    recorder,
)
from .replay import Memory
from .request import Refusal
from .scope import Scope
from .trace import Trace
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

    def __init__(
        self, spec: Spec, trace: Trace | None = None, memory: Memory | None = None
    ) -> None:
        self.spec = spec
        self.trace = trace
        self.memory = memory
        self.nets = {net.name: net for net in spec.file.nets}
        self.resting: set[str] = set()
        """Nets that a step uses as an evaluation would."""
        self.declared: dict[str, ParameterDeclaration] = {}
        self.faults: list[Fault] = []
        self._told: set[tuple[str, Place | None]] = set()
        self.broken: set[str] = set()
        self.seen: dict[str, dict[str, int]] = {}
        """The sizes that nets are first used with, where these are numbers."""
        self._roots: dict[str, Scope] = {}

    def rest(self, parameters: Iterable[ParameterDeclaration]) -> None:
        """What learns in no step is used as in an evaluation: nets with some of these parameters,
        those of all nets. One with nothing to learn is used as it says, such as a pool of images.
        """
        train = self.spec.file.train
        steps = train.steps if train is not None else ()
        if steps:
            learning = {p.name.partition(".")[0] for p in parameters if p.trainable}
            self.resting = learning.difference(*(step.updates for step in steps))

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
        """What of the user's already has this name everywhere: a value may not hide it."""
        if name in self.spec.blocks.own or name in self.nets:
            return "block" if name in self.spec.blocks.own else "net"
        return "word" if name == TRAINING else None

    def is_operation(self, name: str) -> bool:
        """Does the name call something where no value, param or layer has it?"""
        return name in FUNCTIONS or self.find(name, library=False) is not None

    def root(self, place: Place, library: bool) -> Scope:
        """The scope of the file in which a block or net stands."""
        file = f"{library}:{place.file}"
        if file not in self._roots:
            home = None if library else self.spec.modules.get(place.file)
            constants = dict(home.constants) if home else {}
            self._roots[file] = Scope.of_file(constants, home.defaults if home else (), library)
            self._roots[file].trace = self.trace
        return self._roots[file]

    def add(self, found: Faults) -> None:
        """Keep findings; of one kind at one place, the first: a block is used more than once."""
        for new in found.faults:
            if (new.code, new.place) not in self._told:
                self._told.add((new.code, new.place))
                self.faults.append(new)


@dataclass(slots=True)
class Elaboration:
    """One graph being built.

    `streams` numbers its random values from there on; `maker` is the user's call of a library block
    that is running, `home` where the layer stands whose weights are being made,
    `running` the nets that are open, `updates` what training leaves in each buffer, `asked`: the
    text has asked whether this is training.
    """

    catalogue: Catalogue
    training: bool
    declaring: bool
    streams: int
    b: Recorder = field(default_factory=recorder)
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
    updates: dict[str, int] = field(default_factory=dict)
    outline: Outline = field(default_factory=Outline)
    asked: bool = False

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
        self.name(value.id, name)
        return replace(value, name=name)

    def name(self, id: int, name: str) -> list[tuple[int, int | None]]:
        """Name a value of the graph; what was named, and how deep it was named before."""
        self.event(Rename(id, name, self.depth))
        before: list[tuple[int, int | None]] = []
        while self.called.get(id, DEEPEST + 1) > self.depth:
            before.append((id, self.called.get(id)))
            self.called[id] = self.depth
            self.b.rename(id, name)
            if self.b[id].op not in ("broadcast", "squeeze"):
                break
            id = self.b[id].operands[0]
        return before

    def stream(self) -> int:
        """A number that no other random value of the program has."""
        self.streams += 1
        self.event(Stream(self.streams))
        return self.streams

    def bound(self, id: int, below: Dim, ignore: int | None) -> None:
        """Note the range of a field of whole numbers that comes straight from the data."""
        self.event(Range(id, below, ignore))
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

    def update(self, buffer: int, value: int, momentum: float) -> None:
        """Let training blend a value into a buffer, on top of what it did so far.

        Raises: Refusal E311 for a tensor that is no buffer.
        """
        node = self.b[buffer]
        name = node["feed"] if node.op == "input" else ""
        declared = self.catalogue.declared.get(name)
        if declared is None or declared.trainable:
            hint = "a weight that begins as buffer(0)"
            raise Refusal("E311", "`running` needs a buffer", (0,), hint)
        self.asked = True
        self.event(Update(buffer, value, momentum))
        if not self.training:
            return
        tape, self.b.tape = self.b.tape, None
        before = self.updates.get(name, buffer)
        kept = self.b.map("mul", before, 1.0 - momentum)
        fresh = self.b.map("mul", self.b.stop_gradient(value), float(momentum))
        self.updates[name] = self.b.map("add", kept, fresh, name=f"new_{declared.name}")
        self.b.tape = tape

    # ---- calls -------------------------------------------------------------------------------

    def event(self, event: Event) -> None:
        """Take down something that happens, if somebody listens."""
        if self.b.tape is not None:
            self.b.tape.append(event)

    def enter(self) -> tuple[int, int]:
        """A call begins: how many values and parameters there are."""
        self.event(Enter())
        return len(self.b.nodes), len(self.parameters)

    def fresh(self, id: int, first: int) -> bool:
        """Was a result made inside of the call that began at `first`?"""
        self.event(Fresh(id, id >= first))
        return id >= first

    def since(self, first: tuple[int, int]) -> tuple[str, ...]:
        """The parameters that were made inside of the call that began at `first`."""
        return tuple(islice(reversed(self.parameters), len(self.parameters) - first[1]))[::-1]

    def leave(
        self, row: tuple[str, str, tuple[TensorType, ...], Place] | None, first: tuple[int, int]
    ) -> None:
        """A call ends; `row`: path, operation, outputs and place of its line in the table."""
        self.event(Leave(row))
        if row is not None:
            path, op, outputs, place = row
            nodes = range(first[0], len(self.b.nodes))
            self.rows.append(Row(path, op, outputs, nodes, self.since(first), place))

    def declare(self, tensor: Tensor) -> None:
        """Feed a parameter into the graph, of the name and the type that its tensor has."""
        tape, self.b.tape = self.b.tape, None
        id = self.b.input(tensor.weight, tensor.type)
        self.b.tape = tape
        self.parameters[tensor.weight] = replace(tensor, id=id)

    def weigh(self, name: str, shared: bool) -> None:
        """A parameter is used by its own layer."""
        b = self.b
        if b.tape is not None:
            declaration = self.catalogue.declared[name]
            tensor = self.parameters[name]
            b.tape.append(Weighed(name, shared, b.place, b.scope, tensor, declaration))

    def count_call(self, place: Place, calls: int = 1) -> None:
        """Raises: Faults E319 for a spec that grows without end."""
        self.calls += calls
        if self.calls > MOST_CALLS:
            raise fault(
                "E319", f"more than {MOST_CALLS:,} operations", place, "is a count too large?"
            )


def is_operand(value: Value) -> bool:
    """Can the value be an operand of an operation on tensors?"""
    return isinstance(value, (Tensor, bool)) or is_number(value)
