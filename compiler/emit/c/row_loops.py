"""Loop nests that walk a row at a time and vectorise along its columns, or along the rows of a
flat kernel.
"""

from __future__ import annotations

from ..expressions import fold_single_uses
from ..loops import Fold, Gather, Pass
from ..names import c_expression
from .flow import indirect, needed, needed_for, read_across
from .words import TYPE, Words, plus

BLOCK = 256  # elements of a flat sum that are added up before the next ones
LOWEST = {True: "-INFINITY", False: "-2147483647 - 1"}
HIGHEST = {True: "INFINITY", False: "2147483647"}
"""Where a maximum and a minimum start: of floating-point numbers (True), and of whole ones."""


class RowLoops(Words):
    """Rows outside, columns inside."""

    def loops(self, passes: list[Pass]) -> None:
        kernel = self.kernel
        flat = not kernel.columns
        sums = [s for p in passes for s in p.body if isinstance(s, Gather)] if flat else []
        if sums and len(kernel.rows) == 1 and all(not s.index.terms for s in sums):
            self.flat_sums(passes, sums)
            return
        depth = 1
        simple = flat and not sums and len(kernel.rows) == 1 and self.over_rows
        if simple and not any(indirect(s) for p in passes for s in p.body):
            self.emit("#pragma omp simd", depth)
        for position, axis in enumerate(kernel.rows):
            extent = "rows" if position == 0 else c_expression(axis.extent)
            self.emit(self.loop(axis.name, extent), depth)
            depth += 1
        read_later = read_across(passes)
        for p in passes:
            if p.over_columns:
                self.column_pass(p, depth, read_later)
            else:
                self.body(p.body, depth, read_later)
        for _ in kernel.rows:
            depth -= 1
            self.emit("}", depth)

    def flat_sums(self, passes: list[Pass], sums: list[Gather]) -> None:
        """Sums of a flat kernel, block by block: short chains of additions are quicker, since the
        next one starts before the last one ends, and rounded less.
        """
        read_later = read_across(passes)
        self.emit(f"for (long block = 0; block < rows; block += {BLOCK}) {{", 1)
        self.emit(f"const long size = rows - block < {BLOCK} ? rows - block : {BLOCK};", 2)
        for s in sums:
            self.emit(self.start_sum(s), 2)
        if self.over_rows and not any(indirect(s) for p in passes for s in p.body):
            self.emit(f"#pragma omp simd{plus(sums)}", 2)
        self.emit("for (long i = 0; i < size; ++i) {", 2)
        self.emit(f"const long {self.kernel.rows[0].name} = block + i;", 3)
        for p in passes:
            stay, self.writer.nested = fold_single_uses(p.body, read_later)
            for statement in stay:
                text = self.statement(statement)
                if isinstance(statement, Gather):
                    text = f"{statement.buffer}_sum += {self.writer.value_of(statement)};"
                self.emit(text, 3)
        self.emit("}", 2)
        for s in sums:
            self.emit(f"{s.buffer}_ptr[{self.index(s.index)}] += {s.buffer}_sum;", 2)
        self.emit("}", 1)

    def column_pass(self, p: Pass, depth: int, read_later: frozenset[str]) -> None:
        folds = [s for s in p.body if isinstance(s, Fold)]
        for fold in (f for f in folds if f.function == "logsumexp"):
            self.logsumexp(p, fold, depth)
        rest = [s for s in p.body if not (isinstance(s, Fold) and s.function == "logsumexp")]
        rest = needed(rest)
        if not rest:
            return
        folds = [f for f in folds if f.function != "logsumexp"]
        reductions: dict[str, list[str]] = {}
        for fold in folds:
            self.open_fold(fold, depth, reductions)
        clause = "".join(
            f" reduction({op} : {', '.join(names)})" for op, names in reductions.items()
        )
        serial = any(f.function in ("argmax", "argmin") for f in folds)
        inner = self.open_columns(depth, "" if serial else clause, simd=not serial)
        stay, self.writer.nested = fold_single_uses(rest, read_later)
        for s in stay:
            for line in self.fold_lines(s) if isinstance(s, Fold) else [self.statement(s)]:
                self.emit(line, inner)
        self.close_columns(depth)
        for fold in folds:
            self.close_fold(fold, depth)

    def open_fold(self, fold: Fold, depth: int, reductions: dict[str, list[str]]) -> None:
        kind = TYPE[self.kernel.values[fold.target].dtype]
        name = fold.target
        if fold.function == "sum":
            self.emit(f"{kind} {name} = 0;", depth)
            reductions.setdefault("+", []).append(name)
        elif fold.function in ("argmax", "argmin"):
            start = "-INFINITY" if fold.function == "argmax" else "INFINITY"
            self.emit(f"float {name}_best = {start};", depth)
            self.emit(f"int {name} = 0;", depth)
        else:
            real = kind == "float"
            low = LOWEST[real] if fold.function == "max" else HIGHEST[real]
            self.emit(f"{kind} {name} = {low};", depth)
            reductions.setdefault(fold.function, []).append(name)
            if real:
                self.emit(f"int {name}_nan = 0;", depth)
                reductions.setdefault("|", []).append(f"{name}_nan")

    def fold_lines(self, fold: Fold) -> list[str]:
        text = self.writer.value_of(fold)
        name = fold.target
        if fold.function == "sum":
            return [f"{name} += {text};"]
        sign = ">" if fold.function in ("max", "argmax") else "<"
        if fold.function in ("argmax", "argmin"):
            column = self.kernel.columns[-1].name
            return [
                f"const float {name}_value = {text};",
                f"if ({name}_value {sign} {name}_best || "
                f"({name}_value != {name}_value && {name}_best == {name}_best)) {{",
                f"    {name}_best = {name}_value;",
                f"    {name} = (int){column};",
                "}",
            ]
        lines = [f"const {TYPE[self.kernel.values[name].dtype]} {name}_value = {text};"]
        lines.append(f"{name} = {name}_value {sign} {name} ? {name}_value : {name};")
        if self.kernel.values[name].dtype == "f32":
            lines.append(f"{name}_nan |= {name}_value != {name}_value;")
        return lines

    def close_fold(self, fold: Fold, depth: int) -> None:
        if fold.function in ("max", "min") and self.kernel.values[fold.target].dtype == "f32":
            self.emit(f"if ({fold.target}_nan) {fold.target} = NAN;", depth)

    def logsumexp(self, p: Pass, fold: Fold, depth: int) -> None:
        """Largest element, then the sum of exponentials: two loops over a row that sits in L1."""
        needed = needed_for(p.body, fold.operand)
        top, total = f"{fold.target}_max", f"{fold.target}_sum"
        self.emit(f"float {top} = -INFINITY;", depth)
        inner = self.open_columns(depth, f" reduction(max : {top})")
        self.body(needed, inner, {fold.operand})
        self.emit(f"{top} = {fold.operand} > {top} ? {fold.operand} : {top};", inner)
        self.close_columns(depth)
        self.emit(f"{top} = {top} == -INFINITY ? 0.0f : {top};", depth)
        self.emit(f"float {total} = 0.0f;", depth)
        inner = self.open_columns(depth, f" reduction(+ : {total})")
        self.body(needed, inner, {fold.operand})
        self.emit(f"{total} += weft_exp({fold.operand} - {top});", inner)
        self.close_columns(depth)
        log = f"{top} + weft_log({total})"
        self.emit(f"const float {fold.target} = {top} == INFINITY ? INFINITY : {log};", depth)
