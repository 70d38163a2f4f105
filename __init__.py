"""weft: a description of a neural network in, kernels with their backward passes out, trained.

The public surface, loaded on first use so that `weft check` starts without torch:

    spec = weft.load("net.weft")
    program = weft.compile(spec, target="auto")
    record = weft.train(spec, out="runs/net")
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "load": "spec.load",
    "load_text": "spec.load",
    "Spec": "spec.load",
    "check": "compiler.report",
    "compile": "runtime.program",
    "train": "runtime.program",
    "CompiledProgram": "runtime.program",
    "Record": "runtime.record",
    "compile": "runtime.program",
    "train": "runtime.program",
    "CompiledProgram": "runtime.program",
    "WeftError": "spec.errors",
    "SpecError": "spec.errors",
    "DataError": "spec.errors",
    "DeviceError": "spec.errors",
    "CheckpointError": "spec.errors",
    "DivergenceError": "spec.errors",
    "UsageError": "spec.errors",
    "InternalError": "spec.errors",
}

__all__ = ["__version__", *sorted(_HOMES)]


def __getattr__(name: str) -> Any:
    """Import the module that holds a public name when it is first asked for."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
