"""How the answers of a net differ from the truth: confusions of classes, errors of numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..compiler.compile import compile_native, lower_answer
from ..compiler.inner import KIND
from ..spec.errors import UsageError
from .data.conform import IGNORED
from .data.normalise import undo
from .native_engine import NativeEngine
from .predict import opened
from .predictions import LOGITS
from .reference_engine import ReferenceEngine

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .program import CompiledProgram
    from .stream import Part

    Array = NDArray[Any]
    Counts = NDArray[np.int64]

MOST_CLASSES = 4096
"""A table of all pairs has this many rows at most."""


@dataclass(frozen=True, slots=True)
class Confusion:
    """How often each class was taken for each other.

    Shapes: `counts` [true, predicted].  `auc`, of two classes, is the probability that a sample of
    the second has a higher score than one of the first (Hanley & McNeil 1982).  `pixels`: every
    pixel of a mask has a class.
    """

    field: str
    names: tuple[str, ...]
    counts: Counts
    auc: float | None = None
    pixels: bool = False

    @property
    def accuracy(self) -> float:
        """The share of samples that were told right."""
        return _share(self.counts.trace(), self.counts.sum())

    def of(self, kind: int) -> tuple[float, float, float, int]:
        """Precision, recall and F1 of a class, and its number of samples; 0 for 0/0."""
        right = int(self.counts[kind, kind])
        taken, there = int(self.counts[:, kind].sum()), int(self.counts[kind].sum())
        precision, recall = _share(right, taken), _share(right, there)
        return precision, recall, _share(2 * right, taken + there), there

    def overlap(self, kind: int) -> float:
        """Intersection over union: what truth and prediction share, of what is either."""
        right = int(self.counts[kind, kind])
        return _share(right, self.counts[:, kind].sum() + self.counts[kind].sum() - right)

    def means(self) -> tuple[float, float, float]:
        """Precision, recall and F1, every class that has samples weighing the same.

        The mean of the recalls is the balanced accuracy.
        """
        met = self._met()
        rows = np.array([self.of(k)[:3] for k in met]).reshape(-1, 3)
        precision, recall, f1 = rows.mean(axis=0) if met else np.zeros(3)
        return float(precision), float(recall), float(f1)

    def mean_overlap(self) -> float:
        """The mean of the overlaps of all classes that have samples."""
        met = self._met()
        return _share(sum(map(self.overlap, met)), len(met))

    def _met(self) -> list[int]:
        return [k for k in range(len(self.names)) if self.counts[k].any()]

    def mistaken(self, most: int) -> list[tuple[str, str, int]]:
        """The most frequent mistakes: true class, predicted class, how often."""
        wrong = self.counts.copy()
        np.fill_diagonal(wrong, 0)
        order = np.argsort(-wrong, axis=None, kind="stable")[:most]
        pairs = [divmod(int(i), len(self.names)) for i in order]
        return [(self.names[i], self.names[j], int(wrong[i, j])) for i, j in pairs if wrong[i, j]]


@dataclass(frozen=True, slots=True)
class Deviation:
    """How far numbers are off, in the units of the data; one entry a column.

    `r2` is the share of the variance that is explained: 1 is exact, 0 as good as the mean.
    """

    field: str
    rmse: tuple[float, ...]
    mae: tuple[float, ...]
    r2: tuple[float, ...]
    samples: int


def report(
    program: CompiledProgram,
    *,
    root: Path,
    checkpoint: Path,
    part: str = "test",
    field: str | None = None,
    ema: bool | None = None,
) -> Confusion | Deviation:
    """What a checkpoint answers beside the truth, on the part `test` or `train` of the data.

    What is compared is what a loss or metric compares with a `field`: without one, the first.

    Raises: CheckpointError, DataError, UsageError where nothing is compared with the field.
    """
    step, target = _compared(program, field)
    with opened(program.engine, program.artifact, root, checkpoint, part, ema) as (data, held, _):
        pairs = _answers(program, step, target, held)
        known = next(d.statistics for d in data if target in d.names)
        words = known.get("facts", {}).get("classes")
        first, output = next(pairs)
        scores = program.program.steps[step].answers[target].block in LOGITS
        classes, axis = _classes(first, output, words, scores)
        if classes is None:
            shift = known.get("fields", {}).get(target, {})
            every = _chain(first, output, pairs)
            if scores:
                every = ((truth, 1 / (1 + np.exp(-score))) for truth, score in every)
            return _deviation(target, every, shift)
        if classes > MOST_CLASSES:
            text = f"`{target}` has {classes:,} classes: too many for a table of all pairs"
            raise UsageError(text)
        shown = words if words and len(words) == classes else range(classes)
        found = _confusion(target, tuple(map(str, shown)), axis, _chain(first, output, pairs))
        return replace(found, pixels=first.ndim > 2)


def _compared(program: CompiledProgram, field: str | None) -> tuple[str, str]:
    """The step and the field."""
    found: dict[str, str] = {}
    for name, step in program.program.steps.items():
        for compared in step.answers:
            found.setdefault(compared, name)
    if field is None and found:
        field = next(iter(found))
    if field is not None and field in found:
        return found[field], field
    what = f"`{field}`" if field else "a field of the data"
    hint = "name both sides: `logits = x -> net` and `loss = cross_entropy(logits, label)`"
    if found:
        hint = f"compared are {', '.join(found)}"
    raise UsageError(f"no loss or metric compares a value with {what}", hint=hint)


def _answers(
    program: CompiledProgram, step: str, target: str, part: Part
) -> Iterator[tuple[Array, Array]]:
    """The truth and the answer, batch by batch."""
    lowered = lower_answer(program.lowered, step, target)
    engine = (
        ReferenceEngine(lowered)
        if program.target == "reference"
        else NativeEngine(replace(compile_native(lowered), train=None))
    )
    np.copyto(engine.parameters, program.engine.parameters)
    ports = [port.name for port in lowered.entries[0].inputs]
    for index in range(part.count):
        batch = part.batch(index)
        feeds = {name: batch[name] for name in ports}
        (output,) = engine.call(KIND, step, feeds, seed=0, index=0).values()
        yield np.array(batch[target]), np.array(output)


def _chain(truth: Array, output: Array, rest: Iterator[tuple[Array, Array]]) -> Any:
    yield truth, output
    yield from rest


def _classes(truth: Array, output: Array, words: Any, scores: bool) -> tuple[int | None, int]:
    """The number of classes and their axis in the output; none where numbers are compared.

    With `scores`, the output says of each number of the field whether it is 1.

    Raises: UsageError where the output is not an answer for the field.
    """
    shares = truth.dtype.kind == "f" and truth.shape == output.shape and truth.ndim > 1
    if truth.dtype.kind in "iu" and output.ndim == truth.ndim + 1:
        for axis in (output.ndim - 1, 1):
            if (*output.shape[:axis], *output.shape[axis + 1 :]) == truth.shape:
                return output.shape[axis], axis
    elif truth.size == output.size and _is_binary(truth, words, scores):
        return 2, -1
    elif shares and truth.shape[1] > 1 and np.allclose(truth.sum(1), 1):
        return output.shape[1], 1  # shares of the classes, as mixup makes them
    elif truth.size == output.size:
        return None, -1
    raise UsageError(
        f"an output {list(output.shape)} is no answer for a field {list(truth.shape)}",
        hint="a report takes a net that gives a number for each class, or one like the field",
    )


def _is_binary(truth: Array, words: Any, scores: bool) -> bool:
    """Is each label one of two, which one score tells apart?"""
    if words:
        return len(words) == 2
    return truth.dtype.kind in "biu" or (scores and bool(np.isin(truth, (0, 1)).all()))


def _confusion(field: str, names: tuple[str, ...], axis: int, pairs: Any) -> Confusion:
    classes = len(names)
    counts = np.zeros((classes, classes), np.int64)
    scores: list[Array] = []
    labels: list[Array] = []
    for truth, output in pairs:
        one = axis == -1
        guess = (output.reshape(-1) > 0) if one else output.argmax(axis).reshape(-1)
        known = truth.argmax(axis) if truth.shape == output.shape and not one else truth
        label = known.reshape(-1).astype(np.int64)
        kept = (label != IGNORED) & (label >= 0) & (label < classes)
        np.add.at(counts, (label[kept], guess[kept].astype(np.int64)), 1)
        if classes == 2:
            high = output if one else output.take(1, axis) - output.take(0, axis)
            scores.append(high.reshape(-1)[kept])
            labels.append(label[kept])
    auc = _auc(np.concatenate(scores), np.concatenate(labels)) if scores else None
    return Confusion(field, names, counts, auc)


def _auc(scores: Array, labels: Array) -> float | None:
    """The area under the curve of hits against false alarms, ties counted half."""
    ones = int(labels.sum())
    zeros = len(labels) - ones
    if not ones or not zeros:
        return None
    _, place, met = np.unique(scores, return_inverse=True, return_counts=True)
    rank = np.cumsum(met) - (met - 1) / 2
    total = float(rank[place][labels == 1].sum())
    return (total - ones * (ones + 1) / 2) / (ones * zeros)


def _deviation(field: str, pairs: Any, shift: Mapping[str, Any]) -> Deviation:
    truths, answers = [], []
    for truth, output in pairs:
        own = output.reshape(truth.shape).astype(np.float64)
        both = [truth.astype(np.float64), own]
        if "shift" in shift:
            both = [undo(array, shift) for array in both]
        truths.append(both[0].reshape(len(truth), -1))
        answers.append(both[1].reshape(len(truth), -1))
    wanted, given = np.concatenate(truths), np.concatenate(answers)
    if wanted.shape[1] > 64:  # pictures and the like: one number for all of it
        wanted, given = wanted.reshape(-1, 1), given.reshape(-1, 1)
    error = given - wanted
    square = np.square(error).mean(axis=0)
    variance = np.square(wanted - wanted.mean(axis=0)).mean(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        r2 = np.where(variance > 0, 1 - square / variance, np.nan)
    rmse, mae = np.sqrt(square), np.abs(error).mean(axis=0)
    rows = [tuple(map(float, each)) for each in (rmse, mae, r2)]
    return Deviation(field, rows[0], rows[1], rows[2], len(wanted))


def _share(part: float, whole: float) -> float:
    return float(part) / float(whole) if whole else 0.0
