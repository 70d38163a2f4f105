"""Text that does not run, the other arm of an `if` and a loop of no turns: its names at least.

Shapes are not looked at, as the values that would arrive there do not exist.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass

from ...spec import static
from ...spec.expressions import Attribute, Call, Choice, Expr, Name
from ...spec.initialisers import INITIALISERS
from ...spec.place import Place
from ...spec.tree import Flow, For, Piece, Repeat
from . import binding, callees, expressions
from .elaboration import TRAINING, Elaboration
from .faults import Fault, Faults, fault
from .intrinsics import INTRINSICS
from .scope import Scope
from .signature import Signature


def check_names(e: Elaboration, text: Flow | Expr | None, scope: Scope, *given: str) -> None:
    """Look at text that does not run; `given`: names that it would find.

    Raises: Faults E301, E302, E304 for names that mean nothing.
    """
    if text is None or scope.library:
        return
    found: list[Fault] = []
    made = {*_made(text), *given}
    for wrong in _wrong(e, text, scope, made):
        found += wrong.faults
    if found:
        raise Faults(found)


def _made(tree: object) -> Iterator[str]:
    """The names that the text gives to values and loops of its own."""
    if isinstance(tree, Piece):
        yield from tree.names
    if isinstance(tree, Repeat) and tree.index is not None:
        yield tree.index
    if isinstance(tree, For):
        yield tree.name
    for part in _parts(tree):
        yield from _made(part)


def _wrong(e: Elaboration, tree: object, scope: Scope, made: set[str]) -> Iterator[Faults]:
    if isinstance(tree, Name):
        if not _known(e, tree.id, scope, made):
            yield expressions.unknown_name(e, tree.id, scope, tree.place)
    elif isinstance(tree, Call):
        yield from _wrong_call(e, tree, scope, made)
    elif isinstance(tree, Flow):
        for index, piece in enumerate(tree.pieces):
            stage: object = piece.stage
            if index and isinstance(stage, Name):
                stage = Call(stage.id, (), (), stage.place)
            yield from _wrong(e, stage, scope, made)
    elif isinstance(tree, Attribute):
        yield from _wrong(e, tree.value, scope, made)
    else:
        for part in _parts(tree):
            yield from _wrong(e, part, scope, made)


def _wrong_call(e: Elaboration, call: Call, scope: Scope, made: set[str]) -> Iterator[Faults]:
    """The name of a call, its settings, and what stands in them."""
    signature: Signature | None = None
    static_only = static.FUNCTIONS.keys() - INTRINSICS.keys()
    if call.name not in (*made, *static_only, *INITIALISERS) and not scope.has(call.name):
        try:
            signature = callees.signature_of(callees.find(e, call.name, call.place, scope)[0])
        except Faults as wrong:
            yield wrong
            return
    words: set[str] = set()
    for setting in signature.settings if signature else ():
        words |= {*setting.words, *(INITIALISERS if setting.starts else ())}
    for argument in call.named:
        if signature and not signature.extra and argument.name not in signature.known():
            text = f"`{call.name}` has no setting `{argument.name}`"
            hint = binding.setting_hint(signature, argument.name)
            yield fault("E304", text, argument.place, hint)
    for given in (*call.positional, *(argument.value for argument in call.named)):
        for value in _sides(given):
            if not (isinstance(value, Name) and value.id in words):
                yield from _wrong(e, value, scope, made)


def _sides(value: Expr) -> Iterator[Expr]:
    """The expression, or the condition and both sides of a choice."""
    if isinstance(value, Choice):
        yield value.condition
        yield from _sides(value.then)
        yield from _sides(value.otherwise)
    else:
        yield value


def _known(e: Elaboration, name: str, scope: Scope, made: set[str]) -> bool:
    if name in made or name == TRAINING or scope.has(name) or name in INITIALISERS:
        return True
    return e.catalogue.find(name, scope.library) is not None


def _parts(tree: object) -> Iterator[object]:
    """What a piece of the tree is made of."""
    if isinstance(tree, tuple):
        yield from tree
    elif is_dataclass(tree) and not isinstance(tree, (Place, type)):
        for field in fields(tree):
            if field.name not in ("place", "places"):
                yield getattr(tree, field.name)
