"""Training steps: loss and metrics as graphs, and the recipe that the trainer follows."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...spec.dims import symbols
from ...spec.errors import suggest
from ...spec.expressions import Call, Name
from ...spec.place import Place
from ...spec.tree import Flow, Metric, Step, Train
from ..ir.builder import Builder
from ..ir.graph import Graph
from ..ir.types import FLOATS, TensorType, held
from . import bodies, expressions, flows, recipe
from .answers import Answer, answers, by_net
from .cost import live
from .data import DataLine, data_lines, nominal_sizes, unknown_tokens
from .elaboration import Catalogue, Elaboration
from .elsewhere import setting_of
from .faults import Fault, Faults, fault
from .frozen import frozen_by
from .names import names_in
from .scope import Scope
from .values import BROKEN, Origin, Tensor, Value, Values, show

@dataclass(frozen=True, slots=True)
class StepProgram:
    """A training step: the loss in training mode, not differentiated yet, and its evaluation.

    `loss` and `metrics` are nodes of `builder`; `parameters` those of all nets in use, by full
    name; `inputs` the fields of the data that the step reads; `buffers` what training leaves in
    each buffer; `frozen` the parameters of the nets it updates that it leaves as they are; `answers` what is
    compared with a field of the data by a loss or metric of the library, nodes of `evaluated`.
    """

    name: str
    updates: tuple[str, ...]
    builder: Builder
    loss: int
    metrics: Mapping[str, int]
    parameters: Mapping[str, int]
    inputs: Mapping[str, TensorType]
    evaluated: Builder
    recipe: Mapping[str, Any]
    place: Place
    buffers: Mapping[str, int] = field(default_factory=dict)
    frozen: frozenset[str] = frozenset()
    answers: Mapping[str, Answer] = field(default_factory=dict)

    def trains(self, parameter: str) -> bool:
        """Whether the step changes the parameter of this full name, if it is one at all."""
        return parameter.partition(".")[0] in self.updates and parameter not in self.frozen

    @property
    def evaluation(self) -> Graph:
        """Loss and metrics in inference mode."""
        return self.evaluated.graph()


def build_training(
    catalogue: Catalogue, train: Train
) -> tuple[dict[str, StepProgram], dict[str, Any], dict[str, int]]:
    """The steps, the recipe of the training, and likely sizes of the data's axes."""
    faults: list[Fault] = []
    e = Elaboration(catalogue, training=True, declaring=False, streams=0)
    scope = Scope("", catalogue.root(train.place, False))
    settings = recipe.train_settings(e, train, scope, faults)
    lines, whole = data_lines(e, train, scope, faults)
    if faults:
        catalogue.add(Faults(faults))
    steps: dict[str, StepProgram] = {}
    bounds: dict[str, tuple[int, int, int | None]] = {}
    for index, step in enumerate(train.steps):
        built = _build_step(catalogue, step, index, scope, lines, whole)
        if built is not None:
            steps[step.name] = built[0]
            bounds |= built[1]
    if not train.steps:
        hint = "for instance `step main updates net { … }`"
        catalogue.add(fault("E208", "`train` has no `step`", train.place, hint))
    whole_steps = [s for s in steps.values() if s.recipe["optimizer"] == "lbfgs"]
    if whole_steps and settings["ema"] is not None:
        place = next(s.place for s in train.settings if s.name == "ema")
        text = f"`lbfgs` in step `{whole_steps[0].name}` keeps no average of the weights"
        catalogue.add(fault("E304", text, place, "leave `ema` out"))
    unknown = unknown_tokens(lines, bounds)
    if unknown:
        catalogue.add(Faults(unknown))
    settings["data"] = [line.recipe(bounds) for line in lines]
    settings["step"] = [step.recipe for step in steps.values()]
    return steps, settings, nominal_sizes(lines)


def _build_step(
    catalogue: Catalogue,
    step: Step,
    index: int,
    sizes: Scope,
    lines: Sequence[DataLine],
    whole: bool,
) -> tuple[StepProgram, dict[str, tuple[int, int, int | None]]] | None:
    """One step in training mode and in evaluation, or None after noting what is wrong."""
    streams = (len(catalogue.nets) + index + 1) << 20
    faults: list[Fault] = []
    runs: list[_Run] = []
    for training in (True, False):
        if runs and not runs[0].e.asked:
            break  # it would come out the same
        e = Elaboration(catalogue, training=training, declaring=False, streams=streams)
        run = _Run(e, step, sizes, lines, whole)
        runs.append(run)
        if training:
            settings = recipe.step_settings(e, step, sizes, faults)
        try:
            run.execute(faults)
        except Faults as found:  # a fatal one
            faults += found.faults
    first, second = runs[0], runs[-1]
    _check_updates(first, faults)
    frozen = frozen_by(step, settings.pop("freeze"), catalogue.declared, faults)
    if faults:
        catalogue.add(Faults(faults))
    if faults or first.loss is None or second.loss is None:
        return None
    inputs = first.inputs()
    own = catalogue.spec.blocks.own
    bits = {} if "bits" in own else _bits(step, {name for line in lines for name in line.names})
    spread = [] if "perplexity" in own else [m.name for m in step.metrics if _is_perplexity(m)]
    answered = answers(step, second.scope, second.types, own, catalogue.nets)
    of_nets = by_net(answered)
    entry = {
        "name": step.name,
        "updates": list(step.updates),
        **settings,
        "metrics": list(first.metrics),
        **({"bits": bits} if bits else {}),
        **({"perplexity": spread} if spread else {}),
        **({"answers": of_nets} if of_nets else {}),
        **({"frozen": list(frozen)} if frozen else {}),
        "inputs": list(inputs),
        "place": str(step.place),
    }
    b = first.e.b
    evaluated = b.fork() if second is first else second.e.b
    evaluated.outputs |= {"loss": second.loss, **second.metrics}
    parameters = {name: tensor.id for name, tensor in first.e.parameters.items()}
    program = StepProgram(
        step.name,
        step.updates,
        b,
        first.loss,
        first.metrics,
        parameters,
        inputs,
        evaluated,
        entry,
        step.place,
        dict(first.e.updates),
        frozenset(frozen),
        answered,
    )
    return program, first.e.bounds


def _bits(step: Step, fields: Collection[str]) -> dict[str, str]:
    """The metrics that are `bits(logits, field)` or `logits -> bits(field)`: in bits a token."""
    found = {}
    for metric in step.metrics:
        call = metric.flow.pieces[-1].stage
        if not isinstance(call, Call) or call.name != "bits" or metric.name == "loss":
            continue
        given = {setting.name: setting.value for setting in call.named}
        target = given.get("target", call.positional[-1] if call.positional else None)
        if isinstance(target, Name) and target.id in fields:
            found[metric.name] = target.id
    return found


def _is_perplexity(metric: Metric) -> bool:
    """Is a metric `perplexity(…)`, whose logarithm is what is averaged?"""
    call = metric.flow.pieces[-1].stage
    return isinstance(call, Call) and call.name == "perplexity"


class _Run:
    """One elaboration of a step."""

    def __init__(
        self, e: Elaboration, step: Step, sizes: Scope, lines: Sequence[DataLine], whole: bool
    ) -> None:
        self.e = e
        self.step = step
        self.scope = Scope("", sizes)
        self.types: dict[str, TensorType] = {}
        self.loss: int | None = None
        self.metrics: dict[str, int] = {}
        for line in lines:
            for name, place, type in zip(line.names, line.places, line.types, strict=True):
                id = e.b.rounded(e.b.input(name, held(type)), type.dtype)
                tensor = e.tensor(id, Origin(name, place, "data"), (), name)
                self.scope.define(name, tensor, place, "data")
                self.types[name] = type
        self.whole = whole

    def execute(self, faults: list[Fault]) -> None:
        """Values, loss, metrics; what follows from a broken data line is not told."""
        step, scope = self.step, self.scope
        if not self.whole:
            for name in _unbound(step, scope):
                scope.define(name, BROKEN, None, "broken")
        for assign in step.values:
            bodies.run_assign(self.e, assign, scope, faults)
        self.loss = self._number(step.loss, "loss", f"the loss of step `{step.name}`", faults)
        loss: Value = BROKEN
        if self.loss is not None:
            place = step.loss.place
            loss = self.e.tensor(self.loss, Origin("loss", place), (), "loss")
        scope.define("loss", loss, step.loss.place, "loss")
        for metric in step.metrics:
            if metric.name == "loss":
                text = "a metric cannot be called `loss`: the loss is reported anyway"
                faults.append(Fault("E202", text, metric.place))
                continue
            id = self._number(metric.flow, metric.name, f"the metric `{metric.name}`", faults)
            if id is not None:
                self.metrics[metric.name] = id
        unused = "use it, or leave it out"
        for name, entry in scope.unused():
            faults.append(
                Fault("E204", f"`{name}` is never used", entry.place, setting_of(name) or unused)
            )

    def inputs(self) -> dict[str, TensorType]:
        """The fields that loss and metrics depend on, and those that alone give a size."""
        assert self.loss is not None
        b = self.e.b
        needed = live(b, (self.loss, *self.metrics.values()))
        feeds = {b[i]["feed"] for i in needed if b[i].op == "input"}
        unknown = {name for i in needed for name in _sizes(b[i].type)}
        for name in feeds & self.types.keys():
            unknown -= _sizes(self.types[name])
        for name, type in self.types.items():
            if unknown & _sizes(type):
                feeds.add(name)
                unknown -= _sizes(type)
        return {name: type for name, type in self.types.items() if name in feeds}

    def _number(self, text: Flow, name: str, what: str, faults: list[Fault]) -> int | None:
        """The scalar that a flow gives."""
        found = bodies.attempt(lambda: flows.flow(self.e, text, self.scope.arm(None)), faults)
        if found is None:
            self.scope.mark(names_in(text))
            return None
        try:
            return self._scalar(found, text, name, what)
        except Faults as wrong:
            faults += wrong.faults
        return None

    def _scalar(self, found: Values, text: Flow, name: str, what: str) -> int:
        place = text.pieces[-1].stage.place
        if len(found) != 1:
            raise fault("E405", f"{what} is {len(found)} values", place, "give one number")
        value = expressions.needs_value(found[0], place)
        if not isinstance(value, Tensor):
            raise fault("E405", f"{what} is {show(value)}: it does not depend on anything", place)
        if value.type.shape:
            raise fault(
                "E405", f"{what} is not one number: {value}", place, "take its mean(…) or sum(…)"
            )
        b = self.e.b
        if name == "loss" and value.type.dtype not in FLOATS:
            raise fault("E405", f"{what} must be f32, not {value.type.dtype}", place)
        with b.at(text.place):
            id = value.id if value.type.dtype in FLOATS else b.cast(value.id, "f32")
        return b.rename(id, name)


def _sizes(type: TensorType) -> frozenset[str]:
    """The symbols in the shape of a type."""
    return frozenset(name for extent in type.shape for name in symbols(extent))


def _unbound(step: Step, scope: Scope) -> set[str]:
    """Names that may be those of a data line that could not be read."""
    texts = (*(a.flow for a in step.values), step.loss, *(m.flow for m in step.metrics))
    given = {name for a in step.values for name in a.names} | {"loss"}
    return {n for n in names_in(texts) if not scope.has(n)} - given


def _check_updates(run: _Run, faults: list[Fault]) -> None:
    """Every net that a step updates exists, and its loss depends on it."""
    step, nets = run.step, run.e.catalogue.nets
    for name, place in zip(step.updates, step.places, strict=True):
        if name not in nets:
            text = f"unknown net `{name}`"
            listed = f"the nets here are {', '.join(nets)}" if nets else "there is no net"
            faults.append(Fault("E301", text, place, suggest(name, nets) or listed))
        elif run.loss is not None and name not in run.e.catalogue.broken:
            own = {t.id for n, t in run.e.parameters.items() if n.startswith(f"{name}.")}
            if not own & live(run.e.b, (run.loss,)):
                text = f"step `{step.name}` updates `{name}`, but its loss does not depend on it"
                hint = "leave it out, or use it in the loss"
                faults.append(Fault("E204", text, place, hint))
