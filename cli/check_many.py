"""`weft check` of several specs, or of all variants of one: a line each."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..compiler.accounting import Budget
from ..compiler.expectations import Expectations, Figure, compare, read_expectations
from ..compiler.report import Report, check
from ..spec.errors import SpecError, WeftError
from ..spec.load import Spec
from ..spec.load import load as load_spec
from .budget import Asked, budgets_json, estimate
from .options import print_json
from .table import count_text, table


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line says of every file.  `every`: all variants."""

    variant: str | None
    given: Mapping[str, str]
    every: bool
    asked: Asked
    length: int | None


@dataclass(frozen=True, slots=True)
class Case:
    """One spec in one variant: its report and the published counts it has, or what is wrong.

    Neither for a file of blocks, which is checked where it is imported.
    """

    file: str
    called: str
    report: Report | None
    figures: tuple[Figure, ...]
    error: WeftError | None
    budget: Budget | None = None


def check_many(files: Iterable[str], wanted: Wanted, *, json: bool) -> int:
    """Check every file and print a line for each; the code is the worst of all."""
    cases = [case for file in files for case in _cases(file, wanted)]
    if json:
        print_json(_as_json(cases, wanted.every))
        return _worst(cases)
    print(_as_text(cases))
    for case in cases:
        if case.error is not None:
            print(case.error, file=sys.stderr)
    return _worst(cases)


def called(file: str, variant: str | None, given: Mapping[str, Any]) -> str:
    """`resnet.weft resnet50 classes=10`."""
    said = [f"{name}={_shown(value)}" for name, value in given.items()]
    return " ".join([file, *([variant] if variant else []), *said])


def published_json(figures: Sequence[Figure]) -> list[dict[str, Any]]:
    """The counts that came out as published, as plain data."""
    return [{"counted": f.counted, "net": f.subject, "number": f.number} for f in figures]


def _worst(cases: Sequence[Case]) -> int:
    return max((case.error.exit_code for case in cases if case.error), default=0)


def _cases(file: str, wanted: Wanted) -> Iterator[Case]:
    """A file in one variant, or in all of them."""
    try:
        spec = load_spec(file, variant=wanted.variant, params=wanted.given)
        expected = read_expectations(spec)
    except WeftError as error:
        yield Case(file, called(file, wanted.variant, wanted.given), None, (), error)
        return
    if spec.file.blocks and not spec.file.nets and spec.file.train is None:
        yield Case(file, file, None, (), None)
        return
    yield _case(spec, expected, wanted, wanted.given)
    if not wanted.every:
        return
    for variant in spec.file.variants:
        yield _loaded(file, variant.name, {}, expected, wanted)
    for entry in expected.entries if expected else ():
        if entry.params:
            yield _loaded(file, entry.variant, entry.params, expected, wanted)


def _loaded(
    file: str,
    variant: str | None,
    given: Mapping[str, Any],
    expected: Expectations | None,
    wanted: Wanted,
) -> Case:
    try:
        spec = load_spec(file, variant=variant, params=given)
    except WeftError as error:
        return Case(file, called(file, variant, given), None, (), error)
    return _case(spec, expected, wanted, given)


def _case(
    spec: Spec, expected: Expectations | None, wanted: Wanted, given: Mapping[str, Any]
) -> Case:
    name = called(spec.path, spec.variant, given)
    try:
        report = check(spec, wanted.length)
        entry = expected.of(spec, given) if expected else None
        figures: tuple[Figure, ...] = ()
        if entry is not None and expected is not None:
            figures = compare(entry, report, expected.texts, name)
    except WeftError as error:
        return Case(spec.path, name, None, (), error)
    return Case(spec.path, name, report, figures, None, wanted.asked.of(entry))


def _shown(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_shown, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _as_text(cases: Sequence[Case]) -> str:
    """One line each, and how many are well; tokens and what they cost where any case has them."""
    rows = []
    costly = any(case.report is not None and case.budget is not None for case in cases)
    for case in cases:
        if case.report is None:
            none = ("", "") if costly else ()
            rows.append(
                (case.called, "", "", *none, "FAILED" if case.error else "blocks to import")
            )
            continue
        cost = estimate(case.report, case.budget) if costly else ()
        flops = sum(net.flops for net in case.report.nets.values())
        rows.append(
            (
                case.called,
                f"{case.report.parameters:,}",
                count_text(flops),
                *cost,
                "as published" if case.figures else "",
            )
        )
    failed = sum(case.error is not None for case in cases)
    published = sum(bool(case.figures) for case in cases)
    verdict = f"{failed} of {len(cases)} failed" if failed else f"all {len(cases)} check"
    last = f"{verdict}; {published} compared with a published count"
    head = ("spec", "parameters", "FLOPs/sample", *(("tokens", "FLOPs") if costly else ()), "")
    return f"{table(head, rows, None, '<>>>><' if costly else '<>><')}\n\n{last}"


def _as_json(cases: Sequence[Case], every: bool) -> dict[str, Any]:
    """By file, and within it by variant where all are asked for."""
    answers: dict[str, Any] = {}
    for case in cases:
        answer: dict[str, Any]
        if case.report is not None:
            answer = {**case.report.to_json(), "published": published_json(case.figures)}
            if any(net.token is not None for net in case.report.nets.values()):
                answer |= budgets_json(case.report, case.budget)
        else:
            answer = {"errors": _errors_json(case.error) if case.error else []}
        if every:
            answers.setdefault(case.file, {})[case.called.removeprefix(case.file).strip()] = answer
        else:
            answers[case.file] = answer
    return answers


def _errors_json(error: WeftError) -> list[dict[str, Any]]:
    if not isinstance(error, SpecError):
        return [{"message": error.message, "hint": error.hint}]
    return [
        {
            "code": found.code,
            "message": found.message,
            "file": found.place.file if found.place else None,
            "line": found.place.line if found.place else None,
            "column": found.place.column if found.place else None,
            "hint": found.hint,
        }
        for found in error.diagnostics
    ]
