"""The adjoint of a convolution in its weight where a pool of maxima reads what it made.

    convolve_weight_put(x, place, d) = convolve_weight(x, pool_max_put(place, d))

Of all windows that one of the pool reads, one won, and no other has a cotangent.  `pool` has the
pool's kernel, stride, dilation and low, `sizes` the extents of what it reads; the rest is the
convolution's.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...spec.dims import Dim, numel
from ..ir.op import Attributes, Op, ShapeError
from ..ir.types import TensorType
from .pools import GEOMETRY, POOLS
from .windows import WINDOWS

Types = tuple[TensorType, ...]


def _infer(types: Types, a: Attributes) -> TensorType:
    x, place, d = types
    if place.shape != d.shape or x.rank != d.rank or x.shape[0] != d.shape[0]:
        raise ShapeError("E403", f"{x}, {place} and {d} do not fit", (0, 1, 2))
    return TensorType(x.dtype, (d.shape[-1], x.shape[-1] // a["groups"], *a["kernel"]))


def _put(x: np.ndarray, place: np.ndarray, d: np.ndarray, *, pool: Any, sizes: Any,
         **geometry: Any) -> np.ndarray:  # fmt: skip
    windows = dict(zip(GEOMETRY, pool, strict=True))
    made = POOLS["pool_max_put"].reference(place, d, sizes=sizes, **windows)
    return WINDOWS["convolve_weight"].reference(x, made, **geometry)


def _work(types: Types, result: TensorType, a: Attributes) -> Dim:
    """A multiplication and an addition for every winner and every element of its weight."""
    return 2 * numel(types[2].shape[:-1]) * numel(result.shape)


WINNERS: dict[str, Op] = {
    op.name: op for op in (Op("convolve_weight_put", "heavy", _infer, _put, None, work=_work),)
}
