"""The public face of a compiled spec: `weft.compile` and `weft.train`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..compiler.build import Program, elaborate
from ..compiler.compile import (
    compile_for,
    compile_native,
    lower,
    lower_inputs,
)
from ..compiler.lowered import Lowered
from ..spec.errors import UsageError
from ..spec.load import Spec, load
from . import trainer
from .activations import Activations
from .engine import Engine, parameter_view
from .engines import open_engine
from .exchange import Exchanging
from .initialise import fill_parameters
from .loss_scale import FIELD, scaled
from .native_engine import NativeEngine
from .nets import named_net
from .processes import launched
from .progress import choose
from .recipe import recipe_of
from .record import Record
from .reference_engine import ReferenceEngine
from .stepper import Given
from .targets import check_precision, check_target, machine_here, precision_of
from .tensorboard import Logged

if TYPE_CHECKING:
    from ..compiler.artifact import Artifact
    from .module import CompiledNetwork
    from .stepper import Stepper

Array = NDArray[Any]


class CompiledProgram:
    """A spec compiled for one target: networks, training steps and their parameters.

    `nets` are torch modules, made when first asked for; `engine` runs the kernels and owns the
    parameters.
    """

    def __init__(
        self, spec: Spec, target: str, *, seed: int | None = None, precision: str | None = None
    ) -> None:
        self.spec = spec
        self.target = target
        self.program: Program = elaborate(spec)
        self.precision = check_precision(
            precision or precision_of(self.program), target, self.program
        )
        exact = target == "reference"
        self.lowered: Lowered = lower(
            self.program,
            native=target in ("cpu", "reference"),
            precision="f32" if exact else self.precision,
            machine=machine_here() if target == "cuda" else "cuda:90",
        )
        self.artifact: Artifact = compile_for(self.lowered, target)
        self._engine: Engine | None = None
        self._nets: dict[str, CompiledNetwork] = {}
        self._seed = seed
        self._index: dict[str, int] = {}
        self._steppers: dict[str, tuple[Given, Stepper]] = {}
        self._sensitivity: dict[str, ReferenceEngine | NativeEngine] = {}
        self._inner: dict[str, Activations] = {}

    # ---- the engine --------------------------------------------------------------------------

    @property
    def seed(self) -> int:
        """What the parameters start from, and the random numbers of training."""
        if self._seed is not None:
            return self._seed
        return int((self.program.train or {}).get("seed", 0))

    @property
    def engine(self) -> Engine:
        """The kernels, built and loaded at first use, with freshly initialised parameters.

        Raises: DeviceError when this machine cannot run the target.
        """
        if self._engine is None:
            self._engine = open_engine(self.lowered, self.artifact)
            fill_parameters(self.artifact, self._engine.parameters, self.seed)
        return self._engine

    def state_dict(self) -> dict[str, Any]:
        """Copies of all parameters as torch tensors in PyTorch's layout, under "<net>.<path>"."""
        import torch

        engine = self.engine
        views = {p.name: parameter_view(engine.parameters, p) for p in self.artifact.parameters}
        return {name: torch.from_numpy(np.array(view, order="C")) for name, view in views.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Copy tensors (torch or NumPy) into the parameters of the same names.

        Raises: UsageError naming what is missing, unknown, or of another shape.
        """
        known = {p.name: p for p in self.artifact.parameters}
        problems = [f"missing: {name}" for name in known if name not in state]
        problems += [f"unknown: {name}" for name in state if name not in known]
        problems += [
            f"{name} is {list(state[name].shape)}, must be {list(p.shape)}"
            for name, p in known.items()
            if name in state and tuple(state[name].shape) != p.shape
        ]
        if problems:
            raise UsageError("these parameters do not fit: " + "; ".join(problems[:8]))
        engine = self.engine
        for name, p in known.items():
            parameter_view(engine.parameters, p)[...] = np.asarray(state[name])

    # ---- networks ------------------------------------------------------------------------------

    @property
    def nets(self) -> Mapping[str, CompiledNetwork]:
        """All nets as torch modules sharing the program's parameters."""
        from .module import CompiledNetwork

        for name in self.program.nets:
            if name not in self._nets:
                self._nets[name] = CompiledNetwork(self, name)
        return self._nets

    @property
    def net(self) -> CompiledNetwork:
        """The only net.  Raises: UsageError when there are several."""
        names = list(self.program.nets)
        if len(names) != 1:
            raise UsageError(
                f"the spec has {len(names)} nets", hint=f"choose one: program.nets[{names[0]!r}]"
            )
        return self.nets[names[0]]

    def inner(self, net: str) -> Activations:
        """What a net computes on its way.  Raises: UsageError when there is no such net."""
        named_net(self.program.nets, net)
        if net not in self._inner:
            self._inner[net] = Activations(self.lowered, net, exact=self.target == "reference")
        return self._inner[net]

    def activations(
        self, net: str, inputs: Mapping[str, Any], layers: Iterable[str] | None = None
    ) -> dict[str, Any]:
        """What the layers of a net give as torch tensors, in PyTorch's order of axes, by path.

        `layers`: their paths as `weft check` lists them, or those of blocks; all layers without.

        Raises: UsageError for a net or layer that does not exist, DataError for wrong inputs.
        """
        import torch

        from .native_engine import DTYPES

        inner = self.inner(net)
        types = self.program.nets[net].inputs
        if set(inputs) != set(types):
            given_names = ", ".join(inputs) or "nothing"
            raise UsageError(f"net `{net}` takes {', '.join(types)}; got {given_names}")
        given: dict[str, Array] = {
            name: np.ascontiguousarray(inputs[name], DTYPES[type.dtype])
            for name, type in types.items()
        }
        found = inner.values(given, inner.chosen(layers), self.engine.parameters)
        own = {path: np.require(value, None, "W") for path, value in found.items()}
        return {path: torch.from_numpy(value) for path, value in own.items()}

    def sample(
        self,
        prompts: Sequence[Sequence[int]],
        length: int | None = None,
        *,
        net: str | None = None,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        repetition_penalty: float = 1.0,
        seed: int = 0,
        stop: Collection[int] = (),
        given: Mapping[str, Any] | None = None,
        cache: bool | None = None,
        slide: bool | int = False,
    ) -> list[list[int]]:
        """Tokens that go on from prompts of one length, up to one of `stop` or `length` of them.

        `temperature` 0 is greedy; `given` holds the inputs of an encoder; `cache` None keeps what
        was computed where the net allows; `slide` goes on beyond the positions of the net,
        or as if it had so many.

        Raises: UsageError for prompts or settings that do not fit, or a net that looks ahead.
        """
        from .sample import begin
        from .sampler import Choice

        choice = Choice(temperature, top_k, top_p, repetition_penalty)
        sampling = begin(
            self, prompts, net=net, length=length, given=given, cache=cache, slide=slide
        )
        written: list[list[int]] = [[] for _ in prompts]
        for chosen in sampling.tokens(choice, seed=seed, stop=stop):
            for row, token in enumerate(chosen.tolist()):
                if token >= 0:
                    written[row].append(token)
        return written

    # ---- training steps --------------------------------------------------------------------------

    def _step(self, step: str | None) -> str:
        names = list(self.program.steps)
        if step is None and len(names) == 1:
            return names[0]
        if step in names:
            return str(step)
        if not names:
            raise UsageError("the spec has no `train` block", hint="add one, or use program.nets")
        raise UsageError(
            f"there is no step `{step}`" if step else "which step?",
            hint=f"steps: {', '.join(names)}",
        )

    def _inputs(self, step: str, inputs: Mapping[str, Any]) -> dict[str, Array]:
        from .data.conform import check_range
        from .native_engine import DTYPES

        ports = self.lowered.entry("train", step).inputs
        inputs = scaled(any(p.name == FIELD for p in ports), inputs)
        missing = [p.name for p in ports if p.name not in inputs]
        if missing:
            raise UsageError(
                f"step `{step}` needs {', '.join(missing)}",
                hint=f"fields: {[p.name for p in ports]}",
            )
        given: dict[str, Array] = {
            p.name: np.asarray(inputs[p.name], DTYPES[p.dtype], order="C") for p in ports
        }
        for line in (self.artifact.train or {}).get("data") or ():
            for name, bounds in line.get("ranges", {}).items():
                if name in given:
                    check_range(name, given[name], bounds, lambda row: f"row {row}")
        return given

    def value_and_grad(
        self, inputs: Mapping[str, Any], step: str | None = None, *, wrt: str = "parameters"
    ) -> tuple[Any, dict[str, Any]]:
        """The loss of a training step and its gradients as torch tensors; no update.

        `wrt`: by "parameters" under their names, in training mode, so that running statistics
        move on; or by "inputs" under those of the data's fields, as the loss is evaluated.

        Raises: UsageError for another `wrt`, or fields that are missing.
        """
        import torch

        name = self._step(step)
        if wrt not in ("parameters", "inputs"):
            hint = 'write wrt="parameters" or wrt="inputs"'
            raise UsageError(f"no gradient by `{wrt}`", hint=hint)
        if wrt == "inputs":
            found = self._by_inputs(name, self._inputs(name, inputs))
            loss = torch.tensor(float(found.pop("loss")))
            named = {k.removeprefix("d_"): np.asarray(v) for k, v in found.items()}
            return loss, {name: torch.from_numpy(value) for name, value in named.items()}
        result, arena = self.engine.gradient(
            name, self._inputs(name, inputs), index=self._index.get(name, 0), seed=self.seed
        )
        trained = set(self.lowered.entry("gradient", name).gradients.values())
        views = {
            p.name: parameter_view(arena, p) for p in self.artifact.parameters if p.name in trained
        }
        grads = {name: torch.from_numpy(np.array(view, order="C")) for name, view in views.items()}
        return torch.tensor(result.values["loss"]), grads

    def _by_inputs(self, step: str, inputs: dict[str, Array]) -> dict[str, Array]:
        """The loss and `d_<field>`, by kernels for the CPU (by NumPy for `reference`)."""
        if step not in self._sensitivity:
            lowered = lower_inputs(self.lowered, step)
            self._sensitivity[step] = (
                ReferenceEngine(lowered) if self.target == "reference" else _native(lowered)
            )
        engine = self._sensitivity[step]
        np.copyto(engine.parameters, self.engine.parameters)
        return engine.call("by_inputs", step, inputs, seed=self.seed, index=0)

    def train_step(
        self, inputs: Mapping[str, Any], step: str | None = None, *, rate: float | None = None
    ) -> float:
        """Forward, backward and update on one batch; returns the loss before the update.

        `rate` overrides the learning rate, else it is the schedule's first.
        """
        name = self._step(step)
        index = self._index.get(name, 0)
        recipe = self.program.steps[name].recipe
        rate = recipe["schedule"]["rate"] if rate is None else rate
        given = self._inputs(name, inputs)
        if recipe["optimizer"] in trainer.STEPPERS:
            result = self._stepper(name, given)(0, 1, rate, index)
        else:
            result = self.engine.train(name, given, rate=rate, index=index, seed=self.seed)
        self._index[name] = index + 1
        return result.values["loss"]

    def _stepper(self, step: str, inputs: dict[str, Array]) -> Stepper:
        """What updates a step whose optimizer is no kernel; these inputs are its next batch."""
        if step not in self._steppers:
            feed = Given(inputs)
            (own,) = (s for s in recipe_of(self.artifact, 1, steps=1).steps if s.name == step)
            maker = trainer.STEPPERS[own.optimizer]
            self._steppers[step] = feed, maker(self.engine, own, feed, self.seed)
        feed, stepper = self._steppers[step]
        feed.inputs = inputs
        return stepper

    def train(
        self,
        out: str | Path,
        *,
        resume: bool = False,
        tensorboard: bool = False,
        sync: bool = False,
        **options: Any,
    ) -> Record:
        """Train as the spec says; see `runtime.trainer.train` for the options.

        `tensorboard`: reports go to event files in `out`, too.  Where a launcher has started
        several processes, each takes its part of every batch, unless it has a `shard`; with `sync`
        all that is computed of a batch in training is of the whole one.
        """
        if not self.program.steps:
            raise UsageError("the spec has no `train` block", hint="add one: `train { … }`")
        root, given = Path(self.spec.path).resolve().parent, options.pop("processes", None)
        with launched(given, alone=options.get("shard") is not None) as processes:
            processes.connect(self.target)
            if tensorboard and not processes.rank:
                display = options.get("progress", "auto")
                shown = choose(display) if isinstance(display, str) else display
                options["progress"] = Logged(shown, Path(out))
            options |= {"root": root, "out": Path(out), "resume": resume, "processes": processes}
            if not (sync and processes.size > 1):
                return trainer.train(self.engine, self.artifact, **options)
            engine = Exchanging(self.lowered, processes)
            record = trainer.train(engine, engine.artifact, whole=True, **options)
            np.copyto(self.engine.parameters, engine.parameters)
            return record


def _native(lowered: Lowered) -> NativeEngine:
    return NativeEngine(replace(compile_native(lowered), train=None))


def compile(
    spec: Spec | str | Path,
    target: str = "auto",
    precision: str | None = None,
    *,
    seed: int | None = None,
) -> CompiledProgram:
    """Compile a spec (or the file of one) for a target.

    `precision` of products: f32, bf16 or f16; without it what the spec says.  The target
    `reference` is exact whatever it is.

    Raises: SpecError, UsageError, DeviceError.
    """
    loaded = spec if isinstance(spec, Spec) else load(str(spec))
    return CompiledProgram(loaded, check_target(target), seed=seed, precision=precision)


def train(
    spec: Spec | str | Path,
    out: str | Path,
    target: str = "auto",
    resume: bool = False,
    **options: Any,
) -> Record:
    """Compile and train; results go to the folder `out`.

    Raises: SpecError, DataError, CheckpointError, DivergenceError, DeviceError.
    """
    precision = options.pop("precision", None)
    program = compile(spec, target, precision, seed=options.get("seed"))
    return program.train(out, resume=resume, **options)
