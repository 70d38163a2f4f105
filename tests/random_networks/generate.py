"""Draws a network: inputs, statements of layers and structures, losses for what comes out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch

from . import layers, sequences, windows
from .losses import drawn_loss, pooled_loss
from .tables import LAST, OPEN, TABLES
from .twins import (
    IMAGE,
    SEQUENCE,
    VECTOR,
    Branch,
    Draw,
    Flow,
    Input,
    Layer,
    Loss,
    Net,
    Repeat,
    Residual,
    Run,
    Shape,
    Stage,
    Statement,
    Tensor,
    Use,
    probe,
    stages,
)

LARGEST = 700
"""Elements of a value, for one sample."""

ATTEMPTS = 12  # at a layer that fits
OPTIMIZERS = (
    "sgd(lr=0.1)",
    "sgd(lr=0.05, momentum=0.9)",
    "sgd(lr=0.1, momentum=0.9, nesterov=true, weight_decay=0.01)",
    "adamw(lr=0.01, eps=0.1)",
)


@dataclass(frozen=True)
class Value:
    name: str
    shape: Shape
    layout: str


class Unfit(Exception):
    """Nothing was found that fits."""


def drawn_net(seed: str) -> Net:
    """The network of a seed; the same in every run."""
    attempt = 0
    while True:
        try:
            return _Drawing(Draw(f"{seed}/{attempt}" if attempt else seed)).net()
        except Unfit:
            attempt += 1


class _Drawing:
    def __init__(self, d: Draw) -> None:
        self.d = d
        self.values: list[Value] = []
        self.used: set[str] = set()
        self.statements: list[Statement] = []
        self.inputs: list[Input] = []
        self.symbols: dict[str, tuple[str, ...]] = {}

    def net(self) -> Net:
        d = self.d
        d.open = d.odds(0.15)
        for _ in range(d.choice((1, 1, 1, 2, 2, 3))):
            self.input()
        for _ in range(d.randint(1, 6)):
            self.statement()
        for value in [v for v in self.values if v.name not in self.used]:
            if value.name in {i.name for i in self.inputs}:
                self.flow_of(value)
        read = {name for s in self.statements for name in s.used()}
        given = [i for i in (*self.inputs, *d.inputs) if i.name in read]
        sizes: tuple[Mapping[str, int], ...] = ({},)
        if d.open:
            first = {s: n for i in given for s, n in zip(i.symbols, i.shape, strict=False)
                     if isinstance(s, str)}  # fmt: skip
            sizes = (first, {name: n + d.randint(0, 4) for name, n in first.items()})
        net = Net(tuple(given), tuple(self.statements), (), d.choice(OPTIMIZERS), sizes)
        by_name = {v.name: v for v in self.values}
        losses = []
        for name in net.outputs():
            losses.append(self.loss(by_name[name]))
        if len(losses) > 4:
            raise Unfit
        found = replace(net, losses=tuple(losses))
        if not found.shapes():
            raise Unfit
        return found

    def loss(self, value: Value) -> Loss:
        """Where sizes are open the values of an output are summed up before."""
        d = self.d
        if d.open:
            return pooled_loss(d, value.name, len(value.shape))
        return drawn_loss(d, value.name, value.shape)

    def input(self) -> None:
        d = self.d
        name = d.name("x")
        layout = d.choice((IMAGE, IMAGE, IMAGE, SEQUENCE, SEQUENCE, VECTOR))
        if layout == IMAGE:
            n = d.choice((1, 2, 2, 2, 3))
            most = {1: 17, 2: 9, 3: 5}[n]
            space = [d.choice((1, 2, d.randint(3, most), d.randint(3, most))) for _ in range(n)]
            shape: Shape = (d.choice((1, 2, 3, 4, 6, 8)), *space)
            if d.open:
                shape = (shape[0], *(max(s, 4) for s in space))
                symbols = (shape[0], *"DHW"[3 - n :])
                self.add(Input(name, shape, symbols=symbols), layout)
                return
        elif layout == SEQUENCE:
            shape = (d.choice((1, 2, 3, 5, 8)), d.choice((1, 2, 3, 4, 6, 8)))
            if d.odds(0.25):
                self.embedded(name, shape[0])
                return
            if d.open:
                self.add(Input(name, shape, symbols=("T", shape[1])), layout)
                return
        else:
            shape = (d.choice((1, 2, 5, 8, 12)),)
        self.add(Input(name, shape), layout)

    def add(self, given: Input, layout: str) -> None:
        self.inputs.append(given)
        self.values.append(Value(given.name, given.shape, layout))

    def embedded(self, name: str, steps: int) -> None:
        """Rows of a table."""
        d = self.d
        entries, features = d.randint(1, 9), d.choice((1, 2, 4, 6))
        given = Input(name, (steps,), "i32", entries, symbols=("T",) if d.open else ())
        self.inputs.append(given)
        self.used.add(name)
        value, table = d.name("v"), d.name("k")

        def twin(run: Run, x: Tensor) -> Tensor:
            return run.weight("weight", entries, features)[x.long()]

        let = (table, f"embedding({entries}, {features})")
        statement = Statement("embedding", (value,), (name,), f"{table}({{0}})", twin, (), let)
        self.statements.append(statement)
        self.values.append(Value(value, (steps, features), SEQUENCE))

    # ---- statements --------------------------------------------------------------------------

    def source(self) -> Value:
        """Most often one that nothing reads yet."""
        fresh = [v for v in self.values if v.name not in self.used]
        found = self.d.choice(fresh) if fresh and self.d.odds(0.75) else self.d.choice(self.values)
        return found

    def statement(self) -> None:
        if self.d.odds(0.35) and self.merge():
            return
        if self.d.odds(0.12) and self.parts():
            return
        if self.d.odds(0.25) and self.looked_up():
            return
        self.flow_of(self.source())

    def flow_of(self, value: Value) -> None:
        flow, shape, layout = self.flow(value.shape, value.layout, self.d.randint(1, 4))
        self.state("", value, flow=flow, shape=shape, layout=layout)

    def state(
        self,
        kind: str,
        *sources: Value,
        flow: Flow = (),
        shape: Shape,
        layout: str,
        text: str = "{0}",
        twin: Callable[..., Tensor] = lambda run, x: x,
    ) -> None:
        name = self.d.name("v")
        names = tuple(v.name for v in sources)
        self.statements.append(Statement(kind, (name,), names, text, twin, flow))
        self.used |= set(names)
        self.values.append(Value(name, shape, layout))

    def merge(self) -> bool:
        """Two values as one."""
        d, a, b = self.d, self.source(), self.source()
        if a.layout != b.layout:
            return False
        if a.shape == b.shape:
            text, twin = d.choice((
                ("{0} + {1}", lambda run, x, y: x + y),
                ("{0} - 0.5*{1}", lambda run, x, y: x - 0.5 * y),
                ("{0}*sigmoid({1})", lambda run, x, y: x * torch.sigmoid(y)),
                ("maximum({0}, {1})", lambda run, x, y: torch.maximum(x, y)),
                ("where({0} > {1}, {0}, {1}/2)", lambda run, x, y: torch.where(x > y, x, y / 2)),
                ("concat({0}, {1}, axis=1)", lambda run, x, y: torch.cat((x, y), 1)),
                ("concat({0}, {1}, axis=-1)", lambda run, x, y: torch.cat((x, y), -1)),
            ))  # fmt: skip
            if d.open and "concat" in text:
                text, twin = "{0}*{1}", lambda run, x, y: x * y
            if a == b and "maximum" in text:
                return False
        elif not d.open and len(a.shape) == len(b.shape):
            differ = [k for k, (m, n) in enumerate(zip(a.shape, b.shape, strict=True)) if m != n]
            if len(differ) == 1:
                at = differ[0] + 1
                text = f"concat({{0}}, {{1}}, axis={at})"
                twin = lambda run, x, y: torch.cat((x, y), at)  # noqa: E731
            elif a.layout == SEQUENCE and a.shape[1] == b.shape[1]:
                text, twin = "matmul({0}, transpose({1}))", lambda run, x, y: x @ y.transpose(1, 2)
            else:
                return False
        else:
            return False
        made = twin(None, *(torch.rand((2, *v.shape), dtype=torch.float64) for v in (a, b)))
        shape = tuple(made.shape[1:])
        if math.prod(shape) > LARGEST:
            return False
        flow, after, layout = (), shape, a.layout
        if d.odds(0.5):
            flow, after, layout = self.flow(shape, a.layout, d.randint(1, 2))
        kind = text.partition("(")[0] if "(" in text else "arithmetic of two"
        self.state(kind.replace("{0}*", "gate by "), a, b, flow=flow, shape=after, layout=layout,
                   text=text, twin=twin)  # fmt: skip
        return True

    def parts(self) -> bool:
        """A part of a value, equal parts of one, or all states of a scan."""
        d, a = self.d, self.source()
        if d.open:
            return False
        axis = d.randint(1, len(a.shape))
        size = a.shape[axis - 1]
        if d.odds(0.4):
            low = d.randint(0, size - 1)
            high = d.randint(low + 1, size)
            written = f"{{0}}[{', '.join([':'] * axis)}, {low}:{high}]"
            shape = (*a.shape[: axis - 1], high - low, *a.shape[axis:])
            self.state("slice", a, shape=shape, layout=a.layout, text=written,
                       twin=lambda run, x: x.narrow(axis, low, high - low))  # fmt: skip
            return True
        if a.layout == SEQUENCE and d.odds(0.6):
            return self.scanned(a)
        if size % 2:
            return False
        names = d.name("v"), d.name("v")
        shape = (*a.shape[: axis - 1], size // 2, *a.shape[axis:])
        self.statements.append(
            Statement("split", names, (a.name,), f"split({{0}}, 2, axis={axis})",
                      lambda run, x: x.chunk(2, axis))
        )  # fmt: skip
        self.used.add(a.name)
        self.values += [Value(name, shape, a.layout) for name in names]
        return True

    def looked_up(self) -> bool:
        """A sequence that gathers from another one."""
        d = self.d
        found = [v for v in self.values if v.layout == SEQUENCE]
        if len(found) < 2 or d.open:
            return False
        a, b = d.sample(found, 2)
        layer = sequences.attention(d, a.shape, b.name, b.shape[0])
        if layer is None:
            return False
        self.used.add(b.name)
        self.state("", a, flow=(layer,), shape=a.shape, layout=SEQUENCE)
        return True

    def scanned(self, a: Value) -> bool:
        """All that a recurrent layer gives."""
        d, units, layer = self.d, self.d.randint(1, 4), self.d.name("k")
        word = d.choice(("lstm", "gru", "scan"))
        if word == "scan":
            call, count, twin = (
                f"scan(Paired({units}))",
                2,
                sequences.scan_twin("Paired", units, False),
            )
            shapes = [((a.shape[0], units), SEQUENCE)] * 2
        else:
            call, twin = (
                f"{word}({units}, return_state=true)",
                sequences.recurrent_twin(word, units, True),
            )
            count = 3 if word == "lstm" else 2
            shapes = [((a.shape[0], units), SEQUENCE), *[((units,), VECTOR)] * (count - 1)]
        names = tuple(d.name("v") for _ in range(count))
        self.statements.append(
            Statement(f"{word}, all it gives", names, (a.name,), f"{layer}({{0}})", twin, (),
                      (layer, call),
                      ("Paired", sequences.block_of("Paired")) if word == "scan" else None)
        )  # fmt: skip
        self.used.add(a.name)
        self.values += [Value(n, *shape) for n, shape in zip(names, shapes, strict=True)]
        return True

    # ---- pipelines ---------------------------------------------------------------------------

    def flow(self, shape: Shape, layout: str, length: int, *, depth: int = 0,
             keep: bool = False) -> tuple[Flow, Shape, str]:  # fmt: skip
        """A pipeline; `keep`: of stages that leave the shape as it is."""
        found: list[Stage] = []
        for _ in range(length):
            stage, shape, layout = self.stage(shape, layout, depth, keep)
            found.append(stage)
        return tuple(found), shape, layout

    def stage(self, shape: Shape, layout: str, depth: int, keep: bool) -> tuple[Stage, Shape, str]:
        d = self.d
        for _ in range(ATTEMPTS):
            if depth < 2 and d.odds(0.18):
                stage = self.structure(shape, layout, depth, keep)
            else:
                stage = self.layer(shape, layout, keep)
            if stage is None:
                continue
            made = self.probe(stage, shape)
            if made is None or 0 in made or math.prod(made) > LARGEST:
                continue
            if keep and (made != shape or stage.to not in ("", layout)):
                continue
            return stage, made, stage.to or layout
        raise Unfit

    def probe(self, stage: Stage, shape: Shape) -> Shape | None:
        return probe((stage,), shape, {i.name: i.sample() for i in self.d.inputs})

    def layer(self, shape: Shape, layout: str, keep: bool) -> Layer | None:
        d = self.d
        if keep and layout == IMAGE and d.odds(0.4):
            return windows.convolution(d, shape, shape[0], keep=True)
        if keep and d.odds(0.2) and not (d.open and layout == IMAGE):
            return layers.linear(d, shape, shape[-1])
        table = TABLES[layout]
        if d.open:
            table = tuple((make, n) for make, n in table
                          if make in OPEN or (make in LAST and layout != IMAGE))  # fmt: skip
        make = d.choices([make for make, _ in table], [n for _, n in table])[0]
        found = make(d, shape)
        if found is not None and d.open and _closes(found):
            return None
        return found

    def structure(self, shape: Shape, layout: str, depth: int, keep: bool) -> Stage | None:
        d = self.d
        word = d.choice(("residual", "residual", "branch", "repeat", "block", "shared"))
        if word == "shared":
            one = self.layer(shape, layout, True)
            if one is None or not one.name or one.needs or self.probe(one, shape) != shape:
                return None
            shared = Layer(one.kind, one.name, one.to, one.text, one.twin, True, (), one.defines)
            other = self.layer(shape, layout, True)
            if other is None or self.probe(other, shape) != shape:
                return None
            return Repeat("shared weights", d.name("r"), "", (shared, other), d.randint(2, 3))
        if word == "repeat":
            if d.odds(0.2) and layout == IMAGE and not d.open:
                return self.dilated(shape)
            flow, _, _ = self.flow(shape, layout, d.randint(1, 2), depth=depth + 1, keep=True)
            return Repeat("repeat", d.name("r"), "", flow, d.randint(2, 3))
        if word == "residual":
            if layout == IMAGE and not keep and d.odds(0.3):
                return self.strided(shape)
            flow, _, _ = self.flow(shape, layout, d.randint(1, 3), depth=depth + 1, keep=True)
            return Residual("residual", "", "", flow)
        if word == "branch":
            return self.branch(shape, layout, depth)
        length = d.randint(1, 2)
        flow, _, to = self.flow(shape, layout, length, depth=depth + 1, keep=keep)
        bare = all(not s.needs and not s.shared for s in stages(flow) if isinstance(s, Layer))
        nested = any(isinstance(s, Use) for s in stages(flow))
        if not bare or nested:
            return None
        inputs = {IMAGE: "x: f32[B, C, ...]", SEQUENCE: "x: f32[B, T, D]", VECTOR: "x: f32[B, C]"}
        name = d.name("Block")
        return Use("block", d.name("u"), to if to != layout else "", name, inputs[layout], flow)

    def branch(self, shape: Shape, layout: str, depth: int) -> Stage | None:
        """Arms of one shape that are added, or put side by side."""
        d = self.d
        arms = [
            self.flow(shape, layout, d.randint(0, 2), depth=depth + 1, keep=True)[0]
            for _ in range(d.choice((2, 2, 3)))
        ]
        if sum(not arm for arm in arms) > 1:
            return None
        joins = ["add", "mul", "concat(axis=1)", "concat(axis=-1)"]
        return Branch("branch", "", "", tuple(arms), d.choice(joins[: 2 if d.open else 4]))

    def strided(self, shape: Shape) -> Stage:
        """A block of a residual network that halves its image."""
        d, c, n = self.d, shape[0], len(shape) - 1
        out, stride = d.randint(1, 6), d.choice((1, 2, 2, 3))

        def conv(kernel: int) -> Layer:
            def twin(run: Run, x: Tensor) -> Tensor:
                w = run.weight("weight", out, x.shape[1], *[kernel] * n)
                return windows.CONVOLVE[n - 1](x, w, None, stride, kernel // 2)

            text = f"conv({out}, {kernel}, stride={stride}, bias=false)"
            return Layer(f"conv{n}d", d.name("k"), text=text, twin=twin)

        first: Flow = (conv(3), layers.batch_norm(d, (out, *shape[1:])))
        side: Flow = (conv(1), layers.batch_norm(d, (out, *shape[1:])))
        if d.odds(0.5):
            first = (*first, layers.activation(d, shape))
        assert c == shape[0]
        return Residual("residual with a shortcut", "", "", first, side)

    def dilated(self, shape: Shape) -> Stage:
        """Convolutions that reach farther in each turn."""
        d, c, n, times = self.d, shape[0], len(shape) - 1, self.d.randint(2, 3)
        index = d.name("i")

        def twin(run: Run, x: Tensor) -> Tensor:
            w, reach = run.weight("weight", c, c, *[3] * n), run.turn + 1
            return windows.CONVOLVE[n - 1](x, w, run.weight("bias", c), 1, reach, reach)

        layer = Layer(
            f"conv{n}d", d.name("k"), text=f"conv({c}, 3, dilation={index} + 1)", twin=twin
        )
        flow = (layer, layers.activation(d, shape))
        return Repeat("repeat by its turn", d.name("r"), "", flow, times, index)


def _closes(layer: Layer) -> bool:
    """Whether the layer asks for sizes that are known."""
    return "over axes" in layer.kind and "axis=1," not in layer.text
