"""Kernels of convolutions and pools, and steps that train with them, compile for every GPU."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.laws.cases import Case
from tests.laws.conftest import Share
from tests.laws.harness import graphs_of
from tests.laws.kernels import ARCHITECTURES, Key, emitted, passed
from tests.laws.test_interpreted_moments import moments
from tests.laws.test_interpreted_windows import _adjoint_ridden, _ridden
from tests.laws.window_cases import (
    _convolve_input,
    _convolve_weight,
    _pool,
    normalised,
    pooled,
    spread_back,
    square,
    summed,
)
from weft.compiler.artifact import Artifact
from weft.compiler.build import elaborate
from weft.compiler.compile import lower
from weft.compiler.ir.graph import Graph
from weft.compiler.passes.reduce_precision import reduce_precision
from weft.runtime.crosscompile import SHARED, Report, compile_module
from weft.runtime.gate import cross_compiled
from weft.runtime.verdicts import bodies
from weft.spec.load import load_text

BATCH = {"B": 256, "T": 1}

STEM = square("stem", 224, 7, stride=2, pad=3, channels=(3, 64))
SAME = square("same", 28, 3, pad=1, channels=(128, 128))
HALVED = square("halved", 28, 3, stride=2, pad=1, channels=(128, 256))
SKIPPED = square("skipped", 28, 1, stride=2, channels=(256, 512))
POINT = square("point", 14, 1, channels=(1024, 256))
NARROW = square("narrow", 28, 1, channels=(128, 128))
WIDE = square("wide", 14, 1, channels=(256, 1024))
GROUPED = square("grouped", 28, 3, pad=1, channels=(256, 256), groups=32)
DEPTHWISE = square("depthwise", 56, 3, pad=1, channels=(96, 96), groups=96)
ODD = square("odd", 31, 5, pad=2, channels=(24, 40))
POOLED = square("pooled", 112, 3, stride=2, pad=1, channels=(64, 64))
SHAPES = (STEM, SAME, HALVED, SKIPPED, POINT, GROUPED, DEPTHWISE, ODD)

SMALL = (
    Case("stem", _ridden(STEM)),
    Case("same", _ridden(SAME)),
    Case("halved", _adjoint_ridden(HALVED)),
    Case("d_same", _convolve_weight(SAME)),
    Case("normalised", normalised(SAME)),
    Case("moments", moments(SAME)),
    Case("summed", summed(POINT)),
    Case("pooled", pooled(POOLED)),
    Case("back", spread_back(WIDE)),
    Case("d_stem", spread_back(STEM, alone=True)),
    Case("grouped", _convolve_input(GROUPED)),
    Case("depthwise", _ridden(DEPTHWISE)),
    Case("d_depthwise", _convolve_weight(DEPTHWISE)),
    Case("pool_max", _pool("pool_max", POOLED)),
)
WHOLE = (
    *(Case(f"forward_{g.name}", _ridden(g)) for g in SHAPES),
    *(Case(f"input_{g.name}", _adjoint_ridden(g)) for g in SHAPES[1:]),
    *(Case(f"plain_input_{g.name}", _convolve_input(g)) for g in SHAPES[1:]),
    *(Case(f"weight_{g.name}", _convolve_weight(g)) for g in SHAPES),
    *(Case(f"normalised_{g.name}", normalised(g)) for g in (SAME, SKIPPED, POINT, ODD)),
    *(
        Case(f"pooled_{g.name}", pooled(g))
        for g in (POOLED, replace(POOLED, name="same", stride=(1, 1)))
    ),
    *(Case(f"summed_{g.name}", summed(g)) for g in (POINT, NARROW)),
    *(Case(f"back_{g.name}", spread_back(g)) for g in (WIDE, NARROW)),
    *(Case(f"alone_{g.name}", spread_back(g, alone=True)) for g in (STEM, POINT, SKIPPED)),
    *(Case(f"moments_{g.name}", moments(g)) for g in (STEM, SKIPPED, POINT, GROUPED)),
    *(Case(op, _pool(op, POOLED)) for op in ("pool_max", "pool_sum")),
)

LENET = """
net lenet {
  in image: f32[B, 1, 28, 28]
  image -> conv(20, 5, pad=0) -> max_pool(2) -> relu -> conv(50, 5, pad=0) -> max_pool(2) -> relu
    -> flatten -> linear(500) -> relu -> linear(10) as logits
}
train {
  steps = 1
  data image: f32[B, 1, 28, 28], label: i32[B] = npz("unused.npz", batch=64)
  step main updates lenet {
    optimizer = adamw(lr=0.001)
    loss = image -> lenet -> cross_entropy(label)
  }
}
"""
RESNET = """
default conv(bias=false)
block Unit(c, stride) {
  in x: f32[B, C, H, W]
  x -> residual {
        conv(c, 3, stride=stride) -> batch_norm -> relu -> conv(c, 3) -> batch_norm
      | if C != c { conv(c, 1, stride=stride) -> batch_norm }
    } -> relu
}
net resnet {
  in image: f32[B, 3, 64, 64]
  image -> conv(64, 7, stride=2) -> batch_norm -> relu -> max_pool(3, stride=2, pad=1)
    -> Unit(64, 1) -> Unit(128, 2) -> global_avg_pool -> linear(10) as logits
}
train {
  steps = 1
  data image: f32[B, 3, 64, 64], label: i32[B] = npz("unused.npz", batch=128)
  step main updates resnet {
    optimizer = sgd(lr=0.1, momentum=0.9)
    loss = image -> resnet -> cross_entropy(label)
  }
}
"""

DENSE = """
default conv(bias=false)
block Activate { batch_norm -> relu }
block Layer {
  branch { identity | Activate -> conv(128, 1) -> Activate -> conv(32, 3) } -> concat(axis=1)
}
net dense {
  in image: f32[B, 3, 64, 64]
  image -> conv(64, 7, stride=2) -> Activate -> max_pool(3, stride=2, pad=1) -> repeat 3 { Layer }
    -> Activate -> conv(80, 1) -> avg_pool(2) -> Layer -> Activate -> global_avg_pool
    -> linear(10) as logits
}
train {
  steps = 1
  data image: f32[B, 3, 64, 64], label: i32[B] = npz("unused.npz", batch=128)
  step main updates dense {
    optimizer = sgd(lr=0.1, momentum=0.9)
    loss = image -> dense -> cross_entropy(label)
  }
}
"""


def _graphs(cases: tuple[Case, ...]) -> dict[Key, Graph]:
    return graphs_of(cases)


def _pass(artifact: Artifact, reports: tuple[Report, ...]) -> None:
    """No spills; and whatever sums with a dot does so on tensor cores."""
    texts = bodies(artifact.files["kernels.py"])
    assert {r.kernel for r in reports} == {k.name for k in artifact.kernels}
    for r in reports:
        fast = sum(r.instructions.get(name, 0) for name in ("mma", "wgmma", "tcgen05", "mfma"))
        assert r.ok, r.failures
        assert r.spills == 0
        assert r.shared <= SHARED[r.target]
        assert ("tl.dot(" in texts[r.kernel]) == (fast > 0), r.kernel


def test_a_sample_compiles() -> None:
    """Without a second attempt."""
    artifact = emitted(_graphs(SMALL[1:]), BATCH, "cuda:90")
    records = [dict(k.compile) for k in artifact.kernels if k.compile and k.kind != "loops"]
    text = artifact.files["kernels.py"]
    reports = compile_module(text, records, "cuda:90")
    assert not [(r.kernel, r.failures) for r in reports if not r.ok]
    assert sum("wgmma" in r.instructions for r in reports) >= 4
    assert "atomic" not in text


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["f32", "bf16"])
@pytest.mark.parametrize("target", ARCHITECTURES)
def test_every_form_compiles(target: str, dtype: str, share: Share) -> None:
    """For one architecture and one precision, or for all in a sweep."""
    number = 2 * ARCHITECTURES.index(target) + (dtype == "bf16")
    graphs = share(_graphs(WHOLE), number, 10)
    if dtype == "bf16":
        graphs = {key: reduce_precision(g, "bf16", packed=True) for key, g in graphs.items()}
    _pass(*passed(graphs, BATCH, target))


@pytest.mark.parametrize(
    ("text", "target"),
    [
        pytest.param(text, target, marks=getattr(pytest.mark, often), id=f"{name}-{target}")
        for name, text, usual in (
            ("lenet", LENET, "cuda:80"),
            ("resnet", RESNET, "hip:gfx942"),
            ("dense", DENSE, "cuda:100"),
        )
        for target in ARCHITECTURES
        for often in ["slow" if target == usual else "sweep"]
    ],
)
def test_training_steps_compile(text: str, target: str) -> None:
    lowered = lower(elaborate(load_text(text, "spec.weft")), native=False)
    _pass(*cross_compiled(lowered, target))
