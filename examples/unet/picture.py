"""Pictures of what the U-Net for curves sees, says and should say, side by side.

    python examples/unet/picture.py write held_out.npz
    weft predict examples/unet/curves.weft --input held_out.npz -o found.npz
    python examples/unet/picture.py draw held_out.npz found.npz curves.png

`write` takes images and masks of the held-out part; `draw` also prints Dice, of the network and of
the best thresholds, over the rows of the files.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import weft
from weft.runtime.data import load

HERE = Path(__file__).resolve().parent
SHOWN, GAP, SCALE = 4, 4, 2  # rows of the picture, pixels between its parts, and its enlargement


def dice(found: np.ndarray, mask: np.ndarray) -> float:
    """Twice the common pixels over the pixels of both."""
    return float(2 * (found & mask).sum() / max(found.sum() + mask.sum(), 1))


def write(out: Path, params: dict[str, Any] | None = None) -> None:
    """The held-out pictures of the spec's data line, with other values for its params."""
    program = weft.compile(weft.load(HERE / "curves.weft", params=params), target="cpu")
    assert program.artifact.train is not None
    held_out = load(program.artifact.train["data"][0], HERE).test
    assert held_out is not None
    np.savez(out, image=held_out["image"], mask=held_out["mask"])


def draw(held_out: Path, found: Path, out: Path) -> dict[str, float]:
    """Input, prediction and truth of some rows as a picture; Dice of all rows."""
    with np.load(held_out) as file:
        images, masks = file["image"][:, 0], file["mask"][:, 0] > 0.5
    with np.load(found) as file:
        logits = file["logits"][:, 0]
    far = abs(images - np.median(images, axis=(1, 2), keepdims=True))
    each = [best([image], [mask]) for image, mask in zip(images, masks, strict=True)]
    reached = {
        "U-Net": dice(logits > 0, masks),
        "one threshold for all images": best(images, masks),
        "distance from the image's median": best(far, masks),
        "best threshold for every image": float(np.mean(each)),
    }
    probability = 1 / (1 + np.exp(-logits))
    rows = [
        beside([images[i], probability[i], masks[i].astype(float)], axis=1) for i in range(SHOWN)
    ]
    grey = np.kron(beside(rows, axis=0), np.ones((SCALE, SCALE)))
    Image.fromarray(np.rint(255 * np.clip(grey, 0, 1)).astype(np.uint8)).save(out, optimize=True)
    return reached


def best(images: Iterable[np.ndarray], masks: Iterable[np.ndarray]) -> float:
    """Dice of the best threshold, whichever side of it counts."""
    image, mask = np.concatenate([*images]), np.concatenate([*masks])
    levels = np.quantile(image, np.linspace(0.01, 0.99, 99))
    return max(dice(side, mask) for t in levels for side in (image > t, image < t))


def beside(parts: list[np.ndarray], axis: int) -> np.ndarray:
    """Arrays in a row or a column, with white between them."""
    shape = list(parts[0].shape)
    shape[axis] = GAP
    white = np.ones(shape)
    joined = [piece for part in parts for piece in (white, part)][1:]
    return np.concatenate(joined, axis=axis)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    writer, drawer = verbs.add_parser("write"), verbs.add_parser("draw")
    writer.add_argument("out", type=Path)
    for name in ("held_out", "found", "out"):
        drawer.add_argument(name, type=Path)
    arguments = parser.parse_args()
    if arguments.verb == "write":
        write(arguments.out)
    else:
        for name, reached in draw(arguments.held_out, arguments.found, arguments.out).items():
            print(f"{name:33}{reached:.3f}")
