"""Cases of laws: a small graph each.

A case builds values in a `Builder` and names its outputs; `sizes` gives the symbolic dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from weft.compiler.ir.builder import Builder
from weft.compiler.ir.types import TensorType
from weft.spec.dims import symbol

B = symbol("B")
T = symbol("T")

Build = Callable[[Builder], dict[str, int]]


@dataclass(frozen=True)
class Case:
    """`positive`: inputs are drawn away from zero; `smooth`: the gradient law applies."""

    name: str
    build: Build
    sizes: tuple[Mapping[str, int], ...] = ({"B": 5, "T": 3},)
    positive: bool = False
    smooth: bool = True


def f32(b: Builder, name: str, *shape: object) -> int:
    return b.input(name, TensorType("f32", shape))


def i32(b: Builder, name: str, *shape: object) -> int:
    return b.input(name, TensorType("i32", shape))
