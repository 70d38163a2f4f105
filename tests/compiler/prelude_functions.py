"""Activations, functions, plain layers, losses and measures of the prelude beside torch."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from .prelude_case import VOLUME, Case

Tensor = torch.Tensor
XY = "x: f32[B, 6], y: f32[B, 6]"
LABEL = "x: f32[B, 6], y: i32[B]"
PIXELS = "x: f32[B, 6, H, W], y: i32[B, H, W]"
WEIGHT = [0.5, 1.0, 2.0, 1.0, 3.0, 0.25]


def targets(y: Tensor) -> Tensor:
    """Probabilities from anything."""
    return torch.softmax(y, -1)


def focal(x: Tensor, z: Tensor, gamma: float, alpha: float | None = None) -> Tensor:
    """As torchvision.ops.sigmoid_focal_loss has it."""
    p = torch.sigmoid(x)
    losses = F.binary_cross_entropy_with_logits(x, z, reduction="none")
    losses = losses * (1 - (p * z + (1 - p) * (1 - z))) ** gamma
    return losses if alpha is None else losses * (alpha * z + (1 - alpha) * (1 - z))


def dice(x: Tensor, z: Tensor, smooth: float) -> Tensor:
    """One number a sample."""
    x, z = torch.sigmoid(x).flatten(1), z.flatten(1)
    return 1 - (2 * (x * z).sum(1) + smooth) / (x.sum(1) + z.sum(1) + smooth)


FUNCTIONS = [
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
    Case(
        "cast(clamp(position(x), 1, 3), f32) + x",
        lambda x: torch.arange(x.shape[-1]).clamp(1, 3) + x,
    ),
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
    Case(  # behind channels that lie last
        "x -> conv(3, 1, bias=false) -> linear(4)",
        lambda x, k, w, b: F.linear(F.conv3d(x, k), w, b),
        VOLUME,
        {"conv.weight": (3, 2, 1, 1, 1), "linear.weight": (4, 3), "linear.bias": (4,)},
    ),
    Case("where(x > 0, 1.0, 1.0)", torch.ones_like),
    Case("where(x > 0, x - x, 0)", torch.zeros_like),
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
    Case("focal(x, sigmoid(y))", lambda x, y: focal(x, torch.sigmoid(y), 2).mean(), XY),
    Case(
        "focal(x, sigmoid(y), 1.5, alpha=0.25, reduction=sum)",
        lambda x, y: focal(x, torch.sigmoid(y), 1.5, 0.25).sum(),
        XY,
    ),
    Case("x -> focal(1, 0)", lambda x: F.binary_cross_entropy_with_logits(x, torch.ones_like(x))),
    Case("dice_loss(x, sigmoid(y))", lambda x, y: dice(x, torch.sigmoid(y), 1).mean(), XY),
    Case(
        "dice_loss(x, sigmoid(y), smooth=0.1, reduction=none)",
        lambda x, y: dice(x, torch.sigmoid(y), 0.1),
        XY,
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
        "cross_entropy(x, y, z_loss=0.1)",
        lambda x, y: F.cross_entropy(x, y.long()) + 0.1 * (x.logsumexp(-1) ** 2).mean(),
        LABEL,
    ),
    Case(
        "cross_entropy(x, softmax(y), z_loss=0.1)",
        lambda x, y: F.cross_entropy(x, targets(y)) + 0.1 * (x.logsumexp(-1) ** 2).mean(),
        XY,
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
    Case(
        "bce(x, sigmoid(y), pos_weight=3)",
        lambda x, y: F.binary_cross_entropy_with_logits(
            x, torch.sigmoid(y), pos_weight=torch.tensor(3.0)
        ),
        XY,
    ),
    Case(
        f"cross_entropy(x, y, weight={WEIGHT}, ignore=1)",
        lambda x, y: F.cross_entropy(x, y.long(), torch.tensor(WEIGHT).double(), ignore_index=1),
        LABEL,
    ),
    Case(
        f"cross_entropy(x, y, axis=1, weight={WEIGHT}, label_smoothing=0.2)",
        lambda x, y: F.cross_entropy(
            x, y.long(), torch.tensor(WEIGHT).double(), label_smoothing=0.2
        ),
        PIXELS,
    ),
    Case(
        f"cross_entropy(x, y, weight={WEIGHT}, reduction=none)",
        lambda x, y: F.cross_entropy(x, y.long(), torch.tensor(WEIGHT).double(), reduction="none"),
        LABEL,
    ),
    Case(
        f"cross_entropy(x, softmax(y), weight={WEIGHT})",
        lambda x, y: F.cross_entropy(x, targets(y), torch.tensor(WEIGHT).double()),
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
    Case(
        "accuracy(x, y, ignore=1)",
        lambda x, y: (x.argmax(-1) == y)[y != 1].double().mean(),
        LABEL,
    ),
    Case(
        "accuracy(x, y, axis=1, top=2, ignore=0)",
        lambda x, y: (x.topk(2, 1).indices == y[:, None]).any(1)[y != 0].double().mean(),
        PIXELS,
    ),
    Case("perplexity(x, y)", lambda x, y: F.cross_entropy(x, y.long()).exp(), LABEL),
    Case("bits(x, y)", lambda x, y: F.cross_entropy(x, y.long()) / math.log(2), LABEL),
    Case(
        "bits(x, y, axis=1, ignore=2)",
        lambda x, y: F.cross_entropy(x, y.long(), ignore_index=2) / math.log(2),
        PIXELS,
    ),
]
