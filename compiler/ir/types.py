"""Element types and tensor types."""

from __future__ import annotations

from dataclasses import dataclass

from ...spec.dims import Dim, shape_text

FLOATS = ("f64", "f32", "f16", "bf16")
NARROW = ("f16", "bf16")
INTEGERS = ("i64", "i32")
DTYPES = (*FLOATS, *INTEGERS, "bool")

Shape = tuple[Dim, ...]


@dataclass(frozen=True, slots=True)
class TensorType:
    """The element type and shape of a value; dimensions are integers or polynomials of symbols."""

    dtype: str
    shape: Shape

    @property
    def rank(self) -> int:
        return len(self.shape)

    def __str__(self) -> str:
        return f"{self.dtype}{shape_text(self.shape)}"


def held(type: TensorType) -> TensorType:
    """The type in which kernels hold a value of a type: numbers of 16 bits are f32."""
    return TensorType("f32", type.shape) if type.dtype in NARROW else type
