"""Train a spec; metrics and checkpoints go to a folder, Ctrl-C saves and `--resume` goes on."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..compiler.report import report
from ..spec.counted import counted
from ..spec.errors import UsageError
from . import check, sweep
from .main import INTERRUPTED
from .options import add_json, add_spec, add_target, load, print_json
from .runs import folder
from .table import seconds_text, table

if TYPE_CHECKING:
    from ..compiler.lowered import Lowered
    from ..runtime.data.shard import Shard
    from ..runtime.processes import Processes
    from ..runtime.record import Record


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `weft train`."""
    add_spec(parser)
    add_target(parser)
    parser.add_argument("-o", "--out", metavar="DIR", help="where results go (default: runs/NAME)")
    parser.add_argument(
        "--resume", action="store_true", help="go on from the last checkpoint there"
    )
    parser.add_argument(
        "--weights",
        metavar="FILE",
        help="begin with the parameters of this checkpoint, as fine-tuning does",
    )
    parser.add_argument(
        "--fitting",
        action="store_true",
        help="with --weights: take the parameters that have its names and shapes, leave others "
        "fresh",
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--epochs", type=float, metavar="N", help="so many, whatever the spec says")
    length.add_argument("--steps", type=int, metavar="N", help="so many, whatever the spec says")
    parser.add_argument("--seed", type=int, metavar="N", help="this seed, whatever the spec says")
    parser.add_argument(
        "--shard", metavar="K/N", help="every N-th batch of the data, from the K-th on (from 0)"
    )
    parser.add_argument(
        "--sync",
        action="store_true",
        help="of several processes: batch statistics and losses are those of the whole batch",
    )
    parser.add_argument(
        "--tensorboard", action="store_true", help="event files for TensorBoard, in DIR/tensorboard"
    )
    sweep.configure(parser)
    parser.add_argument("--quiet", action="store_true", help="no table, no progress")
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Train, and say what came out and where it lies."""
    from ..runtime.data.shard import shard_of
    from ..runtime.processes import launched
    from ..runtime.tensorboard import writer

    _plausible(arguments)
    if arguments.tensorboard:
        writer()
    shard = None if arguments.shard is None else shard_of(arguments.shard)
    with launched(alone=shard is not None) as processes:
        return _train(arguments, shard, processes)


def _train(arguments: argparse.Namespace, shard: Shard | None, processes: Processes) -> int:
    """Train as one of these processes, of which the first one speaks."""
    from ..runtime.program import compile

    silent = arguments.quiet or arguments.json or bool(processes.rank)
    options = {
        "resume": arguments.resume,
        "weights": Path(arguments.weights) if arguments.weights else None,
        "fitting": arguments.fitting,
        "epochs": arguments.epochs,
        "steps": arguments.steps,
        "seed": arguments.seed,
        "shard": shard,
        "tensorboard": arguments.tensorboard,
        "progress": "quiet" if silent else "auto",
        "processes": processes,
        "sync": arguments.sync,
    }
    if arguments.sweep or arguments.average:
        if processes.size > 1:
            raise UsageError(
                "a sweep is trained by one process", hint="start it without a launcher"
            )
        return sweep.sweep(arguments, options)
    program = compile(load(arguments), arguments.target, seed=arguments.seed)
    out = folder(program.spec, arguments.out)
    if not silent:
        print(check.text(report(program.program)))
        print(f"target      {program.target}")
        if processes.size > 1:
            print(f"processes   {processes.size}, each with its part of every batch")
            if not arguments.sync:
                print(_of_a_part(program.lowered), end="")
        print(flush=True)
    record = program.train(out, **options)
    if processes.rank:
        return INTERRUPTED if record.interrupted else 0
    if arguments.json:
        print_json(_as_json(record, out))
    else:
        alone = f"weft train {arguments.file} --out {out}"
        again = alone if processes.size == 1 else "the same command and"
        print(_as_text(record, out, again))
    return INTERRUPTED if record.interrupted else 0


def _of_a_part(lowered: Lowered) -> str:
    """A line that names what the processes compute of their parts, if there is something."""
    from ..compiler.joined import of_parts

    try:
        found = ", ".join(of_parts(lowered))
    except UsageError as error:
        return f"of a part   {error.message}\n"
    return f"of a part   {found}; --sync takes the whole batch\n" if found else ""


def _plausible(arguments: argparse.Namespace) -> None:
    """Raises: UsageError for counts that are none, and options that need another."""
    if arguments.fitting and not arguments.weights:
        raise UsageError("--fitting says how to take --weights FILE", hint="add --weights")
    for name in ("epochs", "steps"):
        count = getattr(arguments, name)
        if count is not None and not (math.isfinite(count) and count > 0):
            raise UsageError(f"--{name} {count:g}: more than 0 are needed")
    if arguments.seed is not None and not 0 <= arguments.seed < 2**32:
        raise UsageError(f"--seed {arguments.seed}: from 0 to 4294967295")


def _as_json(record: Record, out: Path) -> dict[str, Any]:
    return {
        "out": str(out),
        "metrics": {part: dict(values) for part, values in record.metrics.items()},
        "best": dict(record.best) if record.best else None,
        "steps": record.step,
        "epochs": record.epochs,
        "seconds": record.seconds,
        "interrupted": record.interrupted,
        "stopped_early": record.stopped_early,
        "paths": {name: str(path) for name, path in record.paths.items()},
        "notes": list(record.notes),
    }


def _as_text(record: Record, out: Path, again: str) -> str:
    how = "interrupted after" if record.interrupted else "trained"
    why = ", stopped early" if record.stopped_early else ""
    took = seconds_text(record.seconds)
    steps, epochs = counted(record.step, "step"), counted(record.epochs, "epoch")
    lines = [f"{how} {steps} ({epochs}) in {took}{why}"]
    names = list(dict.fromkeys(name for values in record.metrics.values() for name in values))
    if names:
        rows = [
            (part, *(f"{values[n]:.4g}" if n in values else "" for n in names))
            for part, values in record.metrics.items()
        ]
        lines += ["", table(("", *names), rows, align="<" + ">" * len(names)), ""]
    if record.best:
        best = record.best
        lines.append(f"best        {best['monitor']} {best['value']:.4g} at step {best['step']:,}")
    lines.append(f"results     {out}")
    lines += [f"  {name:<10}{path}" for name, path in record.paths.items()]
    if record.interrupted:
        lines.append(f"go on with  {again} --resume")
    return "\n".join(lines)
