"""A table that is a weight too: how it lies, and how its gradient comes together."""

from __future__ import annotations

import re

import numpy as np
import pytest

import weft
from weft.compiler.build import elaborate
from weft.compiler.compile import compile_native, lower
from weft.compiler.lowered import Lowered
from weft.runtime.initialise import fill_parameters
from weft.runtime.native_engine import NativeEngine
from weft.runtime.reference_engine import ReferenceEngine

TEXT = """
net n {
  in x: i32[B, 9]
  let table = embedding(50, 40)
  x -> table -> tanh -> linear(50, bias=false, weight=table.weight) as logits
}
train {
  steps = 1
  data x: i32[B, 9], target: i32[B, 9] = npz("unused.npz", batch=3)
  step main updates n {
    optimizer = sgd(lr=0.1)
    loss = x -> n -> cross_entropy(target)
  }
}
"""


@pytest.fixture(scope="module")
def lowered() -> Lowered:
    return lower(elaborate(weft.load_text(TEXT, "n.weft")), native=True)


def test_long_rows_of_logits_begin_with_whole_vectors() -> None:
    """300 entries lie 304 apart, and results are those of the reference."""
    text = TEXT.replace("50", "300")
    lowered = lower(elaborate(weft.load_text(text, "n.weft")), native=True)
    artifact = compile_native(lowered)
    assert re.search(r"weft_gemm\(.*, logits\w*, 304, 0, scratch\)", artifact.files["gradient.c"])
    _same_gradients(lowered, 300)


def test_its_rows_are_contiguous(lowered: Lowered) -> None:
    (table,) = compile_native(lowered).parameters
    assert table.shape == (50, 40)
    assert table.strides == (48, 1)


def test_its_gradient_is_added_up_in_place(lowered: Lowered) -> None:
    """No kernel of its own adds that of the rows that were looked up to that of the weight."""
    artifact = compile_native(lowered)
    added = r"weft_scatter_add\(.*table_weight(_\d)?, 48, 1, 1, me, size\);"
    assert re.search(added, artifact.files["gradient.c"])
    loops = [k for k in artifact.kernels if k.entry == "gradient_main" and k.kind == "loops"]
    assert not [k for k in loops if any("table_weight" in name for name in k.writes)]
    _same_gradients(lowered, 50)


def _same_gradients(lowered: Lowered, entries: int) -> None:
    engines = [NativeEngine(compile_native(lowered), threads=2), ReferenceEngine(lowered)]
    rng = np.random.default_rng(0)
    x, target = rng.integers(0, entries, (2, 5, 9)).astype(np.int32)
    found = []
    for engine in engines:
        fill_parameters(engine.artifact, engine.parameters, 1)
        for _ in range(2):  # what the call before left there counts for nothing
            _, gradient = engine.gradient("main", {"x": x, "target": target}, index=0, seed=0)
        found.append(np.array(gradient))
    assert np.abs(found[0] - found[1]).max() <= 1e-5 * np.abs(found[1]).max()
