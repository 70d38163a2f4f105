"""The device `cuda`: a GPU through torch and Triton, launch lists replayed as one CUDA graph.

Arenas never move while a graph uses them, inputs and scalars live in them, so a step is captured
once for each set of sizes and never again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..spec.errors import DeviceError
from . import kernel_module
from .compile_ahead import compile_ahead
from .launch import NUMPY_TYPES, Launch, Pointer, contiguous, nonempty

if TYPE_CHECKING:
    from numpy.typing import NDArray

EAGER = 1
"""Runs of a launch list before it is captured: they compile and load its kernels."""


class GraphedStep:
    """A list of launches on static memory: run once as it is, then replayed as a CUDA graph.

    The first run happens on a side stream, as capturing wants it: what Triton and the driver do
    only once is then done, and nothing is computed twice.

    Source: https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs
    """

    def __init__(self, launch: Callable[[], None], device: Any) -> None:
        import torch

        self.captured = False
        self._launch = launch
        self._device = device
        self._runs = 0
        self._stream: Any = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._graph = torch.cuda.CUDAGraph()

    def run(self) -> None:
        """One step: on the current stream's time line in either form."""
        import torch

        if self._runs < EAGER:
            self._on_side_stream(self._launch)
        else:
            if not self.captured:
                with torch.cuda.graph(self._graph, stream=self._stream):
                    self._launch()
                self.captured = True
            self._graph.replay()
        self._runs += 1

    def _on_side_stream(self, work: Callable[[], None]) -> None:
        import torch

        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            work()
        current.wait_stream(self._stream)


@dataclass(frozen=True, slots=True)
class _Call:
    """A launch as Triton takes it."""

    kernel: Any
    grid: tuple[int, ...]
    arguments: list[Any]
    settings: dict[str, Any]

    def compile(self) -> None:
        """Ask for the kernel without launching it."""
        self.kernel.warmup(*self.arguments, grid=self.grid, **self.settings)

    def launch(self) -> None:
        self.kernel[self.grid](*self.arguments, **self.settings)


class CudaDevice:
    """One GPU with one module of kernels; `graphs` False launches one by one (for debugging)."""

    def __init__(self, path: Path, expected: str, *, graphs: bool = True) -> None:
        torch = _torch()
        os.environ.setdefault("TRITON_DEFAULT_FP_FUSION", "1")
        self._cache = path.with_suffix("")
        self._device = torch.device("cuda", torch.cuda.current_device())
        self._backend = "hip" if torch.version.hip else "cuda"
        self._arenas: dict[str, Any] = {}
        self._steps: dict[Hashable, Any] = {}
        self._unknown: dict[Hashable, list[_Call]] = {}
        self._graphs = graphs
        with binaries(self._cache):
            self._module = kernel_module.load(path, expected)

    def arena(self, name: str, size: int) -> bool:
        """Memory on the GPU; one that is too small is replaced, and with it every graph."""
        import torch

        if name in self._arenas and len(self._arenas[name]) >= size:
            return False
        moved = name in self._arenas
        if moved:
            torch.cuda.synchronize(self._device)
            self._steps.clear()
            del self._arenas[name]
        try:
            self._arenas[name] = torch.zeros(
                -(-max(size, 64) // 64) * 64, dtype=torch.uint8, device=self._device
            )
        except torch.cuda.OutOfMemoryError as error:
            raise DeviceError(
                f"the GPU has no {size / 1e9:.2f} GB left for `{name}`",
                hint="use a smaller batch",
            ) from error
        return moved

    def view(self, pointer: Pointer, shape: tuple[int, ...]) -> None:
        """There is no host view of this memory."""

    def write(self, pointer: Pointer, values: NDArray[Any]) -> None:
        """Copies the values to the GPU, behind the launches so far."""
        import torch

        flat = torch.from_numpy(contiguous(values, pointer.dtype).reshape(-1))
        self._tensor(pointer, flat.numel()).copy_(flat)

    def read(self, pointer: Pointer, shape: tuple[int, ...]) -> NDArray[Any]:
        """Copies values from the GPU, after the launches so far."""
        count = int(np.prod(shape, dtype=np.int64))
        return self._tensor(pointer, count).cpu().numpy().reshape(shape)

    def prepare(self, key: Hashable, launches: Sequence[Launch]) -> None:
        """Resolves the launches; kernels are compiled before they first run."""
        calls = [self._call(launch) for launch in nonempty(launches)]

        def launch_all() -> None:
            for call in calls:
                call.launch()

        self._unknown[key] = calls
        self._steps[key] = GraphedStep(launch_all, self._device) if self._graphs else launch_all

    def run(self, key: Hashable) -> None:
        """Runs or replays the launches prepared under this key; returns before they are done."""
        step = self._steps[key]
        if isinstance(step, GraphedStep) and step.captured:
            step.run()
            return
        with binaries(self._cache):
            compile_ahead(call.compile for call in self._unknown.pop(key, ()))
            step.run() if isinstance(step, GraphedStep) else step()

    def close(self) -> None:
        """Drops graphs and memory."""
        self._steps.clear()
        self._unknown.clear()
        self._arenas.clear()

    def _call(self, launch: Launch) -> _Call:
        arguments = [self._tensor(a) if isinstance(a, Pointer) else a for a in launch.arguments]
        settings = {**launch.constants, **launch.options(self._backend), "enable_fp_fusion": True}
        return _Call(getattr(self._module, launch.kernel), launch.grid, arguments, settings)

    def _tensor(self, pointer: Pointer, count: int | None = None) -> Any:
        import torch

        name = "bfloat16" if pointer.dtype == "bf16" else NUMPY_TYPES[pointer.dtype]
        kind = getattr(torch, name)
        memory = self._arenas[pointer.arena]
        end = len(memory) if count is None else pointer.offset + count * kind.itemsize
        end -= (end - pointer.offset) % kind.itemsize
        return memory[pointer.offset : end].view(kind)


@contextmanager
def binaries(folder: Path) -> Iterator[None]:
    """Triton's binaries are kept in `folder`, after removing those that do not fit their hash.

    Triton itself would load a truncated or altered binary.  One process at a time.
    """
    import fcntl

    from triton import knobs

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        sealed = unseal(folder)
        with knobs.cache.scope():
            knobs.cache.dir = str(folder / "binaries")
            yield
        seal(folder, sealed)


def unseal(folder: Path) -> dict[str, str]:
    """The hashes of the binaries in the folder, after removing those that were changed or added."""
    try:
        known = json.loads((folder / "hashes.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    kept = {}
    for path in sorted((folder / "binaries").rglob("*")):
        if not path.is_file():
            continue
        name = str(path.relative_to(folder))
        if known.get(name) == _hash(path):
            kept[name] = known[name]
        else:
            path.unlink()
    return kept


def seal(folder: Path, kept: dict[str, str]) -> None:
    """Writes down the hashes of all binaries, if there are any new ones."""
    paths = {str(p.relative_to(folder)): p for p in (folder / "binaries").rglob("*") if p.is_file()}
    if paths.keys() == kept.keys():
        return
    hashes = {name: kept.get(name) or _hash(path) for name, path in paths.items()}
    temporary = folder / "hashes.part"
    temporary.write_text(json.dumps(hashes), encoding="utf-8")
    os.replace(temporary, folder / "hashes.json")


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _torch() -> Any:
    """torch, if it sees a GPU and Triton compiles for it.

    Raises: DeviceError with what is missing.
    """
    try:
        import torch
        import triton
    except ImportError as error:
        raise DeviceError(
            f"the target cuda needs torch and triton: {error}", hint="pip install torch triton"
        ) from error
    if not torch.cuda.is_available():
        raise DeviceError("no GPU that torch can use", hint="train with `--target cpu`")
    if triton.knobs.runtime.interpret:
        raise DeviceError(
            "TRITON_INTERPRET is set: Triton would interpret instead of using the GPU",
            hint="unset it; the target `interpret` needs no such setting",
        )
    return torch
