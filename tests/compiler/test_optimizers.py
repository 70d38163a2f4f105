"""Every update rule takes PyTorch's steps, in the generated kernel and in the reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from weft.compiler import reference
from weft.compiler.arena import Arena
from weft.compiler.artifact import Artifact, Port, State, evaluate
from weft.compiler.entries import EntryGraph
from weft.compiler.native import emit_native
from weft.compiler.optimizers import OPTIMIZERS
from weft.compiler.update import Slice, UpdateGraph, update_graph
from weft.runtime.native_engine import NativeEngine

LENGTH, STEPS, RATE = 48, 5, 0.01


class Lion(torch.optim.Optimizer):
    """Chen et al. 2023, algorithm 2, written independently of ours."""

    def __init__(
        self, params: Any, lr: float, betas: tuple[float, float], weight_decay: float
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                m = self.state[p].setdefault("m", torch.zeros_like(p))
                update = (group["betas"][0] * m + (1 - group["betas"][0]) * p.grad).sign()
                p.sub_(group["lr"] * (update + group["weight_decay"] * p))
                m.mul_(group["betas"][1]).add_(p.grad, alpha=1 - group["betas"][1])


ADAM = {"betas": [0.9, 0.999], "eps": 1e-8}
SGD = {"momentum": 0.0, "dampening": 0.0, "nesterov": False, "weight_decay": 0.0}
RMS = {"alpha": 0.99, "eps": 1e-8, "weight_decay": 0.0, "momentum": 0.0, "centered": False}
CASES: list[tuple[str, dict[str, Any], Any]] = [
    ("sgd", SGD, torch.optim.SGD),
    ("sgd", SGD | {"momentum": 0.9, "weight_decay": 0.1}, torch.optim.SGD),
    ("sgd", SGD | {"momentum": 0.9, "nesterov": True}, torch.optim.SGD),
    ("sgd", SGD | {"momentum": 0.9, "dampening": 0.3}, torch.optim.SGD),
    ("adam", ADAM | {"weight_decay": 0.0}, torch.optim.Adam),
    ("adam", ADAM | {"weight_decay": 0.1}, torch.optim.Adam),
    ("adamw", ADAM | {"weight_decay": 0.01}, torch.optim.AdamW),
    ("adamw", ADAM | {"weight_decay": 0.0, "betas": [0.8, 0.95]}, torch.optim.AdamW),
    ("rmsprop", RMS, torch.optim.RMSprop),
    (
        "rmsprop",
        RMS | {"momentum": 0.9, "centered": True, "weight_decay": 0.1},
        torch.optim.RMSprop,
    ),
    (
        "adagrad",
        {"lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.5, "eps": 1e-10},
        torch.optim.Adagrad,
    ),
    ("lion", {"betas": [0.9, 0.99], "weight_decay": 0.1}, Lion),
]


def _torch_steps(
    make: Any,
    settings: dict[str, Any],
    start: np.ndarray,
    gradients: np.ndarray,
    clip: float | None,
) -> np.ndarray:
    p = torch.nn.Parameter(torch.tensor(start, dtype=torch.float64))
    kwargs = {k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()}
    optimizer = make([p], lr=RATE, **kwargs)
    for gradient in gradients:
        p.grad = torch.tensor(gradient, dtype=torch.float64)
        if clip:
            torch.nn.utils.clip_grad_norm_([p], clip)
        optimizer.step()
    return p.detach().numpy()


def _engine(u: UpdateGraph, states: tuple[State, ...]) -> NativeEngine:
    entry = EntryGraph(
        "update", "main", None, (), (Port("gradient_norm_squared", "f32", ()),), {}, u
    )
    slots = {(s.step, s.name): k for k, s in enumerate(states)}
    files, entries, kernels, _ = emit_native([entry], Arena({}, {}, LENGTH), slots, {}, "update")
    return NativeEngine(
        Artifact(
            "u",
            "cpu",
            "f32",
            files,
            {},
            (),
            LENGTH,
            states,
            tuple(entries),
            tuple(kernels),
            {},
            None,
            {},
        )
    )


@pytest.mark.parametrize("clip", [None, 0.5])
@pytest.mark.parametrize(("name", "settings", "make"), CASES, ids=lambda c: str(c)[:40])
def test_steps_are_pytorchs(
    name: str, settings: dict[str, Any], make: Any, clip: float | None
) -> None:
    rng = np.random.default_rng(0)
    start, gradients = rng.normal(size=LENGTH), rng.normal(size=(STEPS, LENGTH))
    want = _torch_steps(make, settings, start, gradients, clip)
    u = update_graph(name, settings, (Slice(0, LENGTH),), clip=clip, with_loss=False)
    states = tuple(State("main", n, v) for n, v in OPTIMIZERS[name].states(settings).items())
    engine = _engine(u, states)
    engine.parameters[:] = start
    p, held = start.copy(), {s.name: np.full(LENGTH, s.initial) for s in states}
    for index, gradient in enumerate(gradients):
        engine.update("main", gradient.astype(np.float32), rate=RATE, index=index)
        scalars = {
            n: np.asarray(evaluate(v, {"rate": RATE, "step": index + 1}))
            for n, v in u.scalars.items()
        }
        fed = {
            "gradient_0": gradient,
            "parameter_0": p,
            **{f"{n}_0": v for n, v in held.items()},
            **scalars,
        }
        found = reference.run(u.graph, fed, {})
        p, held = found["new_parameter_0"], {n: found[f"new_{n}_0"] for n in held}
    assert p == pytest.approx(want, rel=1e-9, abs=1e-12)
    assert engine.parameters == pytest.approx(want, rel=2e-5, abs=2e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_gradient_that_is_not_finite_changes_nothing(bad: float) -> None:
    settings = ADAM | {"weight_decay": 0.01}
    u = update_graph("adamw", settings, (Slice(0, LENGTH),), clip=None, with_loss=False)
    states = tuple(State("main", n, v) for n, v in OPTIMIZERS["adamw"].states(settings).items())
    engine = _engine(u, states)
    engine.parameters[:] = np.arange(LENGTH)
    gradient = np.ones(LENGTH, np.float32)
    gradient[17] = bad
    engine.update("main", gradient, rate=RATE, index=0)
    assert np.array_equal(engine.parameters, np.arange(LENGTH, dtype=np.float32))
    assert all(not state.any() for state in engine.states.values())


def test_two_stretches_share_one_norm() -> None:
    settings = SGD
    u = update_graph("sgd", settings, (Slice(0, 16), Slice(32, 16)), clip=1.0, with_loss=False)
    engine = _engine(u, ())
    engine.parameters[:] = 0.0
    engine.update("main", np.full(LENGTH, 2.0, np.float32), rate=1.0, index=0)
    step = 2.0 / (2.0 * np.sqrt(32.0))
    assert engine.parameters[:16] == pytest.approx(-step, rel=1e-5)
    assert not engine.parameters[16:32].any()
    assert engine.parameters[32:] == pytest.approx(-step, rel=1e-5)
