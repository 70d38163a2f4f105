"""The clock in a step function: what it finds, and that it changes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import weft
from weft.cli.main import main
from weft.compiler.artifact import Artifact
from weft.runtime.native import build, load
from weft.runtime.profile import ADDING, WAITING, Profile, profile
from weft.runtime.program import compile
from weft.runtime.timing import random_inputs

TEXT = """
net n {
  in x: f32[B, 6, 16]
  x -> scan(gru_cell(16)) -> conv(24, 3) -> relu -> flatten -> linear(10) as logits
}
train {
  steps = 5
  data x: f32[B, 6, 16], label: i32[B] = npz("points.npz", batch=64)
  step main updates n {
    optimizer = sgd(lr=0.1)
    loss = x -> n -> cross_entropy(label)
  }
}
"""


@pytest.fixture(scope="module")
def artifact() -> Artifact:
    program = compile(weft.load_text(TEXT, "clock.weft"), "cpu")
    return program.artifact


@pytest.fixture(scope="module")
def found(artifact: Artifact) -> Profile:
    (one,) = profile(artifact, seconds=0.05)
    return one


def test_every_kernel_of_the_step_has_its_region(artifact: Artifact, found: Profile) -> None:
    records = [k for k in artifact.kernels if k.entry == "train_main" and k.flops > 10_000]
    regions = {(r.kernel, r.made) for r in found.regions}
    assert {"scan", "product", "convolve_weight"} <= {k.name for k in records}
    assert {(k.name, ", ".join(k.writes)) for k in records} <= regions
    assert {r.kernel for r in found.regions} >= {ADDING, WAITING}


def test_regions_are_shares_of_the_step_and_name_their_lines(found: Profile) -> None:
    shares = [r.share for r in found.regions]
    assert shares == sorted(shares, reverse=True)
    assert 0.2 < sum(shares) < 2.0  # medians of each do not add up to the median of the sum
    layers = {r.layer: r.place for r in found.regions if r.kernel == "product"}
    assert layers["n.logits"].startswith("clock.weft:4:")


def test_a_clock_changes_no_bit_and_leaves_no_trace(artifact: Artifact) -> None:
    from weft.runtime.native_engine import NativeEngine

    engine = NativeEngine(artifact)
    engine.parameters[:] = np.random.default_rng(0).normal(size=engine.parameters.size)
    before = engine.parameters.copy()
    profile(artifact, seconds=0.01)
    np.testing.assert_array_equal(engine.parameters, before)
    name = next(n for n, t in artifact.files.items() if "\nint weft_train_main_(const" in t)
    plain = load(build(artifact.files[name], files=artifact.files))
    assert not hasattr(plain, "weft_laps")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "clock.weft"
    file.write_text(TEXT, encoding="utf-8")
    command = ["bench", str(file), "--target", "cpu", "--profile", "--seconds", "0.01"]
    assert main([*command, "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)["entries"]
    assert entry["entry"] == "train_main"
    assert {"kernel", "layer", "place", "seconds", "share"} <= entry["regions"][0].keys()
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "n.logits" in printed and "clock.weft:4:" in printed and "100.0%" in printed


TOKENS = """
net n {
  in x: i32[B, T]
  x -> embedding(50, 32) -> attention(2, causal=true) -> linear(50) as logits
}
train {
  steps = 5
  data x: i32[B, 64], target: i32[B, 64] = npz("tokens.npz", batch=8)
  step main updates n {
    optimizer = sgd(lr=0.1)
    loss = x -> n -> cross_entropy(target)
  }
}
"""


def test_tokens_are_any_that_a_table_knows_and_attention_counts_its_products() -> None:
    artifact = compile(weft.load_text(TOKENS, "tokens.weft"), "cpu").artifact
    entry = next(e for e in artifact.entries if e.kind == "train")
    x = random_inputs(artifact, entry)["x"]
    assert x.min() < 5 and 45 <= x.max() < 50
    kernels = [k for k in artifact.kernels if k.entry == "train_main" and k.kind == "attention"]
    product = 2 * 8 * 64 * 64 * 32  # of all heads
    forward, backward = sorted(k.flops for k in kernels)
    assert 2 * product < forward < 3.5 * product
    assert 5 * product < backward < 7 * product


def test_other_targets_have_no_clock(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "clock.weft"
    file.write_text(TEXT, encoding="utf-8")
    assert main(["bench", str(file), "--target", "reference", "--profile"]) == 2
    assert "--target cpu" in capsys.readouterr().err
