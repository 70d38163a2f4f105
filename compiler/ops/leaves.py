"""Values without operands: inputs, numbers, tables, positions, sizes, random numbers."""

from __future__ import annotations

import numpy as np

from ..ir.op import Op
from ..ir.types import TensorType

LISTED = 1024
"""The most numbers of a table: kernels find them by comparing, one comparison a number."""


def _no_reference(*_: object, **__: object) -> np.ndarray:
    raise TypeError("fed by the caller")


def _iota(*, shape: tuple[int, ...], axis: int) -> np.ndarray:
    line = np.arange(shape[axis]).reshape([-1 if a == axis else 1 for a in range(len(shape))])
    return np.broadcast_to(line, shape)


def _table(*, values: tuple[float, ...], shape: tuple[int, ...], dtype: str) -> np.ndarray:
    return np.array(values, np.int64 if dtype == "i32" else np.float64).reshape(shape)


def _infer_shaped(dtype: str):  # type: ignore[no-untyped-def]
    return lambda types, attributes: TensorType(dtype, attributes["shape"])


LEAVES: dict[str, Op] = {
    op.name: op
    for op in (
        Op("input", "leaf", lambda _, a: a["type"], _no_reference, None),
        Op(
            "constant",
            "leaf",
            lambda _, a: TensorType(a["dtype"], ()),
            lambda *, value, dtype: np.asarray(value),
            None,
        ),
        Op(
            "size",
            "leaf",
            lambda _, a: TensorType("f32", ()),
            lambda *, dim: np.asarray(float(dim)),
            None,
        ),
        Op("table", "leaf", lambda _, a: TensorType(a["dtype"], a["shape"]), _table, None),
        Op("iota", "leaf", _infer_shaped("i32"), _iota, None),
        Op("random", "leaf", _infer_shaped("f32"), _no_reference, None, flops=60),
    )
}
