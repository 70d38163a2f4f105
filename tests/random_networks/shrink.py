"""Makes a network that fails smaller, as long as it fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from .twins import Input, Loss, Net, Run, Statement, less

Fails = Callable[[Net], bool]

ROUNDS = 200  # networks that are tried


def shrunk(net: Net, fails: Fails) -> Net:
    """A network that fails too, of which no part can be left out; or the last of many rounds."""
    left = ROUNDS
    smaller = True
    while smaller:
        smaller = False
        for other in _candidates(net):
            if left == 0:
                return net
            fitted = _fitted(other)
            if fitted is None:
                continue
            left -= 1
            if fails(fitted):
                net, smaller = fitted, True
                break
    return net


def _candidates(net: Net) -> Iterator[Net]:
    """Networks with one part less, large parts first."""
    for k, statement in enumerate(net.statements):
        for name in statement.sources:
            others = [_read_instead(s, statement.names, name) for s in net.statements]
            yield replace(net, statements=(*others[:k], *others[k + 1 :]))
    for k, statement in enumerate(net.statements):
        gone = set(statement.names)
        if not any(gone & set(s.used()) for s in net.statements):
            yield replace(net, statements=(*net.statements[:k], *net.statements[k + 1 :]))
    for k, statement in enumerate(net.statements):
        for flow in less(statement.flow):
            made = replace(statement, flow=flow)
            yield replace(net, statements=(*net.statements[:k], made, *net.statements[k + 1 :]))
    if net.optimizer != "sgd(lr=0.1)":
        yield replace(net, optimizer="sgd(lr=0.1)")
    for k, loss in enumerate(net.losses):
        if loss.kind != "of its own":
            losses = (*net.losses[:k], _plain(loss.output), *net.losses[k + 1 :])
            yield replace(net, losses=losses)


def _read_instead(statement: Statement, names: tuple[str, ...], other: str) -> Statement:
    sources = tuple(other if s in names else s for s in statement.sources)
    return replace(statement, sources=sources)


def _plain(output: str) -> Loss:
    return Loss("of its own", output, "mean({0}*{0})", lambda x: (x * x).mean())


def _fitted(net: Net) -> Net | None:
    """With the inputs that are read and a loss for each output; None where torch refuses it."""
    read = {name for s in net.statements for name in s.used()}
    inputs: tuple[Input, ...] = tuple(i for i in net.inputs if i.name in read)
    net = replace(net, inputs=inputs)
    outputs = net.outputs()
    kept = tuple(loss for loss in net.losses if loss.output in outputs)
    have = {loss.output for loss in kept}
    net = replace(net, losses=(*kept, *(_plain(o) for o in outputs if o not in have)))
    try:
        if not net.statements or not net.shapes():
            return None
        values = net.evaluate(Run(), {i.name: i.sample() for i in net.inputs})
    except (RuntimeError, ValueError, IndexError, AssertionError, KeyError, TypeError):
        return None
    fits = (loss.shape in (None, tuple(values[loss.output].shape[1:])) for loss in net.losses)
    return net if all(fits) else None
