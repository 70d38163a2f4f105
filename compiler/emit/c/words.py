"""The words of the C printer: statements, addresses, arguments, and the frame of a kernel
function.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ...ops.maps import SPELLINGS
from ..expressions import Writer, fold_single_uses
from ..loops import (
    Affine,
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
)
from ..names import c_expression, size_name
from .flow import contiguous_rows, is_scalar, size_symbols, standing_values

TYPE = {"f32": "float", "f64": "double", "i32": "int", "i64": "long", "bool": "int"}
STORED = {**TYPE, "bool": "unsigned char"}
TYPE |= {"bf16": "float", "f16": "float"}  # rounded: nothing lies in memory in 16 bits


@dataclass(frozen=True, slots=True)
class Signature:
    """How to call a printed kernel: sizes by symbol, random streams, one pointer a buffer.

    `streams` are numbers of the kernel's streams, so that layers with dropout share a text.
    `memory`: it wants the thread's scratch and planes.
    """

    name: str
    sizes: tuple[str, ...]
    first: bool
    buffers: tuple[str, ...]
    streams: tuple[int, ...]
    memory: bool = False


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


ROUNDED = {"bf16": "weft_bf16", "f16": "weft_f16"}
"""The functions that round a float to the nearest number of fewer bits."""

_BY_TYPE = {
    "maximum": "({0} > {1} ? {0} : {1})",
    "minimum": "({0} < {1} ? {0} : {1})",
    "abs": "({0} < 0 ? -({0}) : {0})",
    "sign": "(({0} > 0) - ({0} < 0))",
    "floordiv": "weft_floordiv_int({0}, {1})",
    "mod": "weft_mod_int({0}, {1})",
    "where": "({0} ? {1} : {2})",
}


class Words:
    """How statements, loads and the function itself are written; `loops` is the subclass's."""

    def __init__(self, kernel: Kernel, aliased: frozenset[str]) -> None:
        self.kernel = kernel
        self.aliased = aliased
        self.writer = Writer(self.spell, self.load, literal)
        self.lines: list[str] = []
        self.chunk = kernel.rows[0] if kernel.rows else None
        self.over_rows = contiguous_rows(kernel)
        self.row_loads = {
            s.target: s
            for p in kernel.passes
            for s in p.body
            if isinstance(s, Load) and kernel.values[s.target].kind == "row" and self.close(s)
        }
        standing = standing_values(kernel) - set(self.row_loads) if self.over_rows else ()
        self.panels = frozenset(standing)
        self.leads: dict[str, str] = {}
        self.streams: dict[int, str] = {}
        self.tables: dict[str, str] = {}
        self.declared: list[str] = []
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

    def close(self, load: Load) -> bool:
        """Do the elements of neighbouring rows lie side by side, cheap to read again?"""
        steps = [stride for term, stride in load.index.terms if term == self.chunk]
        return steps in ([], [1])

    def lead(self, text: str) -> str:
        """A stride; one that is an expression is computed once and named."""
        if text.replace("_", "").isalnum():
            return text
        if text not in self.leads:
            self.leads[text] = f"lead_{len(self.leads) + 1}" if self.leads else "lead"
        return self.leads[text]

    def table(self, kind: str, numbers: list[str]) -> str:
        """The name of an array of numbers, which stands at the head of the function."""
        text = f"[{len(numbers)}] = {{{', '.join(numbers)}}}"
        key = f"{kind} {text}"
        if key not in self.tables:
            name = f"weft_table_{len(self.tables) + 1}"
            self.tables[key] = name
            self.declared.append(f"    static const {kind} {name}{text};")
        return self.tables[key]

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
        if let.function == "table":
            kind = TYPE[self.kernel.values[let.target].dtype]
            return f"{self.table(kind, operands[1:])}[{operands[0]}]"
        if let.function == "cast":
            dtype = self.kernel.values[let.target].dtype
            if dtype in ROUNDED:
                return f"{ROUNDED[dtype]}({operands[0]})"
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
        index = self.index(s.index, absolute=True)
        stream = self.streams.setdefault(s.stream, f"stream_{len(self.streams) + 1}")
        return f"weft_{s.kind}(seed, step, {stream}, (uint64_t)({index}))"

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
        scalars = [
            s for p in kernel.passes if not p.over_columns for s in p.body if is_scalar(kernel, s)
        ]
        uniform = {getattr(s, "target", "") for s in scalars}
        self.body(scalars, 1, kept=uniform)
        passes = [
            p if p.over_columns else Pass(False, tuple(s for s in p.body if s not in scalars))
            for p in kernel.passes
        ]
        passes = [p for p in passes if p.body]
        self.loops(passes)
        leads = [f"    const long {name} = {text};" for text, name in self.leads.items()]
        text = "\n".join([*self.declared, *leads, *self.lines])
        sizes = sorted(size_symbols(kernel))
        first = "first" in text
        arguments = ["const long rows"] + (["const long first"] if first else [])
        arguments += [f"const long {size_name(s)}" for s in sizes]
        drawn = ["seed", "step", *self.streams.values()] if self.streams else []
        arguments += [f"const uint32_t {name}" for name in drawn]
        arguments += [self.argument(b) for b in kernel.buffers]
        head = self.heading()
        head += [f"WEFT_KERNEL void {kernel.name}({', '.join(arguments)})", "{"]
        buffers = tuple(b.name for b in kernel.buffers)
        signature = Signature(kernel.name, tuple(sizes), first, buffers, tuple(self.streams))
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

    def open_columns(self, depth: int, clause: str, *, simd: bool = True) -> int:
        for position, axis in enumerate(self.kernel.columns):
            if simd and position == len(self.kernel.columns) - 1:
                self.emit(f"#pragma omp simd{clause}", depth)
            self.emit(self.loop(axis.name, c_expression(axis.extent)), depth)
            depth += 1
        return depth

    def close_columns(self, depth: int) -> None:
        for position in reversed(range(len(self.kernel.columns))):
            self.emit("}", depth + position)

    @staticmethod
    def loop(name: str, extent: str) -> str:
        """The head of a loop from 0 to `extent`."""
        return f"for (long {name} = 0; {name} < {extent}; ++{name}) {{"

    def loops(self, passes: list[Pass]) -> None:
        """Write the loop nest of the passes."""
        raise NotImplementedError


def plus(sums: list[Gather]) -> str:
    return f" reduction(+ : {', '.join(s.buffer + '_sum' for s in sums)})" if sums else ""
