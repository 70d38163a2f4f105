"""Where a step finds its values: a named pointer for each, and what the host finds in memory."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ...artifact import Buffer, Scalar
from ...ir.graph import Node
from ...plan.memory import Home, expression
from ..names import c_expression
from .call import place_in
from .part import Part
from .printer import STORED
from .scalars import c_scalars


def pointers(parts: Sequence[Part], text: str, given: Sequence[Scalar]) -> list[str]:
    """A named pointer for every value that the body mentions and that all threads share, and the
    numbers `given` to the step.
    """
    lines = ["    float *const workspace = call->workspace;"]
    words = set(re.findall(r"[A-Za-z_]\w*", text))
    scalars: dict[str, str] = {}
    for part in parts:
        for value, name in part.names.items():
            home, kind = part.homes[value], STORED[part.graph[value].dtype]
            if home.space == "scalar":
                scalars[part.graph[value]["feed"]] = name
            elif name in words and not part.cached(value) and value not in part.spare:
                fixed = "const " if home.space == "input" else ""
                at, shape = _address(home, kind, fixed), _shape(part.graph[value])
                lines.append(f"    {fixed}{kind} *const {name} = {at};  /* {shape} */")
            if value in part.parts and f"{name}_parts" in words:
                place = place_in("workspace", Home("", 0, part.parts[value], home.layout), kind)
                lines.append(f"    {kind} *const {name}_parts = {place};")
    return lines + [f"    {text}" for text in c_scalars(given, scalars)]


def own_pointers(parts: Sequence[Part]) -> list[str]:
    """Values that every thread makes: in its own memory; the first one's are the result."""
    lines: list[str] = []
    at = 0
    for part in parts:
        for value, name in part.names.items():
            home, kind = part.homes[value], STORED[part.graph[value].dtype]
            shape = f"  /* {_shape(part.graph[value])} */"
            if home.space == "own":
                at_own = place_in("own", _moved(home, at), kind)
                lines.append(f"{kind} *const {name} = {at_own};{shape}")
            elif value in part.spare:
                spare = place_in("own", Home("own", 0, part.spare[value] + at, home.layout), kind)
                result = _address(home, kind)
                lines.append(f"{kind} *const {name} = me == 0 ? {result} : {spare};{shape}")
        at += part.own
    return lines


def _address(home: Home, kind: str, fixed: str = "") -> str:
    """The address of a value that all threads share."""
    source = {
        "input": f"call->inputs[{home.slot}]",
        "output": f"call->outputs[{home.slot}]",
        "state": f"call->state[{home.slot}]",
        "parameter": "call->parameter",
        "gradient": "call->gradient",
        "workspace": "workspace",
    }[home.space]
    if home.offset != 0:
        source += f" + {c_expression(home.offset)}"
    plain = kind == "float" or home.space in ("input", "output")
    return source if plain else f"({fixed}{kind} *)({source})"


def buffers_of(part: Part) -> list[Buffer]:
    """What the host can find in memory, in the order in which it is written."""
    found: dict[int, Buffer] = {}
    for launch in (x for level in part.levels for stage in level for x in stage.launches):
        for value in sorted(launch.writes):
            if part.cached(value) or value in found:
                continue
            home, node = part.homes[value], part.graph[value]
            shape = tuple(map(expression, node.shape))
            strides = tuple(map(expression, home.layout.strides))
            offset, place = expression(home.offset * 4), str(node.place) if node.place else ""
            name = part.names[value]
            found[value] = Buffer(
                name, node.dtype, shape, home.space, home.slot, offset, strides, place
            )
    return list(found.values())


def _moved(home: Home, by: int) -> Home:
    return Home(home.space, home.slot, home.offset + by, home.layout)


def _shape(node: Node) -> str:
    return f"[{', '.join(map(str, node.shape))}]"
