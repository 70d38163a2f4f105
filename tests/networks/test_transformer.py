"""Narrow versions of the sequence examples against PyTorch twins: loss and all gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import weft

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
WORDS, WIDTH, HEADS, DEPTH = 50, 32, 4, 2

TRAIN = """
train {{
  steps = 1
  data {data} = npz("unused.npz", batch=3)
  step main updates {net} {{
    optimizer = sgd(lr=0.1)
    {loss}
  }}
}}
"""


@dataclass(frozen=True)
class Twin:
    """An example with small params, what it is fed, and its loss in PyTorch from its parameters."""

    spec: str
    net: str
    params: dict[str, Any]
    data: str
    loss: str
    torch: Callable[[Parameters, Mapping[str, Tensor]], Tensor]
    variant: str | None = None

    def program(self, target: str) -> Any:
        text = (EXAMPLES / self.spec).read_text(encoding="utf-8").partition("\ntrain {")[0]
        text += TRAIN.format(data=self.data, net=self.net, loss=self.loss)
        spec = weft.load_text(text, "twin.weft", params=self.params, variant=self.variant)
        return weft.compile(spec, target=target)


class Parameters:
    """The parameters of a net by path, and those of its parts."""

    def __init__(self, tensors: Mapping[str, Tensor], prefix: str) -> None:
        self.tensors, self.prefix = tensors, prefix

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[f"{self.prefix}.{name}"]

    def part(self, name: str) -> Parameters:
        return Parameters(self.tensors, f"{self.prefix}.{name}")

    def linear(self, name: str, x: Tensor) -> Tensor:
        return F.linear(x, self[f"{name}.weight"], self.tensors.get(f"{self.prefix}.{name}.bias"))

    def layer_norm(self, name: str, x: Tensor, eps: float = 1e-5) -> Tensor:
        w = self[f"{name}.weight"]
        return F.layer_norm(x, w.shape, w, self[f"{name}.bias"], eps)


def heads(x: Tensor, count: int) -> Tensor:
    return x.unflatten(-1, (count, -1)).transpose(1, 2)


def attend(p: Parameters, x: Tensor, key_heads: int = HEADS, **options: Any) -> Tensor:
    turn = options.pop("turn", lambda v: v)
    q = turn(heads(p.linear("query", x), HEADS))
    k = turn(heads(p.linear("key", x), key_heads))
    v = heads(p.linear("value", x), key_heads)
    y = F.scaled_dot_product_attention(q, k, v, enable_gqa=key_heads != HEADS, **options)
    return p.linear("out", y.transpose(1, 2).flatten(2))


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(logits.flatten(0, -2), labels.flatten().long())


def gpt2(p: Parameters, x: Mapping[str, Tensor]) -> Tensor:
    tokens = x["tokens"]
    h = p["table.weight"][tokens] + p["positions.weight"][: tokens.shape[1]]
    for i in range(DEPTH):
        b = p.part(f"body.{i}")
        h = h + attend(b.part("attention"), b.layer_norm("layer_norm", h), is_causal=True)
        inner = F.gelu(b.linear("linear", b.layer_norm("layer_norm_2", h)), approximate="tanh")
        h = h + b.linear("linear_2", inner)
    return cross_entropy(p.layer_norm("layer_norm", h) @ p["table.weight"].T, x["next"])


def rotated(x: Tensor, base: float = 10000.0) -> Tensor:
    """Partners half the features apart, as complex numbers."""
    steps, width = x.shape[-2:]
    rates = base ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    angles = torch.outer(torch.arange(steps, dtype=torch.float64), rates)
    turned = torch.complex(*x.chunk(2, -1)) * torch.polar(torch.ones_like(angles), angles)
    return torch.cat([turned.real, turned.imag], -1).to(x.dtype)


def llama(p: Parameters, x: Mapping[str, Tensor]) -> Tensor:
    def norm(q: Parameters, name: str, h: Tensor) -> Tensor:
        return F.rms_norm(h, (WIDTH,), q[f"{name}.weight"], 1e-5)

    h = p["table.weight"][x["tokens"]]
    for i in range(DEPTH):
        b = p.part(f"body.{i}")
        seen = norm(b, "rms_norm", h)
        h = h + attend(b.part("attention"), seen, key_heads=2, is_causal=True, turn=rotated)
        s, seen = b.part("swiglu"), norm(b, "rms_norm_2", h)
        h = h + s.linear("down", F.silu(s.linear("gate", seen)) * s.linear("up", seen))
    return cross_entropy(p.linear("logits", norm(p, "norm", h)), x["next"])


def bert(p: Parameters, x: Mapping[str, Tensor]) -> Tensor:
    tokens, mask = x["tokens"], x["mask"][:, None, None]
    h = p["table.weight"][tokens] + p["sentence.weight"][x["segment"]]
    h = p.layer_norm("layer_norm", h + p["position.weight"][: tokens.shape[1]], 1e-12)
    for i in range(DEPTH):
        b = p.part(f"body.{i}")
        h = b.layer_norm("layer_norm", h + attend(b.part("attention"), h, attn_mask=mask), 1e-12)
        inner = F.gelu(b.linear("linear", h))
        h = b.layer_norm("layer_norm_2", h + b.linear("linear_2", inner), 1e-12)
    guess = p.part("Guess")
    pooled = torch.tanh(p.linear("pooler", h[:, 0]))
    word = guess.layer_norm("layer_norm", F.gelu(guess.linear("linear", h)), 1e-12)
    word = F.linear(word, p["table.weight"], guess["word.bias"])
    follows = guess.linear("follows", pooled)
    return cross_entropy(word, x["covered"]) + cross_entropy(follows, x["second"])


def waves(steps: int) -> Tensor:
    rates = 10000.0 ** (-torch.arange(0, WIDTH, 2, dtype=torch.float64) / WIDTH)
    angles = torch.outer(torch.arange(steps, dtype=torch.float64), rates)
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)


def transformer(p: Parameters, x: Mapping[str, Tensor]) -> Tensor:
    """The network is torch.nn.Transformer itself, called with our parameters."""
    twin = nn.Transformer(WIDTH, HEADS, DEPTH, DEPTH, 2 * WIDTH, 0.0, batch_first=True)
    own: dict[str, Tensor] = {}
    for side, norms in (("encoder", 2), ("decoder", 3)):
        for i in range(DEPTH):
            b, there = p.part(f"{side}.{i}"), f"{side}.layers.{i}"
            for kind in ("weight", "bias"):
                for ours, theirs in (("attention", "self_attn"), ("cross", "multihead_attn")):
                    if ours == "attention" or side == "decoder":
                        packed = [b[f"{ours}.{q}.{kind}"] for q in ("query", "key", "value")]
                        own[f"{there}.{theirs}.in_proj_{kind}"] = torch.cat(packed)
                        own[f"{there}.{theirs}.out_proj.{kind}"] = b[f"{ours}.out.{kind}"]
                for k in range(norms):
                    name = f"layer_norm_{k + 1}" if k else "layer_norm"
                    own[f"{there}.norm{k + 1}.{kind}"] = b[f"{name}.{kind}"]
                own[f"{there}.linear1.{kind}"] = b[f"FeedForward.linear.{kind}"]
                own[f"{there}.linear2.{kind}"] = b[f"FeedForward.linear_2.{kind}"]
    for kind in ("weight", "bias"):
        own[f"encoder.norm.{kind}"] = p[f"encoder_norm.{kind}"]
        own[f"decoder.norm.{kind}"] = p[f"decoder_norm.{kind}"]
    table = p["table.weight"]
    source, target = (
        table[x[name]] * WIDTH**0.5 + waves(x[name].shape[1]).to(table.dtype)
        for name in ("source", "target")
    )
    later = torch.ones(target.shape[1], target.shape[1], dtype=torch.bool).triu(1)
    unseen = ~x["mask"]
    options = {
        "tgt_mask": later,
        "src_key_padding_mask": unseen,
        "memory_key_padding_mask": unseen,
    }
    y = torch.func.functional_call(twin, own, (source, target), options, strict=True)
    return cross_entropy(y @ table.T, x["next"])


def ngram(p: Parameters, x: Mapping[str, Tensor]) -> Tensor:
    v = p["table.weight"][x["words"]].flatten(1)
    h = torch.tanh(p.linear("linear", v))
    return cross_entropy(p.linear("hidden_logits", h) + p.linear("linear_2", v), x["next"])


SMALL = {"width": WIDTH, "heads": HEADS, "depth": DEPTH, "vocab": WORDS}
NEXT = "loss = tokens -> {net} -> cross_entropy(next)"
TEXT = "tokens: i32[B, T], next: i32[B, T]"
TWINS = {
    "gpt2": Twin(
        "gpt2/gpt2.weft",
        "gpt2",
        SMALL | {"context": 16, "drop": 0},
        TEXT,
        NEXT.format(net="gpt2"),
        gpt2,
    ),
    "llama": Twin(
        "llama/llama.weft",
        "llama",
        SMALL | {"key_heads": 2, "hidden": 48},
        TEXT,
        NEXT.format(net="llama"),
        llama,
    ),
    "bert": Twin(
        "bert/bert.weft",
        "bert",
        SMALL | {"context": 16, "drop": 0},
        "tokens: i32[B, T], segment: i32[B, T], mask: bool[B, T], covered: i32[B, T],"
        " second: i32[B]",
        "word, follows = bert(tokens, segment, mask)\n"
        "    loss = cross_entropy(word, covered) + cross_entropy(follows, second)",
        bert,
        "pretraining",
    ),
    "transformer": Twin(
        "transformer/transformer.weft",
        "transformer",
        SMALL | {"hidden": 2 * WIDTH, "drop": 0},
        "source: i32[B, S], target: i32[B, T], mask: bool[B, S], next: i32[B, T]",
        "loss = transformer(source, target, mask) -> cross_entropy(next)",
        transformer,
        "final_norms",
    ),
    "ngram": Twin(
        "ngram/ngram.weft",
        "ngram",
        {"vectors": 12, "hidden": 20, "vocab": WORDS},
        "words: i32[B, 4], next: i32[B]",
        "loss = words -> ngram -> cross_entropy(next)",
        ngram,
    ),
}
SIZES = {"B": 3, "T": 11, "S": 13, "4": 4}
CLASSES = {"segment": 2, "second": 2}


def batch(data: str) -> dict[str, np.ndarray]:
    """Made-up tokens; a mask that hides the end of all texts but the first."""
    rng = np.random.default_rng(5)
    found: dict[str, np.ndarray] = {}
    for field in data.split("], "):
        name, _, rest = field.partition(": ")
        shape = tuple(SIZES[d] for d in rest.partition("[")[2].rstrip("]").split(", "))
        if name == "mask":
            found[name] = np.arange(shape[1]) < np.array([[shape[1]], [7], [1]])
        else:
            found[name] = rng.integers(0, CLASSES.get(name, WORDS), shape).astype(np.int32)
    return found


def spread(state: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """Values of one size, so that no part of the network is asleep, exact in float32."""
    rng = np.random.default_rng(6)
    found = {}
    for name, value in state.items():
        drawn = rng.normal(size=value.shape) * (0.2 if value.ndim > 1 else 0.5)
        if "norm.weight" in name or "norm_2.weight" in name:
            drawn += 1
        found[name] = drawn.astype(np.float32)
    return found


RUNS = [(name, target) for name in TWINS for target in ("reference", "cpu")]


@pytest.mark.parametrize(("name", "target"), RUNS)
def test_loss_and_gradients_are_the_twins(name: str, target: str) -> None:
    """The float64 graphs to 1e-9, the kernels to a few times what PyTorch's own float32 loses."""
    twin, inputs = TWINS[name], batch(TWINS[name].data)
    program = twin.program(target)
    state = spread(program.state_dict())
    program.load_state_dict(state)
    expected, wanted = differentiated(twin, state, inputs, torch.float64)
    _, rounded = differentiated(twin, state, inputs, torch.float32)
    loss, grads = program.value_and_grad(inputs)
    assert loss.item() == pytest.approx(expected, rel=1e-6)
    assert grads.keys() == wanted.keys()
    largest = max(rms(g) for g in wanted.values())
    for path, grad in grads.items():
        if target == "reference":
            allowed = 1e-9 * largest
        else:
            times = 2 if grad.numel() >= 1000 else 3
            allowed = times * rms(rounded[path] - wanted[path]) + 1e-7 * largest
        assert rms(grad - wanted[path]) <= allowed, path


def differentiated(
    twin: Twin, state: Mapping[str, Any], inputs: Mapping[str, Any], dtype: torch.dtype
) -> tuple[float, dict[str, Tensor]]:
    """The twin's loss, and its gradients in float64."""
    tensors = {path: torch.tensor(v).to(dtype).requires_grad_() for path, v in state.items()}
    fed = {field: torch.tensor(value) for field, value in inputs.items()}
    loss = twin.torch(Parameters(tensors, twin.net), fed)
    found = torch.autograd.grad(loss, list(tensors.values()))
    return loss.item(), {path: g.double() for path, g in zip(tensors, found, strict=True)}


def rms(x: Tensor) -> float:
    return float(x.double().square().mean().sqrt())


@pytest.mark.parametrize("name", ["gpt2", "bert"])
def test_training_lowers_the_loss(name: str) -> None:
    """A few steps on one batch, with the kernels of the CPU."""
    twin, inputs = TWINS[name], batch(TWINS[name].data)
    program = twin.program("cpu")
    losses = [program.train_step(inputs) for _ in range(30)]
    assert losses[-1] < 0.9 * losses[0]


def test_lstm_language_model_gives_the_twins_logits() -> None:
    params = {"embed": WIDTH, "widths": [24, WIDTH], "vocab": WORDS, "drop": 0}
    spec = weft.load(EXAMPLES / "lstm_lm" / "lstm_lm.weft", variant="awd", params=params)
    program = weft.compile(spec, target="reference")
    state = spread(program.state_dict())
    program.load_state_dict(state)
    tokens = batch(TEXT)["tokens"]
    p = Parameters({name: torch.tensor(v).double() for name, v in state.items()}, "language_model")
    h = p["table.weight"][tokens]
    for i, width in enumerate(params["widths"]):
        layer = nn.LSTM(h.shape[-1], width, batch_first=True).double()
        q = p.part(f"body.{i}.lstm")
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        own = {f"{name}_l0": q[name] for name in names}
        h, _ = torch.func.functional_call(layer, own, (h,), strict=True)
    expected = F.linear(h, p["table.weight"], p["logits.bias"]).numpy()
    (found,) = program.engine.forward("language_model", {"tokens": tokens}).values()
    assert np.abs(found - expected).max() <= 1e-12 * np.abs(expected).max()
