"""States that training carries from one batch to the next: truncated backpropagation."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...spec.dims import Dim
from ..artifact import KEPT, Initialiser
from ..ir.types import Shape, TensorType
from .binding import Site
from .elaboration import Elaboration, ParameterDeclaration
from .faults import fault
from .request import shown
from .values import Origin, Tensor


@dataclass(slots=True)
class Kept:
    """The states of up to `count` sequences of a batch: tensors below `path` that are no weights.

    Source: Williams & Peng 1990, truncated backpropagation through time.
    """

    e: Elaboration
    path: str
    count: int
    site: Site
    buffers: list[Tensor] = field(default_factory=list)

    def check(self, *others: object) -> None:
        """Raises: Faults E311 where `others` say how states begin or end, and `carry` too."""
        if self.count < 0 or any(others):
            text = f"`carry` is the number of sequences in a batch, not {self.count}"
            if self.count > 0:
                text = "`carry` goes with none of `reverse`, `lengths` and where a state begins"
            raise fault("E311", text, self.site.place, None, "scan")

    def start(self, state: str, shape: Shape) -> int:
        """Where a state of the last batch ended; zeros outside training."""
        e, b = self.e, self.e.b
        e.asked = True
        batch, *rest = shape
        buffer = self._buffer(state, rest)
        self.buffers.append(buffer)
        if not e.training:
            return b.broadcast(b.constant(0.0), (), shape)
        zeros, ones = (0,) * len(shape), (1,) * len(shape)
        return b.slice(buffer.id, zeros, shape, ones)

    def keep(self, last: list[int]) -> None:
        """Training keeps where the states ended."""
        e, b = self.e, self.e.b
        for buffer, state in zip(self.buffers, last, strict=False):
            ended, (batch, *rest) = b.stop_gradient(state), b[state].shape
            none = (0,) * len(rest)
            whole = b.pad(ended, (0, *none), (self.count - batch, *none))
            e.update(buffer.id, whole, 1.0)

    def _buffer(self, state: str, rest: list[Dim]) -> Tensor:
        e, name = self.e, f"{self.path}{KEPT}{state}"
        sizes = [dim for dim in rest if isinstance(dim, int)]
        if len(sizes) != len(rest):
            text = f"`carry` needs a state of known sizes, not {shown(tuple(rest))}"
            raise fault("E311", text, self.site.place, None, "scan")
        shape = (self.count, *sizes)
        e.made.add(name)
        if name not in e.parameters:
            begin = Initialiser("constant", (("value", 0),), 1, 1)
            e.catalogue.declared.setdefault(
                name,
                ParameterDeclaration(
                    name, shape, "f32", begin, name, self.site.place, trainable=False
                ),
            )
            origin = Origin(state, self.site.place, "weight")
            type = TensorType("f32", shape)
            e.declare(Tensor(-1, type, origin, state, (origin,) * len(shape), name))
        e.weigh(name, False)
        return e.parameters[name]
