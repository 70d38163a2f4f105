"""Products in fewer launches, or made twice, = the reference; the kernels compile.

A family of cases says where the plan does so and where it does not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import pytest

from tests.laws.beside_cases import BESIDE_CASES, WAITING
from tests.laws.cases import B, Case, f32
from tests.laws.chained_cases import ALIKE_NAMES, APART_CASES, CHAINED_CASES, two
from tests.laws.conftest import Share
from tests.laws.harness import feeds, graphs_of
from tests.laws.kernels import (
    ARCHITECTURES,
    Guarded,
    Key,
    check,
    check_order,
    emitted,
    passed,
    products,
)
from tests.laws.repeated_cases import LEFT_CASES, REPEATED_CASES
from weft.compiler.artifact import Artifact, KernelRecord
from weft.compiler.ir.builder import Builder
from weft.compiler.ir.graph import Graph

NOMINAL = {"B": 67}
ONE = "forward"


def _pairs(artifact: Artifact) -> list[KernelRecord]:
    return [k for k in artifact.kernels if k.name.endswith("_beside")]


def _launches(artifact: Artifact) -> int:
    """How many launches make products."""
    return len(products(artifact))


@dataclass(frozen=True)
class Family:
    """What launches have in common; `count` of them is `wanted`, and `apart` of other cases.

    `many`: rows at which it pays on a GPU; `ordered`: whose programs run in any order, too.
    """

    name: str
    cases: tuple[Case, ...]
    others: tuple[Case, ...]
    count: Callable[[Artifact], int]
    wanted: int
    apart: int
    many: int
    ordered: tuple[str, ...] = ()

    @property
    def all(self) -> tuple[Case, ...]:
        return (*self.cases, *self.others)


FAMILIES = (
    Family("beside", BESIDE_CASES, (WAITING,), lambda a: len(_pairs(a)), 1, 0, 150_000,
           ("linear", "windows")),
    Family("chained", CHAINED_CASES, APART_CASES, _launches, 1, 2, 60_000,
           ("odd", "summed", "pixels")),
    Family("repeated", REPEATED_CASES, LEFT_CASES, _launches, 2, 1, 60_000),
)  # fmt: skip
NAMED = {family.name: family for family in FAMILIES}
EVERY = [pytest.param(f, c, id=f"{f.name}-{c.name}") for f in FAMILIES for c in f.all]
ORDERED = [name for family in FAMILIES for name in family.ordered]
UNREAD = ("passing", "bare")
"""What is between the chained products is for the second alone."""


@pytest.fixture(scope="module")
def graphs() -> dict[Key, Graph]:
    return graphs_of(case for family in FAMILIES for case in family.all)


def _alone(
    graphs: Mapping[Key, Graph], name: str, rows: int, levels: Mapping[str, int] | None = None
) -> Artifact:
    """The kernels of one case for a GPU."""
    return emitted({(ONE, name): graphs[ONE, name]}, {"B": rows}, "cuda:90", levels)


@pytest.mark.parametrize("rows", [1, 67])
@pytest.mark.parametrize("name", [c.name for f in FAMILIES for c in f.all])
def test_kernels_are_the_reference(
    name: str, rows: int, guarded: Guarded, graphs: dict[Key, Graph]
) -> None:
    """One row, fewer blocks of rows than chunks; and a prime number that takes several programs."""
    check(guarded, (ONE, name), graphs[ONE, name], {"B": rows})


@pytest.mark.parametrize("name", ORDERED)
def test_the_order_of_programs_does_not_show(
    name: str, guarded: Guarded, graphs: dict[Key, Graph]
) -> None:
    check_order(guarded, (ONE, name), feeds(graphs[ONE, name], NOMINAL, positive=False))


@pytest.mark.parametrize("target", ["interpret", "cuda:90"])
@pytest.mark.parametrize(("family", "case"), EVERY)
def test_launches_are_as_many(
    family: Family, case: Case, target: str, graphs: dict[Key, Graph]
) -> None:
    sizes = NOMINAL if target == "interpret" else {"B": family.many}
    artifact = emitted({(ONE, case.name): graphs[ONE, case.name]}, sizes, target)
    assert family.count(artifact) == (family.wanted if case in family.cases else family.apart)


@pytest.mark.parametrize("target", ARCHITECTURES)
@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.name)
def test_kernels_compile_for_every_architecture(
    family: Family, target: str, graphs: dict[Key, Graph], share: Share
) -> None:
    own = {(ONE, case.name): graphs[ONE, case.name] for case in family.all}
    number = ARCHITECTURES.index(target)
    passed(share(own, number, len(ARCHITECTURES)), {"B": family.many}, target)


# ---- beside each other ---------------------------------------------------------------------------


@pytest.mark.parametrize("case", BESIDE_CASES, ids=lambda c: c.name)
def test_one_launch_reads_what_both_need(case: Case, graphs: dict[Key, Graph]) -> None:
    (pair,) = _pairs(_alone(graphs, case.name, NAMED["beside"].many))
    assert {"w", "x"} <= set(pair.reads)


def test_what_both_read_is_counted_once(graphs: dict[Key, Graph]) -> None:
    """And what more shares of the gradient leave behind is counted."""
    rows = NAMED["beside"].many
    (pair,) = _pairs(_alone(graphs, "followed", rows))
    least = 4 * rows * (40 + 20 + 40)
    assert least < pair.bytes < 1.2 * least


def test_what_the_cache_holds_anyway_stays_apart(graphs: dict[Key, Graph]) -> None:
    assert not _pairs(_alone(graphs, "linear", 200))


def test_a_pair_that_was_refused_is_two_launches(graphs: dict[Key, Graph]) -> None:
    rows = NAMED["beside"].many
    (pair,) = _pairs(_alone(graphs, "linear", rows))
    assert pair.compile is not None
    assert not _pairs(_alone(graphs, "linear", rows, {pair.compile["key"]: 1}))


@pytest.mark.parametrize(("target", "pairs"), [("cuda:90", 1), ("hip:gfx942", 0)])
def test_two_gradients_need_room_for_the_blocks_of_both(target: str, pairs: int) -> None:
    """On an MI300X they do not share the memory of a program."""

    def both(b: Builder) -> dict[str, int]:
        x, d, e = f32(b, "x", B, 512), f32(b, "d", B, 128), f32(b, "e", B, 64)
        return {name: b.contract("bo,bi->oi", i, x) for name, i in (("d_w", d), ("e_w", e))}

    artifact = emitted(graphs_of([Case("both", both)]), {"B": NAMED["beside"].many}, target)
    assert len(_pairs(artifact)) == pairs


# ---- chained -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", UNREAD)
@pytest.mark.parametrize("target", ["interpret", "cuda:90"])
def test_what_is_for_the_second_alone_is_not_stored(
    name: str, target: str, graphs: dict[Key, Graph]
) -> None:
    sizes = NOMINAL if target == "interpret" else {"B": NAMED["chained"].many}
    artifact = emitted({(ONE, name): graphs[ONE, name]}, sizes, target)
    assert not [b.name for b in artifact.entries[0].buffers if b.space == "workspace"]


@pytest.mark.parametrize("case", ALIKE_NAMES, ids=lambda c: c.name)
def test_what_both_products_make_has_names_of_its_own(case: Case) -> None:
    """Layers call a product, its sum with a bias and the next product the same."""
    (plain,) = graphs_of([case]).values()
    named = (replace(n, name=n.name if n.op == "input" else "conv") for n in plain)
    graph = Graph(named, plain.outputs)
    found = Guarded(emitted({(ONE, case.name): graph}, NOMINAL, "interpret"))
    try:
        assert len(products(found.engine.artifact)) == 1
        check(found, (ONE, case.name), graph, NOMINAL)
    finally:
        found.engine.close()


def test_what_is_handed_on_is_counted_once(graphs: dict[Key, Graph]) -> None:
    """It is written for others, and not read."""
    rows = NAMED["chained"].many
    (made,) = _alone(graphs, "block", rows).kernels
    weights = 64 * 256 + 256 + 256 * 64 + 64
    assert set(made.reads) == {"x", "w", "c", "skip", "v", "e"}
    assert made.bytes == 4 * (rows * (64 + 3 * 256 + 64) + weights)


def test_a_few_rows_leave_processors_idle(graphs: dict[Key, Graph]) -> None:
    assert len(products(_alone(graphs, "block", 64))) == 2


@pytest.mark.parametrize(("deep", "launches"), [(256, 1), (300, 2)])
def test_weights_may_pass_the_cache_as_often_as_before(deep: int, launches: int) -> None:
    """Large ones, too; not if rows that no block holds have to be loaded for each block."""
    large = graphs_of([Case("large", two(deep, 1024, 256))])
    assert len(products(_alone(large, "large", 12_544))) == launches


def test_products_that_were_refused_stay_two(graphs: dict[Key, Graph]) -> None:
    """Each refusal takes a smaller block; when none is left there are two launches."""
    levels = dict[str, int]()
    seen, counts = set(), []
    for level in range(1, 5):
        artifact = _alone(graphs, "block", NAMED["chained"].many, levels)
        made = [k.compile for k in artifact.kernels if k.kind == "product" and k.compile]
        seen.add((artifact.files["kernels.py"], made[0]["stages"]))
        counts.append(len(made))
        levels = {made[0]["key"]: level}
    assert counts == [1, 1, 1, 2] and len(seen) == 4


# ---- made again ----------------------------------------------------------------------------------


def test_what_is_made_again_is_nowhere_in_memory(graphs: dict[Key, Graph]) -> None:
    artifact = _alone(graphs, "repeated", NAMED["repeated"].many)
    images = [b for b in artifact.entries[0].buffers if len(b.shape) == 4]
    assert [b.name for b in images if b.space == "workspace"] == ["maximum"]  # its rows
