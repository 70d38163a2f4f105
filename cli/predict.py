"""The outputs of a trained network for the rows of a csv, tsv, npz or npy file."""

from __future__ import annotations

import argparse
from pathlib import Path

from .options import add_json, add_spec, add_target, load, print_json
from .runs import add_checkpoint, checkpoint


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `weft predict`."""
    add_spec(parser)
    parser.add_argument("--input", metavar="FILE", required=True, help="csv, tsv, npz, npy, images")
    parser.add_argument("-o", "--output", metavar="FILE", required=True, help="csv, tsv or npz")
    parser.add_argument("--net", metavar="NAME", help="which net, where the spec has several")
    add_checkpoint(parser)
    add_target(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Write the outputs for every row of the input."""
    from ..runtime.predict import predict
    from ..runtime.program import compile

    spec = load(arguments)
    path = checkpoint(spec, arguments.checkpoint)
    program = compile(spec, arguments.target)
    rows = predict(
        program.engine,
        program.artifact,
        checkpoint=path,
        source=Path(arguments.input),
        out=Path(arguments.output),
        net=arguments.net,
    )
    if arguments.json:
        print_json({"checkpoint": str(path), "rows": rows, "output": arguments.output})
    else:
        print(f"{arguments.output}: {rows:,} rows from {path}")
    return 0
