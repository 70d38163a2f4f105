"""What an attention launch streams -> statements of the loop IR: a tile of scores at a time.

The rows of the kernel are the positions that the launch owns, its columns those that it walks;
other axes are called `batch_…`.  Products of queries and keys are loads from buffers that do not
exist: a printer has them in registers.  Every source is stored, to say what it is called.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from ..plan.attention import Attention
from ..plan.layout import Layout
from ..plan.space import streamed_space
from ..plan.values import Values
from .loops import Affine, Axis, Kernel, Pass, Store
from .lower import Lowering, local_name


@dataclass(frozen=True, slots=True)
class Streamed:
    """The kernel, and the axis of every dimension of the scores; None where the extent is 1."""

    kernel: Kernel
    axes: tuple[Axis | None, ...]


class _Streaming(Lowering):
    """Members in a space with more axes than rows and columns."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for key, extent in self.space.extents.items():
            if key not in self.axes:
                self.axes[key] = Axis(f"batch_{key[1]}", extent)


def streamed(
    values: Values,
    launch: Attention,
    layout: Callable[[int], Layout],
    conditions: Collection[int] = (),
) -> Streamed:
    """The statements that make the sources of a launch, and say what `conditions` are called."""
    space = streamed_space(values, launch)
    none: frozenset[int] = frozenset()
    lowering = _Streaming(values, none, none, layout, space)
    first = values.graph[launch.streamed[0]]
    of = space.of(first)
    for d, key in enumerate(of):
        if key is not None and key not in (*space.rows, *space.columns):
            lowering.axes[key] = Axis(f"batch_{d}", space.extents[key])
    members = values.cone_of(launch)[0]
    lowering.inside = frozenset(members).difference(launch.products, launch.results)
    body = []
    for source in dict.fromkeys((*launch.sources, *sorted(conditions))):
        node = values.graph[source]
        at = lowering.coordinates(node)
        found = lowering.read(source, at)
        index = Affine(())
        buffer = lowering.buffer(source, "out", index, at)
        body.append(Store(buffer.name, found, index))
    made = [s for s in lowering.made.values() if s is not None]
    axes = tuple(lowering.axes[key] if key is not None else None for key in of)
    kernel = Kernel(
        local_name(first.name),
        tuple(lowering.axes[a] for a in space.rows),
        tuple(lowering.axes[a] for a in space.columns),
        (Pass(True, (*made, *body)),),
        lowering.infos,
        tuple(lowering.buffers.values()),
        (),
        0,
        0,
        tuple(lowering.streams),
    )
    return Streamed(kernel, axes)
