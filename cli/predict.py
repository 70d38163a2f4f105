"""The outputs of a trained network for the rows of a csv, tsv, npz or npy file or for images; or,
with --activations, pictures of what its layers make of them."""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..spec.counted import counted
from ..spec.errors import UsageError
from .options import add_json, add_spec, add_target, load, print_json
from .runs import add_checkpoint, add_ema, checkpoint
from .table import table

if TYPE_CHECKING:
    from ..runtime.program import CompiledProgram

ROWS, COLUMNS = 20, 24
"""Of so much a table is shown where no file is named."""


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `weft predict`."""
    add_spec(parser)
    parser.add_argument("--input", metavar="FILE", required=True, help="csv, tsv, npz, npy, images")
    parser.add_argument(
        "-o",
        "--output",
        metavar="PATH",
        help="a csv, tsv or npz file; a folder for masks and images as PNG, and for --activations "
        "(default: a table here)",
    )
    parser.add_argument("--net", metavar="NAME", help="which net, where the spec has several")
    parser.add_argument(
        "--whole", action="store_true", help="images in their own sizes, by a net that takes any"
    )
    parser.add_argument(
        "--pad",
        action="store_true",
        help="images in their own sizes, continued by reflection to sizes that the net takes; "
        "masks are cut to the images",
    )
    parser.add_argument(
        "--tile",
        metavar="N",
        type=int,
        help="as --pad, and images larger than N rows or columns in tiles of that size, and their "
        "answers blended: for nets that answer for each pixel",
    )
    parser.add_argument(
        "--overlap",
        metavar="M",
        type=int,
        help="rows and columns that neighbouring tiles share (default: an eighth of a tile)",
    )
    add_checkpoint(parser)
    add_ema(parser)
    add_target(parser)
    add_json(parser)
    maps = parser.add_argument_group("feature maps")
    maps.add_argument(
        "--activations",
        metavar="LAYER",
        nargs="*",
        help="draw what these layers give, a tile for each channel (no LAYER: all that have "
        "rows and columns)",
    )
    maps.add_argument(
        "--rows", metavar="N", type=int, default=4, help="how many inputs (default: the first 4)"
    )
    maps.add_argument(
        "--scale",
        choices=("channel", "layer"),
        default="channel",
        help="black and white are the ends of each channel's range (default), or of the layer's",
    )
    maps.add_argument("--npy", action="store_true", help="write the values as .npy files too")


def run(arguments: argparse.Namespace) -> int:
    """Write the outputs, or the feature maps, for every row of the input."""
    from ..runtime.program import compile

    if arguments.activations is None and arguments.npy:
        raise UsageError("--npy goes with --activations", hint="name the output .npz instead")
    if arguments.activations is not None and arguments.output is None:
        raise UsageError("--activations needs -o", hint="-o FOLDER says where the pictures go")
    if arguments.activations is not None and arguments.tile is not None:
        raise UsageError("--tile is for answers, not for feature maps", hint="leave one out")
    if arguments.rows < 1:
        raise UsageError("--rows counts from 1")
    spec = load(arguments)
    draws = arguments.activations is not None
    on_cpu = draws and arguments.target == "auto"  # where feature maps are made anyway
    program = compile(spec, "cpu" if on_cpu else arguments.target)
    free = not program.artifact.parameters and arguments.checkpoint is None
    path = None if free else checkpoint(spec, arguments.checkpoint)
    return (_draw if draws else _predict)(arguments, program, path)


def _predict(arguments: argparse.Namespace, program: CompiledProgram, path: Path | None) -> int:
    from ..runtime.predict import answers, predict
    from ..runtime.predictions import table_of

    options = _options(arguments, path)
    engine, artifact = program.engine, program.artifact
    if arguments.json and arguments.output is None:
        for piece in answers(engine, artifact, **options).pieces:
            _print_lines(piece.columns())
        return 0
    if arguments.output is not None:
        rows = predict(engine, artifact, out=Path(arguments.output), progress=True, **options)
    else:
        found = answers(engine, artifact, **options)
        rows = found.count
    if arguments.json:
        print_json({"checkpoint": _name(path), "rows": rows, "output": arguments.output})
    elif arguments.output is None:
        print(_shown(table_of(_narrow(found.columns(ROWS))), rows))
    else:
        print(f"{arguments.output}: {counted(rows, 'row')}" + (f" from {path}" if path else ""))
    return 0


def _print_lines(columns: dict[str, Any]) -> None:
    """A line of JSON for each row; what is not finite is null, as JSON has no word for it."""
    for row in range(len(next(iter(columns.values())))):
        values = {name: _finite(each[row].tolist()) for name, each in columns.items()}
        print(json.dumps(values, ensure_ascii=False, allow_nan=False))
    sys.stdout.flush()


def _finite(value: Any) -> Any:
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _narrow(columns: dict[str, Any]) -> dict[str, Any]:
    """Without the scores of many classes, where the class is there."""
    narrow = {n: each for n, each in columns.items() if each.size <= COLUMNS * len(each) // 2}
    return narrow if "class" in columns else columns


def _shown(cells: list[list[str]], count: int) -> str:
    """The first of so many rows, their numbers with four digits."""
    head, *rows = cells
    if len(head) > COLUMNS:
        hint = "-o FILE.csv or FILE.npz keeps them; -o FOLDER draws masks and images"
        raise UsageError(f"each row has {len(head):,} numbers, too many to show", hint=hint)
    lines = table(head, [[_short(cell) for cell in row] for row in rows])
    more = count - len(rows)
    return f"{lines}\n… {more:,} more: -o FILE.csv has all" if more > 0 else lines


def _short(cell: str) -> str:
    try:
        return f"{float(cell):.4g}" if "." in cell or "e" in cell else cell
    except ValueError:
        return cell


def _draw(arguments: argparse.Namespace, program: CompiledProgram, path: Path | None) -> int:
    from .feature_maps import draw_maps

    written = draw_maps(
        program,
        out=Path(arguments.output),
        layers=arguments.activations,
        most=arguments.rows,
        common=arguments.scale == "layer",
        values=arguments.npy,
        **_options(arguments, path),
    )
    if arguments.json:
        print_json({"checkpoint": _name(path), "files": [str(file) for file in written]})
    else:
        print("\n".join(map(str, written)))
    return 0


def _options(arguments: argparse.Namespace, path: Path | None) -> dict[str, Any]:
    """What `runtime.predict.prepare` is told."""
    names = ("net", "ema", "whole", "pad", "tile", "overlap")
    chosen = {name: getattr(arguments, name) for name in names}
    return {"checkpoint": path, "source": Path(arguments.input), **chosen}


def _name(path: Path | None) -> str | None:
    return str(path) if path else None
