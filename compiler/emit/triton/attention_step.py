"""What an attention kernel does with one tile of scores, and what is left at the end.

z = dot(owned, walked')           the products, each from two tiles
s = …                             what the spec does with them
top, total                        the maximum of a logsumexp so far, the sum relative to it
sum += dot(w, walked)             what every result gains
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ....spec.dims import Dim
from ..loops import Kernel, Load, Statement, operands_of
from .attention_scores import Matrix, Scores
from .body import Body, Setting
from .part import Machine
from .spelling import both, product
from .template import call
from .tiles import Tile, power_of_two

MINUS = 'float("-inf")'


class Streaming(Body):
    """Statements around products that stand in registers."""

    def __init__(self, kernel: Kernel, setting: Setting, hidden: frozenset[str]) -> None:
        super().__init__(kernel, setting, lambda s, x: [])
        self.hidden = hidden

    def statement(self, s: Statement) -> list[str]:
        if isinstance(s, Load) and s.buffer in self.hidden:
            return []
        return super().statement(s)


class Step:
    """Writes the lines of a tile of scores; counts its `dots`.

    `aliases` says what takes the place of a value where conditions are known to hold.
    """

    def __init__(self, scores: Scores, tile: Tile, machine: Machine) -> None:
        self.scores, self.tile, self.precision = scores, tile, machine.precision
        self.graph, self.launch = scores.graph, scores.launch
        self.body = Streaming(scores.kernel, self._setting(), scores.hidden())
        self.aliases: dict[str, str] = {}
        self.dots = 0

    def _setting(self) -> Setting:
        s = self.scores
        in_row = None if _fills(s.owned, self.tile.rows) else "in_row"
        in_column = None if _fills(s.walked, self.tile.columns) else "in_column"
        return Setting(in_row, in_column, "BM", "", "", s.symbols, s.wide)

    def indent(self, columns: int) -> None:
        """Lines that follow begin there."""
        self.body.setting = replace(self.body.setting, indent=columns)

    # ---- tiles -----------------------------------------------------------------------------------

    def load(self, matrix: Matrix) -> list[str]:
        """The tile of a matrix, [positions, numbers]."""
        s = self.scores
        mine = s.owns(matrix)
        at, mask = ("row", self.body.setting.in_row) if mine else ("at", None)
        if not mine and self.body.setting.in_column:
            mask = "in_at"
        place = {s.launch.owned: at, s.launch.walked: at}
        strides = s.part.layout(matrix.value).strides
        pointer, fits = self._address(
            s.names[s.values.base(matrix.value)], matrix.dims, strides, place, matrix.width
        )
        mask = both(mask, fits)
        masks = [f"mask={mask}", "other=0.0"] if mask else []
        return call(f"{matrix.name} = tl.load", [pointer, *masks], self.body.setting.indent)

    def _address(
        self,
        name: str,
        dims: Sequence[int | None],
        strides: Sequence[Dim],
        place: dict[int, str],
        width: int,
    ) -> tuple[str, str | None]:
        """Where the elements of a tile lie, and which of its columns exist."""
        s = self.scores
        block = max(16, power_of_two(width))
        depth = f"tl.arange(0, {block})[None, :]"
        terms = [f"{name}_ptr"]
        for d, stride in zip(dims, strides, strict=True):
            if d is None:
                terms.append(product(depth, str(s.sizes.stride(stride))))
            elif d in place:
                terms.append(product(place[d], str(s.sizes.stride(stride))))
            elif s.axes[d] is not None:
                terms.append(product(f"batch_{d}", str(s.sizes.stride(stride))))
        fits = f"({depth} < {width})" if None in dims and block != width else None
        return " + ".join(terms), fits

    def columns(self) -> list[str]:
        """The positions that are walked, as they lie along rows and along columns."""
        s = self.scores
        wide = ".to(tl.int64)" if s.wide else ""
        at = "start + tl.arange(0, BN)[:, None]"
        column = "start + tl.arange(0, BN)[None, :]"
        lines = [f"at = ({at}){wide}" if wide else f"at = {at}"]
        lines.append(f"column = ({column}){wide}" if wide else f"column = {column}")
        if self.body.setting.in_column:
            lines += [f"in_at = at < {s.walked}", f"in_column = column < {s.walked}"]
        return lines

    # ---- names -----------------------------------------------------------------------------------

    def _sum(self, r: int) -> str:
        return f"{self.scores.names[r]}_sum"

    def _so_far(self, r: int) -> tuple[str, str]:
        """The maximum of a logsumexp, and the sum of what is relative to it."""
        return f"{self.scores.names[r]}_top", f"{self.scores.names[r]}_total"

    def _source(self, r: int) -> str:
        """What the source of a result is called."""
        name = str(self.scores.stored_as(self.scores.source(r)))
        return self.aliases.get(name, name)

    def sources(self) -> set[str]:
        """What all sources are called."""
        return {self._source(r) for r in self.launch.results}

    # ---- a step ----------------------------------------------------------------------------------

    def accumulators(self) -> list[str]:
        """What every result begins with."""
        lines = []
        for r in self.launch.results:
            node, name = self.graph[r], self._sum(r)
            if node.op == "logsumexp":
                top, total = self._so_far(r)
                lines.append(f'{top} = tl.full([BM, 1], float("-inf"), tl.float32)')
                lines.append(f"{total} = tl.zeros([BM, 1], tl.float32)")
            elif node.op == "contract":
                width = max(16, power_of_two(self.scores.other(r).width))
                lines.append(f"{name} = tl.zeros([BM, {width}], tl.float32)")
            elif node.op == "sum":
                shape = "[BM, BN]" if self.scores.pair else "[BM, 1]"
                lines.append(f"{name} = tl.zeros({shape}, tl.float32)")
            else:
                lines.append(f"{name} = tl.full([BM, 1], {_edge(node.op)}, tl.float32)")
        return lines

    def lines(self, body: Sequence[Statement]) -> list[str]:
        """Scores of one tile, and what every result gains from them."""
        lines = self._products()
        wanted = self.sources()
        done: list[Statement] = []
        online = [r for r in self.launch.results if r in self.launch.online]
        for r in self.launch.results:
            if self.graph[r].op == "logsumexp":
                mine = [s for s in behind(body, self._source(r)) if s not in done]
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
            name = self.scores.loaded(z)
            assert name is not None
            sides = [self.scores.matrix(z, i) for i in self.graph[z].operands]
            owned, walked = sides if self.scores.owns(sides[0]) else sides[::-1]
            lines += self._dot(name, owned.name, f"tl.trans({walked.name})", None)
        return lines

    def _dot(self, name: str, left: str, right: str, carried: str | None) -> list[str]:
        self.dots += 1
        arguments = [left, right, *([carried] if carried else [])]
        arguments.append(f'input_precision="{self.precision}"')
        return call(f"{name} = tl.dot", arguments, self.body.setting.indent)

    def _inside(self, text: str, outside: str) -> str:
        mask = self.body.setting.in_column
        return f"tl.where({mask}, {text}, {outside})" if mask else text

    def _grown(self, r: int, online: Sequence[int]) -> list[str]:
        """The maximum and the sum so far; what they scale is scaled again."""
        (top, total), scores = self._so_far(r), self._source(r)
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
        held = self.scores.loaded(r)
        if held is not None:
            self.body.writer.names[held] = "base"
        return lines

    def _gained(self, r: int) -> list[str]:
        node, name, value = self.graph[r], self._sum(r), self._source(r)
        if node.op == "logsumexp":
            return []
        if node.op == "contract":
            other = self.scores.other(r).name
            return self._dot(name, self._inside(value, "0.0"), other, name)
        if self.scores.pair:
            return [f"{name} += {value}"]
        if node.op == "sum":
            return [f"{name} += tl.sum({self._inside(value, '0.0')}, axis=1, keep_dims=True)"]
        inside = self._inside(value, _edge(node.op))
        return [f"{name} = {node.op}imum({name}, row_{node.op}({inside}))"]

    # ---- the end ---------------------------------------------------------------------------------

    def finished(self) -> list[str]:
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

    def stores(self) -> list[str]:
        """All results, to where they belong."""
        lines = []
        for r in self.launch.results:
            lines += call("tl.store", self._stored(r), 4)
        return lines

    def _stored(self, r: int) -> list[str]:
        """Where a result goes, and its mask."""
        s, setting = self.scores, self.body.setting
        dims, strides = s.result_dims(r), s.part.layout(r).strides
        place = {s.launch.owned: "row", s.launch.walked: "column"}
        width = s.other(r).width if None in dims else 1
        pointer, fits = self._address(s.names[r], dims, strides, place, width)
        walked = setting.in_column if s.launch.walked in dims else None
        mask = both(setting.in_row, walked, fits)
        return [pointer, self._sum(r), *([f"mask={mask}"] if mask else [])]


def behind(body: Sequence[Statement], *names: str) -> list[Statement]:
    """The statements that define some values, in order."""
    wanted = set(names)
    kept: list[Statement] = []
    for s in reversed(body):
        if getattr(s, "target", None) in wanted:
            wanted.update(operands_of(s))
            kept.append(s)
    return kept[::-1]


def _fills(extent: int | str, block: int) -> bool:
    """Are there whole blocks only?"""
    return isinstance(extent, int) and extent % block == 0


def _edge(fold: str) -> str:
    """What a maximum or a minimum begins with."""
    return MINUS if fold == "max" else 'float("inf")'
