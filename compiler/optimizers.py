"""Update rules as graphs over the flat parameter arena: p, g, states -> p, states.

Each record follows PyTorch's algorithm of the same name, so that equal settings give equal steps.
The numbers that depend on the step are computed by the host in float64 and passed as scalars.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .artifact import Expression
from .ir.builder import Builder

Settings = Mapping[str, Any]
Update = Callable[[Builder, Settings, int, int, dict[str, int], dict[str, int]], dict[str, int]]


@dataclass(frozen=True, slots=True)
class Optimizer:
    """An update rule.

    `states` gives the state arrays (name, initial value) that the settings call for; `scalars`
    the host-side numbers by name, as expressions of `rate` and `step` (from 1); `update` inserts
    the rule and returns the new `parameter` and states.
    """

    name: str
    states: Callable[[Settings], dict[str, float]]
    scalars: Callable[[Settings], dict[str, Expression]]
    update: Update
    source: str


def _scaled(b: Builder, x: int, scalar: int) -> int:
    """x * broadcast scalar"""
    return b.map("mul", x, b.broadcast(scalar, (), b[x].shape))


def _decayed_gradient(b: Builder, s: Settings, p: int, g: int) -> int:
    """L2 regularisation: g + weight_decay * p"""
    decay = float(s["weight_decay"])
    return b.map("add", g, b.map("mul", p, decay), name="regularised") if decay else g


def _average(b: Builder, old: int, new: int, beta: float, name: str) -> int:
    """beta * old + (1 - beta) * new"""
    return b.map("add", b.map("mul", old, beta), b.map("mul", new, 1.0 - beta), name=name)


def _sgd(
    b: Builder, s: Settings, p: int, g: int, x: dict[str, int], c: dict[str, int]
) -> dict[str, int]:
    g = _decayed_gradient(b, s, p, g)
    if not s["momentum"]:
        return {"parameter": b.map("sub", p, _scaled(b, g, c["rate"]))}
    momentum = float(s["momentum"])
    fresh = _scaled(b, g, c["undamped"]) if s["dampening"] else g
    velocity = b.map("add", b.map("mul", x["velocity"], momentum), fresh, name="velocity_new")
    direction = b.map("add", g, b.map("mul", velocity, momentum)) if s["nesterov"] else velocity
    return {"parameter": b.map("sub", p, _scaled(b, direction, c["rate"])), "velocity": velocity}


def _adam(
    b: Builder, s: Settings, p: int, g: int, x: dict[str, int], c: dict[str, int]
) -> dict[str, int]:
    return _adam_step(b, s, p, _decayed_gradient(b, s, p, g), x, c)


def _adamw(
    b: Builder, s: Settings, p: int, g: int, x: dict[str, int], c: dict[str, int]
) -> dict[str, int]:
    return _adam_step(b, s, _shrunk(b, s, p, c), g, x, c)


def _shrunk(b: Builder, s: Settings, p: int, c: dict[str, int]) -> int:
    """Decoupled weight decay: p * (1 - rate * weight_decay)"""
    return _scaled(b, p, c["kept"]) if s["weight_decay"] else p


def _adam_step(
    b: Builder, s: Settings, p: int, g: int, x: dict[str, int], c: dict[str, int]
) -> dict[str, int]:
    beta1, beta2 = (float(v) for v in s["betas"])
    mean = _average(b, x["mean"], g, beta1, "mean_new")
    square = _average(b, x["square"], b.map("mul", g, g), beta2, "square_new")
    spread = b.map(
        "add",
        _scaled(b, b.map("sqrt", square), c["root_correction"]),
        float(s["eps"]),
        name="spread",
    )
    step = b.map("div", _scaled(b, mean, c["corrected_rate"]), spread)
    return {"parameter": b.map("sub", p, step), "mean": mean, "square": square}


def _adam_scalars(s: Settings) -> dict[str, Expression]:
    beta1, beta2 = (float(v) for v in s["betas"])
    rest1: Expression = ("-", 1, ("**", beta1, "step"))
    rest2: Expression = ("-", 1, ("**", beta2, "step"))
    return {"corrected_rate": ("/", "rate", rest1), "root_correction": ("/", 1, ("sqrt", rest2))}


def _rmsprop(
    b: Builder, s: Settings, p: int, g: int, x: dict[str, int], c: dict[str, int]
) -> dict[str, int]:
    g = _decayed_gradient(b, s, p, g)
    new = {"square": _average(b, x["square"], b.map("mul", g, g), float(s["alpha"]), "square_new")}
    variance = new["square"]
    if s["centered"]:
        new["mean"] = _average(b, x["mean"], g, float(s["alpha"]), "mean_new")
        variance = b.map("sub", variance, b.map("mul", new["mean"], new["mean"]), name="variance")
    step = b.map("div", g, b.map("add", b.map("sqrt", variance), float(s["eps"])))
    if s["momentum"]:
        step = b.map(
            "add", b.map("mul", x["velocity"], float(s["momentum"])), step, name="velocity_new"
        )
        new["velocity"] = step
    return {"parameter": b.map("sub", p, _scaled(b, step, c["rate"])), **new}


def _rmsprop_states(s: Settings) -> dict[str, float]:
    wanted = {"square": True, "mean": bool(s["centered"]), "velocity": bool(s["momentum"])}
    return {name: 0.0 for name, used in wanted.items() if used}


def _adagrad(
    b: Builder, s: Settings, p: int, g: int, x: dict[str, int], c: dict[str, int]
) -> dict[str, int]:
    g = _decayed_gradient(b, s, p, g)
    total = b.map("add", x["total"], b.map("mul", g, g), name="total_new")
    step = b.map(
        "div", _scaled(b, g, c["decayed_rate"]), b.map("add", b.map("sqrt", total), float(s["eps"]))
    )
    return {"parameter": b.map("sub", p, step), "total": total}


def _lion(
    b: Builder, s: Settings, p: int, g: int, x: dict[str, int], c: dict[str, int]
) -> dict[str, int]:
    beta1, beta2 = (float(v) for v in s["betas"])
    direction = b.map("sign", _average(b, x["mean"], g, beta1, "blend"), name="direction")
    kept = _shrunk(b, s, p, c)
    mean = _average(b, x["mean"], g, beta2, "mean_new")
    return {"parameter": b.map("sub", kept, _scaled(b, direction, c["rate"])), "mean": mean}


def _kept(s: Settings) -> dict[str, Expression]:
    """1 - rate * weight_decay, for decoupled decay."""
    return {"kept": ("-", 1, ("*", "rate", float(s["weight_decay"])))} if s["weight_decay"] else {}


_RATE: dict[str, Expression] = {"rate": "rate"}

OPTIMIZERS: dict[str, Optimizer] = {
    o.name: o
    for o in (
        Optimizer(
            "sgd",
            lambda s: {"velocity": 0.0} if s["momentum"] else {},
            lambda s: (
                _RATE
                | {"undamped": ("-", 1, ("*", float(s["dampening"]), ("min", 1, ("-", "step", 1))))}
                if s["dampening"] and s["momentum"]
                else _RATE
            ),
            _sgd,
            "torch.optim.SGD; Sutskever et al. 2013",
        ),
        Optimizer(
            "adam",
            lambda s: {"mean": 0.0, "square": 0.0},
            _adam_scalars,
            _adam,
            "Kingma and Ba 2015",
        ),
        Optimizer(
            "adamw",
            lambda s: {"mean": 0.0, "square": 0.0},
            lambda s: _adam_scalars(s) | _kept(s),
            _adamw,
            "Loshchilov and Hutter 2019",
        ),
        Optimizer(
            "rmsprop",
            _rmsprop_states,
            lambda s: _RATE,
            _rmsprop,
            "torch.optim.RMSprop; Hinton 2012",
        ),
        Optimizer(
            "adagrad",
            lambda s: {"total": float(s["initial_accumulator_value"])},
            lambda s: {
                "decayed_rate": (
                    "/",
                    "rate",
                    ("+", 1, ("*", ("-", "step", 1), float(s["lr_decay"]))),
                )
            },
            _adagrad,
            "Duchi et al. 2011",
        ),
        Optimizer(
            "lion", lambda s: {"mean": 0.0}, lambda s: _RATE | _kept(s), _lion, "Chen et al. 2023"
        ),
    )
}
