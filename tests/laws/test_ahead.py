"""What products make of what they load = reference, in blocks of all kinds; kernels compile."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from tests.laws.ahead_cases import AHEAD_CASES, SIZES, TOTAL
from tests.laws.cases import Case
from tests.laws.conftest import Share
from tests.laws.harness import backward, expected, feeds, graphs_of
from tests.laws.kernels import (
    ARCHITECTURES,
    Guarded,
    Key,
    check,
    check_order,
    emitted,
    passed,
    small_blocks,
)
from weft.compiler.emit.triton import compose
from weft.compiler.ir.graph import Graph
from weft.compiler.plan import device, moments
from weft.compiler.plan.loaded import LoadedValues

NOMINAL = {"B": 31, "T": 3}
ALONE = "forward", "ahead_gated"
SMOOTH = [c for c in AHEAD_CASES if c.smooth]


def _graphs() -> dict[Key, Graph]:
    cases = (*AHEAD_CASES, TOTAL)
    found: dict[Key, Graph] = graphs_of(cases)
    return found | {("backward", c.name): backward(c) for c in cases if c.smooth}


def _short_rows(patch: pytest.MonkeyPatch) -> None:
    """Let rows of more than 16 be long, so that blocks leave parts of their folds."""
    for module in (compose, device, moments):
        patch.setattr(module, "LONG", 16)


@pytest.fixture(scope="module")
def graphs() -> dict[Key, Graph]:
    return _graphs()


@pytest.fixture(scope="module", params=["large", "shared"])
def blocks(request: pytest.FixtureRequest, graphs: dict[Key, Graph]) -> Iterator[Guarded]:
    """Kernels whose blocks hold everything, and those of small blocks that share k."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param != "large":
            small_blocks(patch)
            _short_rows(patch)
        found = Guarded(emitted(graphs, NOMINAL, "interpret"))
    yield found
    found.engine.close()


@pytest.mark.parametrize(
    "key", [k for k in _graphs() if k != ALONE and k[1] != TOTAL.name], ids=" ".join
)
def test_nobody_stores_what_products_make(key: Key, graphs: dict[Key, Graph]) -> None:
    values = LoadedValues(graphs[key], NOMINAL)
    assert values.ahead and not any(found.written for found in values.ahead.values())
    assert not values.stored & set(values.ahead)


def test_a_map_whose_source_nobody_keeps_is_stored(graphs: dict[Key, Graph]) -> None:
    """Forward alone, the activation would be stored in place of what it is made of."""
    assert not LoadedValues(graphs[ALONE], NOMINAL).ahead
    assert LoadedValues(graphs["backward", "ahead_gated"], NOMINAL).ahead


@pytest.mark.parametrize("case", (*AHEAD_CASES, TOTAL), ids=lambda c: c.name)
def test_kernels_are_the_reference(case: Case, blocks: Guarded, graphs: dict[Key, Graph]) -> None:
    for kind in ("forward", "backward"):
        if (kind, case.name) in graphs:
            check(blocks, (kind, case.name), graphs[kind, case.name], SIZES[1])


@pytest.mark.parametrize("case", AHEAD_CASES, ids=lambda c: c.name)
def test_single_rows(case: Case, blocks: Guarded, graphs: dict[Key, Graph]) -> None:
    check(blocks, ("forward", case.name), graphs["forward", case.name], SIZES[0])


def test_folds_of_long_rows_are_left_behind(graphs: dict[Key, Graph]) -> None:
    """What a product makes is read by products alone, and by no kernel that folds it."""
    with pytest.MonkeyPatch.context() as patch:
        _short_rows(patch)
        key = "forward", "ahead_classes"
        kernels = emitted({key: graphs[key]}, NOMINAL, "cuda:90").kernels
    assert {k.kind for k in kernels if "logits" in k.reads} == {"product"}
    merged = [k for k in kernels if k.name.startswith("merge_")]
    assert [set(k.writes) for k in merged] == [{"logsumexp_logits", "sum_where"}]


def test_a_stream_is_read_by_products_alone(graphs: dict[Key, Graph]) -> None:
    """Its moments are left behind by the product that writes it."""
    with pytest.MonkeyPatch.context() as patch:
        _short_rows(patch)
        key = "forward", "ahead_stream"
        kernels = emitted({key: graphs[key]}, NOMINAL, "cuda:90").kernels
    assert [k.kind for k in kernels] == ["product", "finish", "product"]


def test_products_that_are_added_are_one_launch(graphs: dict[Key, Graph]) -> None:
    """All three of the first sum, with what follows it; the bound counts what they make once."""
    key = "forward", TOTAL.name
    values = LoadedValues(graphs[key], NOMINAL)
    assert [len(terms) for terms in values.totals.values()] == [3]
    kernels = emitted({key: graphs[key]}, NOMINAL, "cuda:90").kernels
    products = [k for k in kernels if k.kind == "product"]
    assert sorted(len({"u", "v", "w"} & set(k.reads)) for k in products) == [0, 3]


@pytest.mark.parametrize("offset", [1.0, 1000.0])
def test_a_mean_far_from_zero_costs_no_digits(
    offset: float, blocks: Guarded, graphs: dict[Key, Graph]
) -> None:
    """Sums of squares of 1000 and more would leave one digit of a variance of 1."""
    key = "forward", "ahead_stream"
    fed = feeds(graphs[key], SIZES[1], positive=False)
    fed["x"], fed["gain"] = fed["x"] + np.float32(offset), np.ones_like(fed["gain"])
    found = blocks.run(key, fed)["z"]
    exact = expected(graphs[key], fed, SIZES[1])["z"]
    assert np.abs(found - exact).max() < 3e-6 * (offset + 1) ** 0.5 * np.abs(exact).max()


@pytest.mark.parametrize("case", SMOOTH[:1], ids=lambda c: c.name)
def test_the_order_of_programs_does_not_show(
    case: Case, blocks: Guarded, graphs: dict[Key, Graph]
) -> None:
    key = "backward", case.name
    check_order(blocks, key, feeds(graphs[key], SIZES[1], positive=False))


@pytest.mark.parametrize("target", ARCHITECTURES)
def test_kernels_compile_for_every_architecture(
    target: str, graphs: dict[Key, Graph], share: Share
) -> None:
    number = ARCHITECTURES.index(target)
    passed(share(graphs, number, len(ARCHITECTURES)), {"B": 310, "T": 3}, target)
