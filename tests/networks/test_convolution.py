"""Convolutional networks against PyTorch twins: losses, gradients, running statistics."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import weft

from .convolutional import TWINS


@cache
def program(name: str, target: str) -> Any:
    return weft.compile(weft.load_text(TWINS[name].spec, "twin.weft"), target=target)


def fresh(name: str, target: str) -> tuple[Any, nn.Module]:
    """Both nets with the same parameters, buffers as they begin."""
    torch.manual_seed(1)
    twin = TWINS[name].build().double()
    own = program(name, target)
    trainable = dict(zip(trained(own), twin.parameters(), strict=True))
    state = {n: trainable[n].detach() if n in trainable else begin(n, v)
             for n, v in own.state_dict().items()}  # fmt: skip
    own.load_state_dict(state)
    return own, twin


def begin(name: str, value: Any) -> torch.Tensor:
    return torch.ones_like(value) if name.endswith("running_var") else torch.zeros_like(value)


def trained(own: Any) -> list[str]:
    return [n for n in own.state_dict() if ".running_" not in n]


@pytest.mark.parametrize("name", TWINS)
@pytest.mark.parametrize(("target", "tolerance"), [("reference", 1e-9), ("cpu", 5e-6)])
def test_gradients_are_the_twins(name: str, target: str, tolerance: float) -> None:
    own, twin = fresh(name, target)
    tolerance *= TWINS[name].rounding
    x, t = TWINS[name].batches()[0]
    wanted = TWINS[name].torch_loss(twin(torch.tensor(x)), torch.tensor(t))
    wanted.backward()
    loss, grads = own.value_and_grad({"x": x, "target": t})
    assert loss.item() == pytest.approx(wanted.item(), rel=max(tolerance, 1e-7))
    for path, p in zip(trained(own), twin.parameters(), strict=True):
        assert p.grad is not None
        scale = max(float(p.grad.abs().max()), 1e-2)
        worst = float((grads[path].double() - p.grad).abs().max())
        # value_and_grad gives float32 tensors: one rounding more than the float64 arithmetic
        assert worst <= max(tolerance, 1e-7) * scale, path


@pytest.mark.parametrize("name", TWINS)
@pytest.mark.parametrize(("target", "tolerance"), [("reference", 1e-9), ("cpu", 2e-4)])
def test_training_is_the_twins(name: str, target: str, tolerance: float) -> None:
    own, twin = fresh(name, target)
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.05, momentum=0.9)
    for x, t in TWINS[name].batches():
        loss = own.train_step({"x": x, "target": t})
        optimizer.zero_grad()
        wanted = TWINS[name].torch_loss(twin(torch.tensor(x)), torch.tensor(t))
        wanted.backward()
        optimizer.step()
        assert loss == pytest.approx(wanted.item(), rel=tolerance)
    state = own.state_dict()
    kept = [b for n, b in twin.named_buffers() if "num_batches" not in n]
    pairs = list(zip((state[n] for n in trained(own)), twin.parameters(), strict=True))
    pairs += zip((v for n, v in state.items() if ".running_" in n), kept, strict=True)
    for value, wanted in pairs:
        assert value.double().numpy() == pytest.approx(
            wanted.detach().numpy(), rel=tolerance * 100, abs=tolerance * 10
        )


@pytest.mark.parametrize("name", ["resnet", "densenet", "waves"])
def test_evaluation_uses_the_running_statistics(name: str) -> None:
    own, twin = fresh(name, "cpu")
    for x, t in TWINS[name].batches():
        own.value_and_grad({"x": x, "target": t})
        twin(torch.tensor(x))
    own.net.eval(), twin.eval()
    x = TWINS[name].batches()[1][0]
    found = own.net(torch.tensor(x, dtype=torch.float32)).detach().double()
    assert found.numpy() == pytest.approx(twin(torch.tensor(x)).detach().numpy(), abs=1e-5)


def test_the_module_keeps_running_statistics_and_gives_input_gradients() -> None:
    own, twin = fresh("resnet", "cpu")
    own.net.train()
    x = torch.tensor(TWINS["resnet"].batches()[0][0], requires_grad=True)
    y = own.net(x.float())
    wanted = twin(x)
    assert y.detach().double().numpy() == pytest.approx(wanted.detach().numpy(), abs=1e-5)
    (d,) = torch.autograd.grad(y.square().sum(), x)
    (e,) = torch.autograd.grad(wanted.square().sum(), x)
    assert float((d - e).abs().max()) <= 1e-4 * max(1.0, float(e.abs().max()))
    names = {n for n, _ in own.net.named_buffers()}
    assert "batch_norm.running_mean" in names
    buffers = [b for n, b in twin.named_buffers() if "num_batches" not in n]
    for mine, theirs in zip(own.net.buffers(), buffers, strict=True):
        assert mine.double().numpy() == pytest.approx(theirs.numpy(), abs=1e-6)


@pytest.mark.parametrize("target", ["reference", "cpu"])
def test_gradients_by_the_inputs(target: str) -> None:
    """As the loss is evaluated: batch norm with its running statistics."""
    own, twin = fresh("resnet", target)
    twin.eval()
    x, t = TWINS["resnet"].batches()[0]
    given = torch.tensor(x, requires_grad=True)
    wanted = F.cross_entropy(twin(given), torch.tensor(t))
    wanted.backward()
    loss, grads = own.value_and_grad({"x": x, "target": t}, wrt="inputs")
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-5)
    assert given.grad is not None
    assert float((grads["x"].double() - given.grad).abs().max()) <= 1e-5 * float(
        given.grad.abs().max()
    )
    with pytest.raises(weft.UsageError, match="no gradient by `weights`"):
        own.value_and_grad({"x": x, "target": t}, wrt="weights")
