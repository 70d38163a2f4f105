"""The door of training: what is trained, from which start, into which folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from ..compiler.artifact import KEPT
from ..spec.errors import UsageError
from . import checkpoint as files
from .data import Dataset
from .data.shard import Portion, Shard
from .joint import Joint
from .lbfgs import Lbfgs
from .occupied import occupied
from .processes import Processes
from .progress import Progress, Quiet, choose
from .recipe import recipe_of
from .record import Record, same_shard
from .run_folder import LAST, checkpoint_path
from .stepper import Maker
from .stream import Stream, datasets_of
from .training import Training

if TYPE_CHECKING:
    from ..compiler.artifact import Artifact
    from .engine import Engine

STEPPERS: Mapping[str, Maker] = {"lbfgs": Lbfgs}
"""The optimizers that are not generated kernels."""


def train(
    engine: Engine,
    artifact: Artifact,
    *,
    root: Path,
    out: Path,
    resume: bool = False,
    weights: Path | None = None,
    fitting: bool = False,
    epochs: float | None = None,
    steps: int | None = None,
    seed: int | None = None,
    shard: Shard | tuple[int, int] | None = None,
    progress: str | Progress = "auto",
    steppers: Mapping[str, Maker] | None = None,
    processes: Processes | None = None,
    whole: bool = False,
) -> Record:
    """Train as the recipe of the artifact says; data lies below `root`, results go to `out`.

    `resume` goes on with the last checkpoint there; `weights` begins anew with the parameters of a
    checkpoint, with `fitting` those of them that have its names and shapes.  `epochs`, `steps` and
    `seed` override the recipe.  `shard` (k, n) trains with every n-th batch alone.  `progress` is
    auto, plain, quiet or a display of one's own.  `steppers` gives
    optimizers beside or in place of `STEPPERS`.  Of several `processes` each takes its part of
    every batch, and the first one shows and writes; `whole`: gradients of this engine add up.

    Raises: DataError, CheckpointError, DivergenceError, UsageError; DeviceError when a process is
    lost.
    """
    processes = processes or Processes()
    processes.connect(artifact.target)
    if resume and weights is not None:
        raise UsageError("a resumed training has its own weights", hint="leave one of the two out")
    display = choose(progress) if isinstance(progress, str) else progress
    if processes.rank:
        display = Quiet()
    path = checkpoint_path(out, LAST)
    earlier = files.load(path) if resume else None
    datasets = datasets_of(artifact, root, earlier.state["data"] if earlier is not None else ())
    if earlier is not None and seed is None:
        seed = earlier.state["seed"]
    own = same_shard(shard, earlier.state if earlier is not None else None, path)
    if processes.size > 1:
        own = portion(artifact, datasets, processes)
        engine = Joint(engine, processes, whole=whole)
    stream = Stream(datasets, _seed(artifact, seed), own)
    recipe = recipe_of(artifact, stream.count, epochs=epochs, steps=steps, seed=seed)
    training = Training(
        engine, recipe, datasets, stream, out, display, {**STEPPERS, **(steppers or {})}, processes
    )
    with nullcontext() if processes.rank else occupied(out):
        if earlier is not None:
            training.resume(earlier, path)
        else:
            training.begin(weights, fitting=fitting)
        return training.run()


def portion(artifact: Artifact, datasets: Sequence[Dataset], processes: Processes) -> Portion:
    """What a process takes of every batch.

    Raises: UsageError for batches that cannot be divided.
    """
    size = processes.size
    for dataset in datasets:
        whole = dataset.batch == len(next(iter(dataset.train.values())))
        if dataset.fixed:
            raise UsageError(
                f"{dataset.place}: the types fix the batch of {dataset.batch}, which {size} "
                "processes are to divide",
                hint=f"write B in place of {dataset.batch}, here and in the net",
            )
        if dataset.batch % size and not whole:
            raise UsageError(
                f"{dataset.place}: {size} processes cannot divide batch={dataset.batch} evenly",
                hint=f"write batch={max(1, dataset.batch // size) * size}, "
                "or start another number of processes",
            )
    for parameter in artifact.parameters:
        if not parameter.trainable and KEPT in parameter.name:
            raise UsageError(
                f"{parameter.place}: `carry` keeps the states of one process's sequences",
                hint="train with one process, or without carry",
            )
    return Portion(processes.rank, size)


def _seed(artifact: Artifact, seed: int | None) -> int:
    return int((artifact.train or {}).get("seed") or 0) if seed is None else seed
