"""`freeze = ["conv*", "body.0"]` in a step: parameters that it leaves as they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

from ...spec.errors import suggest
from ...spec.tree import Step
from .elaboration import ParameterDeclaration
from .faults import Fault


def frozen_by(
    step: Step,
    given: str | Sequence[str] | None,
    declared: Mapping[str, ParameterDeclaration],
    faults: list[Fault],
) -> tuple[str, ...]:
    """The full names of the parameters that the patterns of a step mean, in declared order.

    A pattern is the path of a parameter, or of anything that holds some, with or without its net;
    `*`, `?` and `[0-3]` stand for characters.
    """
    if given is None:
        return ()
    patterns = [given] if isinstance(given, str) else list(given)
    place = next(s.value.place for s in step.settings if s.name == "freeze")
    own = [n for n, d in declared.items() if d.trainable and n.partition(".")[0] in step.updates]
    met: set[str] = set()
    for pattern in patterns:
        found = {name for name in own if any(fnmatchcase(p, pattern) for p in _paths(name))}
        if not found:
            text = f"`{pattern}` is no parameter that step `{step.name}` trains"
            hint = suggest(pattern, _known(own)) or "`weft check` lists the layers by their paths"
            faults.append(Fault("E301", text, place, hint))
        met |= found
    if own and met == set(own):
        text = f"step `{step.name}` trains nothing: all of its parameters are frozen"
        faults.append(Fault("E204", text, place, "freeze less, or leave the step out"))
    return tuple(name for name in own if name in met)


def _paths(name: str) -> Iterable[str]:
    """A parameter's path and those of all that holds it, within its net and with the net."""
    net, *segments = name.split(".")
    for end in range(1, len(segments) + 1):
        path = ".".join(segments[:end])
        yield path
        yield f"{net}.{path}"


def _known(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(path for name in names for path in _paths(name)))
