"""Several rows of numbers as one, each where it lies: in files that are mapped, not read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


class Joined:
    """Acts as the array [N] of its pieces one after the other: lengths, slices, numbers by index.

    A slice copies nothing; `numpy.asarray` copies all.
    """

    ndim = 1

    def __init__(self, pieces: Sequence[Array]) -> None:
        self._pieces = [piece for piece in pieces if len(piece)] or list(pieces[:1])
        self._ends = np.cumsum([len(piece) for piece in self._pieces])
        self.dtype = np.result_type(*self._pieces)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            begin, end, _ = key.indices(len(self))
            return Joined(self._between(begin, max(begin, end)))
        index = np.asarray(key)
        found = np.empty(index.shape, self.dtype)
        owners = np.searchsorted(self._ends, index, side="right")
        for owner in np.unique(owners).tolist():
            here = owners == owner
            before = self._ends[owner] - len(self._pieces[owner])
            found[here] = self._pieces[owner][index[here] - before]
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.concatenate(self._pieces).astype(dtype or self.dtype, copy=False)

    def _between(self, begin: int, end: int) -> list[Array]:
        starts = self._ends - [len(piece) for piece in self._pieces]
        pairs = zip(self._pieces, starts.tolist(), strict=True)
        return [piece[max(0, begin - start) : max(0, end - start)] for piece, start in pairs]
