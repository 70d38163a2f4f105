"""A flow in weft beside the same in torch: the row of the tables in `prelude_*.py`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

SIZES = {"B": 5, "T": 3, "H": 2, "W": 4}
IMAGE = "x: f32[B, 4, 7, 8]"
LINE = "x: f32[B, 4, 11]"
VOLUME = "x: f32[B, 2, 5, 4, 3]"
OPEN = "x: f32[B, 4, H, W]"
ONE = {"B": 1}


@dataclass(frozen=True)
class Case:
    """A flow in weft with its inputs, and the same in torch.

    `twin` takes inputs, then weights.  `training`: as the net runs while it is trained; `sizes`:
    of symbols, where they are others than usual; `buffers`: weights that are not trained, and what
    they begin with.
    """

    flow: str
    twin: Callable[..., Any]
    inputs: str = "x: f32[B, 6]"
    weights: dict[str, tuple[int, ...]] = field(default_factory=dict)
    scale: float = 1.5
    training: bool = False
    sizes: Mapping[str, int] = field(default_factory=dict)
    buffers: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def id(self) -> str:
        text = re.sub(r"\s+", " ", self.flow)
        text = f"{text} | {self.inputs}" if self.inputs != "x: f32[B, 6]" else text
        return f"{text} | training" if self.training else text


def spec_of(case: Case) -> str:
    """The case as a net."""
    return f"net n {{\n  in {case.inputs}\n  {case.flow}\n}}\n"


def feeds_of(case: Case, random: np.random.Generator) -> dict[str, np.ndarray]:
    """Random inputs and weights."""
    sizes = {**SIZES, **case.sizes}
    feeds: dict[str, np.ndarray] = {}
    for name, dtype, dims in re.findall(r"(\w+): (\w+)\[([^\]]*)\]", case.inputs):
        shape = [sizes.get(d.split("%")[0]) or int(d) for d in dims.split(", ")]
        drawn = random.standard_normal(shape) * case.scale
        if dtype == "i32":
            drawn = random.integers(0, 6, shape)
        elif dtype == "bool":
            drawn = drawn > 0
            drawn[..., 0] = True  # nothing looks at nothing
        feeds[name] = drawn
    for name, shape in case.weights.items():
        feeds[name] = random.standard_normal(shape)
    return feeds
