"""What `weft check` answers: shapes, parameters, FLOPs and memory of a spec, as data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..spec.dims import Dim, evaluate, symbols
from ..spec.load import Spec
from ..spec.place import Place
from .artifact import ITEM_BYTES
from .build import NetProgram, Program, elaborate
from .ir.types import TensorType
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
    """One net; a parameter that two layers share counts once."""

    name: str
    parameters: int
    flops: int
    inputs: Mapping[str, TensorType]
    outputs: Mapping[str, TensorType]
    layers: tuple[LayerRow, ...]


@dataclass(frozen=True, slots=True)
class Memory:
    """What a training needs.

    Units: bytes.  `outputs` are those of all layers for a batch, the most that the backward pass
    can want to keep; the plan, which `weft explain` shows, shares and recomputes.
    """

    parameters: int
    gradients: int
    optimizer: int
    outputs: int
    sizes: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Report:
    """The whole answer."""

    name: str
    parameters: int
    nets: Mapping[str, NetReport]
    memory: Memory

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "name": self.name,
            "parameters": self.parameters,
            "nets": {name: _net_json(net) for name, net in self.nets.items()},
            "memory": {
                "parameters": self.memory.parameters,
                "gradients": self.memory.gradients,
                "optimizer": self.memory.optimizer,
                "outputs": self.memory.outputs,
                "sizes": dict(self.memory.sizes),
            },
        }


def check(spec: Spec) -> Report:
    """Elaborate a spec and describe it.

    Raises: SpecError with everything that is wrong.
    """
    return report(elaborate(spec))


def report(program: Program) -> Report:
    """Describe an elaborated spec."""
    counts = {p.name: math.prod(p.shape) for p in program.parameters}
    nets = {name: _net(net, program.sizes, counts) for name, net in program.nets.items()}
    total = sum(counts.values())
    memory = Memory(
        parameters=total * FLOAT,
        gradients=total * FLOAT if program.train else 0,
        optimizer=_optimizer(program, counts),
        outputs=sum(_outputs(net, program.sizes) for net in program.nets.values()),
        sizes=dict(program.sizes),
    )
    return Report(program.name, total, nets, memory)


def _net(net: NetProgram, sizes: Mapping[str, int], counts: Mapping[str, int]) -> NetReport:
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
        sum(counts[name] for name in net.parameters),
        sum(row.flops for row in layers),
        net.inputs,
        net.outputs,
        layers,
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
        owned = sum(n for name, n in counts.items() if name.split(".")[0] in step.updates)
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
        "flops": net.flops,
        "inputs": {name: _type_json(type) for name, type in net.inputs.items()},
        "outputs": {name: _type_json(type) for name, type in net.outputs.items()},
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
    }


def _type_json(type: TensorType) -> dict[str, Any]:
    return {"dtype": type.dtype, "shape": [_dim_json(dim) for dim in type.shape]}


def _shapes_json(types: tuple[TensorType, ...]) -> list[Any]:
    """The shape of a layer's output; of several outputs, a list of shapes."""
    shapes = [[_dim_json(dim) for dim in type.shape] for type in types]
    return shapes[0] if len(shapes) == 1 else shapes


def _dim_json(dim: Dim) -> int | str:
    return dim if isinstance(dim, int) else str(dim)
