"""Every block of the prelude, forward and backward, against torch in float64."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from weft.spec.prelude_index import prelude

from .built import gradients, net, program

Tensor = torch.Tensor
RANDOM = np.random.default_rng(7)


@dataclass(frozen=True)
class Case:
    """A flow in weft with its inputs, and the same in torch."""

    flow: str
    twin: Callable[..., Tensor]
    inputs: str = "x: f32[B, 6]"
    weights: dict[str, tuple[int, ...]] = field(default_factory=dict)
    scale: float = 1.5

    @property
    def id(self) -> str:
        return f"{self.flow} | {self.inputs}" if self.inputs != "x: f32[B, 6]" else self.flow


XY = "x: f32[B, 6], y: f32[B, 6]"
LABEL = "x: f32[B, 6], y: i32[B]"
PIXELS = "x: f32[B, 6, H, W], y: i32[B, H, W]"
BITS = "x: f32[B, 6], y: f32[B, 6]"


def targets(y: Tensor) -> Tensor:
    """Probabilities from anything."""
    return torch.softmax(y, -1)


CASES = [
    # activations
    Case("x -> relu", F.relu),
    Case("x -> leaky_relu", F.leaky_relu),
    Case("x -> leaky_relu(0.2)", lambda x: F.leaky_relu(x, 0.2)),
    Case("x -> relu6", F.relu6, scale=6.0),
    Case("x -> elu", F.elu),
    Case("x -> elu(alpha=0.5)", lambda x: F.elu(x, 0.5)),
    Case("x -> celu(0.5)", lambda x: F.celu(x, 0.5)),
    Case("x -> selu", F.selu),
    Case("x -> gelu", F.gelu),
    Case("x -> gelu(approximate=tanh)", lambda x: F.gelu(x, approximate="tanh")),
    Case("x -> gelu(tanh)", lambda x: F.gelu(x, approximate="tanh")),
    Case("x -> silu", F.silu),
    Case("x -> mish", F.mish),
    Case("x -> hardswish", lambda x: x * torch.clamp(x + 3, 0, 6) / 6, scale=4.0),
    Case("x -> hardsigmoid", lambda x: torch.clamp(x + 3, 0, 6) / 6, scale=4.0),
    Case("x -> hardtanh", F.hardtanh),
    Case("x -> hardtanh(-0.5, 2)", lambda x: F.hardtanh(x, -0.5, 2.0)),
    Case("x -> softsign", F.softsign),
    Case("x -> logsigmoid", F.logsigmoid),
    Case("x -> softshrink", F.softshrink),
    Case("x -> hardshrink(0.3)", lambda x: F.hardshrink(x, 0.3)),
    Case("x -> tanhshrink", F.tanhshrink),
    Case("x -> glu", lambda x: F.glu(x, -1)),
    Case("x -> glu(axis=1)", lambda x: F.glu(x, 1), "x: f32[B, 6, W]"),
    Case("x -> softmax", lambda x: torch.softmax(x, -1)),
    Case("x -> softmax(axis=1)", lambda x: torch.softmax(x, 1), "x: f32[B, 6, W]"),
    Case("x -> log_softmax", lambda x: torch.log_softmax(x, -1)),
    Case("x -> log_softmax(0)", lambda x: torch.log_softmax(x, 0)),
    # functions
    Case("x -> clamp(low=-0.5)", lambda x: torch.clamp(x, min=-0.5)),
    Case("x -> clamp(high=0.5)", lambda x: torch.clamp(x, max=0.5)),
    Case("x -> clamp(-1, 0.5)", lambda x: torch.clamp(x, -1, 0.5)),
    Case("x -> clamp", lambda x: x),
    Case("x -> ceil", torch.ceil),
    Case("x -> square", torch.square),
    Case("x -> reciprocal", torch.reciprocal),
    Case("x -> tan", torch.tan, scale=0.5),
    Case("x -> var", lambda x: x.var()),
    Case("x -> var(axis=1)", lambda x: x.var(1)),
    Case(
        "x -> var(axis=[0, 1], correction=0, keep=true)",
        lambda x: x.var((0, 1), correction=0, keepdim=True),
    ),
    Case("x -> std(axis=-1, keep=true)", lambda x: x.std(-1, keepdim=True)),
    Case("one_hot(y, 6)*x", lambda x, y: F.one_hot(y.long(), 6) * x, LABEL),
    Case(
        "one_hot(y, 6, axis=1)*x",
        lambda x, y: F.one_hot(y.long(), 6).permute(0, 3, 1, 2) * x,
        PIXELS,
    ),
    # layers
    Case(
        "x -> linear(4)",
        F.linear,
        weights={"linear.weight": (4, 6), "linear.bias": (4,)},
    ),
    Case(
        "x -> linear(4)",
        F.linear,
        "x: f32[B, T, 6]",
        {"linear.weight": (4, 6), "linear.bias": (4,)},
    ),
    Case("x -> linear(4, bias=false)", F.linear, weights={"linear.weight": (4, 6)}),
    Case("x -> linear(4, false)", F.linear, weights={"linear.weight": (4, 6)}),
    Case(
        "embedding(y, 6, 3)*x[:, :3]",
        lambda x, y, w: F.embedding(y.long(), w) * x[:, :3],
        LABEL,
        {"embedding.weight": (6, 3)},
    ),
    Case("x -> dropout(0.3)", lambda x: F.dropout(x, 0.3, training=False)),
    Case(
        "x -> layer_norm",
        lambda x, w, b: F.layer_norm(x, (6,), w, b),
        weights={"layer_norm.weight": (6,), "layer_norm.bias": (6,)},
    ),
    Case(
        "x -> layer_norm(eps=0.1, bias=false)",
        lambda x, w: F.layer_norm(x, (6,), w, None, 0.1),
        "x: f32[B, T, 6]",
        {"layer_norm.weight": (6,)},
    ),
    Case("x -> layer_norm(affine=false)", lambda x: F.layer_norm(x, (6,))),
    Case(
        "x -> rms_norm",
        lambda x, w: F.rms_norm(x, (6,), w, 1e-6),
        weights={"rms_norm.weight": (6,)},
    ),
    Case("x -> rms_norm(0.2, false)", lambda x: F.rms_norm(x, (6,), None, 0.2)),
    # losses
    Case("mse(x, y)", F.mse_loss, XY),
    Case("mse(x, y, sum)", lambda x, y: F.mse_loss(x, y, reduction="sum"), XY),
    Case("mse(x, y, reduction=none)", lambda x, y: F.mse_loss(x, y, reduction="none"), XY),
    Case("x -> mse(0.5)", lambda x: F.mse_loss(x, torch.full_like(x, 0.5))),
    Case("mae(x, y)", F.l1_loss, XY),
    Case("huber(x, y)", F.huber_loss, XY),
    Case("huber(x, y, 0.3, sum)", lambda x, y: F.huber_loss(x, y, delta=0.3, reduction="sum"), XY),
    Case(
        "bce(x, sigmoid(y))",
        lambda x, y: F.binary_cross_entropy_with_logits(x, torch.sigmoid(y)),
        XY,
    ),
    Case("bce(x, 1)", lambda x: F.binary_cross_entropy_with_logits(x, torch.ones_like(x))),
    Case(
        "x -> bce(0, reduction=none)",
        lambda x: F.binary_cross_entropy_with_logits(x, torch.zeros_like(x), reduction="none"),
    ),
    Case("cross_entropy(x, y)", lambda x, y: F.cross_entropy(x, y.long()), LABEL),
    Case(
        "cross_entropy(x, y, reduction=sum)",
        lambda x, y: F.cross_entropy(x, y.long(), reduction="sum"),
        LABEL,
    ),
    Case(
        "cross_entropy(x, y, reduction=none)",
        lambda x, y: F.cross_entropy(x, y.long(), reduction="none"),
        LABEL,
    ),
    Case(
        "cross_entropy(x, y, ignore=2)",
        lambda x, y: F.cross_entropy(x, y.long(), ignore_index=2),
        LABEL,
    ),
    Case("cross_entropy(x, y, ignore=none)", lambda x, y: F.cross_entropy(x, y.long()), LABEL),
    Case(
        "cross_entropy(x, y, label_smoothing=0.1, ignore=1)",
        lambda x, y: F.cross_entropy(x, y.long(), label_smoothing=0.1, ignore_index=1),
        LABEL,
    ),
    Case(
        "cross_entropy(x, y, axis=1, label_smoothing=0.2)",
        lambda x, y: F.cross_entropy(x, y.long(), label_smoothing=0.2),
        PIXELS,
    ),
    Case(
        "cross_entropy(x, softmax(y))",
        lambda x, y: F.cross_entropy(x, targets(y)),
        XY,
    ),
    Case(
        "cross_entropy(x, softmax(y), label_smoothing=0.1, reduction=sum)",
        lambda x, y: F.cross_entropy(x, targets(y), label_smoothing=0.1, reduction="sum"),
        XY,
    ),
]

MEASURES = [
    Case("accuracy(x, y)", lambda x, y: (x.argmax(-1) == y).double().mean(), LABEL),
    Case("accuracy(x, y, axis=1)", lambda x, y: (x.argmax(1) == y).double().mean(), PIXELS),
    Case(
        "accuracy(x, softmax(y))", lambda x, y: (x.argmax(-1) == y.argmax(-1)).double().mean(), XY
    ),
    Case(
        "accuracy(x, y, top=3)",
        lambda x, y: (x.topk(3, -1).indices == y[:, None]).any(-1).double().mean(),
        LABEL,
    ),
]

SIZES = {"B": 5, "T": 3, "H": 2, "W": 4}


def spec_of(case: Case) -> str:
    """The case as a net."""
    return f"net n {{\n  in {case.inputs}\n  {case.flow}\n}}\n"


def feeds_of(case: Case) -> dict[str, np.ndarray]:
    """Random inputs and weights."""
    feeds: dict[str, np.ndarray] = {}
    for name, dtype, dims in re.findall(r"(\w+): (\w+)\[([^\]]*)\]", case.inputs):
        shape = [SIZES.get(d) or int(d) for d in dims.split(", ")]
        drawn = RANDOM.standard_normal(shape) * case.scale
        feeds[name] = RANDOM.integers(0, 6, shape) if dtype == "i32" else drawn
    for name, shape in case.weights.items():
        feeds[name] = RANDOM.standard_normal(shape)
    return feeds


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.id)
def test_forward_and_gradient_agree_with_torch(case: Case) -> None:
    feeds = feeds_of(case)
    twins = {name: torch.tensor(value) for name, value in feeds.items()}
    for twin in twins.values():
        if twin.dtype == torch.float64:
            twin.requires_grad_()
    expected = case.twin(*twins.values())
    cotangent = RANDOM.standard_normal(tuple(expected.shape))
    value, found = gradients(spec_of(case), feeds, cotangent)
    np.testing.assert_allclose(value, expected.detach().numpy(), rtol=1e-12, atol=1e-13)
    assert set(found) == {name for name, twin in twins.items() if twin.requires_grad}
    if not expected.requires_grad:
        return
    expected.backward(torch.tensor(cotangent))
    for name, gradient in found.items():
        grad = twins[name].grad
        wanted = np.zeros_like(feeds[name]) if grad is None else grad.numpy()
        np.testing.assert_allclose(gradient, wanted, rtol=1e-10, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("case", MEASURES, ids=lambda c: c.id)
def test_measures_agree_with_torch(case: Case) -> None:
    feeds = feeds_of(case)
    expected = case.twin(*(torch.tensor(value) for value in feeds.values()))
    (found,) = net(spec_of(case), feeds).values()
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-12)


def test_every_block_has_a_case() -> None:
    covered = {word for case in (*CASES, *MEASURES) for word in re.findall(r"\w+", case.flow)}
    assert {name for name in prelude() if not name.startswith("_")} <= covered


def test_relu_like_functions_have_no_gradient_at_zero() -> None:
    text = "net n {\n  in x: f32[B]\n  x -> relu\n}\n"
    _, found = gradients(text, {"x": np.array([-1.0, 0.0, 2.0])})
    np.testing.assert_array_equal(found["x"], [0.0, 0.0, 1.0])


@pytest.mark.parametrize("name", ["elu", "selu", "celu", "gelu", "silu", "mish", "logsigmoid"])
def test_activations_and_gradients_stay_finite_far_out(name: str) -> None:
    text = f"net n {{\n  in x: f32[B]\n  x -> {name}\n}}\n"
    value, found = gradients(text, {"x": np.array([-1e4, -800.0, 800.0, 1e4])})
    assert np.isfinite(value).all() and np.isfinite(found["x"]).all()


def test_losses_stay_finite_for_large_logits() -> None:
    text = "net n {\n  in x: f32[B, 3], y: i32[B]\n  cross_entropy(x, y)\n}\n"
    feeds = {"x": np.array([[1e4, 0.0, -1e4]]), "y": np.array([2])}
    value, found = gradients(text, feeds)
    assert value == 2e4
    np.testing.assert_allclose(found["x"], [[1.0, 0.0, -1.0]])


def test_the_gradient_of_bce_is_exact() -> None:
    text = "net n {\n  in x: f32[B]\n  bce(x, 1, reduction=sum)\n}\n"
    _, found = gradients(text, {"x": np.array([-40.0, 0.0, 40.0])})
    np.testing.assert_allclose(found["x"], [-1.0, -0.5, -np.exp(-40.0)], rtol=1e-15, atol=1e-17)


def test_the_prelude_keeps_the_rules_of_users_texts() -> None:
    """A copy under other names elaborates as a user's text: nothing is unused, nothing hides."""
    names = sorted(prelude(), key=len, reverse=True)
    word = re.compile(rf"\b({'|'.join(names)})\b(?!=[^=])")
    copy = word.sub(r"own_\1", "\n".join(prelude().texts.values()))
    nets = "".join(
        spec_of(case).replace("net n ", f"net case_{i} ")
        for i, case in enumerate((*CASES, *MEASURES))
    )
    own, theirs = program(copy + word.sub(r"own_\1", nets)).nets, program(nets).nets
    for name, built in own.items():
        assert [n.op for n in built.graph] == [n.op for n in theirs[name].graph], name
