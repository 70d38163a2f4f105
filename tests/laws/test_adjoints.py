"""Both adjoints of a product of pixels in one launch = reference; the kernels compile."""

from __future__ import annotations

import pytest

from tests.laws.cases import B, Build, Case, f32
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
from tests.laws.window_cases import Geometry, operands, shared, square
from weft.compiler.ir.builder import Builder
from weft.compiler.ir.graph import Graph
from weft.compiler.ops.windows import turned

NOMINAL, MANY = {"B": 131}, {"B": 20_000}
NARROW = square("narrow", 4, 1, channels=(16, 48))
WIDE = square("wide", 3, 1, channels=(256, 16))
DEEP = square("deep", 3, 1, channels=(16, 160))
SHARED = square("shared", 3, 1, channels=(512, 128))
ODD = square("odd", 4, 1, channels=(17, 32))


def _centred(b: Builder, z: int, other: int) -> int:
    """Less the mean of another value over the batch, for each channel."""
    axes = tuple(range(len(b[z].shape) - 1))
    return b.map("sub", z, b.broadcast(b.mean(other, axes), (len(axes),), b[z].shape))


def _both(
    g: Geometry, *, made: bool = True, rides: bool = True, kept: bool = False, waits: bool = False
) -> Build:
    """`made`: of what is loaded; `rides`: sums follow; `kept`: somebody else reads the cotangent;
    `waits`: one adjoint needs a sum that rides in the other.
    """

    def build(b: Builder) -> dict[str, int]:
        x, w = operands(b, g)
        d = f32(b, "d", B, *g.sizes, g.channels[1])
        if made:
            z = f32(b, "z", *b[d].shape)
            d = b.map("sub", _centred(b, d, d), b.map("mul", _centred(b, z, z), 0.3))
            gain = b.broadcast(f32(b, "gain", g.channels[0]), (3,), b[x].shape)
            centred = _centred(b, x, x if waits else f32(b, "y", *b[x].shape))
            a = b.map("maximum", b.map("mul", centred, gain), -0.25)
        a = a if made else x
        d_x = b.insert("convolve_input", (d, turned(b, w)), sizes=g.space, **shared(g))
        d_w = b.insert("convolve_weight", (a, d), kernel=g.kernel, **shared(g))
        masked = b.map("where", b.map("gt", x, 0.0), d_x, 0.0)
        found = {"d_x": masked if rides else d_x, "d_w": d_w}
        found |= {"sums": b.sum(masked, (0, 1, 2))} if rides else {}
        return found | ({"kept": b.map("tanh", d)} if kept else {})

    return build


def _projections(b: Builder) -> dict[str, int]:
    """Two products share a cotangent; what is added to the one adjoint waits for the other."""
    d, found, sums = f32(b, "d", B, 4, 4, 48), dict[str, int](), list[int]()
    for name, n in (("x", 16), ("y", 32)):
        x, w = f32(b, name, B, 4, 4, n), f32(b, f"w_{name}", 48, n, 1, 1)
        d_x = b.insert("convolve_input", (d, turned(b, w)), sizes=(4, 4), **shared(NARROW))
        d_w = b.insert("convolve_weight", (x, d), kernel=(1, 1), **shared(NARROW))
        square = b.contract("oi,oj->ij", *[b.squeeze(d_w, (2, 3))] * 2)
        v = b.broadcast(b.map("mul", square, 1e-4), (0, 1), (n, n, 1, 1))
        more = b.insert("convolve", (x, v), sizes=(4, 4), **shared(NARROW))
        sums.append(b.map("maximum", b.map("mul", b.map("add", d_x, more), 0.1), -1.0))
        found |= {f"d_w_{name}": d_w}
    whole = b.concat(sums, 3)
    return found | {"whole": b.map("tanh", whole)}


PROJECTIONS = Case("projections", _projections)
CASES = (
    Case("plain", _both(NARROW, made=False, rides=False)),
    Case("ridden", _both(NARROW, made=False)),
    Case("made", _both(NARROW)),
    Case("kept", _both(DEEP, kept=True)),
    Case("wide", _both(WIDE)),
    Case("shared", _both(SHARED)),
    Case("wide_kept", _both(WIDE, kept=True)),
)
APART = Case("odd", _both(ODD)), Case("waits", _both(NARROW, waits=True))
"""Channels that are no whole blocks; a sum of one launch that the other needs."""


@pytest.fixture(scope="module")
def graphs() -> dict[Key, Graph]:
    return graphs_of([*CASES, *APART, PROJECTIONS])


@pytest.mark.parametrize("batch", [1, 19])
@pytest.mark.parametrize("case", (*CASES, *APART, PROJECTIONS), ids=lambda c: c.name)
def test_kernels_are_the_reference(
    case: Case, batch: int, guarded: Guarded, graphs: dict[Key, Graph]
) -> None:
    """Also where there are fewer blocks of rows than programs."""
    key = "forward", case.name
    check(guarded, key, graphs[key], {"B": batch})


def test_the_order_of_programs_does_not_show(guarded: Guarded, graphs: dict[Key, Graph]) -> None:
    key = "forward", "wide"
    check_order(guarded, key, feeds(graphs[key], {"B": 19}, positive=False))


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
@pytest.mark.parametrize(("target", "sizes"), [("interpret", NOMINAL), ("cuda:90", MANY)])
def test_one_launch_makes_both(
    case: Case, target: str, sizes: dict[str, int], graphs: dict[Key, Graph]
) -> None:
    """It stores the cotangent for others only."""
    key = "forward", case.name
    artifact = emitted({key: graphs[key]}, sizes, target)
    (made,) = products(artifact)
    buffers = [b for b in artifact.entries[0].buffers if b.space == "workspace"]
    images = {b.name for b in buffers if len(b.shape) == 4}
    assert images == ({"sub"} if case.name.endswith("kept") else set())
    assert images <= made


def test_each_cotangent_is_read_once(graphs: dict[Key, Graph]) -> None:
    """A sum does not ride behind the one adjoint where the other one could not be there, too."""
    key = "forward", "projections"
    kernels = emitted({key: graphs[key]}, MANY, "cuda:90").kernels
    readers = [{*k.writes} for k in kernels if "d" in k.reads]
    assert len(readers) == 2 and all(any("partial" in w for w in made) for made in readers)


@pytest.mark.parametrize("case", APART, ids=lambda c: c.name)
def test_some_stay_two(case: Case, graphs: dict[Key, Graph]) -> None:
    key = "forward", case.name
    assert len(products(emitted({key: graphs[key]}, MANY, "cuda:90"))) > 1


def test_a_few_rows_are_not_worth_the_parts(graphs: dict[Key, Graph]) -> None:
    key = "forward", "made"
    assert len(products(emitted({key: graphs[key]}, {"B": 8}, "cuda:90"))) > 1


@pytest.mark.parametrize("target", ARCHITECTURES)
def test_kernels_compile_for_every_architecture(
    target: str, graphs: dict[Key, Graph], share: Share
) -> None:
    number = ARCHITECTURES.index(target)
    passed(share(graphs, number, len(ARCHITECTURES)), MANY, target)
