"""What a training compares with the fields of its data: the answers of its nets."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from ...spec.expressions import Call, Expr, Name, Pipe
from ...spec.place import Place
from ...spec.tree import Flow, Step
from .scope import Scope
from .values import Tensor

COMPARISONS = (
    "cross_entropy",
    "bce",
    "focal",
    "dice_loss",
    "mse",
    "mae",
    "huber",
    "accuracy",
    "bits",
    "perplexity",
)
"""Blocks that take an answer and the field it should have been."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A node of the evaluation, the block that compares it, and the net whose result it is."""

    id: int
    block: str
    net: str | None


def answers(
    step: Step, scope: Scope, data: Collection[str], own: Collection[str], nets: Collection[str]
) -> dict[str, Answer]:
    """What is compared with a field, by field: `h` of `cross_entropy(h, y)` and `h -> mse(y)`.

    The loss counts before the metrics, and parts of a sum in their order.  `own` are the blocks of
    the spec, which may mean anything.
    """
    made = {a.names[0]: _net(a.flow, nets) for a in step.values if len(a.names) == 1}
    found: dict[str, Answer] = {}
    for flow in (step.loss, *(metric.flow for metric in step.metrics)):
        for name, field, block in _compared(flow):
            value = scope.get(name) if scope.has(name) else None
            if block not in own and field in data and isinstance(value, Tensor):
                found.setdefault(field, Answer(value.id, block, made.get(name)))
    return found


def by_net(found: Mapping[str, Answer]) -> dict[str, list[str]]:
    """For each net the field that its result stands for, and what compares them."""
    own: dict[str, list[str]] = {}
    for field, answer in found.items():
        if answer.net is not None:
            own.setdefault(answer.net, [field, answer.block])
    return own


def _net(flow: Flow, nets: Collection[str]) -> str | None:
    """The net that a flow ends with."""
    last = flow.pieces[-1].stage
    name = last.id if isinstance(last, Name) else last.name if isinstance(last, Call) else None
    return name if name in nets else None


def _compared(tree: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[str, str, str]]:
    """The answer, the field and the block of each comparison in an expression or a flow."""
    if isinstance(tree, tuple):
        for each in tree:
            yield from _compared(each)
    elif isinstance(tree, (Flow, Pipe)):
        stages = tuple(p.stage for p in tree.pieces) if isinstance(tree, Flow) else tree.stages
        for index, stage in enumerate(stages):
            yield from _compared(stage, stages[:index])
    elif is_dataclass(tree) and not isinstance(tree, (Place, type)):
        if isinstance(tree, Call) and tree.name in COMPARISONS:
            names = _pair(tree, before)
            if names is not None:
                yield (*names, tree.name)
        for part in fields(tree):
            if part.name not in ("place", "places"):
                yield from _compared(getattr(tree, part.name))


def _pair(call: Call, before: tuple[Expr, ...]) -> tuple[str, str] | None:
    """Both sides of a comparison, where they are names."""
    targets = [setting.value for setting in call.named if setting.name == "target"]
    sides = [*before, *call.positional, *targets][:2]
    names = [each.id for each in sides if isinstance(each, Name)]
    return (names[0], names[1]) if len(names) == 2 and len(before) < 2 else None
