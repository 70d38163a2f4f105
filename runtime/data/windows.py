"""Windows of a text: so many tokens, and for each of them the one that follows.

Nothing is copied but what a batch holds: a text may be larger than the memory.  A window is where
it begins and how many of its tokens count.  In training windows that run across documents begin at
another offset in every epoch, so that a token is not always seen with the same ones before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...spec.errors import DataError
from ..initialise import generator
from .batches import aligned, order
from .conform import IGNORED
from .shard import WHOLE, Shard

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .covering import Covering

    Array = NDArray[Any]
    Batch = dict[str, Array]
    Rows = NDArray[np.int64]

FIELDS = ("tokens", "next", "documents")
"""What a window has, in the order of the data line."""


@dataclass(frozen=True, slots=True)
class Text:
    """Documents one after the other, as numbers.

    Shapes: `numbers` [N], in memory or in a file; `starts` [documents], where each begins.
    """

    numbers: Array
    starts: Rows

    def part(self, begin: int, end: int) -> Text:
        """The numbers from here to there, and the documents in them."""
        inner = self.starts[(self.starts > begin) & (self.starts < end)] - begin
        return Text(self.numbers[begin:end], np.concatenate([np.zeros(1, np.int64), inner]))

    def documents(self, rows: Rows) -> Text:
        """Some of the documents."""
        ends = np.append(self.starts[1:], len(self.numbers))
        sizes = ends[rows] - self.starts[rows]
        numbers = np.concatenate(
            [self.numbers[self.starts[row] : ends[row]] for row in rows.tolist()]
        )
        return Text(numbers, np.cumsum(sizes) - sizes)


@dataclass(frozen=True, slots=True)
class Windows:
    """The windows of one part of a text.

    Shapes: `begins` and `counts` [windows]: the first token, and how many count, at most `length`.
    `room`: all windows may begin so many tokens later.  `rest` stands where nothing counts.
    """

    text: Text
    begins: Rows
    counts: Rows
    length: int
    room: int
    rest: int

    def __len__(self) -> int:
        return len(self.begins)

    def keep(self, rows: Rows) -> Windows:
        """Some of the windows."""
        return Windows(
            self.text, self.begins[rows], self.counts[rows], self.length, self.room, self.rest
        )

    def look(self, rows: Rows, later: int, out: Mapping[str, Array]) -> None:
        """Write windows, and those of their fields that `out` has, into the first rows of it.

        Shapes: every array of `out` [at least rows, length].
        """
        numbers, count = self.text.numbers, len(rows)
        places = np.arange(self.length)
        begins = self.begins[rows] + later
        index = begins[:, None] + places
        beyond = places >= self.counts[rows][:, None]
        padded = bool(beyond.any())
        last = len(numbers) - 1
        for field, array in out.items():
            view = array[:count]
            if field == "documents":
                view[...] = self._numbered(index)
            else:
                step = 1 if field == "next" else 0
                view[...] = numbers[np.minimum(index + step, last) if padded else index + step]
            if padded:
                view[beyond] = {"tokens": self.rest, "next": IGNORED, "documents": -1}[field]

    def _numbered(self, index: Rows) -> Rows:
        """The documents of a window, counted from 0."""
        found = np.searchsorted(self.text.starts, index, side="right")
        return found - found[:, :1]


def across(text: Text, length: int, *, moving: bool) -> Windows:
    """Windows that run across documents, one after the other; what does not fill one is left out.

    `moving` keeps room for an offset.  Raises: DataError for a text that fills none.
    """
    count = len(text.numbers)
    if count <= length:
        raise DataError(
            f"the text has {count:,} tokens, and a window of {length:,} needs {length + 1:,}",
            hint=f"write length={max(1, count - 1)} at most, or give more text",
        )
    windows = max(1, (count - length) // length) if moving else (count - 1) // length
    room = min(length - 1, count - 1 - windows * length) if moving else 0
    begins = np.arange(windows, dtype=np.int64) * length
    return Windows(text, begins, np.full(windows, length, np.int64), length, room, 0)


def within(text: Text, length: int, rest: int) -> Windows:
    """Windows inside of documents; the last one of each has places that do not count.

    Raises: DataError where every document is a single token.
    """
    ends = np.append(text.starts[1:], len(text.numbers))
    begins, counts = [], []
    for start, end in zip(text.starts.tolist(), ends.tolist(), strict=True):
        for begin in range(start, end - 1, length):
            begins.append(begin)
            counts.append(min(length, end - 1 - begin))
    if not begins:
        raise DataError("no document has two tokens, so none of them follows another")
    return Windows(text, np.array(begins), np.array(counts), length, 0, rest)


class WindowBatches:
    """Batches of windows: any one of them, at once, from the seed and its number alone.

    `fields` are the names on the data line with their dtypes, in the order of `FIELDS`.  Without a
    `seed` windows come in their own order, each at its own place.  With `covering` the second field
    holds the tokens that are covered in the first.
    """

    def __init__(
        self,
        windows: Windows,
        fields: Mapping[str, np.dtype[Any]],
        batch: int,
        *,
        shuffle: bool = False,
        drop: bool = False,
        seed: int | None = None,
        covering: Covering | None = None,
        shard: Shard = WHOLE,
    ) -> None:
        self._covering = covering
        self.samples = len(windows)
        self.batch = min(batch, self.samples)
        self._all = self.samples // batch if drop else -(-self.samples // batch)
        self.count = shard.count(self._all, drop=drop)
        self._shard = shard
        self._windows, self._seed, self._shuffle = windows, seed, shuffle
        self._fields = tuple(fields)
        shape = (self.batch, windows.length)
        self._buffers = {name: aligned(shape, dtype) for name, dtype in fields.items()}
        self._slots = dict(zip(FIELDS, self._buffers.values(), strict=False))
        self._epoch = -1
        self._order: Rows = np.arange(self.samples)
        self._later = 0

    def at(self, epoch: int, index: int) -> Batch:
        """Batch `index` of an epoch, both from 0; it is valid until the next call."""
        if self._shuffle and self._seed is not None and epoch != self._epoch:
            self._order = order(self._seed, self._fields, epoch, self.samples)
            room = self._windows.room
            random = generator(self._seed, "offset", *self._fields, epoch)
            self._later = int(random.integers(room + 1))
            self._epoch = epoch
        begin = self._shard.at(index, self._all) * self.batch
        rows = self._order[begin : begin + self.batch]
        rows = rows[self._shard.rows(len(rows))]
        self._windows.look(rows, self._later, self._slots)
        if self._covering is not None and "next" in self._slots:
            tokens, answers = (self._slots[name][: len(rows)] for name in ("tokens", "next"))
            self._covering.cover(tokens, answers, rows, self._seed, epoch)
        return {name: buffer[: len(rows)] for name, buffer in self._buffers.items()}

    def size(self, index: int) -> int:
        """The number of samples in batch `index`, those of other processes included."""
        return min(self.batch, self.samples - self._shard.at(index, self._all) * self.batch)
