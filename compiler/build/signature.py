"""What a call may hold: inputs, settings with their kinds and defaults; one form for all callables.

An intrinsic writes it as text: `sum(x; axis:axes=all, keep:flag=false)`.  Before `;` stand the
required inputs (`*xs`: any number, `2*xs`: at least two), after it the settings, in brackets
inputs that go by name only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ...spec.dims import Polynomial
from ...spec.expressions import Name
from ...spec.tree import Block


class _Required:
    def __repr__(self) -> str:
        return "REQUIRED"


REQUIRED = _Required()


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of a callable.

    `kind` names an entry of `KINDS`, or is empty for the settings of blocks, which take anything;
    `words` are the bare words it reads; `default` is a value, an expression or `REQUIRED`;
    `begins`: a weight of the block begins with it.
    """

    name: str
    kind: str
    words: tuple[str, ...]
    default: Any
    begins: bool = False

    @property
    def starts(self) -> bool:
        """Does the setting take an initialiser, by its name or by its use?"""
        return self.begins or self.name == "init" or self.name.endswith("_init")


@dataclass(frozen=True, slots=True)
class Signature:
    """Inputs and settings of a callable, in positional order.

    `variadic`: any number of inputs, at least `least`.  `by_name`: optional tensors.  `extra`: what
    settings of other names are called, if there may be any.
    """

    name: str
    inputs: tuple[str, ...]
    settings: tuple[Setting, ...]
    variadic: bool = False
    least: int = 1
    by_name: tuple[str, ...] = ()
    extra: str = ""

    def setting(self, name: str) -> Setting | None:
        """The setting of that name."""
        return next((s for s in self.settings if s.name == name), None)

    def known(self) -> list[str]:
        """All names that an argument may have."""
        inputs = [] if self.variadic else list(self.inputs)
        return [*(s.name for s in self.settings), *inputs, *self.by_name]


def of_block(block: Block) -> Signature:
    """The signature of a block; a block without `in` takes whatever arrives."""
    inputs = tuple(i.name for i in block.body.inputs)
    begin = {w.init.id for w in block.body.weights if isinstance(w.init, Name)}
    settings = []
    for p in block.parameters:
        words = p.choices
        if words and isinstance(p.default, Name) and p.default.id not in words:
            words = (p.default.id, *words)
        default = REQUIRED if p.default is None else p.default
        settings.append(Setting(p.name, "", words, default, p.name in begin))
    named = {s.name for s in settings}
    weights = tuple(w.name for w in block.body.weights if w.name not in named)
    return Signature(block.name, inputs or ("x",), tuple(settings), not inputs, by_name=weights)


def parse(text: str) -> Signature:
    """The signature that a text such as `max(x; axis:axes=all, keep:flag=false)` describes."""
    match = re.fullmatch(r"(\w+)\(([^;]*);(.*)\)(?:\[([\w, ]*)\])?", text)
    if match is None:
        raise ValueError(f"not a signature: {text}")
    name, inputs, settings, by_name = match.groups()
    xs = tuple(_split(inputs))
    items = _split(settings)
    return Signature(
        name,
        tuple(x.lstrip("2*") for x in xs),
        tuple(_setting(item) for item in items if not item.startswith("**")),
        "*" in inputs,
        2 if inputs.startswith("2*") else 1,
        tuple(_split(by_name or "")),
        next((item[2:] for item in items if item.startswith("**")), ""),
    )


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _setting(text: str) -> Setting:
    declared, equals, default = text.partition("=")
    name, _, kind = declared.partition(":")
    first, *words = kind.split("|")
    if first not in KINDS:
        raise ValueError(f"{text}: unknown kind {first}")
    if first == "axes":
        words = ["all", *words]
    return Setting(name, first, tuple(words), _default(default) if equals else REQUIRED)


def _default(text: str) -> Any:
    constants = {"true": True, "false": False, "none": None}
    if text in constants:
        return constants[text]
    if re.fullmatch(r"-?\d+", text):
        return int(text)
    return float(text) if re.fullmatch(r"-?[\d.]+(e-?\d+)?", text) else text


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_dim(value: object) -> bool:
    return _is_int(value) or isinstance(value, Polynomial)


def _list_of(test: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, tuple) and all(map(test, value))


KINDS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "axis": (_is_int, "an axis such as 1 or -1"),
    "axes": (lambda v: _is_int(v) or _list_of(_is_int)(v), "an axis, a list of axes, or `all`"),
    "order": (lambda v: v is None or _list_of(_is_int)(v), "a list of axes"),
    "dim": (_is_dim, "a size"),
    "dims": (lambda v: v is None or _list_of(_is_dim)(v), "a list of sizes such as [B, 1, 28]"),
    "parts": (lambda v: _is_int(v) or _list_of(_is_dim)(v), "a count or a list of sizes"),
    "widths": (
        lambda v: _is_int(v) or _list_of(_is_width)(v),
        "a number, or for each axis a number or [before, after]",
    ),
    "sizes": (
        lambda v: v is None or _is_int(v) or _list_of(_is_int)(v),
        "a whole number, or a list with one for each spatial axis",
    ),
    "extents": (
        lambda v: _is_dim(v) or _list_of(_is_dim)(v),
        "a size, or a list with one for each spatial axis",
    ),
    "pads": (
        lambda v: _is_int(v) or _list_of(_is_pad)(v),
        "a whole number, or for each spatial axis a number or [before, after]",
    ),
    "flag": (lambda v: isinstance(v, bool), "true or false"),
    "number": (lambda v: _is_int(v) or isinstance(v, float), "a number"),
    "integer": (_is_int, "an integer"),
    "text": (lambda v: isinstance(v, str), "a text in quotes"),
    "word": (lambda v: False, ""),
    "value": (lambda v: True, "a value"),
}
"""What each kind of setting accepts, and how to say it."""


def _is_width(value: object) -> bool:
    return _is_dim(value) or (
        isinstance(value, tuple) and len(value) == 2 and all(map(_is_dim, value))
    )


def _is_pad(value: object) -> bool:
    return _is_int(value) or (
        isinstance(value, tuple) and len(value) == 2 and all(map(_is_int, value))
    )


def accepts(setting: Setting, value: object) -> bool:
    """May the setting have this value?"""
    if isinstance(value, str) and value in setting.words:
        return True
    return not setting.kind or KINDS[setting.kind][0](value)


def wanted(setting: Setting) -> str:
    """What the setting accepts, in words."""
    what = KINDS[setting.kind][1] if setting.kind else ""
    words = [f"`{w}`" for w in setting.words if f"`{w}`" not in what]
    parts = ([what] if what else []) + words
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} or {parts[-1]}"
