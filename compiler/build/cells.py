"""The cell of a `scan`: a block, a net or a layer that is one step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...spec.expressions import Call, Expr, Name
from ...spec.expressions import Setting as Argument
from ...spec.tree import Block, Input, Net
from . import callees
from .binding import Site
from .elaboration import Elaboration
from .faults import Silent, fault
from .scope import Scope
from .signature import Signature
from .values import BROKEN, Layer


@dataclass(frozen=True, slots=True)
class Cell:
    """What a scan repeats: a layer whose inputs are sequences first, then states."""

    layer: Layer
    callee: Block | Net
    library: bool
    signature: Signature
    fixed: frozenset[str]

    @property
    def inputs(self) -> tuple[Input, ...]:
        """The inputs that a step has."""
        return tuple(i for i in self.callee.body.inputs if i.name not in self.fixed)


def cell_text(
    positional: Sequence[Expr], named: Sequence[Argument], site: Site
) -> tuple[Expr, Sequence[Expr]]:
    """The cell as it is written, last of what goes by position, and the rest."""
    by_name = [a.value for a in named if a.name == "cell"]
    if by_name:
        return by_name[0], positional
    if not positional:
        hint = "write `x -> scan(Cell(64))`, where `Cell` is a block of your own"
        raise fault("E307", "`scan` needs `cell`", site.place, hint)
    return positional[-1], positional[:-1]


def cell_of(e: Elaboration, text: Expr, scope: Scope, path: str, *, shared: bool) -> Cell:
    """Raises: Faults E320 for what is no block."""
    hint = "a cell is a block: its inputs are the sequences, then the states"
    if not isinstance(text, (Name, Call)):
        raise fault("E320", "scan: this is no cell", text.place, hint)
    name = text.id if isinstance(text, Name) else text.name
    entry = scope.entry(name)
    if entry is not None:
        entry.used = True
        if entry.value is BROKEN:
            raise Silent
        if not isinstance(entry.value, Layer) or isinstance(text, Call):
            raise fault("E320", f"scan: `{name}` is no cell", text.place, hint)
        layer = entry.value
    else:
        layer = Layer(name, text, path, scope, text.place, uses=int(shared))
    node = layer.node
    if not isinstance(node, (Name, Call)):
        raise fault("E320", f"scan: `{name}` is no cell", text.place, hint)
    called = node.id if isinstance(node, Name) else node.name
    callee, library = callees.find(e, called, node.place, layer.scope)
    if not isinstance(callee, (Block, Net)) or not callee.body.inputs:
        raise fault("E320", f"scan: `{called}` is no cell", text.place, hint)
    given = {s.name for s in node.named} if isinstance(node, Call) else set()
    inputs = {i.name for i in callee.body.inputs}
    return Cell(layer, callee, library, callees.signature_of(callee), frozenset(given & inputs))
