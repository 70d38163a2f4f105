"""Rows in memory: whole vectors, little room between them, and no stride that crowds a cache."""

from __future__ import annotations

import pytest

from weft.compiler.ir.graph import Node
from weft.compiler.ir.types import TensorType
from weft.compiler.plan.layout import LANES, LONG, value_layout
from weft.spec.dims import symbol


def lead(*shape: object, plain: bool = False) -> object:
    """Elements between the rows of a value of a batch."""
    node = Node(0, "contract", (), (), TensorType("f32", (symbol("B"), *shape)), "z")
    layout = value_layout(node, native=True, plain=plain)
    assert layout.strides[-1] == 1
    return layout.strides[-2]


@pytest.mark.parametrize("width", [256, 257, 300, 511, 512, 768, 1000, 1024, 3072, 4095, 50257])
def test_long_rows_of_sequences_begin_with_vectors_in_other_sets(width: int) -> None:
    step = lead(128, width)
    assert isinstance(step, int)
    assert width <= step < width + 2 * LANES and step % LANES == 0
    assert step % 512, "rows two KiB apart fall into two sets of a first-level cache"
    assert lead(128, width, plain=True) == width


@pytest.mark.parametrize("width", [1, 10, 64, 128, LONG - 1])
def test_short_rows_of_sequences_lie_side_by_side(width: int) -> None:
    assert lead(128, width) == width
