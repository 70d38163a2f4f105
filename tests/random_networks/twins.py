"""What a random network is made of: each part knows how weft writes it and what torch makes of it.

Shapes leave out the batch, which is axis 0 of every tensor.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch

Tensor = torch.Tensor
Shape = tuple[int, ...]

IMAGE, SEQUENCE, VECTOR = "image", "sequence", "vector"
"""What the axes after the batch are: channels and one to three of space; time and features;
features."""


class Draw(random.Random):
    """Chances, and names that stand once in a network.

    `open`: sizes of space and time are symbols; layers that need to know them are not drawn.
    """

    def __init__(self, seed: str) -> None:
        super().__init__(seed)
        self.count = 0
        self.open = False
        self.inputs: list[Any] = []

    def name(self, letter: str) -> str:
        self.count += 1
        return f"{letter}{self.count}"

    def odds(self, share: float) -> bool:
        return self.random() < share


class Run:
    """One evaluation of a twin.

    `weights` by path; without them every weight asked for is drawn, and its shape noted in
    `shapes`.  `draws` are the random numbers of a training step in the order of their use; `left`
    is what a step leaves in each buffer.  With `noise` every value and its gradient is off by
    about that, as rounded ones are.
    """

    def __init__(
        self,
        weights: Mapping[str, Tensor] | None = None,
        draws: Iterator[Tensor] | None = None,
        *,
        training: bool = False,
    ) -> None:
        self.weights, self.draws, self.training = weights, draws, training
        self.shapes: dict[str, Shape] = {}
        self.left: dict[str, Tensor] = {}
        self.extra: Mapping[str, Tensor] = {}
        self.trail: tuple[str, ...] = ()
        self.turn = 0
        self.noise = 0.0

    @contextmanager
    def at(self, *segments: str, root: bool = False) -> Iterator[None]:
        """Weights asked for inside lie below these segments."""
        before = self.trail
        self.trail = segments if root else (*before, *segments)
        try:
            yield
        finally:
            self.trail = before

    def path(self, leaf: str) -> str:
        return ".".join((*self.trail, leaf))

    def weight(self, leaf: str, *shape: int) -> Tensor:
        path = self.path(leaf)
        if self.weights is None:
            self.shapes[path] = shape
            return torch.rand(shape, dtype=torch.float64) + 0.5
        found = self.weights[path]
        assert tuple(found.shape) == shape, f"{path} is {tuple(found.shape)}, not {shape}"
        return self.rounded(found)

    def rounded(self, x: Tensor, terms: float = 1) -> Tensor:
        """The value with its noise, as if so many had been added up for each number."""
        if not self.noise or not x.is_floating_point():
            return x
        return x * (1 + self.noise * terms**0.5 * torch.randn(x.shape, dtype=x.dtype))

    def uniform(self, *shape: int) -> Tensor:
        """The next random numbers of a training step."""
        if self.draws is None:
            return torch.rand(shape, dtype=torch.float64)
        found = next(self.draws)
        assert tuple(found.shape) == shape, f"drawn {tuple(found.shape)}, not {shape}"
        return found


Flow = tuple["Stage", ...]


@dataclass(frozen=True)
class Stage:
    """A step of a pipeline; `name` is where its weights are, `to` the layout of its result."""

    kind: str
    name: str = ""
    to: str = ""

    def written(self) -> str:
        """As it stands in a pipeline."""
        raise NotImplementedError

    def apply(self, run: Run, x: Tensor) -> Tensor:
        """The same in torch."""
        raise NotImplementedError

    def inside(self) -> tuple[Flow, ...]:
        """The pipelines in its braces."""
        return ()

    def smaller(self) -> Iterator[Flow]:
        """What may stand in its place and is less."""
        yield ()

    def sources(self) -> Iterator[str]:
        """Values and inputs that it names beside what flows in."""
        yield from (name for flow in self.inside() for s in flow for name in s.sources())


@dataclass(frozen=True)
class Layer(Stage):
    """A call.

    `shared`: by `let`, so that all its uses have the same weights; `needs`: inputs that its
    settings name; `defines`: name and text of a block of the file that it uses.
    """

    text: str = ""
    twin: Callable[..., Tensor] = field(default=lambda run, x: x)
    shared: bool = False
    needs: tuple[str, ...] = ()
    defines: tuple[str, str] | None = None

    def written(self) -> str:
        if self.shared:
            return self.name
        return f"{self.text} as {self.name}" if self.name else self.text

    def apply(self, run: Run, x: Tensor) -> Tensor:
        more = [run.extra[name] for name in self.needs]
        if not self.name:
            return self.twin(run, x, *more)
        with run.at(self.name, root=self.shared):
            return self.twin(run, x, *more)

    def sources(self) -> Iterator[str]:
        yield from self.needs


@dataclass(frozen=True)
class Residual(Stage):
    flow: Flow = ()
    shortcut: Flow | None = None

    def written(self) -> str:
        side = "" if self.shortcut is None else f" | {pipeline(self.shortcut)}"
        return f"residual {{ {pipeline(self.flow)}{side} }}"

    def apply(self, run: Run, x: Tensor) -> Tensor:
        own = through(run, self.flow, x)
        return own + (x if self.shortcut is None else through(run, self.shortcut, x))

    def inside(self) -> tuple[Flow, ...]:
        return (self.flow,) if self.shortcut is None else (self.flow, self.shortcut)

    def smaller(self) -> Iterator[Flow]:
        yield ()
        yield from self.inside()
        for flow in less(self.flow):
            yield (replace(self, flow=flow),)
        for flow in less(self.shortcut or ()):
            yield (replace(self, shortcut=flow),)


JOINS: dict[str, Callable[..., Tensor]] = {
    "concat(axis=1)": lambda *xs: torch.cat(xs, 1),
    "concat(axis=-1)": lambda *xs: torch.cat(xs, -1),
    "add": lambda *xs: sum(xs[1:], xs[0]),
    "mul": lambda a, *xs: a * (xs[0] if len(xs) == 1 else xs[0] * xs[1]),
    "maximum": lambda a, b: torch.maximum(a, b),
}


@dataclass(frozen=True)
class Branch(Stage):
    arms: tuple[Flow, ...] = ()
    join: str = "add"

    def written(self) -> str:
        return f"branch {{ {' | '.join(map(pipeline, self.arms))} }} -> {self.join}"

    def apply(self, run: Run, x: Tensor) -> Tensor:
        return JOINS[self.join](*[through(run, arm, x) for arm in self.arms])

    def inside(self) -> tuple[Flow, ...]:
        return self.arms

    def smaller(self) -> Iterator[Flow]:
        yield ()
        yield from self.arms
        for k, arm in enumerate(self.arms):
            if len(self.arms) > 2:
                yield (replace(self, arms=(*self.arms[:k], *self.arms[k + 1 :])),)
            for flow in less(arm):
                yield (replace(self, arms=(*self.arms[:k], flow, *self.arms[k + 1 :])),)


@dataclass(frozen=True)
class Repeat(Stage):
    """`flow` several times, each with weights of its own; `index` is what it calls the turn."""

    flow: Flow = ()
    times: int = 2
    index: str = ""

    def written(self) -> str:
        index = f" as {self.index}" if self.index else ""
        return f"repeat {self.times}{index} {{ {pipeline(self.flow)} }} as {self.name}"

    def apply(self, run: Run, x: Tensor) -> Tensor:
        before = run.turn
        for run.turn in range(self.times):
            with run.at(self.name, str(run.turn)):
                x = through(run, self.flow, x)
        run.turn = before
        return x

    def inside(self) -> tuple[Flow, ...]:
        return (self.flow,)

    def smaller(self) -> Iterator[Flow]:
        yield ()
        if not self.index:
            yield self.flow
        if self.times > 2:
            yield (replace(self, times=2),)
        if self.times > 1:
            yield (replace(self, times=1),)
        for flow in less(self.flow):
            yield (replace(self, flow=flow),)


@dataclass(frozen=True)
class Use(Stage):
    """A use of a block of the file."""

    block: str = ""
    inputs: str = "x: f32[B, C, ...]"
    flow: Flow = ()

    def written(self) -> str:
        return f"{self.block} as {self.name}"

    def defined(self) -> str:
        """The block itself."""
        return f"block {self.block} {{\n  in {self.inputs}\n  x -> {pipeline(self.flow)}\n}}\n"

    def apply(self, run: Run, x: Tensor) -> Tensor:
        with run.at(self.name):
            return through(run, self.flow, x)

    def inside(self) -> tuple[Flow, ...]:
        return (self.flow,)

    def smaller(self) -> Iterator[Flow]:
        yield ()
        yield self.flow


def pipeline(flow: Flow) -> str:
    return " -> ".join(stage.written() for stage in flow) or "identity"


def through(run: Run, flow: Flow, x: Tensor) -> Tensor:
    for stage in flow:
        x = run.rounded(stage.apply(run, x))
    return x


def less(flow: Flow) -> Iterator[Flow]:
    """The pipeline with one stage less, or a smaller one."""
    for k, stage in enumerate(flow):
        for other in stage.smaller():
            yield (*flow[:k], *other, *flow[k + 1 :])


def stages(flow: Flow) -> Iterator[Stage]:
    """All stages, also those inside others."""
    for stage in flow:
        yield stage
        for inner in stage.inside():
            yield from stages(inner)


@dataclass(frozen=True)
class Input:
    """`below`: for whole numbers, the first that does not occur; `least` the first that does."""

    name: str
    shape: Shape
    dtype: str = "f32"
    below: int = 0
    least: int = 0
    symbols: tuple[str, ...] = ()

    def written(self) -> str:
        sizes = self.symbols or self.shape
        return f"{self.name}: {self.dtype}[{', '.join(map(str, ('B', *sizes)))}]"

    def sample(self) -> Tensor:
        """Two of them that mean something."""
        kind = {"bool": torch.bool, "i32": torch.int64}.get(self.dtype, torch.float64)
        return torch.ones((2, *self.shape), dtype=kind) * (self.dtype != "i32")


@dataclass(frozen=True)
class Statement:
    """Values made of others: `text` has {0}, {1} … for the sources."""

    kind: str
    names: tuple[str, ...]
    sources: tuple[str, ...]
    text: str = "{0}"
    twin: Callable[..., Any] = field(default=lambda run, x: x)
    flow: Flow = ()
    let: tuple[str, str] | None = None
    defines: tuple[str, str] | None = None

    def written(self) -> str:
        start = self.text.format(*self.sources)
        if self.flow:
            start = start if self.text == "{0}" else f"({start})"
            start = f"{start} -> {pipeline(self.flow)}"
        return f"{', '.join(self.names)} = {start}"

    def evaluate(self, run: Run, values: dict[str, Tensor]) -> None:
        given = [values[name] for name in self.sources]
        if self.let:
            with run.at(self.let[0], root=True):
                made = self.twin(run, *given)
        else:
            made = self.twin(run, *given)
        if len(self.names) == 1:
            values[self.names[0]] = through(run, self.flow, run.rounded(made))
        else:
            values |= dict(zip(self.names, map(run.rounded, made), strict=True))

    def used(self) -> Iterator[str]:
        yield from self.sources
        yield from (name for stage in self.flow for name in stage.sources())


@dataclass(frozen=True)
class Loss:
    """`text` has {0} for the output and {1} for the target; `factor` is its share in the sum;
    `shape` is that of the outputs it can take, None for any.
    """

    kind: str
    output: str
    text: str
    twin: Callable[..., Tensor]
    target: Input | None = None
    factor: float = 1.0
    shape: Shape | None = None


@dataclass(frozen=True)
class Net:
    """`sizes` of symbols besides the batch, one mapping for each time it is run."""

    inputs: tuple[Input, ...]
    statements: tuple[Statement, ...]
    losses: tuple[Loss, ...] = ()
    optimizer: str = "sgd(lr=0.1)"
    sizes: tuple[Mapping[str, int], ...] = ({},)

    def outputs(self) -> tuple[str, ...]:
        """The values that nothing reads."""
        read = {name for s in self.statements for name in s.used()}
        made = [i.name for i in self.inputs] + [n for s in self.statements for n in s.names]
        return tuple(name for name in made if name not in read)

    def all_stages(self) -> Iterator[Stage]:
        for statement in self.statements:
            yield from stages(statement.flow)

    def kinds(self) -> Iterator[str]:
        """What the network is made of, each use once."""
        yield from (s.kind for s in self.statements if s.kind)
        yield from (stage.kind for stage in self.all_stages())
        yield from (loss.kind for loss in self.losses)

    def shapes(self) -> dict[str, Shape]:
        """The weights and their shapes, by path inside the net.  Raises: what torch does not do."""
        run = Run()
        self.evaluate(run, {i.name: i.sample() for i in self.inputs})
        return run.shapes

    def evaluate(self, run: Run, feeds: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """All values."""
        values = dict(feeds)
        run.extra = values
        for statement in self.statements:
            statement.evaluate(run, values)
        return values

    def loss(self, values: Mapping[str, Tensor], feeds: Mapping[str, Tensor]) -> Tensor:
        terms = []
        for loss in self.losses:
            more = [feeds[loss.target.name]] if loss.target else []
            terms.append(loss.factor * loss.twin(values[loss.output], *more))
        return sum(terms[1:], terms[0])

    def text(self) -> str:
        """The spec: a net and a training step."""
        given = tuple(self.all_stages())
        blocks = {s.block: s.defined() for s in given if isinstance(s, Use)}
        parts = (*(s for s in given if isinstance(s, Layer)), *self.statements)
        blocks |= dict(s.defines for s in parts if s.defines)
        lets = {s.name: s.text for s in given if isinstance(s, Layer) and s.shared}
        lets |= dict(s.let for s in self.statements if s.let)
        names = self.outputs()
        fields = [*self.inputs, *(loss.target for loss in self.losses if loss.target)]
        terms = " + ".join(
            f"{loss.factor:g}*l{k}" if loss.factor != 1 else f"l{k}"
            for k, loss in enumerate(self.losses)
        )
        lines = [
            *blocks.values(),
            "net whole {",
            f"  in {', '.join(i.written() for i in self.inputs)}",
            *(f"  let {name} = {text}" for name, text in lets.items()),
            *(f"  {s.written()}" for s in self.statements),
            f"  out {', '.join(names)}",
            "}",
            "train {",
            "  steps = 1",
            f'  data {", ".join(f.written() for f in fields)} = npz("none.npz", batch=7)',
            "  step main updates whole {",
            f"    optimizer = {self.optimizer}",
            f"    {', '.join(f'o_{n}' for n in names)} = "
            f"whole({', '.join(i.name for i in self.inputs)})",
            *(f"    l{k} = {self._loss(loss)}" for k, loss in enumerate(self.losses)),
            f"    loss = {terms}",
            "  }",
            "}",
        ]
        return "\n".join(lines) + "\n"

    def _loss(self, loss: Loss) -> str:
        target = loss.target.name if loss.target else ""
        return loss.text.format(f"o_{loss.output}", target)


def probe(parts: Sequence[Stage], shape: Shape, extra: Mapping[str, Tensor]) -> Shape | None:
    """The shape of what a pipeline makes, or None where torch refuses it, or a window of a pool
    holds nothing.
    """
    run = Run()
    run.extra = extra
    try:
        made = through(run, tuple(parts), torch.rand((2, *shape), dtype=torch.float64))
    except (RuntimeError, ValueError, IndexError, AssertionError):
        return None
    return tuple(made.shape[1:]) if bool(made.isfinite().all()) else None
