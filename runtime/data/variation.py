"""How pictures are varied in training: what may change, and by which random numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .cut import Cut

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .pictures import Plane

    Array = NDArray[Any]

AREA, ASPECT, CUT_Y, CUT_X, SHIFT_Y, SHIFT_X, LEFT_RIGHT, TOP_DOWN = range(8)
BRIGHTNESS, CONTRAST, SATURATION, HOLE_Y, HOLE_X = range(8, 13)
TURN, HUE, PATCH_Y, PATCH_X = range(13, 17)
FIRST, DRAWS = 13, 17
"""Random numbers for one picture, each for one purpose whether it is needed or not; those after
the first are drawn after the partners of mixing, so that adding one changes nothing else.
"""

LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True, slots=True)
class Variation:
    """The settings that change pictures; see docs/data.md."""

    flip: str = "none"
    crop: int = 0
    padding: str = "zero"
    zoom: tuple[float, float] | None = None
    aspect: tuple[float, float] = (0.75, 4 / 3)
    rotate: float = 0.0
    cutout: int = 0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0

    @property
    def any(self) -> bool:
        """Whether anything changes at all."""
        places = self.flip != "none" or self.crop or self.zoom is not None or self.rotate
        return bool(places or self.cutout or self.recolours or self.mixing)

    @property
    def mixing(self) -> float:
        """The number of Beta(a, a) by which pictures are mixed, 0 where they are not."""
        return self.mixup or self.cutmix

    @property
    def recolours(self) -> bool:
        """Whether values change, and not only their places."""
        return bool(self.brightness or self.contrast or self.saturation or self.hue)

    def cut(self, draws: Array) -> Cut | None:
        """The part of a picture that is shown, None for all of it."""
        if self.zoom is None:
            return None
        least, most = self.zoom
        narrow, wide = (math.log(ratio) for ratio in self.aspect)
        area = least + (most - least) * float(draws[AREA])
        aspect = math.exp(narrow + (wide - narrow) * float(draws[ASPECT]))
        return Cut(area, aspect, float(draws[CUT_Y]), float(draws[CUT_X]))

    def place(self, planes: Sequence[Array], kinds: Sequence[Plane], draws: Array) -> list[Array]:
        """The planes of one picture, shifted, turned and mirrored together."""
        found = list(planes)
        if self.crop:
            down, right = (
                min(int(float(draws[n]) * (2 * self.crop + 1)), 2 * self.crop) - self.crop
                for n in (SHIFT_Y, SHIFT_X)
            )
            moved = _reflected if self.padding == "reflect" else _shifted
            found = [moved(p, kind, down, right) for p, kind in zip(found, kinds, strict=True)]
        if self.rotate:
            angle = math.radians(self.rotate * (2 * float(draws[TURN]) - 1))
            beyond = self.padding == "reflect"
            found = [turned(p, k, angle, beyond) for p, k in zip(found, kinds, strict=True)]
        if self.flip in ("horizontal", "both") and draws[LEFT_RIGHT] < 0.5:
            found = [plane[..., ::-1] for plane in found]
        if self.flip in ("vertical", "both") and draws[TOP_DOWN] < 0.5:
            found = [plane[..., ::-1, :] for plane in found]
        return found

    def recolour(self, picture: Array, draws: Array) -> None:
        """Change a picture [C, H, W] of values from 0 to 1 in place."""
        if self.brightness:
            picture *= _factor(self.brightness, draws[BRIGHTNESS])
            np.clip(picture, 0, 1, out=picture)
        if self.contrast:
            level = np.float32(_grey(picture).mean(dtype=np.float64))
            _towards(picture, level, _factor(self.contrast, draws[CONTRAST]))
        if self.saturation and len(picture) == 3:
            _towards(picture, _grey(picture), _factor(self.saturation, draws[SATURATION]))
        if self.hue and len(picture) == 3:
            turn = _about_grey(2 * math.pi * self.hue * (2 * float(draws[HUE]) - 1))
            np.clip(np.tensordot(turn, picture, 1), 0, 1, out=picture)

    def hole(self, height: int, width: int, draws: Array) -> tuple[slice, slice]:
        """The square that is blackened: its middle lies anywhere in the picture."""
        rows, columns = (
            slice(max(0, start), max(0, start + self.cutout))
            for start in (
                int(float(draws[HOLE_Y]) * height) - self.cutout // 2,
                int(float(draws[HOLE_X]) * width) - self.cutout // 2,
            )
        )
        return rows, columns

    def patches(
        self, height: int, width: int, share: Array, draws: Array
    ) -> tuple[NDArray[np.int64], Array]:
        """Where parts of others are put: first and last row and column of each, [n, 4], and the
        share of each picture that is left.
        """
        side = np.sqrt(1 - share)
        corners = []
        for length, place in ((height, draws[:, PATCH_Y]), (width, draws[:, PATCH_X])):
            middle, reach = place * length, side * length / 2
            corners += [np.rint(np.clip(middle + sign * reach, 0, length)) for sign in (-1, 1)]
        top, bottom, left, right = corners
        own = 1 - (bottom - top) * (right - left) / (height * width)
        return np.stack(corners, 1).astype(np.int64), own.astype(np.float32)


def turned(plane: Array, kind: Plane, angle: float, mirrored: bool) -> Array:
    """A plane turned anticlockwise about its middle; beyond its edges it is blank or mirrored."""
    height, width = plane.shape[-2:]
    y, x = (np.arange(n, dtype=np.float32)[:, None] - (n - 1) / 2 for n in (height, width))
    cos, sin = math.cos(angle), math.sin(angle)
    rows = y * cos + (x.T * sin + (height - 1) / 2)
    columns = x.T * cos - (y * sin - (width - 1) / 2)
    framed = np.pad(plane, [(0, 0)] * (plane.ndim - 2) + [(1, 1)] * 2, constant_values=kind.blank)
    flat = framed.reshape(*plane.shape[:-2], -1)

    def near(rows: Array, columns: Array) -> Array:
        """The pixels at whole places."""
        y, x = rows.astype(np.int64), columns.astype(np.int64)
        if mirrored:
            y, x = _mirror(y, height) + 1, _mirror(x, width) + 1
        else:
            y, x = np.clip(y + 1, 0, height + 1), np.clip(x + 1, 0, width + 1)
        return flat.take(y * (width + 2) + x, axis=-1)

    if kind.labels:
        return near(np.rint(rows), np.rint(columns))
    top, left = np.floor(rows), np.floor(columns)
    upper = _between(near(top, left), near(top, left + 1), columns - left)
    lower = _between(near(top + 1, left), near(top + 1, left + 1), columns - left)
    blended = _between(upper, lower, rows - top)
    return blended if plane.dtype.kind == "f" else np.rint(blended).astype(plane.dtype)


def _between(a: Array, b: Array, part: Array) -> Array:
    """From `a` so much of the way to `b`."""
    way = np.subtract(b, a, dtype=np.float32)
    way *= part
    way += a
    return way


def _about_grey(angle: float) -> Array:
    """Turns colours by an angle about the axis of greys."""
    across = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
    found = math.cos(angle) * np.eye(3) + (1 - math.cos(angle)) / 3 + math.sin(angle) * across
    return found.astype(np.float32)


def variation_of(settings: Mapping[str, Any]) -> Variation:
    """The settings of a data line; those that its source does not have are left at nothing."""
    known = {name: settings.get(name) for name in Variation.__dataclass_fields__}
    given = {name: value for name, value in known.items() if value is not None}
    for name in ("zoom", "aspect"):
        if name in given:
            given[name] = (float(given[name][0]), float(given[name][1]))
    return Variation(**given)


def _shifted(plane: Array, kind: Plane, down: int, right: int) -> Array:
    """The plane seen through a window that has moved; beyond its edges lies what is blank."""
    height, width = plane.shape[-2:]
    if abs(down) >= height or abs(right) >= width:
        return np.full_like(plane, kind.blank)
    moved = np.full_like(plane, kind.blank)
    to_y, from_y = _overlap(down, height)
    to_x, from_x = _overlap(right, width)
    moved[..., to_y, to_x] = plane[..., from_y, from_x]
    return moved


def _overlap(move: int, length: int) -> tuple[slice, slice]:
    return (
        slice(max(0, -move), min(length, length - move)),
        slice(max(0, move), min(length, length + move)),
    )


def _reflected(plane: Array, kind: Plane, down: int, right: int) -> Array:
    """The same, with the plane mirrored beyond its edges."""
    rows = _mirror(np.arange(plane.shape[-2]) + down, plane.shape[-2])
    columns = _mirror(np.arange(plane.shape[-1]) + right, plane.shape[-1])
    return plane[..., rows[:, None], columns]


def _mirror(places: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    period = max(1, 2 * (length - 1))
    places = places % period
    return np.minimum(places, period - places)


def _factor(strength: float, draw: float) -> np.float32:
    return np.float32(1 + strength * (2 * float(draw) - 1))


def _grey(picture: Array) -> Array:
    return np.tensordot(LUMA, picture, 1) if len(picture) == 3 else picture.mean(axis=0)


def _towards(picture: Array, level: Any, factor: np.float32) -> None:
    picture -= level
    picture *= factor
    picture += level
    np.clip(picture, 0, 1, out=picture)
