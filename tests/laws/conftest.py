"""What the laws of kernels share."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.laws.kernels import Guarded, Key, emitted
from weft.compiler.ir.graph import Graph

Share = Callable[[dict[Key, Graph], int, int], dict[Key, Graph]]


@pytest.fixture
def share(request: pytest.FixtureRequest) -> Share:
    """`share(graphs, 1, 4)`: the second of four shares; with `--sweep` all graphs every time."""

    def shared(graphs: dict[Key, Graph], number: int, of: int) -> dict[Key, Graph]:
        if request.config.getoption("--sweep"):
            return graphs
        return dict(list(graphs.items())[number::of])

    return shared


@pytest.fixture(scope="module")
def guarded(request: pytest.FixtureRequest, graphs: dict[Key, Graph]) -> Iterator[Guarded]:
    """One worker process for all `graphs` of a module, planned for its `NOMINAL` sizes."""
    found = Guarded(emitted(graphs, request.module.NOMINAL, "interpret"))
    yield found
    found.engine.close()
