"""Every example has kernels, for CPUs and for GPUs; `make zoo` compiles the latter."""

from __future__ import annotations

from pathlib import Path

import pytest

from weft.compiler.build import elaborate
from weft.compiler.compile import compile_for, lower
from weft.spec.load import load

from .counts import FOLDER

SPECS = [
    path.relative_to(FOLDER)
    for path in sorted(FOLDER.rglob("*.weft"))
    if "\nnet " in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("target", ["cpu", "cuda:90"])
def test_every_entry_is_emitted(spec: Path, target: str) -> None:
    lowered = lower(elaborate(load(FOLDER / spec)), native=target == "cpu")
    artifact = compile_for(lowered, target)
    assert len(artifact.entries) == len(lowered.entries)
    assert artifact.kernels
