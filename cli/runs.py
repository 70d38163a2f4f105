"""Where a training keeps its results, and which checkpoint a command means."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..spec.errors import UsageError

if TYPE_CHECKING:
    from ..spec.load import Spec

IMPORTED = "imported.safetensors"
CHECKPOINTS = ("best.safetensors", "last.safetensors", IMPORTED)


def folder(spec: Spec, out: str | None = None) -> Path:
    """The folder of a run: `--out`, else `runs/<spec>` or `runs/<spec>-<variant>`."""
    return Path(out) if out else Path("runs") / named(spec)


def named(spec: Spec) -> str:
    """What the results of a spec are called: `mlp`, or `mlp-wide` for its variant."""
    name = Path(spec.path).stem
    return f"{name}-{spec.variant}" if spec.variant else name


def add_checkpoint(parser: argparse.ArgumentParser) -> None:
    """`--checkpoint`: a file, or the folder of a run."""
    parser.add_argument(
        "--checkpoint",
        metavar="PATH",
        help="a checkpoint, or the folder of a run (default: runs/NAME); best before last"
        " before imported",
    )


def add_ema(parser: argparse.ArgumentParser) -> None:
    """`--ema`, `--no-ema`: the average of the weights, or the weights."""
    parser.add_argument(
        "--ema",
        action=argparse.BooleanOptionalAction,
        help="use the average of the weights (default: where the checkpoint has one)",
    )


def checkpoint(spec: Spec, given: str | None) -> Path:
    """The checkpoint that the command line means.

    Raises: UsageError when there is none.
    """
    path = folder(spec, given)
    if path.is_file():
        return path
    for name in CHECKPOINTS:
        if (path / "checkpoints" / name).is_file():
            return path / "checkpoints" / name
    raise UsageError(
        f"no checkpoint in `{path}`",
        hint=f"train first: `weft train {spec.path}`, or name the folder of a run",
    )
