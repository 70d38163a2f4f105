"""One stage of the step function: panels of rows, and in each panel the kernels in their order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from ...plan.launch import EVERY, ONCE, SHARED, Launch
from ...plan.product import Product
from ...plan.strips import Strip
from ..names import c_expression
from .call import Call, place_in, walked
from .printer import STORED
from .stage_calls import StageCalls


class StageWriter(StageCalls):
    """Writes one stage."""

    def text(self, depth: int) -> list[str]:
        """The lines of the stage."""
        if self.stage.mode == EVERY:
            self.emit("/* every thread for itself */", depth)
            self._whole(depth)
        elif self.stage.mode == SHARED:
            for call in self.calls:
                if call.launch.finishes is not None:
                    self.emit(self._finish(call.launch, "me, size"), depth)
                else:
                    self._scatter(call, "me, size", depth)
                self._lap(call, depth)
        elif self.stage.mode == ONCE:
            self.emit("if (me == 0) {", depth)
            self._whole(depth + 1)
            self.emit("}", depth)
        else:
            self._panels(depth)
        return self.lines

    # ---- whole values --------------------------------------------------------------------------

    def alone(self) -> list[str]:
        """The stage within a function of its own, which one thread calls."""
        self._whole(0)
        return self.lines

    def _whole(self, depth: int) -> None:
        self._windows(depth)
        until = -1
        for position, call in enumerate(self.calls):
            at_once = self.beside.get(call.launch.heavy) if call.launch.heavy is not None else None
            if at_once is not None:
                self.emit(f"if (!({at_once})) {{", depth)
                depth, until = depth + 1, position + 1
            for value in sorted(call.launch.summed):
                if not self._one_product(value):
                    self._clear(value, self.names[value], depth)
            if call.launch.finishes is not None:
                self.emit(self._finish(call.launch, "0, 1"), depth)
                self._lap(call, depth)
            else:
                self._call(call, c_expression(call.launch.domain), depth)
            if position == until:
                depth -= 1
                self.emit("}", depth)

    def _finish(self, launch: Launch, who: str) -> str:
        """Add the partial sums of a value in order."""
        value = launch.finishes
        assert value is not None
        name, walk = self.names[value], self.walks[value]
        node = self.values.graph[value]
        finish = "weft_finish" if node.dtype == "f32" else "weft_finish_int"
        if node.op == "moments":
            lead = c_expression(self.homes[value].layout.strides[0])
            channels = f"{walk.parts}, {c_expression(walk.stride)}, {node.shape[1]}, {lead}"
            return f"weft_finish_moments({channels}, {name}_parts, {name}, {who});"
        sizes = f"{walk.parts}, {c_expression(walk.stride)}, {c_expression(walk.span)}"
        arguments = f"{sizes}, {name}_parts, {name}, {who}"
        return f"{finish}({arguments});"

    def _clear(self, value: int, pointer: str, depth: int) -> None:
        """A sum starts at zero."""
        kind = STORED[self.values.graph[value].dtype]
        span = _tight(c_expression(self.homes[value].layout.span))
        size = f"sizeof({kind})" if span == "1" else f"{span} * sizeof({kind})"
        self.emit(f"memset({pointer}, 0, {size});", depth)

    # ---- panels --------------------------------------------------------------------------------

    def _panels(self, depth: int) -> None:
        domain, panel = c_expression(self.stage.domain), self.walk.panel
        summed = sorted(self.stage.summed)
        literal = isinstance(self.stage.domain, int)
        chunks = self.walk.chunks if literal else "chunks"
        self.emit(f"{{   /* panels of {panel} of {domain} */", depth)
        inner = depth + 1
        self._windows(inner)
        if not literal:
            self.emit(f"const long chunks = {self.walk.chunks};", inner)
        share, begin, end = "chunk", self._border("me", chunks), self._border("me + 1", chunks)
        if summed and not literal:
            self.emit(f"const long parts = {self.walk.parts};", inner)
            self.emit(
                "for (long part = me * parts / size; part < (me + 1) * parts / size; ++part) {",
                inner,
            )
            inner += 1
            share, begin, end = "part", "part * chunks / parts", "(part + 1) * chunks / parts"
            self._sums(summed, share, inner)
        self._locals(inner)
        if self._alone is not None:
            self._joined(self._alone, begin, end, inner)
        else:
            self.emit(f"for (long chunk = {begin}; chunk < {end}; ++chunk) {{", inner)
            self.emit(f"const long first = chunk * {panel}, rows = {self._rows()};", inner + 1)
        if summed and literal:
            self._sums(summed, share, inner + 1)
        for strip, calls in groupby(self.calls, lambda call: self.strips.get(call.launch)):
            if strip is not None:
                self._strip(strip, calls, inner + 1)
                continue
            for call in calls:
                self._call(call, "rows", inner + 1)
        while inner >= depth:
            self.emit("}", inner)
            inner -= 1

    def _strip(self, strip: Strip, calls: Iterable[Call], depth: int) -> None:
        """Launches that walk the positions of each sample, a strip at a time."""
        every, most = strip.positions, strip.rows
        self.emit("for (long sample = first; sample < first + rows; ++sample)", depth)
        self.emit(f"for (long strip = 0; strip < {every}; strip += {most}) {{", depth + 1)
        some = f"{every} - strip < {most} ? {every} - strip : {most}"
        self.emit(f"const long positions = {most if every % most == 0 else some};", depth + 2)
        self.own = frozenset(strip.own)
        for call in calls:
            self.walking = strip.walks[call.launch]
            self._call(call, "positions", depth + 2)
        self.walking = None
        self.emit("}", depth + 1)

    def _joined(self, p: Product, begin: str, end: str, depth: int) -> None:
        """The loop over the panels of a product, joined where it is tiled (products.h)."""
        domain, panel = self.stage.domain, self.walk.panel
        along = walked(p, self.calls[0].launch.letter)
        m, n = (panel * self._rest(i) if i is along else i.extent for i in (p.m, p.n))
        strides = p.m.a, p.k.a, p.k.b, p.n.b
        sizes = ", ".join(map(c_expression, (m, n, p.k.extent, *strides)))
        self.emit(f"const int tiled = weft_is_tiled({sizes});", depth)
        self.emit(
            f"const long begin = {begin}, end = {end}, joined = tiled ? end - begin : 1;", depth
        )
        self.emit("for (long chunk = begin; chunk < end; chunk += joined) {", depth)
        least = f"rest < joined * {panel} ? rest : joined * {panel}"
        self.emit(f"const long first = chunk * {panel}, rest = {domain} - first;", depth + 1)
        self.emit(f"const long rows = {least};", depth + 1)

    def _border(self, me: str, chunks: str) -> str:
        """The first chunk of a thread; threads share all domains of a level in their order."""
        if self.share is None or self.share.own == self.share.total:
            return f"{me if me == 'me' else f'({me})'} * {chunks} / size"
        each = max(1, self.share.own // int(chunks))
        return f"weft_border({me}, size, {chunks}, {self.share.before}, {each}, {self.share.total})"

    def _rows(self) -> str:
        """The rows of the chunk at hand: fewer in the last one."""
        domain, panel = self.stage.domain, self.walk.panel
        if isinstance(domain, int) and domain % panel == 0:
            return str(panel)
        text = c_expression(domain)
        return f"{text} - first < {panel} ? {text} - first : {panel}"

    def _sums(self, summed: Sequence[int], share: str, depth: int) -> None:
        """The partial sums of this share start at zero."""
        for value in summed:
            name, kind = self.names[value], STORED[self.values.graph[value].dtype]
            stride = c_expression(self.walks[value].stride)
            self.emit(
                f"{kind} *const {name}_partial = {name}_parts + {share} * {_tight(stride)};", depth
            )
            if not self._one_product(value):
                self._clear(value, f"{name}_partial", depth)

    def _locals(self, depth: int) -> None:
        for value in sorted(self.stage.writes - self.stage.summed):
            home = self.homes[value]
            if home.space == "local":
                kind = STORED[self.values.graph[value].dtype]
                self.emit(
                    f"{kind} *const {self.names[value]} = {place_in('local', home, kind)};", depth
                )


def _tight(text: str) -> str:
    return text if text.replace("_", "").isalnum() else f"({text})"
