"""The optimizer lbfgs: the steps of torch.optim.LBFGS, exact resume, walls in the line search."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from softmax_engine import SoftmaxEngine, data_line, softmax_artifact, step_recipe
from trainings import StopAt

import weft
from weft.compiler.artifact import Artifact
from weft.runtime import checkpoint as files
from weft.runtime.engine import Result, parameter_view
from weft.runtime.lbfgs import positions
from weft.runtime.trainer import train
from weft.spec.errors import CheckpointError, DeviceError, DivergenceError

SPEC = """
param n=4
net surface {
  in x: f32[B, 2]
  x -> linear(n) -> tanh -> linear(1) as z
}
net other {
  in x: f32[B, 2]
  x -> linear(1) as z
}
train {
  steps = 12
  seed = 3
  data x: f32[B, 2], z: f32[B, 1] = function("z = sin(x)*y",
    x=[-2, 2], y=[-1, 1], grid=9, batch=BATCH)
  step main updates surface {
    optimizer = OPTIMIZER
    accumulate = 1
    loss = x -> surface -> mse(z)
  }
  step beside updates other {
    optimizer = sgd(lr=0.01)
    loss = x -> other -> mse(z)
  }
}
"""


def program(folder: Path, optimizer: str = "lbfgs(max_iter=4)", **changes: Any) -> Any:
    text = SPEC.replace("OPTIMIZER", optimizer).replace("BATCH", str(changes.get("batch", "full")))
    text = text.replace("accumulate = 1", f"accumulate = {changes.get('accumulate', 1)}")
    (folder / "net.weft").write_text(text)
    return weft.compile(weft.load(folder / "net.weft"), target="cpu")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """`program`, compiled once for all trainings, which start afresh with every run."""
    known: dict[str, Any] = {}

    def ready(optimizer: str = "lbfgs(max_iter=4)", **changes: Any) -> Any:
        key = f"{optimizer} {changes}"
        if key not in known:
            known[key] = program(tmp_path_factory.mktemp("program"), optimizer, **changes)
        return known[key]

    return ready


def grid() -> tuple[torch.Tensor, torch.Tensor]:
    x, y = np.meshgrid(np.linspace(-2, 2, 9), np.linspace(-1, 1, 9), indexing="ij")
    points = np.stack([x.ravel(), y.ravel()], axis=1)
    return torch.tensor(points), torch.tensor((np.sin(x) * y).reshape(-1, 1))


class Twin:
    """The same network and optimizer in PyTorch, all in float64."""

    def __init__(self, state: Mapping[str, torch.Tensor], **settings: Any) -> None:
        names = ("linear.weight", "linear.bias", "z.weight", "z.bias")
        self.weights = [state[f"surface.{n}"].double().requires_grad_() for n in names]
        self.x, self.z = grid()
        self.search = torch.optim.LBFGS(self.weights, **settings)

    def loss(self) -> torch.Tensor:
        w, b, v, c = self.weights
        return ((torch.tanh(self.x @ w.T + b) @ v.T + c - self.z) ** 2).mean()

    def step(self) -> float:
        def closure() -> torch.Tensor:
            self.search.zero_grad()
            loss = self.loss()
            loss.backward()
            return loss

        return self.search.step(closure).item()


@pytest.mark.parametrize(
    ("spec", "settings"),
    [
        ("lbfgs(max_iter=4)", {"max_iter": 4, "line_search_fn": "strong_wolfe"}),
        (
            "lbfgs(max_iter=2, history_size=3)",
            {"max_iter": 2, "history_size": 3, "line_search_fn": "strong_wolfe"},
        ),
        ("lbfgs(0.3, max_iter=5, line_search_fn=none)", {"max_iter": 5, "lr": 0.3}),
    ],
)
def test_the_steps_of_torch(tmp_path: Path, spec: str, settings: dict[str, Any]) -> None:
    """Update by update the losses are those of PyTorch in float64, up to float32's rounding."""
    ours = program(tmp_path, spec)
    twin = Twin(ours.state_dict(), **settings)
    x, z = grid()
    inputs = {"x": x.float(), "z": z.float()}
    found = [ours.train_step(inputs, "main") for _ in range(6)]
    expected = [twin.step() for _ in range(6)]
    assert found == pytest.approx(expected, rel=2e-4)
    assert found[-1] < 0.7 * found[0]
    named = ours.state_dict()
    for weight, name in zip(twin.weights, ("linear.weight", "linear.bias"), strict=False):
        torch.testing.assert_close(
            named[f"surface.{name}"].double(), weight.detach(), rtol=2e-2, atol=2e-3
        )


def test_a_line_is_fitted_as_by_least_squares(tmp_path: Path) -> None:
    """On a problem with one answer it is found as closely as float32 losses can be compared."""
    (tmp_path / "line.weft").write_text(
        """
net line {
  in x: f32[B, 2]
  x -> linear(1) as z
}
train {
  steps = 3
  data x: f32[B, 2], z: f32[B, 1] = function("z = exp(x) - y**3",
    x=[-1, 2], y=[0, 2], samples=200, batch=full)
  step main updates line {
    optimizer = lbfgs(tolerance_change=0)
    loss = x -> line -> mse(z)
  }
}
"""
    )
    ours = weft.compile(weft.load(tmp_path / "line.weft"), target="cpu")
    ours.train(tmp_path / "run", progress="quiet")
    from weft.runtime.data import load

    fields = load(ours.artifact.train["data"][0], tmp_path).train
    x = np.concatenate([fields["x"], np.ones((200, 1))], axis=1).astype(np.float64)
    answer = np.linalg.lstsq(x, fields["z"].astype(np.float64), rcond=None)[0][:, 0]
    state = ours.state_dict()
    found = [*state["line.z.weight"][0].tolist(), state["line.z.bias"].item()]
    np.testing.assert_allclose(found, answer, atol=5e-4)


# resume


@pytest.mark.parametrize("stop", [1, 2, 7])
@pytest.mark.parametrize(
    "optimizer",
    [
        "lbfgs(max_iter=3, history_size=5)",
        "lbfgs(cosine(0.5), max_iter=2, line_search_fn=none)",
    ],
)
def test_resume_is_exact(tmp_path: Path, trained: Any, optimizer: str, stop: int) -> None:
    trained(optimizer).train(tmp_path / "whole", progress="quiet")
    trained(optimizer).train(tmp_path / "parts", progress=StopAt(stop))
    record = trained(optimizer).train(tmp_path / "parts", resume=True, progress="quiet")
    assert record.step == 12
    whole, parts = (
        files.load(tmp_path / run / "checkpoints" / "last.safetensors").tensors
        for run in ("whole", "parts")
    )
    assert {f"stepper/main/{n}" for n in ("point", "old_dirs", "ro", "H_diag")} <= set(whole)
    assert list(whole) == list(parts)
    for name, array in whole.items():
        np.testing.assert_array_equal(parts[name], array, err_msg=name)


def test_a_shorter_history_takes_the_latest(tmp_path: Path, trained: Any) -> None:
    trained("lbfgs(max_iter=4)").train(tmp_path / "run", progress="quiet", steps=6)
    last = tmp_path / "run" / "checkpoints" / "last.safetensors"
    assert len(files.load(last).tensors["stepper/main/old_dirs"]) > 5
    shorter = trained("lbfgs(max_iter=4, history_size=3)")
    shorter.train(tmp_path / "run", progress="quiet", resume=True, steps=8)
    assert len(files.load(last).tensors["stepper/main/old_dirs"]) == 3


def test_the_state_of_another_optimizer_is_refused(tmp_path: Path, trained: Any) -> None:
    trained("adam").train(tmp_path / "run", progress="quiet", steps=2)
    with pytest.raises(CheckpointError, match="another optimizer"):
        trained().train(tmp_path / "run", progress="quiet", resume=True, steps=4)
    trained().train(tmp_path / "run", progress="quiet", steps=2)
    with pytest.raises(CheckpointError, match="another optimizer"):
        trained("adam").train(tmp_path / "run", progress="quiet", resume=True, steps=4)


# what it moves


def test_positions_are_pytorchs_order_of_the_updated_nets(trained: Any) -> None:
    """Whatever the arena's layout, the flat point is the parameters one after the other."""
    ours = trained()
    arena = np.arange(ours.artifact.length, dtype=np.float32)
    for nets in (["surface"], ["other"], ["surface", "other"]):
        expected = [
            parameter_view(arena, p).ravel()
            for p in ours.artifact.parameters
            if p.name.split(".")[0] in nets
        ]
        np.testing.assert_array_equal(
            arena[positions(ours.artifact, lambda name, of=nets: name.split(".")[0] in of)],
            np.concatenate(expected),
        )


def test_only_the_updated_net_moves(tmp_path: Path) -> None:
    ours = program(tmp_path)
    before = ours.state_dict()
    x, z = grid()
    ours.train_step({"x": x.float(), "z": z.float()}, "main")
    after = ours.state_dict()
    moved = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"surface"}


def test_parameters_changed_from_outside_are_taken(tmp_path: Path) -> None:
    ours = program(tmp_path)
    x, z = grid()
    inputs = {"x": x.float(), "z": z.float()}
    first = ours.train_step(inputs, "main")
    start = ours.state_dict()
    second = ours.train_step(inputs, "main")
    assert second < first
    ours.load_state_dict(start)
    assert ours.train_step(inputs, "main") == second


def test_batches_together_are_one_function(tmp_path: Path, trained: Any) -> None:
    """Three batches accumulated into one update are the whole set, up to the order of sums."""
    one = trained().train(tmp_path / "one", progress="quiet", steps=4)
    three = trained(batch=27, accumulate=3).train(tmp_path / "three", progress="quiet", steps=4)
    assert three.step == one.step == 4
    assert three.metrics["train"]["main.loss"] == pytest.approx(
        one.metrics["train"]["main.loss"], rel=1e-3
    )


# where numbers end


def artifact_of(**settings: Any) -> Artifact:
    line = data_line(
        ["x", "y"],
        [["f32", ["B", 2]], ["i32", ["B"]]],
        "function",
        "c = (x > 0) + 2*(y > 0)",
        x=[-1, 1],
        y=[-1, 1],
        samples=64,
        batch=32,
    )
    chosen = {"max_iter": 5, "line_search_fn": "strong_wolfe", **settings}
    rate = {"name": "constant", "rate": 1.0}
    step = step_recipe(optimizer="lbfgs", settings=chosen, schedule=rate)
    return softmax_artifact(line, 2, 4, step=[step], epochs=4)


class Bounded(SoftmaxEngine):
    """Beyond a bound of its parameters there are no numbers."""

    bound = 1.0
    refused = 0

    def gradient(self, step: str, inputs: Mapping[str, Any], **more: Any) -> tuple[Result, Any]:
        result, gradient = super().gradient(step, inputs, **more)
        if np.abs(self.parameters).max() > self.bound:
            self.refused += 1
            return Result({**result.values, "loss": float("nan")}, False), gradient * np.nan
        return result, gradient


def test_the_line_search_turns_back_where_numbers_end(tmp_path: Path) -> None:
    engine = Bounded(artifact_of())
    record = train(engine, engine.artifact, root=tmp_path, out=tmp_path / "run", progress="quiet")
    assert engine.refused > 0
    assert np.isfinite(engine.parameters).all()
    assert np.abs(engine.parameters).max() <= engine.bound
    free = SoftmaxEngine(artifact_of())
    best = train(free, free.artifact, root=tmp_path, out=tmp_path / "free", progress="quiet")
    assert best.metrics["train"]["loss"] < record.metrics["train"]["loss"] < 1.25


def test_without_a_line_search_it_diverges_at_the_point_that_failed(tmp_path: Path) -> None:
    engine = Bounded(artifact_of(line_search_fn="none"))
    with pytest.raises(DivergenceError, match="nothing was updated") as caught:
        train(engine, engine.artifact, root=tmp_path, out=tmp_path / "run", progress="quiet")
    assert "`softmax` is not finite" in str(caught.value)
    assert np.abs(engine.parameters).max() <= engine.bound, "the step is taken back"
    saved = files.load(tmp_path / "run" / "checkpoints" / "last.safetensors")
    np.testing.assert_array_equal(saved.tensors["net.linear.bias"], engine._bias)
    point = saved.tensors["stepper/main/point"]
    where = positions(engine.artifact, lambda name: name.startswith("net."))
    np.testing.assert_array_equal(point.astype(np.float32), engine.parameters[where])


def test_a_start_that_is_no_number_diverges_at_once(tmp_path: Path) -> None:
    engine = Bounded(artifact_of())
    engine.bound = -1.0
    with pytest.raises(DivergenceError, match="at step 1 "):
        train(engine, engine.artifact, root=tmp_path, out=tmp_path / "run", progress="quiet")
    assert engine.refused == 1


def test_an_update_sees_one_function(tmp_path: Path) -> None:
    """All evaluations of an update draw the random numbers of its index."""
    engine = SoftmaxEngine(artifact_of())
    train(engine, engine.artifact, root=tmp_path, out=tmp_path / "run", progress="quiet")
    indices = [index for kind, _, index, _ in engine.calls if kind == "gradient"]
    assert indices == sorted(indices)
    assert set(indices) == set(range(8))
    assert len(indices) > 16


def test_without_torch_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    engine = SoftmaxEngine(artifact_of())
    with pytest.raises(DeviceError, match=r"`lbfgs` runs through torch\.optim") as caught:
        train(engine, engine.artifact, root=tmp_path, out=tmp_path / "run", progress="quiet")
    assert "pip install torch" in str(caught.value)
    assert not (tmp_path / "run").exists()
