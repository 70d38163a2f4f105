"""What happens to a tile of scores, row by row: the spec's own arithmetic, in simd loops."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from ..loops import Affine, Axis, Draw, Let, Load, Statement, Store, operands_of
from .attention_sums import KEYS, QUERIES, Scores, Sum
from .flow import needed_for
from .words import Words

HIGHEST = {"max": "-INFINITY", "min": "INFINITY"}
"""Where extremes start."""


class Rows(Words):
    """Statements of one launch around tiles that stand in memory.

    `tiles` are their names; sources of sums lie in `held` ones once the rows are done.
    """

    def __init__(self, scores: Scores, kernel_name: str) -> None:
        super().__init__(scores.kernel, frozenset())
        self.scores = scores
        self.chunk = scores.axes[scores.domain] if scores.domain is not None else None
        self.column = scores.kernel.columns[0].name
        self.tiles: list[str] = []
        self.products: dict[str, str] = {}
        for z, _ in scores.products:
            buffer = scores.loaded(z) or kernel_name
            self.tiles.append(f"{buffer}_tile")
            self.products[buffer] = self.tiles[-1]
        own = [(scores.loaded(r), r) for r in scores.launch.results]
        self.results = {buffer: r for buffer, r in own if buffer is not None}
        body = scores.kernel.passes[0].body
        self.statements: list[Statement] = [s for s in body if not isinstance(s, Store)]
        self.bare = {
            s.target: self.products[s.buffer]
            for s in self.statements
            if isinstance(s, Load) and s.buffer in self.products
        }
        self.ends = [s for s in scores.sums if s.op == "logsumexp"]
        self.held = self._held()

    # ---- tiles -----------------------------------------------------------------------------------

    def _held(self) -> dict[str, str]:
        """The tile of every value that outlives a row: products' own, used again where free."""
        found = dict(self.bare)
        bases = {str(end.source) for end in self.ends}
        for name in bases - found.keys():
            behind = needed_for(self.statements, name)
            mine = [s.target for s in behind if isinstance(s, Load) and s.target in self.bare]
            later = {
                s.target
                for w in self._wanted()
                for s in self._behind(w, bases)
                if isinstance(s, Load)
            }
            alone = len(mine) == 1 and mine[0] not in later
            found[name] = self.bare[mine[0]] if alone else self._fresh(name)
        sources = {str(s.source): None for s in self.scores.sums if s.matrix is not None}
        kept = {found[name] for name in sources if name in found}
        free = [tile for tile in self.tiles if tile not in kept]
        for name in sources:
            if name not in found:
                found[name] = free.pop(0) if free else self._fresh(name)
        return found

    def _fresh(self, name: str) -> str:
        self.tiles.append(f"{name}_tile_{len(self.tiles) + 1}")
        return self.tiles[-1]

    def _wanted(self) -> list[str]:
        """What is needed of a row beside the logsumexps."""
        return [str(s.source) for s in self.scores.sums if s.op != "logsumexp"]

    def _behind(self, name: str, known: Collection[str]) -> list[Statement]:
        """The statements behind a value, as far as what is known already."""
        if name in known:
            return []
        wanted, kept = {name}, list[Statement]()
        for s in reversed(self.statements):
            target = getattr(s, "target", None)
            if target in wanted and target not in known:
                wanted.update(operands_of(s))
                kept.append(s)
        return kept[::-1]

    # ---- words -----------------------------------------------------------------------------------

    def load(self, load: Load) -> str:
        if load.buffer in self.products:
            return f"{self.products[load.buffer]}_row[j]"
        return super().load(load)

    def right_hand(self, s: Load | Let | Statement) -> str:
        if isinstance(s, Draw) and self._fills(s):
            return f"{s.target}_drawn[j]"
        return super().right_hand(s)  # type: ignore[arg-type]

    def _fills(self, s: Draw) -> bool:
        """Are the numbers of a row consecutive ones of the stream?"""
        column = self.kernel.columns[0]
        return dict(s.index.terms).get(column) == 1

    def _drawn(self, s: Draw, depth: int) -> None:
        """A row of random numbers, four at a time."""
        terms = tuple(t for t in s.index.terms if t[0] != self.kernel.columns[0])
        begin = self.index(Affine(terms, s.index.offset), absolute=True)
        stream = self.streams.setdefault(s.stream, f"stream_{len(self.streams) + 1}")
        self.emit(f"float {s.target}_drawn[{KEYS}];", depth)
        place = f"(uint64_t)({begin} + at), wide, {s.target}_drawn"
        self.emit(f"weft_{s.kind}_fill(seed, step, {stream}, {place});", depth)

    # ---- rows ------------------------------------------------------------------------------------

    def around(self, depth: int) -> None:
        """What is the same for all rows and columns."""
        names = [s.target for s in self.statements if self._kind(s) == "scalar"]  # type: ignore[union-attr]
        self.body([s for s in self.statements if self._kind(s) == "scalar"], depth, names)

    def _kind(self, s: Statement) -> str:
        if isinstance(s, Load) and s.buffer in self.results:
            return "hidden"
        return self.kernel.values[s.target].kind  # type: ignore[union-attr]

    def tile(self, depth: int) -> None:
        """The loops over the rows of a tile: one for each logsumexp, and one for all else."""
        known: set[str] = set()
        for number, end in enumerate(self.ends):
            buffer = end.place.buffer
            arrays = ", ".join(f"{buffer}_{word}[{QUERIES}]" for word in ("base", "shrink", "more"))
            self.emit(f"float {arrays};", depth)
            self._peak(end, number, known, depth)
            known.add(str(end.source))
        self._gains(known, depth)

    def _open_rows(self, depth: int) -> None:
        row = self.kernel.rows[0].name
        self.lines_of_row: set[str] = set()
        self.emit("for (long i = 0; i < high; ++i) {", depth)
        self.emit(f"const long {row} = start + i;", depth + 1)
        for tile in self.tiles:
            self.emit(f"float *const {tile}_row = {tile} + i * {KEYS};", depth + 1)

    def _open(self, depth: int, clause: str) -> None:
        self.emit(f"#pragma omp simd{clause}", depth)
        self.emit("for (long j = 0; j < wide; ++j) {", depth)

    def _section(self, names: Sequence[str], known: Collection[str], depth: int) -> list[Statement]:
        """The statements of every column that some values need; those of the row are written."""
        seen: dict[int, Statement] = {}
        for name in names:
            seen |= {id(s): s for s in self._behind(name, known)}
        body = [s for s in self.statements if id(s) in seen]
        rows = [s for s in body if self._kind(s) == "row"]
        fresh = [s for s in rows if s.target not in self.lines_of_row]  # type: ignore[union-attr]
        self.lines_of_row |= {s.target for s in fresh}  # type: ignore[union-attr]
        self.body(fresh, depth, [s.target for s in fresh])  # type: ignore[union-attr]
        inner: list[Statement] = [s for s in body if self._kind(s) in ("full", "column")]
        for s in inner:
            if isinstance(s, Draw) and self._fills(s):
                self._drawn(s, depth)
        return inner

    def _columns(
        self, names: Sequence[str], known: Collection[str], inner: Sequence[Statement], depth: int
    ) -> None:
        """The body of a loop over columns."""
        texts = [t for _, t in self._indices(inner)]
        used = {name for name in known if any(name in operands_of(s) for s in inner)}
        used |= {name for name in names if name in known}
        if self.column in texts:
            self.emit(f"const long {self.column} = at + j;", depth)
        for name in sorted(used):
            self.emit(f"const float {name} = {self.held[name]}_row[j];", depth)
        self.body(inner, depth, {*names, *self.bare})

    def _indices(self, inner: Iterable[Statement]) -> list[tuple[Statement, str]]:
        """The axes that statements mention."""
        found: list[tuple[Statement, str]] = []
        for s in inner:
            indices = [getattr(s, "index", None), *(g.index for g in getattr(s, "guards", ()))]
            if isinstance(s, Load) and s.buffer in self.products:
                continue
            for index in (i for i in indices if i is not None):
                found += [(s, t.name) for t, _ in index.terms if isinstance(t, Axis)]
        return found

    def _peak(self, end: Sum, number: int, known: Collection[str], depth: int) -> None:
        """The largest score of every row, and what the sums so far shrink by."""
        name, buffer = str(end.source), end.place.buffer
        self._open_rows(depth)
        inner = self._section([name], known, depth + 1)
        self.emit("float peak = -INFINITY;", depth + 1)
        self._open(depth + 1, " reduction(max : peak)")
        self._columns([name], known, inner, depth + 2)
        if name not in self.bare:
            self.emit(f"{self.held[name]}_row[j] = {name};", depth + 2)
        self.emit(f"peak = {name} > peak ? {name} : peak;", depth + 2)
        self.emit("}", depth + 1)
        self.emit(f"{buffer}_base[i] = peak;", depth + 1)
        self.emit("}", depth)
        self.emit("#pragma omp simd", depth)
        self.emit("for (long i = 0; i < high; ++i) {", depth)
        self.emit(f"const float top = {buffer}_top[i], peak = {buffer}_base[i];", depth + 1)
        self.emit("const float most = peak > top ? peak : top;", depth + 1)
        self.emit(f"{buffer}_top[i] = most;", depth + 1)
        self.emit(f"{buffer}_base[i] = most == -INFINITY ? 0.0f : most;", depth + 1)
        self.emit(f"{buffer}_shrink[i] = weft_exp(top - {buffer}_base[i]);", depth + 1)
        self.emit("}", depth)
        for s in self.statements:
            if isinstance(s, Load) and self.results.get(s.buffer) == self._result(end):
                self.writer.names[s.target] = _base(number)

    def _result(self, end: Sum) -> int:
        scores = self.scores
        return scores.launch.results[scores.sums.index(end)]

    def _weight(self, end: Sum, number: int, inner: Sequence[Statement]) -> str:
        """exp(score - base): a statement's own, where there is one."""
        made = {s.target: s for s in inner if isinstance(s, Let)}
        base = _base(number)
        for s in made.values():
            difference = made.get(str(s.operands[0])) if s.function == "exp" else None
            if difference is not None and difference.function == "sub":
                left, right = difference.operands
                if left == end.source and self.writer.names.get(str(right)) == base:
                    return s.target
        return f"weft_exp({end.source} - {base})"

    def _gains(self, known: set[str], depth: int) -> None:
        """What every sum gains from a row, or the weights for those that are products."""
        sums = [s for s in self.scores.sums if s.op != "logsumexp"]
        folds = [s for s in sums if s.matrix is None]
        names = list(dict.fromkeys(str(s.source) for s in sums))
        summed = {str(s.source) for s in folds}
        names = [n for n in names if n in summed or n not in self.bare]
        if not (names or self.ends or folds):
            return
        self._open_rows(depth)
        for number, end in enumerate(self.ends):
            self.emit(f"const float {_base(number)} = {end.place.buffer}_base[i];", depth + 1)
        inner = self._section([n for n in names if n not in known], known, depth + 1)
        weights = [self._weight(end, n, inner) for n, end in enumerate(self.ends)]
        self._open(depth + 1, self._reductions(folds, depth + 1))
        self._columns([*names, *(str(e.source) for e in self.ends)], known, inner, depth + 2)
        for number, weight in enumerate(weights):
            self.emit(f"{_more(number)} += {weight};", depth + 2)
        for s in folds:
            self._fold(s, depth + 2)
        for name in names:
            stays = any(str(s.source) == name and s.matrix is not None for s in sums)
            if stays and name not in self.bare:
                self.emit(f"{self.held[name]}_row[j] = {name};", depth + 2)
        self.emit("}", depth + 1)
        for number, end in enumerate(self.ends):
            self.emit(f"{end.place.buffer}_more[i] = {_more(number)};", depth + 1)
        self._kept(folds, depth + 1)
        self.emit("}", depth)
        self._shrunk(depth)

    def _reductions(self, folds: Sequence[Sum], depth: int) -> str:
        """The sums of a row, declared, as clauses."""
        found: list[str] = []
        for number in range(len(self.ends)):
            self.emit(f"float {_more(number)} = 0.0f;", depth)
            found.append(f"+ : {_more(number)}")
        for s in (f for f in folds if f.side == "queries"):
            start = "0.0f" if s.op == "sum" else HIGHEST[s.op]
            self.emit(f"float {s.name}_more = {start};", depth)
            found.append(f"{'+' if s.op == 'sum' else s.op} : {s.name}_more")
            if s.op != "sum":
                self.emit(f"int {s.name}_nan = 0;", depth)
                found.append(f"| : {s.name}_nan")
        return "".join(f" reduction({r})" for r in found)

    def _fold(self, s: Sum, depth: int) -> None:
        value = str(s.source)
        if s.side == "pairs":
            self.emit(f"{self.pair(s, 'at + j')} += {value};", depth)
        elif s.side == "keys":
            self.emit(f"{s.name}[at + j] += {value};", depth)
        elif s.op == "sum":
            self.emit(f"{s.name}_more += {value};", depth)
        else:
            sign = ">" if s.op == "max" else "<"
            self.emit(f"{s.name}_nan |= {value} != {value};", depth)
            self.emit(
                f"{s.name}_more = {value} {sign} {s.name}_more ? {value} : {s.name}_more;", depth
            )

    def pair(self, s: Sum, column: str) -> str:
        """An element of a result that has one for each pair."""
        place = s.place
        terms = (*place.begin.terms, (self.kernel.rows[0], place.step), (column, place.unit))
        return f"{place.buffer}_ptr[{self.index(Affine(terms))}]"

    def _kept(self, folds: Sequence[Sum], depth: int) -> None:
        """What a row adds to the folds so far."""
        for s in (f for f in folds if f.side == "queries"):
            if s.op == "sum":
                shrink = f" * {self.ends[0].place.buffer}_shrink[i]" if s.online else ""
                self.emit(f"{s.name}[i] = {s.name}[i]{shrink} + {s.name}_more;", depth)
            else:
                both = f"weft_{s.op}({s.name}[i], {s.name}_nan ? NAN : {s.name}_more)"
                self.emit(f"{s.name}[i] = {both};", depth)

    def _shrunk(self, depth: int) -> None:
        """The sums so far shrink where a larger score was found."""
        for end in self.ends:
            b = end.place.buffer
            self.emit("#pragma omp simd", depth)
            grown = f"{b}_total[i] = {b}_total[i] * {b}_shrink[i] + {b}_more[i];"
            self.emit(f"for (long i = 0; i < high; ++i) {grown}", depth)
        online = [s for s in self.scores.sums if s.online and s.matrix is not None]
        for s in online:
            shrink = f"{self.ends[0].place.buffer}_shrink[i]"
            self.emit("if (at > low) for (long i = 0; i < high; ++i) {", depth)
            self.emit("#pragma omp simd", depth + 1)
            place = f"{s.name}[i * {s.lead} + t]"
            self.emit(f"for (long t = 0; t < {s.lead}; ++t) {place} *= {shrink};", depth + 1)
            self.emit("}", depth)


def _base(number: int) -> str:
    """What a logsumexp is relative to so far, in a row at hand."""
    return f"base_{number + 1}" if number else "base"


def _more(number: int) -> str:
    """What a row adds to the sum of a logsumexp."""
    return f"more_{number + 1}" if number else "more"
