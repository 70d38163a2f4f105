"""What a name calls: a layer, an intrinsic, a block or a net."""

from __future__ import annotations

from ...spec.errors import suggest
from ...spec.place import Place
from ...spec.tree import Block
from .elaboration import Callee, Elaboration
from .elsewhere import belongs, not_called
from .faults import Silent, fault
from .intrinsics import Intrinsic
from .scope import Scope
from .signature import Signature, of_block
from .values import BROKEN, Layer

PYTORCH = {
    "cat": "concat",
    "dense": "linear",
    "fc": "linear",
    "view": "reshape",
    "permute": "transpose",
    "swish": "silu",
    "amax": "max",
    "amin": "min",
    "rand": "uniform",
    "randn": "normal",
    "detach": "stop_gradient",
    "gather": "take",
    "index_select": "take",
    "mse_loss": "mse",
    "l1_loss": "mae",
    "huber_loss": "huber",
    "nll_loss": "cross_entropy",
    "softmax_cross_entropy": "cross_entropy",
    "binary_cross_entropy": "bce",
    "binary_cross_entropy_with_logits": "bce",
    "clip": "clamp",
    "conv1d": "conv",
    "conv2d": "conv",
    "conv3d": "conv",
    "im2col": "unfold",
    "interpolate": "resize",
    "dropout2d": "channel_dropout",
    "drop_path": "stochastic_depth",
    "se_block": "squeeze_excite",
}
"""Names that users of PyTorch and its like will try."""


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
        hint = PYTORCH.get(name)
        hint = f"it is called `{hint}` here" if hint in known else belongs(name)
        hint = hint or suggest(name, known)
        raise fault("E302", f"unknown operation `{name}`", place.first(len(name)), hint)
    return found


def signature_of(callee: Callee) -> Signature:
    if isinstance(callee, Intrinsic):
        return callee.signature
    if isinstance(callee, Block):
        return of_block(callee)
    return Signature(callee.name, tuple(i.name for i in callee.body.inputs), ())
