"""The process of Triton's interpreter: orders come as JSON lines, memory is shared files.

Started by `interpreted.py` with TRITON_INTERPRET=1 in its environment.
"""

from __future__ import annotations

import json
import os
import random
import sys
import traceback
from pathlib import Path
from typing import Any

from . import kernel_module
from .launch import NUMPY_TYPES


class Worker:
    """Kernels, arenas and prepared launches of this process."""

    def __init__(self) -> None:
        self.module: Any = None
        self.arenas: dict[str, Any] = {}
        self.prepared: dict[str, list[tuple[Any, tuple[int, ...], list[Any], dict[str, Any]]]] = {}
        self.order = _Order()

    def load(self, path: str, expected: str) -> None:
        """Imports the kernels."""
        self.module = kernel_module.load(Path(path), expected)
        self.order.install()

    def arena(self, name: str, path: str, size: int) -> None:
        """Maps a shared file as an arena."""
        import torch

        self.arenas[name] = torch.from_file(path, shared=True, size=size, dtype=torch.uint8)

    def prepare(self, key: str, launches: list[dict[str, Any]]) -> None:
        """Resolves pointers to tensors."""
        self.prepared[key] = [
            (
                getattr(self.module, launch["kernel"]),
                tuple(launch["grid"]),
                [self._argument(argument) for argument in launch["arguments"]],
                launch["constants"],
            )
            for launch in launches
        ]

    def run(self, key: str, seed: int | None) -> None:
        """Runs the launches; a seed permutes the programs of each."""
        for kernel, grid, arguments, constants in self.prepared[key]:
            self.order.shuffle(grid, seed)
            kernel[grid](*arguments, **constants)

    def _argument(self, argument: Any) -> Any:
        if not isinstance(argument, list):
            return argument
        import torch

        arena, offset, dtype = argument
        kind = getattr(torch, NUMPY_TYPES[dtype])
        memory = self.arenas[arena]
        end = len(memory) - (len(memory) - offset) % kind.itemsize
        return memory[offset:end].view(kind)


class _Order:
    """Programs run one after another here; permuted, kernels that count on it are found out."""

    def __init__(self) -> None:
        self.table: list[tuple[int, int, int]] | None = None

    def shuffle(self, grid: tuple[int, ...], seed: int | None) -> None:
        x, y, z = (*grid, 1, 1)[:3]
        self.extents = (x, y, z)
        self.table = None
        if seed is not None:
            self.table = [(i, j, k) for i in range(x) for j in range(y) for k in range(z)]
            random.Random(seed).shuffle(self.table)

    def install(self) -> None:
        from triton.runtime import interpreter

        natural = interpreter.InterpreterBuilder.set_grid_idx

        def permuted(builder: Any, x: int, y: int, z: int) -> None:
            if self.table is not None:
                _, height, depth = self.extents
                x, y, z = self.table[(x * height + y) * depth + z]
            natural(builder, x, y, z)

        interpreter.InterpreterBuilder.set_grid_idx = permuted


def main() -> None:
    """Answers orders until the input ends; `print` in a kernel goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    worker = Worker()
    for line in sys.stdin:
        order = json.loads(line)
        try:
            getattr(worker, order.pop("do"))(**order)
            answer: dict[str, Any] = {"ok": True}
        except Exception as error:  # the parent raises it
            answer = {"ok": False, "error": repr(error), "trace": traceback.format_exc()}
        answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
