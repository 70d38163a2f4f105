"""The loss and the metrics of a trained network on its held-out data; with --report, precision,
recall, F1 (of pixels: Dice and IoU) and confusions of classes, or the errors of numbers."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..spec.errors import UsageError
from .judged import as_json, as_text
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
    parser.add_argument(
        "--report",
        action="store_true",
        help="compare the answers with the data: a table for classes or for numbers",
    )
    parser.add_argument(
        "--field", metavar="NAME", help="of the data, for --report (default: the loss's)"
    )
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Evaluate a checkpoint."""
    from ..runtime.judgement import report
    from ..runtime.predict import evaluate
    from ..runtime.program import compile

    if arguments.field and not arguments.report:
        raise UsageError("--field says what --report looks at", hint="add --report")
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
    judged = None
    if arguments.report:
        judged = report(
            program,
            root=root,
            checkpoint=path,
            part=arguments.part,
            field=arguments.field,
            ema=arguments.ema,
        )
    if arguments.json:
        answer = {"checkpoint": str(path), "part": arguments.part, "metrics": found}
        print_json(answer | ({"report": as_json(judged)} if judged else {}))
    else:
        width = max(map(len, found))
        print(f"{path}, {arguments.part} data")
        print("\n".join(f"  {name:<{width}}  {value:.6g}" for name, value in found.items()))
        if judged is not None:
            print("", as_text(judged), sep="\n")
    return 0
