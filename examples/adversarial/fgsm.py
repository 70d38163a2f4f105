"""Adversarial digits by the fast gradient sign (Goodfellow, Shlens, Szegedy 2015).

    python examples/adversarial/fgsm.py [--run DIR] [--seed N] [--picture PNG]

Trains the LeNet of ../lenet5/digits.weft, unless there is a checkpoint in DIR, and moves every
pixel of the held-out digits by epsilon in the direction in which the loss grows.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

import weft
from weft.runtime.data import load

SPEC = Path(__file__).resolve().parent.parent / "lenet5" / "digits.weft"
EPSILONS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3)
SHOWN, SCALE = 10, 2


def trained(run: Path, seed: int | None = None) -> Any:
    """The program with the parameters of the checkpoint in `run`, which is made if need be."""
    program = weft.compile(weft.load(SPEC), target="cpu", seed=seed)
    last = run / "checkpoints" / "last.safetensors"
    if not last.is_file():
        program.train(run, seed=program.seed)
    saved = load_file(last)
    program.load_state_dict({name: saved[name] for name in program.state_dict()})
    return program


def held_out(program: Any) -> dict[str, np.ndarray]:
    """The digits that the training did not see."""
    test = load(program.artifact.train["data"][0], SPEC.parent).test
    assert test is not None
    return {"image": np.asarray(test["image"]), "label": np.asarray(test["label"])}


def direction(program: Any, digits: dict[str, np.ndarray]) -> np.ndarray:
    """The sign of the gradient of the loss by every pixel."""
    _, gradients = program.value_and_grad(digits, wrt="inputs")
    return np.sign(gradients["image"].numpy())


def moved(image: np.ndarray, way: np.ndarray, epsilon: float) -> np.ndarray:
    """Images with every pixel moved by epsilon, and still between black and white."""
    return np.clip(image + np.float32(epsilon) * way, 0, 1).astype(np.float32)


def accuracy(program: Any, image: np.ndarray, label: np.ndarray) -> float:
    """The part of the images that the network still takes for what they are."""
    logits = program.engine.forward("lenet", {"image": image})["logits"]
    return float((logits.argmax(axis=1) == label).mean())


def table(program: Any, digits: dict[str, np.ndarray]) -> list[tuple[float, float, float]]:
    """Epsilon, the accuracy along the gradient's sign, and along signs drawn at random."""
    way = direction(program, digits)
    chance = np.random.default_rng(0).choice([-1.0, 1.0], way.shape)
    image, label = digits["image"], digits["label"]
    return [
        (
            epsilon,
            accuracy(program, moved(image, way, epsilon), label),
            accuracy(program, moved(image, chance, epsilon), label),
        )
        for epsilon in EPSILONS
    ]


def draw(program: Any, digits: dict[str, np.ndarray], path: Path, epsilon: float = 0.2) -> None:
    """The first digits, the signs of their gradients, and both added."""
    from PIL import Image

    first = {name: values[:SHOWN] for name, values in digits.items()}
    way = direction(program, first)
    rows = [first["image"], (way + 1) / 2, moved(first["image"], way, epsilon)]
    grey = np.concatenate([np.concatenate(list(row[:, 0]), axis=1) for row in rows])
    large = np.kron(grey, np.ones((SCALE, SCALE)))
    Image.fromarray(np.rint(255 * large).astype(np.uint8)).save(path, optimize=True)


def main() -> None:
    """Print accuracy against epsilon."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--run", type=Path, default=Path("runs/adversarial"))
    parser.add_argument("--seed", type=int)
    parser.add_argument("--picture", type=Path)
    arguments = parser.parse_args()
    program = trained(arguments.run, arguments.seed)
    digits = held_out(program)
    print("epsilon  gradient's sign  random signs")
    for epsilon, worst, chance in table(program, digits):
        print(f"{epsilon:7.2f}  {worst:15.1%}  {chance:12.1%}")
    if arguments.picture:
        draw(program, digits, arguments.picture)


if __name__ == "__main__":
    main()
