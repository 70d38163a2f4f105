"""weft: a description of a neural network in, kernels with their backward passes out, trained.

The public surface, loaded on first use so that `weft check` starts without torch:

    spec = weft.load("net.weft")
    program = weft.compile(spec, target="auto")
    record = weft.train(spec, out="runs/net")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .compiler.report import Report as Report
    from .compiler.report import check as check
    from .runtime.program import CompiledProgram as CompiledProgram
    from .runtime.program import compile as compile
    from .runtime.program import train as train
    from .runtime.record import Record as Record
    from .spec.errors import CheckpointError as CheckpointError
    from .spec.errors import DataError as DataError
    from .spec.errors import DeviceError as DeviceError
    from .spec.errors import DivergenceError as DivergenceError
    from .spec.errors import InternalError as InternalError
    from .spec.errors import SpecError as SpecError
    from .spec.errors import UsageError as UsageError
    from .spec.errors import WeftError as WeftError
    from .spec.load import Spec as Spec
    from .spec.load import load as load
    from .spec.load import load_text as load_text

_HOMES = {
    "load": "spec.load",
    "load_text": "spec.load",
    "Spec": "spec.load",
    "check": "compiler.report",
    "Report": "compiler.report",
    "compile": "runtime.program",
    "train": "runtime.program",
    "CompiledProgram": "runtime.program",
    "Record": "runtime.record",
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
