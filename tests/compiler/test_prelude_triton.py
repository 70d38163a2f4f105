"""Blocks over images in Triton's interpreter, forward and backward, equal the reference.

Memory behind every buffer holds NaN, and nothing may write there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.laws.harness import SEED, STEP
from tests.laws.kernels import Guarded, emitted
from weft.compiler import reference
from weft.compiler.ir.graph import Graph

from .prelude_case import SIZES
from .prelude_graphs import agree, fed_to, graph_of
from .prelude_images import IMAGES

CASES = IMAGES
OPEN = [i for i, case in enumerate(CASES) if "H, W]" in case.inputs]
POINTS = [i for i in OPEN if not re.search(r"pool\(2|crop|fold|dilation", CASES[i].flow)]
ONE = {"H": 1, "W": 1}


@pytest.fixture(scope="module")
def graphs() -> list[Graph]:
    return [graph_of(case) for case in CASES]


@pytest.fixture(scope="module")
def guarded(graphs: list[Graph]) -> Iterator[Guarded]:
    """All cases as the entries of one module."""
    keys = {("forward", f"case_{i}"): graph for i, graph in enumerate(graphs)}
    found = Guarded(emitted(keys, SIZES, "interpret"))
    yield found
    found.engine.close()


def check(guarded: Guarded, graphs: list[Graph], number: int, symbols: dict[str, int]) -> None:
    case = replace(CASES[number], sizes={**CASES[number].sizes, **symbols})
    fed, sizes = fed_to(case, graphs[number], number)
    got = guarded.run(("forward", f"case_{number}"), fed)
    agree(got, reference.run(graphs[number], fed, sizes, seed=SEED, step=STEP))


@pytest.mark.parametrize("number", OPEN, ids=lambda i: CASES[i].id)
def test_images_of_any_size(number: int, guarded: Guarded, graphs: list[Graph]) -> None:
    check(guarded, graphs, number, {})


@pytest.mark.parametrize("number", POINTS, ids=lambda i: CASES[i].id)
def test_images_of_one_pixel(number: int, guarded: Guarded, graphs: list[Graph]) -> None:
    check(guarded, graphs, number, ONE)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda i: CASES[i].id)
def test_images_of_one_size(number: int, guarded: Guarded, graphs: list[Graph]) -> None:
    check(guarded, graphs, number, {})
