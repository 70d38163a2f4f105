"""What an attention launch reads and makes, as C knows it: matrices with a row for each position,
and sums over one side of the scores.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ....spec.dims import Dim
from ...plan.attention import Attention, domain
from ...plan.layout import Layout
from ...plan.values import Values
from ..loops import Affine, Axis, Kernel, KernelBuffer, Operand, Store
from ..streamed import Dims, operand_dims, result_dims, streamed

QUERIES, KEYS = 32, 128
"""Positions of a tile of scores."""

BROAD = 96
"""Numbers of a position from which on tile units are quicker, as in attend.c."""

_WORDS = """
at base end factor high i j low made more most packed_tile peak planes scratch seed start step t top
wide base_2 made_2 more_2
"""

LOCALS = tuple(_WORDS.split())
"""Names in the functions that are not those of values."""

LayoutOf = Callable[[int], Layout]


@dataclass(frozen=True, slots=True)
class Place:
    """Where the rows of a value lie: those of one sample and head begin at `begin`, neighbours are
    `step` apart, numbers of one of them `unit`.  Of pairs, `step` and `unit` are those of queries
    and keys.
    """

    buffer: str
    begin: Affine
    step: Dim
    unit: Dim
    level: int


@dataclass(frozen=True, slots=True)
class Matrix:
    """One side of a product: `queries` or `keys` of scores, or `values` that are added up.

    `owned`: it has a row for every query; `name` is its record in C.
    """

    name: str
    role: str
    place: Place
    width: int
    owned: bool

    @property
    def floats(self) -> int:
        """Floats of 32 packed rows: in planes where these may be quicker, else in strips."""
        whole = 32 * (-(-self.width // 32) * 32)
        return whole * 3 // 2 if self.width >= BROAD else whole


@dataclass(frozen=True, slots=True)
class Sum:
    """A result: `op` of the value `source`, for every query, for every key, or for each pair.

    `matrix` is what the source multiplies, None of a fold; `width` its numbers, else 0.
    """

    op: str
    side: str
    source: Operand
    place: Place
    matrix: Matrix | None
    width: int
    online: bool

    @property
    def name(self) -> str:
        """Its area of sums in C."""
        return f"{self.place.buffer}_sum"

    @property
    def lead(self) -> int:
        """Floats from one position to the next: whole tiles."""
        return -(-self.width // 16) * 16 if self.width else 1


class Scores:
    """One launch: its axes, statements, matrices and sums."""

    def __init__(self, values: Values, launch: Attention, layout: LayoutOf) -> None:
        self.values, self.launch, self.layout = values, launch, layout
        self.graph = values.graph
        self.shape = self.graph[launch.streamed[0]].shape
        self.domain = domain(self.graph, launch)
        read = [(o, "in", self._dims(n, o)) for n, o in self._pairs()]
        made = [(r, "out", result_dims(self.graph, launch, r)) for r in launch.results]
        found = streamed(
            values,
            launch,
            layout,
            domain=self.domain,
            touched=dict.fromkeys([*read, *made]),
            taken=LOCALS,
        )
        self.axes, self.kernel, self.buffers = found.axes, found.kernel, found.matrices
        self.loops = self._loops()
        self.matrices: dict[tuple[int, Dims, str], Matrix] = {}
        self.products = [(z, self._sides(z)) for z in launch.products]
        self.sums = [self._sum(r) for r in launch.results]

    # ---- axes ------------------------------------------------------------------------------------

    def axis(self, d: int) -> Axis:
        found = self.axes[d]
        assert found is not None
        return found

    @property
    def walked(self) -> Dim:
        """How many keys pass by."""
        return self.shape[self.launch.walked]

    def _loops(self) -> list[int]:
        """The dimensions around blocks, outermost first; what most results sum comes last."""
        ends = (self.launch.owned, self.launch.walked)
        around = [d for d, axis in enumerate(self.axes) if axis is not None and d not in ends]
        made = [result_dims(self.graph, self.launch, r) for r in self.launch.results]
        summed = {d: sum(d not in own for own in made) for d in around}
        return sorted(around, key=lambda d: (d != self.domain, summed[d], d))

    # ---- buffers ---------------------------------------------------------------------------------

    @property
    def arguments(self) -> tuple[KernelBuffer, ...]:
        """The memory that the function reads and writes."""
        made, streamed = self.launch.results, self.values.streamed
        return tuple(
            b
            for b in self.kernel.buffers
            if b.value not in streamed and (b.role != "in" or b.value not in made)
        )

    def loaded(self, value: int) -> str | None:
        """The buffer, which does not exist, from which statements load a product or result."""
        found = [b.name for b in self.kernel.buffers if b.value == value and b.role == "in"]
        return found[0] if found else None

    def stored_as(self, value: int) -> Operand:
        """What the statements call a source."""
        names = {b.name for b in self.kernel.buffers if b.value == value and b.role == "out"}
        body = self.kernel.passes[0].body
        return next(s.operand for s in body if isinstance(s, Store) and s.buffer in names)

    # ---- matrices and sums -----------------------------------------------------------------------

    def _pairs(self) -> list[tuple[int, int]]:
        """Every product or result with each of its operands that is a matrix."""
        graph, launch = self.graph, self.launch
        found = [(z, o) for z in launch.products for o in graph[z].operands]
        others = [(r, launch.other(graph, r)) for r in launch.results]
        return found + [(r, o) for r, o in others if o is not None]

    def _dims(self, node: int, i: int) -> Dims:
        return operand_dims(self.graph, self.launch, node, i)

    def _place(self, i: int, dims: Dims, row: int | None, column: int | None) -> Place:
        strides = self.layout(i).strides
        terms = [
            (self.axis(d), stride)
            for d, stride in zip(dims, strides, strict=True)
            if d in self.loops
        ]
        level = max((n for n, d in enumerate(self.loops, 1) if d in dims), default=0)
        step = strides[dims.index(row)] if row in dims else 0
        unit = strides[dims.index(column)] if column in dims else 0
        return Place(self.buffers[i, dims], Affine(tuple(terms)), step, unit, level)

    def _matrix(self, node: int, i: int, role: str) -> Matrix:
        dims = self._dims(node, i)
        key = i, dims, role
        if key not in self.matrices:
            owned = self.launch.owned in dims
            end = self.launch.owned if owned else self.launch.walked
            place = self._place(i, dims, end, None)
            width = self.graph[i].shape[dims.index(None)]
            assert isinstance(width, int)
            word = "block" if role == "values" and owned else role
            name, taken = f"{place.buffer}_{word}", {m.name for m in self.matrices.values()}
            while name in taken:
                name += "_"
            self.matrices[key] = Matrix(name, role, place, width, owned)
        return self.matrices[key]

    def _sides(self, z: int) -> tuple[Matrix, Matrix]:
        """The queries and the keys of a product."""
        first, second = self.graph[z].operands
        if self.launch.owned not in self._dims(z, first):
            first, second = second, first
        return self._matrix(z, first, "queries"), self._matrix(z, second, "keys")

    def _sum(self, r: int) -> Sum:
        node, launch = self.graph[r], self.launch
        dims = result_dims(self.graph, launch, r)
        ends = launch.owned in dims, launch.walked in dims
        side = {(True, False): "queries", (False, True): "keys", (True, True): "pairs"}[ends]
        other = launch.other(self.graph, r)
        matrix = self._matrix(r, other, "values") if other is not None else None
        row = launch.walked if side == "keys" else launch.owned
        column = launch.walked if side == "pairs" else None
        return Sum(
            node.op,
            side,
            self.stored_as(launch.source(r)),
            self._place(r, dims, row, column),
            matrix,
            matrix.width if matrix is not None else 0,
            r in launch.online,
        )


def without_scores(scores: Scores, name: str) -> Kernel:
    """The kernel with the buffers that exist."""
    kernel = scores.kernel
    return Kernel(
        name,
        kernel.rows,
        kernel.columns,
        kernel.passes,
        kernel.values,
        scores.arguments,
        kernel.places,
        kernel.bytes,
        kernel.flops,
        kernel.streams,
        kernel.starts,
        object(),
    )
