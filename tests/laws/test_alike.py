"""Products of one form that are one launch, and sums of heads, = reference; kernels compile."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.laws.alike_cases import ALIKE_CASES, SIZES
from tests.laws.cases import Case
from tests.laws.conftest import Share
from tests.laws.harness import backward, feeds, graphs_of
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
from weft.compiler.artifact import KernelRecord
from weft.compiler.ir.graph import Graph

NOMINAL = {"B": 31, "T": 3}


@pytest.fixture(scope="module")
def graphs() -> dict[Key, Graph]:
    found: dict[Key, Graph] = graphs_of(ALIKE_CASES)
    return found | {("backward", c.name): backward(c) for c in ALIKE_CASES}


@pytest.fixture(scope="module", params=["large", "shared"])
def blocks(request: pytest.FixtureRequest, graphs: dict[Key, Graph]) -> Iterator[Guarded]:
    """Kernels whose blocks hold everything, and those of small blocks that share k."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param != "large":
            small_blocks(patch)
        found = Guarded(emitted(graphs, NOMINAL, "interpret"))
    yield found
    found.engine.close()


def _kernels(graphs: dict[Key, Graph], kind: str, name: str) -> list[KernelRecord]:
    key = kind, name
    return list(emitted({key: graphs[key]}, NOMINAL, "cuda:90").kernels)


@pytest.mark.parametrize("case", ALIKE_CASES, ids=lambda c: c.name)
def test_kernels_are_the_reference(case: Case, blocks: Guarded, graphs: dict[Key, Graph]) -> None:
    for kind in ("forward", "backward"):
        check(blocks, (kind, case.name), graphs[kind, case.name], SIZES[1])


@pytest.mark.parametrize("case", ALIKE_CASES, ids=lambda c: c.name)
def test_single_rows(case: Case, blocks: Guarded, graphs: dict[Key, Graph]) -> None:
    check(blocks, ("forward", case.name), graphs["forward", case.name], SIZES[0])


def test_the_order_of_programs_does_not_show(blocks: Guarded, graphs: dict[Key, Graph]) -> None:
    key = "backward", "alike_projections"
    check_order(blocks, key, feeds(graphs[key], SIZES[1], positive=False))


def test_projections_of_one_width_are_one_launch(graphs: dict[Key, Graph]) -> None:
    """Each of the three reads `x` and writes its own result; what they read counts once."""
    together, gate = _kernels(graphs, "forward", "alike_projections")
    weights = {f"{word}_{name}" for name in "qkv" for word in "wb"}
    assert set(together.reads) == {"x", *weights} and set(together.writes) == {"q", "k", "v"}
    rows = NOMINAL["B"] * NOMINAL["T"]
    assert together.bytes == 4 * (rows * (33 + 3 * 40) + 3 * 40 * (33 + 1))
    assert together.flops == 3 * rows * 40 * (2 * 33 + 1)
    assert set(gate.reads) == {"x", "w_gate", "b_gate"}


def test_gradients_of_their_weights_are_one_launch(graphs: dict[Key, Graph]) -> None:
    kernels = _kernels(graphs, "backward", "alike_projections")
    made = [set(k.writes) for k in kernels if k.kind == "product" and "d_w_q" in k.writes]
    assert made == [{"d_w_q", "d_w_k", "d_w_v"}]


def test_a_launch_takes_a_few(graphs: dict[Key, Graph]) -> None:
    kernels = _kernels(graphs, "forward", "alike_many")
    assert sorted(len(k.writes) for k in kernels) == [2, 4]


def test_products_that_wait_for_each_other_stay_apart(graphs: dict[Key, Graph]) -> None:
    assert len(_kernels(graphs, "forward", "alike_chained")) == 2


def test_nobody_reads_a_product_for_sums_of_its_heads(graphs: dict[Key, Graph]) -> None:
    """Five heads of 8 too: a block of 64 columns holds eight of them."""
    kernels = _kernels(graphs, "forward", "alike_heads")
    assert [k.kind for k in kernels] == ["product", "product"]
    assert [len(k.writes) for k in kernels] == [2, 2]


@pytest.mark.parametrize("target", ARCHITECTURES)
def test_kernels_compile_for_every_architecture(
    target: str, graphs: dict[Key, Graph], share: Share
) -> None:
    number = ARCHITECTURES.index(target)
    passed(share(graphs, number, len(ARCHITECTURES)), {"B": 310, "T": 3}, target)
