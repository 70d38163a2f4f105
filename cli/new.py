"""Write a starter spec with a small data file; `weft train` runs it at once."""

from __future__ import annotations

import argparse
import math
import random
from pathlib import Path

from ..spec.errors import SpecError, UsageError
from ..spec.read_weft import read_weft
from . import schema

SPEC = """\
# Which arm of a spiral does a point lie on? A small network, ready to train: `weft train {file}`
param hidden=32, classes=3

net {name} {{
  in x: f32[B, 2]
  x -> linear(hidden) -> tanh -> linear(hidden) -> tanh -> linear(classes) as logits
}}

train {{
  epochs = 100
  seed = 0
  data x: f32[B, 2], arm: i32[B] = csv("spirals.csv", target="arm", split=[0.8, 0.2],
    batch=64)
  step main updates {name} {{
    optimizer = adamw(lr=cosine(1e-2, warmup=2), weight_decay=1e-3)
    logits = x -> {name}
    loss = cross_entropy(logits, arm)
    metric accuracy = accuracy(logits, arm)
  }}
}}
"""

README = """\
# {name}

    weft check {file}                    shapes, parameters, FLOPs, memory; or errors
    weft train {file} --out runs/first   trains, and keeps metrics and checkpoints in runs/first
    weft show {file} --format svg        draws the network
    weft compile {file} -o build         the generated kernels, and a trainer that needs no weft

`spirals.csv` holds 900 points (`x`, `y`) on three arms of a spiral. Put your own file in its place,
name its column in `target=`, and change `f32[B, 2]` to the number of its other columns.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `weft new`."""
    parser.add_argument(
        "name", metavar="NAME", help="the folder to make; its last part names the net"
    )
    parser.add_argument(
        "--yaml", action="store_true", help="write the spec as YAML, with its schema"
    )


def run(arguments: argparse.Namespace) -> int:
    """Make the folder with spec, data and README; never overwrites anything."""
    folder = Path(arguments.name)
    name = folder.name.replace("-", "_")
    file = f"{name}.yaml" if arguments.yaml else f"{name}.weft"
    spec = _spec(name, file)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} exists and is not empty", hint="choose another name")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / file).write_text(spec, encoding="utf-8")
    (folder / "spirals.csv").write_text(_spirals(), encoding="utf-8")
    if arguments.yaml:
        (folder / schema.FILE).write_text(schema.schema_text(), encoding="utf-8")
    (folder / "README.md").write_text(README.format(name=name, file=file), encoding="utf-8")
    print(f"{folder / file}: the spec\n{folder / 'spirals.csv'}: its data\n{folder / 'README.md'}")
    print(f"next: weft check {folder / file}; weft train {folder / file}")
    return 0


def _spec(name: str, file: str) -> str:
    """The text of the spec in the form that its file's name asks for."""
    text = SPEC.format(name=name, file=file)
    try:
        tree = read_weft(text, f"{name}.weft")
    except SpecError as error:
        raise UsageError(
            f"`{name}` cannot name a network",
            hint="use letters, digits and `_`, no reserved word: `weft new first_net`",
        ) from error
    if file.endswith(".weft"):
        return text
    from ..spec.format import write_yaml

    return schema.MODELINE + write_yaml(tree)


def _spirals(points: int = 300, arms: int = 3) -> str:
    """A table of points on the arms of a spiral, slightly out of place; always the same."""
    chance = random.Random(0)
    rows = ["x,y,arm"]
    for i in range(points):
        for arm in range(arms):
            radius = (i + 0.5) / points
            angle = 2 * math.pi * arm / arms + 4 * radius + chance.gauss(0, 0.12)
            rows.append(f"{radius * math.cos(angle):.5f},{radius * math.sin(angle):.5f},{arm}")
    return "\n".join(rows) + "\n"
