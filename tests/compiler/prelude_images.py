"""Pools and resampling beside torch; all blocks over images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from .prelude_case import IMAGE, LINE, ONE, OPEN, VOLUME, Case
from .prelude_convolutions import CONVOLUTIONS
from .prelude_norms import NORMS

Tensor = torch.Tensor


def upsampled(mode: str, scale: Any, corners: bool | None = None) -> Callable[[Tensor], Tensor]:
    return lambda x: F.interpolate(x, scale_factor=scale, mode=mode, align_corners=corners)


def resized(
    mode: str, size: Any, corners: bool | None = False, *, smooth: bool = False
) -> Callable[[Tensor], Tensor]:
    return lambda x: F.interpolate(x, size=size, mode=mode, align_corners=corners, antialias=smooth)


def smoothed_line(x: Tensor) -> Tensor:
    """torch smooths two axes."""
    wide = F.interpolate(x[:, :, None], size=(1, 3), mode="bilinear", antialias=True)
    return wide[:, :, 0]


def halved(x: Tensor) -> Tensor:
    size = (x.shape[2] // 2, x.shape[3] * 2)
    return F.interpolate(x, size=size, mode="bicubic", antialias=True)


def along_line(scale: int, corners: bool) -> Callable[[Tensor], Tensor]:
    """torch's bicubic has two axes."""
    return lambda x: F.interpolate(x[:, :, None], scale_factor=(1, scale), mode="bicubic",
                                   align_corners=corners)[:, :, 0]  # fmt: skip


def shuffled(x: Tensor) -> Tensor:
    return x.unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2)


def shuffled_volume(x: Tensor) -> Tensor:
    b, c, d, h, w = x.shape
    split = x.reshape(b, c // 8, 2, 2, 2, d, h, w).permute(0, 1, 5, 2, 6, 3, 7, 4)
    return split.reshape(b, c // 8, 2 * d, 2 * h, 2 * w)


def unshuffled_volume(x: Tensor) -> Tensor:
    b, c, d, h, w = x.shape
    split = x.reshape(b, c, d, h // 3, 3, w // 2, 2).permute(0, 1, 4, 6, 2, 3, 5)
    return split.reshape(b, 6 * c, d, h // 3, w // 2)


def tubelets(x: Tensor) -> Tensor:
    b, c, d, h, w = x.shape
    split = x.reshape(b, c, d // 2, 2, h // 3, 3, w, 1).permute(0, 2, 4, 6, 1, 3, 5, 7)
    return split.reshape(b, d // 2 * (h // 3) * w, c * 6)


def unfolded_volume(x: Tensor) -> Tensor:
    """Windows of 2 x 1 x 3, a step of 2 along the second axis, one row of zeros around the last."""
    windows = F.pad(x, (1, 1)).unfold(2, 2, 1).unfold(3, 1, 2).unfold(4, 3, 1)
    return windows.permute(0, 1, 5, 6, 7, 2, 3, 4).flatten(5).flatten(1, 4)


def average(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=False)


def indexed(x: Tensor) -> Tensor:
    y, places = F.max_pool2d(x, 3, 2, 1, return_indices=True)
    return y * torch.sin(places.double())


def indexed_line(x: Tensor) -> Tensor:
    y, places = F.max_pool1d(x, 2, return_indices=True)
    return y * torch.sin(places.double())


def unpooled(x: Tensor, kernel: Any = 2) -> Tensor:
    y, places = F.max_pool2d(x, kernel, return_indices=True)
    return F.max_unpool2d(y * y, places, kernel, output_size=x.shape[2:])


def indexed_behind_relu(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    y, places = F.max_pool2d(torch.relu(F.conv2d(x, weight, bias)), 2, return_indices=True)
    return y * torch.sin(places.double())


def unpooled_behind_relu(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return unpooled(torch.relu(F.conv2d(x, weight, bias)))


def adapted(size: Any, *, behind: Callable[[Tensor], Tensor] = lambda x: x) -> Any:
    """A pool to a size, and the sines of the places of its maxima."""

    def twin(x: Tensor) -> Tensor:
        pools = (F.adaptive_max_pool1d, F.adaptive_max_pool2d, F.adaptive_max_pool3d)
        y, places = pools[x.ndim - 3](behind(x), size, return_indices=True)
        return y * torch.sin(places.double() + 1)

    return twin


def floored(x: Tensor) -> Tensor:
    """With many equal elements, as behind a relu."""
    return torch.relu(x - 1)


def indexed_volume(x: Tensor) -> Tensor:
    y, places = F.max_pool3d(x, 2, return_indices=True)
    return y * torch.sin(places.double())


def unpooled_volume(x: Tensor) -> Tensor:
    y, places = F.max_pool3d(x, (2, 1, 3), return_indices=True)
    return F.max_unpool3d(y * y, places, (2, 1, 3), output_size=x.shape[2:])


def unpooled_line(x: Tensor) -> Tensor:
    y, places = F.max_pool1d(x, 3, return_indices=True)
    return F.max_unpool1d(y * y, places, 3, output_size=x.shape[2:])


def unpooled_oblong(x: Tensor) -> Tensor:
    return unpooled(x, (2, 3))


ONE_BY_ONE = {"conv.weight": (3, 4, 1, 1), "conv.bias": (3,)}
PLACES = "return_indices=true)\n  y*sin(places + 1)"

SAMPLING = [
    Case("x -> max_pool(2)", lambda x: F.max_pool2d(x, 2), IMAGE),
    Case("x -> max_pool(3, stride=2, pad=1, ceil=true)",
         lambda x: F.max_pool2d(x, 3, 2, 1, ceil_mode=True), IMAGE),
    Case("x -> max_pool([2, 3], stride=1, dilation=[3, 1])",
         lambda x: F.max_pool2d(x, (2, 3), 1, 0, (3, 1)), IMAGE),
    Case("x -> max_pool(2, pad=1)", lambda x: F.max_pool2d(x, 2, padding=1), IMAGE),
    Case("x -> max_pool(3, stride=4)", lambda x: F.max_pool1d(x, 3, 4), LINE),
    Case("x -> max_pool(2)", lambda x: F.max_pool3d(x, 2), VOLUME, sizes=ONE),
    Case("y, places = x -> max_pool(3, stride=2, pad=1, return_indices=true)\n  y*sin(places)",
         indexed, IMAGE),
    Case("y, places = x -> max_pool(2, return_indices=true)\n  y*sin(places)", indexed_line, LINE),
    Case("y = x -> max_pool(2)\n  max_unpool(y*y, x, 2)", unpooled, IMAGE),
    Case("y, places = x -> conv(3, 1) -> relu -> max_pool(2, return_indices=true)\n"
         "  y*sin(places)", indexed_behind_relu, IMAGE, ONE_BY_ONE),
    Case("h = x -> conv(3, 1) -> relu\n  y = h -> max_pool(2)\n  max_unpool(y*y, h, 2)",
         unpooled_behind_relu, IMAGE, ONE_BY_ONE),
    Case("y = x -> max_pool([2, 3])\n  max_unpool(y*y, x, [2, 3])", unpooled_oblong, IMAGE),
    Case("x -> max_pool([3, 2, 1], stride=2, pad=[1, 0, 0], ceil=true)",
         lambda x: F.max_pool3d(x, (3, 2, 1), 2, (1, 0, 0), ceil_mode=True), VOLUME),
    Case("x -> max_pool(3, stride=1, pad=1, dilation=[1, 2])",
         lambda x: F.max_pool2d(x, 3, 1, 1, (1, 2)), OPEN, sizes={"H": 4}),
    Case("y, places = x -> max_pool(2, return_indices=true)\n  y*sin(places)", indexed_volume,
         VOLUME),
    Case("y = x -> max_pool([2, 1, 3])\n  max_unpool(y*y, x, [2, 1, 3])", unpooled_volume, VOLUME),
    Case("y = x -> max_pool(3)\n  max_unpool(y*y, x, 3)", unpooled_line, LINE),
    Case("x -> avg_pool(2)", lambda x: F.avg_pool2d(x, 2), IMAGE),
    Case("x -> avg_pool(3, stride=2, pad=1)", lambda x: F.avg_pool2d(x, 3, 2, 1), IMAGE),
    Case("x -> avg_pool(3, stride=2, pad=1, ceil=true, count_pad=false)", average, IMAGE),
    Case("x -> avg_pool(3, stride=3, ceil=true)",
         lambda x: F.avg_pool2d(x, 3, 3, ceil_mode=True), IMAGE),
    Case("x -> avg_pool(2, pad=1, count_pad=false)",
         lambda x: F.avg_pool1d(x, 2, padding=1, count_include_pad=False), LINE),
    Case("x -> avg_pool([3, 2, 2], stride=2, pad=[1, 0, 1], ceil=true, count_pad=false)",
         lambda x: F.avg_pool3d(x, (3, 2, 2), 2, (1, 0, 1), ceil_mode=True,
                                count_include_pad=False), VOLUME),
    Case("x -> avg_pool([5, 2, 3])", lambda x: F.avg_pool3d(x, (5, 2, 3)), VOLUME),
    Case("x -> avg_pool(2)", lambda x: F.avg_pool2d(x, 2), OPEN),
    Case("x -> avg_pool(3, stride=2, pad=1, count_pad=false)",
         lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False), OPEN),
    Case("x -> avg_pool(3, stride=2, pad=1, divisor=4)",
         lambda x: F.avg_pool2d(x, 3, 2, 1, divisor_override=4), IMAGE),
    Case("x -> avg_pool([2, 3, 1], ceil=true, divisor=5)",
         lambda x: F.avg_pool3d(x, (2, 3, 1), ceil_mode=True, divisor_override=5), VOLUME),
    Case("x -> global_avg_pool", lambda x: x.mean((2, 3)), OPEN),
    Case("x -> global_avg_pool", lambda x: x.mean(2), LINE),
    Case("x -> global_max_pool", lambda x: x.amax((2, 3)), IMAGE),
    Case("x -> adaptive_max_pool([14, 4])", lambda x: F.adaptive_max_pool2d(x, (14, 4)), IMAGE),
    Case("x -> adaptive_max_pool([2, 1])", lambda x: F.adaptive_max_pool2d(x, (2, 1)),
         "x: f32[B, 4, 1, 8]"),
    Case("x -> global_max_pool", lambda x: x.amax((2, 3, 4)), VOLUME),
    Case("x -> adaptive_avg_pool([3, 2])", lambda x: F.adaptive_avg_pool2d(x, (3, 2)), IMAGE),
    Case("x -> adaptive_avg_pool(5)", lambda x: F.adaptive_avg_pool2d(x, 5), OPEN),
    Case("x -> adaptive_avg_pool(4)", lambda x: F.adaptive_avg_pool1d(x, 4), LINE),
    Case("x -> adaptive_avg_pool([3, 4, 2])", lambda x: F.adaptive_avg_pool3d(x, (3, 4, 2)),
         VOLUME),
    Case("x -> adaptive_avg_pool([7, 4])", lambda x: F.adaptive_avg_pool2d(x, (7, 4)), IMAGE),
    Case("x -> adaptive_avg_pool([2, 3])", lambda x: F.adaptive_avg_pool2d(x, (2, 3)),
         "x: f32[B, 4, H%2, W]"),
    Case("x -> adaptive_max_pool([1, 4])", lambda x: F.adaptive_max_pool2d(x, (1, 4)), IMAGE),
    Case("x -> adaptive_max_pool(5)", lambda x: F.adaptive_max_pool1d(x, 5), LINE),
    Case("x -> adaptive_max_pool([4, 3])", lambda x: F.adaptive_max_pool2d(x, (4, 3)), IMAGE),
    Case("x -> adaptive_max_pool(2)", lambda x: F.adaptive_max_pool3d(x, 2), VOLUME, sizes=ONE),
    Case(f"y, places = x -> adaptive_max_pool([3, 2], {PLACES}", adapted((3, 2)), IMAGE),
    Case(f"y, places = x -> adaptive_max_pool([7, 4], {PLACES}", adapted((7, 4)), IMAGE),
    Case(f"y, places = x -> adaptive_max_pool([1, 13], {PLACES}", adapted((1, 13)), IMAGE),
    Case(f"y, places = x -> adaptive_max_pool(5, {PLACES}", adapted(5), LINE),
    Case(f"y, places = x -> adaptive_max_pool([2, 3, 2], {PLACES}", adapted((2, 3, 2)), VOLUME),
    Case(f"y, places = relu(x - 1) -> adaptive_max_pool([3, 5], {PLACES}",
         adapted((3, 5), behind=floored), IMAGE),
    Case(f"y, places = relu(x - 1) -> adaptive_max_pool([2, 3], {PLACES}",
         adapted((2, 3), behind=floored), OPEN, sizes={"H": 5}),
    Case(f"y, places = x -> adaptive_max_pool(2, {PLACES}", adapted(2), "x: f32[B, 2, T]"),
    Case(f"y, places = x -> adaptive_max_pool([H//2, 3*W], {PLACES}",
         lambda x: adapted((x.shape[2]//2, 3*x.shape[3]))(x), "x: f32[B, 2, H%2, W]"),
    Case("x -> adaptive_max_pool(3)", lambda x: F.adaptive_max_pool2d(x, 3), OPEN, sizes={"H": 5}),
    Case("x -> adaptive_avg_pool([40, 3])", lambda x: F.adaptive_avg_pool2d(x, (40, 3)), IMAGE),
    Case("x -> upsample", upsampled("nearest", 2), OPEN),
    Case("x -> upsample([3, 1])", upsampled("nearest", (3, 1)), IMAGE),
    Case("x -> upsample(3)", upsampled("nearest", 3), LINE),
    Case("x -> upsample(2)", upsampled("nearest", 2), VOLUME),
    Case("x -> upsample(2, bilinear)", upsampled("bilinear", 2, False), IMAGE),
    Case("x -> upsample([3, 2], bilinear)", upsampled("bilinear", (3, 2), False), OPEN),
    Case("x -> upsample(4, bilinear)", upsampled("bilinear", 4, False), "x: f32[B, 2, 1, 2]"),
    Case("x -> upsample(3, bilinear)", upsampled("linear", 3, False), LINE),
    Case("x -> upsample(2, bilinear)", upsampled("trilinear", 2, False), VOLUME),
    Case("x -> upsample(2, bilinear, align_corners=true)", upsampled("bilinear", 2, True), OPEN),
    Case("x -> upsample([1, 3], bilinear, align_corners=true)",
         upsampled("bilinear", (1, 3), True), "x: f32[B, 2, 3, 1]"),
    Case("x -> upsample(2, bilinear, align_corners=true)", upsampled("trilinear", 2, True), VOLUME),
    Case("x -> upsample(2, bicubic)", upsampled("bicubic", 2, False), OPEN),
    Case("x -> upsample([3, 1], bicubic)", upsampled("bicubic", (3, 1), False), IMAGE),
    Case("x -> upsample(4, bicubic)", upsampled("bicubic", 4, False), "x: f32[B, 2, 1, 3]"),
    Case("x -> upsample(2, bicubic, align_corners=true)", upsampled("bicubic", 2, True), OPEN),
    Case("x -> upsample([1, 3], bicubic, align_corners=true)",
         upsampled("bicubic", (1, 3), True), "x: f32[B, 2, 3, 1]"),
    Case("x -> upsample(2, bicubic)", along_line(2, False), LINE),
    Case("x -> resize([13, 3], bicubic)", resized("bicubic", (13, 3)), IMAGE),
    Case("x -> resize([1, 17], bicubic)", resized("bicubic", (1, 17)), OPEN),
    Case("x -> resize([13, 3], bicubic, align_corners=true)", resized("bicubic", (13, 3), True),
         IMAGE),
    Case("x -> resize([5, 16], nearest)", resized("nearest", (5, 16), None), IMAGE),
    Case("x -> resize([17, 2], nearest)", resized("nearest", (17, 2), None), IMAGE),
    Case("x -> resize([3*H, 7], nearest)", lambda x: resized("nearest", (3*x.shape[2], 7), None)(x),
         OPEN),
    Case("x -> resize(7, nearest)", resized("nearest", 7, None), VOLUME),
    Case("x -> resize(5)", resized("bilinear", (5, 5)), IMAGE),
    Case("x -> resize([13, 3])", resized("bilinear", (13, 3)), IMAGE),
    Case("x -> resize([1, 17])", resized("bilinear", (1, 17)), OPEN),
    Case("x -> resize([13, 3], align_corners=true)", resized("bilinear", (13, 3), True), IMAGE),
    Case("x -> resize(1, align_corners=true)", resized("linear", 1, True), LINE),
    Case("x -> resize([13, 3], antialias=true)", resized("bilinear", (13, 3), smooth=True), IMAGE),
    Case("x -> resize([3, 8], bicubic, antialias=true)", resized("bicubic", (3, 8), smooth=True),
         IMAGE),
    Case("x -> resize([1, 17], bicubic, antialias=true)", resized("bicubic", (1, 17), smooth=True),
         IMAGE),
    Case("x -> resize([2, 5], antialias=true)", resized("bilinear", (2, 5), smooth=True), OPEN,
         sizes={"H": 9}),
    Case("x -> resize([H//2, 2*W], bicubic, antialias=true)", halved, "x: f32[B, 2, H%2, W]",
         sizes={"H": 10}),
    Case("x -> resize(3, antialias=true)", smoothed_line, LINE),
    Case("x -> resize([2*H, 3*W], bicubic)",
         lambda x: F.interpolate(x, scale_factor=(2, 3), mode="bicubic"), OPEN, sizes={"H": 7}),
    Case("x -> resize([H//2, 5], bicubic)",
         lambda x: F.interpolate(x, size=(x.shape[2]//2, 5), mode="bicubic"),
         "x: f32[B, 2, H%2, 9]", sizes={"H": 12}),
    Case("x -> resize([90, 70])", resized("bilinear", (90, 70)), "x: f32[B, 2, 2, 70]"),
    Case("x -> pixel_shuffle(2)", lambda x: F.pixel_shuffle(x, 2), OPEN),
    Case("x -> pixel_unshuffle(2)", lambda x: F.pixel_unshuffle(x, 2), "x: f32[B, 3, H%2, W%2]"),
    Case("x -> pixel_shuffle(2)",
         lambda x: x.unflatten(1, (2, 2)).transpose(2, 3).flatten(2), LINE),
    Case("x -> pixel_shuffle([1, 2])",
         lambda x: x.unflatten(1, (2, 2)).movedim(2, 4).flatten(3), OPEN),
    Case("x -> pixel_shuffle(2)", shuffled_volume, "x: f32[B, 16, 2, H, W]"),
    Case("x -> pixel_unshuffle(3)",
         lambda x: x.unflatten(2, (-1, 3)).transpose(2, 3).flatten(1, 2), "x: f32[B, 2, 12]"),
    Case("x -> pixel_unshuffle([1, 3, 2])", unshuffled_volume, "x: f32[B, 2, H, 6, W%2]"),
    Case("x -> channel_shuffle(2)", shuffled, IMAGE),
    Case("x -> channel_shuffle(2)", shuffled, LINE),
    Case("x -> patchify(2)", lambda x: F.unfold(x, 2, stride=2).transpose(1, 2),
         "x: f32[B, 3, 4, W%2]"),
    Case("x -> unfold(3)", lambda x: F.unfold(x, 3), IMAGE),
    Case("x -> unfold([2, 3], stride=[2, 1], pad=1, dilation=[1, 2])",
         lambda x: F.unfold(x, (2, 3), stride=(2, 1), padding=1, dilation=(1, 2)), OPEN),
    Case("x -> patchify(3)", lambda x: x.unflatten(2, (-1, 3)).transpose(1, 2).flatten(2),
         "x: f32[B, 2, T%3]", sizes={"T": 9}),
    Case("x -> patchify([2, 4])", lambda x: F.unfold(x, (2, 4), stride=(2, 4)).transpose(1, 2),
         "x: f32[B, 3, 4, 8]"),
    Case("x -> patchify([2, 3, 1])", tubelets, "x: f32[B, 2, 4, 3, W]"),
    Case("x -> unfold(3, pad=same)", lambda x: F.unfold(x, 3, padding=1), IMAGE),
    Case("x -> unfold(3, stride=2, pad=1)",
         lambda x: F.unfold(x[:, :, None], (1, 3), stride=(1, 2), padding=(0, 1)), LINE),
    Case("x -> unfold([2, 1, 3], stride=[1, 2, 1], pad=[0, 0, 1])", unfolded_volume, VOLUME),
    Case("x -> unfold(2, stride=3)", lambda x: F.unfold(x, 2, stride=3), IMAGE),
    Case("x -> unfold([3, 4], stride=[3, 2], pad=1)",
         lambda x: F.unfold(x, (3, 4), stride=(3, 2), padding=1), OPEN, sizes={"H": 6, "W": 5}),
    Case("x -> unfold([2, 3], stride=2)", lambda x: F.unfold(x, (2, 3), stride=2),
         "x: f32[B, 3, H%2, 8]"),
    Case("x -> unfold(3, stride=2, dilation=2, pad=2)",
         lambda x: F.unfold(x, 3, stride=2, dilation=2, padding=2), IMAGE),
    Case("x -> fold([7, 8], 2, stride=3)", lambda x: F.fold(x, (7, 8), 2, stride=3),
         "x: f32[B, 12, 6]"),
    Case("x -> fold([9, 7], 3, stride=2, dilation=2, pad=2)",
         lambda x: F.fold(x, (9, 7), 3, stride=2, dilation=2, padding=2), "x: f32[B, 18, 20]"),
    Case("y = unfold(x, 3, stride=2, pad=1)\n  fold(y*y, [H, W], 3, stride=2, pad=1)",
         lambda x: F.fold(F.unfold(x, 3, stride=2, padding=1)**2, x.shape[2:], 3, stride=2,
                          padding=1), OPEN, sizes={"H": 5, "W": 6}),
    Case("x -> fold([5, 6], 2)", lambda x: F.fold(x, (5, 6), 2), "x: f32[B, 12, 20]"),
    Case("x -> fold(7, [2, 3], stride=[2, 1], pad=1, dilation=[1, 2])",
         lambda x: F.fold(x, 7, (2, 3), stride=(2, 1), padding=1, dilation=(1, 2)),
         "x: f32[B, 12, 20]"),
    Case("x -> fold([4, 8], [2, 4], stride=[2, 4])",
         lambda x: F.fold(x, (4, 8), (2, 4), stride=(2, 4)), "x: f32[B, 16, 4]"),
    Case("fold(unfold(x, 2), [H, W], 2)", lambda x: F.fold(F.unfold(x, 2), (2, 4), 2), OPEN),
    Case("x -> fold([11], 3, stride=2, pad=1)",
         lambda x: F.fold(x, (1, 11), (1, 3), stride=(1, 2), padding=(0, 1))[:, :, 0],
         "x: f32[B, 6, 6]"),
    Case("y = unfold(x, 3, pad=1)\n  fold(y*y, [7, 8], 3, pad=1)",
         lambda x: F.fold(F.unfold(x, 3, padding=1)**2, (7, 8), 3, padding=1), IMAGE),
    Case("x -> center_crop(4)", lambda x: x[:, :, 1:5, 2:6], IMAGE),
    Case("x -> center_crop([7, 1])", lambda x: x[:, :, :, 3:4], IMAGE),
    Case("x -> center_crop([H, 2])", lambda x: x[:, :, :, 1:3], OPEN),
    Case("x -> maxout(3)", lambda x: x.unflatten(1, (2, 3)).amax(2)),
    Case("x -> maxout(2, axis=1)", lambda x: x.unflatten(1, (2, 2)).amax(2), IMAGE),
    Case("x -> channel_dropout(0.4)", lambda x: x, IMAGE),
    Case("x -> stochastic_depth(0.4)", lambda x: x, IMAGE),
]  # fmt: skip


IMAGES = [*CONVOLUTIONS, *SAMPLING, *NORMS]
