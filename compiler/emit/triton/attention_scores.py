"""The scores of an attention launch: what a kernel calls them, and the matrices it reads for them.

The rows of the kernel are the positions that the launch owns, its columns those that it walks;
programs tell the other dimensions of the scores apart, but for those that every program repeats.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ....spec.dims import symbol
from ...plan.attention import KEY, PAIR, Attention
from ...plan.visible import certain
from ..loops import Kernel, Load, Operand, Store
from ..names import local_name
from ..streamed import Streamed, operand_dims, result_dims, streamed
from .axes import spelled, statements
from .part import Part, Work
from .products import Names
from .spelling import symbol_arguments

SUFFIXES = ("tile", "sum", "top", "total")
"""What follows the name of an operand or a result."""


@dataclass(frozen=True, slots=True)
class Matrix:
    """A matrix of positions and numbers that a product or a sum reads.

    `dims` says which dimension of the scores each of its own is, None for the `width` numbers of a
    position; `name` is what its tile is called.
    """

    value: int
    dims: tuple[int | None, ...]
    width: int
    name: str


class Scores:
    """One launch: its names, sizes, statements and matrices."""

    def __init__(self, part: Part, work: Work) -> None:
        assert work.heavy is not None
        self.part, self.work = part, work
        self.graph, self.values = part.graph, part.values
        self.launch: Attention = part.values.launches[work.heavy]
        self.shape = self.graph[self.launch.streamed[0]].shape
        self.sizes = Names()
        self.certain, self.conditions = certain(self.graph, self.launch)
        ids = {i for i, _ in self.conditions}
        found: Streamed = streamed(part.values, self.launch, part.layout, ids)
        self.axes = found.axes
        read = [o for z in self.launch.products for o in self.graph[z].operands]
        read += [o for r in self.launch.results if (o := self.launch.other(self.graph, r))]
        named = [self.values.base(i) for i in read]
        held = self.values.streamed | ids
        named += [b.value for b in found.kernel.buffers if b.value not in held]
        self.names = part.short(dict.fromkeys((*named, *self.launch.results)))
        self.wide = part.wide([*self.names])
        self.kernel = self._spelled(found.kernel)
        self.symbols = symbol_arguments(self.kernel)
        for name, argument in self.symbols.items():
            self.sizes.dims.setdefault(argument, symbol(name))
        self.owned = self.sizes.extent(self.shape[self.launch.owned], "owned")
        self.walked = self.sizes.extent(self.shape[self.launch.walked], "walked")

    def _spelled(self, kernel: Kernel) -> Kernel:
        """The kernel with names that are free; buffers of streamed values keep theirs."""
        taken = {f"{n}_{word}" for n in self.names.values() for word in SUFFIXES}
        held = {
            b.value: local_name(self.graph[b.value].name)
            for b in kernel.buffers
            if b.value not in self.names
        }
        feeds = {**held, **self.names}
        return spelled(kernel, feeds, frozenset(taken))

    def key(self) -> str:
        """What tells the kernel from others when its tile is refused."""
        shapes = [", ".join(map(str, self.graph[r].shape)) for r in self.launch.results]
        return f"{self.part.name(self.work)}: {self.launch.owner} [{'] ['.join(shapes)}]"

    # ---- dimensions ------------------------------------------------------------------------------

    @property
    def pair(self) -> bool:
        """Is a tile of scores owned?"""
        return self.launch.owner == PAIR

    @property
    def of_keys(self) -> bool:
        """Are keys owned?"""
        return self.launch.owner == KEY

    def batches(self) -> list[int]:
        """The dimensions that programs tell apart."""
        apart = (self.launch.owned, self.launch.walked, *self.launch.repeated)
        return [d for d, axis in enumerate(self.axes) if axis is not None and d not in apart]

    def programs(self) -> list[int | str]:
        """How many programs each of these dimensions takes."""
        return [self.sizes.extent(self.shape[d], f"batch_extent_{d}") for d in self.batches()]

    def repeated(self) -> list[int]:
        """The dimensions that every program walks as a whole."""
        return [d for d in self.launch.repeated if self.axes[d] is not None]

    # ---- what values are called ------------------------------------------------------------------

    def hidden(self) -> frozenset[str]:
        """Buffers whose values stand in registers: products, and the logsumexp so far."""
        own = {*self.launch.products, *self.launch.results}
        return frozenset(b.name for b in self.kernel.buffers if b.value in own)

    def loaded(self, value: int) -> str | None:
        """What the statements call the value that a buffer holds; None where nobody reads it."""
        names = {b.name for b in self.kernel.buffers if b.value == value}
        loads = (s for s in statements(self.kernel) if isinstance(s, Load) and s.buffer in names)
        return next((s.target for s in loads), None)

    def stored_as(self, value: int) -> Operand:
        """What the statements call a source or a condition."""
        names = {b.name for b in self.kernel.buffers if b.value == self.values.base(value)}
        stores = (s for s in statements(self.kernel) if isinstance(s, Store) and s.buffer in names)
        return next(s.operand for s in stores)

    def source(self, result: int) -> int:
        """The streamed value that a result sums."""
        return self.launch.source(result)

    # ---- matrices --------------------------------------------------------------------------------

    def matrices(self) -> Iterable[Matrix]:
        """Those of all products and results, as often as they are read."""
        return (self.matrix(node, i) for node, i in self._read())

    def _read(self) -> list[tuple[int, int]]:
        """Every product or result with each of its operands that is a matrix."""
        found = [(z, o) for z in self.launch.products for o in self.graph[z].operands]
        for r in self.launch.results:
            other = self.launch.other(self.graph, r)
            found += [(r, other)] if other is not None else []
        return found

    def matrix(self, node: int, i: int) -> Matrix:
        """An operand with its dimensions named like those of the scores."""
        dims = operand_dims(self.graph, self.launch, node, i)
        width = self.graph[i].shape[dims.index(None)]
        assert isinstance(width, int)
        return Matrix(i, dims, width, f"{self.names[self.values.base(i)]}_tile")

    @property
    def narrow(self) -> bool:
        """Are all matrices of 16 bits?"""
        return all(self.graph[m.value].dtype in ("f16", "bf16") for m in self.matrices())

    def other(self, result: int) -> Matrix:
        """The matrix that a sum multiplies its source by."""
        other = self.launch.other(self.graph, result)
        assert other is not None
        return self.matrix(result, other)

    def owns(self, matrix: Matrix) -> bool:
        """Does a matrix have a row for each position that is owned?"""
        return self.launch.owned in matrix.dims

    def changes(self, matrix: Matrix) -> bool:
        """Does a matrix change with what is repeated?"""
        return any(d in matrix.dims for d in self.repeated())

    def result_dims(self, result: int) -> tuple[int | None, ...]:
        """The dimension of the scores that each dimension of a result is."""
        return result_dims(self.graph, self.launch, result)

    def flops(self) -> int:
        """Two for every multiply-add, of products and of sums."""
        scores = self.values.count(self.launch.streamed[0])
        widths = [matrix.width for matrix in self.matrices()]
        return sum(2 * scores * width for width in widths) // 2 + (
            sum(self.values.count(z) for z in self.launch.products)
        )
