"""The layers of a net as a table, in which turns of a loop that are alike stand once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from ..compiler.report import LayerRow, NetReport
from .table import count_text, table

HEAD = ("layer", "op", "output", "parameters", "FLOPs/sample", "line")
INDENT = "  "


@dataclass(frozen=True, slots=True)
class Line:
    """A layer, or the head of turns that are alike; numbers are those of all it stands for."""

    path: str
    op: str
    outputs: str
    parameters: int
    flops: int
    line: str
    inside: tuple[Line, ...] = ()

    @property
    def like(self) -> tuple[object, ...]:
        """What two lines have in common that are the same layer; FLOPs may differ by what an
        earlier turn has computed already.
        """
        inside = tuple(each.like for each in self.inside)
        return (self.path, self.op, self.outputs, self.parameters, self.line, inside)


def layer_table(net: NetReport, *, every: bool = False) -> str:
    """The table; `every`: each layer on a line of its own."""
    lines = [_line(row) for row in net.layers]
    own = net.parameters - sum(line.parameters for line in lines)
    if own:  # `weight` lines of the net and its blocks
        lines.insert(0, Line("(weights of its own)", "", "", own, 0, ""))
    rows = _rows(lines if every else fold(lines), 0)
    total = ("total", "", "", f"{net.parameters:,}", count_text(net.flops), "")
    return table(HEAD, rows, total, "<<<>>>")


def fold(lines: Iterable[Line]) -> list[Line]:
    """`body.0.linear, body.1.linear, …` -> `body.0 … body.47  × 48` with one `linear` inside."""
    folded: list[Line] = []
    for loop, run in groupby(lines, key=lambda line: _split(line.path)[0]):
        if not loop:
            folded += run
            continue
        turns = [
            (index, fold([replace(line, path=_split(line.path)[2]) for line in turn]))
            for index, turn in groupby(run, key=lambda line: _split(line.path)[1])
        ]
        for _, alike in groupby(turns, key=lambda turn: [line.like for line in turn[1]]):
            folded += _merged(loop, list(alike))
    return folded


def _line(row: LayerRow) -> Line:
    outputs = " ".join(map(str, row.outputs))
    return Line(row.path, row.op, outputs, row.parameters, row.flops, f"{row.place.line}")


def _split(path: str) -> tuple[str, str, str]:
    """`body.3.linear` -> `body`, `3`, `linear`; empty texts where there is no index."""
    found = re.match(r"(.+?)\.(\d+)(?:\.(.+))?$", path)
    return (found[1], found[2], found[3] or "") if found else ("", "", path)


def _merged(loop: str, turns: list[tuple[str, list[Line]]]) -> list[Line]:
    """Turns that are alike as one line; a turn alone keeps its lines under their whole paths."""
    (first, lines), (last, same) = turns[0], turns[-1]
    if len(turns) == 1:
        return [replace(line, path=f"{loop}.{first}.{line.path}".rstrip(".")) for line in lines]
    path = f"{loop}.{first} … {loop}.{last}  × {len(turns)}"
    parameters = sum(line.parameters for _, turn in turns for line in turn)
    flops = sum(line.flops for _, turn in turns for line in turn)
    if len(same) == 1 and not same[0].path:
        return [replace(same[0], path=path, parameters=parameters, flops=flops)]
    return [Line(path, "", "", parameters, flops, "", tuple(same))]


def _rows(lines: Sequence[Line], depth: int) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for line in lines:
        rows.append(
            (
                INDENT * depth + line.path,
                line.op,
                line.outputs,
                f"{line.parameters:,}" if line.parameters else "",
                count_text(line.flops) if line.flops else "",
                line.line,
            )
        )
        rows += _rows(line.inside, depth + 1)
    return rows
