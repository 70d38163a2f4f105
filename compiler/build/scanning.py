"""`scan`: a cell of the user's own, walked over time.

    states, …, outputs, … = sequence, … -> scan(Cell(64), start=…)

The cell is elaborated once, as one step of some samples; `steps.py` makes a body of that, and
`ops/weave.py` decides what is computed inside the loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace

from ...spec.dims import Dim, Polynomial, symbol, symbols
from ...spec.errors import suggest
from ...spec.expressions import Call, Dots, Expr
from ...spec.expressions import Setting as Argument
from ...spec.place import Place
from ...spec.spell import expression
from ...spec.tree import Input
from ..ir.types import FLOATS, Shape, TensorType
from ..ops.along_time import Along
from ..ops.weave import weave
from . import both, calls, carried, expressions, types
from .binding import Given, Site, bind
from .cells import Cell, cell_of, cell_text
from .elaboration import Callee, Elaboration
from .ends import Ends, ends_of
from .faults import Silent, fault
from .intrinsics import INTRINSICS
from .one_step import Step, step_body
from .outline import Outline, Part, ids
from .request import shown
from .scope import Scope
from .values import BROKEN, Origin, Tensor, Value, Values, show

SCAN = INTRINSICS["scan"]
OWN = (*(s.name for s in SCAN.signature.settings), *SCAN.signature.by_name)
"""What a scan calls by name itself; every other name is that of a state."""


def scan(
    e: Elaboration,
    positional: Sequence[Expr],
    named: Sequence[Argument],
    site: Site,
    path: str,
    *,
    shared: bool = False,
    home: Scope | None = None,
) -> Values:
    """All states and outputs of a cell, over time.

    `shared`: its weights exist already; `home`: where the cell is named, if that is not here.
    """
    mine = [a for a in named if a.name in OWN and a.name != "cell"]
    signature = replace(SCAN.signature, inputs=(), variadic=False, extra="")
    signature = replace(signature, settings=signature.settings[1:])
    bound = bind(e, signature, (), mine, replace(site, piped=(), head=False))
    settings = {s.name: s.default for s in signature.settings}
    settings |= {name: given.value for name, given in bound.settings.items()}
    text, rest = cell_text(positional, named, site)
    sequences = _sequences(e, rest, site)
    begun = any(a.name not in OWN for a in named)
    ways = both.ways(settings, begun, site)
    first = e.enter()
    part = Part("layer", "scan", path, site.place, ids(sequences))
    part.settings = {"cell": expression(text)}
    with e.b.at(*((None, None) if site.scope.library else (site.place, path))):
        with nullcontext() if site.scope.library else e.outline.inside(part):
            starts = _starts(e, named, site)
            ends = ends_of(e, bound.named.get("lengths"), sequences[0].type.shape[0], site)
            found = []
            for step, reverse in ways:
                below = f"{path}{step}"
                cell = cell_of(e, text, home or site.scope, below, shared=shared)
                own = {**settings, "reverse": reverse}
                walk = _Walk(e, cell, sequences, starts, ends, own, site, below)
                found.append(walk.results())
            last = len(cell.inputs) - len(sequences) if settings["return_state"] else 0
            results = both.beside(e, found, last, Origin("scan", site.place))
        part.results, part.parameters = ids(results), e.since(first)
    outputs = tuple(v.type for v in results)
    if e.catalogue.trace is not None and not site.scope.library:
        inputs = tuple(v.type for v in sequences)
        e.catalogue.trace.call((site.place, None), "scan", path, inputs, outputs)
    shown_there = not site.scope.library
    e.leave((path, "scan", outputs, site.place) if shown_there else None, first)
    return results


# ---- arguments -----------------------------------------------------------------------------------


def _sequences(e: Elaboration, texts: Sequence[Expr], site: Site) -> list[Tensor]:
    found: list[Value] = list(site.piped or ())
    for each in texts:
        found += expressions.values(e, each, site.scope)
    if not found and site.head:
        found += site.scope.take_inputs() or ()
    if not found:
        raise fault("E306", "`scan` has no input here", site.place, "write `x -> scan(Cell(64))`")
    tensors: list[Tensor] = []
    for value in found:
        if value is BROKEN:
            raise Silent
        if not isinstance(value, Tensor):
            text = f"a sequence must be a tensor, not {show(value)}"
            raise fault("E317", text, site.place, None, "scan")
        if len(value.type.shape) < 2:
            hint = "a sequence is [batch, time, …]"
            text = f"scan: {value} has no axis of time"
            raise fault("E421", text, site.place, hint)
        tensors.append(value)
    for other in tensors[1:]:
        if other.type.shape[:2] != tensors[0].type.shape[:2]:
            text = f"scan: the sequences {tensors[0]} and {other} are not equally long"
            hint = "all have the same batch on axis 0 and the same time on axis 1"
            raise fault("E421", text, site.place, hint)
    return tensors


def _starts(e: Elaboration, named: Sequence[Argument], site: Site) -> dict[str, Given]:
    """Where states begin, by name."""
    found = {}
    for argument in named:
        if argument.name not in OWN:
            value = expressions.value(e, argument.value, site.scope)
            value = expressions.needs_value(value, argument.value.place)
            found[argument.name] = Given(value, argument.place)
    return found


# ---- the walk ------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Walk:
    """One scan while it is elaborated."""

    e: Elaboration
    cell: Cell
    sequences: list[Tensor]
    starts: dict[str, Given]
    ends: Ends | None
    settings: dict[str, Value]
    site: Site
    path: str

    def results(self) -> tuple[Tensor, ...]:
        e, reverse = self.e, bool(self.settings["reverse"])
        batch, time = self.sequences[0].type.shape[:2]
        rows = _rows(self.sequences)
        given = [self._placeholder(i.name, s, i.place) for i, s in self._sides(rows)]
        count = len(self.sequences)
        carry = self.settings["carry"]
        assert isinstance(carry, int)
        kept = carried.Kept(e, self.path, carry, self.site)
        starts = self._begin([t.type for t in given[count:]], batch, kept)
        before = len(e.b.nodes)
        found = self._one_step(given)
        walked, moving = list(given[:count]), [s.id for s in self.sequences]
        if self.ends:
            counts = self._placeholder(".counts", TensorType("bool", (rows,)), self.site.place)
            found = self.ends.held(counts, given[count:], found)
            walked, moving = [*walked, counts], [*moving, self.ends.counting(batch, time)]
        step = Step(e, rows, tuple(walked), tuple(given[count:]), tuple(found), before)
        body, fixed, more = step_body(step, moving, batch, time)
        states, emitted = weave(e.b, body, fixed, starts, more, reverse=reverse)
        made = [*states, *(self._all_steps(each, batch, time) for each in emitted)]
        last = [_last(e, state, reverse=reverse) for state in states]
        if self.ends:
            made = [self.ends.cut(each) for each in made]
        kept.keep(last)
        wanted = [*made, *last] if self.settings["return_state"] else made
        origin = Origin("scan", self.site.place)
        return tuple(e.tensor(i, origin, self.sequences) for i in wanted)

    # ---- inputs of the step ----------------------------------------------------------------------

    def _sides(self, rows: Dim) -> list[tuple[Input, TensorType]]:
        """The inputs of a step, with the types that they have there."""
        inputs, count = self.cell.inputs, len(self.sequences)
        name, place = self.cell.callee.name, self.site.place
        if len(inputs) <= count:
            listed = ", ".join(i.name for i in inputs)
            states = "no input left for a state" if inputs else "no input"
            text = f"scan: `{name}` has {states}: its inputs are {listed}"
            hint = f"declare a state behind {'the sequences' if count > 1 else 'the sequence'}: "
            raise fault("E320", text, place, f"{hint}`in x: f32[B, D], h: f32[B, U]`")
        names = [i.name for i in inputs[count:]]
        for unknown in self.starts:
            if unknown not in names:
                hint = suggest(unknown, [*names, *OWN]) or f"its states are {', '.join(names)}"
                where = self.starts[unknown].place
                raise fault("E304", f"`scan` has no setting or state `{unknown}`", where, hint)
        body = self._scope()
        sides = []
        for declared, sequence in zip(inputs, self.sequences, strict=False):
            shape = (rows, *sequence.type.shape[2:])
            type = TensorType(sequence.type.dtype, shape)
            since = (sequence.since[0], *sequence.since[2:]) if sequence.since else ()
            probe = replace(sequence, type=type, since=since)
            types.bind_input(self.e, declared, probe, body, place, name)
            sides.append((declared, type))
        for declared in inputs[count:]:
            sides.append((declared, self._state(declared, body, rows)))
        return sides

    def _scope(self) -> Scope:
        """The names that the sizes of states may use: settings of the cell."""
        e, cell = self.e, self.cell
        root = e.catalogue.root(cell.callee.place, cell.library)
        body = Scope(cell.layer.path, root, library=cell.library, shared=True)
        body.trace = None
        node = cell.layer.node
        own = node if isinstance(node, Call) else Call(cell.callee.name, (), (), node.place)
        uses = replace(cell.signature, inputs=(), variadic=False)
        made = Site(cell.callee.name, node.place, cell.layer.scope, (), False)
        named = [a for a in own.named if a.name not in cell.fixed]
        bound = bind(e, uses, own.positional, named, made)
        calls.setting_values(e, cell.signature, bound, node.place, body)
        return body

    def _state(self, declared: Input, body: Scope, rows: Dim) -> TensorType:
        """The type of a state: as it is declared, or as where it begins."""
        e, start = self.e, self.starts.get(declared.name)
        types.check_dtype(declared.type, FLOATS)
        given = start.value.type.shape if start and isinstance(start.value, Tensor) else ()
        dims = declared.type.dims
        shape: list[Dim] = []
        for position, dim in enumerate(dims):
            behind = len(dims) - position
            size = None if isinstance(dim, Dots) else types.size_of(e, dim, body)
            if size is None and not isinstance(dim, Dots) and len(given) >= behind:
                size = given[len(given) - behind]
            if size is None or isinstance(dim, Dots):
                hint = f"say where it begins: scan(…, {declared.name}=…)"
                text = f"scan: how large is the state `{declared.name}` in the beginning?"
                raise fault("E422", text, self.site.place, hint)
            if position == 0 and size == self.sequences[0].type.shape[0]:
                size = rows
            types.bind_size(dim, size, body)
            shape.append(size)
        if not shape or shape[0] != rows:
            text = f"scan: the state `{declared.name}` must be [batch, …], not {shown(tuple(shape))}"
            hint = "its first axis is that of the sequences: `in x: f32[B, D], h: f32[B, U]`"
            raise fault("E422", text, declared.place, hint)
        return TensorType("f32", tuple(shape))

    def _placeholder(self, name: str, type: TensorType, place: Place) -> Tensor:
        e = self.e
        tape, e.b.tape = e.b.tape, None
        id = e.b.insert("input", (), name, feed=f"{self.path}:{name}", type=type)
        e.b.tape = tape
        return e.tensor(id, Origin(name, place, "input"), (), name)

    def _begin(
        self, states: Sequence[TensorType], batch: Dim, kept: carried.Kept
    ) -> list[int]:
        """Where the states begin: as given, where the last batch ended, or at zero."""
        e, b = self.e, self.e.b
        found = []
        for declared, type in zip(self.cell.inputs[len(self.sequences) :], states, strict=True):
            shape: Shape = (batch, *type.shape[1:])
            given = self.starts.get(declared.name)
            if kept.count:
                kept.check(given is not None, self.settings["reverse"], self.ends is not None)
                found.append(kept.start(declared.name, shape))
                continue
            value: Value = 0.0 if given is None else given.value
            (id,) = e.operands([value])
            id = b.cast(id, "f32")
            if not _fits(b[id].shape, shape):
                text = f"scan: the state `{declared.name}` is {shown(shape)}, "
                text += f"where it begins is {shown(b[id].shape)}"
                raise fault("E422", text, given.place if given else self.site.place)
            found.append(b.expand(id, shape))
        return found

    # ---- the step --------------------------------------------------------------------------------

    def _one_step(self, given: Sequence[Tensor]) -> list[Tensor]:
        """The cell's results for one step, the states first."""
        e, cell, site = self.e, self.cell, self.site
        rows, outline, updates = len(e.rows), e.outline, dict(e.updates)
        e.outline = Outline()
        inner = Site(cell.callee.name, site.place, site.scope, tuple(given), False)
        try:
            found = calls.apply_layer(e, cell.layer, inner, (), ())
        finally:
            e.outline = outline
            del e.rows[rows:]
        name = cell.callee.name
        if e.updates != updates or self._keeps(found):
            hint = "normalise with layer_norm or rms_norm, which keep nothing"
            text = f"scan: `{name}` keeps running statistics, which steps cannot share"
            raise fault("E320", text, site.place, hint)
        states = given[len(self.sequences) :]
        if len(found) < len(states):
            text = f"scan: `{name}` gives {len(found)} of {len(states)} states"
            hint = "its first results are the states after the step, in the order of its inputs"
            raise fault("E320", text, site.place, hint)
        tensors = []
        for position, value in enumerate(found):
            if not isinstance(value, Tensor):
                text = f"scan: a result of `{name}` must be a tensor, not {show(value)}"
                raise fault("E317", text, site.place)
            if position < len(states) and value.type != states[position].type:
                before = states[position]
                text = f"scan: the state `{before.name}` goes into `{name}` as {before.type} "
                text += f"and comes out as {value.type}"
                hint = "the first results are the states after the step, in the order of the inputs"
                raise fault("E422", text, site.place, hint)
            tensors.append(value)
        self._bounds(given)
        return tensors

    def _keeps(self, found: Sequence[Value]) -> bool:
        """Do results depend on tensors that no gradient trains, as running statistics are?"""
        e, seen = self.e, set[int]()
        stack = [value.id for value in found if isinstance(value, Tensor)]
        while stack:
            node = e.b[stack.pop()]
            if node.id not in seen:
                seen.add(node.id)
                stack.extend(node.operands)
                known = e.catalogue.declared.get(node["feed"]) if node.op == "input" else None
                if known is not None and not known.trainable and known.name.startswith(self.below):
                    return True
        return False

    @property
    def below(self) -> str:
        """The path of everything that the cell makes."""
        return f"{self.cell.layer.path}."

    def _bounds(self, given: Sequence[Tensor]) -> None:
        """What must hold of the numbers of a step holds of the sequence."""
        e = self.e
        for one, sequence in zip(given, self.sequences, strict=False):
            found = e.bounds.pop(str(e.b[one.id]["feed"]), None)
            if found is not None:
                e.bound(sequence.id, found[1], found[2])

    def _all_steps(self, each: Along, batch: Dim, time: Dim) -> int:
        """An output that may be the same in all steps."""
        shape = self.e.b[each.id].shape
        if each.timed:
            return each.id
        full = (batch, time, *shape[1:])
        return self.e.b.broadcast(each.id, (0, *range(2, len(full))), full)


def _last(e: Elaboration, states: int, *, reverse: bool) -> int:
    """The state after the step that came last."""
    batch, time, *rest = e.b[states].shape
    starts = (0, 0 if reverse else time - 1, *(0 for _ in rest))
    one = e.b.slice(states, starts, (batch, 1, *rest), (1,) * (len(rest) + 2))
    return e.b.squeeze(one, (1,))


def _rows(sequences: Sequence[Tensor]) -> Polynomial:
    """What a step calls the number of its samples: as outside, if that is a name."""
    batch = sequences[0].type.shape[0]
    for name in symbols(batch):
        if batch == symbol(name):
            return symbol(name)
    used = {n for s in sequences for dim in s.type.shape for n in symbols(dim)}
    return symbol("B" if "B" not in used else ".rows")


def _fits(given: Shape, wanted: Shape) -> bool:
    """Does it broadcast?"""
    if len(given) > len(wanted):
        return False
    own = wanted[len(wanted) - len(given) :]
    return all(a in (1, b) for a, b in zip(given, own, strict=True))


def is_scan(callee: Callee) -> bool:
    """Is it the operation that walks a cell?"""
    return callee is SCAN
