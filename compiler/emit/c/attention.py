"""Attention launches as C: a block of queries, tiles of keys, and scores that nobody stores.

    for every block of queries:      packed once
        for every tile of keys:      z = queries keys', what the spec does with z row by row, and
                                     sums over keys += w values, sums over queries += w' values

A logsumexp is kept as the maximum and the sum so far; results that are scaled by it are scaled
again whenever the maximum grows.  One thread walks all queries and keys of a sample and head.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ....spec.dims import Dim, symbols
from ...plan.attention import Attention
from ...plan.values import Values
from ...plan.visible import Bound, Extreme, visible
from ..loops import Affine, Kernel
from ..names import c_expression, size_name
from .attention_rows import Rows
from .attention_sums import (
    BROAD,
    KEYS,
    QUERIES,
    LayoutOf,
    Matrix,
    Scores,
    Sum,
    without_scores,
)
from .printer import Signature

TILE = QUERIES * KEYS
PACKED = TILE * 3 // 2
"""Floats of a tile of scores, and of one that is packed."""


@dataclass(frozen=True, slots=True)
class Attended:
    """The function of a launch; `domain` is the extent that threads share.

    Units: `planes` in floats of each thread.
    """

    kernel: Kernel
    text: str
    signature: Signature
    domain: Dim
    planes: Dim


def attended(values: Values, launch: Attention, layout: LayoutOf, name: str) -> Attended:
    """The function that carries out a launch, for values laid out by `layout`."""
    scores = Scores(values, launch, layout)
    return _Writer(scores, name).attended()


class _Writer:
    """Writes the loops around tiles."""

    def __init__(self, scores: Scores, name: str) -> None:
        self.scores, self.name = scores, name
        self.rows = Rows(scores, name)
        self.planes: Dim = 0
        self.areas: list[str] = []
        kernel = scores.kernel
        self.row, self.column = kernel.rows[0].name, kernel.columns[0].name

    def emit(self, text: str, depth: int) -> None:
        self.rows.emit(text, depth)

    # ---- the function ----------------------------------------------------------------------------

    def attended(self) -> Attended:
        scores, rows = self.scores, self.rows
        self._place_areas()
        self._loops()
        kernel = without_scores(scores, self.name)
        leads = [f"    const long {name} = {text};" for text, name in rows.leads.items()]
        text = "\n".join([*rows.declared, *leads, *self.areas, *rows.lines])
        words = set(re.findall(r"[A-Za-z_]\w*", text))
        known = {s for d in self._dims() for s in symbols(d)}
        sizes = sorted(s for s in known if size_name(s) in words)
        first = "first" in words
        arguments = ["const long rows"] + (["const long first"] if first else [])
        arguments += [f"const long {size_name(s)}" for s in sizes]
        drawn = ["seed", "step", *rows.streams.values()] if rows.streams else []
        arguments += [f"const uint32_t {name}" for name in drawn]
        arguments += [rows.argument(b) for b in kernel.buffers]
        arguments += ["float *const scratch", "float *const planes"]
        rows.kernel = kernel
        head = [*rows.heading(), f"WEFT_KERNEL void {self.name}({', '.join(arguments)})", "{"]
        names = tuple(b.name for b in kernel.buffers)
        streams = tuple(rows.streams)
        signature = Signature(self.name, tuple(sizes), first, names, streams, memory=True)
        domain = scores.shape[scores.domain] if scores.domain is not None else 1
        full = "\n".join([*head, text, "}"])
        return Attended(kernel, full, signature, domain, self.planes)

    def _dims(self) -> list[Dim]:
        """Everything that may mention a size."""
        scores = self.scores
        nodes = [scores.graph[i] for i in scores.values.cone_of(scores.launch)[0]]
        touched = [scores.graph[b.value] for b in scores.arguments]
        sized = [n["dim"] for n in nodes if n.op == "size"]
        return [*(d for n in (*nodes, *touched) for d in n.shape), *sized]

    # ---- memory ----------------------------------------------------------------------------------

    def _area(self, name: str, floats: Dim) -> None:
        at = c_expression(self.planes)
        self.areas.append(f"    float *const {name} = planes + {at};")
        self.planes = self.planes + floats

    def _place_areas(self) -> None:
        """Tiles, packed weights and sums first, then what is as long as the keys."""
        scores, rows = self.scores, self.rows
        for tile in rows.tiles:
            self._area(tile, TILE)
        self._area("packed_tile", PACKED)
        for s in scores.sums:
            if s.op == "logsumexp":
                self._area(f"{s.place.buffer}_top", QUERIES)
                self._area(f"{s.place.buffer}_total", QUERIES)
            elif s.side == "queries":
                self._area(s.name, QUERIES * s.lead)
        for m in (m for m in scores.matrices.values() if m.owned):
            if m.role == "values" or m.width >= BROAD:
                self._area(f"{m.name}_packed", m.floats * (QUERIES // 32))
        blocks = (scores.walked + 31) // 32
        for m in (m for m in scores.matrices.values() if not m.owned):
            self._area(f"{m.name}_packed", blocks * m.floats)
        for s in (s for s in scores.sums if s.side == "keys"):
            self._area(s.name, blocks * (32 * s.lead))

    # ---- loops -----------------------------------------------------------------------------------

    def _extent(self, d: int) -> str:
        return "rows" if d == self.scores.domain else c_expression(self.scores.shape[d])

    def _loops(self) -> None:
        """The loops over samples and heads, and what stands between them."""
        scores = self.scores
        self.emit("weft_begin_tiles();", 1)
        depth = 1
        self._enter(0, depth)
        for level, d in enumerate(scores.loops, 1):
            name = scores.axis(d).name
            self.emit(f"for (long {name} = 0; {name} < {self._extent(d)}; ++{name}) {{", depth)
            depth += 1
            self._enter(level, depth)
        self.rows.around(depth)
        self._blocks(depth)
        for level in reversed(range(len(scores.loops) + 1)):
            for s in scores.sums:
                if s.side == "keys" and s.place.level == level:
                    self._store_keys(s, depth)
            depth -= 1
            if level:
                self.emit("}", depth)
        self.emit("weft_end_tiles();", 1)

    def _enter(self, level: int, depth: int) -> None:
        """What is packed and cleared once inside so many loops."""
        walked = c_expression(self.scores.walked)
        for m in self.scores.matrices.values():
            if not m.owned and m.place.level == level:
                self._pack(m, walked, depth)
        for s in self.scores.sums:
            if s.place.level == level and s.side == "keys":
                size = c_expression(self.scores.walked * s.lead)
                self.emit(f"memset({s.name}, 0, {_tight(size)} * sizeof(float));", depth)
            elif s.place.level == level and s.side == "pairs":
                self.emit(
                    f"for (long {self.row} = 0; {self.row} < {self._owned}; ++{self.row})", depth
                )
                self.emit(
                    f"for (long j = 0; j < {walked}; ++j) {self.rows.pair(s, 'j')} = 0.0f;",
                    depth + 1,
                )

    @property
    def _owned(self) -> str:
        return self._extent(self.scores.launch.owned)

    def _pack(self, m: Matrix, count: str, depth: int) -> None:
        place = m.place
        begin = self.rows.index(place.begin)
        start = f"{place.buffer}_ptr" + (f" + {begin}" if begin != "0" else "")
        if m.owned:
            start += f" + start * {self.rows.lead(c_expression(place.step))}"
        step, unit = (self.rows.lead(c_expression(d)) for d in (place.step, place.unit))
        plain = m.owned and m.role == "queries" and m.width < BROAD
        packed = "0" if plain else f"{m.name}_packed"
        fields = f"{start}, {step}, {unit}, {m.width}, 0, {packed}, 0"
        self.emit(f"weft_side {m.name} = {{{fields}}};", depth)
        if not plain:
            role = "block" if m.owned and m.role == "values" else m.role
            self.emit(f"weft_pack_{role}(&{m.name}, {count});", depth)

    def _blocks(self, depth: int) -> None:
        """The loop over blocks of queries."""
        scores = self.scores
        self.emit(f"for (long start = 0; start < {self._owned}; start += {QUERIES}) {{", depth)
        inner = depth + 1
        self.emit(f"const long high = weft_smaller({self._owned} - start, {QUERIES});", inner)
        for m in (m for m in scores.matrices.values() if m.owned):
            self._pack(m, "high", inner)
        for s in (s for s in scores.sums if s.side == "queries"):
            self._clear(s, inner)
        low, high = self._range()
        self.emit(f"const long low = {low}, end = {high};", inner)
        self.emit(f"for (long at = low; at < end; at += {KEYS}) {{", inner)
        self.emit(f"const long wide = weft_smaller(end - at, {KEYS});", inner + 1)
        self._tile(inner + 1)
        self.emit("}", inner)
        self._finish(inner)
        self.emit("}", depth)

    def _clear(self, s: Sum, depth: int) -> None:
        if s.op == "logsumexp":
            top, total = f"{s.place.buffer}_top", f"{s.place.buffer}_total"
            self.emit(
                f"for (long i = 0; i < high; ++i) {top}[i] = -INFINITY, {total}[i] = 0.0f;", depth
            )
        elif s.op in ("max", "min"):
            start = "-INFINITY" if s.op == "max" else "INFINITY"
            self.emit(f"for (long i = 0; i < high; ++i) {s.name}[i] = {start};", depth)
        else:
            self.emit(f"memset({s.name}, 0, {QUERIES * s.lead} * sizeof(float));", depth)

    def _tile(self, depth: int) -> None:
        """Scores of a tile, what the spec does with them, and the sums that are products."""
        scores, rows = self.scores, self.rows
        for tile, (_, (queries, keys)) in zip(rows.tiles, scores.products, strict=False):
            sides = f"&{queries.name}, &{keys.name}"
            self.emit(f"weft_scores(high, wide, {sides}, at, {tile}, {KEYS}, scratch);", depth)
        rows.tile(depth)
        for s in scores.sums:
            if s.matrix is None:
                continue
            tile, matrix = rows.held[str(s.source)], f"&{s.matrix.name}"
            if s.side == "queries":
                sizes, where, place = f"high, wide, {tile}, {KEYS}, 1", "at", s.name
            else:
                sizes, where = f"wide, high, {tile}, 1, {KEYS}", "0"
                place = f"{s.name} + at * {s.lead}"
            end = f"{place}, {s.lead}, packed_tile, scratch"
            self.emit(f"weft_weigh({sizes}, {matrix}, {where}, {end});", depth)

    # ---- results ---------------------------------------------------------------------------------

    def _finish(self, depth: int) -> None:
        """The results of a block of queries."""
        mine = [s for s in self.scores.sums if s.side == "queries"]
        if not mine:
            return
        self.emit("for (long i = 0; i < high; ++i) {", depth)
        self.emit(f"const long {self.row} = start + i;", depth + 1)
        for number, s in enumerate(s for s in mine if s.op == "logsumexp"):
            self._logsumexp(s, number, depth + 1)
        for s in (s for s in mine if s.op != "logsumexp"):
            factor = " * factor" if s.online else ""
            if s.matrix is None:
                self.emit(f"{self._at(s)} = {s.name}[i]{factor};", depth + 1)
            else:
                self._numbers(s, "i", factor, depth + 1)
        self.emit("}", depth)

    def _logsumexp(self, s: Sum, number: int, depth: int) -> None:
        top, total = f"{s.place.buffer}_top[i]", f"{s.place.buffer}_total[i]"
        word = f"_{number + 1}" if number else ""
        self.emit(f"const float base{word} = {top} == -INFINITY ? 0.0f : {top};", depth)
        log = f"base{word} + weft_log({total})"
        self.emit(f"const float made{word} = {top} == INFINITY ? INFINITY : {log};", depth)
        self.emit(f"{self._at(s)} = made{word};", depth)
        if number == 0 and any(o.online for o in self.scores.sums):
            self.emit("const float factor = weft_exp(base - made);", depth)

    def _store_keys(self, s: Sum, depth: int) -> None:
        """The results of all keys."""
        walked = c_expression(self.scores.walked)
        if s.matrix is None:
            head = f"for (long {self.column} = 0; {self.column} < {walked}; ++{self.column})"
            self.emit(f"{head} {self._at(s)} = {s.name}[{self.column}];", depth)
            return
        self.emit(
            f"for (long {self.column} = 0; {self.column} < {walked}; ++{self.column}) {{", depth
        )
        self._numbers(s, self.column, "", depth + 1)
        self.emit("}", depth)

    def _numbers(self, s: Sum, at: str, factor: str, depth: int) -> None:
        self.emit("#pragma omp simd", depth)
        unit = c_expression(s.place.unit)
        place = self._at(s, "t" if unit == "1" else f"t * {self.rows.lead(unit)}")
        value = f"{s.name}[{at} * {s.lead} + t]{factor}"
        self.emit(f"for (long t = 0; t < {s.width}; ++t) {place} = {value};", depth)

    def _at(self, s: Sum, more: str = "") -> str:
        """The place of a result, at the query or key at hand."""
        kernel = self.scores.kernel
        axis = kernel.columns[0] if s.side == "keys" else kernel.rows[0]
        terms = (*s.place.begin.terms, *(((axis, s.place.step),) if s.place.step != 0 else ()))
        index = self.rows.index(Affine(terms))
        return f"{s.place.buffer}_ptr[{index}{f' + {more}' if more else ''}]"

    # ---- ranges ----------------------------------------------------------------------------------

    def _range(self) -> tuple[str, str]:
        """The keys that a block has to walk: others are ruled out by conditions on positions."""
        found = visible(self.scores.graph, self.scores.launch)
        low, high = "0", c_expression(self.scores.walked)
        if found.low is not None:
            low = f"weft_larger(0, {self._bound(found.low, least=True)}) / 32 * 32"
        if found.high is not None:
            bound = self._bound(found.high, least=False)
            high = f"weft_smaller({high}, {bound} + 1)"
        return low, high

    def _bound(self, bound: Bound, *, least: bool) -> str:
        """The least or greatest value of a bound over a block of queries."""
        if isinstance(bound, Extreme):
            function = "weft_smaller" if bound.function == "min" else "weft_larger"
            text, *rest = (self._bound(b, least=least) for b in bound.bounds)
            for other in rest:
                text = f"{function}({text}, {other})"
            return text
        if bound.owned == 0:
            return str(bound.offset)
        start = "first + start" if self.scores.domain == self.scores.launch.owned else "start"
        at = start if (bound.owned > 0) == least else f"{start} + high - 1"
        at = at if bound.owned > 0 else f"-({at})"
        return f"{at} + {bound.offset}".replace("+ -", "- ") if bound.offset else at


def _tight(text: str) -> str:
    return text if text.replace("_", "").isalnum() else f"({text})"
