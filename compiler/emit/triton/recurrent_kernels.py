"""The kernel of a recurrence or its adjoint: operands by their strides, and the block it takes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ....spec.dims import Dim
from ...ir.graph import Node
from ...ops import OPS
from ...ops.recurrences import CELLS, ON_THE_WAY, WEIGHT
from ...plan.memory import nominal
from .composed import Composed, composed
from .contraction import Stride
from .kernel import POINTER_TYPES, Factor, KernelText, Parameter, Workspace, merged
from .library import PLACES
from .part import Machine, Part, Work, free
from .products import Names
from .recurrent import Array, Recurrence, adjoint, constants, forward
from .template import call, tidy
from .time_blocks import STAGES, TimeBlock, time_block


def recurrent(part: Part, work: Work, machine: Machine) -> Composed:
    """The kernel of a recurrence or its adjoint.

    Raises: LookupError when no smaller block is left.
    """
    node = part.graph[work.key]
    riders = sorted(work.writes - {node.id})
    values = dict.fromkeys([*(part.values.base(o) for o in node.operands), node.id, *riders])
    names, sizes = part.short(values), Names()

    def array(i: int) -> Array:
        strides: tuple[Stride, ...] = tuple(map(sizes.stride, part.layout(i).strides))
        return Array(names[part.values.base(i)], strides)

    units = part.graph[node.operands[WEIGHT[node.op]]].shape[1]
    assert isinstance(units, int)
    shared: dict[str, Any] = {
        "cell": node["cell"],
        "samples": sizes.extent(node.shape[0], "samples"),
        "time": sizes.extent(part.graph[node.operands[0]].shape[1], "time"),
        "units": units,
        "precision": machine.precision,
        "wide": part.wide(values),
    }
    operands = list(map(array, node.operands))
    known = node.op in ON_THE_WAY.values()  # and what is made on the way is wanted
    made, *operands = operands if known else [array(node.id), *operands]
    wanted = next(iter([node.id] if known else riders), None)
    also = array(wanted) if wanted is not None else None
    spaces: tuple[Workspace, ...] = ()
    if node.op in ("recurrence_input", "recurrence_begin"):
        opened, weight, states, first, d = operands
        above = part.graph[node.operands[WEIGHT[node.op] + 3]].shape[2]
        if also is None:
            wide = CELLS[node["cell"]].states * units
            also = Array(free("later", names.values()), (wide, 1))
            factors = Factor(shared["samples"]), Factor(wide)
            spaces = (Workspace(f"{also.name}_ptr", factors),)
        r = Recurrence(
            **shared, opened=opened, weight=weight, states=states, begin=(first,), d=d,
            above=1 if above == units else 2, result=made, later=also, stored=not known,
        )  # fmt: skip
    else:
        gates, weight, bias, *begin = operands
        r = Recurrence(
            **shared, gates=gates, weight=weight, bias=bias, begin=tuple(begin), states=made,
            opened=also, stored=not known,
        )  # fmt: skip
    name, title = part.name(work), part.title(names, work)
    key = f"{name}: {title}"
    many = nominal(node.shape[0], part.values.sizes)
    block = time_block(many, machine.arch, machine.levels.get(key, 0)).narrowed(units)
    pointers = [Parameter.pointer(n, part.graph[i].dtype) for i, n in names.items()]
    pointers += [Parameter(space.parameter, POINTER_TYPES["f32"], True) for space in spaces]
    text = _kernel(name, title, r, block, merged(pointers, sizes.parameters()), spaces)
    flops = nominal(flops_of(node, part), part.values.sizes)
    found = composed((text,), names, sizes, (), part.places([node.id]), "recurrence", flops)
    return replace(found, key=key)


def flops_of(node: Node, part: Part) -> Dim:
    """What an operation of a part costs by its record."""
    work = OPS[node.op].work
    assert work is not None
    types = tuple(part.graph[o].type for o in node.operands)
    return work(types, node.type, dict(node.attributes))


def _kernel(
    name: str,
    title: str,
    r: Recurrence,
    block: TimeBlock,
    parameters: tuple[Parameter, ...],
    spaces: tuple[Workspace, ...],
) -> KernelText:
    """The text around a body."""
    sides = {"BM": block.rows, "BN": block.columns, "BK": block.depth}
    body = [*constants(r, sides), *(forward if r.result is None else adjoint)(r)]
    text = [
        "@triton.jit",
        *call(f"def {name}", [p.name for p in parameters], 0, "):"),
        f'    """{title}',
        "",
        f"    A program takes {block.rows} samples through all steps.",
        "",
        f"    {PLACES}",
        '    """',
        *(f"    {line}" for line in body),
    ]
    dots = sum("tl.dot(" in line for line in body)
    grid = ((Factor(r.samples, block.rows),),)
    return KernelText(
        name, tidy(text), parameters, grid, block.warps, STAGES, dots,
        workspaces=spaces, alone=block.alone,
    )  # fmt: skip
