"""The device `interpret`: Triton's interpreter in a worker process, memory shared with this one.

bf16 is refused: the interpreter computes with its bit patterns.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from ..spec.errors import DeviceError, InternalError
from .launch import NUMPY_TYPES, Launch, Pointer, contiguous, nonempty

if TYPE_CHECKING:
    from numpy.typing import NDArray


class InterpretedDevice:
    """One worker process with one module of kernels.

    `shuffle`: a seed that permutes the programs of every launch (for tests), None for their order.
    """

    def __init__(self, path: Path, expected: str) -> None:
        self.shuffle: int | None = None
        self._arenas: dict[str, NDArray[np.uint8]] = {}
        self._keys: dict[Hashable, str] = {}
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self._worker = _start(self._errors)
        self._finalizer = weakref.finalize(self, _stop, self._worker, self._errors)
        self._ask("load", path=str(path), expected=expected)

    def arena(self, name: str, size: int) -> bool:
        """Memory in a file that both processes map; its name is gone once they have."""
        if name in self._arenas and len(self._arenas[name]) >= size:
            return False
        moved = name in self._arenas
        size = max(size, 64)
        folder = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        with tempfile.NamedTemporaryFile(dir=folder, prefix="weft-") as file:
            file.truncate(size)
            self._arenas[name] = np.memmap(file.name, np.uint8, "r+", shape=(size,))
            self._ask("arena", name=name, path=file.name, size=size)
        if moved:
            self._keys.clear()
        return moved

    def view(self, pointer: Pointer, shape: tuple[int, ...]) -> NDArray[Any]:
        """The values themselves: writing to them writes to the device."""
        dtype = np.dtype(NUMPY_TYPES[pointer.dtype])
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        memory = self._arenas[pointer.arena][pointer.offset : pointer.offset + size]
        return memory.view(np.ndarray).view(dtype).reshape(shape)

    def write(self, pointer: Pointer, values: NDArray[Any]) -> None:
        """Copies the values to the device."""
        self.view(pointer, values.shape)[...] = contiguous(values, pointer.dtype)

    def read(self, pointer: Pointer, shape: tuple[int, ...]) -> NDArray[Any]:
        """A copy of the values on the device."""
        return self.view(pointer, shape).copy()

    def prepare(self, key: Hashable, launches: Sequence[Launch]) -> None:
        """Sends the launches to the worker, once."""
        name = self._keys.setdefault(key, f"{len(self._keys)}")
        self._ask("prepare", key=name, launches=[_plain(launch) for launch in nonempty(launches)])

    def run(self, key: Hashable) -> None:
        """Runs the launches prepared under this key and waits for them."""
        self._ask("run", key=self._keys[key], seed=self.shuffle)

    def close(self) -> None:
        """Ends the worker."""
        self._finalizer()
        self._arenas.clear()

    def _ask(self, order: str, **settings: Any) -> None:
        worker = self._worker
        assert worker.stdin and worker.stdout
        try:
            worker.stdin.write((json.dumps({"do": order, **settings}) + "\n").encode())
            worker.stdin.flush()
            line = worker.stdout.readline()
        except (BrokenPipeError, ValueError):
            line = b""
        if not line:
            raise DeviceError(
                f"Triton's interpreter ended: {self._last_words()}",
                hint="is triton installed, with a version of NumPy that it knows?",
            )
        answer = json.loads(line)
        if not answer["ok"]:
            raise InternalError(f"interpreting failed: {answer['error']}", around=answer["trace"])

    def _last_words(self) -> str:
        if self._errors.closed:
            return "it was closed"
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it left no message"


def _start(errors: IO[bytes]) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "TRITON_INTERPRET": "1",
        "TRITON_DEFAULT_FP_FUSION": "1",
        "PYTHONPATH": os.pathsep.join(p or os.getcwd() for p in sys.path),
    }
    return subprocess.Popen(
        [sys.executable, "-P", "-m", f"{__package__}.interpreter_worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        env=environment,
    )


def _stop(worker: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
    for pipe in (worker.stdin, worker.stdout):
        if pipe:
            pipe.close()
    worker.terminate()
    worker.wait()
    errors.close()


def _plain(launch: Launch) -> dict[str, Any]:
    for argument in launch.arguments:
        if isinstance(argument, Pointer) and argument.dtype not in NUMPY_TYPES:
            raise DeviceError(
                f"`{launch.kernel}` uses {argument.dtype}, which Triton's interpreter gets wrong",
                hint="interpret in f32 or f16",
            )
    return {
        "kernel": launch.kernel,
        "grid": list(launch.grid),
        "arguments": [
            [a.arena, a.offset, a.dtype] if isinstance(a, Pointer) else a for a in launch.arguments
        ],
        "constants": dict(launch.constants),
    }
