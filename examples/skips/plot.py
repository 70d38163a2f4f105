"""Loss curves with and without ways round the layers, from the tables that training writes.

    weft train examples/skips/resnet.weft
    weft train examples/skips/resnet.weft --variant plain
    weft train examples/skips/densenet.weft
    weft train examples/skips/densenet.weft --variant plain
    python examples/skips/plot.py runs curves.png

Needs matplotlib: `pip install weft[plot]`.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

STYLES = {
    "resnet": ("ResNet", "C0", "-"),
    "resnet-plain": ("the same without skips", "C0", "--"),
    "densenet": ("DenseNet", "C1", "-"),
    "densenet-plain": ("a chain of as many layers", "C1", "--"),
}


def curve(run: Path, part: str = "train") -> tuple[list[float], list[float]]:
    """Epochs and losses of one part of a run."""
    with (run / "metrics.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["part"] == part]
    return [float(row["epoch"]) for row in rows], [float(row["loss"]) for row in rows]


def plot(runs: Path, out: Path) -> None:
    """All four training losses in one picture."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 3.6), dpi=100)
    for name, (label, colour, style) in STYLES.items():
        axes.plot(*curve(runs / name), style, color=colour, label=label)
    axes.set(xlabel="epoch", ylabel="training loss", yscale="log")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize="small")
    figure.tight_layout()
    figure.savefig(out)


if __name__ == "__main__":
    plot(Path(sys.argv[1]), Path(sys.argv[2]))
