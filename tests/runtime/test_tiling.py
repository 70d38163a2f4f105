"""Images in tiles: what the whole image would give, at any scale, without seams."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import weft
from weft.runtime.padding import padding_of
from weft.runtime.tiling import Tiles, tiles_of, tiling_of
from weft.spec.errors import UsageError

# a net, the sides that it takes, and how far a pixel of its answer sees
BODIES = {
    "same size": ("conv(3, 3) -> tanh -> conv(2, 3) as y", "H, W", 2),
    "smaller": ("conv(4, 3, stride=2) -> relu -> conv(2, 3) as y", "H%2, W%2", 4),
    "a quarter more": ("conv(4, 3) -> resize([H*5//4, W*5//4]) -> conv(2, 3) as y", "H%4, W%4", 4),
    "twice": ("conv(8, 3) -> relu -> pixel_shuffle(2) as y", "H, W", 2),
    "hourglass": (
        "max_pool(4) -> conv(3, 3) -> upsample(4, bilinear) -> conv(2, 1) as y",
        "H%4, W%4",
        13,
    ),
    "one size": ("conv(3, 3) -> tanh -> conv(2, 3) as y", "24, 24", 2),
}
RANDOM = np.random.default_rng(5)


def built(body: str, sides: str) -> tuple[Any, Any]:
    text = f"net n {{\n  in x: f32[B, 3, {sides}]\n  x -> {body}\n}}\n"
    program = weft.compile(weft.load_text(text, "n.weft"), target="reference")
    return program, program.artifact.entry("forward", "n")


def answer(program: Any, entry: Any, image: np.ndarray, tiles: Tiles, most: int = 3) -> np.ndarray:
    seen: list[int] = []

    def call(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        seen.append(len(inputs["x"]))
        return program.engine.forward("n", inputs)

    own = image.shape[2:]
    tiling = tiling_of(entry, (own[0], own[1]), tiles, most, lambda pixels: {"x": pixels})
    found = tiling.run(image, call)["y"]
    assert max(seen) <= most and sum(seen) > 1
    return found


@pytest.mark.parametrize(("body", "sides", "sees"), BODIES.values(), ids=BODIES)
def test_an_answer_is_that_for_the_whole_image(body: str, sides: str, sees: int) -> None:
    program, entry = built(body, sides)
    tiles = Tiles(max(24, 8 * sees), 4 * sees)
    side = tiles.side
    for own in ((side + 37, 2 * side + 35), (side, side + 46), (side + 43, side - 4)):
        image = RANDOM.normal(size=(1, 3, *own)).astype(np.float32)
        found = answer(program, entry, image, tiles)
        other, whole = built(body, "H, W" if sides == "24, 24" else sides)
        padding = padding_of(whole, whole.inputs[0], own, "x")
        wanted = other.engine.forward("n", {"x": padding.pad(image)})
        wanted = padding.cut(wanted, whole.outputs)["y"]
        assert found.shape == wanted.shape
        kept = [slice(0, length - sees if length < side else None) for length in own]
        scale = found.shape[2] / own[0]
        kept = [slice(0, None if k.stop is None else max(0, int(k.stop * scale))) for k in kept]
        np.testing.assert_allclose(
            found[:, :, kept[0], kept[1]], wanted[:, :, kept[0], kept[1]], rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("overlap", [0, 1, 5, 12])
def test_the_shares_of_tiles_add_up_to_one(overlap: int) -> None:
    program, entry = built("mul(0) -> add(1) -> sum(axis=1, keep=true) as y", "H%4, W%4")
    image = RANDOM.normal(size=(1, 3, 50, 131)).astype(np.float32)
    np.testing.assert_allclose(answer(program, entry, image, Tiles(24, overlap)), 3, rtol=1e-6)


def test_what_makes_no_tiles() -> None:
    with pytest.raises(UsageError, match="at least one row"):
        Tiles(0, 0)
    with pytest.raises(UsageError, match="from 0 to 16"):
        tiles_of(32, 17)
    with pytest.raises(UsageError, match="that of tiles"):
        tiles_of(None, 8)
    assert tiles_of(None, None) is None and tiles_of(64, None) == Tiles(64, 8)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("global_avg_pool as y", "`y` is f32.3. for a tile of 24 x 24: no map"),
        ("conv(2, 5, pad=[0, 1]) as y", "no map of the image"),
        ("conv(2, 3) -> argmax(axis=1) as y", "whole numbers"),
    ],
)
def test_answers_that_are_no_maps(body: str, said: str) -> None:
    program, entry = built(body, "H, W")
    with pytest.raises(UsageError, match=said):
        answer(program, entry, np.zeros((1, 3, 40, 40), np.float32), Tiles(24, 4))
