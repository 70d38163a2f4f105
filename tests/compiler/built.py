"""Runs weft texts through the elaborator and the float64 reference."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from weft.compiler import reference
from weft.compiler.build import NetProgram, Program, elaborate, training_net
from weft.compiler.compile import lower
from weft.compiler.emit.c.part import Part
from weft.compiler.native import plan_entry
from weft.compiler.passes.differentiate import differentiate
from weft.spec.dims import evaluate, symbols
from weft.spec.load import Spec, load_text

Arrays = Mapping[str, np.ndarray]


def program(text: str, **params: object) -> Program:
    """The program of a `.weft` text."""
    return elaborate(load_text(text, "test.weft", params=params))


def part(spec: Spec, kind: str = "train") -> Part:
    """The plan for CPUs of the first entry of a kind."""
    lowered = lower(elaborate(spec), native=True)
    entry = next(e for e in lowered.entries if e.kind == kind)
    return plan_entry(entry, lowered.arena, lowered.slots, lowered.program.sizes).parts[0]


def net(text: str, feeds: Arrays, *, training: bool = False) -> dict[str, np.ndarray]:
    """The outputs of the only net; parameters are fed under their names inside the net."""
    built = net_program(text, training)
    return reference.run(built.graph, _named(built.name, feeds), sizes_of(built.inputs, feeds))


def buffers(text: str, feeds: Arrays) -> dict[str, np.ndarray]:
    """What training leaves in the buffers of the only net."""
    built = net_program(text, training=True)
    built.builder.outputs = dict(built.buffers)
    found = reference.run(built.graph, _named(built.name, feeds), sizes_of(built.inputs, feeds))
    return {name.removeprefix(f"{built.name}."): value for name, value in found.items()}


def gradients(
    text: str, feeds: Arrays, cotangent: np.ndarray | None = None, *, training: bool = False
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The only output, and the gradient of `sum(output * cotangent)` for every floating-point input
    and every parameter."""
    built = net_program(text, training)
    b = built.builder
    (output,) = built.outputs
    out = b.outputs[output]
    weight = b.input("cotangent", b[out].type)
    loss = b.sum(b.map("mul", out, weight), range(len(b[out].shape)))
    wrt = {
        node["feed"]: node.id
        for node in b.nodes
        if node.op == "input" and node.dtype == "f32" and node.id != weight
        if node["feed"] in (*built.inputs, *built.parameters) and node["feed"] not in built.buffers
    }
    found = differentiate(b, loss, list(wrt.values()))
    b.outputs = {"": out} | {name: found[i] for name, i in wrt.items()}
    fed = _named(built.name, feeds)
    sizes = sizes_of(built.inputs, feeds)
    shape = tuple(evaluate(e, sizes) for e in b[out].shape)
    fed["cotangent"] = np.ones(shape) if cotangent is None else cotangent
    result = reference.run(b.graph(), fed, sizes)
    value = result.pop("")
    return value, {name.removeprefix(f"{built.name}."): g for name, g in result.items()}


def net_program(text: str, training: bool) -> NetProgram:
    """The only net of a text, as it is used or as it is trained."""
    made = program(text)
    (name,) = made.nets
    return training_net(made, name) if training else made.nets[name]


def _named(name: str, feeds: Arrays) -> dict[str, np.ndarray]:
    def full(key: str) -> str:
        return f"{name}.{key}" if "." in key and not key.startswith(f"{name}.") else key

    return {full(key): value for key, value in feeds.items()}


def sizes_of(inputs: Mapping[str, object], feeds: Arrays) -> dict[str, int]:
    """What the feeds bind the sizes of the inputs to."""
    sizes: dict[str, int] = {}
    for name, type in inputs.items():
        for extent, size in zip(type.shape, feeds[name].shape, strict=True):  # type: ignore[attr-defined]
            for symbol in symbols(extent):
                sizes[symbol] = size
    return sizes
