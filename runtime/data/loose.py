"""Images of which nothing is known, for a network that was trained on pictures."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...spec.errors import DataError
from .decode import SUFFIXES, head
from .image_files import ImageFiles, image_files, listed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]
    Head = tuple[int, int, bool]

PLAIN = {"size": None, "fit": "crop", "resize": None, "colour": None, "upright": False}
"""Settings of sources that read no images."""

READERS = 4
"""Threads that decode, at most; Pillow lets others work meanwhile."""


def is_pictures(source: Path) -> bool:
    """Whether this is an image or a folder."""
    return source.is_dir() or source.suffix.lower() in SUFFIXES


@dataclass(frozen=True, slots=True)
class Loose:
    """Images by their names below `root`, in this order; the `heads` of all of them were seen.

    `settings` say how they are fitted: to one size, or none where each keeps its own.  Black and
    white become `low` and `high`.
    """

    root: Path
    names: tuple[str, ...]
    heads: tuple[Head, ...]
    settings: Mapping[str, Any]
    low: float
    high: float

    def batches(self, most: Callable[[int], int]) -> Iterator[tuple[tuple[str, ...], Array]]:
        """The names and pixels [N, C, H, W] of those that follow each other and have one size; at
        most so many as `most` says of an image of so many elements.

        They are decoded while those before are worked on.

        Raises: DataError for one that cannot be read.
        """
        waiting: deque[tuple[tuple[str, ...], list[Future[Array]]]] = deque()
        pool = _readers()
        try:
            for files in self._alike():
                for rows in _parts(len(files), most(int(np.prod(files.planes[0].shape)))):
                    read = [pool.submit(self._read, files, row) for row in rows]
                    waiting.append((files.names[rows.start : rows.stop], read))
                    if len(waiting) > 1:
                        yield _stacked(*waiting.popleft())
            while waiting:
                yield _stacked(*waiting.popleft())
        finally:
            pool.shutdown(cancel_futures=True)

    def _alike(self) -> Iterator[ImageFiles]:
        """Those that become one size: all of them, or neighbours that have the same."""
        begin, count = 0, len(self.names)
        while begin < count:
            end, sides = begin + 1, self.heads[begin][:2]
            while end < count and (self.settings["size"] or self.heads[end][:2] == sides):
                end += 1
            names, heads = list(self.names[begin:end]), list(self.heads[begin:end])
            yield image_files(self.root, names, self.settings, heads=heads)
            begin = end

    def _read(self, files: ImageFiles, row: int) -> Array:
        scale = np.float32((self.high - self.low) / 255)
        pixels: Array = files.read(row)[0] * scale + np.float32(self.low)
        return pixels


def loose(
    source: Path, settings: Mapping[str, Any], shape: Sequence[Any], *, whole: bool = False
) -> Loose:
    """An image, or those of a folder, fitted as in training to the shape that the network takes;
    `whole`: in their own sizes.

    Raises: DataError where there is none, or one is no image.
    """
    place = source.resolve()
    names = listed(place, place.name) if place.is_dir() else [place.name]
    if not names:
        raise DataError(f"`{source}` holds no images")
    chosen = _chosen(settings, shape)
    if whole:
        chosen |= {"size": None, "resize": None}
    upright = bool(chosen["upright"])
    heads: list[Head] = []
    with _readers() as pool:
        for rows in _parts(len(names), 1024):
            some = names[rows.start : rows.stop]
            heads += pool.map(lambda name: head(place.parent / name, name, upright), some)
    low, high = settings.get("range", (0, 1))
    return Loose(place.parent, tuple(names), tuple(heads), chosen, low, high)


def _readers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(min(READERS, os.cpu_count() or 1))


def _parts(count: int, most: int) -> Iterator[range]:
    for begin in range(0, count, most):
        yield range(begin, min(count, begin + most))


def _stacked(names: tuple[str, ...], read: Sequence[Future[Array]]) -> tuple[Any, Array]:
    return names, np.stack([each.result() for each in read])


def _chosen(settings: Mapping[str, Any], shape: Sequence[Any]) -> dict[str, Any]:
    """How images are fitted to what the network takes."""
    chosen = {name: settings.get(name, value) for name, value in PLAIN.items()}
    if len(shape) == 4 and isinstance(shape[1], int):
        chosen["colour"] = shape[1] == 3
    if len(shape) == 4 and all(isinstance(side, int) for side in shape[2:]):
        chosen["size"] = list(shape[2:])
    return chosen
