"""Published counts beside a spec, in `expected.toml`, and whether they come out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..spec.errors import Diagnostic, SpecError, UsageError, suggest
from ..spec.load import Spec, decode
from ..spec.place import Place
from .accounting import EACH
from .report import Report

FILE = "expected.toml"
TOTAL = "total"  # in place of the name of a net: all of them together
COUNTED = ("parameters", "buffers")
BUDGET = ("tokens", "flops")
NEAR = (
    0.05  # the share by which published FLOPs of a training may differ: tables round their tokens
)


@dataclass(frozen=True, slots=True)
class Figure:
    """One number.  `counted`: parameters or buffers; `subject`: a net, or `total`."""

    counted: str
    subject: str
    number: int
    place: Place


@dataclass(frozen=True, slots=True)
class Training:
    """A published training: on so many `tokens`, and what it took.

    Units: `flops` of the whole training, None where nobody says.
    """

    tokens: float
    flops: float | None
    place: Place


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a spec is to have in one variant, with other values for params or without."""

    variant: str | None
    params: Mapping[str, Any]
    figures: tuple[Figure, ...]
    source: str
    place: Place
    training: Training | None = None


@dataclass(frozen=True, slots=True)
class Expectations:
    """All that a file says of one spec."""

    entries: tuple[Expectation, ...]
    texts: Mapping[str, str]

    def of(self, spec: Spec, given: Mapping[str, object]) -> Expectation | None:
        """The entry for a spec as it was loaded, with `given` in place of its own params."""
        for entry in self.entries:
            values = {name: _plain(value) for name, value in entry.params.items()}
            if entry.variant == spec.variant and values.keys() == given.keys():
                known = {name: spec.constants.get(name) for name in values}
                if known == values:
                    return entry
        return None


def read_expectations(spec: Spec) -> Expectations | None:
    """What the file beside a spec says of it; None where it says nothing.

    Raises: SpecError E506 for a file that is wrong, as far as it is about this spec.
    """
    path = Path(spec.path)
    file = path.parent / FILE
    if not file.is_file():
        return None
    try:
        text = decode(file.read_bytes(), str(file))
    except OSError as error:
        raise UsageError(f"cannot read {file}: {(error.strerror or str(error)).lower()}") from error
    reader = _Reader(str(file), text)
    found = reader.section(path.stem)
    for entry in found.entries if found else ():
        reader.known("variant", entry.variant, [v.name for v in spec.file.variants], entry.place)
        for name in entry.params:
            reader.known("param", name, [p.name for p in spec.file.params], entry.place)
    return found


def compare(
    expected: Expectation, report: Report, texts: Mapping[str, str], called: str
) -> tuple[Figure, ...]:
    """The figures of an entry, all of which come out; `called`: the spec, for messages.

    Raises: SpecError E505 naming both numbers and the source, E506 for a net that does not exist.
    """
    found = []
    for figure in expected.figures:
        if figure.subject != TOTAL and figure.subject not in report.nets:
            known = [*report.nets, TOTAL]
            hint = suggest(figure.subject, known) or f"there is {', '.join(known)}"
            message = f"`{called}` has no net `{figure.subject}`"
            found.append(Diagnostic("E506", message, figure.place, hint))
            continue
        number = _counted(report, figure)
        if number != figure.number:
            whose = "" if figure.subject == TOTAL else f" of `{figure.subject}`"
            message = (
                f"{called}: {number:,} {figure.counted}{whose}, "
                f"expected {figure.number:,} ({expected.source})"
            )
            what = f"{abs(number - figure.number):,} too {_side(number, figure.number)}"
            found.append(Diagnostic("E505", message, figure.place, what))
    found += _trained(expected, report, called)
    if found:
        raise SpecError(found, texts)
    return expected.figures


def _trained(expected: Expectation, report: Report, called: str) -> list[Diagnostic]:
    """Whether six operations for each parameter and token are about what a training took."""
    training = expected.training
    if training is None or training.flops is None:
        return []
    flops = EACH * report.parameters * training.tokens
    if abs(flops - training.flops) <= NEAR * training.flops:
        return []
    message = (
        f"{called}: {flops:.3g} FLOPs for {training.tokens:.3g} tokens, "
        f"expected {training.flops:.3g} ({expected.source})"
    )
    hint = f"six for each of the {report.parameters:,} parameters and each token"
    return [Diagnostic("E505", message, training.place, hint)]


def _side(number: int, expected: int) -> str:
    return "many" if number > expected else "few"


def _counted(report: Report, figure: Figure) -> int:
    if figure.subject != TOTAL:
        return int(getattr(report.nets[figure.subject], figure.counted))
    return int(getattr(report, figure.counted))


def _plain(value: Any) -> Any:
    """A TOML value as a param has it."""
    return tuple(map(_plain, value)) if isinstance(value, list) else value


# ---- the file --------------------------------------------------------------------------------


class _Reader:
    """Reads one file; every number keeps its place."""

    def __init__(self, name: str, text: str) -> None:
        import tomllib  # 5 ms, which a spec without published counts need not wait

        self.name = name
        self.texts = {name: text}
        self.places = dict(_places(name, text))
        try:
            self.tables = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            at = re.search(r"line (\d+), column (\d+)", str(error))
            line, column = (int(at[1]), int(at[2])) if at else (1, 1)
            place = Place(name, line, column, column + 1)
            said = re.sub(r" \(at .*\)$", "", str(error))
            raise self.wrong(f"not TOML: {said}", place) from error

    def section(self, spec: str) -> Expectations | None:
        """The section of one spec."""
        table = self.tables.get(spec)
        if table is None:
            return None
        if not isinstance(table, dict):
            raise self.wrong(f"`{spec}` must be a section", self.at(spec), f"write `[{spec}]`")
        self.only(table, spec, ("source", *COUNTED, *BUDGET, "variants", "settings"))
        source = table.get("source")
        if not isinstance(source, str) or not source:
            hint = 'where the figures come from: `source = "torchvision 0.28"`'
            raise self.wrong(f"`{spec}` needs a `source`", self.at(spec), hint)
        entries = []
        if any(name in table for name in COUNTED):
            entries.append(self.entry(table, spec, None, {}, source))
        for name, value in self.mapping(table, spec, "variants").items():
            path = f"{spec}.variants.{name}"
            value = value if isinstance(value, dict) else {"parameters": value}
            self.only(value, path, ("source", *COUNTED, *BUDGET))
            entries.append(self.entry(value, path, name, {}, source))
        for index, value in enumerate(table.get("settings", ())):
            path = f"{spec}.settings.{index}"
            self.only(value, path, ("variant", "set", "source", *COUNTED, *BUDGET))
            entries.append(
                self.entry(value, path, value.get("variant"), value.get("set", {}), source)
            )
        return Expectations(tuple(entries), self.texts)

    def entry(
        self,
        table: Mapping[str, Any],
        path: str,
        variant: str | None,
        params: Mapping[str, Any],
        source: str,
    ) -> Expectation:
        figures = [
            Figure(counted, subject, number, self.at(f"{path}.{counted}.{subject}"))
            for counted in COUNTED
            if counted in table
            for subject, number in self.numbers(table[counted], f"{path}.{counted}").items()
        ]
        if not figures:
            raise self.wrong("there is no number here", self.at(path), "parameters = 11_689_512")
        said = str(table.get("source", source))
        training = self.training(table, path)
        return Expectation(variant, params, tuple(figures), said, self.at(path), training)

    def training(self, table: Mapping[str, Any], path: str) -> Training | None:
        """The tokens and FLOPs of an entry."""
        for name in BUDGET:
            value = table.get(name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
                what = f"`{name}` is a number above 0, not {value!r}"
                raise self.wrong(what, self.at(f"{path}.{name}"))
        if "tokens" not in table:
            if "flops" in table:
                hint = "tokens = 8.0e9"
                raise self.wrong("`flops` without `tokens`", self.at(f"{path}.flops"), hint)
            return None
        place = self.at(f"{path}.{'flops' if 'flops' in table else 'tokens'}")
        return Training(float(table["tokens"]), table.get("flops"), place)

    def numbers(self, value: Any, path: str) -> dict[str, int]:
        """By net; one number is that of all nets."""
        listed = value if isinstance(value, dict) else {TOTAL: value}
        for name, number in listed.items():
            if isinstance(number, bool) or not isinstance(number, int) or number < 0:
                what = f"a count is a whole number, not {number!r}"
                raise self.wrong(what, self.at(f"{path}.{name}"))
        return listed

    def mapping(self, table: Mapping[str, Any], path: str, name: str) -> Mapping[str, Any]:
        found = table.get(name, {})
        if not isinstance(found, dict):
            raise self.wrong(f"`{name}` must be a section", self.at(f"{path}.{name}"))
        return found

    def only(self, table: Mapping[str, Any], path: str, known: tuple[str, ...]) -> None:
        for name in table:
            if name not in known:
                hint = suggest(name, known) or f"there is {', '.join(known)}"
                raise self.wrong(f"unknown key `{name}`", self.at(f"{path}.{name}"), hint)

    def known(self, what: str, name: str | None, known: Sequence[str], place: Place) -> None:
        """Raises: SpecError E506 for a variant or param that the spec does not have."""
        if name is not None and name not in known:
            hint = suggest(name, known) or f"the spec has {', '.join(known) or 'none'}"
            raise self.wrong(f"the spec has no {what} `{name}`", place, hint)

    def at(self, path: str) -> Place:
        """The place of a key, or of the nearest one round it."""
        known, keys = path, list[str]()
        while known not in self.places and "." in known:
            known, _, key = known.rpartition(".")
            keys.insert(0, key)
        place = self.places.get(known, Place(self.name, 1, 1, 2))
        for key in keys:
            place = _inside(self.texts[self.name].split("\n")[place.line - 1], place, key)
        return place

    def wrong(self, message: str, place: Place, hint: str | None = None) -> SpecError:
        return SpecError(Diagnostic("E506", message, place, hint), self.texts)


HEADER = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?$")
PAIR = re.compile(r"""\s*((?:[\w.-]|"[^"]*")+)\s*=\s*""")


def _places(file: str, text: str) -> Iterator[tuple[str, Place]]:
    """Where each section and the value of each key stands; TOML's own reader does not say."""
    header, turns = "", dict[str, int]()
    for number, line in enumerate(text.split("\n"), 1):
        if opened := HEADER.match(line):
            header = opened[2].replace('"', "")
            if opened[1] == "[[":
                turns[header] = turns.get(header, -1) + 1
                header = f"{header}.{turns[header]}"
            yield header, Place(file, number, opened.start(2) + 1, opened.end(2) + 1)
        elif pair := PAIR.match(line):
            path = f"{header}.{pair[1]}".replace('"', "").lstrip(".")
            yield path, Place(file, number, pair.end() + 1, _end(line, pair.end()) + 1)


def _inside(line: str, place: Place, key: str) -> Place:
    """The place of a key of a table that is written on one line."""
    found = re.compile(rf'\b{re.escape(key)}"?\s*=\s*').search(line, place.column - 1)
    if found is None:
        return place
    return Place(place.file, place.line, found.end() + 1, _end(line, found.end()) + 1)


def _end(line: str, start: int) -> int:
    """Where a value ends."""
    found = re.compile(r'"[^"]*"|[^\s,{}#]+|\{[^#]*\}').match(line, start)
    return found.end() if found else start + 1
