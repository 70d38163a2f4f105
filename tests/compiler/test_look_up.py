"""Tables are multiplied where a batch looks up more rows than they have."""

from __future__ import annotations

import numpy as np
import pytest

import weft
from weft.compiler.artifact import Artifact
from weft.compiler.build import elaborate
from weft.compiler.compile import compile_native, lower
from weft.compiler.lowered import Lowered
from weft.runtime.initialise import fill_parameters
from weft.runtime.native_engine import NativeEngine
from weft.runtime.reference_engine import ReferenceEngine

SPEC = """
net n {{
  in x: i32[B, 12]
  x -> embedding({vocab}, 40) {between} -> linear(48) -> tanh -> linear(3) as y
}}
train {{
  steps = 1
  data x: i32[B, 12], target: i32[B, 12] = npz("unused.npz", batch={batch})
  step main updates n {{
    optimizer = sgd(lr=0.1)
    loss = x -> n -> cross_entropy(target)
  }}
}}
"""


def lowered(vocab: int = 10, batch: int = 7, between: str = "", *, native: bool = True) -> Lowered:
    text = SPEC.format(vocab=vocab, batch=batch, between=between)
    return lower(elaborate(weft.load_text(text, "n.weft")), native=native)


def products(artifact: Artifact, kind: str) -> set[str]:
    """What the products of the table's width, forward or backward, read."""
    found = (k for k in artifact.kernels if k.kind == "product" and k.entry.startswith(kind))
    return {name for k in found for name in k.reads}


def test_a_small_table_is_multiplied_as_it_is() -> None:
    read = products(compile_native(lowered()), "train")
    assert {"n_embedding_weight", "scatter"} <= read
    assert "embedding" not in read


@pytest.mark.parametrize(
    "other", [{"vocab": 60}, {"batch": 1}, {"between": "-> relu"}], ids=lambda o: str(*o)
)
def test_rows_are_looked_up_where_that_is_less(other: dict[str, int | str]) -> None:
    """A large table, a small batch, something between the two."""
    assert "n_embedding_weight" not in products(compile_native(lowered(**other)), "train")


def test_a_single_token_does_not_pay_for_the_table() -> None:
    assert "n_embedding_weight" not in products(compile_native(lowered()), "forward")


@pytest.mark.parametrize("batch", [7, 1, 31])
def test_losses_are_those_of_the_reference(batch: int) -> None:
    """Which looks rows up, and sees each update; also for batches of another size."""
    rng = np.random.default_rng(0)
    fields = {
        "x": rng.integers(0, 9, (batch, 12)).astype(np.int32),
        "target": rng.integers(0, 3, (batch, 12)).astype(np.int32),
    }
    losses = []
    for engine in (NativeEngine(compile_native(lowered())), ReferenceEngine(lowered(native=False))):
        fill_parameters(engine.artifact, engine.parameters, 3)
        steps = (engine.train("main", fields, rate=0.5, index=i, seed=0) for i in range(4))
        losses.append([step.values["loss"] for step in steps])
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert losses[0][0] - losses[0][-1] > 1e-3
