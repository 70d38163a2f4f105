"""Mean and squares of a batch in one pass: where, how exactly, and always with the same bits."""

from __future__ import annotations

import numpy as np
import pytest

import weft
from weft.compiler.artifact import Artifact
from weft.compiler.build import elaborate
from weft.compiler.compile import compile_for, lower
from weft.runtime.native_engine import NativeEngine

OFFSET = 1000.0


def compiled(layers: str, batch: int = 64, target: str = "cpu", precision: str = "f32") -> Artifact:
    text = f"""
net n {{
  in x: f32[B, 8, 12, 12]
  x -> {layers} -> relu -> global_avg_pool -> linear(4) as y
}}
train {{
  steps = 1
  data x: f32[B, 8, 12, 12], target: i32[B] = npz("unused.npz", batch={batch})
  step main updates n {{
    optimizer = sgd(lr=0.1)
    loss = x -> n -> cross_entropy(target)
  }}
}}
"""
    native = target == "cpu"
    program = elaborate(weft.load_text(text, "n.weft"))
    return compile_for(lower(program, native=native, precision=precision), target)


@pytest.mark.parametrize(
    ("layers", "batch", "count"),
    [
        ("conv(8, 3, bias=false) -> batch_norm -> relu -> conv(8, 3) -> batch_norm", 64, 1),
        ("conv(8, 3, bias=false) -> batch_norm", 2, 0),  # made as a whole
        ("conv(8, 3, bias=false) -> instance_norm", 64, 0),  # nobody waits for other images
        ("batch_norm -> conv(8, 3)", 64, 0),  # channels of x lie apart
    ],
)
def test_only_statistics_of_what_a_stage_makes(layers: str, batch: int, count: int) -> None:
    """One kernel each, in place of two sums; with a bias `z` is not what the convolution makes."""
    kernels = [k for k in compiled(layers, batch).kernels if k.entry.startswith("train")]
    assert sum(k.kind == "moments" for k in kernels) == count
    if count:
        found = [name for k in kernels for name in k.writes if name.startswith("sum_mul")]
        assert len(found) == 1


@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_a_gpu_reads_what_a_convolution_makes_no_second_time(precision: str) -> None:
    """Its statistics are left behind by the kernel that makes it, block by block."""
    layers = "conv(8, 3, bias=false) -> batch_norm -> relu -> conv(8, 3, bias=false) -> batch_norm"
    artifact = compiled(layers, 64, "cuda:90", precision)
    kernels = [k for k in artifact.kernels if k.entry == "train_main"]
    makers = [k for k in kernels if any("moments_partial" in name for name in k.writes)]
    assert [k.kind for k in makers] == ["convolution", "convolution"]
    made = {name for k in makers for name in k.writes if name.startswith("n_conv")}
    sums = [k for k in kernels if not made.isdisjoint(k.reads) and k.kind == "loops"]
    assert not [k for k in sums if any(n.startswith(("sum_mul", "sum_y")) for n in k.writes)]


def statistics(threads: int, batch: int) -> tuple[np.ndarray, np.ndarray]:
    """Running statistics after one step of a net whose convolution hands on what it reads."""
    artifact = compiled("conv(8, 1, bias=false) -> batch_norm", 64)
    engine = NativeEngine(artifact, threads=threads)
    found = {p.name: p for p in artifact.parameters}
    record = found["n.conv.weight"]
    view = np.lib.stride_tricks.as_strided(
        engine.parameters[record.offset :], record.shape, [4 * s for s in record.strides]
    )
    view[:] = np.eye(8)[:, :, None, None]
    rng = np.random.default_rng(1)
    x = rng.normal(OFFSET, 1, (batch, 8, 12, 12)).astype(np.float32)
    target = rng.integers(0, 4, batch).astype(np.int32)
    engine.train("main", {"x": x, "target": target}, rate=0.0, index=0, seed=0)
    record = found["n.batch_norm.running_var"]
    exact = x.astype(np.float64).var(axis=(0, 2, 3), ddof=1)
    return engine.parameters[record.offset : record.offset + 8].copy(), 0.1 * exact


@pytest.mark.parametrize("batch", [1, 7, 65, 300])
def test_a_mean_far_from_zero_costs_no_digits(batch: int) -> None:
    """Sums of squares of 1000 and more would leave one digit of a variance of 1."""
    found, exact = statistics(1, batch)
    assert np.abs(found / exact - 1).max() < 3e-5


def test_the_number_of_threads_does_not_show() -> None:
    one = statistics(1, 300)[0]
    assert all(np.array_equal(statistics(threads, 300)[0], one) for threads in (2, 3, 5))
