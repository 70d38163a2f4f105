"""Other sizes: pixels repeated, blended, stretched, or left out; sums over neighbours."""

from __future__ import annotations

from ...spec.dims import Dim, sign
from ..ir.types import Shape
from .request import Refusal, Request, Result, shown
from .shaping import cut
from .windowing import each, spatial


def _repeat_pixels(r: Request) -> Result:
    """[B, C, H, W] -> [B, C, H, s, W, s], repeated along the new axes -> [B, C, H s, W s]."""
    scales = each(r, "scale", spatial(r))
    batch, channels, *space = r.shape()
    wide: list[Dim] = [batch, channels]
    whole: list[Dim] = [batch, channels]
    for extent, scale in zip(space, scales, strict=True):
        wide += [extent, scale]
        whole.append(extent * scale)
    kept = (0, 1, *range(2, len(wide), 2))
    return r.b.reshape(r.b.broadcast(r.x[0], kept, tuple(wide)), whole)


def _blend(r: Request) -> Result:
    """Every new pixel between the centres of two old ones; the border continues itself."""
    x = r.real()
    for axis, scale in enumerate(each(r, "scale", spatial(r)), 2):
        x = _blended(r, x, axis, scale)
    return x


def _blended(r: Request, x: int, axis: int, scale: int) -> int:
    b, shape = r.b, r.b[x].shape
    extent = shape[axis]
    before = b.concat([cut(r, x, axis, 0, 1), cut(r, x, axis, 0, extent - 1)], axis)
    after = b.concat([cut(r, x, axis, 1, extent - 1), cut(r, x, axis, extent - 1, 1)], axis)
    phases = []
    for phase in range(scale):
        shift = (phase + 0.5) / scale - 0.5
        other = before if shift < 0 else after
        near = b.map("mul", x, 1.0 - abs(shift))
        mixed = b.map("add", near, b.map("mul", other, abs(shift))) if shift else x
        phases.append(b.reshape(mixed, [*shape[: axis + 1], 1, *shape[axis + 1 :]]))
    joined = b.concat(phases, axis + 1)
    return b.reshape(joined, [*shape[:axis], extent * scale, *shape[axis + 1 :]])


def _stretch(r: Request) -> Result:
    """Corner pixels stay corner pixels."""
    scales = each(r, "scale", spatial(r))
    sizes = tuple(e * s for e, s in zip(r.shape()[2:], scales, strict=True))
    return _resampled(r, sizes, corners=True)


def _resize(r: Request) -> Result:
    """Blended to given sizes, each new pixel at its place between the old centres."""
    sizes = each(r, "size", spatial(r))
    return _resampled(r, sizes, corners=r["align_corners"])


def _resampled(r: Request, sizes: Shape, *, corners: bool) -> int:
    x = r.real()
    for axis, size in enumerate(sizes, 2):
        if r.b[x].shape[axis] != size:
            x = _along(r, x, axis, size, corners)
    return x


def _along(r: Request, x: int, axis: int, size: Dim, corners: bool) -> int:
    """A product with the matrix of weights max(0, 1 - |place of the new - place of the old|)."""
    b, extent = r.b, r.b[x].shape[axis]
    shape = (size, extent)
    new, old = (b.cast(b.iota(shape, k), "f32") for k in (0, 1))
    large, small = (b.broadcast(b.size(e), (), shape) for e in (size, extent))
    if corners:
        steps = b.map("maximum", b.map("sub", large, 1.0), 1.0)
        place = b.map("div", b.map("mul", new, b.map("sub", small, 1.0)), steps)
    else:
        place = b.map("div", b.map("mul", b.map("add", new, 0.5), small), large)
        last = b.map("sub", small, 1.0)
        place = b.map("minimum", b.map("maximum", b.map("sub", place, 0.5), 0.0), last)
    distance = b.map("abs", b.map("sub", place, old))
    weights = b.map("maximum", b.map("sub", b.constant(1.0), distance), 0.0, name="weights")
    letters = "abcdefgh"[: len(b[x].shape)]
    result = letters.replace(letters[axis], "o")
    return b.contract(f"o{letters[axis]},{letters}->{result}", weights, x, name="resized")


def _window_sum(r: Request) -> Result:
    """The neighbours along one axis added up, each entry with as many on both sides."""
    axis, size = r.axis(r["axis"]), r["size"]
    if size < 1:
        raise Refusal("E311", f"`size` must be at least 1, not {size}")
    shape = r.shape()
    low = [size // 2 if i == axis else 0 for i in range(len(shape))]
    high = [(size - 1) // 2 if i == axis else 0 for i in range(len(shape))]
    padded = r.b.pad(r.real(), low, high)
    total = cut(r, padded, axis, 0, shape[axis])
    for start in range(1, size):
        total = r.b.map("add", total, cut(r, padded, axis, start, shape[axis]))
    return total


def _middle(r: Request) -> Result:
    """As much in front as behind, one less where that is odd."""
    sizes = each(r, "size", spatial(r))
    shape = r.shape()
    starts: list[Dim] = [0, 0]
    for axis, (extent, size) in enumerate(zip(shape[2:], sizes, strict=True), 2):
        if sign(extent - size) == -1:
            message = f"a size of {size} does not fit axis {axis} of {shown(shape)}"
            raise Refusal("E408", message, (0,), "a smaller size, or `pad` first", axis)
        starts.append((extent - size) // 2)
    return r.b.slice(r.x[0], starts, (*shape[:2], *sizes), [1] * len(shape))


RESAMPLING = (
    ("repeat_pixels(x; scale:sizes)", _repeat_pixels, "every pixel `scale` times along each axis"),
    (
        "blend(x; scale:sizes)",
        _blend,
        "`scale` times as large, linearly between pixel centres (PyTorch's align_corners=False)",
    ),
    (
        "stretch(x; scale:sizes)",
        _stretch,
        "`scale` times as large, linearly, corners on corners (PyTorch's align_corners=True)",
    ),
    (
        "resize(x; size:extents, align_corners:flag=false)",
        _resize,
        "any spatial sizes, linearly between pixels",
    ),
    ("middle(x; size:extents)", _middle, "the middle of the spatial axes, at a given size"),
    (
        "window_sum(x; size:integer, axis:axis)",
        _window_sum,
        "the sum over `size` neighbours along an axis, zeros outside",
    ),
)
