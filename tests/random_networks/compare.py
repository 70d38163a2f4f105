"""A random network on every way through the compiler, beside torch and beside the reference."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from weft.compiler import reference
from weft.compiler.build import Program, elaborate
from weft.compiler.compile import compile_gpu, compile_native, lower
from weft.runtime import native, native_engine
from weft.runtime.crosscompile import compile_module
from weft.runtime.engine import Engine, parameter_view
from weft.runtime.gate import cross_compiled
from weft.runtime.native_engine import NativeEngine, bind_sizes
from weft.runtime.reference_engine import ReferenceEngine
from weft.runtime.triton_engine import TritonEngine
from weft.spec.dims import evaluate
from weft.spec.errors import DataError, SpecError
from weft.spec.format import write_weft, write_yaml
from weft.spec.load import load_text, read_text

from .losses import IGNORED
from .measures import Wrong, agree, error, programs, size
from .twins import Input, Net, Run, Tensor

BATCHES = (7, 2, 1)
EXACT = 1e-8
"""Of the reference beside torch, both in float64: sums in another order, divided by norms."""

CLOSE = 2e-5
"""Of float32 beside the reference, relative root mean square: as `weft verify` has it."""

SHARE = 0.03
"""A gradient is at least this share of the largest one when errors are measured: those that cancel
to nothing, as before a norm, are as exact as what they are the sums of.
"""

ROUNDED, NUDGES, UNSTEADY = 1e-7, 3, 8.0
"""What rounding moves a value by, how often that is tried, and so many times what comes of it a
result may be off.
"""

SHAKY = 5e-5
"""What rounding moves a result by where nothing is judged."""

DRAWS = 3  # of inputs, before a difference counts
PROGRAMS = 150
"""The interpreter takes up to a second for what one program of a kernel does in a millisecond."""

SEED, STEP, RATE = 5, 2, 0.05
ONE = {"index": STEP, "seed": SEED}

Arrays = dict[str, np.ndarray]


@dataclass
class Ways:
    """What a network is tried on.

    `optimise` is the C compiler's level; `library` where it keeps what it made.
    """

    c: bool = True
    train: bool = True
    interpret: bool = False
    gpu: str = ""
    kernels: int = 8
    optimise: str = "-O1"
    library: Path | None = None
    batches: tuple[int, ...] = BATCHES
    done: dict[str, int] = field(default_factory=dict)

    def count(self, what: str, number: int = 1) -> None:
        self.done[what] = self.done.get(what, 0) + number


def check(net: Net, seed: str, ways: Ways) -> None:
    """Raises: Wrong, or what the compiler raised."""
    try:
        program = elaborate(load_text(net.text(), "random.weft"))
    except SpecError as error:
        if "its loss does not depend on it" not in str(error):
            raise
        ways.count("nothing to train")  # a norm of single numbers
        return
    _both_forms(net.text(), program)
    case = Case(net, program, seed)
    for sizes in case.sizes(ways):
        try:
            case.beside_torch(sizes)
        except Wrong as wrong:
            if wrong.plainly or case.steady(sizes):
                raise
    ways.count("torch")
    if ways.c:
        with _compiled(ways):
            case.native(ways)
        ways.count(f"C, {ways.optimise}")
    if ways.interpret:
        case.interpreted(ways)
    if ways.gpu:
        ways.count(f"{ways.gpu}, kernels", case.compiled(ways))


def _both_forms(text: str, program: Program) -> None:
    """Formatted, and as YAML, it is the same program."""
    tree = read_text(text, "random.weft")
    plain = write_weft(tree)
    yaml = write_yaml(tree)
    back = read_text(yaml, "random.yaml")
    if write_weft(read_text(plain, "random.weft")) != plain:
        raise Wrong("fmt", "formatting twice is not formatting once")
    if write_yaml(back) != yaml:
        raise Wrong("fmt", "YAML, read and written, is another")
    if write_weft(back) != plain:
        raise Wrong("fmt", "YAML, read and written as weft, is another")
    if _graphs(elaborate(load_text(yaml, "random.yaml"))) != _graphs(program):
        raise Wrong("fmt", "YAML makes another graph")


def _graphs(program: Program) -> list[Any]:
    """What there is to compute, without places."""
    steps = [s.builder.graph() for s in program.steps.values()]
    graphs = [*(n.graph for n in program.nets.values()), *steps]
    return [[(n.op, n.operands, n.shape, n.attributes) for n in g] for g in graphs]


@contextmanager
def _compiled(ways: Ways) -> Iterator[None]:
    """C at another level, and kept elsewhere."""
    flags = tuple(ways.optimise if f == "-O3" else f for f in native.FLAGS)
    plain = native_engine.build
    native_engine.build = partial(native.build, flags=flags, cache_dir=ways.library)  # type: ignore
    try:
        yield
    finally:
        native_engine.build = plain


class Case:
    """A network with its weights; `seed` decides them and what it is fed."""

    def __init__(self, net: Net, program: Program, seed: str) -> None:
        self.net, self.program, self.seed = net, program, seed
        self.lowered = lower(program, native=True)
        self.truth = ReferenceEngine(self.lowered, in_order=False)
        shapes = net.shapes()
        theirs = {p.name.removeprefix("whole."): p.shape for p in self.truth.artifact.parameters}
        if theirs != shapes:
            differ = {k: (theirs.get(k), shapes.get(k)) for k in {*theirs, *shapes}
                      if theirs.get(k) != shapes.get(k)}  # fmt: skip
            raise Wrong("parameters", f"weft's and torch's shapes: {differ}")
        self.weights = {path: self._weight(path, shape) for path, shape in shapes.items()}

    def _random(self, *what: object) -> np.random.Generator:
        return np.random.default_rng(zlib.crc32(repr((self.seed, *what)).encode()))

    def _weight(self, path: str, shape: tuple[int, ...]) -> np.ndarray:
        drawn = self._random(path).normal(size=shape)
        if path.endswith("running_var"):
            drawn = np.abs(drawn) + 0.3
        elif len(shape) < 2:
            drawn = 0.3 * drawn + (path.endswith("weight"))
        else:
            drawn = drawn / max(1, np.prod(shape[1:])) ** 0.5
        return drawn.astype(np.float32)

    def feeds(self, sizes: Mapping[str, int], draw: int = 0) -> Arrays:
        """Inputs and targets."""
        fields = [*self.net.inputs, *(loss.target for loss in self.net.losses if loss.target)]
        return {f.name: self._field(f, sizes, draw) for f in fields}

    def _field(self, given: Input, sizes: Mapping[str, int], draw: int) -> np.ndarray:
        shape = [sizes["B"], *(sizes.get(str(s), s) for s in given.symbols or given.shape)]
        rng = self._random(given.name, *shape, draw)
        if given.dtype == "bool":
            return rng.random(shape) < 0.7
        if given.dtype == "i32":
            found = rng.integers(given.least, given.below, shape).astype(np.int32)
            found.flat[0] = max(found.flat[0], 0)
            return np.where(found < 0, np.int32(IGNORED), found)
        if given.below:
            return rng.integers(0, given.below, shape).astype(np.float32)
        return rng.normal(size=shape).astype(np.float32)

    def fill(self, engine: Engine | ReferenceEngine) -> None:
        for p in engine.artifact.parameters:
            parameter_view(engine.parameters, p)[...] = self.weights[p.name.removeprefix("whole.")]
        for state in engine.states.values():
            state[...] = 0

    def views(self, engine: Engine | ReferenceEngine, arena: np.ndarray) -> Arrays:
        return {p.name.removeprefix("whole."): np.array(parameter_view(arena, p))
                for p in engine.artifact.parameters}  # fmt: skip

    # ---- torch -------------------------------------------------------------------------------

    def beside_torch(self, sizes: Mapping[str, int]) -> None:
        """The reference is torch in float64: outputs, losses, gradients, running statistics."""
        fed = self.feeds(sizes)
        made = self._torch(fed, None)
        self.fill(self.truth)
        found = self.truth.forward("whole", self.only_inputs(fed))
        for name, value in found.items():
            agree("torch", f"{name} at {sizes}", value, made[0][name].detach(), EXACT)
        loss = self.truth.evaluate("main", fed, **ONE).values["loss"]
        agree("torch", f"loss in use at {sizes}", loss, made[1].detach(), EXACT)
        draws = iter(self._drawn(fed, sizes))
        _, loss, run = self._torch(fed, draws)
        if next(draws, None) is not None:
            raise Wrong("torch", "the step draws more than the twin")
        self.fill(self.truth)
        result, gradients = self.truth.gradient("main", fed, **ONE)
        agree("torch", f"loss at {sizes}", result.values["loss"], loss.detach(), EXACT)
        if loss.requires_grad:  # not behind stop_gradient alone
            loss.backward()
        assert run.weights is not None
        mine = self.views(self.truth, gradients)
        theirs = {path: np.zeros(w.shape) if w.grad is None else w.grad.numpy()
                  for path, w in run.weights.items()}  # fmt: skip
        floor = SHARE * max((size(g) for g in theirs.values()), default=0.0)
        for path, gradient in theirs.items():
            if "running" not in path.rpartition(".")[2]:
                agree("torch", f"d_{path} at {sizes}", mine[path], gradient, EXACT, floor)
        left = self.views(self.truth, self.truth.parameters)
        for path, value in run.left.items():
            agree("torch", f"{path} at {sizes}", left[path], value.detach(), EXACT)

    def _torch(
        self, fed: Arrays, draws: Iterator[Tensor] | None, noise: float = 0.0
    ) -> tuple[dict[str, Tensor], Tensor, Run]:
        """All values, the loss and the run: as it is trained if there are `draws`."""
        weights = {
            path: torch.tensor(w, dtype=torch.float64, requires_grad=True)
            for path, w in self.weights.items()
        }
        run = Run(weights, draws, training=draws is not None)
        run.noise = noise
        given = {name: torch.tensor(x) for name, x in fed.items()}
        given = {name: x.double() if x.is_floating_point() else x for name, x in given.items()}
        values = self.net.evaluate(run, given)
        return values, self.net.loss(values, given), run

    def _drawn(self, fed: Arrays, sizes: Mapping[str, int]) -> list[Tensor]:
        """The random numbers of a step, in the order of their streams."""
        graph = self.lowered.entry("gradient", "main").graph
        assert graph is not None
        given = {p.name: self.weights[p.name.removeprefix("whole.")]
                 for p in self.truth.artifact.parameters}  # fmt: skip
        values = reference.run_all(graph, {**given, **fed}, sizes, seed=SEED, step=STEP)
        drawn = {n["stream"]: values[n.id] for n in graph if n.op == "random" and n.id in values}
        asked = {n["stream"]: n.shape for n in self.program.steps["main"].builder.nodes
                 if n.op == "random"}  # fmt: skip
        found = []
        for stream, shape in sorted(asked.items()):
            nothing = np.ones([evaluate(extent, sizes) for extent in shape])  # what nobody reads
            found.append(torch.tensor(np.array(drawn.get(stream, nothing))))
        return found

    def sizes(self, ways: Ways) -> list[dict[str, int]]:
        """Sizes that the network can do with: not all of those that are open make windows."""
        found = []
        for batch in ways.batches:
            for sizes in self.net.sizes:
                try:
                    fed = self.feeds({"B": batch, **sizes})
                    bind_sizes(self.truth.artifact.entry("gradient", "main"), fed)
                except DataError:
                    ways.count("sizes refused")
                    continue
                found.append({"B": batch, **sizes})
        return found

    def only_inputs(self, fed: Arrays) -> Arrays:
        return {i.name: fed[i.name] for i in self.net.inputs}

    # ---- targets -----------------------------------------------------------------------------

    def native(self, ways: Ways) -> None:
        artifact = compile_native(self.lowered)
        one, two = (NativeEngine(artifact, threads=n) for n in (1, 2))
        for sizes in self.sizes(ways):
            self._same_bits(one, two, sizes, ways)
            if self.steady(sizes):
                self.beside("C", one, sizes, self.truth, train=ways.train)
                ways.count("C beside the reference, sizes")
            else:
                ways.count("sizes where rounding is all there is")

    def _same_bits(self, one: Engine, two: Engine, sizes: Mapping[str, int], ways: Ways) -> None:
        """Whatever the threads."""
        fed = self.feeds(sizes)
        for name, run in self._runs(fed, train=ways.train).items():
            found = []
            for engine in (one, two):
                self.fill(engine)
                found.append({k: v.tobytes() for k, v in run(engine).items()})
            differ = [k for k in found[0] if found[0][k] != found[1][k]]
            if differ:
                raise Wrong("threads", f"{name} at {sizes}: {', '.join(differ)}")

    def interpreted(self, ways: Ways) -> None:
        lowered = lower(self.program, native=False)
        artifact = compile_gpu(lowered, "interpret")
        small = [sizes for sizes in self.sizes(ways) if programs(artifact, sizes) <= PROGRAMS]
        if not small:
            ways.count("too much for the interpreter")
            return
        engine = TritonEngine(artifact, "interpret")
        truth = ReferenceEngine(lowered, in_order=False)
        try:
            for sizes in filter(self.steady, small[:2]):
                self.beside("interpreter", engine, sizes, truth, train=False)
            ways.count("interpreter")
        finally:
            engine.close()

    def compiled(self, ways: Ways) -> int:
        """Some kernels for a GPU; where one is refused all have to pass with smaller tiles."""
        lowered = lower(self.program, native=False)
        artifact = compile_gpu(lowered, ways.gpu)
        records = {k.name: dict(k.compile) for k in artifact.kernels if k.compile is not None}
        count = min(len(records), ways.kernels)
        some = self._random("kernels").choice(sorted(records), count, replace=False)
        reports = compile_module(
            artifact.files["kernels.py"], [records[name] for name in some], ways.gpu
        )
        if not all(r.ok for r in reports):
            cross_compiled(lowered, ways.gpu)
        return count

    def _runs(self, fed: Arrays, *, train: bool) -> dict[str, Callable[[Any], Arrays]]:
        """What an engine is asked for, with its weights as they begin."""

        def gradient(engine: Any) -> Arrays:
            result, arena = engine.gradient("main", fed, **ONE)
            found = {
                f"d_{k}": v for k, v in self.views(engine, arena).items() if "running" not in k
            }
            left = {k: v for k, v in self.views(engine, engine.parameters).items()
                    if "running" in k}  # fmt: skip
            return {"loss": np.asarray(result.values["loss"]), **found, **left}

        def use(engine: Any) -> Arrays:
            return {"loss in use": np.asarray(engine.evaluate("main", fed, **ONE).values["loss"])}

        def training(engine: Any) -> Arrays:
            result = engine.train("main", fed, rate=RATE, **ONE)
            return {"loss": np.asarray(result.values["loss"]),
                    **self.views(engine, engine.parameters)}  # fmt: skip

        runs: dict[str, Callable[[Any], Arrays]] = {
            "forward": lambda e: dict(e.forward("whole", self.only_inputs(fed))),
            "gradient": gradient,
        }
        return runs | ({"train": training, "evaluate": use} if train else {})

    def beside(
        self, where: str, engine: Any, sizes: Mapping[str, int], truth: ReferenceEngine, *,
        train: bool,
    ) -> None:  # fmt: skip
        """A target is the reference; what differs has to differ for other inputs too."""
        wrong: dict[str, str] = {}
        for draw in range(DRAWS):
            fed = self.feeds(sizes, draw)
            runs = self._runs(fed, train=train)
            wrong = {
                name: found
                for name, run in runs.items()
                if (draw == 0 or name in wrong)
                and (found := self._differs(run, engine, truth, fed, sizes))
            }
            if not wrong:
                return
        raise Wrong(where, f"at {sizes}: {'; '.join(f'{k}: {v}' for k, v in wrong.items())}")

    def _differs(
        self, run: Callable[[Any], Arrays], engine: Any, truth: ReferenceEngine,
        fed: Arrays, sizes: Mapping[str, int],
    ) -> str:  # fmt: skip
        """What is further off than rounding moves it; empty where nothing is."""
        self.fill(engine)
        self.fill(truth)
        want, got = run(truth), run(engine)
        floor = SHARE * max((size(v) for k, v in want.items() if k.startswith("d_")), default=0.0)
        errors = {k: error(got[k], v, floor if k.startswith("d_") else 0.0)
                  for k, v in want.items()}  # fmt: skip
        bad = {k: e for k, e in errors.items() if not e <= CLOSE}
        if not bad:
            return ""
        moved = self._moved(fed, sizes, want, floor)
        bad = {k: e for k, e in bad.items() if not e <= UNSTEADY * moved[k]}
        return ", ".join(
            f"{k} is off by {e:.1e} (rounding moves it by {moved[k]:.1e})" for k, e in bad.items()
        )

    def steady(self, sizes: Mapping[str, int]) -> bool:
        """Whether results say more than how values were rounded: norms of numbers that are all
        alike make numbers of what rounding left of them, three hundred times as large.
        """
        fed = self.feeds(sizes)
        want = self._all_of(fed, self._drawn(fed, sizes), 0.0)
        floor = SHARE * max((size(v) for k, v in want.items() if k.startswith("d_")), default=0.0)
        return max(self._moved(fed, sizes, want, floor).values()) <= SHAKY

    def _moved(
        self, fed: Arrays, sizes: Mapping[str, int], want: Arrays, floor: float
    ) -> dict[str, float]:
        """How far off torch is where every value is rounded; of a parameter after an update, what
        of that gets there through its gradient.
        """
        drawn = self._drawn(fed, sizes)
        exact = self._all_of(fed, drawn, 0.0)
        errors = dict.fromkeys(want, 0.0)
        torch.manual_seed(0)
        for _ in range(NUDGES):
            other = self._all_of(fed, drawn, ROUNDED)
            for k, value in want.items():
                if k in exact:
                    found = error(other[k], exact[k], floor if k.startswith("d_") else 0.0)
                    errors[k] = max(errors[k], found)
                elif f"d_{k}" in exact:
                    off = 10 * RATE * size(other[f"d_{k}"] - exact[f"d_{k}"])
                    errors[k] = max(errors[k], off / max(size(value), 1e-3))
        return errors

    def _all_of(self, fed: Arrays, drawn: list[Tensor], noise: float) -> Arrays:
        """Outputs and loss as in use; loss, running statistics and gradients of a step."""
        values, loss, _ = self._torch(fed, None, noise)
        made = {k: v.detach().numpy() for k, v in values.items() if v.is_floating_point()}
        made["loss in use"] = loss.detach().numpy()
        _, loss, run = self._torch(fed, iter(drawn), noise)
        if loss.requires_grad:
            loss.backward()
        assert run.weights is not None
        made["loss"] = loss.detach().numpy()
        made |= {path: x.detach().numpy() for path, x in run.left.items()}
        gradients = {path: w.grad for path, w in run.weights.items() if w.grad is not None}
        return made | {f"d_{path}": g.numpy() for path, g in gradients.items()}
