"""Images of sizes that a net does not take: continued by their reflection to the next that it does,
and what belongs to the images cut out of the answers.

Rows are added below and columns to the right, so that an answer of the image's own size begins
where the image does.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from ..compiler.artifact import OPERATORS, evaluate, names_in
from ..spec.errors import DataError, UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..compiler.artifact import Entry, Expression, Need, Port

    Array = NDArray[Any]

FURTHER = 4096
"""Rows or columns that are added at most."""


@dataclass(frozen=True, slots=True)
class Padding:
    """From the `own` height and width of images to those that `port` of a net takes, `sides`."""

    port: Port
    own: tuple[int, int]
    sides: tuple[int, int]

    def pad(self, array: Array) -> Array:
        """Images [N, C, *own] -> [N, C, *sides]."""
        (height, width), (more, wider) = self.own, self.sides
        beyond = ((0, 0), (0, 0), (0, more - height), (0, wider - width))
        return array if self.own == self.sides else np.pad(array, beyond, "reflect")

    def cut(self, values: Mapping[str, Array], outputs: Sequence[Port]) -> dict[str, Array]:
        """The answers as long on each axis as their shapes say of images of their own size, so that
        they cover these.

        Raises: UsageError for an axis that runs along rows and columns of the image at once.
        """
        if self.own == self.sides:
            return dict(values)
        shapes = {port.name: port.shape for port in outputs}
        return {
            name: array[tuple(self._kept(name, shapes[name], array.shape))]
            for name, array in values.items()
        }

    def _kept(self, name: str, shape: Sequence[Expression], have: Sequence[int]) -> Iterator[slice]:
        sides = self.port.shape[-2:]
        free = [side for side in sides if isinstance(side, str)]
        for axis, (extent, length) in enumerate(zip(shape, have, strict=True)):
            place = axis - len(shape) + 2  # 0 for rows, 1 for columns
            names = set(names_in(extent))
            mine = names.intersection(free)
            fixed = place >= 0 and len(shape) > 2 and isinstance(sides[place], int)
            if (mine and len(names) > 1) or (fixed and not mine and extent != sides[place]):
                raise UsageError(
                    f"`{name}` is {list(shape)}: what belongs to the image cannot be cut out of it",
                    hint="--pad is for answers with rows and columns as the image has, or none",
                )
            if fixed and not mine:
                yield slice(self.own[place])
            elif not mine:
                yield slice(length)
            else:
                square = sides[0] == sides[1]
                own = (self.own[place], self.own[place]) if square else self.own
                bound = dict(zip(map(str, sides), own, strict=True))
                yield slice(math.ceil(_exact(extent, bound)))


def _exact(extent: Expression, sizes: Mapping[str, int]) -> Any:
    """An expression of sizes that may not be the multiples that they are taken for: of 9 rows
    where fours are wanted, 9/4 are there.
    """
    if not isinstance(extent, tuple):
        return evaluate(extent, sizes)
    operator, *operands = extent
    found = [_exact(each, sizes) for each in operands]
    if operator == "//" and isinstance(operands[0], str):
        return Fraction(*found)
    return OPERATORS[operator](*found)


def padding_of(entry: Entry, port: Port, own: tuple[int, int], name: str) -> Padding:
    """The least size from `own` on that the net takes.

    Raises: DataError where there is none, naming the image.
    """
    first, second = port.shape[-2:]
    bound = dict.fromkeys(entry.sizes, 1)
    wanted = dict(zip((first, second), own, strict=True))
    if first == second:
        wanted[first] = max(own)
    for side, length in wanted.items():
        if isinstance(side, int):
            if length > side:
                shown = " x ".join(map(str, port.shape[-2:]))
                raise DataError(
                    f"`{name}` is {own[0]} x {own[1]}, larger than the {shown} that "
                    f"`{entry.subject}` takes",
                    hint="a net takes larger images where its input says H and W in place of them",
                )
            wanted[side] = side
        elif isinstance(side, str):
            wanted[side] = bound[side] = _next(side, length, entry, bound, name)
    return Padding(port, own, (int(wanted[first]), int(wanted[second])))


def _next(side: str, length: int, entry: Entry, bound: Mapping[str, int], name: str) -> int:
    """The least length that meets all needs of this size alone."""
    needs = [need for need in entry.needs if set(names_in(need.least)) == {side}]
    for longer in range(length, length + FURTHER):
        if not _broken(needs, {**bound, side: longer}):
            return longer
    said = _broken(needs, {**bound, side: length})[0]
    raise DataError(f"`{name}`: `{entry.subject}` needs {said.text}, got {side}={length}")


def _broken(needs: Sequence[Need], sizes: Mapping[str, int]) -> list[Need]:
    return [need for need in needs if evaluate(need.least, sizes) < 0]
