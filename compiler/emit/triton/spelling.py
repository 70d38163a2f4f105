"""How kernel text spells numbers, sizes and masks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from ....spec.dims import Dim, symbols
from ...plan.memory import expression
from ..loops import Affine, Kernel, Size
from ..names import size_name

WIDE = 1 << 31
"""Elements that 32-bit offsets cannot count."""

GROWTH = 4
"""How far past its nominal value a symbolic size may go before offsets overflow."""


def literal(value: float | int | bool, dtype: str = "f32") -> str:
    """A number of a given type."""
    if isinstance(value, bool) or dtype == "bool":
        return "True" if value else "False"
    if dtype in ("i32", "i64") and float(value).is_integer():
        return str(int(value))
    if value != value:
        return 'float("nan")'
    if math.isinf(value):
        return 'float("inf")' if value > 0 else 'float("-inf")'
    return repr(value)


def dim_text(dim: Dim, names: Mapping[str, str]) -> str:
    """A size as an expression over the kernel's integer arguments; a sum stands in parentheses."""
    return _text(expression(dim), names)


def _text(found: Any, names: Mapping[str, str]) -> str:
    if isinstance(found, str):
        return names.get(found) or size_name(found)
    if not isinstance(found, tuple):
        return str(found)
    operator, *operands = found
    inner = [_text(o, names) for o in operands]
    if operator == "*":
        return " * ".join(inner)
    text = (
        f" {operator} ".join(i if i.isalnum() else f"({i})" for i in inner)
        if operator == "//"
        else ""
    )
    return f"({text or ' + '.join(inner)})"


def divisor(dim: Dim, names: Mapping[str, str]) -> str:
    """A size as what stands behind `//` or `%`: a product stands in parentheses, too."""
    found = expression(dim)
    text = _text(found, names)
    return f"({text})" if isinstance(found, tuple) and found[0] == "*" else text


def product(name: str, stride: str) -> str:
    """`name * stride`, without a factor of one."""
    if stride == "1":
        return name
    return (
        f"{name} * ({stride})"
        if " " in stride and not stride.startswith("(")
        else f"{name} * {stride}"
    )


def both(*masks: str | None) -> str | None:
    """The conjunction of the masks that are there."""
    found = [m for m in dict.fromkeys(masks) if m]
    return " & ".join(found) if found else None


def all_symbols(dims: Iterable[Dim]) -> list[str]:
    """The symbols of sizes, in alphabetical order."""
    return sorted({name for dim in dims for name in symbols(dim)})


def dims_of(kernel: Kernel) -> list[Dim]:
    """Every size that the statements of a kernel mention."""
    found: list[Dim] = [a.extent for a in (*kernel.rows, *kernel.columns)]

    def see(index: Affine) -> None:
        found.extend(stride for _, stride in index.terms)
        found.append(index.offset)

    for p in kernel.passes:
        for s in p.body:
            if hasattr(s, "index"):
                see(s.index)
            for g in getattr(s, "guards", ()):
                see(g.index)
                found.extend((g.low, g.high))
            if isinstance(s, Size):
                found.append(s.dim)
    return found


def symbol_arguments(kernel: Kernel) -> dict[str, str]:
    """The integer argument for each symbolic size."""
    return {s: size_name(s) for s in all_symbols(dims_of(kernel))}
