"""The door of training: what is trained, from which start, into which folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..spec.errors import UsageError
from . import checkpoint as files
from .data.shard import Shard
from .lbfgs import Lbfgs
from .occupied import occupied
from .progress import Progress, choose
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
) -> Record:
    """Train as the recipe of the artifact says; data lies below `root`, results go to `out`.

    `resume` goes on with the last checkpoint there; `weights` begins anew with the parameters of a
    checkpoint, with `fitting` those of them that have its names and shapes.  `epochs`, `steps` and
    `seed` override the recipe.  `shard` (k, n) trains with every n-th batch alone.  `progress` is
    auto, plain, quiet or a display of one's own.  `steppers` gives
    optimizers beside or in place of `STEPPERS`.

    Raises: DataError, CheckpointError, DivergenceError, UsageError.
    """
    if resume and weights is not None:
        raise UsageError("a resumed training has its own weights", hint="leave one of the two out")
    display = choose(progress) if isinstance(progress, str) else progress
    path = checkpoint_path(out, LAST)
    earlier = files.load(path) if resume else None
    datasets = datasets_of(artifact, root, earlier.state["data"] if earlier is not None else ())
    if earlier is not None and seed is None:
        seed = earlier.state["seed"]
    stream = Stream(
        datasets,
        _seed(artifact, seed),
        same_shard(shard, earlier.state if earlier is not None else None, path),
    )
    recipe = recipe_of(artifact, stream.count, epochs=epochs, steps=steps, seed=seed)
    training = Training(
        engine, recipe, datasets, stream, out, display, {**STEPPERS, **(steppers or {})}
    )
    with occupied(out):
        if earlier is not None:
            training.resume(earlier, path)
        else:
            training.begin(weights, fitting=fitting)
        return training.run()


def _seed(artifact: Artifact, seed: int | None) -> int:
    return int((artifact.train or {}).get("seed") or 0) if seed is None else seed
