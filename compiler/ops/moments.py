"""Mean and spread of every channel at once, for the two sums of a batch norm; spread of rows.

    moments(x[..., C]) -> [3, C]:  how many, their mean, the sum of squares about the mean
    squares(x)                     a fold: the sum of squares about the mean of what is folded

Parts of both are merged without loss: Chan, Golub & LeVeque (1983), "Algorithms for computing the
sample variance".  They are put in after differentiation and have no gradients of their own.
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


def _infer_fold(types: tuple[TensorType, ...], a: Attributes) -> TensorType:
    kept = (e for axis, e in enumerate(types[0].shape) if axis not in a["axes"])
    return TensorType(types[0].dtype, tuple(kept))


def _squares(x: np.ndarray, *, axes: tuple[int, ...]) -> np.ndarray:
    return np.asarray(((x - x.mean(axis=axes, keepdims=True)) ** 2).sum(axis=axes))


def _moments(x: np.ndarray) -> np.ndarray:
    rows = x.reshape(-1, x.shape[-1])
    mean = rows.mean(axis=0) if len(rows) else np.zeros(x.shape[-1])
    count = np.full(x.shape[-1], len(rows), x.dtype)
    return np.stack([count, mean, ((rows - mean) ** 2).sum(axis=0)])


MOMENTS: dict[str, Op] = {
    "moments": Op(
        "moments", "heavy", _infer, _moments, None, work=lambda t, r, a: numel(t[0].shape) * 4
    ),
    "squares": Op("squares", "fold", _infer_fold, _squares, None, 4),
}
