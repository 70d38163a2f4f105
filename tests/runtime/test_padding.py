"""Images of any size for a net that takes some: continued by their reflection, answers cut."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import weft
from weft.compiler.artifact import Entry
from weft.runtime.padding import padding_of
from weft.spec.errors import DataError, UsageError

BODIES = {
    "halved": "conv(2, 3, stride=2) as y",
    "unpadded": "conv(2, 5, pad=0) as y",
    "again": "max_pool(4) -> upsample(4) -> conv(1, 3) as y",
    "pooled": "global_avg_pool as y",
}


def entry_of(body: str, sides: str = "H%4, W%4") -> Any:
    text = f"net n {{\n  in x: f32[B, 1, {sides}]\n  x -> {body}\n}}\n"
    program = weft.compile(weft.load_text(text, "n.weft"), target="reference")
    return program, program.artifact.entry("forward", "n")


def sides_of(entry: Entry, *own: int) -> tuple[int, int]:
    return padding_of(entry, entry.inputs[0], (own[0], own[1]), "a.png").sides


@pytest.mark.parametrize(
    ("sides", "own", "wanted"),
    [
        ("H%4, W%4", (67, 101), (68, 104)),
        ("H%4, W%4", (64, 4), (64, 4)),
        ("H, W%16", (67, 101), (67, 112)),
        ("S%8, S", (9, 30), (32, 32)),
        ("24, 24", (20, 24), (24, 24)),
        ("24, W%16", (20, 24), (24, 32)),
    ],
)
def test_the_least_size_that_the_net_takes(
    sides: str, own: tuple[int, int], wanted: tuple[int, int]
) -> None:
    assert sides_of(entry_of("conv(1, 1) as y", sides)[1], *own) == wanted


def test_a_least_size() -> None:
    _, entry = entry_of("max_pool(8) -> conv(1, 1) as y", "H%4, W%4")
    assert sides_of(entry, 3, 21) == (8, 24)


def test_what_is_too_large() -> None:
    _, entry = entry_of("conv(1, 1) as y", "24, 32")
    with pytest.raises(DataError, match=r"`a.png` is 25 x 20, larger than the 24 x 32"):
        sides_of(entry, 25, 20)
    text = "weight w: f32[16] = ones()\n  y = x * w[:W]\n  y"
    program = weft.compile(
        weft.load_text(f"net n {{\n  in x: f32[B, 1, H, W]\n  {text}\n}}\n", "n.weft"),
        target="reference",
    )
    with pytest.raises(DataError, match=r"`a.png`: `n` needs W <= 16 .*, got W=17"):
        sides_of(program.artifact.entry("forward", "n"), 3, 17)


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("sides", ["H%4, W%4", "S%4, S"])
def test_answers_are_those_of_the_padded_image_where_the_image_is(body: str, sides: str) -> None:
    program, entry = entry_of(BODIES[body], sides)
    x = np.random.default_rng(0).normal(size=(2, 1, 9, 14)).astype(np.float32)
    padding = padding_of(entry, entry.inputs[0], (9, 14), "a.png")
    high, wide = (12, 16) if sides[0] == "H" else (16, 16)
    padded = padding.pad(x)
    np.testing.assert_array_equal(
        padded, np.pad(x, ((0, 0), (0, 0), (0, high - 9), (0, wide - 14)), "reflect")
    )
    values = program.engine.forward("n", {"x": padded})
    found = padding.cut(values, entry.outputs)["y"]
    shape = {
        "halved": (2, 2, 5, 7),
        "unpadded": (2, 2, 5, 10),
        "again": (2, 1, 9, 14),
        "pooled": (2, 1),
    }[body]
    assert found.shape == shape
    np.testing.assert_array_equal(found, values["y"][tuple(slice(n) for n in shape)])


def test_an_image_of_one_pixel() -> None:
    _, entry = entry_of("conv(1, 1) as y")
    padding = padding_of(entry, entry.inputs[0], (1, 1), "a.png")
    assert padding.pad(np.ones((1, 1, 1, 1), np.float32)).tolist() == np.ones((1, 1, 4, 4)).tolist()


def test_rows_and_columns_on_one_axis_cannot_be_cut() -> None:
    _, entry = entry_of("reshape([B, H*W]) as y")
    padding = padding_of(entry, entry.inputs[0], (5, 8), "a.png")
    with pytest.raises(UsageError, match="cannot be cut out of it"):
        padding.cut({"y": np.zeros((1, 64))}, entry.outputs)
