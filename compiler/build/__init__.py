"""From the tree of a spec to graphs: blocks expanded, shapes inferred, values with places."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from ...spec.errors import Diagnostic, SpecError
from ...spec.load import Spec
from ...spec.source import bounded
from ..ir.collection import uncollected
from . import bodies
from .data import GUESS, likely
from .elaboration import Catalogue, Elaboration, ParameterDeclaration
from .faults import Fault, Faults
from .hiding import hiding
from .nets import Layer, NetProgram, build_net, build_outline
from .outline import Part
from .replay import Memory
from .steps import StepProgram, build_training
from .trace import Trace

__all__ = [
    "Layer",
    "NetProgram",
    "ParameterDeclaration",
    "Program",
    "StepProgram",
    "Trace",
    "elaborate",
    "outline_of",
    "training_net",
]

DEEP = 20_000  # Python calls; 64 blocks inside each other need more than the usual 1,000


@dataclass(frozen=True, slots=True)
class Program:
    """Everything that a spec says, as graphs.

    `parameters` in the order of their declaration; `train` is the recipe, plain JSON data; `sizes`
    gives every symbolic dimension a likely value, `seen` those of each net that its use in the
    training tells.
    """

    name: str
    parameters: tuple[ParameterDeclaration, ...]
    nets: Mapping[str, NetProgram]
    steps: Mapping[str, StepProgram]
    train: Mapping[str, Any] | None
    sizes: Mapping[str, int]
    spec: Spec
    seen: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def sizes_of(self, net: str) -> dict[str, int]:
        """Likely sizes for one net: those that it is trained with, as far as that is known."""
        return {**self.sizes, **self.seen.get(net, {})}


@uncollected()
def elaborate(spec: Spec, trace: Trace | None = None, *, replay: bool = True) -> Program:
    """The program of a spec; `trace` takes down what is seen on the way, errors or not.

    `replay`: blocks that are used again are played back, which is faster and gives the same graphs;
    where there is a trace, each of them is elaborated.

    Raises: SpecError with everything that is wrong, in the order of the text.
    """
    catalogue = Catalogue(spec, trace, Memory() if replay and trace is None else None)
    steps: dict[str, StepProgram] = {}
    train: dict[str, Any] | None = None
    sizes: dict[str, int] = {}
    with _deep():
        _check_file(catalogue)
        built = [build_net(catalogue, net, i) for i, net in enumerate(spec.file.nets)]
        nets = {net.name: net for net in built if net is not None}
        catalogue.rest(catalogue.declared.values())
        if spec.file.train is not None:
            steps, train, sizes = build_training(catalogue, spec.file.train)
    if catalogue.faults:
        raise SpecError(_in_order(catalogue.faults, spec), spec.texts)
    guesses: dict[str, int] = {}
    for net in nets.values():
        for type in (*net.inputs.values(), *net.outputs.values()):
            for name, multiple in likely(type.shape):
                guesses[name] = multiple * -(-GUESS // multiple)
        for condition in net.needs:
            condition.likely(guesses)
    declared = tuple(catalogue.declared.values())
    sizes = {**guesses, **sizes}
    name = PurePath(spec.path).stem
    return Program(name, declared, nets, steps, train, sizes, spec, catalogue.seen)


def training_net(program: Program, name: str) -> NetProgram:
    """A net as it runs while it is trained; the program has shown that it can be built."""
    catalogue = Catalogue(program.spec, memory=Memory())
    catalogue.rest(program.parameters)
    with _deep():
        for index, net in enumerate(program.spec.file.nets):
            found = build_net(catalogue, net, index, training=True)
            if net.name == name and found is not None:
                return found
    raise KeyError(name)


def outline_of(program: Program, name: str) -> tuple[Part, ...]:
    """What runs in a net, as its text calls it, with the values of its graph: every block is
    elaborated for it.
    """
    catalogue = Catalogue(program.spec)
    with _deep():
        for index, net in enumerate(program.spec.file.nets):
            found = build_outline(catalogue, net, index)
            if net.name == name:
                return found
    raise KeyError(name)


def _check_file(catalogue: Catalogue) -> None:
    """Names that are taken, and `default` lines of the file."""
    spec = catalogue.spec
    e = Elaboration(catalogue, training=False, declaring=False, streams=0)
    faults = list(hiding(catalogue))
    if not spec.file.nets:
        text = "there is no `net` in this file"
        faults.append(Fault("E208", text, spec.file.place, "for instance `net mlp { … }`"))
    scope = catalogue.root(spec.file.place, False)
    for default in spec.file.defaults:
        bodies.attempt(lambda d=default: bodies.check_default(e, d, scope), faults)  # type: ignore[misc]
    if faults:
        catalogue.add(Faults(faults))


def _in_order(faults: list[Fault], spec: Spec) -> tuple[Diagnostic, ...]:
    """By the text: the spec's own file first, then others, from top to bottom."""

    def position(fault: Fault) -> tuple[bool, str, int, int]:
        place = fault.place
        if place is None:
            return (False, "", 0, 0)
        return (place.file != spec.file.path, place.file, place.line, place.column)

    return bounded([fault.diagnostic() for fault in sorted(faults, key=position)])


@contextmanager
def _deep() -> Iterator[None]:
    """Room for blocks inside blocks: each level takes a dozen Python calls."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, DEEP))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)
