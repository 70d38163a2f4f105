"""What a loop kernel's text needs to know: which values stand between passes, along which axis to
vectorise.
"""

from __future__ import annotations

from collections.abc import Iterable

from ....spec.dims import symbols
from ..loops import Affine, Fold, Gather, Kernel, Load, Pass, Size, Statement, Store, operands_of


def is_scalar(kernel: Kernel, s: Statement) -> bool:
    target = getattr(s, "target", None)
    return (
        target is not None
        and not isinstance(s, Fold)
        and kernel.values[target].kind == "scalar"
        and not after_fold(kernel, s)
    )


def after_fold(kernel: Kernel, s: Statement) -> bool:
    """Does a scalar statement depend on a fold of this kernel?"""
    folds = {f.target for p in kernel.passes for f in p.body if isinstance(f, Fold)}
    makers = {
        t.target: t
        for p in kernel.passes
        for t in p.body
        if hasattr(t, "target") and not isinstance(t, Fold)
    }
    stack, seen = list(operands_of(s)), set()
    while stack:
        name = stack.pop()
        if name in folds:
            return True
        if name not in seen and name in makers:
            seen.add(name)
            stack.extend(operands_of(makers[name]))
    return False


def size_symbols(kernel: Kernel) -> set[str]:
    """The symbolic sizes that the text of a kernel mentions, its own row count aside."""
    found: set[str] = set()

    def see(index: Affine) -> None:
        for _, stride in index.terms:
            found.update(symbols(stride))
        found.update(symbols(index.offset))

    for axis in (*kernel.rows[1:], *kernel.columns):
        found |= symbols(axis.extent)
    for p in kernel.passes:
        for s in p.body:
            if hasattr(s, "index"):
                see(s.index)
            for guard in getattr(s, "guards", ()):
                see(guard.index)
                found |= symbols(guard.low) | symbols(guard.high)
            if isinstance(s, Size):
                found |= symbols(s.dim)
    return found


def indirect(s: Statement) -> bool:
    index = getattr(s, "index", None)
    return index is not None and any(isinstance(t, str) for t, _ in index.terms)


def contiguous_rows(kernel: Kernel) -> bool:
    """Are the full-size values contiguous along the rows rather than along the columns?"""
    if len(kernel.rows) != 1:
        return False
    if not kernel.columns:
        return True
    along_rows = along_columns = 0
    for p in kernel.passes:
        for s in p.body:
            if isinstance(s, (Load, Store)) and not indirect(s):
                strides = dict(s.index.terms)
                if kernel.rows[0] in strides and kernel.columns[-1] in strides:
                    along_rows += strides[kernel.rows[0]] == 1
                    along_columns += strides[kernel.columns[-1]] == 1
    return along_rows > along_columns


def standing_values(kernel: Kernel) -> set[str]:
    """Row values that outlive the pass that makes them."""
    makers: dict[str, int] = {}
    found: set[str] = set()
    for position, p in enumerate(kernel.passes):
        for s in p.body:
            if isinstance(s, Fold):
                makers[s.target] = -1
            elif hasattr(s, "target") and kernel.values[s.target].kind == "row":
                makers[s.target] = position
            for name in operands_of(s):
                if name in makers and makers[name] != position:
                    found.add(name)
    return found | {n for n, p in makers.items() if p == -1}


def read_across(passes: list[Pass]) -> frozenset[str]:
    """Values that another pass than their own reads."""
    makers: dict[str, int] = {}
    found: set[str] = set()
    for position, p in enumerate(passes):
        mine = {getattr(s, "target", None) for s in p.body}
        for s in p.body:
            for name in operands_of(s):
                if name not in mine and name in makers:
                    found.add(name)
        makers.update({name: position for name in mine if name is not None})
    return frozenset(found)


def needed(body: list[Statement]) -> list[Statement]:
    """The statements that a fold, gather or store of the body depends on."""
    wanted: set[str] = set()
    kept: list[Statement] = []
    for s in reversed(body):
        if isinstance(s, (Fold, Gather, Store)) or getattr(s, "target", None) in wanted:
            wanted.update(operands_of(s))
            kept.append(s)
    return kept[::-1]


def needed_for(body: Iterable[Statement], operand: str) -> list[Statement]:
    """The statements of a pass that `operand` depends on."""
    wanted = {operand}
    kept: list[Statement] = []
    for s in reversed(list(body)):
        if getattr(s, "target", None) in wanted and not isinstance(s, Fold):
            wanted.update(operands_of(s))
            kept.append(s)
    return kept[::-1]
