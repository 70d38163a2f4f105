"""Loop IR -> C: one function a kernel, vectorised along the axis that is contiguous in memory.

A kernel sees `rows` consecutive rows; every pointer is already at the first of them, so that the
caller can hand out panels of rows.  `first` is the number of the first row, where it matters.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ....spec.dims import Dim, c_expression, symbols
from ...ops.maps import SPELLINGS
from ..expressions import Writer, fold_single_uses
from ..loops import (
    Affine,
    Axis,
    Draw,
    Fold,
    Gather,
    Guard,
    Kernel,
    KernelBuffer,
    Let,
    Load,
    Pass,
    Position,
    Size,
    Statement,
    Store,
    operands_of,
)

TYPE = {"f32": "float", "f64": "double", "i32": "int", "i64": "long", "bool": "int"}
STORED = {**TYPE, "bool": "unsigned char"}
BLOCK = 64  # rows whose row values stand side by side in a vectorised-over-rows kernel


@dataclass(frozen=True, slots=True)
class Signature:
    """How to call a printed kernel: sizes by symbol, then one pointer a buffer."""

    name: str
    sizes: tuple[str, ...]
    first: bool
    buffers: tuple[str, ...]


def literal(value: float | int | bool) -> str:
    """A number in C."""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, int):
        return str(value)
    if value != value:
        return "NAN"
    if value in (float("inf"), float("-inf")):
        return "INFINITY" if value > 0 else "-INFINITY"
    return f"{value!r}f"


class _Printer:
    def __init__(self, kernel: Kernel, aliased: frozenset[str]) -> None:
        self.kernel = kernel
        self.aliased = aliased
        self.writer = Writer(self.spell, self.load, literal)
        self.lines: list[str] = []
        self.chunk = kernel.rows[0] if kernel.rows else None
        self.over_rows = _contiguous_rows(kernel)
        self.row_loads = {
            s.target: s for p in kernel.passes for s in p.body if isinstance(s, Load) and kernel.values[s.target].kind == "row"
        }
        standing = _standing(kernel) - set(self.row_loads) if self.over_rows else ()
        self.panels = frozenset(standing)
        self.leads: dict[str, str] = {}
        self.in_panel = False

    # ---- words -------------------------------------------------------------------------------

    def index(self, index: Affine, *, absolute: bool = False) -> str:
        parts: list[str] = []
        for term, stride in index.terms:
            name = self.writer.operand(term, tight=False) if isinstance(term, str) else term.name
            if absolute and term == self.chunk:
                name = "(first + row)" if self.chunk.name == "row" else f"(first + {name})"
            factor = self.lead(c_expression(stride))
            parts.append(name if factor == "1" else f"{name} * {factor}")
        if index.offset != 0:
            parts.append(c_expression(index.offset))
        return " + ".join(parts).replace("+ -", "- ") or "0"

    def lead(self, text: str) -> str:
        """A stride; one that is an expression is computed once and named."""
        if text.replace("_", "").isalnum():
            return text
        if text not in self.leads:
            self.leads[text] = f"lead_{len(self.leads) + 1}" if self.leads else "lead"
        return self.leads[text]

    def guard(self, guard: Guard) -> str:
        text = self.index(guard.index, absolute=True)
        low, high = c_expression(guard.low), c_expression(guard.high)
        return f"{text} >= {low} && {text} < {high}"

    def load(self, load: Load) -> str:
        found = f"{load.buffer}_ptr[{self.index(load.index)}]"
        if not load.guards:
            return found
        return f"({' && '.join(map(self.guard, load.guards))} ? {found} : {literal(load.other)})"

    def spell(self, let: Let, operands: list[str]) -> str:
        if let.function == "cast":
            dtype = self.kernel.values[let.target].dtype
            return f"{operands[0]} != 0" if dtype == "bool" else f"({TYPE[dtype]}){operands[0]}"
        if let.function in _BY_TYPE and self.kernel.values[let.target].dtype in ("i32", "i64"):
            return _BY_TYPE[let.function].format(*operands)
        return SPELLINGS[let.function].c.format(*operands)

    def statement(self, s: Statement) -> str:
        """One line of C for a statement that stays."""
        values = self.kernel.values
        if isinstance(s, (Load, Let, Position, Size, Draw)):
            kind = TYPE[values[s.target].dtype]
            text = self.right_hand(s)
            if s.target in self.panels and self.in_panel:
                return f"{s.target}_of[i] = {text};"
            return f"const {kind} {s.target} = {text};"
        if isinstance(s, Store):
            return f"{s.buffer}_ptr[{self.index(s.index)}] = {self.writer.value_of(s)};"
        if isinstance(s, Gather):
            return f"{s.buffer}_ptr[{self.index(s.index)}] += {self.writer.value_of(s)};"
        raise TypeError(s)

    def right_hand(self, s: Load | Let | Position | Size | Draw) -> str:
        if isinstance(s, Load):
            return self.load(s)
        if isinstance(s, Let):
            return self.writer.expression(s)
        if isinstance(s, Position):
            return f"(int)({self.index(s.index, absolute=True)})"
        if isinstance(s, Size):
            return f"(float)({c_expression(s.dim)})"
        return f"weft_{s.kind}(seed, step, {s.stream}u, (uint64_t)({self.index(s.index, absolute=True)}))"

    # ---- the function ------------------------------------------------------------------------

    def emit(self, text: str, depth: int) -> None:
        self.lines.append("    " * depth + text)

    def body(self, statements: Iterable[Statement], depth: int, kept: Iterable[str]) -> None:
        """Straight-line code; folds are the caller's."""
        stay, nested = fold_single_uses(statements, kept)
        self.writer.nested = nested
        for s in stay:
            if not isinstance(s, Fold):
                self.emit(self.statement(s), depth)

    def text(self) -> tuple[str, Signature]:
        kernel = self.kernel
        scalars = [s for p in kernel.passes if not p.over_columns for s in p.body if _is_scalar(kernel, s)]
        uniform = {getattr(s, "target", "") for s in scalars}
        self.body(scalars, 1, kept=uniform)
        passes = [
            p if p.over_columns else Pass(False, tuple(s for s in p.body if s not in scalars)) for p in kernel.passes
        ]
        passes = [p for p in passes if p.body]
        if self.over_rows and kernel.columns:
            self.rows_inside(passes)
        else:
            self.rows_outside(passes)
        drawn = any(isinstance(s, Draw) for p in kernel.passes for s in p.body)
        leads = [f"    const long {name} = {text};" for text, name in self.leads.items()]
        text = "\n".join([*leads, *self.lines])
        sizes = sorted(_symbols(kernel))
        first = "first" in text
        arguments = ["const long rows"] + (["const long first"] if first else [])
        arguments += [f"const long {s}" for s in sizes]
        arguments += ["const uint32_t seed", "const uint32_t step"] if drawn else []
        arguments += [self.argument(b) for b in kernel.buffers]
        head = self.heading()
        head += [f"WEFT_KERNEL void {kernel.name}({', '.join(arguments)})", "{"]
        names = tuple(sizes) + (("seed", "step") if drawn else ())
        signature = Signature(kernel.name, names, first, tuple(b.name for b in kernel.buffers))
        return "\n".join([*head, text, "}"]), signature

    def argument(self, buffer: KernelBuffer) -> str:
        const = "const " if buffer.role == "in" else ""
        restrict = "" if buffer.name in self.aliased else "restrict "
        return f"{const}{STORED[buffer.dtype]} *{restrict}{buffer.name}_ptr"

    def start_sum(self, s: Gather) -> str:
        kind = TYPE[next(b.dtype for b in self.kernel.buffers if b.name == s.buffer)]
        return f"{kind} {s.buffer}_sum = 0;"

    def heading(self) -> list[str]:
        """The shapes of what the kernel reads and writes."""
        kernel = self.kernel
        lines: list[str] = []
        for verb, roles in (("reads ", ("in",)), ("writes", ("out", "gather"))):
            shown = [f"{b.name}{b.shape}" for b in kernel.buffers if b.role in roles]
            if shown:
                lines.append(f"/* {verb} {', '.join(shown)} */")
        return lines

    # ---- loops: a row at a time ------------------------------------------------------------------

    def rows_outside(self, passes: list[Pass]) -> None:
        kernel = self.kernel
        depth = 1
        flat = not kernel.columns
        sums = [s for p in passes for s in p.body if isinstance(s, Gather)] if flat else []
        held = flat and len(kernel.rows) == 1 and all(not s.index.terms for s in sums)
        if held:
            for s in sums:
                self.emit(self.start_sum(s), depth)
            reduced = f" reduction(+ : {', '.join(s.buffer + '_sum' for s in sums)})" if sums else ""
            if self.over_rows and not any(_indirect(s) for p in passes for s in p.body):
                self.emit(f"#pragma omp simd{reduced}", depth)
        for position, axis in enumerate(kernel.rows):
            extent = "rows" if position == 0 else c_expression(axis.extent)
            self.emit(f"for (long {axis.name} = 0; {axis.name} < {extent}; ++{axis.name}) {{", depth)
            depth += 1
        read_later = _read_across(passes)
        for p in passes:
            if p.over_columns:
                self.column_pass(p, depth, read_later)
            elif held and sums:
                stay, self.writer.nested = fold_single_uses(p.body, read_later)
                for s in stay:
                    text = f"{s.buffer}_sum += {self.writer.value_of(s)};" if isinstance(s, Gather) else self.statement(s)
                    self.emit(text, depth)
            else:
                self.body(p.body, depth, read_later)
        for _ in kernel.rows:
            depth -= 1
            self.emit("}", depth)
        if held:
            for s in sums:
                self.emit(f"{s.buffer}_ptr[{self.index(s.index)}] += {s.buffer}_sum;", depth)

    def column_pass(self, p: Pass, depth: int, read_later: frozenset[str]) -> None:
        folds = [s for s in p.body if isinstance(s, Fold)]
        for fold in (f for f in folds if f.function == "logsumexp"):
            self.logsumexp(p, fold, depth)
        rest = [s for s in p.body if not (isinstance(s, Fold) and s.function == "logsumexp")]
        rest = _needed(rest)
        if not rest:
            return
        folds = [f for f in folds if f.function != "logsumexp"]
        reductions: dict[str, list[str]] = {}
        for fold in folds:
            self.open_fold(fold, depth, reductions)
        clause = "".join(f" reduction({op} : {', '.join(names)})" for op, names in reductions.items())
        serial = any(f.function in ("argmax", "argmin") for f in folds)
        inner = self.open_columns(depth, "" if serial else clause, simd=not serial)
        stay, self.writer.nested = fold_single_uses(rest, read_later)
        for s in stay:
            for line in self.fold_lines(s) if isinstance(s, Fold) else [self.statement(s)]:
                self.emit(line, inner)
        self.close_columns(depth)
        for fold in folds:
            self.close_fold(fold, depth)

    def open_columns(self, depth: int, clause: str, *, simd: bool = True) -> int:
        for position, axis in enumerate(self.kernel.columns):
            if simd and position == len(self.kernel.columns) - 1:
                self.emit(f"#pragma omp simd{clause}", depth)
            self.emit(f"for (long {axis.name} = 0; {axis.name} < {c_expression(axis.extent)}; ++{axis.name}) {{", depth)
            depth += 1
        return depth

    def close_columns(self, depth: int) -> None:
        for position in reversed(range(len(self.kernel.columns))):
            self.emit("}", depth + position)

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
            low = ("-INFINITY" if real else "-2147483647 - 1") if fold.function == "max" else ("INFINITY" if real else "2147483647")
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
                f"if ({name}_value {sign} {name}_best || ({name}_value != {name}_value && {name}_best == {name}_best)) {{",
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
        needed = _needed_for(p.body, fold.operand)
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
        self.emit(f"const float {fold.target} = {top} == INFINITY ? INFINITY : {top} + weft_log({total});", depth)

    # ---- loops: a vector of rows at a time -------------------------------------------------------

    def rows_inside(self, passes: list[Pass]) -> None:
        """Columns outside, rows inside: the batch is the vector axis, row values are short arrays."""
        standing = [n for n in self.panels]
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
        inner = self.open_rows(depth, _plus(sums))
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
        return [*loads, *(s for s in body if not isinstance(s, Load) or s.target in read)]

    def panel_arrays(self, name: str) -> list[tuple[str, str]]:
        fold = next((s for p in self.kernel.passes for s in p.body if isinstance(s, Fold) and s.target == name), None)
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
        rest = _needed([s for s in p.body if not (isinstance(s, Fold) and s.function == "logsumexp")])
        if not rest:
            return
        rest = self.with_loads(rest)
        inner = self.open_columns(depth, "", simd=False)
        sums = [s for s in rest if isinstance(s, Gather)]
        for s in sums:
            self.emit(self.start_sum(s), inner)
        body = self.open_rows(inner, _plus(sums))
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
        needed = self.with_loads(_needed_for(p.body, fold.operand), fold.operand)
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
                self.emit(f"{name}_max[i] = {name}_max[i] == -INFINITY ? 0.0f : {name}_max[i];", inner)
            else:
                log = f"{name}_max[i] + weft_log({name}_sum[i])"
                self.emit(f"{name}_of[i] = {name}_max[i] == INFINITY ? INFINITY : {log};", inner)
            self.emit("}", depth)


_BY_TYPE = {
    "maximum": "({0} > {1} ? {0} : {1})",
    "minimum": "({0} < {1} ? {0} : {1})",
    "abs": "({0} < 0 ? -{0} : {0})",
    "sign": "(({0} > 0) - ({0} < 0))",
    "floordiv": "weft_floordiv_int({0}, {1})",
    "mod": "weft_mod_int({0}, {1})",
    "where": "({0} ? {1} : {2})",
}


def _plus(sums: list[Gather]) -> str:
    return f" reduction(+ : {', '.join(s.buffer + '_sum' for s in sums)})" if sums else ""


def _is_scalar(kernel: Kernel, s: Statement) -> bool:
    target = getattr(s, "target", None)
    return target is not None and not isinstance(s, Fold) and kernel.values[target].kind == "scalar" and not _folded(kernel, s)


def _folded(kernel: Kernel, s: Statement) -> bool:
    """Does a scalar statement depend on a fold of this kernel?"""
    folds = {f.target for p in kernel.passes for f in p.body if isinstance(f, Fold)}
    makers = {t.target: t for p in kernel.passes for t in p.body if hasattr(t, "target") and not isinstance(t, Fold)}
    stack, seen = list(operands_of(s)), set()
    while stack:
        name = stack.pop()
        if name in folds:
            return True
        if name not in seen and name in makers:
            seen.add(name)
            stack.extend(operands_of(makers[name]))
    return False


def _symbols(kernel: Kernel) -> set[str]:
    """The symbolic sizes that the text of a kernel mentions, its own row count aside."""
    found: set[str] = set()

    def see(index: Affine) -> None:
        for _, stride in index.terms:
            found.update(symbols(stride))
        found.update(symbols(index.offset))

    for axis in (*kernel.rows[1:], *kernel.columns):
        found |= symbols(axis.extent)
    for p in kernel.passes:
        for s in p.body:
            if hasattr(s, "index"):
                see(s.index)
            for guard in getattr(s, "guards", ()):
                see(guard.index)
                found |= symbols(guard.low) | symbols(guard.high)
            if isinstance(s, Size):
                found |= symbols(s.dim)
    return found


def _indirect(s: Statement) -> bool:
    index = getattr(s, "index", None)
    return index is not None and any(isinstance(t, str) for t, _ in index.terms)


def _contiguous_rows(kernel: Kernel) -> bool:
    """Are the full-size values contiguous along the rows rather than along the columns?"""
    if len(kernel.rows) != 1:
        return False
    if not kernel.columns:
        return True
    along_rows = along_columns = 0
    for p in kernel.passes:
        for s in p.body:
            if isinstance(s, (Load, Store)) and not _indirect(s):
                strides = {t: stride for t, stride in s.index.terms}
                if kernel.rows[0] in strides and kernel.columns[-1] in strides:
                    along_rows += strides[kernel.rows[0]] == 1
                    along_columns += strides[kernel.columns[-1]] == 1
    return along_rows > along_columns


def _standing(kernel: Kernel) -> set[str]:
    """Row values that outlive the pass that makes them."""
    makers: dict[str, int] = {}
    found: set[str] = set()
    for position, p in enumerate(kernel.passes):
        for s in p.body:
            if isinstance(s, Fold):
                makers[s.target] = -1
            elif hasattr(s, "target") and kernel.values[s.target].kind == "row":
                makers[s.target] = position
            for name in operands_of(s):
                if name in makers and makers[name] != position:
                    found.add(name)
    return found | {n for n, p in makers.items() if p == -1}


def _read_across(passes: list[Pass]) -> frozenset[str]:
    """Values that another pass than their own reads."""
    makers: dict[str, int] = {}
    found: set[str] = set()
    for position, p in enumerate(passes):
        mine = {getattr(s, "target", None) for s in p.body}
        for s in p.body:
            for name in operands_of(s):
                if name not in mine and name in makers:
                    found.add(name)
        makers.update({name: position for name in mine if name is not None})
    return frozenset(found)


def _needed(body: list[Statement]) -> list[Statement]:
    """The statements that a fold, gather or store of the body depends on."""
    wanted: set[str] = set()
    kept: list[Statement] = []
    for s in reversed(body):
        if isinstance(s, (Fold, Gather, Store)) or getattr(s, "target", None) in wanted:
            wanted.update(operands_of(s))
            kept.append(s)
    return kept[::-1]


def _needed_for(body: Iterable[Statement], operand: str) -> list[Statement]:
    """The statements of a pass that `operand` depends on."""
    wanted = {operand}
    kept: list[Statement] = []
    for s in reversed(list(body)):
        if getattr(s, "target", None) in wanted and not isinstance(s, Fold):
            wanted.update(operands_of(s))
            kept.append(s)
    return kept[::-1]


def print_kernel(kernel: Kernel, aliased: frozenset[str] = frozenset()) -> tuple[str, Signature]:
    """The C text of a kernel and how to call it.

    `aliased` buffers share memory with another one (an update in place) and are not `restrict`.
    """
    return _Printer(kernel, aliased).text()


def size_expression(dim: Dim) -> str:
    """A dimension in C."""
    return c_expression(dim)


def axis_names(axes: Iterable[Axis]) -> list[str]:
    """Names of the loops."""
    return [axis.name for axis in axes]
