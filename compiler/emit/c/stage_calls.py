"""What a stage calls: the statement of every launch, with the addresses of its values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from ....spec.dims import Dim, exact_quotient, numel
from ....spec.errors import InternalError
from ...ir.graph import Node
from ...plan.launch import BATCHED, EVERY, ONCE, PANELS, Launch, Stage, whole_operands
from ...plan.layout import row_major
from ...plan.memory import Home
from ...plan.product import Index, Product
from ...plan.strips import Even, Strip
from ...plan.values import Values
from ..loops import Kernel, start_name
from ..names import c_expression, size_name
from .call import Call, Share, Walk, walked
from .kept import Kept, multiplied
from .printer import Signature
from .windowed import call as windowed_call
from .windowed import keep as windowed_keep
from .windowed import pooled_call

LOOP = "loop_"
"""Begins the names of loops round a product, and of nothing else."""


class StageCalls:
    """A stage, its calls, and the text of each.  `pointer` gives that of a value's address."""

    def __init__(
        self,
        stage: Stage,
        calls: Sequence[Call],
        panel: int,
        homes: Mapping[int, Home],
        names: Mapping[int, str],
        values: Values,
        walks: Mapping[int, Walk],
        keeps: Mapping[int, int],
        share: Share | None = None,
        strips: Mapping[Launch, Strip] | None = None,
        kept: Mapping[int, Kept] | None = None,
        beside: Mapping[int, str] | None = None,
    ) -> None:
        self.stage = stage
        self.calls = calls
        self.walk = Walk(stage.domain, panel)
        self.homes = homes
        self.names = names
        self.values = values
        self.walks = walks
        self.keeps = keeps
        self.share = share
        self.strips = strips or {}
        self.kept = kept or {}
        self.beside = beside or {}  # by product, what makes it and the map behind it at once
        self.walking: Even | None = None  # how the launch at hand walks a strip
        self.own: frozenset[int] = frozenset()  # values of that strip alone
        self.lines: list[str] = []
        self._products = {call.product.c for call in calls if call.product is not None}
        joint = [(a, b) for a, b in pairwise(calls) if self._alone_reads(b, a)]
        self.pooled = {pool.launch: before for before, pool in joint}
        self._with_pool = {before.launch for before, _ in joint}

    def emit(self, text: str, depth: int) -> None:
        self.lines.append("    " * depth + text)

    @property
    def whole(self) -> bool:
        """Does every launch see its whole domain?"""
        return self.stage.mode in (EVERY, ONCE)

    def _alone_reads(self, call: Call, before: Call) -> bool:
        """Is it a pool of maxima that alone reads what the convolution before it makes?"""
        pool, made = call.launch.heavy, before.launch.heavy
        if pool is None or made is None or not (call.windows and before.windows):
            return False
        graph, base = self.values.graph, self.values.base
        if (graph[made].op, graph[pool].op) != ("convolve", "pool_max"):
            return False
        others = (one.launch.reads for one in self.calls if one is not call)
        reads = base(graph[pool].operands[0]) == made and self.homes[made].space == "local"
        return reads and not any(made in read for read in others)

    # ---- addresses -----------------------------------------------------------------------------

    def pointer(self, value: int, step: Dim) -> str:
        """A value's first element for the panel at hand; rows lie `step` elements apart."""
        name = self.names[value]
        if self.homes[value].space == "scalar":
            return f"&{name}"
        if self.walking is not None:
            return self._in_strip(value, *self.walking.steps[value])
        if not self.whole and value in self.stage.summed:
            return f"{name}_partial" + self._shift(step)
        return name if self.homes[value].space == "local" else name + self._shift(step)

    def _in_strip(self, value: int, sample: Dim, position: Dim) -> str:
        """A value's first element for the strip at hand."""
        name, local = self.names[value], self.homes[value].space == "local"
        if value in self.stage.summed:
            name = f"{name}_partial"
        elif local and value in self.own:
            return name
        start = "(sample - first)" if local else "sample"
        for times, step in ((start, sample), ("strip", position)):
            if step != 0:
                text = c_expression(step)
                name += f" + {times}" if text == "1" else f" + {times} * {_tight(text)}"
        return name

    def _shift(self, step: Dim) -> str:
        if step == 0 or self.whole:
            return ""
        text = c_expression(step)
        return " + first" if text == "1" else f" + first * {_tight(text)}"

    @property
    def _alone(self) -> Product | None:
        """The only product of a stage of known size, whose panels a thread may make at once."""
        (call, *more), domain = self.calls, self.stage.domain
        p = call.product
        if more or p is None or p.outer or not isinstance(domain, int) or self.stage.summed:
            return None
        if domain <= self.walk.panel:
            return None
        return p if walked(p, call.launch.letter) in (p.m, p.n) else None

    def _one_product(self, value: int) -> bool:
        """Is every part of a sum one product, which writes it?"""
        return isinstance(self.stage.domain, int) and value in self._products

    def _finish_rows(self, value: int) -> str:
        """Add the partial sums of the panel at hand."""
        name, walk = self.names[value], self.walks[value]
        step = self.homes[value].layout.strides[0]
        row, stride = _tight(c_expression(step)), c_expression(walk.stride)
        part, out = f"{name}_parts + first * {row}", self.pointer(value, step)
        return f"weft_finish({walk.parts}, {stride}, rows * {row}, {part}, {out}, 0, 1);"

    # ---- calls ---------------------------------------------------------------------------------

    def _call(self, call: Call, rows: str, depth: int) -> None:
        if call.launch in self._with_pool:
            return  # it is called by the pool that follows
        if call.launch.finishes is not None:
            self.emit(self._finish_rows(call.launch.finishes), depth)
        elif call.kernel is not None:
            self.emit(self._kernel(*call.kernel, rows), depth)
        elif call.product is not None:
            self._product(call, call.product, depth)
        elif self.values.graph[call.launch.heavy or 0].op in BATCHED:
            self._batched(call, rows, depth)
        elif self.values.graph[call.launch.heavy or 0].op == "moments":
            self._moments(call, rows, depth)
        elif self.values.graph[call.launch.heavy or 0].op == "all_reduce":
            self._all_reduce(call, depth)
        else:
            self._scatter(call, "0, 1", depth)
        self._lap(self.pooled.get(call.launch, call), depth)

    def _lap(self, call: Call, depth: int) -> None:
        """The region of a call ends here."""
        if call.lap is not None:
            self.emit(f"WEFT_LAP({call.lap});", depth)

    def _kernel(self, kernel: Kernel, signature: Signature, rows: str) -> str:
        begin = "0" if self.whole else "first"
        if self.walking is not None:
            every = self.walking.positions
            begin = f"sample * {every} + strip" if self.walking.whole else "strip"
        first = [begin] if signature.first else []
        starts = {start_name(number): str(start) for number, start in enumerate(kernel.starts)}
        sizes = (starts.get(size) or size_name(size) for size in signature.sizes)
        arguments = [rows, *first, *sizes]
        streams = [f"{kernel.streams[number]}u" for number in signature.streams]
        arguments += ["seed", "step", *streams] if streams else []
        arguments += [self.pointer(b.value, b.step) for b in kernel.buffers]
        arguments += ["scratch", "planes"] if signature.memory else []
        return f"{signature.name}({', '.join(arguments)});"

    def _product(self, call: Call, p: Product, depth: int) -> None:
        along = None if self.whole else walked(p, call.launch.letter)
        for i in p.outer:
            loop, extent = LOOP + i.letter, self._extent(i, along)
            self.emit(f"for (long {loop} = 0; {loop} < {extent}; ++{loop})", depth)
            depth += 1
        sides = []
        for key, value in (("a", p.a), ("b", p.b), ("c", p.c)):
            step: Dim = getattr(along, key) * self._rest(along) if along is not None else 0
            place = self.pointer(self.values.base(value), step)
            for i in p.outer:
                stride = getattr(i, key)
                if stride != 0:
                    place += f" + {LOOP}{i.letter} * {_tight(c_expression(stride))}"
            sides.append(place)
        m, n, k = (self._extent(i, along) for i in (p.m, p.n, p.k))
        a, b, c = sides
        again = [f"{LOOP}{i.letter} > 0" for i in p.outer if i.c == 0 and i is not along]
        accumulate = " || ".join(again) or "0"  # a letter of the sum that is a loop of its own
        if call.added or (p.c in self.stage.summed and not self._one_product(p.c)):
            accumulate = "1"
        where = f"  /* {call.places[-1]} */" if call.places else ""
        kept = self.kept.get(call.launch.heavy) if call.launch.heavy is not None else None
        if kept is not None:
            self.emit(multiplied(p, kept, m, (a, b, c), accumulate) + where, depth)
            return
        joined = self.stage.mode == PANELS and self._alone is not None
        gemm = "weft_gemm_panels(tiled, " if joined else "weft_gemm("
        if call.row is not None:
            gemm, accumulate = "weft_gemm_from_row(", self.names[call.row]
        self.emit(
            f"{gemm}{m}, {n}, {k}, {a}, {c_expression(p.m.a)}, {c_expression(p.k.a)}, "
            f"{b}, {c_expression(p.k.b)}, {c_expression(p.n.b)}, {c}, {c_expression(p.m.c)}, "
            f"{accumulate}, scratch);{where}",
            depth,
        )

    def _rest(self, i: Index) -> Dim:
        """What the walked index holds beyond the domain: the extents merged into it."""
        rest = exact_quotient(i.extent, self.stage.domain)
        if rest is None:
            raise InternalError(f"{i.extent} is not walked along {self.stage.domain}")
        return rest

    def _extent(self, i: Index, along: Index | None) -> str:
        if i is not along:
            return c_expression(i.extent)
        if self.walking is not None:
            return "positions"
        rest = c_expression(self._rest(i))
        return "rows" if rest == "1" else f"rows * {_tight(rest)}"

    def _windows(self, depth: int) -> None:
        """The geometries of the stage, and weights that are rearranged for all of its images."""
        at = 0
        for call in (call for call in self.calls if call.windows):
            node = self.values.graph[call.launch.heavy or 0]
            name = self.names[node.id]
            self.emit(f"const weft_windows windows_of_{name} = {call.windows};", depth)
            if node.id not in self.keeps:
                continue
            images, place = (
                c_expression(self.stage.domain),
                f"kept_planes + {at}" if at else "kept_planes",
            )
            weight = self.names[self.values.base(node.operands[1])]
            kept = windowed_keep(node, f"windows_of_{name}", images, weight, place)
            self.emit(f"const float *const kept_for_{name} = {kept};", depth)
            self._lap(call, depth)
            at += self.keeps[node.id]

    def _batched(self, call: Call, samples: str, depth: int) -> None:
        """A convolution, a pool or a scan of the samples at hand."""
        node = self.values.graph[call.launch.heavy or 0]
        where = f"  /* {call.places[-1]} */" if call.places else ""
        made = [node.id, *sorted(call.launch.writes - {node.id})]
        operands = [self._samples(call, node, slot) for slot in range(len(node.operands))]
        results = [self._rows_of(call, i) for i in made]
        if call.launch in self.pooled:
            text = self._pooled(self.pooled[call.launch], node, samples, results)
        elif call.loop is not None:
            name, sizes = call.loop
            arguments = ", ".join((samples, *sizes, *operands, *results))
            text = f"{name}({arguments}, scratch, planes);"
        else:
            name = self.names[node.id]
            kept = f"kept_for_{name}" if node.id in self.keeps else ""
            text = windowed_call(node, f"windows_of_{name}", samples, operands, results, kept)
        self.emit(text + where, depth)

    def _pooled(self, before: Call, pool: Node, samples: str, results: Sequence[str]) -> str:
        """A pool, and the convolution that it alone reads."""
        node = self.values.graph[before.launch.heavy or 0]
        operands = [self._samples(before, node, slot) for slot in range(len(node.operands))]
        name, between = self.names[node.id], self._rows_of(before, node.id)
        kept = f"kept_for_{name}" if node.id in self.keeps else "0"
        windows = f"windows_of_{name}", f"windows_of_{self.names[pool.id]}"
        return pooled_call(samples, windows, (*operands, kept, between), results)

    def _rows_of(self, call: Call, value: int) -> str:
        along = call.launch.dimension(value)
        return self.pointer(value, self.homes[value].layout.strides[along] if along == 0 else 0)

    def _samples(self, call: Call, node: Node, slot: int) -> str:
        """An operand's samples at hand; under a shape of its own it has rows of its own."""
        graph, o = self.values.graph, node.operands[slot]
        value = self.values.base(o)
        regrouped = graph[o].shape[:1] != graph[value].shape[:1]
        if not regrouped or slot in whole_operands(node):
            return self._rows_of(call, value)
        return self.pointer(value, row_major(graph[o].shape).strides[0])

    def _moments(self, call: Call, rows: str, depth: int) -> None:
        """Merge those of the rows at hand into what is there."""
        node = self.values.graph[call.launch.heavy or 0]
        source = self.values.base(node.operands[0])
        _, *inner, channels = self.values.graph[source].shape
        pixels = _tight(c_expression(numel(inner)))
        x = self.pointer(source, self.homes[source].layout.strides[0])
        out, lead = self.pointer(node.id, 0), c_expression(self.homes[node.id].layout.strides[0])
        where = f"  /* {call.places[-1]} */" if call.places else ""
        self.emit(f"weft_moments({rows} * {pixels}, {channels}, {lead}, {x}, {out});{where}", depth)

    def _all_reduce(self, call: Call, depth: int) -> None:
        """The sum of what all processes have."""
        node = self.values.graph[call.launch.heavy or 0]
        ours = self.pointer(self.values.base(node.operands[0]), 0)
        count, whole = c_expression(numel(node.shape)), self.pointer(node.id, 0)
        where = f"  /* {call.places[-1]} */" if call.places else ""
        self.emit(f"weft_all_reduce({count}, {ours}, {whole});{where}", depth)

    def _scatter(self, call: Call, who: str, depth: int) -> None:
        """table[indices[i]] += updates[i], in order; the updates are contiguous."""
        node = self.values.graph[call.launch.heavy or 0]
        indices, updates = (self.names[self.values.base(o)] for o in node.operands)
        count = c_expression(numel(self.values.graph[node.operands[0]].shape))
        width = c_expression(numel(node.shape[1:]))
        (made,) = call.launch.writes
        table, entries = self.names[made], c_expression(node.shape[0])
        strides = self.homes[made].layout.strides
        row, column = strides if len(strides) == 2 else (strides[0], 1)
        steps = f"{c_expression(row)}, {c_expression(column)}"
        self.emit(
            f"weft_scatter_add({entries}, {width}, {count}, "
            f"{indices}, {updates}, {table}, {steps}, {int(call.added)}, {who});",
            depth,
        )


def _tight(text: str) -> str:
    return text if text.replace("_", "").isalnum() else f"({text})"
