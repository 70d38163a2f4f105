"""Launches that read the same rows and are one = the reference; the kernels compile."""

from __future__ import annotations

import pytest

from tests.laws.cases import B, Build, Case, f32
from tests.laws.conftest import Share
from tests.laws.harness import feeds, graphs_of
from tests.laws.kernels import Guarded, Key, check, check_order, emitted, passed
from tests.laws.window_cases import Geometry, operands, shared, square
from weft.compiler.artifact import Artifact, KernelRecord
from weft.compiler.emit.triton.tiles import MACHINES
from weft.compiler.ir.builder import Builder
from weft.compiler.ir.graph import Graph
from weft.compiler.ops.windows import turned

NOMINAL, MANY = {"B": 67}, {"B": 150_000}


def _linear(b: Builder) -> dict[str, int]:
    """Both adjoints of a layer, of a cotangent that somebody else reads too."""
    x, z, w = f32(b, "x", B, 40), f32(b, "z", B, 72), f32(b, "w", 72, 40)
    d = b.map("where", b.map("gt", z, 0.0), f32(b, "d", B, 72), 0.0)
    d_x = b.contract("bo,oi->bi", d, w)
    masked = b.map("where", b.map("gt", x, 0.0), d_x, 0.0)
    return {"d": d, "d_x": masked, "d_w": b.contract("bo,bi->oi", d, x), "d_b": b.sum(d, (0,))}


def _followed(b: Builder) -> dict[str, int]:
    """Something waits for the gradient of the weight and stands behind its shares."""
    x, d, w = f32(b, "x", B, 40), f32(b, "d", B, 20), f32(b, "w", 20, 40)
    d_w = b.map("mul", b.contract("bo,bi->oi", d, x), w)
    return {"d_x": b.map("tanh", b.contract("bo,oi->bi", d, w)), "d_w": d_w, "s": b.sum(d_w, (1,))}


def _waiting(b: Builder) -> dict[str, int]:
    """One product needs what the other makes."""
    x, d = f32(b, "x", B, 40), f32(b, "d", B, 40)
    return {"y": b.contract("bi,oi->bo", d, b.contract("bo,bi->oi", d, x))}


def _windows(g: Geometry) -> Build:
    """Both adjoints of a convolution, with a mask and sums behind the one in its operand."""

    def build(b: Builder) -> dict[str, int]:
        x, w = operands(b, g)
        d = f32(b, "d", B, *g.sizes, g.channels[1])
        d_x = b.insert("convolve_input", (d, turned(b, w)), sizes=g.space, **shared(g))
        d_w = b.insert("convolve_weight", (x, d), kernel=g.kernel, **shared(g))
        masked = b.map("where", b.map("gt", x, 0.0), d_x, 0.0)
        return {"d_x": masked, "d_w": d_w, "sums": b.sum(masked, (0, 1, 2))}

    return build


CASES = (
    Case("linear", _linear),
    Case("followed", _followed),
    Case("windows", _windows(square("windows", 5, 3, pad=1, channels=(24, 17)))),
    Case("strided", _windows(square("strided", 6, 3, stride=2, pad=1, channels=(16, 40)))),
)
APART = (Case("waiting", _waiting),)


@pytest.fixture(scope="module")
def graphs() -> dict[Key, Graph]:
    return graphs_of([*CASES, *APART])


def _pairs(artifact: Artifact) -> list[KernelRecord]:
    return [k for k in artifact.kernels if k.name.endswith("_beside")]


@pytest.mark.parametrize("rows", [1, 67])
@pytest.mark.parametrize("case", (*CASES, *APART), ids=lambda c: c.name)
def test_kernels_are_the_reference(
    case: Case, rows: int, guarded: Guarded, graphs: dict[Key, Graph]
) -> None:
    """Also where there are fewer blocks of rows than chunks."""
    key = "forward", case.name
    check(guarded, key, graphs[key], {"B": rows})


@pytest.mark.parametrize("name", ["linear", "windows"])
def test_the_order_of_programs_does_not_show(
    name: str, guarded: Guarded, graphs: dict[Key, Graph]
) -> None:
    key = "forward", name
    check_order(guarded, key, feeds(graphs[key], {"B": 19}, positive=False))


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
@pytest.mark.parametrize(("target", "sizes"), [("interpret", NOMINAL), ("cuda:90", MANY)])
def test_one_launch_reads_what_both_need(
    case: Case, target: str, sizes: dict[str, int], graphs: dict[Key, Graph]
) -> None:
    key = "forward", case.name
    (pair,) = _pairs(emitted({key: graphs[key]}, sizes, target))
    assert {"w", "x"} <= set(pair.reads)


def test_what_both_read_is_counted_once(graphs: dict[Key, Graph]) -> None:
    """And what more shares of the gradient leave behind is counted."""
    key, rows = ("forward", "followed"), MANY["B"]
    (pair,) = _pairs(emitted({key: graphs[key]}, MANY, "cuda:90"))
    least = 4 * rows * (40 + 20 + 40)
    assert least < pair.bytes < 1.2 * least


def test_what_waits_stays_apart(graphs: dict[Key, Graph]) -> None:
    key = "forward", "waiting"
    for target in ("interpret", "cuda:90"):
        assert not _pairs(emitted({key: graphs[key]}, MANY, target))


def test_what_the_cache_holds_anyway_stays_apart(graphs: dict[Key, Graph]) -> None:
    key = "forward", "linear"
    assert not _pairs(emitted({key: graphs[key]}, {"B": 200}, "cuda:90"))


def test_a_pair_that_was_refused_is_two_launches(graphs: dict[Key, Graph]) -> None:
    key = "forward", "linear"
    (pair,) = _pairs(emitted({key: graphs[key]}, MANY, "cuda:90"))
    assert pair.compile is not None
    assert not _pairs(emitted({key: graphs[key]}, MANY, "cuda:90", {pair.compile["key"]: 1}))


@pytest.mark.parametrize("number", range(4), ids=MACHINES)
def test_every_architecture(number: int, graphs: dict[Key, Graph], share: Share) -> None:
    passed(share(graphs, number, 4), MANY, list(MACHINES)[number])
