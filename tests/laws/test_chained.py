"""A product and the next one in one launch = the reference; the kernels compile."""

from __future__ import annotations

import pytest

from tests.laws.cases import Case
from tests.laws.chained_cases import APART_CASES, CHAINED_CASES, two
from tests.laws.conftest import Share
from tests.laws.harness import feeds, graphs_of
from tests.laws.kernels import Guarded, Key, check, check_order, emitted, passed, products
from weft.compiler.emit.triton.tiles import MACHINES
from weft.compiler.ir.graph import Graph

NOMINAL, MANY = {"B": 67}, {"B": 60_000}
UNREAD = ("passing", "bare")
"""What is between the products is for the second alone."""


@pytest.fixture(scope="module")
def graphs() -> dict[Key, Graph]:
    return graphs_of([*CHAINED_CASES, *APART_CASES])


@pytest.mark.parametrize("rows", [1, 67])
@pytest.mark.parametrize("case", (*CHAINED_CASES, *APART_CASES), ids=lambda c: c.name)
def test_kernels_are_the_reference(
    case: Case, rows: int, guarded: Guarded, graphs: dict[Key, Graph]
) -> None:
    """One row, and a prime number of them that takes several programs."""
    key = "forward", case.name
    check(guarded, key, graphs[key], {"B": rows})


@pytest.mark.parametrize("name", ["odd", "summed", "pixels"])
def test_the_order_of_programs_does_not_show(
    name: str, guarded: Guarded, graphs: dict[Key, Graph]
) -> None:
    key = "forward", name
    check_order(guarded, key, feeds(graphs[key], NOMINAL, positive=False))


@pytest.mark.parametrize("case", CHAINED_CASES, ids=lambda c: c.name)
@pytest.mark.parametrize(("target", "sizes"), [("interpret", NOMINAL), ("cuda:90", MANY)])
def test_one_launch_makes_both(
    case: Case, target: str, sizes: dict[str, int], graphs: dict[Key, Graph]
) -> None:
    """It stores what is between them for others only."""
    key = "forward", case.name
    artifact = emitted({key: graphs[key]}, sizes, target)
    assert len(products(artifact)) == 1
    between = [b.name for b in artifact.entries[0].buffers if b.space == "workspace"]
    assert not (case.name in UNREAD and between)


@pytest.mark.parametrize("target", ["interpret", "cuda:90"])
@pytest.mark.parametrize("case", APART_CASES, ids=lambda c: c.name)
def test_some_stay_two(case: Case, target: str, graphs: dict[Key, Graph]) -> None:
    key = "forward", case.name
    assert len(products(emitted({key: graphs[key]}, MANY, target))) == 2


def test_what_is_handed_on_is_counted_once(graphs: dict[Key, Graph]) -> None:
    """It is written for others, and not read."""
    key, rows = ("forward", "block"), MANY["B"]
    (made,) = emitted({key: graphs[key]}, MANY, "cuda:90").kernels
    weights = 64 * 256 + 256 + 256 * 64 + 64
    assert set(made.reads) == {"x", "w", "c", "skip", "v", "e"}
    assert made.bytes == 4 * (rows * (64 + 3 * 256 + 64) + weights)


def test_a_few_rows_leave_processors_idle(graphs: dict[Key, Graph]) -> None:
    key = "forward", "block"
    assert len(products(emitted({key: graphs[key]}, {"B": 64}, "cuda:90"))) == 2


@pytest.mark.parametrize(("deep", "launches"), [(256, 1), (300, 2)])
def test_weights_may_pass_the_cache_as_often_as_before(deep: int, launches: int) -> None:
    """Large ones, too; not if rows that no block holds have to be loaded for each block."""
    large = graphs_of([Case("large", two(deep, 1024, 256))])
    assert len(products(emitted(large, {"B": 12_544}, "cuda:90"))) == launches


def test_products_that_were_refused_stay_two(graphs: dict[Key, Graph]) -> None:
    """Each refusal takes a smaller block; when none is left there are two launches."""
    key, levels = ("forward", "block"), dict[str, int]()
    seen, counts = set(), []
    for level in range(1, 5):
        artifact = emitted({key: graphs[key]}, MANY, "cuda:90", levels)
        made = [k.compile for k in artifact.kernels if k.kind == "product" and k.compile]
        seen.add((artifact.files["kernels.py"], made[0]["stages"]))
        counts.append(len(made))
        levels = {made[0]["key"]: level}
    assert counts == [1, 1, 1, 2] and len(seen) == 4


@pytest.mark.parametrize("number", range(4), ids=MACHINES)
def test_every_architecture(number: int, graphs: dict[Key, Graph], share: Share) -> None:
    passed(share(graphs, number, 4), MANY, list(MACHINES)[number])
