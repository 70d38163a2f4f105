"""Attention launches as Triton: a tile of scores at a time, made, used and forgotten.

    owned tile of queries (or keys)  stays
    for every tile of the others:    z = dot(owned, walked'), what the spec does with z, and
                                     result += dot(w, walked)

A logsumexp is kept as the maximum and the sum so far; results that are scaled by it are scaled
again whenever the maximum grows.  One program owns a tile, so nobody has to agree on a sum.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ....spec.dims import symbol
from ...ir.graph import Node
from ...ops.products import letters
from ...plan.attention import KEY, PAIR, Attention
from ...plan.memory import nominal
from ...plan.visible import Bound, Extreme, certain, visible
from ..loops import Axis, Kernel, Let, Load, Operand, Statement, Store, operands_of
from ..lower import local_name
from ..streamed import Streamed, streamed
from .axes import statements
from .body import Body, Setting, symbol_arguments
from .composed import Composed, composed
from .gemm import assembled
from .kernel import Factor, Parameter, drawing
from .library import PLACES
from .part import Machine, Part, Work
from .printer import spelled
from .products import Names
from .spelling import both, product
from .template import call
from .tiles import Tile, power_of_two

_WORDS = """
top peak base shrink total at in_at start first whole last end tile rest program owned walked
"""

WORDS = ("tile", "sum", "top", "total")
"""What follows the name of an operand or a result."""

MINUS = 'float("-inf")'

LOCALS = frozenset(_WORDS.split()) | {
    f"{word}_{d}" for d in range(12) for word in ("batch", "depth")
}
"""Names that these kernels give to what is not a value."""


def attention(part: Part, work: Work, machine: Machine) -> Composed:
    """The kernel of an attention launch.

    Raises: LookupError when no tile is left.
    """
    return _Writer(part, work, machine).composed()


@dataclass(frozen=True, slots=True)
class _Operand:
    """A matrix of positions and numbers that a product or a sum reads.

    `dims` says which dimension of the scores each of its own is, None for the `width` numbers of a
    position; `name` is what its tile is called.
    """

    value: int
    dims: tuple[int | None, ...]
    width: int
    name: str


class _Streaming(Body):
    """Statements around products that stand in registers."""

    def __init__(self, kernel: Kernel, setting: Setting, hidden: frozenset[str]) -> None:
        super().__init__(kernel, setting, lambda s, x: [])
        self.hidden = hidden

    def statement(self, s: Statement) -> list[str]:
        if isinstance(s, Load) and s.buffer in self.hidden:
            return []
        return super().statement(s)


class _Writer:
    """Writes one launch."""

    def __init__(self, part: Part, work: Work, machine: Machine) -> None:
        assert work.heavy is not None
        self.part, self.work, self.machine = part, work, machine
        self.graph, self.values = part.graph, part.values
        self.launch: Attention = part.values.launches[work.heavy]
        self.sizes = Names()
        self.certain, self.conditions = certain(self.graph, self.launch)
        ids = {i for i, _ in self.conditions}
        found: Streamed = streamed(part.values, self.launch, part.layout, ids)
        self.axes = found.axes
        operands = [o for z in self.launch.products for o in self.graph[z].operands]
        others = [o for r in self.launch.results if (o := self.launch.other(self.graph, r))]
        named = [self.values.base(i) for i in (*operands, *others)]
        held = self.values.streamed | ids
        named += [b.value for b in found.kernel.buffers if b.value not in held]
        self.names = part.short(dict.fromkeys((*named, *self.launch.results)), taken=LOCALS)
        self.wide = part.wide([*self.names])
        self.kernel = self._spelled(found.kernel)
        self.symbols = symbol_arguments(self.kernel, self.kernel.values)
        for name, argument in self.symbols.items():
            self.sizes.dims.setdefault(argument, symbol(name))
        self.owned, self.walked = self._extent(self.launch.owned), self._extent(self.launch.walked)
        self.tiles: dict[tuple[int, bool], _Operand] = {}
        self.tile = self._tile()
        self.body = _Streaming(self.kernel, self._setting(4), self._hidden())
        self.dots = 0
        self.aliases: dict[str, str] = {}

    # ---- names -----------------------------------------------------------------------------------

    def _spelled(self, kernel: Kernel) -> Kernel:
        """The kernel with names that are free; buffers of streamed values keep theirs."""
        taken = {f"{n}_{word}" for n in self.names.values() for word in WORDS}
        held = {
            b.value: local_name(self.graph[b.value].name)
            for b in kernel.buffers
            if b.value not in self.names
        }
        feeds = {**held, **self.names}
        return spelled(kernel, feeds, frozenset(taken) | LOCALS)

    def _hidden(self) -> frozenset[str]:
        """Buffers whose values stand in registers: products, and the logsumexp so far."""
        own = {*self.launch.products, *self.launch.results}
        return frozenset(b.name for b in self.kernel.buffers if b.value in own)

    def _loaded(self, value: int) -> str | None:
        """What the statements call the value that a buffer holds; None where nobody reads it."""
        names = {b.name for b in self.kernel.buffers if b.value == value}
        loads = (s for s in statements(self.kernel) if isinstance(s, Load) and s.buffer in names)
        return next((s.target for s in loads), None)

    def _extent(self, d: int) -> int | str:
        shape = self.graph[self.launch.streamed[0]].shape
        return self.sizes.extent(shape[d], "owned" if d == self.launch.owned else "walked")

    def _batches(self) -> list[int]:
        """The dimensions that programs tell apart."""
        apart = (self.launch.owned, self.launch.walked, *self.launch.repeated)
        return [d for d, axis in enumerate(self.axes) if axis is not None and d not in apart]

    def _repeated(self) -> list[int]:
        return [d for d in self.launch.repeated if self.axes[d] is not None]

    # ---- tiles -----------------------------------------------------------------------------------

    def _tile(self) -> Tile:
        """How many positions are owned and walked at a time."""
        widths = [self._operand(z, o).width for z, o in self._matrices()]
        owned, walked = (
            nominal(self.graph[self.launch.streamed[0]].shape[d], self.values.sizes)
            for d in (self.launch.owned, self.launch.walked)
        )
        if self.machine.interpreted:
            return Tile(32, 16, 16, 4, 2)
        wide = max(widths) > 64
        if max(widths) > 128:
            found = WIDEST_TILES
        elif len(self.launch.products) == 1:
            found = FORWARD_WIDE if wide else FORWARD
        elif self.launch.owner == KEY:
            found = KEYS_WIDE if wide else KEYS
        else:
            found = QUERIES_WIDE if wide else QUERIES
        level = self.machine.levels.get(self.key(), 0)
        if level >= len(found):
            raise LookupError(f"no tile for attention after {level} refusals")
        tile = found[level]
        rows = max(16, min(tile.rows, power_of_two(owned)))
        return replace(tile, rows=rows, columns=max(16, min(tile.columns, power_of_two(walked))))

    def key(self) -> str:
        """What tells the kernel from others when its tile is refused."""
        shapes = [", ".join(map(str, self.graph[r].shape)) for r in self.launch.results]
        return f"{self.part.name(self.work)}: {self.launch.owner} [{'] ['.join(shapes)}]"

    def _matrices(self) -> list[tuple[int, int]]:
        """Every product or result with each of its operands that is a matrix."""
        found = [(z, o) for z in self.launch.products for o in self.graph[z].operands]
        for r in self.launch.results:
            other = self.launch.other(self.graph, r)
            found += [(r, other)] if other is not None else []
        return found

    def _operand(self, node: int, i: int) -> _Operand:
        """An operand with its dimensions named like those of the scores."""
        n = self.graph[node]
        texts = letters(n["spec"])
        scores = texts[2]
        if node in self.launch.results:
            source = self.launch.sources[self.launch.results.index(node)]
            scores = texts[n.operands.index(source)]
            mine = texts[1 - n.operands.index(source)]
        else:
            mine = texts[n.operands.index(i)]
        dims = tuple(scores.index(x) if x in scores else None for x in mine)
        width = self.graph[i].shape[dims.index(None)]
        assert isinstance(width, int)
        name = f"{self.names[self.values.base(i)]}_tile"
        return _Operand(i, dims, width, name)

    # ---- settings --------------------------------------------------------------------------------

    def _setting(self, indent: int) -> Setting:
        return Setting(
            self._mask(self.owned, self.tile.rows, "in_row"),
            self._mask(self.walked, self.tile.columns, "in_column"),
            "BM",
            "",
            "",
            self.symbols,
            self.wide,
            indent,
        )

    def _mask(self, extent: int | str, block: int, name: str) -> str | None:
        return None if isinstance(extent, int) and extent % block == 0 else name

    # ---- operands --------------------------------------------------------------------------------

    def _owned_operand(self, o: _Operand) -> bool:
        return self.launch.owned in o.dims

    def _load(self, o: _Operand, indent: int) -> list[str]:
        """The tile of an operand, [positions, numbers]."""
        mine = self._owned_operand(o)
        at, mask = ("row", self.body.setting.in_row) if mine else ("at", None)
        if not mine and self.body.setting.in_column:
            mask = "in_at"
        block = max(16, power_of_two(o.width))
        depth = f"tl.arange(0, {block})[None, :]"
        terms = [f"{self.names[self.values.base(o.value)]}_ptr"]
        for d, stride in zip(o.dims, self.part.layout(o.value).strides, strict=True):
            if d is None:
                terms.append(product(depth, str(self.sizes.stride(stride))))
            elif d in (self.launch.owned, self.launch.walked):
                terms.append(product(at, str(self.sizes.stride(stride))))
            elif self.axes[d] is not None:
                terms.append(product(f"batch_{d}", str(self.sizes.stride(stride))))
        mask = both(mask, f"({depth} < {o.width})" if block != o.width else None)
        masks = [f"mask={mask}", "other=0.0"] if mask else []
        return call(f"{o.name} = tl.load", [" + ".join(terms), *masks], indent)

    def _within(self, o: _Operand) -> bool:
        """Does an operand change with what is repeated?"""
        return any(d in o.dims for d in self._repeated())

    # ---- text ------------------------------------------------------------------------------------

    def composed(self) -> Composed:
        """The kernel with all that its launch needs."""
        place, before, steps, after = self._place(), *self._loops()
        head = ["seed = tl.load(seed_ptr)", "step = tl.load(step_ptr)"] if self.body.streams else []
        holes = {"place": place, "before": [*head, *before], "steps": steps, "after": after}
        text = assembled(
            self.part.name(self.work),
            [self.part.title(self.names, self.work), self._about(), PLACES],
            self._parameters(),
            self.tile,
            {**holes, "end": self._stores()},
            ((*self._blocks(), *map(Factor, self._programs())),),
            dots=self.dots,
        )
        behind = [i for i in self.values.cone_of(self.launch)[0] if self.graph[i].place is not None]
        found = composed(
            (text,),
            self.names,
            self.sizes,
            (),
            self.part.places(behind),
            "attention",
            self._flops(),
        )
        return replace(found, key=self.key(), streams=self.kernel.streams)

    def _blocks(self) -> list[Factor]:
        """The tiles of what is owned."""
        rows = Factor(self.owned, self.tile.rows)
        return [rows, Factor(self.walked, self.tile.columns)] if self.pair else [rows]

    @property
    def pair(self) -> bool:
        """Is a tile of scores owned?"""
        return self.launch.owner == PAIR

    def _about(self) -> str:
        if self.pair:
            return "A tile of queries and keys stays while all that shares it passes by."
        kept, passing = ("keys", "queries") if self.launch.owner == KEY else ("queries", "keys")
        return f"A tile of {kept} stays while all {passing} pass by."

    def _programs(self) -> list[int | str]:
        shape = self.graph[self.launch.streamed[0]].shape
        return [self.sizes.extent(shape[d], f"batch_extent_{d}") for d in self._batches()]

    def _parameters(self) -> tuple[Parameter, ...]:
        pointers = [Parameter.pointer(n, self.graph[i].dtype) for i, n in self.names.items()]
        return (*pointers, *drawing(self.body.streams), *self.sizes.parameters())

    def _flops(self) -> int:
        """Two for every multiply-add, of products and of sums."""
        scores = self.values.count(self.launch.streamed[0])
        return sum(2 * scores * self._operand(r, o).width for r, o in self._matrices()) // 2 + (
            sum(self.values.count(z) for z in self.launch.products)
        )

    def _place(self) -> list[str]:
        """Which positions, of which sample and head, a program owns."""
        batches, extents = self._batches(), self._programs()
        tiles = f"tl.cdiv({self.owned}, BM)"
        lines = [f"tile = tl.program_id(0) % {tiles}", f"rest = tl.program_id(0) // {tiles}"]
        wide = ".to(tl.int64)" if self.wide else ""
        if self.pair:
            across = f"tl.cdiv({self.walked}, BN)"
            lines += [f"start = rest % {across} * BN", f"rest = rest // {across}"]
        for position in reversed(range(len(batches))):
            text = f"rest % {extents[position]}" if position else "rest"
            text = f"({text}){wide}" if wide and position else f"{text}{wide}"
            lines.append(f"batch_{batches[position]} = {text}")
            if position:
                lines.append(f"rest = rest // {extents[position]}")
        row = "tile * BM + tl.arange(0, BM)[:, None]"
        lines.append(f"row = ({row}){wide}" if wide else f"row = {row}")
        if self.body.setting.in_row:
            lines.append(f"in_row = row < {self.owned}")
        return [*lines, *self._columns()] if self.pair else lines

    def _levels(self) -> dict[int, list[Statement]]:
        """Statements before all loops, in the loop over what is repeated, in that over tiles."""
        repeated = {self.axes[d] for d in self._repeated()}
        level: dict[str, int] = {}
        found: dict[int, list[Statement]] = {0: [], 1: [], 2: []}
        for s in statements(self.kernel):
            if isinstance(s, Store):
                continue
            terms = [t for t, _ in s.index.terms] if hasattr(s, "index") else []
            axes = {t for t in terms if isinstance(t, Axis)}
            mine = 2 if axes & set(self.kernel.columns) else 1 if axes & repeated else 0
            if isinstance(s, Load) and s.buffer in self.body.hidden:
                mine = 2
            mine = max([mine, *(level[o] for o in operands_of(s))])
            level[s.target] = mine  # type: ignore[union-attr]
            found[mine].append(s)
        return found

    def _loops(self) -> tuple[list[str], list[str], list[str]]:
        """What stands before the loop over tiles, the loop, and what is done at the end."""
        levels = self._levels()
        self.reads = {
            n: {o for m, body in levels.items() if m > n for s in body for o in operands_of(s)}
            | {o for s in statements(self.kernel) if isinstance(s, Store) for o in operands_of(s)}
            for n in levels
        }
        repeated = self._repeated()
        depth = 4 + 4 * len(repeated)
        operands = {(o.name, self._owned_operand(o)): o for o in self._all()}
        stay = [o for (_, mine), o in operands.items() if mine]
        before = [line for o in stay if not self._within(o) for line in self._load(o, 4)]
        before += self.body.lines(levels[0], self.reads[0])
        before += self._accumulators()
        self._indent(depth)
        inner = [line for o in stay if self._within(o) for line in self._load(o, depth)]
        inner += self.body.lines(levels[1], self.reads[1])
        passing = [o for (_, mine), o in operands.items() if not mine]
        if self.pair:
            inner += self._tile_of(passing, levels[2], depth)
        else:
            inner += self._walk(passing, levels[2], depth)
        for d in reversed(repeated):
            shape = self.graph[self.launch.streamed[0]].shape
            extent = self.sizes.extent(shape[d], f"repeated_{d}")
            cast = [f"batch_{d} = tl.cast(batch_{d}, tl.int64)"] if self.wide else []
            head = f"for batch_{d} in range(0, {extent}):"
            inner = [head, *(f"    {line}" for line in (*cast, *inner))]
        self._indent(4)
        return before, inner, self._finished()

    def _tile_of(
        self, passing: Sequence[_Operand], body: Sequence[Statement], indent: int
    ) -> list[str]:
        """What is done with one tile of scores."""
        self._indent(indent)
        lines = [line for o in passing for line in self._load(o, indent)]
        return lines + self._step(body)

    def _walk(
        self, passing: Sequence[_Operand], body: Sequence[Statement], indent: int
    ) -> list[str]:
        """The loop over tiles: those in the middle are visible as a whole and need no masks."""
        low, high = self._range()
        lines = [f"first = {low}", f"end = {high}"]
        lines += ["whole = first", "last = end // BN * BN"]
        if self.certain.low is not None:
            bound = self._bound(self.certain.low, least=False)
            lines[2] = f"whole = max(first, tl.cdiv(max(0, {bound}), BN) * BN)"
        if self.certain.high is not None:
            bound = self._bound(self.certain.high, least=True)
            lines[3] = f"last = max(0, min(end, {bound} + 1)) // BN * BN"
        lines.append("last = max(whole, last)")
        edge = [*self._columns(), *self._tile_of(passing, body, indent + 4)]
        masked = self.body.setting
        self.body.setting = replace(masked, in_column=None)
        plain, self.aliases = self._assumed(body)
        middle = [*self._columns(), *self._tile_of(passing, plain, indent + 4)]
        self.body.setting, self.aliases = masked, {}
        if self.certain.low is not None:
            lines += _loop("first", "min(whole, end)", edge)
        return [*lines, *_loop("whole", "last", middle), *_loop("last", "end", edge)]

    def _assumed(self, body: Sequence[Statement]) -> tuple[list[Statement], dict[str, str]]:
        """The statements where all conditions are met, and what takes the place of a `where`."""
        truth = {str(self._stored_as(i)): t for i, t in self.conditions}
        aliases: dict[str, str] = {}
        kept: list[Statement] = []
        for s in body:
            s = _renamed(s, aliases)
            if isinstance(s, Let) and s.function == "where" and str(s.operands[0]) in truth:
                value = s.operands[1 if truth[str(s.operands[0])] else 2]
                if isinstance(value, str):
                    aliases[s.target] = value
                    continue
            kept.append(s)
        wanted = {self._named(r) for r in self.launch.results}
        return _behind(kept, *(aliases.get(name, name) for name in wanted)), aliases

    def _range(self) -> tuple[str, str]:
        """Where the walk begins and ends: tiles that conditions on positions rule out are left
        out.
        """
        found = visible(self.graph, self.launch)
        low, high = "0", str(self.walked)
        if found.low is not None:
            low = f"max(0, {self._bound(found.low, least=True)}) // BN * BN"
        if found.high is not None:
            high = f"min({high}, {self._bound(found.high, least=False)} + 1)"
        return low, high

    def _bound(self, bound: Bound, *, least: bool) -> str:
        """The least or greatest value of a bound over the owned tile."""
        if isinstance(bound, Extreme):
            return (
                f"{bound.function}({', '.join(self._bound(b, least=least) for b in bound.bounds)})"
            )
        offset = bound.offset
        if bound.owned == 0:
            return str(offset)
        sign = "-" if bound.owned < 0 else ""
        if (bound.owned > 0) == least:
            text = f"{sign}tile * BM"
        else:
            text = f"{sign}(tile + 1) * BM"
            offset -= bound.owned
        return text + (f" + {offset}" if offset > 0 else f" - {-offset}" if offset < 0 else "")

    def _all(self) -> Iterable[_Operand]:
        return (self._operand(node, i) for node, i in self._matrices())

    def _indent(self, indent: int) -> None:
        self.body.setting = replace(self.body.setting, indent=indent)

    def _columns(self) -> list[str]:
        wide = ".to(tl.int64)" if self.wide else ""
        at = "start + tl.arange(0, BN)[:, None]"
        column = "start + tl.arange(0, BN)[None, :]"
        lines = [f"at = ({at}){wide}" if wide else f"at = {at}"]
        lines.append(f"column = ({column}){wide}" if wide else f"column = {column}")
        if self.body.setting.in_column:
            lines += [f"in_at = at < {self.walked}", f"in_column = column < {self.walked}"]
        return lines

    # ---- a step ----------------------------------------------------------------------------------

    def _accumulators(self) -> list[str]:
        lines = []
        for r in self.launch.results:
            node, name = self.graph[r], self._sum(r)
            if node.op == "logsumexp":
                top, total = self._so_far(r)
                lines.append(f'{top} = tl.full([BM, 1], float("-inf"), tl.float32)')
                lines.append(f"{total} = tl.zeros([BM, 1], tl.float32)")
            elif node.op == "contract":
                width = max(16, power_of_two(self._other(r).width))
                lines.append(f"{name} = tl.zeros([BM, {width}], tl.float32)")
            elif node.op == "sum":
                shape = "[BM, BN]" if self.pair else "[BM, 1]"
                lines.append(f"{name} = tl.zeros({shape}, tl.float32)")
            else:
                edge = "-inf" if node.op == "max" else "inf"
                lines.append(f'{name} = tl.full([BM, 1], float("{edge}"), tl.float32)')
        return lines

    def _sum(self, r: int) -> str:
        return f"{self.names[r]}_sum"

    def _so_far(self, r: int) -> tuple[str, str]:
        """The maximum of a logsumexp, and the sum of what is relative to it."""
        return f"{self.names[r]}_top", f"{self.names[r]}_total"

    def _other(self, r: int) -> _Operand:
        other = self.launch.other(self.graph, r)
        assert other is not None
        return self._operand(r, other)

    def _named(self, r: int) -> str:
        """What the source of a result is called."""
        name = str(self._stored_as(self.launch.sources[self.launch.results.index(r)]))
        return self.aliases.get(name, name)

    def _stored_as(self, value: int) -> Operand:
        """What the statements call a source or a condition."""
        names = {b.name for b in self.kernel.buffers if b.value == self.values.base(value)}
        stores = (s for s in statements(self.kernel) if isinstance(s, Store) and s.buffer in names)
        return next(s.operand for s in stores)

    def _step(self, body: Sequence[Statement]) -> list[str]:
        """Scores of one tile, and what every result gains from them."""
        lines = self._products()
        wanted: set[str] = {self._named(r) for r in self.launch.results}
        done: list[Statement] = []
        online = [r for r in self.launch.results if r in self.launch.online]
        for r in self.launch.results:
            if self.graph[r].op == "logsumexp":
                mine = [s for s in _behind(body, self._named(r)) if s not in done]
                done += mine
                later = {o for s in body if s not in done for o in operands_of(s)}
                lines += self.body.lines(mine, later | wanted)
                lines += self._grown(r, online if r == self.launch.results[0] else [])
        rest = [s for s in body if s not in done]
        lines += self.body.lines(rest, wanted)
        for r in self.launch.results:
            lines += self._gained(r)
        return lines

    def _products(self) -> list[str]:
        lines = []
        for z in self.launch.products:
            name = self._loaded(z)
            assert name is not None
            sides = [self._operand(z, i) for i in self.graph[z].operands]
            owned, walked = sides if self._owned_operand(sides[0]) else sides[::-1]
            lines += self._dot(name, owned.name, f"tl.trans({walked.name})", None)
        return lines

    def _dot(self, name: str, left: str, right: str, carried: str | None) -> list[str]:
        self.dots += 1
        arguments = [left, right, *([carried] if carried else [])]
        arguments.append(f'input_precision="{self.machine.precision}"')
        return call(f"{name} = tl.dot", arguments, self.body.setting.indent)

    def _inside(self, text: str, outside: str) -> str:
        mask = self.body.setting.in_column
        return f"tl.where({mask}, {text}, {outside})" if mask else text

    def _grown(self, r: int, online: Sequence[int]) -> list[str]:
        """The maximum and the sum so far; what they scale is scaled again."""
        (top, total), scores = self._so_far(r), self._named(r)
        indent = self.body.setting.indent
        lines = call(
            "peak = tl.maximum",
            [top, f"tl.max({self._inside(scores, MINUS)}, axis=1, keep_dims=True)"],
            indent,
        )
        lines += [
            f"base = tl.where(peak == {MINUS}, 0.0, peak)",
            f"shrink = tl.exp({top} - base)",
            f"{top} = peak",
        ]
        weight = self._inside(f"tl.exp({scores} - base)", "0.0")
        weights = call("tl.sum", [weight, "axis=1", "keep_dims=True"], indent)
        lines += [f"{total} = {total} * shrink + {weights[0]}", *weights[1:]]
        lines += [f"{self._sum(o)} *= shrink" for o in online]
        held = self._loaded(r)
        if held is not None:
            self.body.writer.names[held] = "base"
        return lines

    def _gained(self, r: int) -> list[str]:
        node, name, value = self.graph[r], self._sum(r), self._named(r)
        if node.op == "logsumexp":
            return []
        if node.op == "contract":
            operand = self._other(r).name
            return self._dot(name, self._inside(value, "0.0"), operand, name)
        if self.pair:
            return [f"{name} += {value}"]
        if node.op == "sum":
            return [f"{name} += tl.sum({self._inside(value, '0.0')}, axis=1, keep_dims=True)"]
        edge = "-inf" if node.op == "max" else "inf"
        inside = self._inside(value, f'float("{edge}")')
        return [f"{name} = {node.op}imum({name}, row_{node.op}({inside}))"]

    # ---- the end ---------------------------------------------------------------------------------

    def _finished(self) -> list[str]:
        """Every logsumexp from its two parts, and what is relative to its maximum."""
        lines = []
        for r in self.launch.results:
            name = self._sum(r)
            if self.graph[r].op == "logsumexp":
                top, total = self._so_far(r)
                lines.append(f"{top} = tl.where({top} == {MINUS}, 0.0, {top})")
                lines.append(f"{name} = {top} + tl.log({total})")
            elif r in self.launch.online:  # exp(s - lse), as whoever reads lse computes it
                lse = self.launch.results[0]
                lines.append(f"{name} *= tl.exp({self._so_far(lse)[0]} - {self._sum(lse)})")
        return lines

    def _stores(self) -> list[str]:
        lines = []
        for r in self.launch.results:
            lines += call("tl.store", self._stored(r), 4)
        return lines

    def _stored(self, r: int) -> list[str]:
        """Where a result goes, and its mask."""
        node = self.graph[r]
        dims = self._result_dims(node, r)
        terms, masks = [f"{self.names[r]}_ptr"], [self.body.setting.in_row]
        for d, stride in zip(dims, self.part.layout(r).strides, strict=True):
            if d is None:
                width = self._other(r).width
                block = max(16, power_of_two(width))
                depth = f"tl.arange(0, {block})[None, :]"
                masks.append(f"({depth} < {width})" if block != width else None)
                terms.append(product(depth, str(self.sizes.stride(stride))))
            elif d == self.launch.owned:
                terms.append(product("row", str(self.sizes.stride(stride))))
            elif d == self.launch.walked:
                terms.append(product("column", str(self.sizes.stride(stride))))
                masks.append(self.body.setting.in_column)
            elif self.axes[d] is not None:
                terms.append(product(f"batch_{d}", str(self.sizes.stride(stride))))
        mask = both(*masks)
        return [" + ".join(terms), self._sum(r), *([f"mask={mask}"] if mask else [])]

    def _result_dims(self, node: Node, r: int) -> tuple[int | None, ...]:
        """The dimension of the scores that each dimension of a result is."""
        source = self.launch.sources[self.launch.results.index(r)]
        if node.op != "contract":
            rank = len(self.graph[source].shape)
            return tuple(d for d in range(rank) if d not in node["axes"])
        texts = letters(node["spec"])
        scores = texts[node.operands.index(source)]
        return tuple(scores.index(x) if x in scores else None for x in texts[2])


def _loop(first: str, end: str, body: Sequence[str]) -> list[str]:
    return [f"for start in range({first}, {end}, BN):", *(f"    {line}" for line in body)]


def _renamed(s: Statement, names: Mapping[str, str]) -> Statement:
    """A statement that reads other values."""
    if isinstance(s, Let):
        operands = tuple(names.get(o, o) if isinstance(o, str) else o for o in s.operands)
        return replace(s, operands=operands)
    if isinstance(s, Load):
        terms = tuple((names.get(t, t) if isinstance(t, str) else t, n) for t, n in s.index.terms)
        return replace(s, index=replace(s.index, terms=terms))
    return s


def _behind(body: Sequence[Statement], *names: str) -> list[Statement]:
    """The statements that define some values, in order."""
    wanted = set(names)
    kept: list[Statement] = []
    for s in reversed(body):
        if getattr(s, "target", None) in wanted:
            wanted.update(operands_of(s))
            kept.append(s)
    return kept[::-1]


def _tiles(text: str) -> tuple[Tile, ...]:
    found = []
    for word in text.split():
        block, warps, stages = word.split("/")
        rows, columns = map(int, block.split("x"))
        found.append(Tile(rows, columns, 16, int(warps), int(stages)))
    return tuple(found)


FORWARD = _tiles("64x32/4/3 64x32/4/2 32x32/4/2 32x16/4/2 16x16/4/1")
FORWARD_WIDE = _tiles("128x32/8/3 64x32/8/2 32x32/4/2 32x16/4/2 16x16/4/1")
KEYS = _tiles("64x16/4/2 32x32/4/2 32x16/4/2 32x16/4/1 16x16/4/1")
KEYS_WIDE = _tiles("32x16/4/2 32x16/8/2 16x16/8/2 16x16/8/1 16x16/4/1")
QUERIES = _tiles("64x32/4/2 32x32/4/2 32x16/4/2 16x16/4/1")
QUERIES_WIDE = _tiles("128x32/8/2 64x32/8/2 32x32/4/2 32x16/4/2 16x16/4/1")
WIDEST_TILES = _tiles("64x32/8/2 32x16/8/2 32x16/8/1 16x16/8/1 16x16/4/1")
"""Owned x walked / warps / stages, the first that compiles."""
