"""Every example has kernels, for CPUs and for GPUs; `make zoo` compiles the latter."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import pytest

from weft.compiler.build import Program, elaborate
from weft.compiler.compile import compile_for, lower
from weft.spec.load import load

from .counts import FOLDER

SPECS = [
    path.relative_to(FOLDER)
    for path in sorted(FOLDER.rglob("*.weft"))
    if "\nnet " in path.read_text(encoding="utf-8")
]


@lru_cache(maxsize=1)
def _program(spec: Path) -> Program:
    """Both targets of a spec follow each other."""
    return elaborate(load(FOLDER / spec))


@pytest.mark.parametrize("target", ["cpu", "cuda:90"])
@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_every_entry_is_emitted(spec: Path, target: str) -> None:
    lowered = lower(_program(spec), native=target == "cpu")
    artifact = compile_for(lowered, target)
    assert len(artifact.entries) == len(lowered.entries)
    assert artifact.kernels
