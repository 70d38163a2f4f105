"""The statements of one kernel while it is written: what each defines and needs, where it runs.

Level of a value = maximum over its operands, plus one through a fold.  Pass p holds the folds,
stores and gathers of level p and all they need, repeated in each pass; row values stand between
passes.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from ...spec.dims import Dim
from .loops import (
    Affine,
    Axis,
    Fold,
    Gather,
    Let,
    Load,
    Operand,
    Pass,
    Statement,
    Store,
    Value,
    operands_of,
)
from .names import local_name

Coordinate = tuple[tuple[tuple[Axis | str, Dim], ...], Dim]  # terms and offset of one dimension
Sink = Store | Gather

EVERYWHERE = ("full", "column")  # kinds of values that a loop over columns makes
ROWS = ("row", "scalar")


def unused(name: str, used: Collection[str]) -> str:
    """A name for a kernel that nobody in it has yet."""
    base = local_name(name)
    found, count = base, 2
    while found in used:
        found, count = f"{base}_{count}", count + 1
    return found


def row_major_index(shape: tuple[Dim, ...], at: tuple[Coordinate, ...]) -> Affine:
    """Where an element of a value is that lies row by row."""
    terms: list[tuple[Axis | str, Dim]] = []
    offset: Dim = 0
    stride: Dim = 1
    for (coordinate, start), extent in zip(reversed(at), reversed(shape), strict=True):
        terms = [*((t, s * stride) for t, s in coordinate), *terms]
        offset = offset + start * stride
        stride = stride * extent
    return Affine(tuple(terms), offset)


@dataclass
class Statements:
    """What makes each value, in order; no statement for the result of a fold."""

    used: set[str] = field(default_factory=set)
    infos: dict[str, Value] = field(default_factory=dict)
    made: dict[str, Statement | None] = field(default_factory=dict)
    _needs: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _level: dict[str, int] = field(default_factory=dict)
    _folds: list[tuple[Fold, int]] = field(default_factory=list)
    _sinks: list[tuple[Sink, int]] = field(default_factory=list)
    _again: dict[str, tuple[int, Load]] = field(default_factory=dict)

    # ---- writing -----------------------------------------------------------------------------

    def fresh(self, name: str) -> str:
        found = unused(name, self.used)
        self.used.add(found)
        return found

    def define(self, target: str, statement: Statement, kind: str, dtype: str) -> str:
        """A value of a kind: full, row, column, scalar."""
        reads = operands_of(statement)
        self.infos[target] = Value(kind, dtype)
        self.made[target] = statement
        self._needs[target] = reads
        self._level[target] = max((self._level[r] for r in reads), default=0)
        return target

    def let(self, name: str, function: str, operands: tuple[Operand, ...], dtype: str) -> str:
        """The value of a function."""
        kind = self.kind(tuple(o for o in operands if isinstance(o, str)))
        target = self.fresh(name)
        return self.define(target, Let(target, function, operands), kind, dtype)

    def fold(self, name: str, function: str, source: str, dtype: str) -> str:
        """A value of the row, from one of all its columns."""
        target, level = self.fresh(name), self._level[source]
        kind = "row" if self.infos[source].kind in ("full", "row") else "scalar"
        self.infos[target] = Value(kind, dtype)
        self.made[target] = None
        self._needs[target] = (source,)
        self._level[target] = level + 1
        self._folds.append((Fold(target, function, source), level))
        return target

    def sink(self, statement: Sink) -> None:
        """A value leaves the kernel as soon as it is known."""
        operand = statement.operand
        level = self._level[operand] if isinstance(operand, str) else 0
        self._sinks.append((statement, level))

    def keep(self, name: str, buffer: str, index: Affine) -> None:
        """Passes after the first that needs a value load what that pass has stored."""
        first = self.passes_with(name)[0]
        store = Store(buffer, name, index)
        if (store, first) not in self._sinks:
            self._sinks.append((store, first))
        self._again[name] = first, Load(name, buffer, index)

    def kind(self, names: tuple[str, ...], index: tuple[Coordinate, ...] = ()) -> str:
        """Where a value runs that is made of others, or of what lies at an index."""
        kinds = {self.infos[n].kind for n in names}
        for terms, _ in index:
            for term, _ in terms:
                if isinstance(term, str):
                    kinds.add(self.infos[term].kind)
                elif not term.name.startswith("batch"):
                    kinds.add("row" if term.name.startswith("row") else "column")
        if "full" in kinds or {"row", "column"} <= kinds:
            return "full"
        return next((k for k in ("row", "column") if k in kinds), "scalar")

    # ---- passes ------------------------------------------------------------------------------

    def passes(self) -> tuple[Pass, ...]:
        """Everything, in the order in which it runs."""
        found: list[Pass] = []
        standing: set[str] = set()
        for p in range(self._top() + 1):
            sinks = [s for s, level in self._sinks if level == p and not self._is_full(s)]
            rows = [t for t in self.made if self.infos[t].kind in ROWS and self._level[t] <= p]
            straight = self._needed(p, rows, ROWS, standing)
            if straight or sinks:
                found.append(Pass(False, (*straight, *sinks)))
            if wanted := self._wanted(p):
                done: set[str] = set()
                body: list[Statement] = []
                for statement in wanted:
                    body += self._needed(p, operands_of(statement), EVERYWHERE, done)
                    body.append(statement)
                found.append(Pass(True, tuple(body)))
        return tuple(found)

    def passes_with(self, name: str) -> list[int]:
        """Numbers of the passes over columns that need a value."""
        return [p for p in range(self._top() + 1) if name in self._used_in(p)]

    def _top(self) -> int:
        """The number of the last pass."""
        return max((level for _, level in (*self._folds, *self._sinks)), default=0)

    def _wanted(self, p: int) -> list[Statement]:
        """What the loop over columns of pass `p` is there for."""
        folds: list[Statement] = [f for f, level in self._folds if level == p]
        return folds + [s for s, level in self._sinks if level == p and self._is_full(s)]

    def _used_in(self, p: int) -> set[str]:
        """The values of every column that pass `p` needs."""
        used: set[str] = set()
        for statement in self._wanted(p):
            self._needed(p, operands_of(statement), EVERYWHERE, used)
        return used

    def _is_full(self, sink: Sink) -> bool:
        """Does a sink run on every column, or once a row?"""
        named = (sink.operand,) if isinstance(sink.operand, str) else ()
        axes = tuple((t, s) for t, s in sink.index.terms if isinstance(t, Axis))
        return self.kind(named, ((axes, 0),)) in EVERYWHERE

    def _needed(
        self, p: int, targets: Collection[str], kinds: tuple[str, ...], done: set[str]
    ) -> list[Statement]:
        """The statements of pass `p` that define `targets` and what they need."""
        body: list[Statement] = []
        for target in targets:
            if target in done or self.infos[target].kind not in kinds:
                continue
            done.add(target)
            if target in self._again and p > self._again[target][0]:
                body.append(self._again[target][1])
                continue
            body += self._needed(p, self._needs[target], kinds, done)
            statement = self.made[target]
            if statement is not None:
                body.append(statement)
        return body
