"""Nothing is defined twice where it can be seen twice: in a file, a body, inside braces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from .assemble import twice, unique
from .flows import given_names, parts
from .place import Place
from .source import Findings
from .tree import NOBODY, Assign, Body, File, Flow, For, Parameter, Repeat, Train

RESULTS = "name results before they are listed: `a = x -> f`, `b = y -> g`, then `out a, b`"


def check_names(file: File, findings: Findings) -> None:
    """Every name of a file that hides or repeats another one of the same file."""
    unique(findings, "name", _in_text_order(items_of(file)))
    unique(findings, "variant", [(each.name, each.place) for each in file.variants])
    for variant in file.variants:
        unique(findings, "param", [(each.name, each.place) for each in variant.settings])
    for block in file.blocks:
        _check_body(block.body, block.parameters, findings)
    for net in file.nets:
        _check_body(net.body, (), findings)
    if file.train is not None:
        _check_train(file.train, findings)


def items_of(file: File) -> list[tuple[str, Place]]:
    """The names a file defines, in the one namespace of params, blocks and nets."""
    named = [(each.name, each.place) for each in file.params]
    named += [(each.name, each.place) for each in file.blocks]
    return named + [(each.name, each.place) for each in file.nets]


def _check_body(body: Body, parameters: tuple[Parameter, ...], findings: Findings) -> None:
    """A weight may share its name with a parameter, which then says whether it exists."""
    unique(findings, "parameter", [(each.name, each.place) for each in parameters])
    own = {each.name: each.place for each in parameters}
    named = [(each.name, each.place) for each in body.inputs]
    named += [(each.name, each.place) for each in body.lets]
    flows = [each.flow for each in body.values] + list(body.results)
    for assigned in body.values:
        named += _assigned(assigned)
    for flow in flows:
        named += given_names(flow)
    for name, place in named:
        if name in own:
            twice(findings, "name", name, place, own[name])
    named += [(each.name, each.place) for each in body.weights]
    listed = [(name, place) for name, place in named if place in _listed(body)]
    for name, place in listed:
        if sum(name == other for other, _ in named) > 1:
            text = f"`as … , {name}` names a second value, and `{name}` has one already"
            findings.add("E202", text, place, RESULTS)
            named.remove((name, place))
    scope = unique(findings, "name", _in_text_order(named))
    for flow in flows:
        _check_braces(flow, {**own, **scope}, findings)


def _listed(body: Body) -> set[Place]:
    """Where a result goes on behind several names: `out x -> f as a, y -> g`."""
    return {
        place
        for flow in body.results
        for each in flow.pieces[:-1]
        if len(each.names) > 1
        for place in each.places[1:]
    }


def _check_braces(flow: Flow, outer: Mapping[str, Place], findings: Findings) -> None:
    """Names made inside braces end at the brace and hide nothing outside."""
    for each in flow.pieces:
        index = _index(each.stage)
        for inner in parts(each.stage):
            named = [*index, *given_names(inner)]
            for name, place in named:
                if name in outer:
                    twice(findings, "name", name, place, outer[name])
            own = unique(findings, "name", named)
            _check_braces(inner, {**outer, **own}, findings)


def _index(stage: object) -> list[tuple[str, Place]]:
    match stage:
        case Repeat(_, str(name), _, place) | For(str(name), _, _, place):
            return [(name, place)]
    return []


def _check_train(train: Train, findings: Findings) -> None:
    unique(findings, "setting", [(each.name, each.place) for each in train.settings])
    fields = [pair for each in train.data for pair in zip(each.names, each.places, strict=True)]
    data = unique(findings, "name", fields)
    unique(findings, "step", [(each.name, each.place) for each in train.steps])
    for step in train.steps:
        unique(findings, "setting", [(each.name, each.place) for each in step.settings])
        unique(findings, "metric", [(each.name, each.place) for each in step.metrics])
        named = [pair for each in step.values for pair in _assigned(each)]
        for flow in [each.flow for each in step.values] + [step.loss]:
            named += given_names(flow)
        scope = unique(findings, "name", _in_text_order([*data.items(), *named]))
        for flow in [each.flow for each in step.values] + [step.loss]:
            _check_braces(flow, scope, findings)
        for metric in step.metrics:
            own = unique(findings, "name", [*scope.items(), *given_names(metric.flow)])
            _check_braces(metric.flow, own, findings)


def _assigned(assigned: Assign) -> Iterator[tuple[str, Place]]:
    places = assigned.places or (assigned.place,) * len(assigned.names)
    for name, place in zip(assigned.names, places, strict=True):
        if name != NOBODY:
            yield name, place


def _in_text_order(named: list[tuple[str, Place]]) -> list[tuple[str, Place]]:
    return sorted(named, key=lambda pair: (pair[1].line, pair[1].column))
