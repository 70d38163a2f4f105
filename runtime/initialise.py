"""How parameters start: in float64, from a generator of its own for each parameter name and seed.

The numbers of a parameter depend on its name, its shape and the seed alone: declaring another layer
before it changes nothing.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..spec.errors import InternalError
from .engine import parameter_view

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..compiler.artifact import Artifact, Initialiser, Parameter
    from .engine import Engine, Floats

    Array = NDArray[np.float64]
    Shape = tuple[int, ...]
    Rule = Callable[[np.random.Generator, Shape, Initialiser, Mapping[str, Any]], Array]

GAINS: Mapping[str, float] = {
    "linear": 1.0,
    "sigmoid": 1.0,
    "tanh": 5 / 3,
    "relu": math.sqrt(2),
    "selu": 0.75,
}
"""Source: torch.nn.init.calculate_gain."""


def generator(seed: int, *parts: object) -> np.random.Generator:
    """A random generator keyed on a seed and names or numbers, the same on every machine."""
    text = "\0".join(str(part) for part in (seed, *parts))
    key = int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little")
    return np.random.Generator(np.random.Philox(key=key))


def initialise(engine: Engine, seed: int) -> None:
    """Write the starting values of all parameters and optimizer states into the engine's arenas."""
    artifact = engine.artifact
    fill_parameters(artifact, engine.parameters, seed)
    for state in artifact.states:
        engine.states[state.step, state.name][:] = state.initial


def fill_parameters(artifact: Artifact, arena: Floats, seed: int) -> None:
    """Write the starting values of all parameters into a flat arena; the padding becomes zero."""
    arena[:] = 0
    for parameter in artifact.parameters:
        parameter_view(arena, parameter)[...] = start(parameter, seed)


def start(parameter: Parameter, seed: int) -> Array:
    """The starting values of one parameter."""
    rule = INITIALISERS.get(parameter.initialiser.kind)
    if rule is None:
        raise InternalError(f"`{parameter.name}`: no initialiser {parameter.initialiser.kind}")
    settings = dict(parameter.initialiser.settings)
    random = generator(seed, parameter.name)
    return rule(random, parameter.shape, parameter.initialiser, settings)


def _constant(
    random: np.random.Generator, shape: Shape, own: Initialiser, settings: Mapping[str, Any]
) -> Array:
    return np.full(shape, settings["value"], np.float64)


def _zeros(
    random: np.random.Generator, shape: Shape, own: Initialiser, settings: Mapping[str, Any]
) -> Array:
    return np.zeros(shape)


def _ones(
    random: np.random.Generator, shape: Shape, own: Initialiser, settings: Mapping[str, Any]
) -> Array:
    return np.ones(shape)


def _normal(
    random: np.random.Generator, shape: Shape, own: Initialiser, settings: Mapping[str, Any]
) -> Array:
    return settings["mean"] + settings["std"] * random.standard_normal(shape)


def _uniform(
    random: np.random.Generator, shape: Shape, own: Initialiser, settings: Mapping[str, Any]
) -> Array:
    low, high = settings["low"], settings["high"]
    return low + (high - low) * random.random(shape)


def _truncated_normal(
    random: np.random.Generator, shape: Shape, own: Initialiser, settings: Mapping[str, Any]
) -> Array:
    values = random.standard_normal(math.prod(shape))
    while (outside := np.flatnonzero(np.abs(values) > settings["within"])).size:
        values[outside] = random.standard_normal(outside.size)
    return settings["mean"] + settings["std"] * values.reshape(shape)


def _orthogonal(
    random: np.random.Generator, shape: Shape, own: Initialiser, settings: Mapping[str, Any]
) -> Array:
    """Source: Saxe et al. 2014; like torch.nn.init.orthogonal_, all axes but the first are one."""
    rows = shape[0] if shape else 1
    columns = math.prod(shape[1:])
    flat = random.standard_normal((max(rows, columns), min(rows, columns)))
    orthonormal, triangle = np.linalg.qr(flat)
    orthonormal *= np.where(np.diagonal(triangle) < 0, -1.0, 1.0)
    matrix = orthonormal if rows >= columns else orthonormal.T
    return settings["gain"] * matrix.reshape(shape)


def _gain(settings: Mapping[str, Any]) -> float:
    if settings["gain"] is not None:
        return float(settings["gain"])
    if settings["nonlinearity"] == "leaky_relu":
        return math.sqrt(2 / (1 + settings["slope"] ** 2))
    return GAINS[settings["nonlinearity"]]


def _kaiming(own: Initialiser, settings: Mapping[str, Any]) -> float:
    fan = own.fan_in if settings["mode"] == "fan_in" else own.fan_out
    return _gain(settings) / math.sqrt(max(1, fan))


def _xavier(own: Initialiser, settings: Mapping[str, Any]) -> float:
    return float(settings["gain"]) * math.sqrt(2 / max(1, own.fan_in + own.fan_out))


def _lecun(own: Initialiser, settings: Mapping[str, Any]) -> float:
    return 1 / math.sqrt(max(1, own.fan_in))


def _pytorch_linear(own: Initialiser, settings: Mapping[str, Any]) -> float:
    """Half-width 1/sqrt(fan_in): Kaiming with slope sqrt(5) for weights, the same for biases."""
    return 1 / math.sqrt(3 * max(1, own.fan_in))


def _pytorch_recurrent(own: Initialiser, settings: Mapping[str, Any]) -> float:
    return 1 / math.sqrt(3 * settings["hidden"])


def _pytorch_attention(own: Initialiser, settings: Mapping[str, Any]) -> float:
    """Xavier over `in_proj_weight`, in which query, key and value are stacked: [3 out, in]."""
    return math.sqrt(2 / max(1, own.fan_in + 3 * own.fan_out))


def _spread(scale: Callable[[Initialiser, Mapping[str, Any]], float], uniform: bool) -> Rule:
    """A centred distribution with this standard deviation."""

    def rule(
        random: np.random.Generator, shape: Shape, own: Initialiser, settings: Mapping[str, Any]
    ) -> Array:
        std = scale(own, settings)
        if uniform:
            return math.sqrt(3) * std * (2 * random.random(shape) - 1)
        return std * random.standard_normal(shape)

    return rule


INITIALISERS: Mapping[str, Rule] = {
    "zeros": _zeros,
    "ones": _ones,
    "constant": _constant,
    "normal": _normal,
    "uniform": _uniform,
    "truncated_normal": _truncated_normal,
    "orthogonal": _orthogonal,
    "kaiming_uniform": _spread(_kaiming, uniform=True),
    "kaiming_normal": _spread(_kaiming, uniform=False),
    "xavier_uniform": _spread(_xavier, uniform=True),
    "xavier_normal": _spread(_xavier, uniform=False),
    "lecun_uniform": _spread(_lecun, uniform=True),
    "lecun_normal": _spread(_lecun, uniform=False),
    "pytorch_linear": _spread(_pytorch_linear, uniform=True),
    "pytorch_conv": _spread(_pytorch_linear, uniform=True),
    "pytorch_embedding": _spread(lambda own, settings: 1.0, uniform=False),
    "pytorch_lstm": _spread(_pytorch_recurrent, uniform=True),
    "pytorch_gru": _spread(_pytorch_recurrent, uniform=True),
    "pytorch_attention": _spread(_pytorch_attention, uniform=True),
}
"""What every initialiser of `spec.initialisers` does."""
