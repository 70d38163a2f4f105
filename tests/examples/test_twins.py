"""The networks for images against their twins in PyTorch, in float64: outputs and all gradients."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch

from weft.compiler import reference
from weft.compiler.build import elaborate
from weft.compiler.passes.differentiate import differentiate
from weft.spec.load import load

from .counts import FOLDER
from .twins import arms, down_up, inverted, rows, shortcuts, words
from .twins.weights import Tensor, Weights


@dataclass(frozen=True)
class Case:
    """A net of a spec at a size that is quick, and its twin."""

    spec: str
    net: str
    twin: Callable[..., Tensor]
    shape: tuple[int, ...]
    params: dict[str, Any] = field(default_factory=dict)
    variant: str | None = None
    times: int = 0

    @property
    def id(self) -> str:
        return f"{self.spec}:{self.net}{f'-{self.variant}' if self.variant else ''}"


def _no_pooling(kind: str) -> Case:
    twin = lambda w, x: rows.no_pooling(w, x, kind)  # noqa: E731
    return Case("lenet5/no_pooling", "digits", twin, (2, 1, 28, 28), variant=kind)


def _all_cnn(variant: str, convs: int, pool: bool) -> Case:
    twin = lambda w, x: rows.all_cnn(w, x, convs, pool)  # noqa: E731
    return Case("all_cnn/all_cnn", "all_cnn", twin, (1, 3, 32, 32), variant=variant)


def _original(w: Weights, x: Tensor) -> Tensor:
    """The drawings are read from the text, bit by bit."""
    text = (FOLDER / "lenet5" / "original.weft").read_text(encoding="utf-8")
    digits = [found.split(",") for found in re.findall(r"=\[([\d, ]+)\]", text)[:10]]
    bits = [[int(bit) for row in digit for bit in f"{int(row):07b}"] for digit in digits]
    return rows.original(w, x, 2 * torch.tensor(bits).double() - 1)


ONE = {"layers": [1, 1, 1, 1], "size": 32, "classes": 5}
LEVELS = {"widths": [32, 64, 32], "attend": [False, True, False]}
CASES = [
    _no_pooling("pool"),
    _no_pooling("stride"),
    _no_pooling("conv"),
    Case(
        "vgg/vgg",
        "vgg",
        rows.vgg,
        (1, 3, 32, 32),
        {"convs": [1] * 5, "norm": True, "size": 32, "classes": 3},
    ),
    Case("network_in_network/nin", "network_in_network", rows.nin, (1, 3, 32, 32)),
    _all_cnn("model_c", 2, True),
    _all_cnn("all_cnn_c", 3, False),
    Case("espcn/espcn", "espcn", lambda w, x: rows.espcn(w, x, 3), (2, 1, 16, 24)),
    Case("espcn/espcn", "espcn", lambda w, x: rows.espcn(w, x, 2), (1, 1, 16, 24), variant="x2"),
    Case(
        "csrnet/csrnet",
        "csrnet",
        lambda w, x: rows.csrnet(w, x, (2, 2, 2, 4, 4, 4)),
        (1, 3, 16, 24),
        variant="c",
    ),
    Case(
        "resnet/resnet", "resnet", lambda w, x: shortcuts.resnet(w, x, False), (2, 3, 32, 32), ONE
    ),
    Case(
        "resnet/resnet",
        "resnet",
        lambda w, x: shortcuts.resnet(w, x, True, 32),
        (1, 3, 32, 32),
        ONE,
        variant="resnext50_32x4d",
    ),
    Case("resnet/cifar", "resnet", shortcuts.cifar, (2, 3, 32, 32), {"n": 1}),
    Case("resnet/wide", "wide_resnet", shortcuts.wide, (2, 3, 32, 32), {"depth": 10, "widen": 1}),
    Case("resnet/wide", "wide_resnet", shortcuts.wide, (1, 3, 32, 32), {"depth": 10, "widen": 2}),
    Case(
        "densenet/densenet",
        "densenet",
        lambda w, x: shortcuts.densenet(w, x, 2),
        (2, 3, 64, 64),
        {"layers": [2] * 4, "growth": 4, "size": 64, "classes": 3},
    ),
    Case(
        "mobilenet/mobilenet_v2",
        "mobilenet",
        inverted.mobile_v2,
        (2, 3, 48, 40),
        {"width": 0.1, "classes": 5},
    ),
    Case(
        "mobilenet/mobilenet_v3",
        "mobilenet",
        lambda w, x: inverted.mobile_v3(w, x, [(False, 1), (False, 2), (True, 1), (True, 2)]),
        (2, 3, 32, 40),
        {
            "layers": [
                [3, 16, 16, 0, 0, 1],
                [3, 24, 8, 1, 0, 2],
                [5, 20, 8, 1, 1, 1],
                [5, 24, 12, 0, 1, 2],
            ],
            "last": [10, 12],
            "classes": 5,
        },
    ),
    Case(
        "efficientnet/efficientnet",
        "efficientnet",
        lambda w, x: inverted.efficient(w, x, (1, 1, 1, 1, 1, 2, 1)),
        (2, 3, 32, 32),
        {"width": 0.2, "depth": 0.3, "size": 32, "classes": 5},
    ),
    Case(
        "convnext/convnext",
        "convnext",
        lambda w, x: inverted.convnext(w, x, (1, 2, 1, 1)),
        (2, 3, 32, 64),
        {"layers": [1, 2, 1, 1], "widths": [6, 8, 10, 12], "classes": 5},
    ),
    Case("highway/highway", "highway", lambda w, x: shortcuts.highway(w, x, 10), (3, 784)),
    Case(
        "unet/unet",
        "unet",
        lambda w, x: down_up.unet(w, x, 2, 0),
        (2, 1, 60, 60),
        {"channels": 3, "depth": 2, "size": 60},
    ),
    Case(
        "unet/curves",
        "unet",
        lambda w, x: down_up.unet(w, x, 2, 1),
        (2, 1, 24, 24),
        {"channels": 3, "size": 24},
    ),
    Case(
        "detector/detector",
        "detector",
        down_up.detector,
        (2, 3, 32, 48),
        {"kinds": 2, "width": 6},
    ),
    Case(
        "cyclegan/pix2pix",
        "translate",
        lambda w, x: down_up.pix2pix(w, x, 5),
        (1, 3, 256, 256),
        {"widths": [2, 3, 4, 5, 6]},
    ),
    Case(
        "cyclegan/cyclegan",
        "to_zebra",
        lambda w, x: down_up.translate(w, x, 2),
        (2, 3, 32, 32),
        {"c": 3, "blocks": 2, "size": 32},
    ),
    Case("cyclegan/cyclegan", "is_horse", down_up.patches, (2, 3, 32, 32), {"c": 3, "size": 32}),
    Case("dcgan/dcgan", "generator", down_up.generator, (2, 7), {"noise": 7, "c": 3}),
    Case("dcgan/dcgan", "discriminator", down_up.discriminator, (2, 3, 64, 64), {"c": 3}),
    Case(
        "ddpm/ddpm",
        "denoiser",
        lambda w, x, t: down_up.ddpm(w, x, t, (32, 64, 32), {1}),
        (2, 3, 32, 32),
        LEVELS,
        times=1000,
    ),
    Case(
        "vit/vit",
        "vit",
        lambda w, x: words.vit(w, x, 2, 2, 8),
        (2, 3, 24, 24),
        {"width": 12, "heads": 2, "depth": 2, "patch": 8, "size": 24, "classes": 4},
    ),
    Case(
        "mixer/mixer",
        "mixer",
        lambda w, x: words.mixer(w, x, 2, 8),
        (2, 3, 24, 24),
        {"width": 12, "depth": 2, "token_mlp": 5, "channel_mlp": 7, "patch": 8, "size": 24},
    ),
    Case("lenet5/original", "lenet5", _original, (2, 1, 32, 32)),
    Case("lenet5/lenet5", "lenet5", rows.lenet5, (2, 1, 32, 32)),
    Case("alexnet/two_tower", "alexnet", rows.two_tower, (1, 3, 67, 67), {"size": 67}),
    Case("alexnet/one_tower", "alexnet", rows.one_tower, (1, 3, 64, 64), {"size": 64}),
    Case(
        "overfeat/overfeat",
        "overfeat",
        lambda w, x: rows.overfeat(w, x, 4, 2, 2),
        (1, 3, 112, 112),
        {"size": 112, "widths": [8, 6], "dense": [9, 7], "view": 1},
    ),
    Case(
        "googlenet/googlenet",
        "googlenet",
        lambda w, x: arms.googlenet(w, x, False),
        (1, 3, 96, 96),
        {"size": 96, "classes": 3},
    ),
    Case(
        "googlenet/googlenet",
        "googlenet",
        lambda w, x: arms.googlenet(w, x, True),
        (1, 3, 96, 96),
        {"size": 96, "classes": 3},
        variant="torchvision",
    ),
    Case(
        "googlenet/bn_inception",
        "bn_inception",
        arms.bn_inception,
        (1, 3, 64, 64),
        {"size": 64, "classes": 3},
    ),
    Case(
        "inception_resnet/inception_resnet_v2",
        "inception_resnet_v2",
        lambda w, x: arms.inception_resnet(w, x, (2, 1, 1)),
        (1, 3, 75, 75),
        {"modules": [2, 1, 1], "size": 75, "classes": 3},
    ),
    Case(
        "transunet/transunet",
        "transunet",
        lambda w, x: words.transunet(w, x, 2, 2),
        (1, 3, 32, 32),
        {"width": 12, "heads": 2, "depth": 2, "size": 32},
    ),
    Case(
        "dpt/hybrid",
        "dpt",
        lambda w, x: words.hybrid(w, x, 2),
        (1, 3, 32, 32),
        {"width": 12, "heads": 2, "grid": 2},
        variant="lean",
    ),
    Case(
        "dpt/large",
        "dpt",
        lambda w, x: words.dpt(w, x, 2, 4, 2),
        (1, 3, 32, 32),
        {"width": 12, "heads": 2, "depth": 4, "grid": 2},
        variant="lean",
    ),
]


LONG = ("efficientnet", "inception_resnet_v2", "alexnet", "googlenet-torchvision", "dpt-lean")
"""What takes more than five seconds: `make quick` leaves it out."""
PARAMETERS = [
    pytest.param(case, id=case.id, marks=[pytest.mark.slow] if case.id.endswith(LONG) else [])
    for case in CASES
]


@pytest.mark.parametrize("case", PARAMETERS)
def test_outputs_and_gradients(case: Case) -> None:
    program = elaborate(
        load(FOLDER / f"{case.spec}.weft", variant=case.variant, params=case.params)
    )
    built = program.nets[case.net]
    random = np.random.default_rng(zlib.crc32(case.id.encode()))
    feeds = _feeds(case, built, random)
    trained = [n for n, v in feeds.items() if v.dtype == np.float64 and "running" not in n]
    leaves = {n: torch.tensor(v, requires_grad=n in trained) for n, v in feeds.items()}
    own = {n.removeprefix(f"{case.net}."): t for n, t in leaves.items()}
    y = case.twin(Weights(own), *(own[name] for name in built.inputs))

    cotangent = random.standard_normal(y.shape)
    mine, gradients = _gradients(built, feeds, cotangent, case.shape)
    scale = float(y.detach().abs().max())
    assert scale > 1e-6, "the twin says nothing"
    np.testing.assert_allclose(mine, y.detach().numpy(), rtol=1e-9, atol=1e-10 * scale)
    of = [leaves[n] for n in trained]
    found = torch.autograd.grad(y, of, torch.tensor(cotangent), allow_unused=True)
    for name, leaf, own in zip(trained, of, found, strict=True):
        wanted = torch.zeros_like(leaf) if own is None else own  # of another output
        size = float(wanted.abs().max())
        tolerance = {"rtol": 1e-8, "atol": 1e-9 * max(size, 1e-3)}
        np.testing.assert_allclose(gradients[name], wanted.numpy(), err_msg=name, **tolerance)


def _feeds(case: Case, built: Any, random: np.random.Generator) -> dict[str, np.ndarray]:
    """Values of the inputs and of every weight; the fan-in keeps what follows near one."""
    feeds: dict[str, np.ndarray] = {}
    for node in built.graph.nodes:
        if node.op != "input":
            continue
        name = node["feed"]
        if name in built.inputs:
            whole = node.dtype == "i32"
            feeds[name] = (
                random.integers(0, case.times, case.shape[:1])
                if whole
                else random.standard_normal(case.shape)
            )
        elif name.endswith("running_var"):
            feeds[name] = random.uniform(0.5, 2, node.shape)
        else:
            fan = max(1, int(np.prod(node.shape[1:])))
            feeds[name] = random.standard_normal(node.shape) * (1.5 / fan) ** 0.5
    return feeds


def _gradients(
    built: Any, feeds: dict[str, np.ndarray], cotangent: np.ndarray, shape: tuple[int, ...]
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The output, and the gradient of `sum(output * cotangent)` for every real input and weight."""
    b = built.builder
    out = next(iter(b.outputs.values()))
    weight = b.input("cotangent", b[out].type)
    loss = b.sum(b.map("mul", out, weight), range(len(b[out].shape)))
    wrt = {
        node["feed"]: node.id
        for node in b.nodes
        if node.op == "input" and node.dtype == "f32" and node.id != weight
    }
    found = differentiate(b, loss, list(wrt.values()))
    b.outputs = {"": out} | {name: found[i] for name, i in wrt.items()}
    sizes = {"B": len(cotangent), **dict(zip("HW", shape[2:], strict=False))}
    result = reference.run(b.graph(), {**feeds, "cotangent": cotangent}, sizes)
    return result.pop(""), result
