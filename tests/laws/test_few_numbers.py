"""The adjoint of a convolution in what it read, where some cotangents are zeros: on CPUs the others
are listed.  However many there are, and whatever they are, it is the reference.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from tests.laws.cases import B, f32
from tests.laws.harness import SEED, STEP, agree, entry_of, expected, graph_of
from tests.laws.window_cases import Geometry, shared, square
from weft.compiler.arena import Arena
from weft.compiler.artifact import Artifact
from weft.compiler.ir.graph import Graph
from weft.compiler.native import emit_native
from weft.compiler.ops import new_builder
from weft.compiler.ops.windows import turned
from weft.runtime.native_engine import NativeEngine

GEOMETRIES = (
    square("valid", 12, 5, channels=(20, 50)),
    square("same", 7, 3, pad=1, channels=(33, 18)),
    square("strided", 13, 3, stride=2, pad=1, channels=(5, 40)),
    square("dilated", 11, 3, dilation=2, pad=2, channels=(9, 17)),
    Geometry("oblong", (9, 14), (2, 5), (1, 1), ((1, 0), (2, 3)), (1, 1), (25, 7)),
)
NOMINAL = {"B": 12}


def _graph(g: Geometry) -> Graph:
    b = new_builder()
    inputs, outputs = g.channels
    d, w = f32(b, "d", B, *g.sizes, outputs), f32(b, "w", outputs, inputs, *g.kernel)
    found = b.insert("convolve_input", (d, turned(b, w)), sizes=g.space, **shared(g))
    return graph_of(b, {"x": found})


GRAPHS = {g.name: _graph(g) for g in GEOMETRIES}


@pytest.fixture(scope="module")
def artifact() -> Artifact:
    """All geometries as the entries of one file."""
    entries = [entry_of(graph, "forward", name) for name, graph in GRAPHS.items()]
    files, records, kernels, _ = emit_native(entries, Arena({}, {}, 0), {}, NOMINAL, "laws")
    entered = (tuple(records), tuple(kernels))
    return Artifact("laws", "cpu", "f32", files, {}, (), 0, (), *entered, NOMINAL, None, {})


def _feeds(g: Geometry, share: float) -> dict[str, np.ndarray]:
    """Every other image has that share of numbers, the rest a quarter of it."""
    rng = np.random.default_rng(1)
    inputs, outputs = g.channels
    d = rng.normal(size=(NOMINAL["B"], *g.sizes, outputs)).astype(np.float32)
    d[::2][rng.random(d[::2].shape) >= share] = 0
    d[1::2][rng.random(d[1::2].shape) >= share / 4] = 0
    return {"d": d, "w": rng.normal(size=(outputs, inputs, *g.kernel)).astype(np.float32)}


def _run(artifact: Artifact, name: str, fed: Mapping[str, np.ndarray], threads: int) -> np.ndarray:
    bound = NativeEngine(artifact, threads=threads)._entry("forward", name)
    bound.run(fed, SEED, STEP)
    return bound.outputs["x"].copy()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 1.0])
@pytest.mark.parametrize("g", GEOMETRIES, ids=lambda g: g.name)
def test_any_share_of_numbers(g: Geometry, share: float, artifact: Artifact) -> None:
    fed = _feeds(g, share)
    got = _run(artifact, g.name, fed, 2)
    agree(g.name, got, expected(GRAPHS[g.name], fed, NOMINAL)["x"])
    assert all(_run(artifact, g.name, fed, n).tobytes() == got.tobytes() for n in (1, 3))


@pytest.mark.parametrize("spoilt", ["d", "w"])
@pytest.mark.parametrize("number", [np.inf, np.nan])
def test_what_is_not_finite(spoilt: str, number: float, artifact: Artifact) -> None:
    """It reaches what it reaches in the reference; zeros times infinity among it."""
    g = GEOMETRIES[0]
    fed = _feeds(g, 0.3)
    fed[spoilt].reshape(-1)[fed[spoilt].size // 3] = number
    with np.errstate(invalid="ignore"):
        want = expected(GRAPHS[g.name], fed, NOMINAL)["x"]
    got = _run(artifact, g.name, fed, 2)
    assert not np.isfinite(want).all()
    if spoilt == "d":
        agree(g.name, got, want)
    else:  # borders are zeros, too
        assert np.isnan(got[np.isnan(want)]).all()
