"""Stages of a step in which a program has a block of samples: loop kernels, a block at a time.

A loop kernel of a step walks `sample` and further axes.  The samples are the rows of a block; where
columns are folded the other rows are loops around it, elsewhere they are its columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ....spec.dims import Dim
from ...ir.body import ROW
from ..axes import joined, named
from ..loops import (
    Affine,
    Axis,
    Fold,
    Gather,
    Kernel,
    Load,
    Pass,
    Statement,
    Store,
    Value,
    operands_of,
)
from .axes import rename, renamed_axis, statements
from .blocks import extent
from .body import Body, Setting
from .folds import closed, opened, stepped
from .part import free
from .printer import decomposed, drop_unused
from .spelling import dim_text, symbol_arguments

SAMPLE = Axis("sample", ROW)

RUNNING = ("part", "top", "at", "new", "wins")
"""What stands behind the name of a fold for what it has found so far."""

Moves = Mapping[int, tuple[tuple[Axis, Dim], ...]]
"""Where the elements of a value lie in a step, beside their place in it: axes times strides."""


@dataclass(frozen=True, slots=True)
class Frame:
    """The block of a program, and what its text may call things.

    `wide`: offsets take 64 bits; `taken`: names of other stages and of the kernel around them.
    """

    rows: int
    columns: int
    depth: int
    precision: str
    wide: bool
    taken: frozenset[str]

    def masked(self, columns: Dim) -> bool:
        """Do blocks of columns stick out?"""
        return not isinstance(columns, int) or columns % self.columns != 0


@dataclass(frozen=True, slots=True)
class Stage:
    """The lines of a stage, and the names that it defines."""

    lines: tuple[str, ...]
    names: frozenset[str]


def loop_stage(
    kernel: Kernel, around: Sequence[Axis], moves: Moves, frame: Frame, front: Sequence[str] = ()
) -> Stage:
    """A loop kernel of samples as a stage; `front` lines make what a block has in registers."""
    kernel = with_moves(kernel, moves)
    columns = extent(kernel.columns)
    in_column = "in_column" if kernel.columns and frame.masked(columns) else None
    symbols = symbol_arguments(kernel)
    setting = Setting("in_sample", in_column, "ROWS", "", "", symbols, frame.wide, 8)
    body = Body(kernel, setting, _no_gather)
    if not kernel.columns or (isinstance(columns, int) and columns <= frame.columns):
        head = _columns(kernel, "", frame) if kernel.columns else []
        lines = [*head, *front, *body.lines(once(statements(kernel)))]
    else:
        lines = _looped(kernel, body, frame, front)
    for axis in reversed(around):
        head = [f"for {axis.name}_at in range(0, {dim_text(axis.extent, symbols)}):"]
        inner = [f"{axis.name} = tl.cast({axis.name}_at, tl.int32)", *lines]
        lines = [*head, *(f"    {line}" for line in inner)]
    defined = {f"{n}_{word}" for n in kernel.values for word in RUNNING} | {*kernel.values}
    return Stage(tuple(drop_unused(lines)), frozenset(defined))


def _no_gather(s: Gather, x: str) -> list[str]:
    raise LookupError(f"{s.buffer} sums over samples")


def by_sample(kernel: Kernel) -> tuple[Kernel, tuple[Axis, ...]]:
    """The kernel with the samples as its only rows, and the axes that are loops around it.

    Raises: LookupError where samples are folded, or no axis has them.
    """
    samples = tuple(a for a in kernel.rows if a.extent == ROW)
    if len(samples) != 1 or any(isinstance(s, Gather) for s in statements(kernel)):
        raise LookupError("samples are not rows of their own")
    rest = tuple(a for a in kernel.rows if a not in samples)
    if kernel.columns:
        kernel = joined(replace(kernel, rows=rest), "rows")
        rest, kernel = kernel.rows, replace(kernel, rows=samples)
    else:
        body = once(statements(kernel))
        kernel = replace(kernel, rows=samples, columns=rest, passes=(Pass(bool(rest), body),))
        rest = ()
    kernel = named(joined(kernel, "columns"))
    kernel = renamed_axis(kernel, kernel.rows[0], SAMPLE)
    around = tuple(Axis(f"lead_{k}", axis.extent) for k, axis in enumerate(rest))
    for old, new in zip(rest, around, strict=True):
        kernel = renamed_axis(kernel, old, new)
    return replace(kernel, values=_kinds(kernel)), around


def spelled(kernel: Kernel, taken: frozenset[str]) -> tuple[Kernel, dict[str, str]]:
    """The kernel with names for values that no other stage has, and these names."""
    loads = {s.target: s.buffer for s in statements(kernel) if isinstance(s, Load)}
    used = {*taken}
    values: dict[str, str] = {}
    for name in kernel.values:
        values[name] = free(loads.get(name, name), used)
        used |= {values[name], *(f"{values[name]}_{word}" for word in RUNNING)}
    return rename(kernel, values, {}), values


def once(body: Sequence[Statement]) -> tuple[Statement, ...]:
    """The statements without second definitions of a value."""
    found: dict[object, Statement] = {}
    for k, s in enumerate(body):
        found.setdefault(getattr(s, "target", k), s)
    return tuple(found.values())


def _kinds(kernel: Kernel) -> dict[str, Value]:
    """What the values vary over, by the axes that they read."""
    over: dict[str, set[str]] = {}
    groups = dict.fromkeys(kernel.rows, "row") | dict.fromkeys(kernel.columns, "column")
    for s in statements(kernel):
        target = getattr(s, "target", None)
        if target is None:
            continue
        found = {kind for name in operands_of(s) for kind in over[name]}
        indices = [getattr(s, "index", None), *(g.index for g in getattr(s, "guards", ()))]
        terms = (t for index in indices if index is not None for t, _ in index.terms)
        found |= {groups[t] for t in terms if isinstance(t, Axis) and t in groups}
        over[target] = found - {"column"} if isinstance(s, Fold) else found
    words = {(): "scalar", ("row",): "row", ("column",): "column", ("column", "row"): "full"}
    known = kernel.values
    return {n: Value(words[tuple(sorted(k))], known[n].dtype) for n, k in over.items()}


def with_moves(kernel: Kernel, moves: Moves) -> Kernel:
    """The kernel with every element where it lies in the step at hand."""
    values = {b.name: b.value for b in kernel.buffers}

    def of(s: Statement) -> Statement:
        more = moves.get(values[s.buffer], ()) if isinstance(s, (Load, Store)) else ()
        if not more or not isinstance(s, (Load, Store)):
            return s
        return replace(s, index=Affine((*more, *s.index.terms), s.index.offset))

    passes = tuple(Pass(p.over_columns, tuple(map(of, p.body))) for p in kernel.passes)
    return replace(kernel, passes=passes)


# ---- lines ---------------------------------------------------------------------------------------


def _columns(kernel: Kernel, start: str, frame: Frame) -> list[str]:
    symbols = symbol_arguments(kernel)
    axes = decomposed(kernel.columns, "column", symbols)
    return [*column_lines(dim_text(extent(kernel.columns), symbols), start, frame), *axes]


def column_lines(columns: str, start: str, frame: Frame) -> list[str]:
    """Which columns a block has; `start`: where it begins."""
    text = " + ".join(filter(None, (start, "tl.arange(0, COLUMNS)[None, :]")))
    text = f"({text}).to(tl.int64)" if frame.wide else text
    return [f"column = {text}", f"in_column = column < {columns}"]


def _looped(kernel: Kernel, body: Body, frame: Frame, front: Sequence[str]) -> list[str]:
    """A loop over the columns for every pass; what stands in `front` goes with the only one."""
    lines: list[str] = []
    size = dim_text(extent(kernel.columns), symbol_arguments(kernel))
    for position, p in enumerate(kernel.passes):
        others = [o for k, o in enumerate(kernel.passes) if k != position]
        later = {name for o in others for s in o.body for name in operands_of(s)}
        if not p.over_columns:
            lines += body.lines(p.body, later)
            continue
        folds = [s for s in p.body if isinstance(s, Fold)]
        rest = [s for s in p.body if not isinstance(s, Fold)]
        lines += [line for f in folds for line in opened(body, f, "[ROWS, COLUMNS]")]
        inner = [*_columns(kernel, "first", frame), *front]
        inner += body.lines(rest, later | {f.operand for f in folds})
        inner += [line for f in folds for line in stepped(body, f)]
        lines.append(f"for first in range(0, {size}, COLUMNS):")
        lines += [f"    {line}" for line in inner]
        lines += [line for f in folds for line in closed(body, f)]
    return lines
