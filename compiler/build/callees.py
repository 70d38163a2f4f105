"""What a name calls: a layer, an intrinsic, a block or a net."""

from __future__ import annotations

from ...spec.errors import suggest
from ...spec.place import Place
from ...spec.tree import Block
from .elaboration import Callee, Elaboration
from .elsewhere import belongs, not_called
from .faults import Silent, fault
from .intrinsics import Intrinsic
from .other_names import operation_hint
from .scope import Scope
from .signature import Signature, of_block
from .values import BROKEN, Layer

def layer_named(e: Elaboration, scope: Scope, name: str, place: Place) -> Layer | None:
    """The layer of that name.  Raises: Faults E302 for a name that cannot be called."""
    entry = scope.entry(name)
    if entry is None:
        return None
    entry.used = True
    if isinstance(entry.value, Layer):
        return entry.value
    if entry.value is BROKEN:
        raise Silent
    raise not_called(e, entry, name, place)


def find(e: Elaboration, name: str, place: Place, scope: Scope) -> tuple[Callee, bool]:
    """What a name calls.  Raises: Faults E302."""
    found = e.catalogue.find(name, scope.library)
    if found is None:
        layers = [
            n for s in scope.chain() for n, x in s.entries.items() if isinstance(x.value, Layer)
        ]
        known = [*layers, *e.catalogue.operations(scope.library)]
        hint = operation_hint(name, known) or belongs(name) or suggest(name, known)
        raise fault("E302", f"unknown operation `{name}`", place.first(len(name)), hint)
    return found


def signature_of(callee: Callee) -> Signature:
    if isinstance(callee, Intrinsic):
        return callee.signature
    if isinstance(callee, Block):
        return of_block(callee)
    return Signature(callee.name, tuple(i.name for i in callee.body.inputs), ())
