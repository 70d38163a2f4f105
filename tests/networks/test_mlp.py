"""Whole training runs of fully-connected networks against independent PyTorch twins."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import weft

SPEC = """
net mlp {{
  in x: f32[B, {inputs}]
  x -> {layers} as y
}}

train {{
  steps = 20
  data x: f32[B, {inputs}], target: {target} = npz("unused.npz", batch={batch})
  step main updates mlp {{
    optimizer = {optimizer}
    {clip}
    loss = x -> mlp -> {loss}
  }}
}}
"""

RUNS: dict[str, dict[str, Any]] = {
    "classifier": {
        "inputs": 13,
        "layers": "linear(37) -> relu -> linear(20) -> gelu -> linear(7)",
        "target": "i32[B]",
        "batch": 31,
        "optimizer": "adamw(lr=0.01, weight_decay=0.1)",
        "clip": "clip = 0.5",
        "loss": "cross_entropy(target, label_smoothing=0.1)",
        "twin": lambda: nn.Sequential(
            nn.Linear(13, 37), nn.ReLU(), nn.Linear(37, 20), nn.GELU(), nn.Linear(20, 7)
        ),
        "torch_loss": lambda y, t: nn.functional.cross_entropy(y, t, label_smoothing=0.1),
        "torch_optimizer": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1),
        "torch_clip": 0.5,
    },
    "surface": {
        "inputs": 2,
        "layers": "linear(20) -> tanh -> residual { linear(20) -> tanh } -> linear(1)",
        "target": "f32[B, 1]",
        "batch": 101,
        "optimizer": "sgd(lr=0.05, momentum=0.9, nesterov=true)",
        "clip": "",
        "loss": "mse(target)",
        "twin": lambda: Bypass(),
        "torch_loss": nn.functional.mse_loss,
        "torch_optimizer": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True),
        "torch_clip": None,
    },
    "normalised": {
        "inputs": 9,
        "layers": "linear(33, bias=false) -> layer_norm -> silu"
        " -> linear(16) -> rms_norm(eps=1e-5) -> linear(3)",
        "target": "f32[B, 3]",
        "batch": 17,
        "optimizer": "adam(lr=0.01)",
        "clip": "",
        "loss": "bce(target)",
        "twin": lambda: nn.Sequential(
            nn.Linear(9, 33, bias=False),
            nn.LayerNorm(33),
            nn.SiLU(),
            nn.Linear(33, 16),
            nn.RMSNorm(16, eps=1e-5),
            nn.Linear(16, 3),
        ),
        "torch_loss": nn.functional.binary_cross_entropy_with_logits,
        "torch_optimizer": lambda p: torch.optim.Adam(p, lr=0.01),
        "torch_clip": None,
    },
}


class Bypass(nn.Module):
    """2-20-20-1 with a bypass round the second hidden layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(2, 20), nn.Linear(20, 20), nn.Linear(20, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = torch.tanh(self.first(x))
        return self.last(hidden + torch.tanh(self.second(hidden)))


def _program(run: dict[str, Any], target: str) -> Any:
    text = SPEC.format(**{k: v for k, v in run.items() if isinstance(v, (int, str))})
    return weft.compile(weft.load_text(text, "twin.weft"), target=target)


def _batches(run: dict[str, Any]) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(3)
    shape = (run["batch"], 3 if run["inputs"] == 9 else 1)
    found = []
    for _ in range(20):
        x = rng.normal(size=(run["batch"], run["inputs"]))
        if run["target"].startswith("i32"):
            target = rng.integers(0, 7, run["batch"])
        else:
            target = rng.random(size=shape)
        found.append((_exact(x), _exact(target) if target.dtype.kind == "f" else target))
    return found


def _exact(x: np.ndarray) -> np.ndarray:
    """Numbers that float32 holds exactly, as float64."""
    return x.astype(np.float32).astype(np.float64)


def _twin(run: dict[str, Any], program: Any) -> nn.Module:
    twin = run["twin"]().double()
    values = list(program.state_dict().values())
    with torch.no_grad():
        for p, value in zip(twin.parameters(), values, strict=True):
            assert p.shape == value.shape
            p.copy_(value.double())
    return twin


@pytest.mark.parametrize(("target", "tolerance"), [("reference", 1e-9), ("cpu", 2e-4)])
@pytest.mark.parametrize("name", RUNS)
def test_training_is_the_twins(name: str, target: str, tolerance: float) -> None:
    run = RUNS[name]
    program = _program(run, target)
    twin = _twin(run, program)
    optimizer = run["torch_optimizer"](twin.parameters())
    for x, t in _batches(run):
        loss = program.train_step({"x": x, "target": t})
        optimizer.zero_grad()
        expected = run["torch_loss"](twin(torch.tensor(x)), torch.tensor(t))
        expected.backward()
        if run["torch_clip"]:
            nn.utils.clip_grad_norm_(twin.parameters(), run["torch_clip"])
        optimizer.step()
        assert loss == pytest.approx(expected.item(), rel=tolerance)
    for value, p in zip(program.state_dict().values(), twin.parameters(), strict=True):
        assert value.double().numpy() == pytest.approx(
            p.detach().numpy(), rel=tolerance * 100, abs=tolerance * 10
        )


@pytest.mark.parametrize("name", RUNS)
def test_gradients_are_the_twins(name: str) -> None:
    run = RUNS[name]
    exact, native = _program(run, "reference"), _program(run, "cpu")
    twin = _twin(run, native)
    exact.load_state_dict(native.state_dict())
    x, t = _batches(run)[0]
    expected = run["torch_loss"](twin(torch.tensor(x)), torch.tensor(t))
    expected.backward()
    for program, tolerance in ((exact, 1e-6), (native, 2e-6)):
        loss, grads = program.value_and_grad({"x": x, "target": t})
        assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
        for value, p in zip(grads.values(), twin.parameters(), strict=True):
            assert p.grad is not None
            scale = float(p.grad.abs().max())
            assert float((value.double() - p.grad).abs().max()) <= tolerance * max(scale, 1e-2)
