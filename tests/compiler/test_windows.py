"""Sizes of convolutions and pools over grids of settings beside torch, and as formulas."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from weft.spec.errors import SpecError

from .built import buffers, net, program

RANDOM = np.random.default_rng(5)
Tensor = torch.Tensor
Twin = Callable[[Tensor], Tensor]


# ---- grids ---------------------------------------------------------------------------------------


def pools() -> Iterator[tuple[str, Twin]]:
    """Every pool with its twin; torch refuses some of the paddings."""
    for k, s, d, ceil in itertools.product((1, 2, 3, 5), (1, 2, 4), (1, 2), (False, True)):
        for pad in range((k + 1) // 2 + 1):
            given = f"{k}, stride={s}, pad={pad}, ceil={str(ceil).lower()}"

            def largest(x: Tensor, k: int = k, s: int = s, d: int = d, p: int = pad,
                        ceil: bool = ceil) -> Tensor:  # fmt: skip
                return F.max_pool1d(x, k, s, p, d, ceil_mode=ceil)

            yield f"max_pool({given}, dilation={d})", largest
            for counted in (True, False) if d == 1 else ():

                def average(x: Tensor, k: int = k, s: int = s, p: int = pad, ceil: bool = ceil,
                            counted: bool = counted) -> Tensor:  # fmt: skip
                    return F.avg_pool1d(x, k, s, p, ceil, counted)

                yield f"avg_pool({given}, count_pad={str(counted).lower()})", average


def expected(twin: Twin, x: np.ndarray) -> np.ndarray | None:
    """What torch makes of it, or None where it refuses."""
    try:
        return twin(torch.tensor(x)).numpy()
    except RuntimeError:
        return None


def result(text: str, x: np.ndarray) -> np.ndarray | None:
    """What weft makes of it, or None where it refuses."""
    try:
        return net(text, {"x": x})["y"]
    except SpecError as error:
        (found,) = error.diagnostics
        assert found.code in ("E316", "E408")
        return None


@pytest.mark.parametrize("size", [1, 2, 7])
def test_pools_have_the_sizes_and_values_of_torch(size: int) -> None:
    x = RANDOM.standard_normal((2, 2, size))
    refused = 0
    for call, twin in pools():
        wanted = expected(twin, x)
        found = result(f"net n {{\n  in x: f32[B, 2, {size}]\n  x -> {call} as y\n}}\n", x)
        if found is None or wanted is None:
            assert wanted is found is None, call
            refused += 1
        else:
            np.testing.assert_allclose(found, wanted, rtol=1e-12, err_msg=call)
    assert 0 < refused < 200


@pytest.mark.parametrize("size", [1, 4, 11])
def test_convolutions_have_the_sizes_of_torch(size: int) -> None:
    x, w = torch.zeros(1, 2, size), {k: torch.zeros(2, 2, k) for k in (1, 2, 3, 4)}
    for k, s, d, pad in itertools.product((1, 2, 3, 4), (1, 2, 5), (1, 3), (0, 2)):
        given = f"stride={s}, dilation={d}, pad={pad}"
        calls: dict[str, Twin] = {
            f"conv(2, {k}, {given})":
                lambda x, k=k, s=s, d=d, p=pad: F.conv1d(x, w[k], None, s, p, d),
            f"conv_transpose(2, {k}, {given}, output_pad={max(s, d) - 1})":
                lambda x, k=k, s=s, d=d, p=pad:
                    F.conv_transpose1d(x, w[k], None, s, p, max(s, d) - 1, 1, d),
        }  # fmt: skip
        for call, twin in calls.items():
            wanted = expected(twin, x.numpy())
            try:
                text = f"net n {{\n  in x: f32[1, 2, {size}]\n  x -> {call}\n}}\n"
                (type,) = program(text).nets["n"].outputs.values()
            except SpecError as error:
                assert wanted is None, (call, error)
            else:
                assert wanted is not None and type.shape == wanted.shape, call


# ---- formulas ------------------------------------------------------------------------------------

SIZES = {
    "x: f32[B, 3, H%32, W%32]": {
        "conv(8, 3)": "H, W",
        "conv(8, 3, stride=2)": "H/2, W/2",
        "conv(8, 4, stride=4, pad=0)": "H/4, W/4",
        "conv(8, 7, stride=2) -> max_pool(3, stride=2, pad=1) -> conv(8, 3, stride=2)"
        " -> conv(8, 1, stride=2) -> max_pool(2)": "H/32, W/32",
        "max_pool(2) -> max_pool([2, 4])": "H/4, W/8",
        "max_pool(3, stride=2, ceil=true)": "H/2, W/2",
        "max_pool(3, stride=2, pad=1, ceil=true)": "H/2 + 1, W/2 + 1",
        "conv(8, 4, stride=2) -> conv_transpose(4, 4, stride=2, pad=1)": "H, W",
        "max_pool(2) -> conv_transpose(4, 2, stride=2)": "H, W",
        "max_pool(4) -> conv_transpose(4, 5, stride=[4, 2], pad=same)": "H, W/2",
        "pixel_unshuffle([4, 2]) -> upsample([2, 1], bicubic)": "H/2, W/2",
        "max_pool(4) -> upsample([2, 4]) -> upsample([2, 1], bilinear)": "H, W",
        "upsample(3, bilinear, align_corners=true)": "3*H, 3*W",
        "conv(8, 3, stride=2) -> resize([H, W//2])": "H, W/2",
        "center_crop([H//2, 32])": "H/2, 32",
        "pixel_unshuffle(4) -> pixel_shuffle(2)": "H/2, W/2",
    },
    "x: f32[B, 3, H, W]": {
        "conv(8, 3, pad=0)": "H - 2, W - 2",
        "conv(8, 3, stride=2)": "(H + 1)//2, (W + 1)//2",
        "max_pool(2)": "H//2, W//2",
        "max_pool(2, ceil=true)": "(H + 1)//2, (W + 1)//2",
        "conv_transpose(8, 3, stride=2)": "2*H + 1, 2*W + 1",
        "conv(8, 3, dilation=2, pad=[[0, 4], 2])": "H, W",
    },
    "x: f32[B, 3, 37, 41]": {
        "conv(8, 3, stride=2)": "19, 21",
        "max_pool(3, stride=2, ceil=true)": "18, 20",
        "resize(224)": "224, 224",
    },
}


@pytest.mark.parametrize(
    ("inputs", "flow", "wanted"), [(i, f, w) for i, rows in SIZES.items() for f, w in rows.items()]
)
def test_sizes_as_formulas(inputs: str, flow: str, wanted: str) -> None:
    (type,) = program(f"net n {{\n  in {inputs}\n  x -> {flow}\n}}\n").nets["n"].outputs.values()
    assert str(type).split(", ", 2)[2] == f"{wanted}]"


def test_windows_beside_each_other_are_put_in_another_order() -> None:
    """Nothing is multiplied, nor added, on the way to columns and back."""
    text = "net n {\n  in x: f32[B, 3, H%16, 224]\n  y = unfold(x, 16, stride=16)\n"
    text += "  y -> fold([H, 224], 16, stride=16) as z\n}\n"
    nodes = program(text).nets["n"].builder.nodes
    given = {"input", "constant", "broadcast"}
    assert {node.op for node in nodes} - given == {"reshape", "transpose"}


# ---- chance --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("block", "whole"), [("channel_dropout", 2), ("stochastic_depth", 1)])
def test_whole_channels_or_samples_are_left_out(block: str, whole: int) -> None:
    """Kept ones are scaled, so that the mean stays; each of the others is zero as a whole."""
    text = f"net n {{\n  in x: f32[B, 6, 3]\n  x -> {block}(0.25) as y\n}}\n"
    x = np.abs(RANDOM.standard_normal((400, 6, 3))) + 1
    factor = net(text, {"x": x}, training=True)["y"] / x
    np.testing.assert_allclose(factor, np.where(factor > 0, 4 / 3, 0))
    kept = (factor > 0).reshape(*x.shape[:whole], -1)
    assert (kept == kept[..., :1]).all()
    assert abs(kept.mean() - 0.75) < 4 * (0.1875 / kept[..., 0].size) ** 0.5


def test_batch_norm_keeps_its_statistics_when_a_batch_has_one_element() -> None:
    text = "net n {\n  in x: f32[B, 3]\n  x -> batch_norm\n}\n"
    names = ("running_mean", "running_var", "weight", "bias")
    feeds = {"x": np.ones((1, 3)), **{f"batch_norm.{name}": np.ones(3) for name in names}}
    found = buffers(text, feeds)
    np.testing.assert_allclose(found["batch_norm.running_mean"], 1)
    np.testing.assert_allclose(found["batch_norm.running_var"], 0.9)
