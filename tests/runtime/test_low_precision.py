"""Training in 16 bits, loss scales, and averages of the weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import weft
from weft.runtime import checkpoint
from weft.runtime.engine import parameter_view
from weft.runtime.loss_scale import FIRST
from weft.runtime.predict import evaluate

SPEC = """
net mlp {{
  in x: f32[B, 64]
  x -> linear(32) -> relu -> linear(10) as y
}}

train {{
  epochs = {epochs}
  {settings}
  data x, label = digits(batch=64)
  step main updates mlp {{
    optimizer = adamw(lr=3e-3)
    {step}
    logits = x -> mlp
    loss = cross_entropy({factor} * logits, label)
  }}
}}
"""


def _spec(settings: str = "", epochs: int = 2, step: str = "", factor: str = "1") -> weft.Spec:
    text = SPEC.format(settings=settings, epochs=epochs, step=step, factor=factor)
    return weft.load_text(text, "digits.weft")


def _train(spec: weft.Spec, out: Path, **options: object) -> weft.Record:
    return weft.train(spec, out, "cpu", progress="quiet", **options)


def _tensors(out: Path, name: str = "last") -> dict[str, np.ndarray]:
    return dict(checkpoint.load(out / "checkpoints" / f"{name}.safetensors").tensors)


def test_losses_follow_those_of_f32(tmp_path: Path) -> None:
    found = {
        p: _train(_spec(f"precision = {p}"), tmp_path / p).metrics["test"]["loss"]
        for p in ("f32", "bf16", "f16")
    }
    assert found["bf16"] == pytest.approx(found["f32"], rel=0.03)
    assert found["f16"] == pytest.approx(found["f32"], rel=0.01)
    assert len(set(found.values())) == 3


@pytest.mark.parametrize("step", ["", "accumulate = 2", "clip = 0.5"])
def test_a_scale_that_is_too_large_is_halved(tmp_path: Path, step: str) -> None:
    """Gradients of 10,000 times the logits pass 65,504 at the first scale."""
    spec = _spec("precision = f16", epochs=1, step=step, factor="1e4")
    record = _train(spec, tmp_path)
    assert np.isfinite(record.metrics["train"]["loss"])
    scale, good = _tensors(tmp_path)["stepper/main/loss_scale"]
    assert 1 <= scale < FIRST and good > 0


def test_a_fixed_scale_diverges(tmp_path: Path) -> None:
    spec = _spec("precision = f16\n  loss_scale = 1048576", epochs=1, factor="1e4")
    with pytest.raises(weft.DivergenceError):
        _train(spec, tmp_path)


@pytest.mark.parametrize("settings", ["precision = f16\n  ema = 0.9", "precision = bf16"])
def test_resuming_gives_the_same_bits(tmp_path: Path, settings: str) -> None:
    factor = "1e4" if "f16" in settings.split("\n")[0].split() else "1"
    spec = _spec(settings, factor=factor)
    _train(spec, tmp_path / "whole")
    _train(spec, tmp_path / "parts", epochs=1)
    _train(spec, tmp_path / "parts", resume=True)
    whole, parts = _tensors(tmp_path / "whole"), _tensors(tmp_path / "parts")
    assert whole.keys() == parts.keys()
    assert all(np.array_equal(whole[name], parts[name]) for name in whole)
    assert whole["mlp.linear.weight"].dtype == np.float32


def test_a_gradient_does_not_depend_on_the_scale() -> None:
    program = weft.compile(_spec(), "cpu", "f16")
    rng = np.random.default_rng(0)
    batch = {
        "x": rng.normal(size=(13, 64)).astype(np.float32),
        "label": rng.integers(0, 10, 13).astype(np.int32),
    }
    loss, small = program.value_and_grad({**batch, "loss_scale": np.float32(1024)})
    again, large = program.value_and_grad({**batch, "loss_scale": np.float32(4096)})
    assert loss == again
    for name, value in small.items():
        np.testing.assert_allclose(value, large[name], rtol=2e-2, atol=1e-6)


# ---- averages ------------------------------------------------------------------------------------


def test_the_average_is_pytorchs() -> None:
    """The first update begins it, as in torch.optim.swa_utils; padding and all."""
    program = weft.compile(_spec("ema = 0.75"), "cpu")
    engine = program.engine
    rng = np.random.default_rng(0)
    wanted = None
    for index in range(5):
        batch = {
            "x": rng.normal(size=(13, 64)).astype(np.float32),
            "label": rng.integers(0, 10, 13).astype(np.int32),
        }
        engine.train("main", batch, rate=0.01, index=index, seed=0)
        now = np.array(engine.parameters, np.float64)
        wanted = now if wanted is None else 0.75 * wanted + 0.25 * now
    assert wanted is not None
    for p in program.artifact.parameters:
        got = parameter_view(engine.states["main", "ema"], p)
        np.testing.assert_allclose(
            got, np.array(parameter_view(wanted.astype(np.float32), p)), rtol=1e-5, atol=1e-7
        )


def test_the_average_is_what_is_evaluated(tmp_path: Path) -> None:
    spec = _spec("ema = 0.9")
    record = _train(spec, tmp_path)
    program = weft.compile(spec, "cpu")
    path = tmp_path / "checkpoints" / "last.safetensors"

    def loss(ema: bool | None) -> float:
        given = {"root": tmp_path, "checkpoint": path, "ema": ema}
        return evaluate(program.engine, program.artifact, **given)["loss"]

    assert loss(None) == loss(True) == pytest.approx(record.metrics["test"]["loss"], rel=1e-6)
    assert loss(False) != loss(True)
    plain = _spec()
    _train(plain, tmp_path / "plain")
    program = weft.compile(plain, "cpu")
    path = tmp_path / "plain" / "checkpoints" / "last.safetensors"
    with pytest.raises(weft.UsageError, match="no average of the weights"):
        loss(True)


@pytest.mark.parametrize(
    ("settings", "step", "said"),
    [
        ("loss_scale = 8", "", "`loss_scale` is for `precision = f16`"),
        ("ema = 1.5", "", "`ema`"),
    ],
)
def test_settings_that_make_no_sense(settings: str, step: str, said: str) -> None:
    with pytest.raises(weft.SpecError, match=said):
        weft.compile(_spec(settings, step=step), "cpu")


def test_lbfgs_keeps_no_average() -> None:
    text = _spec("ema = 0.9").texts["digits.weft"].replace("adamw(lr=3e-3)", "lbfgs()")
    with pytest.raises(weft.SpecError, match="keeps no average of the weights"):
        weft.compile(weft.load_text(text, "digits.weft"), "cpu")
