"""What a recurrence keeps for its gradient on a CPU, and where."""

from __future__ import annotations

from typing import Any

import pytest

import weft
from tests.laws.harness import build, entry_of, graph_of
from tests.laws.scan_cases import WIDE_SCANS
from weft.compiler.arena import Arena
from weft.compiler.artifact import Artifact, Buffer, evaluate
from weft.compiler.build import elaborate
from weft.compiler.compile import compile_native, lower
from weft.compiler.native import emit_native

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
    inside = [found[name] for name in ("sigmoid", "sigmoid_2", "sigmoid_3", "tanh_")]
    assert found["gates"].offset == found["d_gates"].offset
    assert {b.strides for b in inside} == {found["gates"].strides}
    starts = {nominal(b.offset) - nominal(found["gates"].offset) for b in inside}
    assert starts == {4 * 48 * part for part in range(4)}


def nominal(offset: Any) -> int:
    return evaluate(offset, {"B": 20})


def test_a_probe_keeps_them_apart() -> None:
    found = places(compiled("lstm(48)"), "probe")
    names = ("gates", "sigmoid", "sigmoid_2", "sigmoid_3", "tanh_", "d_gates")
    assert len({str(found[name].offset) for name in names}) == len(names)


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_the_product_with_the_state_is_not_made_again(cell: str) -> None:
    """Only the walks over time read the weight of the states."""
    artifact = compiled(f"{cell}(48)")
    weight = f"n_{cell}_weight_hh"
    readers = [k.kind for k in artifact.kernels if k.entry == "train_main" and weight in k.reads]
    assert readers == ["scan", "scan"]


def test_what_would_be_written_too_early_is_copied_at_the_end_of_a_step() -> None:
    """A result could lie where x does, of which it is a map, but a later kernel reads that."""
    (case,) = (c for c in WIDE_SCANS if c.name.startswith("read_again"))
    entry, sizes = entry_of(graph_of(*build(case)), "forward", "n"), {"B": 20, "T": 3}
    files = emit_native([entry], Arena({}, {}, 0), {}, sizes, "late")[0]
    loop = files["forward.c"].partition("WEFT_KERNEL void scan_")[2].partition("\n}")[0]
    step = loop.partition("for (long at = 0")[2]
    assert step.index("] = (sigmoid)") > step.rindex("x_1")
