"""Puts statements together into bodies, steps and files, with checks both forms share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from .expressions import Expr, Setting
from .place import Place
from .source import Findings
from .tree import (
    Assign,
    Block,
    Body,
    Data,
    Default,
    File,
    Flow,
    Import,
    Input,
    Let,
    Metric,
    Net,
    Step,
    Train,
    Type,
    Variant,
    Weight,
    is_structure,
)

STEP_SETTINGS = ("optimizer", "every", "clip", "accumulate", "freeze")


@dataclass(slots=True)
class BodyParts:
    """What a body holds, while it is read; `whole` is False once a line of it could not be read."""

    inputs: list[Input] = field(default_factory=list)
    defaults: list[Default] = field(default_factory=list)
    lets: list[Let] = field(default_factory=list)
    weights: list[Weight] = field(default_factory=list)
    values: list[Assign] = field(default_factory=list)
    results: tuple[Flow, ...] = ()
    whole: bool = True

    def body(self, place: Place) -> Body:
        """The finished body."""
        return Body(
            tuple(self.inputs),
            tuple(self.defaults),
            tuple(self.lets),
            tuple(self.weights),
            tuple(self.values),
            self.results,
            place,
        )


@dataclass(slots=True)
class StepParts:
    """What a step holds, while it is read."""

    name: str
    updates: tuple[str, ...]
    places: tuple[Place, ...]
    settings: list[Setting] = field(default_factory=list)
    values: list[Assign] = field(default_factory=list)
    loss: Flow | None = None
    metrics: list[Metric] = field(default_factory=list)
    whole: bool = True

    def assign(self, assigned: Assign, findings: Findings) -> None:
        """Take one `name = flow` line: a setting, the loss, or a value."""
        name = assigned.names[0]
        if len(assigned.names) > 1 or name not in (*STEP_SETTINGS, "loss"):
            self.values.append(assigned)
        elif name == "loss":
            if self.loss is not None:
                twice(findings, "name", name, assigned.place)
            self.loss = assigned.flow
        else:
            value = lone(assigned.flow)
            if value is None:
                self.whole = False
                findings.add(
                    "E209",
                    f"`{name}` takes a value, not a pipeline",
                    assigned.flow.place,
                    f"write `{name} = name(…)`",
                )
            else:
                self.settings.append(Setting(name, value, assigned.place))

    def step(self, place: Place, findings: Findings) -> Step | None:
        """The finished step; None where something it needs is missing."""
        missing = [] if self.loss is not None else ["loss"]
        if all(setting.name != "optimizer" for setting in self.settings):
            missing.insert(0, "optimizer")
        if missing and self.whole:
            said = " and no ".join(f"`{each} = …`" for each in missing)
            findings.add("E208", f"step `{self.name}` has no {said}", place, NEEDED[missing[0]])
        if self.loss is None:
            return None
        return Step(
            self.name,
            self.updates,
            tuple(self.settings),
            tuple(self.values),
            self.loss,
            tuple(self.metrics),
            place,
            self.places,
        )


NEEDED = {
    "optimizer": "for instance `optimizer = adam(lr=1e-3)`",
    "loss": "for instance `loss = cross_entropy(net(x), label)`",
}


@dataclass(slots=True)
class FileParts:
    """What a file holds, while it is read."""

    imports: list[Import] = field(default_factory=list)
    params: list[Setting] = field(default_factory=list)
    variants: list[Variant] = field(default_factory=list)
    defaults: list[Default] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    nets: list[Net] = field(default_factory=list)
    train: Train | None = None

    def file(self, path: str, text: str) -> File:
        """The finished file."""
        return File(
            tuple(self.imports),
            tuple(self.params),
            tuple(self.variants),
            tuple(self.defaults),
            tuple(self.blocks),
            tuple(self.nets),
            self.train,
            path,
            text,
        )


def lone(flow: Flow) -> Expr | None:
    """The expression of a flow that is nothing but one."""
    if len(flow.pieces) != 1 or flow.pieces[0].names or is_structure(flow.pieces[0].stage):
        return None
    stage = flow.pieces[0].stage
    return None if is_structure(stage) else stage


def data_of(
    names: Sequence[str],
    places: Sequence[Place],
    types: Sequence[Type | None],
    source: Expr,
    findings: Findings,
) -> Data:
    """A data line; either all of its names have a type or none has."""
    known = tuple(each for each in types if each is not None)
    if known and len(known) != len(names):
        untyped = [place for place, each in zip(places, types, strict=True) if each is None]
        where = untyped[0] if untyped else places[0]
        hint = "for instance `data x: f32[B, 64], label: i32[B] = …`"
        text = "give a type to all names of this data line or to none"
        findings.add("E207", text, where, hint)
    return Data(tuple(names), known or None, source, places[0], tuple(places))


def twice(
    findings: Findings, what: str, name: str, place: Place, first: Place | None = None
) -> None:
    """Something is defined twice."""
    hint = f"the first is at {first.line}:{first.column}" if first else None
    findings.add("E202", f"{what} `{name}` is defined twice in this scope", place, hint)


def unique(findings: Findings, what: str, named: Iterable[tuple[str, Place]]) -> dict[str, Place]:
    """Every name with its first place; a later one of the same name is a finding."""
    seen: dict[str, Place] = {}
    for name, place in named:
        if name in seen:
            twice(findings, what, name, place, seen[name])
        else:
            seen[name] = place
    return seen


def no_repeats(findings: Findings, settings: Iterable[Setting]) -> tuple[Setting, ...]:
    """Settings of one call; the same one twice is a finding."""
    kept: dict[str, Setting] = {}
    for setting in settings:
        if setting.name in kept:
            text = f"setting `{setting.name}` is given twice"
            findings.add("E103", text, setting.place, "keep one of the two")
        else:
            kept[setting.name] = setting
    return tuple(kept.values())
