"""The loss and the metrics of a trained network on its held-out data."""

from __future__ import annotations

import argparse
from pathlib import Path

from .options import add_json, add_spec, add_target, load, print_json
from .runs import add_checkpoint, add_ema, checkpoint


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `weft eval`."""
    add_spec(parser)
    add_checkpoint(parser)
    add_ema(parser)
    add_target(parser)
    parser.add_argument(
        "--part", choices=("test", "train"), default="test", help="of the data (default: test)"
    )
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Evaluate a checkpoint."""
    from ..runtime.predict import evaluate
    from ..runtime.program import compile

    spec = load(arguments)
    path = checkpoint(spec, arguments.checkpoint)
    program = compile(spec, arguments.target)
    root = Path(spec.path).resolve().parent
    found = evaluate(
        program.engine,
        program.artifact,
        root=root,
        checkpoint=path,
        part=arguments.part,
        ema=arguments.ema,
    )
    if arguments.json:
        print_json({"checkpoint": str(path), "part": arguments.part, "metrics": found})
    else:
        width = max(map(len, found))
        print(f"{path}, {arguments.part} data")
        print("\n".join(f"  {name:<{width}}  {value:.6g}" for name, value in found.items()))
    return 0
