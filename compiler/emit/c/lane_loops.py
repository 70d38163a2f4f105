"""Loop nests that vectorise along the rows: for narrow values the batch is the vector axis."""

from __future__ import annotations

from collections.abc import Iterable

from ..expressions import fold_single_uses
from ..loops import Fold, Gather, Load, Pass, Statement, operands_of
from .flow import needed, needed_for
from .words import TYPE, Words, plus

BLOCK = 512  # rows whose row values stand side by side in short arrays


class LaneLoops(Words):
    """Columns outside, rows inside."""

    def loops(self, passes: list[Pass]) -> None:
        """Columns outside, rows inside: the batch is the vector axis, row values are short
        arrays.
        """
        standing = list(self.panels)
        single = len(passes) == 1 and not standing
        depth = 1
        if not single:
            self.emit(f"for (long block = 0; block < rows; block += {BLOCK}) {{", depth)
            depth = 2
            self.emit(f"const long size = rows - block < {BLOCK} ? rows - block : {BLOCK};", depth)
            for name in sorted(standing):
                for suffix, dtype in self.panel_arrays(name):
                    self.emit(f"{dtype} {name}_{suffix}[{BLOCK}];", depth)
        self.in_panel = not single
        self.writer.names = {name: f"{name}_of[i]" for name in standing}
        for p in passes:
            if p.over_columns:
                self.rows_pass(p, depth)
            else:
                self.straight_pass(p, depth)
        if not single:
            self.emit("}", 1)

    def straight_pass(self, p: Pass, depth: int) -> None:
        """What happens once a row, for a block of rows."""
        body = self.with_loads(p.body)
        sums = [s for s in body if isinstance(s, Gather)]
        for s in sums:
            self.emit(self.start_sum(s), depth)
        if not body:
            return
        inner = self.open_rows(depth, plus(sums))
        self.rows_body(body, inner)
        self.emit("}", depth)
        for s in sums:
            self.emit(f"{s.buffer}_ptr[{self.index(s.index)}] += {s.buffer}_sum;", depth)

    def rows_body(self, body: list[Statement], depth: int) -> None:
        stay, self.writer.nested = fold_single_uses(body, self.panels)
        for s in stay:
            if isinstance(s, Gather):
                self.emit(f"{s.buffer}_sum += {self.writer.value_of(s)};", depth)
            elif isinstance(s, Fold):
                for line in self.panel_fold(s):
                    self.emit(line, depth)
            else:
                self.emit(self.statement(s), depth)

    def with_loads(self, body: Iterable[Statement], kept: str = "") -> list[Statement]:
        """Row values that are bare loads are read again where they are needed."""
        body = list(body)
        mine = {getattr(s, "target", None) for s in body}
        read = {kept, *(name for s in body for name in operands_of(s))}
        loads = [self.row_loads[name] for name in sorted(read & set(self.row_loads) - mine)]
        read |= self.panels
        return [*loads, *(s for s in body if not isinstance(s, Load) or s.target in read)]

    def panel_arrays(self, name: str) -> list[tuple[str, str]]:
        fold = next(
            (
                s
                for p in self.kernel.passes
                for s in p.body
                if isinstance(s, Fold) and s.target == name
            ),
            None,
        )
        kind = TYPE[self.kernel.values[name].dtype]
        arrays = [("of", kind)]
        if fold is not None and fold.function == "logsumexp":
            arrays += [("max", "float"), ("sum", "float")]
        if fold is not None and fold.function in ("argmax", "argmin"):
            arrays += [("best", "float")]
        return arrays

    def open_rows(self, depth: int, clause: str) -> int:
        self.emit(f"#pragma omp simd{clause}", depth)
        if self.in_panel:
            self.emit("for (long i = 0; i < size; ++i) {", depth)
            self.emit("const long row = block + i;", depth + 1)
        else:
            self.emit("for (long row = 0; row < rows; ++row) {", depth)
        return depth + 1

    def rows_pass(self, p: Pass, depth: int) -> None:
        folds = [s for s in p.body if isinstance(s, Fold)]
        if folds:
            inner = self.open_rows(depth, "")
            for fold in folds:
                for line in self.panel_start(fold):
                    self.emit(line, inner)
            self.emit("}", depth)
        for fold in (f for f in folds if f.function == "logsumexp"):
            self.panel_logsumexp(p, fold, depth)
        rest = needed(
            [s for s in p.body if not (isinstance(s, Fold) and s.function == "logsumexp")]
        )
        if not rest:
            return
        rest = self.with_loads(rest)
        inner = self.open_columns(depth, "", simd=False)
        sums = [s for s in rest if isinstance(s, Gather)]
        for s in sums:
            self.emit(self.start_sum(s), inner)
        body = self.open_rows(inner, plus(sums))
        self.rows_body(rest, body)
        self.emit("}", inner)
        for s in sums:
            self.emit(f"{s.buffer}_ptr[{self.index(s.index)}] += {s.buffer}_sum;", inner)
        self.close_columns(depth)

    def panel_start(self, fold: Fold) -> list[str]:
        name = fold.target
        starts = {"sum": "0", "max": "-INFINITY", "min": "INFINITY"}
        if self.kernel.values[name].dtype != "f32":
            starts |= {"max": "-2147483647 - 1", "min": "2147483647"}
        if fold.function in starts:
            return [f"{name}_of[i] = {starts[fold.function]};"]
        if fold.function == "logsumexp":
            return [f"{name}_max[i] = -INFINITY;", f"{name}_sum[i] = 0.0f;"]
        best = "-INFINITY" if fold.function == "argmax" else "INFINITY"
        return [f"{name}_best[i] = {best};", f"{name}_of[i] = 0;"]

    def panel_fold(self, fold: Fold) -> list[str]:
        name, text = fold.target, self.writer.value_of(fold)
        if fold.function == "sum":
            return [f"{name}_of[i] += {text};"]
        if fold.function in ("max", "min"):
            if self.kernel.values[name].dtype == "f32":
                return [f"{name}_of[i] = weft_{fold.function}({name}_of[i], {text});"]
            sign = ">" if fold.function == "max" else "<"
            return [f"{name}_of[i] = {text} {sign} {name}_of[i] ? {text} : {name}_of[i];"]
        sign = ">" if fold.function == "argmax" else "<"
        column = self.kernel.columns[-1].name
        return [
            f"const float {name}_value = {text};",
            f"const int {name}_wins = {name}_value {sign} {name}_best[i] || "
            f"({name}_value != {name}_value && {name}_best[i] == {name}_best[i]);",
            f"{name}_best[i] = {name}_wins ? {name}_value : {name}_best[i];",
            f"{name}_of[i] = {name}_wins ? (int){column} : {name}_of[i];",
        ]

    def panel_logsumexp(self, p: Pass, fold: Fold, depth: int) -> None:
        needed = self.with_loads(needed_for(p.body, fold.operand), fold.operand)
        name, x = fold.target, fold.operand
        for step in (
            [f"{name}_max[i] = {x} > {name}_max[i] ? {x} : {name}_max[i];"],
            [f"{name}_sum[i] += weft_exp({x} - {name}_max[i]);"],
        ):
            inner = self.open_columns(depth, "", simd=False)
            body = self.open_rows(inner, "")
            self.body(needed, body, {x, *self.panels})
            for line in step:
                self.emit(line, body)
            self.emit("}", inner)
            self.close_columns(depth)
            inner = self.open_rows(depth, "")
            if "_sum" not in step[0]:
                self.emit(
                    f"{name}_max[i] = {name}_max[i] == -INFINITY ? 0.0f : {name}_max[i];", inner
                )
            else:
                log = f"{name}_max[i] + weft_log({name}_sum[i])"
                self.emit(f"{name}_of[i] = {name}_max[i] == INFINITY ? INFINITY : {log};", inner)
            self.emit("}", depth)
