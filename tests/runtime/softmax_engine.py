"""An engine in NumPy for the tests: softmax regression with exact gradients, momentum and dropout.

Its arena has padding, an offset and a transposed weight, as compiled ones do.  It behaves as
`weft.runtime.engine.Engine` demands, so the trainer is tested against the contract, not against
one compiler.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from weft.compiler.artifact import Artifact, Buffer, Initialiser, Parameter, State
from weft.runtime.engine import Result, parameter_view
from weft.spec.signature import bind
from weft.spec.sources import SOURCES


def data_line(
    names: list[str], types: list[Any], source: str, *positional: Any, **named: Any
) -> dict[str, Any]:
    """A data line of a recipe with all settings filled in, as the elaborator writes it."""
    settings, problems = bind(SOURCES[source].signature, positional, named)
    found = [*problems, *SOURCES[source].problems(settings)]
    assert not found, found
    return {
        "names": names,
        "types": types,
        "source": source,
        "settings": settings,
        "place": "net.weft:3:3",
    }


def step_recipe(name: str = "main", **changes: Any) -> dict[str, Any]:
    """A training step of a recipe."""
    return {
        "name": name,
        "updates": ["net"],
        "optimizer": "sgd",
        "settings": {"momentum": 0.9},
        "schedule": {"name": "constant", "rate": 0.05},
        "clip": None,
        "accumulate": 1,
        "every": 1,
        "metrics": ["accuracy"],
        "inputs": ["x", "y"],
        "place": "net.weft:5:3",
        **changes,
    }


def softmax_artifact(
    data: dict[str, Any],
    features: int,
    classes: int,
    *,
    step: list[dict[str, Any]] | None = None,
    **train: Any,
) -> Artifact:
    """The artifact of `x -> linear(classes)` with its training recipe."""
    weight = Parameter(
        "net.linear.weight",
        (classes, features),
        16,
        (1, classes),
        Initialiser("pytorch_linear", (), features, classes),
        "net.weft:2:3",
    )
    bias = Parameter(
        "net.linear.bias",
        (classes,),
        16 + classes * features + 3,
        (1,),
        Initialiser("zeros", (), features, classes),
        "net.weft:2:3",
    )
    chosen = step or [step_recipe()]
    recipe = {"epochs": 2, "steps": None, "seed": 0, "data": [data], "step": chosen, **train}
    return Artifact(
        name="net",
        target="test",
        precision="f32",
        files={},
        spec={"net.weft": "net"},
        parameters=(weight, bias),
        length=16 + classes * features + 3 + classes + 5,
        states=tuple(State(one["name"], "momentum", 0.0) for one in chosen),
        entries=(),
        kernels=(),
        sizes={"B": 4},
        train=recipe,
        traffic={},
    )


class SoftmaxEngine:
    """Softmax regression; 10 % of the inputs are dropped in training, by seed and index alone.

    Calls whose index is in `fails` report numbers that are not finite.
    """

    def __init__(self, artifact: Artifact, fails: frozenset[int] = frozenset()) -> None:
        self.artifact = artifact
        self.parameters = np.zeros(artifact.length, np.float32)
        self.states = {
            (state.step, state.name): np.zeros(artifact.length, np.float32)
            for state in artifact.states
        }
        self.fails = fails
        self.calls: list[tuple[str, str, int, float]] = []
        weight, bias = artifact.parameters
        self._weight = parameter_view(self.parameters, weight)
        self._bias = parameter_view(self.parameters, bias)

    def train(
        self, step: str, inputs: Mapping[str, Any], *, rate: float, index: int, seed: int
    ) -> Result:
        result, gradient = self.gradient(step, inputs, index=index, seed=seed)
        if result.finite:
            self.update(step, gradient, rate=rate, index=index)
        return result

    def gradient(
        self, step: str, inputs: Mapping[str, Any], *, index: int, seed: int
    ) -> tuple[Result, np.ndarray]:
        self.calls.append(("gradient", step, index, len(inputs["y"])))
        kept = self._kept(inputs["x"].shape, index, seed)
        x = inputs["x"] * kept
        values, probabilities = self._loss(x, inputs["y"])
        d_logits = probabilities
        d_logits[np.arange(len(x)), inputs["y"]] -= 1
        d_logits /= np.float32(len(x))
        gradient = np.zeros(self.artifact.length, np.float32)
        weight, bias = self.artifact.parameters
        parameter_view(gradient, weight)[...] = d_logits.T @ x
        parameter_view(gradient, bias)[...] = d_logits.sum(axis=0)
        finite = index not in self.fails and bool(np.isfinite(gradient).all())
        return Result(values, finite), gradient

    def update(self, step: str, gradient: np.ndarray, *, rate: float, index: int) -> None:
        self.calls.append(("update", step, index, rate))
        momentum = self.states[step, "momentum"]
        momentum *= np.float32(0.9)
        momentum += gradient
        self.parameters -= np.float32(rate) * momentum

    def evaluate(self, step: str, inputs: Mapping[str, Any], *, index: int, seed: int) -> Result:
        self.calls.append(("evaluate", step, index, len(inputs["y"])))
        return Result(self._loss(inputs["x"], inputs["y"])[0], True)

    def forward(self, net: str, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        return {"logits": inputs["x"] @ self._weight.T + self._bias}

    def probe(
        self, step: str, inputs: Mapping[str, Any], *, index: int, seed: int
    ) -> list[tuple[Buffer, np.ndarray]]:
        logits = self.forward("net", inputs)["logits"]
        bad = logits.copy()
        bad[1, 2] = np.nan
        names = (("linear", logits, "net.weft:2:3"), ("softmax", bad, "net.weft:6:12"))
        return [
            (Buffer(name, "f32", array.shape, "workspace", 0, 0, (), place), array)
            for name, array, place in names
        ]

    def _kept(self, shape: tuple[int, ...], index: int, seed: int) -> np.ndarray:
        random = np.random.Generator(np.random.Philox(key=seed, counter=index << 64))
        return (random.random(shape) < 0.9).astype(np.float32)

    def _loss(self, x: np.ndarray, y: np.ndarray) -> tuple[dict[str, float], np.ndarray]:
        logits = x @ self._weight.T + self._bias
        shifted = logits - logits.max(axis=1, keepdims=True)
        powers = np.exp(shifted)
        probabilities = powers / powers.sum(axis=1, keepdims=True)
        rows = np.arange(len(x))
        loss = -np.log(np.maximum(probabilities[rows, y], 1e-30)).mean()
        accuracy = (logits.argmax(axis=1) == y).mean()
        return {"loss": float(loss), "accuracy": float(accuracy)}, probabilities
