"""A kernel launch with everything resolved, as every device takes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

NUMPY_TYPES: dict[str, str] = {
    "f64": "float64",
    "f32": "float32",
    "f16": "float16",
    "i64": "int64",
    "i32": "int32",
    "u32": "uint32",
    "bool": "bool",
}
"""NumPy's name of each dtype that both devices hold; bf16 exists on a GPU only."""


@dataclass(frozen=True, slots=True)
class Pointer:
    """A place in one of the device's arenas.

    Units: `offset` in bytes, a multiple of the dtype's size.
    """

    arena: str
    offset: int
    dtype: str


Argument = Pointer | int | float

REGISTERS = 255
"""The most that a thread of an NVIDIA GPU can have."""


@dataclass(frozen=True, slots=True)
class Launch:
    """One kernel launch with everything resolved: arguments in the kernel's own order.

    `alone`: its programs have a processor each, so that one may take all registers.
    """

    kernel: str
    grid: tuple[int, ...]
    arguments: tuple[Argument, ...]
    constants: Mapping[str, Any] = field(default_factory=dict)
    warps: int = 4
    stages: int = 2
    alone: bool = False

    def options(self, backend: str) -> dict[str, int]:
        """What Triton is told on a backend, `cuda` or `hip`."""
        return compile_options(self.warps, self.stages, self.alone, backend)


def compile_options(warps: int, stages: int, alone: bool, backend: str) -> dict[str, int]:
    """What Triton is told about a kernel.

    NVIDIA's assembler aims at several programs on a processor, and spills for that.
    """
    found = {"num_warps": warps, "num_stages": stages}
    return {**found, "maxnreg": REGISTERS} if alone and backend == "cuda" else found


def nonempty(launches: Sequence[Launch]) -> tuple[Launch, ...]:
    """The launches that have at least one program."""
    return tuple(launch for launch in launches if all(extent > 0 for extent in launch.grid))


def contiguous(values: NDArray[Any], dtype: str) -> NDArray[Any]:
    """The values as the device holds them."""
    return np.ascontiguousarray(values, NUMPY_TYPES[dtype])
