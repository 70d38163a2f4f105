"""Mean and spread of every channel at once, for the two sums of a batch norm on a CPU.

    moments(x[..., C]) -> [3, C]:  how many, their mean, the sum of squares about the mean

Parts of it are merged without loss: Chan, Golub & LeVeque (1983), "Algorithms for computing the
sample variance".  It is put in after differentiation and has no gradient of its own.
"""

from __future__ import annotations

import numpy as np

from ...spec.dims import numel
from ..ir.op import Attributes, Op
from ..ir.types import TensorType

COUNT, MEAN, SQUARES = 0, 1, 2
"""Rows of the result."""


def _infer(types: tuple[TensorType, ...], a: Attributes) -> TensorType:
    return TensorType("f32", (3, types[0].shape[-1]))


def _moments(x: np.ndarray) -> np.ndarray:
    rows = x.reshape(-1, x.shape[-1])
    mean = rows.mean(axis=0) if len(rows) else np.zeros(x.shape[-1])
    count = np.full(x.shape[-1], len(rows), x.dtype)
    return np.stack([count, mean, ((rows - mean) ** 2).sum(axis=0)])


MOMENTS: dict[str, Op] = {
    "moments": Op(
        "moments", "heavy", _infer, _moments, None, work=lambda t, r, a: numel(t[0].shape) * 4
    ),
}
