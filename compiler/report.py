"""What `weft check` answers: shapes, parameters, FLOPs and memory of a spec, as data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..spec.dims import Dim, evaluate, symbols
from ..spec.load import Spec
from ..spec.place import Place
from .accounting import TokenCost, forward_flops, step_flops, token_cost
from .artifact import ITEM_BYTES
from .build import NetProgram, Program, StepProgram, elaborate
from .conditions import Condition
from .ir.types import TensorType
from .notes import Note, notes
from .optimizers import OPTIMIZERS

FLOAT = ITEM_BYTES["f32"]


@dataclass(frozen=True, slots=True)
class LayerRow:
    """One layer.  Units: `parameters` in elements, `flops` of the forward pass for one sample."""

    path: str
    op: str
    outputs: tuple[TensorType, ...]
    parameters: int
    flops: int
    place: Place


@dataclass(frozen=True, slots=True)
class NetReport:
    """One net; a parameter that two layers share counts once.

    `needs`: what must hold of the sizes of the inputs; `token`: what each costs a net that reads
    texts.

    Units: `parameters` and `buffers` in elements, `flops` of the forward pass for one sample.
    """

    name: str
    parameters: int
    buffers: int
    flops: int
    inputs: Mapping[str, TensorType]
    outputs: Mapping[str, TensorType]
    layers: tuple[LayerRow, ...]
    needs: tuple[Condition, ...]
    token: TokenCost | None = None


@dataclass(frozen=True, slots=True)
class Memory:
    """What running or training takes.

    Units: bytes.  `outputs` are those of all layers for a batch, the most that the backward pass
    can want to keep; the plan, which `weft explain` shows, shares and recomputes.
    """

    parameters: int
    buffers: int
    gradients: int
    optimizer: int
    outputs: int
    sizes: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Training:
    """One call of a training step: floating-point operations at some sizes, forward and backward.

    The update is not counted, and the backward pass is that of products exactly, of the rest by
    estimate.
    """

    flops: int
    sizes: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Report:
    """The whole answer.

    Units: elements; `trainable` parameters are those that a step updates (all, where nothing is
    trained), `buffers` are what layers keep without a gradient.  `training` says for each step how
    many floating-point operations one call takes, at the likely sizes of its batch; `precision` is
    that of products, `notes` what is allowed and hardly meant.
    """

    name: str
    parameters: int
    trainable: int
    buffers: int
    nets: Mapping[str, NetReport]
    training: Mapping[str, Training]
    memory: Memory
    precision: str = "f32"
    notes: tuple[Note, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "name": self.name,
            "parameters": self.parameters,
            "trainable": self.trainable,
            "buffers": self.buffers,
            "precision": self.precision,
            "notes": [
                {"place": str(n.place or ""), "message": n.message, "hint": n.hint}
                for n in self.notes
            ],
            "training": {
                name: {"flops": step.flops, "sizes": dict(step.sizes)}
                for name, step in self.training.items()
            },
            "nets": {name: _net_json(net) for name, net in self.nets.items()},
            "memory": {
                "parameters": self.memory.parameters,
                "buffers": self.memory.buffers,
                "gradients": self.memory.gradients,
                "optimizer": self.memory.optimizer,
                "outputs": self.memory.outputs,
                "sizes": dict(self.memory.sizes),
            },
        }


def check(spec: Spec, length: int | None = None) -> Report:
    """Elaborate a spec and describe it; `length` as for `report`.

    Raises: SpecError with everything that is wrong.
    """
    return report(elaborate(spec), length)


def report(program: Program, length: int | None = None) -> Report:
    """Describe an elaborated spec; a text is taken to be of this `length` where nothing says it."""
    counts = {p.name: math.prod(p.shape) for p in program.parameters if p.trainable}
    buffers = {p.name: math.prod(p.shape) for p in program.parameters if not p.trainable}
    nets = {
        name: _net(net, program.sizes_of(name), counts, buffers, length)
        for name, net in program.nets.items()
    }
    steps = program.steps.values()
    total, held = sum(counts.values()), sum(buffers.values())
    updated = [n for n in counts if not steps or any(step.trains(n) for step in steps)]
    trainable = sum(counts[name] for name in updated)
    memory = Memory(
        parameters=total * FLOAT,
        buffers=held * FLOAT,
        gradients=trainable * FLOAT if program.train else 0,
        optimizer=_optimizer(program, counts),
        outputs=sum(_outputs(net, program.sizes_of(name)) for name, net in program.nets.items()),
        sizes={n: size for name in program.nets for n, size in program.sizes_of(name).items()},
    )
    training = {name: _training(step, program.sizes) for name, step in program.steps.items()}
    precision = str((program.train or {}).get("precision") or "f32")
    return Report(
        program.name, total, trainable, held, nets, training, memory, precision, notes(program)
    )


def _training(step: StepProgram, sizes: Mapping[str, int]) -> Training:
    """What a step costs, and the sizes in its inputs."""
    dims = [dim for type in step.inputs.values() for dim in type.shape]
    used = {name: sizes[name] for dim in dims for name in sorted(symbols(dim))}
    return Training(step_flops(step, sizes), used)


def _net(
    net: NetProgram,
    sizes: Mapping[str, int],
    counts: Mapping[str, int],
    buffers: Mapping[str, int],
    length: int | None,
) -> NetReport:
    """The report of one net; a sample is what one row along the inputs' first axis is."""
    single = {**sizes, **dict.fromkeys(_batch(net), 1)}
    layers = tuple(
        LayerRow(
            row.path, row.op, row.outputs, row.parameters, evaluate(row.flops, single), row.place
        )
        for row in net.layers
    )
    return NetReport(
        net.name,
        sum(counts.get(name, 0) for name in net.parameters),
        sum(buffers.get(name, 0) for name in net.parameters),
        forward_flops(net.builder, net.builder.outputs.values(), single),
        net.inputs,
        net.outputs,
        layers,
        net.needs,
        token_cost(net, counts, sizes, length),
    )


def _batch(net: NetProgram) -> frozenset[str]:
    """The symbols of the first axes of the inputs."""
    first = [type.shape[0] for type in net.inputs.values() if type.shape]
    return frozenset(name for dim in first for name in symbols(dim))


def _outputs(net: NetProgram, sizes: Mapping[str, int]) -> int:
    return sum(
        math.prod(evaluate(dim, sizes) for dim in type.shape) * ITEM_BYTES[type.dtype]
        for row in net.layers
        for type in row.outputs
    )


def _optimizer(program: Program, counts: Mapping[str, int]) -> int:
    """Bytes of the optimizers' states."""
    total = 0
    for step in program.steps.values():
        owned = sum(n for name, n in counts.items() if step.trains(name))
        total += _states(step.recipe["optimizer"], step.recipe["settings"]) * owned * FLOAT
    return total


def _states(optimizer: str, settings: Mapping[str, Any]) -> int:
    """How many numbers an optimizer keeps for each parameter."""
    if optimizer == "lbfgs":
        return 2 * int(settings["history_size"])
    return len(OPTIMIZERS[optimizer].states(settings))


def _net_json(net: NetReport) -> dict[str, Any]:
    return {
        "parameters": net.parameters,
        "buffers": net.buffers,
        "flops": net.flops,
        "inputs": {name: _type_json(type) for name, type in net.inputs.items()},
        "outputs": {name: _type_json(type) for name, type in net.outputs.items()},
        "needs": [
            {"condition": c.text, "line": c.place.line if c.place else None} for c in net.needs
        ],
        "layers": [
            {
                "path": row.path,
                "op": row.op,
                "shape": _shapes_json(row.outputs),
                "parameters": row.parameters,
                "flops": row.flops,
                "file": row.place.file,
                "line": row.place.line,
            }
            for row in net.layers
        ],
        **({"token": net.token.to_json()} if net.token is not None else {}),
    }


def _type_json(type: TensorType) -> dict[str, Any]:
    return {"dtype": type.dtype, "shape": [_dim_json(dim) for dim in type.shape]}


def _shapes_json(types: tuple[TensorType, ...]) -> list[Any]:
    """The shape of a layer's output; of several outputs, a list of shapes."""
    shapes = [[_dim_json(dim) for dim in type.shape] for type in types]
    return shapes[0] if len(shapes) == 1 else shapes


def _dim_json(dim: Dim) -> int | str:
    return dim if isinstance(dim, int) else str(dim)
