"""What an attention launch streams -> statements of the loop IR: a tile of scores at a time.

The rows of the kernel are the positions that the launch owns, its columns those that it walks;
other axes are called `batch_…`.  Products of queries and keys are loads from buffers that do not
exist: a printer has them in registers.  Every source is stored, to say what it is called.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from ..ir.graph import Graph
from ..ops.products import letters
from ..plan.attention import Attention
from ..plan.layout import Layout
from ..plan.space import streamed_space
from ..plan.values import Values
from .loops import Affine, Axis, Kernel, Pass, Store
from .lower import Lowering
from .names import local_name
from .statements import Coordinate, Statements

Axes = tuple[Axis | None, ...]
Dims = tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Streamed:
    """The kernel, and the axis of every dimension of the scores; None where the extent is 1.

    `matrices` says which buffers were asked for.
    """

    kernel: Kernel
    axes: Axes
    matrices: Mapping[tuple[int, Dims], str]


class _Streaming(Lowering):
    """Members in a space with more axes than rows and columns."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for key, extent in self.space.extents.items():
            if key not in self.axes:
                self.axes[key] = Axis(f"batch_{key[1]}", extent)

    def touch(self, i: int, role: str, dims: Dims, axes: Axes) -> str:
        """The buffer of a matrix whose dimensions are those of the scores, or numbers."""
        at: list[Coordinate] = []
        for axis in (None if d is None else axes[d] for d in dims):
            at.append(((), 0) if axis is None else (((axis, 1),), 0))
        index = self.address(i, tuple(at))
        return self.buffer(i, role, index, tuple(at)).name


def operand_dims(graph: Graph, launch: Attention, node: int, i: int) -> Dims:
    """Which dimension of the scores each of an operand of a product is, or of what a result
    multiplies its source by; None for its numbers.
    """
    n = graph[node]
    texts = letters(n["spec"])
    scores = texts[2]
    if node in launch.results:
        slot = n.operands.index(launch.source(node))
        scores, mine = texts[slot], texts[1 - slot]
    else:
        mine = texts[n.operands.index(i)]
    return tuple(scores.index(x) if x in scores else None for x in mine)


def result_dims(graph: Graph, launch: Attention, result: int) -> Dims:
    """The dimension of the scores that each dimension of a result is; None for its numbers."""
    node, source = graph[result], launch.source(result)
    if node.op != "contract":
        rank = len(graph[source].shape)
        return tuple(d for d in range(rank) if d not in node["axes"])
    texts = letters(node["spec"])
    scores = texts[node.operands.index(source)]
    return tuple(scores.index(x) if x in scores else None for x in texts[2])


def streamed(
    values: Values,
    launch: Attention,
    layout: Callable[[int], Layout],
    conditions: Collection[int] = (),
    *,
    domain: int | None = None,
    touched: Collection[tuple[int, str, Dims]] = (),
    taken: Collection[str] = (),
) -> Streamed:
    """The statements that make the sources of a launch, and say what `conditions` are called.

    `domain` is the dimension that is shared between threads, if not that of the rows; `touched`
    values become buffers too, with their roles and their dimensions among those of the scores; no
    value gets a name that is `taken`.
    """
    space = streamed_space(values, launch)
    none: frozenset[int] = frozenset()
    lowering = _Streaming(values, none, none, layout, space, Statements(set(taken)))
    first = values.graph[launch.streamed[0]]
    of = space.of(first)
    for d, key in enumerate(of):
        if key is not None and key not in (*space.rows, *space.columns):
            lowering.axes[key] = Axis(f"batch_{d}", space.extents[key])
    axes = tuple(lowering.axes[key] if key is not None else None for key in of)
    if domain is not None:
        lowering.outermost = axes[domain]
    members = values.cone_of(launch)[0]
    lowering.inside = frozenset(members).difference(launch.products, launch.results)
    matrices = {(i, dims): lowering.touch(i, role, dims, axes) for i, role, dims in touched}
    body = []
    for source in dict.fromkeys((*launch.sources, *sorted(conditions))):
        node = values.graph[source]
        at = lowering.coordinates(node)
        found = lowering.read(source, at)
        index = Affine(())
        buffer = lowering.buffer(source, "out", index, at)
        body.append(Store(buffer.name, found, index))
    made = [s for s in lowering.text.made.values() if s is not None]
    kernel = Kernel(
        local_name(first.name),
        tuple(lowering.axes[a] for a in space.rows),
        tuple(lowering.axes[a] for a in space.columns),
        (Pass(True, (*made, *body)),),
        lowering.text.infos,
        tuple(lowering.buffers.values()),
        (),
        0,
        0,
        tuple(lowering.streams),
    )
    return Streamed(kernel, axes, matrices)
