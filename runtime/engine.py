"""What the trainer asks of an engine: the compiled kernels, loaded, with their parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from ..compiler.artifact import Artifact, Buffer, Parameter

    Floats = NDArray[np.float32]
    Inputs = Mapping[str, NDArray[Any]]


@dataclass(slots=True)
class Result:
    """What one call reports: the loss and the metrics; if not `finite`, nothing was updated."""

    values: dict[str, float]
    finite: bool = True


class Engine(Protocol):
    """A loaded artifact.

    Shapes: `parameters` and every array of `states` are flat float32 arenas of `artifact.length`
    elements; `parameter_view` gives one parameter in PyTorch's layout.  They may be written to
    between two calls.  `index` counts the updates of a training step from 0.
    """

    artifact: Artifact

    @property
    def parameters(self) -> Floats:
        """The flat parameter arena; what is written to it holds from the next call on."""

    @property
    def states(self) -> Mapping[tuple[str, str], Floats]:
        """The optimizer states by (step, name)."""

    def train(self, step: str, inputs: Inputs, *, rate: float, index: int, seed: int) -> Result:
        """Forward, backward, clip and update on one batch."""

    def gradient(
        self, step: str, inputs: Inputs, *, index: int, seed: int
    ) -> tuple[Result, Floats]:
        """The loss and the gradient arena; nothing is updated."""

    def update(self, step: str, gradient: Floats, *, rate: float, index: int) -> None:
        """Clip and update with a gradient that was computed before."""

    def evaluate(self, step: str, inputs: Inputs, *, index: int, seed: int) -> Result:
        """The loss and the metrics as in use: without dropout, nothing is updated."""

    def forward(self, net: str, inputs: Inputs) -> dict[str, NDArray[Any]]:
        """The outputs of a net, as in use."""

    def probe(
        self, step: str, inputs: Inputs, *, index: int, seed: int
    ) -> list[tuple[Buffer, NDArray[Any]]]:
        """Every value of a training step, in the order in which they are computed."""


class Stepwise(Protocol):
    """An engine with the entries of a net that writes."""

    artifact: Artifact

    @property
    def parameters(self) -> NDArray[Any]:
        """The flat parameter arena."""

    def call(
        self, kind: str, subject: str, inputs: Inputs, *, seed: int, index: int
    ) -> dict[str, NDArray[Any]]:
        """The outputs of any entry."""


def parameter_view(arena: Floats, parameter: Parameter) -> Floats:
    """The strided view of a flat arena that is this parameter in PyTorch's shape."""
    strides = tuple(stride * arena.itemsize for stride in parameter.strides)
    return np.ndarray(
        parameter.shape, arena.dtype, arena.data, parameter.offset * arena.itemsize, strides
    )
