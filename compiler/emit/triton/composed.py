"""What one piece of work becomes: kernel texts, and what their parameters stand for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ....spec.dims import Dim
from ...artifact import Expression
from ...plan.memory import expression
from ..lower import Numbers
from .kernel import KernelText
from .printer import Partial
from .products import Names
from .row_parts import Parted
from .tiles import Tile


@dataclass(frozen=True, slots=True)
class Composed:
    """Kernels that run one after the other, and what their parameters stand for.

    `names` gives the value behind each pointer, `sizes` the size behind each integer argument;
    `partials` are sums that a finish has to complete, `parted` folds of rows; `key` tells the
    kernel from others when its tile is refused, `second` the one behind it; `streams`
    and `starts` are those of the loop kernel, by their number there; `tile` is that of a product.
    """

    texts: tuple[KernelText, ...]
    grids: tuple[tuple[Expression, ...], ...]
    names: Mapping[int, str]
    sizes: Mapping[str, Dim]
    partials: tuple[Partial, ...]
    places: tuple[str, ...]
    kind: str
    flops: int
    key: str = ""
    second: str = ""
    streams: tuple[int, ...] = ()
    starts: tuple[int, ...] = ()
    parted: tuple[Parted, ...] = ()
    tile: Tile | None = None

    def key_of(self, text: KernelText) -> str:
        """What tells one of the kernels from others when its tile is refused."""
        behind = self.second and text.name in [each.name for each in self.texts[1:]]
        return self.second if behind else self.key

    def of(self, ids: Numbers) -> Composed:
        """The kernels for other values of the same form."""
        return replace(self, names={ids[i]: name for i, name in self.names.items()})


def composed(
    texts: tuple[KernelText, ...],
    names: Mapping[int, str],
    sizes: Names,
    partials: tuple[Partial, ...],
    places: tuple[str, ...],
    kind: str,
    flops: int,
) -> Composed:
    """Kernels with their grids and sizes."""
    numbers = {name: expression(dim) for name, dim in sizes.dims.items()}
    grids = tuple(text.launch_grid(numbers) for text in texts)
    return Composed(texts, grids, names, dict(sizes.dims), partials, places, kind, flops)
