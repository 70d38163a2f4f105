"""Expressions and intrinsics against NumPy; their gradients against finite differences."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.lib.stride_tricks import sliding_window_view

from weft.compiler.build.intrinsics import INTRINSICS
from weft.spec.static import FUNCTIONS

from .built import gradients, net

Array = np.ndarray
SIZES = {"B": 5, "T": 3, "H": 2, "W": 4}
RANDOM = np.random.default_rng(3)


@dataclass(frozen=True)
class Case:
    """A flow in weft and its meaning in NumPy; `smooth`: finite differences apply."""

    flow: str
    twin: Callable[..., Any]
    inputs: str = "x: f32[B, 6]"
    smooth: bool = True
    positive: bool = False

    @property
    def id(self) -> str:
        return re.sub(r"\s+", " ", self.flow)


XY = "x: f32[B, 6], y: f32[B, 6]"
IMAGE = "x: f32[B, 6, H, W]"
ROWS = "x: f32[B, T, 6], y: f32[B, 6, 4]"
INDEX = "x: f32[B, 6], k: i32[B]"


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def logsumexp(x: Array, axis: int) -> Array:
    return np.log(np.exp(x).sum(axis))


def larger_of_pairs(x: Array) -> Array:
    """The larger of two neighbours in its place, 0 in the other's."""
    pairs = x.reshape(*x.shape[:-1], -1, 2)
    return np.where(pairs == pairs.max(-1, keepdims=True), pairs, 0.0).reshape(x.shape)


def torch_of(function: Callable[..., Any], *arrays: Array) -> Array:
    """A function of torch, for arrays."""
    return function(*map(torch.from_numpy, arrays)).numpy()


def scaled(x: Any, scale: int, corners: bool) -> Any:
    return F.interpolate(x, scale_factor=scale, mode="bilinear", align_corners=corners)


CASES = [
    # operators
    Case("out x + y*2 - 1", lambda x, y: x + y * 2 - 1, XY),
    Case("out x/(2 + y*y)", lambda x, y: x / (2 + y * y), XY),
    Case("out -x**2", lambda x: -(x**2)),
    Case("out x**3 + x**0.5", lambda x: x**3 + x**0.5, positive=True),
    Case("out 2**x", lambda x: 2**x),
    Case("out x**y", lambda x, y: x**y, XY, positive=True),
    Case("out x//0.4", lambda x: x // 0.4, smooth=False),
    Case("out x % 0.7", lambda x: x % 0.7, smooth=False),
    Case("out x + y if size(x, axis=1) > 6 else x*y", lambda x, y: x * y, XY),
    Case(
        "out maximum(x -> exp, -1 if not true else 3 - y)",
        lambda x, y: np.maximum(np.exp(x), 3 - y),
        XY,
    ),
    Case("(x -> exp, y) -> add", lambda x, y: np.exp(x) + y, XY),
    Case(
        "out where(x > y and not (x < 0.5), x, y)",
        lambda x, y: np.where((x > y) & ~(x < 0.5), x, y),
        XY,
        False,
    ),
    Case(
        "out where(x >= 0 or y <= 0, 1, 0)*x",
        lambda x, y: np.where((x >= 0) | (y <= 0), 1, 0) * x,
        XY,
        False,
    ),
    Case("out mean(x != y)", lambda x, y: (x != y).mean(), XY, False),
    Case("out sum((x > 0) == (y > 0))", lambda x, y: ((x > 0) == (y > 0)).sum(), XY, False),
    # sizes are values
    Case("out sum(x)/size(x, 0)", lambda x: x.sum() / len(x)),
    Case("out x*size(x) + rank(x)", lambda x: x * x.size + 2),
    Case("out x/sqrt(B) + B*2.5", lambda x: x / np.sqrt(5) + 12.5),
    Case("out x + 1/B", lambda x: x + 1 / 5),
    Case("h = B*6\n  out reshape(x, [h])", lambda x: x.reshape(-1)),
    Case("out x*max(2, 3) + len([1, 2]) + min([4, 5])", lambda x: x * 3 + 6),
    Case("out x*sqrt(2) + exp(0) + log(1) + abs(-2)", lambda x: x * 2**0.5 + 3),
    Case("out x*round(1.2) + floor(1.9) + ceil(1.1) + range(3)[-1]", lambda x: x + 5),
    # broadcasting
    Case("out x + mean(x, axis=0)", lambda x: x + x.mean(0)),
    Case("out x*unsqueeze(k, 1)", lambda x, k: x * k[:, None], INDEX),
    Case("out x[:, :1] + x[:1]", lambda x: x[:, :1] + x[:1]),
    # indices
    Case("out x[:, 2]", lambda x: x[:, 2]),
    Case("out x[-1]", lambda x: x[-1]),
    Case("out x[:, 1:-1]", lambda x: x[:, 1:-1]),
    Case("out x[..., -2:]", lambda x: x[..., -2:]),
    Case("out x[0, ..., 1]", lambda x: x[0, ..., 1], IMAGE),
    Case("out x[:, 1:3, :, W - 1]", lambda x: x[:, 1:3, :, 3], IMAGE),
    Case("out x[k]", lambda x, k: x[k], INDEX),
    Case("out x[1:, k]", lambda x, k: x[1:][:, k], INDEX),
    Case("out x[..., k, 0]", lambda x, k: x[..., k, 0], "x: f32[B, 6, 2], k: i32[B]"),
    # scalar functions
    Case("x -> exp", np.exp),
    Case("x -> log", np.log, positive=True),
    Case("x -> sqrt", np.sqrt, positive=True),
    Case("x -> rsqrt", lambda x: x**-0.5, positive=True),
    Case("x -> tanh", np.tanh),
    Case("x -> sigmoid", sigmoid),
    Case("x -> softplus", lambda x: np.log1p(np.exp(x))),
    Case("x -> erf", lambda x: np.vectorize(__import__("math").erf)(x)),
    Case("x -> sin", np.sin),
    Case("x -> cos", np.cos),
    Case("x -> abs", np.abs),
    Case("x -> sign", np.sign, smooth=False),
    Case("x -> floor", np.floor, smooth=False),
    Case("x -> round", np.round, smooth=False),
    Case("x -> maximum(y)", np.maximum, XY),
    Case("out minimum(0.3, x)", lambda x: np.minimum(0.3, x)),
    Case("out pow(x, 2.5)", lambda x: x**2.5, positive=True),
    Case("out where(x > 0, x, 2)", lambda x: np.where(x > 0, x, 2)),
    Case("add(x, y, 3)", lambda x, y: x + y + 3, XY),
    Case("mul(x, y, x)", lambda x, y: x * y * x, XY),
    Case("(x, y) -> identity -> add", np.add, XY),
    Case("out x*stop_gradient(3)", lambda x: x * 3),
    Case("out cast(x*3, i32)", lambda x: np.trunc(x * 3), smooth=False),
    Case("out cast(x > 0, f32)*x", lambda x: (x > 0) * x, smooth=False),
    Case('x -> require(6 > 3, "?")', lambda x: x),
    Case("out x*unsqueeze(bounded(k, below=6), 1)", lambda x, k: x * k[:, None], INDEX),
    # reductions and products
    Case("x -> sum", np.sum),
    Case("out sum(x, axis=[0, -1], keep=true)", lambda x: x.sum((0, 3), keepdims=True), IMAGE),
    Case("out mean(x, 1)", lambda x: x.mean(1)),
    Case("x -> max", np.max),
    Case("out max(x, axis=[1, 2])", lambda x: x.max((1, 2)), IMAGE),
    Case("out min(x, axis=0, keep=true)", lambda x: x.min(0, keepdims=True)),
    Case("out logsumexp(x, axis=1)", lambda x: logsumexp(x, 1)),
    Case("out argmax(x)", lambda x: x.argmax(-1), smooth=False),
    Case("out argmin(x, axis=0, keep=true)", lambda x: x.argmin(0)[None], smooth=False),
    Case("out matmul(x, transpose(y))", lambda x, y: x @ y.T, XY),
    Case("out matmul(x, y)", np.matmul, ROWS),
    Case("out matmul(x, y[0])", lambda x, y: x @ y[0], ROWS),
    Case("out matmul(x[0], y)", lambda x, y: x[0] @ y, ROWS),
    Case("out matmul(x[:1], y)", lambda x, y: x[:1] @ y, ROWS),
    Case("out matmul(transpose(y), transpose(x))", lambda x, y: (x @ y).swapaxes(1, 2), ROWS),
    Case("out matmul(x[0], x[1])", lambda x: x[0] @ x[1]),
    Case("out matmul(x, x[1])", lambda x: x @ x[1]),
    Case("out matmul(x[:, 0], x)", lambda x: x[:, 0] @ x),
    Case("out take(x, k)", lambda x, k: x[k], INDEX),
    Case("out take(x, k, axis=1)", lambda x, k: x[:, k], INDEX),
    Case("out take(x, unsqueeze(k, 1), axis=1)", lambda x, k: x[:, k[:, None]], INDEX),
    # shapes
    Case("out reshape(x, [B, 2, 3])", lambda x: x.reshape(5, 2, 3)),
    Case("out reshape(x, [B, -1, 2])", lambda x: x.reshape(5, 3, 2)),
    Case("out reshape(x, [6, B])", lambda x: x.reshape(6, 5)),
    Case("x -> flatten", lambda x: x.reshape(5, -1), IMAGE),
    Case("out flatten(x, start=2)", lambda x: x.reshape(5, 6, -1), IMAGE),
    Case("x -> transpose", lambda x: x.swapaxes(2, 3), IMAGE),
    Case("x -> transpose(axes=[2, 0, -1, 1])", lambda x: x.transpose(2, 0, 3, 1), IMAGE),
    Case(
        'x -> rearrange("b c h w -> b (h w) c")',
        lambda x: x.transpose(0, 2, 3, 1).reshape(5, 8, 6),
        IMAGE,
    ),
    Case(
        'x -> rearrange("b (g c) ... -> g b ... c", g=2)',
        lambda x: x.reshape(5, 2, 3, 2, 4).transpose(1, 0, 3, 4, 2),
        IMAGE,
    ),
    Case('x -> rearrange("b c -> b 1 c 1")', lambda x: x[:, None, :, None]),
    Case(
        'rearrange(x, "b (p q r) -> (b r) (q p)", p=2, q=3)',
        lambda x: x.reshape(5, 2, 3, 1).transpose(0, 3, 2, 1).reshape(5, 6),
    ),
    Case("out expand(x, [3, B, 6])", lambda x: np.broadcast_to(x, (3, 5, 6))),
    Case("out expand(x[:, :1], [B, 4])", lambda x: np.broadcast_to(x[:, :1], (5, 4))),
    Case("out squeeze(x[:1], 0)", lambda x: x[0]),
    Case("out unsqueeze(x, -1)", lambda x: x[..., None]),
    Case("concat(x, y, axis=1)", lambda x, y: np.concatenate([x, y], 1), XY),
    Case("(x, y) -> concat(axis=0)", lambda x, y: np.concatenate([x, y], 0), XY),
    Case("stack(x, y, x, axis=-1)", lambda x, y: np.stack([x, y, x], -1), XY),
    Case("a, b = split(x, 2)\n  out b - a", lambda x: x[:, 3:] - x[:, :3]),
    Case("a, b, _ = split(x, [1, 3, 2], axis=1)\n  out a*b", lambda x: x[:, :1] * x[:, 1:4]),
    Case(
        "out pad(x, [0, [1, 2]], value=3)",
        lambda x: np.pad(x, ((0, 0), (1, 2)), constant_values=3),
    ),
    Case("out pad(x, [0, 1])", lambda x: np.pad(x, [(0, 0), (1, 1)])),
    Case("out x + position(x)", lambda x: x + np.arange(6)),
    Case("out x*position(x, axis=0)", lambda x: x * np.arange(5)[:, None]),
    Case("out x + shape(x)[1]", lambda x: x + 6),
    Case("out k -> if is_integer(k) { identity -> add(1) }", lambda x, k: k + 1, INDEX, False),
    Case(
        "out pad(x, [0, [2, 3]], mode=reflect)",
        lambda x: np.pad(x, ((0, 0), (2, 3)), mode="reflect"),
    ),
    Case(
        "out pad(x, [[5, 1], 0], mode=circular)",
        lambda x: np.pad(x, ((5, 1), (0, 0)), mode="wrap"),
    ),
    Case("out pad(x, [0, 7], mode=replicate)", lambda x: np.pad(x, [(0, 0), (7, 7)], mode="edge")),
    Case("out x*numbers([1, 2, 3, 5, 7, 0.5])", lambda x: x * [1, 2, 3, 5, 7, 0.5]),
    # windows
    Case(
        "out convolve(x, y, stride=[2, 1], pad=[[1, 0], 2], dilation=[1, 3], groups=2)",
        lambda x, y: torch_of(
            lambda x, y: F.conv2d(F.pad(x, (2, 2, 1, 0)), y, None, (2, 1), 0, (1, 3), 2), x, y
        ),
        "x: f32[B, 6, 5, 4], y: f32[4, 3, 3, 2]",
    ),
    Case(
        "out convolve(x, y, pad=same, pad_mode=reflect)",
        lambda x, y: torch_of(lambda x, y: F.conv1d(F.pad(x, (2, 2), "reflect"), y), x, y),
        "x: f32[B, 6, 4], y: f32[2, 6, 5]",
    ),
    Case(
        "out convolve_transpose(x, y, stride=3, pad=1, output_pad=2, groups=3)",
        lambda x, y: torch_of(lambda x, y: F.conv_transpose2d(x, y, None, 3, 1, 2, 3), x, y),
        "x: f32[B, 6, H, W], y: f32[6, 1, 4, 2]",
    ),
    Case(
        "out convolve_transpose(x, y, pad=[[1, 0]])",
        lambda x, y: torch_of(F.conv_transpose1d, x, y)[:, :, 1:],
        "x: f32[B, 6, 4], y: f32[6, 2, 3]",
    ),
    Case(
        "x -> max_pool(2, stride=1)",
        lambda x: sliding_window_view(x, (2, 2), (2, 3)).max((4, 5)),
        IMAGE,
    ),
    Case("max_unpool(max_pool(x, [1, 2]), x, [1, 2])", larger_of_pairs, IMAGE),
    Case(
        "x -> avg_pool([1, 3], stride=1)",
        lambda x: sliding_window_view(x, (1, 3), (2, 3)).mean((4, 5)),
        IMAGE,
    ),
    Case("x -> unfold([1, 2])", lambda x: torch_of(lambda x: F.unfold(x, (1, 2)), x), IMAGE),
    Case(
        "x -> flatten(2) -> fold([2*H, W], [2, 1], stride=[2, 1])",
        lambda x: torch_of(lambda x: F.fold(x.flatten(2), (4, 4), (2, 1), stride=(2, 1)), x),
        IMAGE,
    ),
    Case("x -> if divides(x, 4, axis=1) { sin } else { cos }", np.cos),
    Case("x -> if divides(x, 3, axis=1) { sin } else { cos }", np.sin),
    Case("out x*per_axis(x, 3)[1] + len(per_axis(x, [2, W]))", lambda x: x * 3 + 2, IMAGE),
    Case("x -> repeat_pixels([3, 2])", lambda x: x.repeat(3, 2).repeat(2, 3), IMAGE),
    Case("x -> blend(2)", lambda x: torch_of(lambda x: scaled(x, 2, False), x), IMAGE),
    Case("x -> stretch(3)", lambda x: torch_of(lambda x: scaled(x, 3, True), x), IMAGE),
    Case(
        "x -> resize([W, 3])",
        lambda x: torch_of(lambda x: F.interpolate(x, (4, 3), mode="bilinear"), x),
        IMAGE,
    ),
    Case(
        "x -> adaptive_avg_pool([3, 2])",
        lambda x: torch_of(lambda x: F.adaptive_avg_pool2d(x, (3, 2)), x),
        IMAGE,
    ),
    Case(
        "x -> adaptive_max_pool([1, 3])",
        lambda x: torch_of(lambda x: F.adaptive_max_pool2d(x, (1, 3)), x),
        IMAGE,
    ),
    Case("x -> middle([H, 1])", lambda x: x[:, :, :, 1:2], IMAGE),
    Case(
        "x -> window_sum(3, axis=1)",
        lambda x: sliding_window_view(np.pad(x, ((0, 0), (1, 1))), 3, 1).sum(2),
    ),
    Case(
        "x -> window_sum(4, axis=0)",
        lambda x: sliding_window_view(np.pad(x, ((2, 1), (0, 0))), 4, 0).sum(2),
    ),
    # new values
    Case("out x*arange(6)", lambda x: x * np.arange(6)),
    Case("out x + unsqueeze(arange(B), 1)", lambda x: x + np.arange(5)[:, None]),
    Case("out x*linspace(-1, 2, 6)", lambda x: x * np.linspace(-1, 2, 6)),
    Case("out x + zeros([6]) + ones(like=x)", lambda x: x + 1),
    Case("out x*full([6], 2.5)", lambda x: x * 2.5),
]

ELSEWHERE = {"normal", "uniform", "randint", "size", "running", "scan"}
# random: test_build; size: above as a setting; running: test_prelude, with batch_norm;
# scan: test_scan


def spec_of(case: Case) -> str:
    """The case as a net; inputs it does not mention are left out."""
    inputs = re.findall(r"\w+: \w+\[[^\]]*\]", case.inputs)
    used = [i for i in inputs if re.search(rf"\b{i.partition(':')[0]}\b", case.flow)]
    return f"net n {{\n  in {', '.join(used)}\n  {case.flow}\n}}\n"


def feeds_of(case: Case) -> dict[str, Array]:
    """Random inputs."""
    feeds: dict[str, Array] = {}
    for name, dtype, dims in re.findall(r"(\w+): (\w+)\[([^\]]*)\]", case.inputs):
        shape = [SIZES.get(d) or int(d) for d in dims.split(", ")]
        drawn = RANDOM.standard_normal(shape)
        drawn = np.abs(drawn) + 0.5 if case.positive else drawn
        feeds[name] = RANDOM.integers(0, 5, shape) if dtype == "i32" else drawn
    return feeds


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.id)
def test_values(case: Case) -> None:
    feeds = feeds_of(case)
    (found,) = net(spec_of(case), feeds).values()
    np.testing.assert_allclose(found, case.twin(*feeds.values()), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("case", [c for c in CASES if c.smooth], ids=lambda c: c.id)
def test_gradients_are_finite_differences(case: Case) -> None:
    feeds = feeds_of(case)
    text = spec_of(case)
    cotangent = RANDOM.standard_normal(np.shape(case.twin(*feeds.values())))
    _, found = gradients(text, feeds, cotangent)
    assert found or "x" not in text
    for name, gradient in found.items():
        direction = RANDOM.standard_normal(feeds[name].shape)
        slopes = []
        for sign in (1, -1):
            moved = {**feeds, name: feeds[name] + sign * 1e-6 * direction}
            slopes.append(np.sum(np.asarray(case.twin(*moved.values())) * cotangent))
        numeric = (slopes[0] - slopes[1]) / 2e-6
        np.testing.assert_allclose(np.sum(gradient * direction), numeric, rtol=2e-6, atol=1e-7)


def test_every_intrinsic_has_a_case() -> None:
    words = {word for case in CASES for word in re.findall(r"\w+", case.flow)}
    assert set(INTRINSICS) | set(FUNCTIONS) <= words | ELSEWHERE


def test_stop_gradient_stops() -> None:
    text = "net n {\n  in x: f32[B]\n  out x*stop_gradient(x)\n}\n"
    feeds = {"x": np.array([2.0, -3.0])}
    value, found = gradients(text, feeds)
    np.testing.assert_array_equal(value, [4.0, 9.0])
    np.testing.assert_array_equal(found["x"], feeds["x"])


def test_numbers_take_the_element_type_of_the_tensors_beside_them() -> None:
    from .built import program

    text = "net n {{\n  in x: {}[B]\n  out x*{} + 1\n}}\n"
    cases = {("i32", "2"): "i32", ("i32", "0.5"): "f32", ("f16", "0.5"): "f32", ("i64", "2"): "i64"}
    for (dtype, number), wanted in cases.items():
        (type,) = program(text.format(dtype, number)).nets["n"].outputs.values()
        assert type.dtype == wanted
