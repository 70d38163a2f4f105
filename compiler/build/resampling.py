"""Other sizes: pixels repeated, blended, stretched, or left out; sums over neighbours."""

from __future__ import annotations

from fractions import Fraction
from math import inf

from ...spec.dims import Dim, exact_quotient, sign
from ..ir.builder import Builder
from ..ir.types import Shape
from .request import Refusal, Request, Result, shown
from .resizing import Grid
from .shaping import cut
from .signature import Setting, accepts, wanted
from .values import show
from .windowing import each, spatial

def _repeat_pixels(r: Request) -> Result:
    """[B, C, H, W] -> [B, C, H, s, W, s], repeated along the new axes -> [B, C, H s, W s]."""
    scales = _scales(r, ", nearest")
    batch, channels, *space = r.shape()
    wide: list[Dim] = [batch, channels]
    whole: list[Dim] = [batch, channels]
    for extent, scale in zip(space, scales, strict=True):
        wide += [extent, scale]
        whole.append(extent * scale)
    kept = (0, 1, *range(2, len(wide), 2))
    return r.b.reshape(r.b.broadcast(r.x[0], kept, tuple(wide)), whole)


def _scales(r: Request, settings: str) -> tuple[int, ...]:
    """A whole number for each axis; `settings` are those of the `resize` that takes any.

    Raises: Refusal E311, E402.
    """
    kind, value = Setting("scale", "sizes", (), None), r["scale"]
    if value is not None and accepts(kind, value):
        return each(r, "scale", spatial(r))
    listed = value if isinstance(value, tuple) else (value,) * spatial(r)
    hint, space = None, r.shape()[2:]
    if len(listed) == len(space) and all(type(s) in (int, float) and 0 < s < inf for s in listed):
        sizes = (_fraction_of(e, s) for e, s in zip(space, listed, strict=True))
        hint = f"`resize([{', '.join(sizes)}]{settings})` goes to any size"
    raise Refusal("E311", f"`scale` must be {wanted(kind)}, not {show(value)}", (), hint)


def _fraction_of(extent: Dim, scale: float) -> str:
    """The size that an axis scaled and rounded down has, as a spec writes it; at least a pixel."""
    ratio = Fraction(scale).limit_denominator(1000)
    if isinstance(extent, int):
        return str(max(extent * ratio.numerator // ratio.denominator, 1))
    return str(extent * ratio.numerator // ratio.denominator)


def _blend(r: Request) -> Result:
    """Every new pixel between the centres of old ones; the border continues itself."""
    return _scaled(r, corners=False)


def _stretch(r: Request) -> Result:
    """Corner pixels stay corner pixels."""
    return _scaled(r, corners=True)


def _scaled(r: Request, *, corners: bool) -> int:
    scales = _scales(r, f", {r['mode']}" + (", align_corners=true" if corners else ""))
    sizes = tuple(e * s for e, s in zip(r.shape()[2:], scales, strict=True))
    return _resampled(r, sizes, corners=corners)


def _resize(r: Request) -> Result:
    """Blended to given sizes, each new pixel at its place between the old centres."""
    mode, corners, smooth = r["mode"], r["align_corners"], r["antialias"]
    for setting, given in (("align_corners", corners), ("antialias", smooth)):
        if mode == "nearest" and given:
            message = f"`{setting}` is a setting of mode=bilinear and mode=bicubic"
            raise Refusal("E316", message)
    if corners and smooth:
        raise Refusal("E316", "`antialias` goes with pixel centres, not with `align_corners`")
    return _resampled(r, each(r, "size", spatial(r)), corners=corners, smooth=smooth)


def _resampled(r: Request, sizes: Shape, *, corners: bool, smooth: bool = False) -> int:
    """One axis after the other, those which become smaller first."""
    x, b, mode = r.real(), r.b, r["mode"]
    both = enumerate(zip(r.shape()[2:], sizes, strict=True), 2)
    grids = [(axis, Grid(b, new, old, mode, corners, smooth)) for axis, (old, new) in both]
    for axis, grid in sorted(grids, key=lambda pair: _growth(*pair)):
        if not grid.fits():
            message = f"the places of {grid.size} among {grid.extent} pass whole numbers of 32 bits"
            raise Refusal("E316", message, (0,), "sizes with a common divisor", axis)
        if grid.extent != grid.size:
            whole = _by_whole_steps(b, x, axis, grid.size) if mode == "nearest" else None
            x = grid.along(x, axis, "resized") if whole is None else whole
    return x


def _growth(axis: int, grid: Grid) -> tuple[float, int]:
    """By how much an axis grows; the last one, where neighbours in memory are apart, makes as few
    pixels as can be.
    """
    old, new = grid.ratio() or (1, 1)
    return new / old, axis if new < old else -axis


def _by_whole_steps(b: Builder, x: int, axis: int, size: Dim) -> int | None:
    """The nearest pixels where one size divides the other: each repeated, or every so many."""
    shape = b[x].shape
    many, few = exact_quotient(size, shape[axis]), exact_quotient(shape[axis], size)
    if isinstance(many, int):
        kept = [d for d in range(len(shape) + 1) if d != axis + 1]
        wide = b.broadcast(x, kept, (*shape[: axis + 1], many, *shape[axis + 1 :]))
        return b.reshape(wide, [*shape[:axis], size, *shape[axis + 1 :]])
    if isinstance(few, int):
        sizes = [*shape[:axis], size, *shape[axis + 1 :]]
        steps = [few if d == axis else 1 for d in range(len(shape))]
        return b.slice(x, [0] * len(shape), sizes, steps)
    return None


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
    ("repeat_pixels(x; scale:value)", _repeat_pixels, "every pixel `scale` times along each axis"),
    (
        "blend(x; scale:value, mode:word|bilinear|bicubic=bilinear)",
        _blend,
        "`scale` times as large, between pixel centres (PyTorch's align_corners=False)",
    ),
    (
        "stretch(x; scale:value, mode:word|bilinear|bicubic=bilinear)",
        _stretch,
        "`scale` times as large, between pixels, corners on corners (PyTorch's align_corners=True)",
    ),
    (
        "resize(x; size:extents, mode:word|nearest|bilinear|bicubic=bilinear, "
        "align_corners:flag=false, antialias:flag=false)",
        _resize,
        "any spatial sizes, linearly or by cubics between pixels, or those of the nearest; `antialias` "
        "smooths what becomes smaller",
    ),
    ("middle(x; size:extents)", _middle, "the middle of the spatial axes, at a given size"),
    (
        "window_sum(x; size:integer, axis:axis)",
        _window_sum,
        "the sum over `size` neighbours along an axis, zeros outside",
    ),
)
