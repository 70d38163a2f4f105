"""Resizing as a band: which elements are read, by how many, and where a product takes its place."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from weft.compiler import reference
from weft.compiler.build.resizing import UNROLLED, Grid
from weft.compiler.ops import new_builder
from weft.spec.dims import Dim, evaluate, symbol

from .built import net, program

H = symbol("H")
MODES = [("nearest", False), ("bilinear", False), ("bicubic", False), ("bilinear", True),
         ("bicubic", True)]  # fmt: skip


def ops(flow: str, inputs: str) -> set[str]:
    nodes = program(f"net n {{\n  in {inputs}\n  x -> {flow} as y\n}}\n").nets["n"].builder.nodes
    return {node.op for node in nodes}


@pytest.mark.parametrize(("mode", "smooth"), MODES)
def test_reads_are_never_more_than_said(mode: str, smooth: bool) -> None:
    """Each row lies within the operand, and no element has more readers than the adjoint adds."""
    pairs: list[tuple[Dim, Dim]] = [(n, m) for n in (1, 2, 3, 7, 12) for m in (1, 2, 5, 12, 31)]
    pairs += [(H, 3 * H), (H, 2 * H), (4 * H, H), (2 * H, 6 * H)]
    for extent, size in pairs:
        b = new_builder()
        found = Grid(b, size, extent, mode, smooth=smooth).band()
        assert found is not None
        first, weights, reads = found
        b.outputs.update(first=first, weights=weights)
        for h in (1, 2, 3, 5, 8, 13, 40):
            values = reference.run(b.graph(), {}, {"H": h})
            start, terms = values["first"], len(values["weights"])
            old = np.arange(evaluate(extent, {"H": h}))[:, None]
            readers = ((start <= old) & (old < start + terms)).sum(1)
            assert (np.diff(start) >= 0).all() and start.min() >= 0
            assert readers.max() <= reads, (extent, size, h)
            outside = start + np.arange(terms)[:, None] >= len(old)
            assert not values["weights"][outside].any()
            np.testing.assert_allclose(values["weights"].sum(0), 1, rtol=1e-12)


def test_a_product_where_many_are_read_or_sizes_are_open() -> None:
    assert "band" in ops("resize(256)", "x: f32[B, 3, 224, 224]")
    assert "band" in ops("upsample(2, bicubic)", "x: f32[B, 3, H, W]")
    assert "contract" not in ops("resize(256)", "x: f32[B, 3, 224, 224]")
    assert "contract" in ops("resize(224)", "x: f32[B, 3, H, W]")
    assert "contract" in ops(f"resize([{2 * UNROLLED}, 2])", "x: f32[B, 3, 2, 2]")
    assert "contract" in ops("resize(2, antialias=true)", f"x: f32[B, 3, {UNROLLED + 2}, 2]")


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_images_of_usual_sizes_are_those_of_torch(mode: str) -> None:
    """Smoothed, in float64."""
    x = np.random.default_rng(0).standard_normal((1, 2, 224, 160))
    for size in ([64, 48], [128, 40], [40, 200]):
        flow = f"x -> resize({size}, {mode}, antialias=true) as y"
        text = f"net n {{\n  in x: f32[B, 2, 224, 160]\n  {flow}\n}}\n"
        wanted = F.interpolate(torch.from_numpy(x), size=size, mode=mode, antialias=True)
        np.testing.assert_allclose(net(text, {"x": x})["y"], wanted.numpy(), rtol=0, atol=1e-12)


def test_long_lines_and_one_pixel() -> None:
    """Sizes whose product passes 32 bits, but not their ratio; corners of one new pixel."""
    x = np.random.default_rng(0).standard_normal((1, 1, 96000))
    found = net("net n {\n  in x: f32[B, 1, 96000]\n  x -> resize(88200) as y\n}\n", {"x": x})
    places = (np.arange(88200) + 0.5) * 96000 / 88200 - 0.5  # which PyTorch rounds to single ones
    wanted = np.interp(places, np.arange(96000), x[0, 0])
    np.testing.assert_allclose(found["y"][0, 0], wanted, rtol=0, atol=1e-9)
    text = "net n {\n  in x: f32[B, 1, 4], z: f32[B, 1, T]\n"
    text += "  x -> resize([T], align_corners=true) as w\n  y = w + 0*z\n  out y\n}\n"
    found = net(text, {"x": x[:, :, :4], "z": x[:, :, :1]})
    np.testing.assert_allclose(found["y"], x[:, :, :1])


def test_what_a_broken_scale_is_told_to_say_works() -> None:
    """`upsample(2.5)` names a `resize` that does what was meant, for open sizes too."""
    x = np.random.default_rng(0).standard_normal((1, 1, 6, 7))
    text = (
        "net n {\n  in x: f32[B, 1, H, W]\n  x -> resize([H + H//2, W + W//2], nearest) as y\n}\n"
    )
    wanted = F.interpolate(torch.from_numpy(x), size=(9, 10), mode="nearest")
    np.testing.assert_allclose(net(text, {"x": x})["y"], wanted.numpy())
