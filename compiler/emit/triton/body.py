"""The statements of a kernel as lines of Triton: loads, arithmetic, folds within a tile, stores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from ....spec.dims import Dim
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
    Let,
    Load,
    Position,
    Size,
    Statement,
    Store,
)
from .axes import quad_stride
from .kernel import ELEMENT_TYPES, stream_name, widened
from .spelling import both, dim_text, literal, product
from .template import WIDTH, call

INTEGERS = ("i32", "i64")
LOWEST = {"f32": float("-inf"), "i32": -2147483648, "i64": -9223372036854775808}
HIGHEST = {"f32": float("inf"), "i32": 2147483647, "i64": 9223372036854775807}

SPELLED = {"sin": "sine({0})", "cos": "cosine({0})"}
"""Where Triton's own function goes through local memory."""


@dataclass(frozen=True, slots=True)
class Setting:
    """The names around the statements.

    `in_row` and `in_column` are masks, None where they could never be false; `rows` and `columns`
    name the extents of the tile; `quad` is the number of its first column, divided by 4; `symbols`
    maps symbolic sizes to arguments; `wide` tells that offsets take 64 bits.
    """

    in_row: str | None
    in_column: str | None
    rows: str
    columns: str
    quad: str
    symbols: Mapping[str, str]
    wide: bool = False
    indent: int = 4


class Body:
    """Writes statements.  `product`: the buffer whose value stands in registers already."""

    def __init__(
        self,
        kernel: Kernel,
        setting: Setting,
        gather: Callable[[Gather, str], list[str]],
        product: str | None = None,
    ) -> None:
        self.kernel = kernel
        self.setting = setting
        self.gather = gather
        self.product = product
        self.writer = Writer(self.spell, self.load, literal)
        self.clean: set[str] = set()
        self.streams: dict[int, None] = {}

    # ---- masks and addresses -------------------------------------------------------------------

    def mask(self, kind: str) -> str | None:
        """The mask of a value of this kind."""
        s = self.setting
        return both(
            s.in_row if kind in ("full", "row") else None,
            s.in_column if kind in ("full", "column") else None,
        )

    def dim(self, dim: Dim) -> str:
        return dim_text(dim, self.setting.symbols)

    def address(self, index: Affine) -> str:
        """An index as text; "0" for the first element."""
        parts: list[str] = []
        for term, stride in index.terms:
            name = self.writer.operand(term, tight=False) if isinstance(term, str) else term.name
            if isinstance(term, str) and self.setting.wide:
                name = f"{name}.to(tl.int64)"
            parts.append(product(name, self.dim(stride)))
        if index.offset != 0 or not parts:
            parts.append(self.dim(index.offset))
        return " + ".join(parts).replace("+ -", "- ")

    def kind(self, index: Affine) -> str:
        """What an index varies over."""
        kinds = set()
        for term, _ in index.terms:
            if isinstance(term, str):
                kinds.add(self.kernel.values[term].kind)
            elif term in self.kernel.columns or term in self.kernel.rows:
                kinds.add("column" if term in self.kernel.columns else "row")
        if "full" in kinds or {"row", "column"} <= kinds:
            return "full"
        return next((k for k in ("row", "column") if k in kinds), "scalar")

    def pointer(self, buffer: str, index: Affine, kind: str) -> str:
        """Addresses of the shape of a value of `kind`."""
        at = self.address(index)
        text = f"{buffer}_ptr" if at == "0" else f"{buffer}_ptr + {at}"
        own = self.kind(index)
        missing = {"full": {"row", "column"}}.get(kind, {kind} - {"scalar"}) - {
            "full": {"row", "column"}
        }.get(own, {own})
        return text + "".join(f" + 0 * {self.any_axis(m)}" for m in sorted(missing))

    def any_axis(self, word: str) -> str:
        group = self.kernel.rows if word == "row" else self.kernel.columns
        return group[-1].name

    def guard(self, guard: Guard) -> str | None:
        """`low <= index < high`, without the halves that always hold."""
        text, low, high = self.address(guard.index), self.dim(guard.low), self.dim(guard.high)
        text = f"({text})" if " " in text else text
        least, most = self.range(guard.index)
        tests = []
        if not (isinstance(least, int) and isinstance(guard.low, int) and least >= guard.low):
            tests.append(f"({text} >= {low})")
        if not (isinstance(most, int) and isinstance(guard.high, int) and most < guard.high):
            tests.append(f"({text} < {high})")
        return both(*tests)

    def range(self, index: Affine) -> tuple[object, object]:
        """The least and the greatest value of an index, None where unknown."""
        if not isinstance(index.offset, int):
            return None, None
        least: int | None = index.offset
        most: int | None = index.offset
        for term, stride in index.terms:
            if not isinstance(term, Axis) or not isinstance(stride, int) or stride < 0:
                return None, None
            reach = stride * (term.extent - 1) if isinstance(term.extent, int) else None
            most = None if most is None or reach is None else most + reach
        return least, most

    # ---- expressions ---------------------------------------------------------------------------

    def dtype(self, operand: object) -> str:
        if isinstance(operand, str):
            return self.kernel.values[operand].dtype
        return "bool" if isinstance(operand, bool) else "number"

    def spell(self, let: Let, operands: list[str]) -> str:
        """The right-hand side of a `Let`: numbers take the type they meet."""
        values, function = self.kernel.values, let.function
        target = values[let.target].dtype
        known = [self.dtype(o) for o in let.operands]
        meet = (
            target
            if target != "bool"
            else next((d for d in known if d not in ("number", "bool")), "f32")
        )
        texts = list(operands)
        arithmetic = function not in ("where", "and", "or", "not", "cast")
        for position, operand in enumerate(let.operands):
            if not isinstance(operand, str):
                text = literal(operand, meet if meet in INTEGERS else "f32")
                signed = text.startswith("-") and function in ("add", "sub")
                texts[position] = f"({text})" if signed else text
            elif known[position] == "bool" and arithmetic:
                inner = (
                    texts[position]
                    if texts[position].isidentifier() or texts[position].startswith("(")
                    else f"({texts[position]})"
                )
                texts[position] = f"{inner}.to(tl.int32)"
        if function == "table":
            return _table(texts[0], texts[1:])
        if function == "cast":
            text = (
                texts[0] if isinstance(let.operands[0], str) else f"tl.cast({texts[0]}, tl.float32)"
            )
            return f"{text} != 0" if target == "bool" else f"{text}.to({ELEMENT_TYPES[target]})"
        return SPELLED.get(function, SPELLINGS[function].triton).format(*texts)

    def load(self, load: Load) -> str:
        return " ".join(self.load_lines(load, ""))

    def load_lines(self, s: Load, head: str) -> list[str]:
        """`target = tl.load(...)`; narrow floats become float32 on the spot."""
        kind, dtype = self.kernel.values[s.target].kind, self.kernel.values[s.target].dtype
        mask = both(self.mask(kind), *map(self.guard, s.guards))
        other = literal(s.other, dtype) if dtype != "bool" else str(int(s.other))
        arguments = [
            self.pointer(s.buffer, s.index, kind),
            *([f"mask={mask}", f"other={other}"] if mask else []),
        ]
        stored = next(b.dtype for b in self.kernel.buffers if b.name == s.buffer)
        tail = ")" + widened(stored)
        return call(f"{head}tl.load", arguments, self.setting.indent, tail)

    # ---- statements ----------------------------------------------------------------------------

    def lines(self, body: Iterable[Statement], kept: Iterable[str] = ()) -> list[str]:
        """Straight-line code; what is read elsewhere must be `kept`."""
        body = list(body)
        loads = {s.target for s in body if isinstance(s, Load)}
        stay, self.writer.nested = fold_single_uses(body, {*kept, *loads})
        found: list[str] = []
        for s in stay:
            found += self.statement(s)
        return found

    def statement(self, s: Statement) -> list[str]:
        if isinstance(s, Load):
            if s.buffer == self.product:
                return []
            if not s.guards or s.other == 0.0:
                self.clean.add(s.target)
            return self.load_lines(s, f"{s.target} = ")
        if isinstance(s, Let):
            return self.assigned(s.target, self.writer.expression(s))
        if isinstance(s, Position):
            at = self.address(s.index)
            text = at if s.index.terms else f"tl.full([], {at}, tl.int32)"
            return [
                f"{s.target} = ({text}).to(tl.int32)"
                if self.setting.wide
                else f"{s.target} = {text}"
            ]
        if isinstance(s, Size):
            return [f"{s.target} = {self.size(s)}"]
        if isinstance(s, Draw):
            self.streams[s.stream] = None
            return [f"{s.target} = {self.draw(s)}"]
        if isinstance(s, Fold):
            return self.fold(s)
        if isinstance(s, Gather):
            return self.gather(s, self.guarded(s.operand, over="row"))
        return self.store(s)

    def assigned(self, target: str, text: str) -> list[str]:
        """A definition, broken where it is too long for a line."""
        line = f"{target} = {text}"
        if len(line) + self.setting.indent <= WIDTH:
            return [line]
        outer = _outer_call(text)
        if outer is None:
            return [f"{target} = (", f"    {text}", ")"]
        return call(f"{target} = {outer[0]}", outer[1], self.setting.indent)

    def size(self, s: Size) -> str:
        if isinstance(s.dim, int):
            return f"tl.full([], {float(s.dim)}, tl.float32)"
        return f"tl.cast({self.dim(s.dim)}, tl.float32)"

    def draw(self, s: Draw) -> str:
        stride, stream = quad_stride(self.kernel, s), stream_name(s.stream)
        if stride is None or not self.setting.columns:
            return f"philox_{s.kind}(seed, step, {stream}, {self.address(s.index)})"
        row = next(
            (product(t.name, str(stride // 4)) for t, _ in s.index.terms if t in self.kernel.rows),
            "",
        )
        quad = " + ".join(filter(None, (row, self.setting.quad))) or "tl.zeros([1, 1], tl.int32)"
        tile = f"{self.setting.rows}, {self.setting.columns}"
        return f"philox_{s.kind}4(seed, step, {stream}, {quad}, {tile})"

    def store(self, s: Store) -> list[str]:
        if isinstance(s.operand, str):
            kind = self.kernel.values[s.operand].kind
            text = self.writer.value_of(s)
        else:
            kind, text = "scalar", literal(s.operand, self.buffer_dtype(s.buffer))
        own = self.kind(s.index)
        wide = own if {kind, own} != {"row", "column"} and kind != "full" else "full"
        mask = self.mask(wide)
        arguments = [
            self.pointer(s.buffer, s.index, wide),
            text,
            *([f"mask={mask}"] if mask else []),
        ]
        return call("tl.store", arguments, self.setting.indent)

    def buffer_dtype(self, buffer: str) -> str:
        return next(b.dtype for b in self.kernel.buffers if b.name == buffer)

    # ---- folds within the tile -----------------------------------------------------------------

    def guarded(self, name: str, *, over: str, fill: float | int = 0) -> str:
        """A value of full shape that is `fill` outside the tile's share of what is folded."""
        kind, dtype = self.kernel.values[name].kind, self.kernel.values[name].dtype
        mask = self.setting.in_row if over == "row" else self.setting.in_column
        text = self.writer.operand(name, tight=False)
        spread = kind in ("scalar", "column" if over == "row" else "row")
        if not spread and (mask is None or (name in self.clean and fill == 0)):
            return text
        mask = mask or f"{self.any_axis(over)} >= 0"
        other = literal(fill if dtype in INTEGERS else float(fill), dtype)
        return f"tl.where({mask}, {text}, {other})"

    def inside(self) -> str:
        """Which columns of the tile are there, also where all of them are."""
        return self.setting.in_column or f"{self.any_axis('column')} >= 0"

    def fill_of(self, fold: Fold) -> float | int:
        dtype = self.kernel.values[fold.operand].dtype
        if fold.function in ("max", "argmax", "logsumexp"):
            return LOWEST.get(dtype, float("-inf"))
        return HIGHEST.get(dtype, float("inf")) if fold.function in ("min", "argmin") else 0

    def fold(self, s: Fold) -> list[str]:
        x = self.guarded(s.operand, over="column", fill=self.fill_of(s))
        return self.assigned(s.target, self.folded(s, x))

    def folded(self, s: Fold, x: str) -> str:
        """The fold of a block along its columns: [rows, 1], or a number where there are no rows."""
        scalar = self.kernel.values[s.target].kind == "scalar"
        real = self.kernel.values[s.operand].dtype not in INTEGERS
        if s.function == "sum" or (s.function in ("max", "min") and not real):
            return (
                f"tl.{s.function}({x})"
                if scalar
                else f"tl.{s.function}({x}, axis=1, keep_dims=True)"
            )
        if s.function in ("argmax", "argmin"):
            text = f"row_{s.function}({x}, {self.any_axis('column')})"
        elif s.function == "squares":
            text = f"row_squares({x}, {self.inside()})"
        else:
            text = f"row_{s.function}({x})"
        return f"tl.sum({text})" if scalar else text


def _outer_call(text: str) -> tuple[str, list[str]] | None:
    """`f(a, g(b, c))` -> f and its arguments; None where the text is more than one call."""
    head, bracket, rest = text.partition("(")
    if (
        not bracket
        or not head.replace(".", "").replace("_", "").isalnum()
        or not rest.endswith(")")
    ):
        return None
    arguments, depth = [""], 0
    for position, letter in enumerate(rest):
        depth += (letter in "([") - (letter in ")]")
        if depth < 0:
            return (head, [a.strip() for a in arguments]) if position == len(rest) - 1 else None
        if letter == "," and depth == 0:
            arguments.append("")
        else:
            arguments[-1] += letter
    return None


def _table(place: str, numbers: list[str]) -> str:
    """The number at a place, found by halving; neighbours that are equal count as one."""
    ends = [k + 1 for k, n in enumerate(numbers) if numbers[k + 1 : k + 2] != [n]]

    def find(first: int, last: int) -> str:
        if last - first == 1:
            return numbers[ends[first] - 1]
        middle = (first + last) // 2
        before = f"{place} < {ends[middle - 1]}"
        return f"tl.where({before}, {find(first, middle)}, {find(middle, last)})"

    return find(0, len(ends))
