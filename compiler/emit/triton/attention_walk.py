"""The loops of an attention kernel: what is repeated, and the tiles that pass by.

    for start in range(first, whole, BN):  …    the edge: conditions are tested
    for start in range(whole, last, BN):   …    all of the tile is visible: no tests, no masks
    for start in range(last, end, BN):     …    the edge

Tiles of which conditions on positions let nobody see anything are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ...plan.visible import Bound, Extreme, visible
from ..loops import Axis, Let, Load, Statement, Store, operands_of
from .attention_scores import Matrix, Scores
from .attention_step import Step, behind
from .axes import statements


class Walk:
    """Writes the loops around a step."""

    def __init__(self, scores: Scores, step: Step) -> None:
        self.scores, self.step = scores, step

    def lines(self) -> tuple[list[str], list[str], list[str]]:
        """What stands before the loop over tiles, the loop, and what is done at the end."""
        s, step = self.scores, self.step
        levels = self._levels()
        reads = self._reads(levels)
        repeated = s.repeated()
        depth = 4 + 4 * len(repeated)
        matrices = {m.name: m for m in s.matrices()}.values()
        stay = [m for m in matrices if s.owns(m)]
        before = [line for m in stay if not s.changes(m) for line in step.load(m)]
        before += step.body.lines(levels[0], reads[0])
        before += step.accumulators()
        step.indent(depth)
        inner = [line for m in stay if s.changes(m) for line in step.load(m)]
        inner += step.body.lines(levels[1], reads[1])
        passing = [m for m in matrices if not s.owns(m)]
        tiles = self._tile if s.pair else self._tiles
        inner += tiles(passing, levels[2], depth)
        for d in reversed(repeated):
            extent = s.sizes.extent(s.shape[d], f"repeated_{d}")
            cast = [f"batch_{d} = tl.cast(batch_{d}, tl.int64)"] if s.wide else []
            head = f"for batch_{d} in range(0, {extent}):"
            inner = [head, *(f"    {line}" for line in (*cast, *inner))]
        step.indent(4)
        return before, inner, step.finished()

    def _levels(self) -> dict[int, list[Statement]]:
        """Statements before all loops, in the loop over what is repeated, in that over tiles."""
        kernel, hidden = self.scores.kernel, self.step.body.hidden
        repeated = {self.scores.axes[d] for d in self.scores.repeated()}
        level: dict[str, int] = {}
        found: dict[int, list[Statement]] = {0: [], 1: [], 2: []}
        for s in statements(kernel):
            if isinstance(s, Store):
                continue
            terms = [t for t, _ in s.index.terms] if hasattr(s, "index") else []
            axes = {t for t in terms if isinstance(t, Axis)}
            mine = 2 if axes & set(kernel.columns) else 1 if axes & repeated else 0
            if isinstance(s, Load) and s.buffer in hidden:
                mine = 2
            mine = max([mine, *(level[o] for o in operands_of(s))])
            level[s.target] = mine  # type: ignore[union-attr]
            found[mine].append(s)
        return found

    def _reads(self, levels: Mapping[int, Sequence[Statement]]) -> dict[int, set[str]]:
        """What the levels within each level, and the sums, read."""
        stores = [s for s in statements(self.scores.kernel) if isinstance(s, Store)]
        kept = {o for s in stores for o in operands_of(s)}
        return {
            n: kept
            | {o for m, body in levels.items() if m > n for s in body for o in operands_of(s)}
            for n in levels
        }

    # ---- tiles -----------------------------------------------------------------------------------

    def _tile(self, passing: Sequence[Matrix], body: Sequence[Statement], indent: int) -> list[str]:
        """What is done with one tile of scores."""
        self.step.indent(indent)
        lines = [line for matrix in passing for line in self.step.load(matrix)]
        return lines + self.step.lines(body)

    def _tiles(
        self, passing: Sequence[Matrix], body: Sequence[Statement], indent: int
    ) -> list[str]:
        """The loop over tiles: those in the middle are visible as a whole and need no masks."""
        step, certain = self.step, self.scores.certain
        low, high = self._range()
        lines = [f"first = {low}", f"end = {high}"]
        lines += ["whole = first", "last = end // BN * BN"]
        if certain.low is not None:
            bound = _bound(certain.low, least=False)
            lines[2] = f"whole = max(first, tl.cdiv(max(0, {bound}), BN) * BN)"
        if certain.high is not None:
            bound = _bound(certain.high, least=True)
            lines[3] = f"last = max(0, min(end, {bound} + 1)) // BN * BN"
        lines.append("last = max(whole, last)")
        edge = [*step.columns(), *self._tile(passing, body, indent + 4)]
        masked = step.body.setting
        step.body.setting = replace(masked, in_column=None)
        plain, step.aliases = self._assumed(body)
        middle = [*step.columns(), *self._tile(passing, plain, indent + 4)]
        step.body.setting, step.aliases = masked, {}
        if certain.low is not None:
            lines += _loop("first", "min(whole, end)", edge)
        return [*lines, *_loop("whole", "last", middle), *_loop("last", "end", edge)]

    def _assumed(self, body: Sequence[Statement]) -> tuple[list[Statement], dict[str, str]]:
        """The statements where all conditions are met, and what takes the place of a `where`."""
        truth = {str(self.scores.stored_as(i)): t for i, t in self.scores.conditions}
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
        wanted = self.step.sources()
        return behind(kept, *(aliases.get(name, name) for name in wanted)), aliases

    def _range(self) -> tuple[str, str]:
        """Where the walk begins and ends: tiles that conditions on positions rule out are left
        out.
        """
        found = visible(self.scores.graph, self.scores.launch)
        low, high = "0", str(self.scores.walked)
        if found.low is not None:
            low = f"max(0, {_bound(found.low, least=True)}) // BN * BN"
        if found.high is not None:
            high = f"min({high}, {_bound(found.high, least=False)} + 1)"
        return low, high


def _bound(bound: Bound, *, least: bool) -> str:
    """The least or greatest value of a bound over the owned tile."""
    if isinstance(bound, Extreme):
        return f"{bound.function}({', '.join(_bound(b, least=least) for b in bound.bounds)})"
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
