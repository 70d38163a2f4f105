"""Which samples are for training and which are held out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...spec.counted import counted
from ...spec.errors import DataError
from ..initialise import generator

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]
    Rows = NDArray[np.int64]


def split(
    count: int,
    fraction: float,
    seed: int,
    labels: Array | None = None,
    *,
    what: str = "sample",
    hint: str = "give more samples or another split",
) -> tuple[Rows, Rows]:
    """The rows for training and for testing, both in their original order.

    `fraction` is the training part; with `labels` every class is split by itself.  `what` is
    divided, and `hint` what to do where there are too few.

    Raises: DataError when one part would be empty.
    """
    if fraction == 1:
        return np.arange(count), np.arange(0)
    random = generator(seed, "split")
    if labels is None:
        held_out = _some(np.arange(count), round(count * (1 - fraction)), random)
    else:
        classes, sizes = np.unique(labels, return_counts=True)
        shares = _shares(sizes, round(count * (1 - fraction)))
        groups = [np.flatnonzero(labels == c) for c in classes]
        pairs = zip(groups, shares, strict=True)
        held_out = np.concatenate([_some(rows, share, random) for rows, share in pairs])
    if not 0 < len(held_out) < count:
        raise DataError(
            f"split={fraction:g} of {counted(count, what)} leaves one part empty", hint=hint
        )
    mask = np.zeros(count, bool)
    mask[held_out] = True
    return np.flatnonzero(~mask), np.flatnonzero(mask)


def divided(settings: Mapping[str, Any]) -> bool:
    """Whether the data line itself says what is held out, whatever test part the files have."""
    return settings["split"] is not None or settings.get("fold") is not None


def parts(samples: int, settings: Mapping[str, Any], labels: Array | None) -> tuple[Rows, Rows]:
    """The rows for training and for testing as the settings of a data line say.

    Raises: DataError.
    """
    if not divided(settings):
        return np.arange(samples), np.arange(0)
    if settings.get("stratify") and labels is None:
        raise DataError("stratify=true needs a field of labels, one for each sample")
    mixed = labels if settings.get("stratify") else None
    if settings.get("fold") is not None:
        number, of = settings["fold"]
        return fold(samples, number, of, settings["seed"], mixed)
    wanted = settings["split"]
    fraction = wanted[0] if isinstance(wanted, list) else wanted
    return split(samples, fraction, settings["seed"], mixed)


def fold(
    count: int, number: int, of: int, seed: int, labels: Array | None = None
) -> tuple[Rows, Rows]:
    """The rows for training, and one of `of` equal parts, counted from 1, that is held out.

    Every row is in one of the parts; with `labels` every part has the same mix of classes.

    Raises: DataError for more parts than samples.
    """
    if of > count:
        raise DataError(f"fold: {count} samples are no {of} parts", hint="ask for fewer parts")
    order = generator(seed, "fold").permutation(count)
    if labels is not None:
        order = order[np.argsort(labels[order], kind="stable")]
    mask = np.zeros(count, bool)
    mask[order[number - 1 :: of]] = True
    return np.flatnonzero(~mask), np.flatnonzero(mask)


def draw(count: int, wanted: int, seed: int) -> Rows:
    """So many of the rows, in their original order."""
    return np.sort(_some(np.arange(count), wanted, generator(seed, "limit")))


def batch_size(
    wanted: int | str, types: Sequence[Any], samples: int, everything: int
) -> tuple[int, bool]:
    """The number of samples in a batch, and whether the types fix it."""
    declared = types[0][1][0]
    batch = samples if wanted == "full" else int(wanted)
    if isinstance(declared, int) and declared != batch:
        raise DataError(
            f"the types declare batches of {declared}, the source gives {batch}",
            hint=f"write batch={declared}, or B in place of {declared}",
        )
    if batch > samples:
        held_out = f" ({everything - samples} more are held out)" if everything > samples else ""
        raise DataError(
            f"batch={batch} is larger than the {counted(samples, 'sample')} for training{held_out}",
            hint="write batch=full to use all of them at once",
        )
    return batch, isinstance(declared, int)


def _some(rows: Rows, wanted: int, random: np.random.Generator) -> Rows:
    return random.permutation(rows)[:wanted]


def _shares(sizes: NDArray[np.int64], wanted: int) -> list[int]:
    """Whole shares of the classes that add up to `wanted`: largest remainders get one more."""
    exact = sizes * (wanted / sizes.sum())
    shares = np.floor(exact).astype(np.int64)
    order = np.argsort(-(exact - shares), kind="stable")
    shares[order[: wanted - int(shares.sum())]] += 1
    return [int(share) for share in shares]
