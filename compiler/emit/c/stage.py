"""One stage of the step function: panels of rows, and in each panel the kernels one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ....spec.dims import Dim, c_expression, exact_quotient, numel
from ....spec.errors import InternalError
from ...plan.layout import LANES
from ...plan.memory import Home
from ...plan.product import Index, Product
from ...plan.schedule import Launch, Stage
from ...plan.values import Values
from ..loops import Kernel
from .printer import STORED, Signature

PARTS = 8  # shares of a sum over the batch; results never depend on the number of threads
SMALL_PANEL, LARGE_PANEL = 64, 256  # rows of a panel
PANEL_FLOATS = 1 << 16  # what a panel may hold: a quarter of a typical second-level cache
UPDATE = 8192  # elements of a chunk of a flat arena


@dataclass(frozen=True, slots=True)
class Call:
    """A launch with the kernel or product that carries it out."""

    launch: Launch
    kernel: tuple[Kernel, Signature] | None
    product: Product | None
    places: tuple[str, ...]


def panel_of(domain: Dim, nominal: int, row: int, summed: bool) -> int:
    """Rows of a chunk of a domain of `nominal` rows; `row` floats of each live in the panel.

    A panel fits the second-level cache, fills the register tiles of the products, and leaves a chunk for
    every part of a sum.
    """
    if isinstance(domain, int):
        if domain >= 4 * UPDATE or summed:
            return UPDATE
        return max(LANES, _lanes(-(-domain // PARTS))) if domain > LANES else max(domain, 1)
    if nominal < 4 * SMALL_PANEL:
        return max(LANES, _lanes(-(-nominal // 2)))
    fits = PANEL_FLOATS // max(row, 1) // LANES * LANES
    return max(SMALL_PANEL, min(LARGE_PANEL, fits, _lanes(-(-nominal // PARTS))))


def _lanes(rows: int) -> int:
    return -(-rows // LANES) * LANES


class StageWriter:
    """Writes the loop of a stage.  `pointer` gives the text of a value's address."""

    def __init__(
        self,
        stage: Stage,
        calls: Sequence[Call],
        panel: int,
        homes: Mapping[int, Home],
        names: Mapping[int, str],
        values: Values,
    ) -> None:
        self.stage = stage
        self.calls = calls
        self.panel = panel
        self.homes = homes
        self.names = names
        self.values = values
        self.partials = stage.summed
        self.lines: list[str] = []

    def emit(self, text: str, depth: int) -> None:
        self.lines.append("    " * depth + text)

    # ---- addresses ---------------------------------------------------------------------------

    def pointer(self, value: int, step: Dim) -> str:
        """A value's first element for the panel at hand; rows lie `step` elements apart."""
        name = self.names[value]
        if value in self.partials:
            return f"{name}_partial" + self._shift(step)
        if self.homes[value].space == "local" or step == 0 or self.single:
            return name
        return name + self._shift(step)

    def _shift(self, step: Dim) -> str:
        if step == 0 or self.single:
            return ""
        text = c_expression(step)
        return " + first" if text == "1" else f" + first * {text if text.isalnum() else f'({text})'}"

    @property
    def single(self) -> bool:
        """The whole domain is one chunk."""
        return isinstance(self.stage.domain, int) and self.stage.domain <= self.panel

    # ---- the loop ------------------------------------------------------------------------------

    def text(self, depth: int, number: int) -> list[str]:
        domain = c_expression(self.stage.domain)
        summed = sorted(self.partials)
        if self.single:
            owner = f"if (me == {number} % size) {{" if number else "if (me == 0) {"
            self.emit(owner, depth)
            self._sums(summed, depth + 1)
            self._locals(depth + 1)
            self.emit(f"const long rows = {domain};", depth + 1)
            if any(c.kernel and c.kernel[1].first for c in self.calls):
                self.emit("const long first = 0;", depth + 1)
            self._calls(depth + 1)
            self.emit("}", depth)
            return self.lines
        self.emit(f"{{   /* panels of {self.panel} rows of {domain} */", depth)
        self.emit(f"const long chunks = ({domain} + {self.panel - 1}) / {self.panel};", depth + 1)
        inner = depth + 1
        if summed:
            self.emit(f"const long parts = weft_parts({domain}, {self.panel}, {PARTS});", inner)
            self.emit("for (long part = me * parts / size; part < (me + 1) * parts / size; ++part) {", inner)
            inner += 1
            self._sums(summed, inner)
            begin, end = "part * chunks / parts", "(part + 1) * chunks / parts"
        else:
            begin, end = "me * chunks / size", "(me + 1) * chunks / size"
        self._locals(inner)
        self.emit(f"for (long chunk = {begin}; chunk < {end}; ++chunk) {{", inner)
        self.emit(
            f"const long first = chunk * {self.panel}, rows = {domain} - first < {self.panel} "
            f"? {domain} - first : {self.panel};",
            inner + 1,
        )
        self._calls(inner + 1)
        self.emit("}", inner)
        if summed:
            self.emit("}", inner - 1)
        self.emit("}", depth)
        return self.lines

    def _sums(self, summed: Sequence[int], depth: int) -> None:
        """The partial sums of this share start at zero."""
        for value in summed:
            span = c_expression(self.homes[value].layout.span)
            place = f"{self.names[value]}_parts + part * {_tight(span)}" if not self.single else self.names[value]
            kind = STORED[self.values.graph[value].dtype]
            self.emit(f"{kind} *const {self.names[value]}_partial = {place};", depth)
            self.emit(f"memset({self.names[value]}_partial, 0, {_tight(span)} * sizeof({kind}));", depth)

    def _locals(self, depth: int) -> None:
        for value in sorted(self.stage.writes):
            home = self.homes[value]
            if home.space == "local":
                kind = STORED[self.values.graph[value].dtype]
                cast = "" if kind == "float" else f"({kind} *)"
                place = f"(local + {c_expression(home.offset)})" if cast else f"local + {c_expression(home.offset)}"
                self.emit(f"{kind} *const {self.names[value]} = {cast}{place};", depth)

    def _calls(self, depth: int) -> None:
        for call in self.calls:
            if call.kernel is not None:
                self.emit(self._kernel(*call.kernel), depth)
            elif call.product is not None:
                self._product(call, call.product, depth)
            else:
                self._scatter(call, depth)

    def _kernel(self, kernel: Kernel, signature: Signature) -> str:
        arguments = ["rows"] + (["first"] if signature.first else []) + list(signature.sizes)
        arguments += [self.pointer(b.value, b.step) for b in kernel.buffers]
        return f"{signature.name}({', '.join(arguments)});"

    # ---- products ------------------------------------------------------------------------------

    def _product(self, call: Call, p: Product, depth: int) -> None:
        walked = self._walked(p, call.launch.letter)
        for i in p.outer:
            extent = "rows" if i is walked else c_expression(i.extent)
            self.emit(f"for (long {i.letter} = 0; {i.letter} < {extent}; ++{i.letter})", depth)
            depth += 1
        sides = []
        for key, value in (("a", p.a), ("b", p.b), ("c", p.c)):
            step: Dim = getattr(walked, key) * self._rest(walked) if walked is not None else 0
            place = self.pointer(self.values.base(value), step)
            for i in p.outer:
                stride = getattr(i, key)
                if stride != 0:
                    place += f" + {i.letter} * {_tight(c_expression(stride))}"
            sides.append(place)
        m, n, k = (self._extent(i, walked) for i in (p.m, p.n, p.k))
        a, b, c = sides
        accumulate = 1 if p.c in self.partials else 0
        where = f"  /* {call.places[-1]} */" if call.places else ""
        self.emit(
            f"weft_gemm({m}, {n}, {k}, {a}, {c_expression(p.m.a)}, {c_expression(p.k.a)}, {b}, {c_expression(p.k.b)}, "
            f"{c_expression(p.n.b)}, {c}, {c_expression(p.m.c)}, {accumulate}, scratch);{where}",
            depth,
        )

    def _walked(self, p: Product, letter: str) -> Index | None:
        """The loop of the product that runs along the stage's domain."""
        if self.single or not letter:
            return None
        return next((i for i in p.loops if i.letter.startswith(letter)), None)

    def _rest(self, i: Index) -> Dim:
        """What the walked index holds beyond the domain: the extents merged into it."""
        rest = exact_quotient(i.extent, self.stage.domain)
        if rest is None:
            raise InternalError(f"{i.extent} is not walked along {self.stage.domain}")
        return rest

    def _extent(self, i: Index, walked: Index | None) -> str:
        if i is not walked:
            return c_expression(i.extent)
        rest = c_expression(self._rest(i))
        return "rows" if rest == "1" else f"rows * {_tight(rest)}"

    def _scatter(self, call: Call, depth: int) -> None:
        """table[indices[i]] += updates[i], in order; the rows of both are contiguous."""
        node = self.values.graph[call.launch.key]
        indices, updates = (self.values.base(o) for o in node.operands)
        count = c_expression(numel(self.values.graph[node.operands[0]].shape))
        width = c_expression(numel(node.shape[1:]))
        table, entries = self.names[node.id], c_expression(node.shape[0])
        self.emit(
            f"weft_scatter_add({entries}, {width}, {count}, {self.names[indices]}, {self.names[updates]}, {table});",
            depth,
        )


def _tight(text: str) -> str:
    return text if text.replace("_", "").isalnum() else f"({text})"
