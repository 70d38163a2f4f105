"""Running a generated Triton module: launches, memory, and the two devices that have them.

`cuda` runs on the GPU in this process; `interpret` runs the same text in Triton's interpreter, in a
worker process, because Triton decides which of the two it is when it is first imported.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from ..spec.errors import UsageError
from . import kernel_module
from .launch import Launch, Pointer

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Device(Protocol):
    """Memory and kernels.

    An arena is named memory that stays where it is; launches are prepared once under a key and run
    as often as one likes.
    """

    def arena(self, name: str, size: int) -> bool:
        """Zeroed memory of `size` bytes; an arena of that name and at least that size is kept.

        True: it had to move, its content is gone, and everything must be prepared again.
        """

    def view(self, pointer: Pointer, shape: tuple[int, ...]) -> NDArray[Any] | None:
        """The memory itself as a NumPy array, where this process can see it."""

    def write(self, pointer: Pointer, values: NDArray[Any]) -> None:
        """Copies the values, row by row, to the device."""

    def read(self, pointer: Pointer, shape: tuple[int, ...]) -> NDArray[Any]:
        """Copies values from the device, after all launches so far."""

    def prepare(self, key: Hashable, launches: Sequence[Launch]) -> None:
        """Keeps a list of launches under a key; grids without programs are dropped."""

    def run(self, key: Hashable) -> None:
        """Runs the launches prepared under this key, in order."""

    def close(self) -> None:
        """Gives the memory back."""


def open_device(name: str, text: str) -> Device:
    """The device `cuda` or `interpret` with the kernels of a generated module.

    Raises: DeviceError when the machine lacks it, UsageError for another name.
    """
    path = kernel_module.store(text)
    expected = kernel_module.digest(text)
    if name == "interpret":
        from .interpreted import InterpretedDevice

        return InterpretedDevice(path, expected)
    if name == "cuda":
        from .cuda_device import CudaDevice

        return CudaDevice(path, expected)
    raise UsageError(f"`{name}` is not a device", hint="use cuda or interpret")
