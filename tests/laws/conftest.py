"""What the laws of kernels share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.laws.kernels import Guarded, Key, emitted
from weft.compiler.ir.graph import Graph


@pytest.fixture(scope="module")
def guarded(request: pytest.FixtureRequest, graphs: dict[Key, Graph]) -> Iterator[Guarded]:
    """One worker process for all `graphs` of a module, planned for its `NOMINAL` sizes."""
    found = Guarded(emitted(graphs, request.module.NOMINAL, "interpret"))
    yield found
    found.engine.close()
