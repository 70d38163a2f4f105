"""The autoencoder and the adversarial pairs of the examples, narrow, against PyTorch twins that
are given the same random numbers: loss and gradients of every step, and that training moves only
the nets a step updates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import weft

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
BATCH = 6


class Twin:
    """Parameters and inputs by name, and the random numbers in the order of their use."""

    def __init__(
        self, tensors: Mapping[str, Tensor], inputs: Mapping[str, Tensor], draws: Iterator[Tensor]
    ) -> None:
        self.tensors, self.inputs, self.draws = tensors, inputs, draws

    def linear(self, path: str, x: Tensor) -> Tensor:
        return F.linear(x, self.tensors[f"{path}.weight"], self.tensors[f"{path}.bias"])

    def dropout(self, x: Tensor, p: float = 0.5) -> Tensor:
        return x * (next(self.draws) >= p) / (1 - p)

    def maxout(self, path: str, x: Tensor, pieces: int) -> Tensor:
        return self.linear(f"{path}.linear", x).unflatten(1, (-1, pieces)).amax(2)

    def label(self) -> Tensor:
        return F.one_hot(self.inputs["label"].long(), 10).to(self.inputs["real"].dtype)


def bce(logits: Tensor, target: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))


def vae(t: Twin) -> Tensor:
    image = t.inputs["image"]
    h = torch.relu(t.linear("encoder.linear", image))
    centre, log_variance = (t.linear(f"encoder.{n}", h) for n in ("mean_code", "log_variance"))
    code = torch.distributions.Normal(centre, (log_variance / 2).exp())
    drawn = code.mean + code.stddev * next(t.draws)
    logits = t.linear("decoder.logits", torch.relu(t.linear("decoder.linear", drawn)))
    plain = torch.distributions.Normal(torch.zeros_like(centre), torch.ones_like(centre))
    divergence = torch.distributions.kl_divergence(code, plain).sum()
    wrong = F.binary_cross_entropy_with_logits(logits, image, reduction="sum")
    return (wrong + divergence) / BATCH


def generate(t: Twin) -> Tensor:
    h = next(t.draws)
    for i in range(2):
        h = torch.relu(t.linear(f"generator.repeat.{i}.linear", h))
    return torch.sigmoid(t.linear("generator.linear", h))


def judge(t: Twin, image: Tensor) -> Tensor:
    h = t.dropout(image, 0.2)
    for i in range(2):
        h = t.dropout(t.maxout(f"discriminator.repeat.{i}.Maxout", h, 5))
    return t.linear("discriminator.score", h)


def generate_wanted(t: Twin) -> Tensor:
    noise = next(t.draws)
    wish = t.dropout(torch.relu(t.linear("generator.linear", t.label())))
    idea = t.dropout(torch.relu(t.linear("generator.linear_2", noise)))
    h = t.dropout(torch.relu(t.linear("generator.linear_3", torch.cat([idea, wish], 1))))
    return torch.sigmoid(t.linear("generator.linear_4", h))


def judge_wanted(t: Twin, image: Tensor) -> Tensor:
    claim = t.dropout(t.maxout("discriminator.Maxout", t.label(), 5))
    sight = t.dropout(t.maxout("discriminator.Maxout_2", image, 5))
    h = t.dropout(t.maxout("discriminator.Maxout_3", torch.cat([sight, claim], 1), 4))
    return t.linear("discriminator.score", h)


Net = Callable[..., Tensor]


def discriminating(make: Net, judge: Net) -> Net:
    def loss(t: Twin) -> Tensor:
        fake = make(t).detach()
        return bce(judge(t, t.inputs["real"]), 1) + bce(judge(t, fake), 0)

    return loss


def generating(make: Net, judge: Net) -> Net:
    return lambda t: bce(judge(t, make(t)), 1)


STEPS: dict[tuple[str, str], Net] = {
    ("vae/vae", "main"): vae,
    ("gan/gan", "discriminate"): discriminating(generate, judge),
    ("gan/gan", "generate"): generating(generate, judge),
    ("gan/conditional", "discriminate"): discriminating(generate_wanted, judge_wanted),
    ("gan/conditional", "generate"): generating(generate_wanted, judge_wanted),
}
NARROW: dict[str, dict[str, int]] = {
    "vae/vae": {"hidden": 12, "z": 3},
    "gan/gan": {"z": 5, "width": 12, "units": 6},
    "gan/conditional": {
        "z": 5,
        "noise_width": 6,
        "label_width": 7,
        "width": 12,
        "image_units": 6,
        "label_units": 3,
        "joint_units": 4,
    },
}


def program_of(spec: str, target: str) -> Any:
    return weft.compile(weft.load(EXAMPLES / f"{spec}.weft", params=NARROW[spec]), target=target)


def batch(spec: str) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    image = rng.random((BATCH, 784), dtype=np.float32)
    if spec == "vae/vae":
        return {"image": image}
    label = {"label": rng.integers(0, 10, BATCH).astype(np.int32)}
    return {"real": image} | (label if spec == "gan/conditional" else {})


def spread(state: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """Values large enough that every part of the nets has something to say."""
    rng = np.random.default_rng(4)
    return {
        path: (rng.normal(size=v.shape) / v.shape[-1] ** 0.5).astype(np.float32)
        for path, v in state.items()
    }


def drawn(exact: Any, step: str, inputs: Mapping[str, Any]) -> list[Tensor]:
    """The random numbers of a step, as its float64 graph draws them."""
    graph = exact.lowered.entry("probe", step).graph
    computed = [n for n in graph if n.op not in ("input", "constant")]
    values = exact.engine.probe(step, inputs, index=0, seed=exact.seed)
    pairs = zip(computed, values, strict=True)
    return [torch.tensor(np.array(value)) for n, (_, value) in pairs if n.op == "random"]


@pytest.mark.parametrize("target", ["reference", "cpu"])
@pytest.mark.parametrize(("spec", "step"), STEPS)
def test_loss_and_gradients_are_the_twins(spec: str, step: str, target: str) -> None:
    exact, inputs = program_of(spec, "reference"), batch(spec)
    program = exact if target == "reference" else program_of(spec, target)
    state = spread(program.state_dict())
    program.load_state_dict(state)
    exact.load_state_dict(state)
    tensors = {path: torch.tensor(v).double().requires_grad_() for path, v in state.items()}
    fed = {name: torch.tensor(v) for name, v in inputs.items()}
    fed = {name: v.double() if v.is_floating_point() else v for name, v in fed.items()}
    draws = iter(drawn(exact, step, inputs))
    expected = STEPS[spec, step](Twin(tensors, fed, draws))
    assert next(draws, None) is None, "the step drew more than the twin"
    expected.backward()
    loss, grads = program.value_and_grad(inputs, step)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    net = {"discriminate": "discriminator", "generate": "generator"}.get(step, "")
    assert set(grads) == {path for path in tensors if path.startswith(net)}
    tolerance = 1e-9 if target == "reference" else 2e-6
    for path, grad in grads.items():
        wanted = tensors[path].grad
        assert wanted is not None and wanted.abs().max() > 0, path
        error = float((grad.double() - wanted).abs().max())
        assert error <= tolerance * float(wanted.abs().max()), path


@pytest.mark.parametrize("target", ["reference", "cpu"])
@pytest.mark.parametrize("spec", ["gan/gan", "gan/conditional"])
def test_each_step_moves_its_own_net(spec: str, target: str) -> None:
    program, inputs = program_of(spec, target), batch(spec)
    for step, net in (("discriminate", "discriminator"), ("generate", "generator")):
        before = program.state_dict()
        program.train_step(inputs, step)
        after = program.state_dict()
        moved = {path for path in before if not torch.equal(before[path], after[path])}
        assert moved and all(path.startswith(f"{net}.") for path in moved)
        assert {path for path in before if path.startswith(f"{net}.")} == moved
