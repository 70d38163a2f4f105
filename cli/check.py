"""Errors with their places; or, where there are none, shapes, parameters, FLOPs and memory."""

from __future__ import annotations

import argparse
import sys

from ..compiler.report import NetReport, Report, check
from ..spec.errors import WeftError
from .options import add_json, add_spec, load, print_json
from .table import bytes_text, count_text, table


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `weft check`."""
    add_spec(parser, several=True)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Check every file; the code is the worst of all."""
    reports: dict[str, Report] = {}
    worst = 0
    for file in arguments.files:
        try:
            reports[file] = check(load(arguments, file))
        except WeftError as error:
            if len(arguments.files) == 1:
                raise
            print(error, file=sys.stderr)
            worst = max(worst, error.exit_code)
    if arguments.json:
        answers = {file: report.to_json() for file, report in reports.items()}
        print_json(answers if len(arguments.files) > 1 else next(iter(answers.values())))
    else:
        print("\n\n".join(text(report) for report in reports.values()))
    return worst


def text(report: Report) -> str:
    """The report for people."""
    parts = [_net(net) for net in report.nets.values()]
    memory = report.memory
    batch = ", ".join(f"{name}={size}" for name, size in memory.sizes.items())
    lines = [f"parameters  {report.parameters:,}"] if len(report.nets) > 1 else []
    shares = [
        f"parameters {bytes_text(memory.parameters)}",
        f"gradients {bytes_text(memory.gradients)}",
        f"optimizer {bytes_text(memory.optimizer)}",
        f"layer outputs {bytes_text(memory.outputs)}",
    ]
    lines.append(f"memory      {', '.join(shares)}{f' at {batch}' if batch else ''}")
    return "\n\n".join([*parts, "\n".join(lines)])


def _net(net: NetReport) -> str:
    inputs = ", ".join(f"{name}: {type}" for name, type in net.inputs.items())
    outputs = ", ".join(f"{name}: {type}" for name, type in net.outputs.items())
    rows = [
        (
            row.path,
            row.op,
            " ".join(map(str, row.outputs)),
            f"{row.parameters:,}" if row.parameters else "",
            count_text(row.flops) if row.flops else "",
            f"{row.place.line}",
        )
        for row in net.layers
    ]
    total = ("total", "", "", f"{net.parameters:,}", count_text(net.flops), "")
    head = ("layer", "op", "output", "parameters", "FLOPs/sample", "line")
    return f"net {net.name}: {inputs} -> {outputs}\n" + table(head, rows, total, "<<<>>>")
