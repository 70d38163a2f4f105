"""The part of weft that a generated package carries along, so that it trains without weft.

These files import nothing but the standard library, NumPy and each other.
"""

from __future__ import annotations

from pathlib import Path

SHARED = (
    "spec/errors.py",
    "spec/formula.py",
    "spec/place.py",
    "compiler/artifact.py",
    "runtime/checkpoint.py",
    "runtime/data/__init__.py",
    "runtime/data/arrays.py",
    "runtime/data/batches.py",
    "runtime/data/conform.py",
    "runtime/data/dataset.py",
    "runtime/data/digits.py",
    "runtime/data/function.py",
    "runtime/data/idx.py",
    "runtime/data/image.py",
    "runtime/data/normalise.py",
    "runtime/data/raw.py",
    "runtime/data/split.py",
    "runtime/data/table.py",
    "runtime/divergence.py",
    "runtime/engine.py",
    "runtime/evaluation.py",
    "runtime/initialise.py",
    "runtime/interrupt.py",
    "runtime/metrics.py",
    "runtime/predict.py",
    "runtime/progress.py",
    "runtime/recipe.py",
    "runtime/record.py",
    "runtime/schedule.py",
    "runtime/snapshot.py",
    "runtime/stepper.py",
    "runtime/stream.py",
    "runtime/trainer.py",
)
"""What every generated package needs, whatever its target."""

NATIVE = (
    "runtime/arena.py",
    "runtime/machine.py",
    "runtime/native.py",
    "runtime/native_engine.py",
    "runtime/threads.py",
)
"""What a package for the CPU needs in addition."""

ROOT = Path(__file__).resolve().parent.parent


def texts(names: tuple[str, ...]) -> dict[str, str]:
    """These files and the `__init__.py` of their folders, by their path in the package."""
    found = {name: (ROOT / name).read_text(encoding="utf-8") for name in names}
    for folder in sorted({part for name in names for part in Path(name).parents}):
        init = str(folder / "__init__.py")
        if init not in found:
            found[init] = '"""Carried along from weft, unchanged; see the README beside it."""\n'
    return found
