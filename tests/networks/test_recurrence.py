"""Recurrent networks against PyTorch twins: losses, gradients, a few training steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import weft

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

SPEC = """
net twin {{
  in tokens: i32[B, T]
  tokens -> embedding(11, 6) -> {layers} -> linear(11) as logits
}}
train {{
  steps = 3
  data tokens: i32[B, 7], next: i32[B, 7] = npz("unused.npz", batch=13)
  step main updates twin {{
    optimizer = adam(lr=0.01)
    clip = 1.0
    loss = tokens -> twin -> cross_entropy(next)
  }}
}}
"""

LAYERS: dict[str, tuple[str, Any]] = {
    "rnn": ("rnn(9) -> rnn(8)", lambda: [nn.RNN(6, 9), nn.RNN(9, 8)]),
    "lstm": ("repeat 2 { lstm(8) }", lambda: [nn.LSTM(6, 8), nn.LSTM(8, 8)]),
    "gru": ("gru(20) -> gru(8)", lambda: [nn.GRU(6, 20), nn.GRU(20, 8)]),
    "bare": ("lstm(8, bias=false)", lambda: [nn.LSTM(6, 8, bias=False)]),
    "wide": (
        "lstm(40) -> gru(35) -> rnn(8)",
        lambda: [nn.LSTM(6, 40), nn.GRU(40, 35), nn.RNN(35, 8)],
    ),
}


class Twin(nn.Module):
    """An embedding, recurrent layers, scores."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.table = nn.Embedding(11, 6)
        self.body = nn.ModuleList(layers)
        self.last = nn.Linear(8, 11)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        h = self.table(tokens).transpose(0, 1)
        for layer in self.body:
            h, _ = layer(h)
        return self.last(h.transpose(0, 1))


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize(("target", "tolerance"), [("reference", 1e-9), ("cpu", 2e-5)])
def test_training_is_the_twins(name: str, target: str, tolerance: float) -> None:
    layers, build = LAYERS[name]
    own = weft.compile(weft.load_text(SPEC.format(layers=layers), "twin.weft"), target=target)
    torch.manual_seed(2)
    twin = Twin(build()).double()
    paths = list(own.state_dict())
    own.load_state_dict(dict(zip(paths, (p.detach() for p in twin.parameters()), strict=True)))
    optimizer = torch.optim.Adam(twin.parameters(), lr=0.01)
    rng = np.random.default_rng(4)
    for turn in range(3):
        x, t = rng.integers(0, 11, (2, 13, 7))
        wanted = F.cross_entropy(twin(torch.tensor(x)).flatten(0, 1), torch.tensor(t).flatten())
        optimizer.zero_grad()
        wanted.backward()
        if turn == 0:
            _, grads = own.value_and_grad({"tokens": x, "next": t})
            for path, p in zip(paths, twin.parameters(), strict=True):
                assert p.grad is not None
                worst = float((grads[path].double() - p.grad).abs().max())
                assert worst <= max(tolerance, 1e-7) * max(float(p.grad.abs().max()), 1e-2), path
        nn.utils.clip_grad_norm_(twin.parameters(), 1.0)
        optimizer.step()
        loss = own.train_step({"tokens": x, "next": t})
        assert loss == pytest.approx(wanted.item(), rel=tolerance)
    for value, p in zip(own.state_dict().values(), twin.parameters(), strict=True):
        assert value.double().numpy() == pytest.approx(p.detach().numpy(), abs=100 * tolerance)


CARRIED = """
net twin {{
  in x: f32[B, T, 6]
  x -> {layer} as cells -> linear(3) as y
}}
train {{
  steps = 3
  data x: f32[B, T, 6], y: f32[B, T, 3] = npz("unused.npz", batch=4)
  step main updates twin {{
    optimizer = sgd(lr=0.1)
    loss = mse(twin(x), y)
  }}
}}
"""


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru", "walked"])
@pytest.mark.parametrize(("target", "tolerance"), [("reference", 1e-12), ("cpu", 1e-6)])
def test_sequences_go_on_where_the_last_batch_ended(
    cell: str, target: str, tolerance: float
) -> None:
    written = "scan(gru_cell(5), carry=4)" if cell == "walked" else f"{cell}(5, carry=4)"
    cell = "gru" if cell == "walked" else cell
    own = weft.compile(weft.load_text(CARRIED.format(layer=written), "c.weft"), target=target)
    layer = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}[cell](6, 5, batch_first=True).double()
    last = nn.Linear(5, 3).double()
    state = own.state_dict()
    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        getattr(layer, f"{name}_l0").data.copy_(torch.as_tensor(state[f"twin.cells.{name}"]))
    last.weight.data.copy_(torch.as_tensor(state["twin.y.weight"]))
    last.bias.data.copy_(torch.as_tensor(state["twin.y.bias"]))
    rule = torch.optim.SGD([*layer.parameters(), *last.parameters()], 0.1)
    random = np.random.default_rng(0)
    carried: Any = None
    for rows in (4, 4, 3, 3):  # a smaller batch uses the first states
        x, y = (random.normal(size=(rows, 7, n)).astype(np.float32) for n in (6, 3))
        found = float(own.train_step({"x": x, "y": y}))
        if carried is not None:
            carried = tuple(s[:, :rows] for s in carried)
            carried = carried if cell == "lstm" else carried[0]
        states, after = layer(torch.tensor(x).double(), carried)
        carried = tuple(s.detach() for s in (after if cell == "lstm" else (after,)))
        loss = F.mse_loss(last(states), torch.tensor(y).double())
        rule.zero_grad()
        loss.backward()
        rule.step()
        assert abs(found - loss.item()) <= tolerance


class Normalised(nn.Module):
    """The language model of examples/recurrent_cell/normalised.weft, step by step."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(256, 64)
        self.of_x = nn.Linear(64, 4 * width, bias=False)
        self.norm_x = nn.LayerNorm(4 * width)
        self.of_h = nn.Linear(width, 4 * width, bias=False)
        self.norm_h = nn.LayerNorm(4 * width)
        self.norm_c = nn.LayerNorm(width)
        self.last = nn.Linear(width, 256)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.table(tokens)
        h = c = x.new_zeros(len(x), self.last.in_features)
        found = []
        for t in range(tokens.shape[1]):
            gates = self.norm_x(self.of_x(x[:, t])) + self.norm_h(self.of_h(h))
            i, f, g, o = gates.chunk(4, dim=1)
            c = torch.sigmoid(f + 1) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(self.norm_c(c))
            found.append(h)
        return self.last(torch.stack(found, 1))


@pytest.mark.parametrize(("target", "tolerance"), [("reference", 1e-9), ("cpu", 2e-5)])
def test_a_cell_of_ones_own_is_the_twins(target: str, tolerance: float) -> None:
    spec = weft.load(
        EXAMPLES / "recurrent_cell" / "normalised.weft", params={"width": 24, "length": 6}
    )
    own = weft.compile(spec, target=target)
    torch.manual_seed(3)
    twin = Normalised(24).double()
    paths = list(own.state_dict())
    own.load_state_dict(dict(zip(paths, (p.detach() for p in twin.parameters()), strict=True)))
    x, t = np.random.default_rng(5).integers(0, 256, (2, 70, 6))
    wanted = F.cross_entropy(twin(torch.tensor(x)).flatten(0, 1), torch.tensor(t).flatten())
    wanted.backward()
    loss, grads = own.value_and_grad({"tokens": x, "next": t})
    assert float(loss) == pytest.approx(wanted.item(), rel=tolerance)
    for path, p in zip(paths, twin.parameters(), strict=True):
        assert p.grad is not None
        worst = float((grads[path].double() - p.grad).abs().max())
        assert worst <= max(tolerance, 1e-7) * max(float(p.grad.abs().max()), 1e-2), path
