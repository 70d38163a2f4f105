"""What a recurrence keeps for its gradient on a CPU, and where."""

from __future__ import annotations

import pytest

import weft
from weft.compiler.artifact import Artifact, Buffer
from weft.compiler.build import elaborate
from weft.compiler.compile import compile_native, lower

SPEC = """
net n {{
  in x: f32[B, 12, 40]
  x -> {layer} -> linear(3) as y
}}
train {{
  steps = 1
  data x: f32[B, 12, 40], target: i32[B, 12] = npz("unused.npz", batch=20)
  step main updates n {{
    optimizer = sgd(lr=0.1)
    loss = x -> n -> cross_entropy(target)
  }}
}}
"""


def compiled(layer: str) -> Artifact:
    program = elaborate(weft.load_text(SPEC.format(layer=layer), "n.weft"))
    return compile_native(lower(program, native=True))


def places(artifact: Artifact, kind: str) -> dict[str, Buffer]:
    (entry,) = (e for e in artifact.entries if e.kind == kind)
    return {b.name: b for b in entry.buffers}


def test_gates_what_opens_and_cotangents_share_memory() -> None:
    found = places(compiled("lstm(48)"), "train")
    assert found["gates"].offset == found["lstm_gates"].offset == found["d_gates"].offset


def test_a_probe_keeps_them_apart() -> None:
    found = places(compiled("lstm(48)"), "probe")
    offsets = {str(found[name].offset) for name in ("gates", "lstm_gates", "d_gates")}
    assert len(offsets) == 3


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_the_product_with_the_state_is_not_made_again(cell: str) -> None:
    """Only the walks over time read the weight of the states."""
    artifact = compiled(f"{cell}(48)")
    weight = f"n_{cell}_weight_hh"
    readers = [k.kind for k in artifact.kernels if k.entry == "train_main" and weight in k.reads]
    assert readers == (["recurrence", "recurrence_input"] if cell == "lstm" else ["scan", "scan"])
