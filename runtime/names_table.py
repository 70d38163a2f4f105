"""How another library names the tensors of a network: the table `weights.toml` beside a spec.

    [gpt2]
    source = "transformers, GPT2LMHeadModel"
    strip = ["transformer."]
    ignore = ["h.{i}.attn.bias", "lm_head.weight"]

    [gpt2.names]
    "wte.weight" = "gpt2.table.weight"
    "h.{i}.mlp.c_fc.weight" = { to = "gpt2.body.{i}.linear.weight", transpose = true }
    "h.{i}.attn.c_attn.weight" = { split = ["gpt2.body.{i}.attention.query.weight", …] }

`{i}` stands for a number, the same on both sides.  `strip` lists what a name may begin with and
need not.  `split` cuts a tensor into equal parts along its first axis, after `transpose` has turned
its two.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..spec.errors import UsageError, suggest

FILE = "weights.toml"
HOLE = re.compile(r"\{(\w+)\}")
KEYS = ("source", "strip", "ignore", "names")


@dataclass(frozen=True, slots=True)
class Rule:
    """What becomes of the tensors whose names fit `pattern`: one or several of `targets`."""

    pattern: re.Pattern[str]
    targets: tuple[str, ...]
    transpose: bool = False


@dataclass(frozen=True, slots=True)
class NamesTable:
    """The names of one family of networks; `file` is where they stand."""

    file: str
    source: str
    strip: tuple[str, ...]
    ignore: tuple[re.Pattern[str], ...]
    rules: tuple[Rule, ...]

    def find(self, name: str) -> tuple[tuple[str, ...], Rule] | None:
        """Our names for a tensor, and the rule that gives them; None if no rule does."""
        for short in self._forms(name):
            for rule in self.rules:
                if found := rule.pattern.fullmatch(short):
                    return tuple(_filled(t, found.groupdict()) for t in rule.targets), rule
        return None

    def ignores(self, name: str) -> bool:
        """Whether the table says that a tensor is not needed."""
        return any(p.fullmatch(short) for short in self._forms(name) for p in self.ignore)

    def _forms(self, name: str) -> tuple[str, ...]:
        cut = [name.removeprefix(lead) for lead in self.strip if name.startswith(lead)]
        return (name, *cut)


def read_names(path: Path, section: str) -> NamesTable:
    """The section of a spec in a table of names.

    Raises: UsageError for a file that is missing or wrong.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        hint = "write one beside the spec, as in the example gpt2, or give one with --names"
        raise UsageError(f"there is no table of names `{path}`", hint=hint) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not TOML: {error}") from None
    table = tables.get(section)
    if not isinstance(table, dict):
        there = suggest(section, tables) or f"it has {', '.join(tables) or 'no section'}"
        raise UsageError(f"{path}: there is no section `[{section}]`", hint=there)
    return _table(str(path), section, table)


def _table(file: str, section: str, table: Mapping[str, Any]) -> NamesTable:
    for key in table:
        if key not in KEYS:
            hint = suggest(key, KEYS) or f"there is {', '.join(KEYS)}"
            raise UsageError(f"{file}: unknown key `{key}` in [{section}]", hint=hint)
    names = table.get("names")
    if not isinstance(names, dict) or not names:
        hint = f'"their.{{i}}.name" = "{section}.our.{{i}}.name"'
        raise UsageError(f"{file}: [{section}.names] is missing", hint=hint)
    return NamesTable(
        file,
        str(table.get("source", file)),
        _texts(file, "strip", table.get("strip", [])),
        tuple(_pattern(t) for t in _texts(file, "ignore", table.get("ignore", []))),
        tuple(_rule(file, theirs, ours) for theirs, ours in names.items()),
    )


def _rule(file: str, theirs: str, ours: Any) -> Rule:
    entry = ours if isinstance(ours, dict) else {"to": ours}
    targets = entry.get("split", [entry.get("to")])
    known = entry.keys() <= {"to", "split", "transpose"} and ("to" in entry) != ("split" in entry)
    if not known or not isinstance(entry.get("transpose", False), bool):
        hint = 'write "ours", { to = "ours", transpose = true } or { split = ["ours", …] }'
        raise UsageError(f"{file}: `{theirs}` does not say what it becomes", hint=hint)
    names = _texts(file, theirs, targets)
    holes = set(HOLE.findall(theirs))
    for name in names:
        if set(HOLE.findall(name)) != holes:
            message = f"{file}: `{theirs}` and `{name}` have different numbers in braces"
            raise UsageError(message, hint="`{i}` stands for the same number on both sides")
    return Rule(_pattern(theirs), names, entry.get("transpose", False))


def _texts(file: str, key: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise UsageError(f"{file}: `{key}` must be a list of texts")
    return tuple(value)


def _filled(text: str, holes: Mapping[str, str]) -> str:
    return HOLE.sub(lambda hole: holes[hole[1]], text)


def _pattern(text: str) -> re.Pattern[str]:
    """`h.{i}.weight` as a regular expression whose groups are the holes."""
    parts = re.split(r"(\{\w+\})", text)
    seen: set[str] = set()
    found = []
    for part in parts:
        hole = HOLE.fullmatch(part)
        if hole is None:
            found.append(re.escape(part))
        elif hole[1] in seen:
            found.append(f"(?P={hole[1]})")
        else:
            seen.add(hole[1])
            found.append(rf"(?P<{hole[1]}>\d+)")
    return re.compile("".join(found))
