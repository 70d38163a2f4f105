"""Pictures of discs, squares and crosses with their boxes; what a detector finds, measured.

python shapes.py make             shapes/train.npz, and pictures in shapes/test with test.npz
python shapes.py score FOUND.npz  average precision of what `weft predict` wrote of shapes/test
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

KINDS = ("disc", "square", "cross")
SIDE, LEVELS = 64, {"small": 4, "large": 8}
LARGEST = 20  # pixels of a shape that the finer level finds
Boxes = list[tuple[int, float, float, float, float]]  # kind, centre, width and height


def picture(random: np.random.Generator) -> tuple[np.ndarray, Boxes]:
    """Bytes [64, 64, 3] and one to four shapes, whose middles are apart."""
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    image = random.uniform(0, 110, (SIDE, SIDE, 3))
    boxes: Boxes = []
    for _ in range(random.integers(1, 5)):
        kind, size = int(random.integers(len(KINDS))), random.uniform(8, 36, 2)
        size[1] = size[0] * random.uniform(0.7, 1.4)
        cx, cy = random.uniform(size / 2, SIDE - size / 2)
        if any(abs(cx - b[1]) + abs(cy - b[2]) < (size.max() + max(b[3:])) / 2 for b in boxes):
            continue
        u, v = (x - cx) / size[0] * 2, (y - cy) / size[1] * 2
        inside = np.maximum(abs(u), abs(v)) < 1
        shape = (u**2 + v**2 < 1, inside, inside & (np.minimum(abs(u), abs(v)) < 0.3))[kind]
        image[shape] = random.uniform(120, 255, 3)
        boxes.append((kind, cx, cy, size[0], size[1]))
    return image.astype(np.uint8), boxes


def targets(boxes: Boxes) -> dict[str, np.ndarray]:
    """For each level, what is to be found in its cells, and where in the cell and how large."""
    found = {}
    for level, stride in LEVELS.items():
        cells = SIDE // stride
        kinds, places = np.zeros((len(KINDS), cells, cells)), np.zeros((4, cells, cells))
        for kind, cx, cy, width, height in boxes:
            if (max(width, height) > LARGEST) == (level == "large"):
                row, column = int(cy / stride), int(cx / stride)
                kinds[kind, row, column] = 1
                size = np.log([width / stride, height / stride])
                places[:, row, column] = cx / stride - column, cy / stride - row, *size
        found |= {level: kinds, f"{level}_box": places}
    return {name: array.astype(np.float32) for name, array in found.items()}


def make(folder: Path, count: int = 800, held: int = 100) -> None:
    """The data of the training, and pictures that it does not see."""
    from PIL import Image

    random = np.random.default_rng(0)
    (folder / "test").mkdir(parents=True, exist_ok=True)
    rows: dict[str, list[np.ndarray]] = {}
    for _ in range(count):
        image, boxes = picture(random)
        pixels = image.transpose(2, 0, 1).astype(np.float32) / 255
        for name, array in {"image": pixels, **targets(boxes)}.items():
            rows.setdefault(name, []).append(array)
    np.savez(folder / "train.npz", **{name: np.stack(each) for name, each in rows.items()})
    truth = []
    for number in range(held):
        image, boxes = picture(random)
        Image.fromarray(image).save(folder / "test" / f"{number:03}.png")
        truth += [(number, *box) for box in boxes]
    np.savez(folder / "test.npz", boxes=np.array(truth))


def detections(found: Any, least: float = 0.05) -> np.ndarray:
    """Rows of picture, kind, probability, centre, width, height; of boxes of one kind that overlap
    by half the most probable one.
    """
    rows = []
    for level, stride in LEVELS.items():
        probability = 1 / (1 + np.exp(-found[f"kind_{level}"]))
        for n, kind, row, column in np.argwhere(probability > least):
            dx, dy, w, h = found[f"box_{level}"][n, :, row, column]
            centre = ((column + dx) * stride, (row + dy) * stride)
            size = np.exp(np.clip([w, h], -3, 3)) * stride
            rows.append((n, kind, probability[n, kind, row, column], *centre, *size))
    kept: list[tuple[Any, ...]] = []
    for box in sorted(rows, key=lambda r: -r[2]):
        alike = (other for other in kept if other[:2] == box[:2])
        if all(overlap(box[3:], other[3:]) < 0.5 for other in alike):
            kept.append(box)
    return np.array(kept, dtype=float).reshape(-1, 7)


def overlap(a: Any, b: Any) -> float:
    """Intersection over union of two boxes, each centre, width, height."""
    sides = [min(a[i] + a[i + 2] / 2, b[i] + b[i + 2] / 2) for i in (0, 1)]
    begin = [max(a[i] - a[i + 2] / 2, b[i] - b[i + 2] / 2) for i in (0, 1)]
    shared = max(0.0, sides[0] - begin[0]) * max(0.0, sides[1] - begin[1])
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def average_precision(found: np.ndarray, truth: np.ndarray, kind: int) -> float:
    """The area under precision over recall, at an overlap of a half (as in VOC 2010)."""
    wanted = [list(row) for row in truth[truth[:, 1] == kind]]
    total, hits = len(wanted), []
    for box in found[found[:, 1] == kind]:
        best = max((w for w in wanted if w[0] == box[0]), key=lambda w: overlap(box[3:], w[2:]),
                   default=None)  # fmt: skip
        hit = best is not None and overlap(box[3:], best[2:]) >= 0.5
        if hit:
            wanted.remove(best)
        hits.append(hit)
    right = np.cumsum(hits)
    precision = right / np.arange(1, len(hits) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    return float(sum(precision[i] for i, hit in enumerate(hits) if hit) / max(1, total))


def score(file: Path, truth: Path) -> dict[str, float]:
    """The average precision of each kind."""
    with np.load(file) as found, np.load(truth) as known:
        boxes, wanted = detections(found), known["boxes"]
    return {name: average_precision(boxes, wanted, kind) for kind, name in enumerate(KINDS)}


if __name__ == "__main__":
    here = Path(__file__).parent / "shapes"
    if sys.argv[1:2] == ["make"]:
        make(here)
    elif sys.argv[1:2] == ["score"] and len(sys.argv) == 3:
        for kind, value in score(Path(sys.argv[2]), here / "test.npz").items():
            print(f"{kind:<10}{value:.3f}")
    else:
        sys.exit(__doc__)
