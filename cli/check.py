"""Errors with their places; or, where there are none, shapes, parameters, FLOPs and memory."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping

from ..compiler.expectations import Expectation, compare, read_expectations
from ..compiler.report import NetReport, Report, check
from ..spec.errors import UsageError
from ..spec.load import load as load_spec
from .budget import Asked, add_budget, budget, budget_lines, budgets_json, token_lines
from .check_many import Wanted, called, check_many, published_json
from .layer_table import layer_table
from .options import add_json, add_spec, print_json, settings
from .peak import peak_of
from .spec_files import spec_files
from .table import bytes_text, count_text


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `weft check`."""
    add_spec(parser, several=True)
    parser.add_argument(
        "--variants",
        action="store_true",
        help="the spec as it stands and all of its variants, one line each",
    )
    parser.add_argument(
        "--all", action="store_true", help="every layer, also those that repeat others"
    )
    parser.add_argument(
        "--peak",
        nargs="?",
        const="auto",
        metavar="TARGET",
        help="the memory of a training step as planned for a target (default: this machine)",
    )
    add_budget(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Check every file; the code is the worst of all."""
    if arguments.variants and (arguments.variant or arguments.settings):
        raise UsageError("--variants goes without --variant and --set")
    given = settings(arguments.settings)
    files = spec_files(arguments.files)
    asked = budget(arguments)
    if len(files) == 1 and not arguments.variants:
        return _alone(files[0], arguments, given, asked)
    if arguments.peak:
        raise UsageError("--peak is for one spec at a time")
    wanted = Wanted(arguments.variant, given, arguments.variants, asked, arguments.length)
    return check_many(files, wanted, json=arguments.json)


def text(report: Report, *, every: bool = False) -> str:
    """The report for people; `every`: with layers that repeat others."""
    parts = [_net(net, every) for net in report.nets.values()]
    return "\n\n".join([*parts, "\n".join(_totals(report))])


# ---- one spec ----------------------------------------------------------------------------------


def _alone(file: str, arguments: argparse.Namespace, given: Mapping[str, str], asked: Asked) -> int:
    """The whole report of one spec."""
    spec = load_spec(file, variant=arguments.variant, params=given)
    report = check(spec, arguments.length)
    expected = read_expectations(spec)
    entry = expected.of(spec, given) if expected else None
    peak = peak_of(spec, arguments.peak) if arguments.peak else None
    if arguments.json:
        figures = published_json(entry.figures if entry else ())
        costs = budgets_json(report, asked.of(entry))
        planned = {"peak": peak.to_json()} if peak is not None else {}
        print_json({**report.to_json(), "published": figures, **costs, **planned})
    else:
        print(text(report, every=arguments.all))
        for line in budget_lines(report, asked.of(entry)):
            print(line)
        for line in peak.lines() if peak is not None else ():
            print(line)
    if entry is not None and expected is not None:
        compare(entry, report, expected.texts, called(file, spec.variant, given))
        if not arguments.json:
            print(f"published   {_published(entry)}")
    return 0


def _net(net: NetReport, every: bool) -> str:
    inputs = ", ".join(f"{name}: {type}" for name, type in net.inputs.items())
    outputs = ", ".join(f"{name}: {type}" for name, type in net.outputs.items())
    needs = [
        f"  needs {need.text}{f' (line {need.place.line})' if need.place else ''}"
        for need in net.needs
    ]
    head = f"net {net.name}: {inputs} -> {outputs}"
    return "\n".join([head, *needs, layer_table(net, every=every)])


def _totals(report: Report) -> Iterator[str]:
    """Counts, FLOPs and memory of everything in the file."""
    memory = report.memory
    counts = [f"{report.parameters:,}"]
    if report.trainable != report.parameters:
        counts.append(f"of which {report.trainable:,} are trained")
    if report.buffers:
        counts.append(f"and {report.buffers:,} in buffers")
    yield f"parameters  {' '.join(counts)}"
    for name, step in report.training.items():
        yield f"training    {count_text(step.flops)} FLOPs in step `{name}`{_at(step.sizes)}"
    yield from token_lines(report)
    if report.precision != "f32":
        yield f"precision   products in {report.precision}, sums in f32"
    shares = {
        "parameters": memory.parameters,
        "buffers": memory.buffers,
        "gradients": memory.gradients,
        "optimizer": memory.optimizer,
        "layer outputs": memory.outputs,
    }
    said = [f"{name} {bytes_text(size)}" for name, size in shares.items() if size]
    yield f"memory      {', '.join(said)}{_at(memory.sizes)}"
    for note in report.notes:
        yield f"note        {note}\n            = hint: {note.hint}"


def _at(sizes: Mapping[str, int]) -> str:
    """` at B=64, T=64`."""
    said = ", ".join(f"{name}={size}" for name, size in sizes.items())
    return f" at {said}" if said else ""


def _published(entry: Expectation) -> str:
    """`124,439,808 parameters: as published (transformers 5.23)`."""
    several = len(entry.figures) > 1
    said = [
        f"{figure.number:,} {figure.counted}{f' of {figure.subject}' if several else ''}"
        for figure in entry.figures
    ]
    return f"{', '.join(said)}: it comes out ({entry.source})"
