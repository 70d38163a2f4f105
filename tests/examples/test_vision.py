"""The networks for images: sizes on the way through, and what LeNet-5's table and drawings say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import weft
from weft.compiler import reference
from weft.compiler.build import elaborate
from weft.spec.load import load_text

from .counts import FOLDER

SIZES = [
    ("lenet5/original", "", {"s2": 14, "c3": 10, "s4": 5, "c5": 1}),
    ("lenet5/no_pooling", "pool", {"Halve": 12, "Halve_2": 4}),
    ("lenet5/no_pooling", "stride", {"Halve": 12, "Halve_2": 4}),
    ("lenet5/no_pooling", "conv", {"Halve": 12, "Halve_2": 4}),
    ("alexnet/two_tower", "", {"conv": 55, "conv_2": 27, "conv_5": 13, "max_pool_3": 6}),
    ("alexnet/one_tower", "", {"conv": 55, "conv_2": 27, "body.2": 13, "max_pool_3": 6}),
    ("vgg/vgg", "", {f"features.{i}": 112 // 2**i for i in range(5)}),
    ("network_in_network/nin", "", {"max_pool": 16, "avg_pool": 8}),
    ("overfeat/overfeat", "fast", {"conv": 56, "conv_2": 24, "body.2": 12, "map": 1}),
    ("overfeat/overfeat", "accurate", {"conv": 108, "conv_2": 30, "body.3": 15, "map": 1}),
    ("googlenet/googlenet", "", {"mixed_3a": 28, "mixed_4a": 14, "mixed_4e": 14, "mixed_5b": 7}),
    ("googlenet/googlenet", "torchvision", {"mixed_3b": 28, "mixed_4d": 14, "mixed_5a": 7}),
    ("googlenet/bn_inception", "", {"mixed_3b": 28, "mixed_3c": 14, "mixed_4e": 7, "mixed_5b": 7}),
    (
        "inception_resnet/inception_resnet_v2",
        "",
        {"stem": 35, "modules_35.9": 35, "to_17": 17, "to_8": 8, "top": 8},
    ),
    ("resnet/resnet", "resnet50", {"conv": 112, "max_pool": 56, "stage.1": 28, "stage.3": 7}),
    ("resnet/cifar", "", {"stage_1.2": 32, "stage_2.0": 16, "stage_3.2": 8}),
    ("resnet/wide", "wrn_16_4", {"stage.0": 32, "stage.1": 16, "stage.2": 8}),
    ("densenet/densenet", "", {"conv": 112, "dense.0": 28, "dense.1": 14, "dense.3": 7}),
    ("all_cnn/all_cnn", "all_cnn_c", {"stage.0": 16, "stage.1": 8, "conv": 6}),
    ("all_cnn/all_cnn", "model_c", {"stage.0": 16, "stage.1": 8, "conv": 6}),
    ("unet/unet", "", {"level.fine": 568, "level.below.below.below.below": 28, "logits": 388}),
    ("unet/curves", "", {"level.below.below": 16, "logits": 64}),
    ("transunet/transunet", "", {"max_pool": 55, "stage_2.3": 28, "patches": 14, "up_4": 224}),
    ("dpt/large", "", {"patches": 24, "resize_1": 96, "decode.fuse_4": 24, "depth_map": 384}),
    ("dpt/hybrid", "", {"root": 192, "stage_1.2": 96, "patches": 24, "depth_map": 384}),
    ("dcgan/dcgan", "", {"up.0": 8, "up.2": 32, "image": 64, "down.2": 4}),
    ("cyclegan/cyclegan", "", {"zebra.down.1": 64, "zebra.up.1": 256, "score.score": 30}),
    ("cyclegan/pix2pix", "", {"first": 128, "level.down": 64, "last": 256, "score": 30}),
    ("ddpm/ddpm", "", {"level.below.below.below.middle_1": 4, "level.below": 16, "noise": 32}),
]
"""The side of the last map of a layer, or of everything under a path, as the papers draw them."""


@pytest.mark.parametrize(("spec", "variant", "wanted"), SIZES)
def test_maps_have_their_sizes(spec: str, variant: str, wanted: dict[str, int]) -> None:
    report = weft.check(weft.load(FOLDER / f"{spec}.weft", variant=variant or None))
    layers = [layer for net in report.to_json()["nets"].values() for layer in net["layers"]]
    for path, side in wanted.items():
        shapes = [
            layer["shape"]
            for layer in layers
            if f"{layer['path']}.".startswith(f"{path}.") and len(layer["shape"]) == 4
        ]
        assert shapes, path
        assert shapes[-1][2:] == [side, side], path


def _lenet5(net: str) -> Any:
    """A net of its own with the blocks and params of the original LeNet-5."""
    text = (FOLDER / "lenet5" / "original.weft").read_text(encoding="utf-8")
    return elaborate(load_text(text[: text.index("net lenet5")] + net, "test.weft")).nets["test"]


def test_maps_of_lenet5_are_connected_as_in_the_paper() -> None:
    """Table 1: the maps of C3 (rows here) and the maps of S2 that feed them."""
    table = [{i, (i + 1) % 6, (i + 2) % 6} for i in range(6)]
    table += [{i, (i + 1) % 6, (i + 2) % 6, (i + 3) % 6} for i in range(6)]
    table += [{0, 1, 3, 4}, {1, 2, 4, 5}, {0, 2, 3, 5}, set(range(6))]
    built = _lenet5("net test {\n  in x: f32[B, 6, 5, 5]\n  x -> Partial as y\n}\n")
    weights = [n for n in built.graph.nodes if n.op == "input" and n["feed"] != "x"]
    feeds = {node["feed"]: np.full(node.shape, len(node.shape) > 1) for node in weights}
    feeds["x"] = np.eye(6).reshape(6, 6, 1, 1) * np.ones((1, 1, 5, 5))
    seen = reference.run(built.graph, feeds, {"B": 6})["y"][:, :, 0, 0]
    assert [set(np.flatnonzero(seen[:, k]).tolist()) for k in range(16)] == table


def test_each_digit_is_nearest_to_its_drawing() -> None:
    built = _lenet5("net test {\n  in x: f32[B, 84]\n  x -> Compare as y\n}\n")
    zero = reference.run(built.graph, {"x": np.zeros((1, 84))}, {"B": 1})["y"]
    assert (zero == 84).all()
    text = (FOLDER / "lenet5" / "original.weft").read_text(encoding="utf-8")
    rows = [re.findall(r"\d+", line) for line in re.findall(r"=\[([\d, ]+)\]", text)[:10]]
    drawn = np.array([[list(f"{int(row):07b}") for row in digit] for digit in rows]) == "1"
    x = np.where(drawn, 1.0, -1.0).reshape(10, 84)
    distance = reference.run(built.graph, {"x": x}, {"B": 10})["y"]
    assert (distance.diagonal() == 0).all()
    assert (distance + 99 * np.eye(10)).min() >= 4 * 8, "two drawings are nearly the same"


def test_numbers_are_a_tensor() -> None:
    text = "net test {\n  in x: f32[B]\n  y = mul(x[0], numbers([[1, 2.5], [-3, 4]]))\n  out y\n}\n"
    graph = elaborate(load_text(text, "test.weft")).nets["test"].graph
    y = reference.run(graph, {"x": np.array([2.0])}, {"B": 1})["y"]
    assert y.tolist() == [[2, 5], [-6, 8]]


TRAINED = [
    ("lenet5/lenet5", "", "accuracy", 0.985),
    ("convolutional_autoencoder/autoencoder", "", "squared_error", 1.5),
    ("convolutional_autoencoder/autoencoder", "code4", "squared_error", 0.6),
    ("unet/curves", "", "dice", 0.87),
]
"""What the READMEs show, with room for other machines; two errors are held from above.  A U-Net
takes minutes: `test_learning.py` shows what two epochs of smaller pictures reach.
"""


@pytest.mark.parametrize(("spec", "variant"), [case[:2] for case in TRAINED])
def test_a_few_steps(spec: str, variant: str, tmp_path: Path) -> None:
    losses = _losses(spec, variant, tmp_path, steps=1), _losses(spec, variant, tmp_path, steps=25)
    assert losses[1]["loss"] < losses[0]["loss"]


@pytest.mark.slow
@pytest.mark.parametrize(("spec", "variant", "measure", "bound"), TRAINED[:3])
def test_whole_trainings(
    spec: str, variant: str, measure: str, bound: float, tmp_path: Path
) -> None:
    found = _losses(spec, variant, tmp_path)[measure]
    assert found < bound if measure == "squared_error" else found > bound


def _losses(spec: str, variant: str, out: Path, **options: Any) -> dict[str, float]:
    """Loss and measures on held-out samples after a training."""
    loaded = weft.load(FOLDER / f"{spec}.weft", variant=variant or None)
    record = weft.compile(loaded, target="cpu").train(out, progress="quiet", **options)
    measured: dict[str, float] = record.metrics["test"]
    return measured
