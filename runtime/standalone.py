"""The commands of a generated package: `train.py` and `predict.py`, where weft is not installed.

This module and all that it imports are carried along, unchanged, in the package's `support/`: it is
the trainer of weft that trains there.  They import the standard library, NumPy and each other.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..spec.counted import counted
from ..spec.errors import DataError, DeviceError, InternalError, UnheardError, UsageError, WeftError
from . import manifest
from .data.dataset import GENERATED
from .data.shard import shard_of
from .predict import predict
from .processes import launched
from .progress import describe
from .trainer import train

if TYPE_CHECKING:
    from ..compiler.artifact import Artifact
    from .engine import Engine
    from .manifest import Package
    from .record import Record

    Opener = Callable[[Artifact, Callable[[str], None] | None], Engine]

INTERRUPTED = 130

WITHOUT_FILES = ("digits", *GENERATED)
"""Sources that read no file of the user's."""


def train_command(folder: Path, open_engine: Opener, arguments: Sequence[str] | None = None) -> int:
    """`python train.py …`; returns the exit code (0 done, 1 it ran and failed, 2 wrong input)."""
    return guarded("train.py", lambda: _train(folder, open_engine, arguments))


def predict_command(
    folder: Path, open_engine: Opener, arguments: Sequence[str] | None = None
) -> int:
    """`python predict.py …`; returns the exit code."""
    return guarded("predict.py", lambda: _predict(folder, open_engine, arguments))


# ---- training ------------------------------------------------------------------------------------


def _train(folder: Path, open_engine: Opener, arguments: Sequence[str] | None) -> int:
    options = _train_options().parse_args(arguments)
    _plausible(options)
    package = open_package(folder, options)
    out = Path(options.out) if options.out else runs_of(package)
    data = Path(options.data) if options.data else package.data
    if options.data and not data.is_dir():
        raise UsageError(f"--data {data}: there is no such folder")
    try:
        with blaming_edits(package), launched(alone=options.shard is not None) as processes:
            processes.connect(package.artifact.target)
            record = train(
                engine_of(package, open_engine, quiet=options.quiet),
                _with_bundles(package, elsewhere=bool(options.data)),
                root=data,
                out=out,
                resume=options.resume,
                epochs=options.epochs,
                steps=options.steps,
                seed=options.seed,
                shard=None if options.shard is None else shard_of(options.shard),
                progress="quiet" if options.quiet else "auto",
                processes=processes,
            )
    except DataError as error:
        raise _where_data_lies(error, package, data) from None
    if not processes.rank:
        print(_ending(record, out))
    return INTERRUPTED if record.interrupted else 0


def _train_options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="train.py", description="Train the network of this package.", allow_abbrev=False
    )
    parser.add_argument("--out", metavar="DIR", help="where results go (default: runs/NAME)")
    parser.add_argument(
        "--resume", action="store_true", help="go on from the last checkpoint there"
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--epochs", type=float, metavar="N", help="so many, whatever the spec says")
    length.add_argument("--steps", type=int, metavar="N", help="so many, whatever the spec says")
    parser.add_argument("--seed", type=int, metavar="N", help="this seed, whatever the spec says")
    parser.add_argument(
        "--data", metavar="ROOT", help="the folder that holds the data files of the spec"
    )
    parser.add_argument(
        "--shard", metavar="K/N", help="every N-th batch of the data, from the K-th on (from 0)"
    )
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    return editable(parser)


def editable(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument(
        "--allow-edited", action="store_true", help="run although files of the package were changed"
    )
    return parser


def _plausible(options: argparse.Namespace) -> None:
    """Raises: UsageError for counts that are none."""
    for name in ("epochs", "steps"):
        count = getattr(options, name)
        if count is not None and not (math.isfinite(count) and count > 0):
            raise UsageError(f"--{name} {count:g}: more than 0 are needed")
    if options.seed is not None and not 0 <= options.seed < 2**32:
        raise UsageError(f"--seed {options.seed}: from 0 to 4294967295")


def _with_bundles(package: Package, *, elsewhere: bool) -> Artifact:
    """The artifact with data lines that know what of them lies in the package.

    `elsewhere`: the user has named a folder, so what can be read from files comes from there.
    """
    artifact = package.artifact
    if artifact.train is None:
        return artifact
    lines: list[Mapping[str, Any]] = list(artifact.train.get("data") or ())
    for number, bundle in package.bundled.items():
        line = lines[number]
        if not elsewhere or line["source"] in WITHOUT_FILES:
            path = str(package.folder / bundle["file"])
            lines[number] = {**line, "bundle": {**bundle, "path": path}}
    return replace(artifact, train={**artifact.train, "data": lines})


def _where_data_lies(error: DataError, package: Package, data: Path) -> DataError:
    """The error, with the folder in which files were looked for."""
    lines = (package.artifact.train or {}).get("data") or ()
    if all(line["source"] in WITHOUT_FILES for line in lines):
        return error
    there = f"data is read from `{data}`{'' if data.is_dir() else ', which does not exist'}"
    said = f"{error.hint}; " if error.hint and data.is_dir() else ""
    return DataError(error.message, hint=f"{said}{there}; --data ROOT names another folder")


def _ending(record: Record, out: Path) -> str:
    how = "interrupted after" if record.interrupted else "trained"
    why = ", stopped early" if record.stopped_early else ""
    lines = [f"{how} {counted(record.step, 'step')} in {record.seconds:.3g} s{why}"]
    lines += [f"  {describe({'part': part, **values})}" for part, values in record.metrics.items()]
    lines += [f"  {path}" for path in record.paths.values()]
    if record.interrupted:
        lines.append(f"go on with --out {out} --resume")
    return "\n".join(lines)


# ---- prediction ----------------------------------------------------------------------------------


def _predict(folder: Path, open_engine: Opener, arguments: Sequence[str] | None) -> int:
    parser = argparse.ArgumentParser(
        prog="predict.py",
        description="The outputs of the trained network for the rows of a file.",
        allow_abbrev=False,
    )
    parser.add_argument("--input", metavar="FILE", required=True, help="csv, tsv, npz, npy, images")
    parser.add_argument(
        "-o", "--output", metavar="PATH", required=True, help="csv, tsv, npz, or a folder"
    )
    parser.add_argument("--net", metavar="NAME", help="which net, where there are several")
    parser.add_argument(
        "--whole", action="store_true", help="images in their own sizes, by a net that takes any"
    )
    parser.add_argument(
        "--pad", action="store_true", help="continue them to sizes that the net takes"
    )
    parser.add_argument("--tile", metavar="N", type=int, help="larger ones in tiles of N pixels")
    parser.add_argument("--overlap", metavar="M", type=int, help="pixels that tiles share")
    parser.add_argument(
        "--checkpoint",
        metavar="PATH",
        help="a checkpoint, or the folder of a run (default: runs/NAME); best before last",
    )
    options = editable(parser).parse_args(arguments)
    package = open_package(folder, options)
    path = checkpoint_in(Path(options.checkpoint) if options.checkpoint else runs_of(package))
    with blaming_edits(package):
        rows = predict(
            engine_of(package, open_engine),
            package.artifact,
            checkpoint=path,
            source=Path(options.input),
            out=Path(options.output),
            net=options.net,
            whole=options.whole,
            pad=options.pad,
            tile=options.tile,
            overlap=options.overlap,
            progress=True,
        )
    print(f"{options.output}: {counted(rows, 'row')} from {path}")
    return 0


def checkpoint_in(path: Path) -> Path:
    """The checkpoint that a path means: itself, or the best one of a run."""
    names = ("best.safetensors", "last.safetensors")
    found = [path, *(path / "checkpoints" / name for name in names)]
    for choice in found:
        if choice.is_file():
            return choice
    raise UsageError(
        f"no checkpoint in `{path}`", hint="train first, or name one with --checkpoint"
    )


# ---- both ----------------------------------------------------------------------------------------


def open_package(folder: Path, options: argparse.Namespace) -> Package:
    package = manifest.read(folder, allow_edited=options.allow_edited)
    if package.edited:
        print(f"edited since weft wrote it: {', '.join(package.edited)}", file=sys.stderr)
    return package


def engine_of(package: Package, open_engine: Opener, *, quiet: bool = True) -> Engine:
    """The kernels; each file of them is built when one of its functions is first called."""

    def tell(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    return open_engine(package.artifact, None if quiet else tell)


@contextmanager
def blaming_edits(package: Package) -> Iterator[None]:
    """Raises: DeviceError when kernels that were edited do not compile."""
    try:
        yield
    except InternalError as error:
        if not package.edited:
            raise
        message = f"the edited kernels do not compile: {error.message}\n{error.around}"
        raise DeviceError(message.rstrip()) from None


def runs_of(package: Package) -> Path:
    name = package.artifact.name
    return Path("runs") / (f"{name}-{package.variant}" if package.variant else name)


def guarded(command: str, action: Callable[[], int]) -> int:
    """Run the action; what goes wrong becomes one message and an exit code."""
    try:
        return action()
    except UnheardError as error:
        return error.exit_code
    except WeftError as error:
        code, text = error.exit_code, str(error)
    except KeyboardInterrupt:
        code, text = INTERRUPTED, "interrupted"
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        code, text = 1, f"{error.strerror or error}{where}"
    print(f"{command}: error: {text}", file=sys.stderr, flush=True)
    return code
