"""What may stand between the parentheses of a source, schedule, initialiser or stopping rule.

A `Signature` is plain data: names, kinds, defaults and a line of documentation.  `bind` matches the
values that a spec gives against it, so that `weft check` can judge a call without opening a file
and without importing NumPy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .errors import suggest


@dataclass(frozen=True, slots=True)
class Option:
    """One setting of a call.

    `kind` names what it may be, alternatives joined by `|` (see `KINDS`); `words` are the bare
    words it accepts.  A number must be at least `low`, at most `high` and greater than `above`.
    """

    name: str
    kind: str
    default: Any = None
    doc: str = ""
    words: tuple[str, ...] = ()
    required: bool = False
    low: float | None = None
    high: float | None = None
    above: float | None = None


@dataclass(frozen=True, slots=True)
class Signature:
    """A callable of the training section: its settings in positional order, and what it is.

    `extra`, where there is one, takes all settings of other names as one mapping.
    """

    name: str
    options: tuple[Option, ...]
    doc: str
    extra: Option | None = None

    def option(self, name: str) -> Option | None:
        """The setting of that name."""
        return next((option for option in self.options if option.name == name), None)

    def __str__(self) -> str:
        shown = [
            o.name if o.required else f"{o.name}={value_text(o.default)}" for o in self.options
        ]
        return f"{self.name}({', '.join(shown)})"


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a call: at the setting of this name, at the positional value of this
    index, or, with neither, at the call itself."""

    message: str
    hint: str | None = None
    name: str | None = None
    position: int | None = None


def bind(
    signature: Signature, positional: Sequence[Any], named: Mapping[str, Any]
) -> tuple[dict[str, Any], tuple[Problem, ...]]:
    """All settings with their defaults filled in, and the problems found on the way."""
    problems: list[Problem] = []
    given: dict[str, Any] = {}
    origin: dict[str, int] = {}
    free = [option.name for option in signature.options if option.name not in named]
    for index, value in enumerate(positional):
        if index >= len(free):
            problems.append(
                Problem(
                    f"`{signature.name}` has no place for this value",
                    f"its settings are {signature}",
                    position=index,
                )
            )
            continue
        given[free[index]] = value
        origin[free[index]] = index
    extra: dict[str, Any] = {}
    for name, value in named.items():
        if signature.option(name):
            given[name] = value
        elif signature.extra:
            extra[name] = value
        else:
            problems.append(_unknown(signature, name))
    settings: dict[str, Any] = {}
    for option in signature.options:
        if option.name not in given:
            if option.required:
                problems.append(_missing(signature, option))
            settings[option.name] = option.default
            continue
        settings[option.name] = value = given[option.name]
        problems += _judge(option, option.name, value, origin.get(option.name))
    if signature.extra:
        settings[signature.extra.name] = extra
        for name, value in extra.items():
            close = suggest(name, [option.name for option in signature.options])
            problems += _judge(signature.extra, name, value, None, close)
    return settings, tuple(problems)


def fault(option: Option, value: Any) -> str | None:
    """What is wrong with this value for this setting: `must be an integer, not "a"`."""
    if isinstance(value, str) and value in option.words:
        return None
    kinds = option.kind.split("|")
    if not any(KINDS[kind][0](value) for kind in kinds if kind != "word"):
        wanted = [KINDS[kind][1] for kind in kinds if kind != "word"]
        wanted += [f"`{word}`" for word in option.words]
        return f"must be {_either(wanted)}, not {value_text(value)}"
    for number in value if isinstance(value, list) else [value]:
        if isinstance(number, bool) or not isinstance(number, (int, float)):
            continue
        if option.low is not None and number < option.low:
            return f"must be at least {value_text(option.low)}, not {value_text(number)}"
        if option.above is not None and number <= option.above:
            return f"must be greater than {value_text(option.above)}, not {value_text(number)}"
        if option.high is not None and number > option.high:
            return f"must be at most {value_text(option.high)}, not {value_text(number)}"
    return None


def _judge(
    option: Option, name: str, value: Any, position: int | None, close: str | None = None
) -> list[Problem]:
    wrong = fault(option, value)
    if wrong is None:
        return []
    if isinstance(value, str) and option.words:
        close = suggest(value, option.words)
    hint = close or (f"{name}: {option.doc}" if option.doc else None)
    return [Problem(f"`{name}` {wrong}", hint, None if position is not None else name, position)]


CALLED = {
    "learning_rate": "lr",
    "batch_size": "batch",
    "beta": "betas",
    "weight_decay": "decay",
    "epsilon": "eps",
    "warmup_steps": "warmup",
    "stddev": "std",
    "seq_len": "length",
    "seq_length": "length",
    "sequence_length": "length",
    "context_length": "length",
    "max_length": "length",
    "block_size": "length",
    "vocab_size": "size",
}
"""Names of settings that other libraries use."""


def _unknown(signature: Signature, name: str) -> Problem:
    known = [option.name for option in signature.options]
    close = f"it is called `{CALLED[name]}` here" if CALLED.get(name) in known else None
    hint = close or suggest(name, known) or f"its settings are {signature}"
    return Problem(f"`{signature.name}` has no setting `{name}`", hint, name)


def _missing(signature: Signature, option: Option) -> Problem:
    hint = f"{option.name}: {option.doc}" if option.doc else f"write {signature}"
    return Problem(f"`{signature.name}` needs `{option.name}`", hint)


def _is_number(value: Any) -> bool:
    return _is_real(value) and math.isfinite(value)


def _is_real(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _list_of(test: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and bool(value) and all(map(test, value))


def _is_range(value: Any) -> bool:
    return _list_of(_is_number)(value) and len(value) == 2 and value[0] < value[1]


def _is_split(value: Any) -> bool:
    parts = value if isinstance(value, list) and len(value) == 2 else [value, 0]
    if not all(map(_is_number, parts)):
        return False
    whole = not isinstance(value, list) or math.isclose(sum(parts), 1, abs_tol=1e-6)
    return whole and 0 < parts[0] <= 1 and parts[1] >= 0


def _is_fold(value: Any) -> bool:
    return _list_of(_is_integer)(value) and len(value) == 2 and 1 <= value[0] <= value[1] > 1


KINDS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "integer": (_is_integer, "an integer"),
    "number": (_is_number, "a finite number"),
    "boolean": (lambda value: isinstance(value, bool), "true or false"),
    "text": (lambda value: isinstance(value, str), "a text in quotes"),
    "texts": (_list_of(lambda value: isinstance(value, str)), "a list of texts"),
    "integers": (_list_of(_is_integer), "a list of integers"),
    "numbers": (_list_of(_is_number), "a list of numbers"),
    "range": (_is_range, "a range such as [0, 1]"),
    "split": (_is_split, "two parts that add up to 1, such as [0.8, 0.2]"),
    "fold": (_is_fold, "a part and how many there are, such as [1, 5], from 1 on"),
}
"""What each kind of setting accepts, and how to say it."""


def value_text(value: Any) -> str:
    """A value as the language writes it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and math.isfinite(value) and value == int(value):
        return str(int(value)) if abs(value) < 1e6 else f"{value:g}"
    if isinstance(value, str):
        return value if value.isidentifier() else f'"{value}"'
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(value_text, value))}]"
    return str(value)


def _either(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} or {parts[-1]}"
