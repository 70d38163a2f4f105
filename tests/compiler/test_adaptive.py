"""Pools to a given size where elements are equal, infinite, or not numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from weft.compiler.build.resizing import longest
from weft.spec.dims import symbol

from .built import net

SPEC = """net n {{
  in x: f32[B, 2, {height}, 7]
  y, places = x -> adaptive_max_pool([3, 2], return_indices=true)
  out y, places
}}
"""


@pytest.mark.parametrize("height", ["5", "H"])
def test_what_is_not_finite(height: str) -> None:
    """Windows of nothing but minus infinity have a place, and no window hides what is no number."""
    x = np.random.default_rng(0).integers(0, 3, (4, 2, 5, 7)).astype(float)
    x[0] = -np.inf
    x[1, :, :2] = -np.inf
    x[2, 0, 4, 4] = np.nan
    x[3, 1, 2] = np.inf
    found = net(SPEC.format(height=height), {"x": x})
    y, places = F.adaptive_max_pool2d(torch.from_numpy(x), (3, 2), return_indices=True)
    np.testing.assert_array_equal(found["y"], y.numpy())
    known = ~np.isnan(y.numpy())
    np.testing.assert_array_equal(found["places"][known], places.numpy()[known])


def test_the_longest_part() -> None:
    size = symbol("H")
    assert longest(30, 7) == 6 and longest(28, 7) == 4 and longest(3, 7) == 2
    assert longest(4 * size, size) == 4 and longest(size, 3 * size) == 1
    assert longest(size, 7) is None and longest(7, size) is None
