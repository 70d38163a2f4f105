"""curves and crowds: generated pictures whose targets are known exactly.

A picture follows from the seed and its number alone: more of them leave the first as they were.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..initialise import generator
from .cut import Box, resample
from .pictures import stored
from .raw import Raw, Request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Array = NDArray[Any]
    Floats = NDArray[np.float64]

SPACING = 0.5  # pixels between two points of a curve
BEND = 0.06  # deviation of the curvature, for pictures of 64 pixels
TEXTURE = 0.12  # deviation of the background, all scales together


def read_curves(request: Request) -> Raw:
    """Source `curves`."""
    settings = request.settings
    size, count = settings["size"], settings["samples"]
    images = np.empty((count, 1, size, size), np.uint8)
    masks = np.empty((count, 1, size, size), np.uint8)
    for index in range(count):
        random = generator(settings["seed"], "curves", index)
        images[index, 0], masks[index, 0] = curves(random, size, settings)
    return Raw((), pictures=stored((images, masks), labels=(False, True)))


def read_crowds(request: Request) -> Raw:
    """Source `crowds`."""
    settings = request.settings
    size, count = settings["size"], settings["samples"]
    side = size // settings["stride"]
    images = np.empty((count, 1, size, size), np.uint8)
    densities = np.empty((count, 1, side, side), np.float32)
    for index in range(count):
        random = generator(settings["seed"], "crowds", index)
        images[index, 0], densities[index, 0] = crowd(random, size, settings)
    return Raw((), pictures=stored((images, densities)))


def curves(
    random: np.random.Generator, size: int, settings: Mapping[str, Any]
) -> tuple[Array, Array]:
    """A picture of bytes, and the mask of the pixels whose middle a curve covers, 0 or 1."""
    picture = background(random, size)
    covered = np.zeros((size, size))
    first, last = (int(number) for number in settings["curves"])
    sign = random.choice((-1.0, 1.0))
    for _ in range(int(random.integers(first, last + 1))):
        strength = random.uniform(*settings["strength"])
        cover = _cover(size, *_path(random, size, settings["width"]))
        picture += sign * strength * cover
        covered = np.maximum(covered, cover)
    picture += settings["noise"] * random.standard_normal(picture.shape)
    return _bytes(picture), (covered >= 0.5).astype(np.uint8)


def crowd(
    random: np.random.Generator, size: int, settings: Mapping[str, Any]
) -> tuple[Array, Array]:
    """A picture of bytes, and a density whose sum is the number of people."""
    picture = background(random, size)
    first, last = (int(number) for number in settings["people"])
    count = int(random.integers(first, last + 1))
    middle, spread = random.uniform(0, size, 2), size * random.uniform(0.15, 0.6)
    places = (middle + spread * random.standard_normal((count, 2))) % size
    radius = random.uniform(1.2, 2.4, count) * size / 64
    shade = random.choice((-1.0, 1.0), count) * random.uniform(0.25, 0.5, count)
    picture += np.einsum("p,py,px->yx", shade, *_bells(size, places, radius))
    picture += settings["noise"] * random.standard_normal(picture.shape)
    wide = np.full(count, settings["spread"])
    tall, broad = (m / m.sum(axis=1, keepdims=True) for m in _bells(size, places, wide))
    side = size // settings["stride"]
    density = (tall.T @ broad).reshape(side, settings["stride"], side, settings["stride"])
    return _bytes(picture), density.sum(axis=(1, 3)).astype(np.float32)


def background(random: np.random.Generator, size: int) -> Floats:
    """Random hills of several sizes about a random level."""
    picture = np.full((size, size), random.uniform(0.35, 0.65))
    for cells in (2, 5, 12):
        coarse = random.standard_normal((cells + 1, cells + 1))
        hills = resample(coarse, Box(0, 0, cells + 1, cells + 1), (size, size))
        picture += TEXTURE / np.sqrt(3) * hills
    return picture


def _bells(size: int, places: Floats, deviation: Floats) -> list[Floats]:
    """Normal densities, not scaled, along both axes: [people, size] each."""
    pixels = np.arange(size)[None]
    return [np.exp(-0.5 * ((pixels - p[:, None]) / deviation[:, None]) ** 2) for p in places.T]


def _path(
    random: np.random.Generator, size: int, width: tuple[float, float]
) -> tuple[Floats, Floats]:
    """Points [n, 2] of a smooth curve that crosses the picture, and its half width at each."""
    steps = int(3 * size / SPACING)
    knots = max(4, steps // 24)
    bends = np.interp(np.arange(steps), np.linspace(0, steps, knots), random.standard_normal(knots))
    start = random.uniform(0.15 * size, 0.85 * size, 2)
    angle = random.uniform(0, 2 * np.pi)
    turns = bends * (BEND * SPACING * 64 / size)
    back, forth = (
        start + np.cumsum(_headings(angle + np.cumsum(half)) * sign, axis=0)
        for half, sign in ((turns[: steps // 2], -1), (turns[steps // 2 :], 1))
    )
    points = np.concatenate([back[::-1], start[None], forth])
    ends = random.uniform(*width, 4)
    half = np.interp(np.arange(len(points)), np.linspace(0, len(points), 4), ends) / 2
    inside = np.all((points > -half[:, None]) & (points < size - 1 + half[:, None]), axis=1)
    return points[inside], half[inside]


def _headings(angles: Floats) -> Floats:
    return np.stack([np.sin(angles), np.cos(angles)], axis=1) * SPACING


def _cover(size: int, points: Floats, half: Floats) -> Floats:
    """How much of every pixel a curve covers: one half where its edge runs through the middle."""
    reach = int(np.ceil(half.max() + 1)) if len(half) else 1
    window = np.arange(-reach, reach + 1)
    near = np.rint(points).astype(np.int64)
    y, x = (near[:, axis, None] + window for axis in (0, 1))
    distance = np.hypot((y - points[:, :1])[:, :, None], (x - points[:, 1:])[:, None, :])
    cover = np.clip(half[:, None, None] + 0.5 - distance, 0, 1)
    frame = size + 2 * reach + 2
    flat = np.zeros(frame * frame)
    places = np.clip(y + reach, 0, frame - 1)[:, :, None] * frame
    places = places + np.clip(x + reach, 0, frame - 1)[:, None, :]
    np.maximum.at(flat, places.ravel(), cover.ravel())
    return flat.reshape(frame, frame)[reach : reach + size, reach : reach + size]


def _bytes(picture: Floats) -> Array:
    return np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)
