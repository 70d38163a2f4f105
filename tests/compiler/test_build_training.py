"""Training steps: loss graphs, evaluation, data lines and the recipe."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from weft.compiler import reference
from weft.compiler.build import Program
from weft.compiler.passes.differentiate import differentiate

from .built import program

RANDOM = np.random.default_rng(11)
DIGITS = """
param hidden=12, batch=6
net mlp {
  in image: f32[N, 64]
  image -> linear(hidden) -> relu -> dropout(0.25) -> linear(10) as logits
}
train {
  epochs = 3
  seed = 5
  early_stop = patience(4, monitor="accuracy")
  data image: f32[B, 64], label: i32[B] = digits(batch=batch, split=0.7)
  step main updates mlp {
    optimizer = adamw(lr=cosine(3e-3, warmup=1), weight_decay=0.02)
    clip = 1.5
    logits = image -> mlp
    loss = cross_entropy(logits, label)
    metric accuracy = accuracy(logits, label)
    metric perplexity = exp(loss)
  }
}
"""
GAN = """
net generator {
  in noise: f32[B, 3]
  noise -> linear(4)
}
net discriminator {
  in image: f32[B, 4]
  image -> linear(5) -> tanh -> linear(1) as score
}
train {
  steps = 10
  data real: f32[B, 4] = npz("real.npz", batch=7)
  step discriminate updates discriminator {
    optimizer = adam(2e-4, betas=[0.5, 0.999])
    fake = normal([B, 3]) -> generator -> stop_gradient
    loss = bce(discriminator(real), 1) + bce(discriminator(fake), 0)
    metric real_score = mean(sigmoid(discriminator(real)))
  }
  step generate updates generator {
    optimizer = sgd
    every = 2
    accumulate = 3
    loss = normal([B, 3]) -> generator -> discriminator -> bce(1)
  }
}
"""


def weights(built: Program) -> dict[str, np.ndarray]:
    """Random values for all parameters."""
    return {p.name: RANDOM.standard_normal(p.shape) * 0.4 for p in built.parameters}


def test_the_recipe_is_complete_plain_data() -> None:
    built = program(DIGITS)
    train = json.loads(json.dumps(built.train))
    (data,), (step,) = train.pop("data"), train.pop("step")
    assert train == {
        "epochs": 3,
        "steps": None,
        "seed": 5,
        "precision": "f32",
        "loss_scale": None,
        "ema": None,
        "eval_every": None,
        "save_every": None,
        "log_every": None,
        "early_stop": {"patience": 4, "monitor": "accuracy", "delta": 0, "mode": None},
        "memory": None,
    }
    assert step == {
        "name": "main",
        "updates": ["mlp"],
        "answers": {"mlp": ["label", "cross_entropy"]},
        "optimizer": "adamw",
        "settings": {"betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.02},
        "schedule": {
            "name": "cosine",
            "rate": 0.003,
            "final": 0,
            "length": None,
            "warmup": 1,
            "per": None,
        },
        "clip": 1.5,
        "accumulate": 1,
        "every": 1,
        "metrics": ["accuracy", "perplexity"],
        "inputs": ["image", "label"],
        "place": "test.weft:12:8",
    }
    assert data["names"] == ["image", "label"]
    assert data["types"] == [["f32", ["B", 64]], ["i32", ["B"]]]
    assert data["source"] == "digits" and data["place"] == "test.weft:11:8"
    assert data["settings"]["batch"] == 6 and data["settings"]["split"] == 0.7
    assert data["settings"]["shuffle"] is True
    assert data["ranges"] == {"label": [0, 10, -100]}
    assert built.sizes == {"B": 6, "N": 64}
    assert program(DIGITS, batch=9).sizes["B"] == 9


def test_a_step_is_the_loss_and_its_gradient_of_torch() -> None:
    built = program(DIGITS.replace("dropout(0.25)", "dropout(0)"))
    step, values = built.steps["main"], weights(built)
    found = differentiate(step.builder, step.loss, list(step.parameters.values()))
    b = step.builder
    b.outputs = {"loss": step.loss, **step.metrics}
    b.outputs |= {f"d {name}": found[i] for name, i in step.parameters.items()}
    image, label = RANDOM.standard_normal((6, 64)), RANDOM.integers(0, 10, 6)
    label[2] = -100
    result = reference.run(b.graph(), {"image": image, "label": label, **values}, {"B": 6})
    twins = {name: torch.tensor(v, requires_grad=True) for name, v in values.items()}
    w1, b1, w2, b2 = twins.values()
    logits = F.linear(F.relu(F.linear(torch.tensor(image), w1, b1)), w2, b2)
    loss = F.cross_entropy(logits, torch.tensor(label))
    loss.backward()
    np.testing.assert_allclose(result["loss"], loss.item(), rtol=1e-12)
    np.testing.assert_allclose(result["perplexity"], np.exp(loss.item()), rtol=1e-12)
    hits = logits.argmax(-1).numpy() == label
    np.testing.assert_allclose(result["accuracy"], hits.mean())
    for name, twin in twins.items():
        assert twin.grad is not None
        np.testing.assert_allclose(result[f"d {name}"], twin.grad.numpy(), rtol=1e-10, atol=1e-13)


def test_dropout_is_there_in_training_only() -> None:
    built = program(DIGITS)
    step = built.steps["main"]
    assert sum(node.op == "random" for node in step.builder.nodes) == 1
    assert all(node.op != "random" for node in step.evaluation)
    assert all(node.op != "random" for node in built.nets["mlp"].graph)
    assert set(step.evaluation.outputs) == {"loss", "accuracy", "perplexity"}


def test_dropout_keeps_the_mean() -> None:
    text = """net drop {
  in x: f32[B, 50]
  x -> dropout(0.3)
}
train {
  steps = 1
  data x: f32[B, 50] = npz("x.npz")
  step main updates drop {
    optimizer = sgd
    y = x -> drop
    loss = sum(y)
    metric zeros = mean(y == 0)
    metric scale = max(y)
  }
}
"""
    with pytest.raises(Exception, match="does not depend on it"):
        program(text)
    text = text.replace("x -> dropout", "weight w: f32[50] = 1.0\n  (x*w) -> dropout")
    step = program(text).steps["main"]
    step.builder.outputs = {"loss": step.loss, **step.metrics}
    feeds = {"x": np.ones((200, 50)), "drop.w": np.ones(50)}
    found = reference.run(step.builder.graph(), feeds, {"B": 200}, seed=3, step=4)
    assert abs(found["zeros"] - 0.3) < 0.02
    np.testing.assert_allclose(found["scale"], 1 / 0.7, rtol=1e-6)
    np.testing.assert_allclose(found["loss"] / 1e4, (1 - found["zeros"]) / 0.7, rtol=1e-5)
    again = reference.run(step.builder.graph(), feeds, {"B": 200}, seed=3, step=5)
    assert again["zeros"] != found["zeros"]


def test_two_nets_and_two_steps() -> None:
    built = program(GAN)
    first, second = built.steps["discriminate"], built.steps["generate"]
    assert list(built.nets) == ["generator", "discriminator"]
    assert set(first.parameters) == set(second.parameters) == {p.name for p in built.parameters}
    assert list(first.inputs) == ["real"]
    assert list(second.inputs) == ["real"]  # for the size of the batch alone
    recipe = built.train["step"][1]
    assert (recipe["every"], recipe["accumulate"], recipe["optimizer"]) == (2, 3, "sgd")
    assert recipe["schedule"] == {"name": "constant", "rate": 0.001, "warmup": 0, "per": None}
    for step, still in ((first, "generator"), (second, "")):
        gradients = differentiate(step.builder, step.loss, list(step.parameters.values()))
        for name, i in step.parameters.items():
            node = step.builder[gradients[i]]
            constant = node.op == "broadcast" and step.builder.value(node.operands[0]) == 0
            assert constant == bool(still and name.startswith(still)), name


def test_random_values_have_streams_of_their_own() -> None:
    text = GAN.replace(
        "normal([B, 3]) -> generator -> stop",
        "(normal([B, 3]) + normal([B, 3])) -> generator -> stop",
    )
    built = program(text)
    streams = [
        node["stream"]
        for step in built.steps.values()
        for node in step.builder.nodes
        if node.op == "random"
    ]
    assert len(set(streams)) == len(streams) == 3


def test_random_numbers_follow_their_distributions() -> None:
    text = """net draw {
  in x: f32[B]
  a = normal([B], mean=2, std=3)
  b = uniform([B], low=-1, high=3)
  c = randint(3, 7, [B])
  d = normal(like=x)
  out a + 0*x, b, c, d
}
"""
    graph = program(text).nets["draw"].graph
    count = 20_000
    feeds = {"x": np.zeros(count)}
    a, b, c, d = reference.run(graph, feeds, {"B": count}, seed=1).values()
    assert abs(a.mean() - 2) < 0.1 and abs(a.std() - 3) < 0.1
    assert b.min() >= -1 and b.max() < 3 and abs(b.mean() - 1) < 0.05
    assert sorted(set(c)) == [3, 4, 5, 6] and np.bincount(c.astype(int))[3:].min() > count / 5
    assert abs(d.std() - 1) < 0.05 and abs(np.corrcoef(a, d)[0, 1]) < 0.05


SIZES = {
    "data x: f32[B, 64] = digits(batch=32)": {"B": 32},
    "data x = digits(batch=full)": {"B": 1438},
    "data x = digits()": {"B": 64},
    'data x: f32[K, 64] = npz("a.npz", batch=5)': {"K": 5},
    'data x: f32[B, 64], y: f32[B, 1] = csv("a.csv", target="t", batch=full)': {"B": 1024},
    'data x: f32[16, 64] = npz("a.npz", batch=16)': {},
}


@pytest.mark.parametrize("line", SIZES)
def test_sizes_follow_from_the_data(line: str) -> None:
    text = f"""net top {{
  in x: f32[B, 64]
  x -> linear(1)
}}
train {{
  steps = 1
  {line}
  step main updates top {{
    optimizer = sgd
    loss = x -> top -> mean
  }}
}}
"""
    found = dict(program(text).sizes)
    wanted = SIZES[line]
    assert {name: found[name] for name in wanted} == wanted
    assert found["B"] == wanted.get("B", 64)


def test_functions_on_a_grid_have_known_sizes() -> None:
    text = """net top { in x: f32[B, 2]
  x -> linear(1)
}
train {
  steps = 1
  data x: f32[B, 2], z: f32[B, 1] = function("z = a*b", a=[0, 1], b=[0, 1], GRID, batch=full)
  step main updates top {
    optimizer = lbfgs
    loss = x -> top -> mse(z)
  }
}
"""
    for setting, count in {"grid=7": 49, "grid=[3, 5]": 15, "samples=90, split=0.5": 45}.items():
        assert program(text.replace("GRID", setting)).sizes["B"] == count


def test_ranges_come_from_embeddings_and_losses() -> None:
    text = """net model { in t: i32[B, T]
  t -> embedding(20, 4) -> linear(7)
}
train {
  steps = 1
  data t: i32[B, 5], next: i32[B, 5], spare: f32[B] = npz("t.npz")
  step main updates model {
    optimizer = rmsprop(centered=true)
    loss = t -> model -> cross_entropy(next, ignore=none)
  }
}
"""
    built = program(text)
    assert built.train["data"][0]["ranges"] == {"t": [0, 20], "next": [0, 7]}
    assert list(built.steps["main"].inputs) == ["t", "next"]


RATES = {
    "sgd(0.5)": {"name": "constant", "rate": 0.5, "warmup": 0, "per": None},
    "sgd(lr=1/8)": {"name": "constant", "rate": 0.125, "warmup": 0, "per": None},
    "sgd(linear(0.5, 0.1))": {"name": "linear", "rate": 0.5, "final": 0.1},
    "sgd(lr=step_decay(0.5, at=[1, 2], per=epoch))": {"at": [1, 2], "decay": 0.1, "per": "epoch"},
    "adam(lr=inverse_sqrt(64, warmup=10))": {"name": "inverse_sqrt", "width": 64, "warmup": 10},
    "adam": {"name": "constant", "rate": 1e-3},
}


@pytest.mark.parametrize("optimizer", RATES)
def test_rates(optimizer: str) -> None:
    text = DIGITS.replace("adamw(lr=cosine(3e-3, warmup=1), weight_decay=0.02)", optimizer)
    schedule = program(text).train["step"][0]["schedule"]
    assert RATES[optimizer].items() <= schedule.items()
