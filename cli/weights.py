"""The weights of a checkpoint as pictures: filters of convolutions, what linear layers look for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..compiler.build import NetProgram, Program, outline_of
from ..compiler.build.outline import Part
from ..spec.errors import UsageError, suggest
from .drawing.tiles import Tile, around_zero, save, sheet

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

MOST = 128
"""Filters and channels that a sheet shows; further ones are left out, and its title says so."""


@dataclass(frozen=True, slots=True)
class Weight:
    """A parameter that can be drawn, or might be: its layer's path, its name and shape.

    `image` is the shape [channel, row, column] of what each row of a matrix is compared with, where
    that is an image.
    """

    layer: str
    parameter: str
    shape: tuple[int, ...]
    image: tuple[int, int, int] | None

    @property
    def drawable(self) -> bool:
        """Filters of more than one element, or rows that are images."""
        if len(self.shape) == 4:
            return self.shape[2] * self.shape[3] > 1
        return self.image is not None


def draw_weights(
    program: Program,
    checkpoint: Path,
    layers: Sequence[str],
    out: Path,
    *,
    net: str | None = None,
    ema: bool | None = None,
) -> list[Path]:
    """Draw the weights of these layers, or of all that can be drawn; returns the files written.

    `ema`: their average; without it, where the checkpoint has one.

    Raises: CheckpointError when the checkpoint is another network's, DataError, UsageError.
    """
    from ..runtime.averaged import averages_in
    from ..runtime.checkpoint import check_fit, load

    loaded = load(checkpoint)
    have = {name: array.shape for name, array in loaded.tensors.items() if "/" not in name}
    shapes = {p.name: tuple(p.shape) for p in program.parameters}
    check_fit(checkpoint, have, shapes)
    nets = [each for each in program.nets.values() if net in (None, each.name)]
    found = {w.parameter: w for each in nets for w in weights(program, each, shapes)}
    values = {**loaded.tensors, **averages_in(loaded.tensors, ema)}
    written = []
    for weight in _chosen(found, layers, several=len(nets) > 1):
        name = weight.parameter if len(nets) > 1 else weight.parameter.partition(".")[2]
        file = out / f"{name}.png"
        save(_sheet(name, weight, values[weight.parameter]), file)
        written.append(file)
    return written


def weights(
    program: Program, net: NetProgram, shapes: Mapping[str, tuple[int, ...]]
) -> list[Weight]:
    """The matrices and filters of a net, in the order of its layers."""
    found: dict[str, Weight] = {}
    for part in _parts(outline_of(program, net.name)):
        path = part.path.removeprefix(f"{net.name}.")
        for name in part.parameters:
            if name not in found and len(shapes[name]) in (2, 4):
                image = _image_read(net, part, shapes[name])
                found[name] = Weight(path, name, shapes[name], image)
    for name in net.parameters:  # those of `weight` lines of the net itself
        if name not in found and len(shapes[name]) in (2, 4):
            found[name] = Weight(name.removeprefix(f"{net.name}."), name, shapes[name], None)
    return list(found.values())


def _parts(parts: Iterable[Part]) -> Iterator[Part]:
    """Layers before the blocks around them."""
    for part in parts:
        yield from _parts(part.parts)
        yield part


def _image_read(net: NetProgram, part: Part, shape: tuple[int, ...]) -> tuple[int, int, int] | None:
    """The image whose pixels a linear layer reads: an input of the net, flattened or flat."""
    if len(shape) != 2 or part.name != "linear" or not part.inputs:
        return None
    node = net.builder[part.inputs[0]]
    while node.op in ("reshape", "squeeze", "cast"):
        node = net.builder[node.operands[0]]
    if node.op != "input" or node["feed"] not in net.inputs:
        return None
    sides = node.shape[1:]
    if len(sides) == 3 and sides[0] in (1, 3) and math.prod(sides) == shape[1]:
        return sides
    if len(sides) == 2 and math.prod(sides) == shape[1]:
        return (1, *sides)
    return _square(shape[1])


def _square(pixels: int) -> tuple[int, int, int] | None:
    """784 -> 28 x 28; 3072 -> 3 x 32 x 32."""
    for channels in (1, 3):
        side = math.isqrt(pixels // channels)
        if side > 3 and channels * side * side == pixels:
            return channels, side, side
    return None


def _chosen(found: Mapping[str, Weight], layers: Sequence[str], several: bool) -> list[Weight]:
    drawable = [w for w in found.values() if w.drawable]
    if not layers:
        if not drawable:
            raise UsageError(
                "there are no filters to draw",
                hint="convolutions are drawn, and linear layers that read an image",
            )
        return drawable
    names: dict[str, list[Weight]] = {}
    for weight in found.values():
        net, _, own = weight.parameter.partition(".")
        called = {f"{net}.{weight.layer}", f"{net}.{own}"}
        called |= set() if several else {weight.layer, own}
        for name in called:
            names.setdefault(name, []).append(weight)
    return [_one(names, layer) for layer in layers]


def _one(names: Mapping[str, list[Weight]], layer: str) -> Weight:
    """Raises: UsageError where there is no such layer, or none whose weights are a picture."""
    if layer not in names:
        listed = ", ".join(list(names)[:6])
        hint = suggest(layer, names) or (f"there is {listed}" if names else None)
        raise UsageError(f"no layer `{layer}` has filters or a matrix", hint=hint)
    for weight in names[layer]:
        if weight.drawable or len(weight.shape) == 4:
            return weight
        image = _square(weight.shape[1])
        if image is not None:
            return Weight(weight.layer, weight.parameter, weight.shape, image)
    weight = names[layer][0]
    raise UsageError(
        f"the weight {list(weight.shape)} of `{layer}` is no picture",
        hint=f"its {weight.shape[1]} inputs are not those of an image",
    )


def _sheet(title: str, weight: Weight, values: Array) -> Any:
    """Zero is a middle grey; black and white are as far from it as the largest weight of all."""
    reach = float(np.abs(values).max(initial=0))
    title = f"{title}  {' x '.join(map(str, weight.shape))}  -{reach:.3g} to {reach:.3g}"
    if len(weight.shape) == 2:
        assert weight.image is not None
        values = values.reshape(-1, *weight.image)
    filters, channels = values.shape[:2]
    shown = around_zero(values[:MOST, :MOST], reach)
    if max(filters, channels) > MOST:
        title += f"  (the first {min(filters, MOST)} x {min(channels, MOST)})"
    if channels in (1, 3):
        coloured = shown[:, 0] if channels == 1 else np.moveaxis(shown, 1, -1)
        return sheet(title, [Tile(f, f"{k}") for k, f in enumerate(coloured)])
    tiles = [Tile(f, f"{k}.{c}") for k, each in enumerate(shown) for c, f in enumerate(each)]
    return sheet(title, tiles, columns=min(channels, MOST))
