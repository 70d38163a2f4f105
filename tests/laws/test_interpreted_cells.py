"""Cells of the library in the interpreter = reference, forward and backward."""

from __future__ import annotations

import pytest

from tests.laws.cell_cases import CELLS, cell_feeds, cell_graphs
from tests.laws.harness import agree, expected
from tests.laws.kernels import Guarded, Key, check_order, emitted
from weft.compiler.emit.triton import step
from weft.compiler.emit.triton.time_blocks import TimeBlock
from weft.compiler.ir.graph import Graph

NOMINAL = {"B": 17, "T": 2}
TINY = {"B": 2, "T": 2}
LARGE = ("lstm", "gru")
GRAPHS = {name: ("small", "large") if name in LARGE else ("tiny",) for name in CELLS}
"""Of some cells several blocks of columns."""


@pytest.fixture(scope="module")
def graphs() -> dict[Key, Graph]:
    return cell_graphs(GRAPHS)


def _check(guarded: Guarded, key: Key, graph: Graph, sizes: dict[str, int]) -> None:
    fed = cell_feeds(graph, sizes)
    got = guarded.run(key, fed)
    for name, value in expected(graph, fed, sizes).items():
        agree(f"{key} {name}", got[name], value)


@pytest.mark.parametrize("kind", ["forward", "backward"])
@pytest.mark.parametrize("name", CELLS)
def test_cells(name: str, kind: str, guarded: Guarded, graphs: dict[Key, Graph]) -> None:
    """Two programs of samples."""
    key = kind, f"{name}_{GRAPHS[name][0]}"
    _check(guarded, key, graphs[key], NOMINAL)
    launches = guarded.engine.artifact.entry(*key).launches
    assert all(a.times == 1 for a in launches)


@pytest.mark.parametrize("name", ["lstm", "cut", "nested"])
def test_programs_share_nothing(name: str, guarded: Guarded, graphs: dict[Key, Graph]) -> None:
    key = "backward", f"{name}_{GRAPHS[name][0]}"
    check_order(guarded, key, cell_feeds(graphs[key], NOMINAL))


def test_many_samples(graphs: dict[Key, Graph], monkeypatch: pytest.MonkeyPatch) -> None:
    """What a program takes of a large batch."""
    monkeypatch.setattr(step, "time_block", lambda *_: TimeBlock(64, 16, 32))
    keys = [(kind, "lstm_small") for kind in ("forward", "backward")]
    wide = Guarded(emitted({key: graphs[key] for key in keys}, NOMINAL, "interpret"))
    try:
        for key in keys:
            _check(wide, key, graphs[key], {"B": 70, "T": 2})
    finally:
        wide.engine.close()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["forward", "backward"])
@pytest.mark.parametrize("name", LARGE)
def test_many_units(name: str, kind: str, guarded: Guarded, graphs: dict[Key, Graph]) -> None:
    """Blocks of columns, and of the sums of products, that end within the units."""
    key = kind, f"{name}_large"
    _check(guarded, key, graphs[key], TINY)
