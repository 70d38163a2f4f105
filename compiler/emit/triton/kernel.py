"""One Triton kernel as text, with what is needed to compile and launch it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Extent = int | str
"""A number of elements; a name stands for an integer argument of the kernel."""

POINTER_TYPES = {
    "f64": "*fp64",
    "f32": "*fp32",
    "f16": "*fp16",
    "bf16": "*bf16",
    "i64": "*i64",
    "i32": "*i32",
    "bool": "*i1",
}
"""Triton's name for a pointer to each dtype."""

ELEMENT_TYPES = {
    "f64": "tl.float64",
    "f32": "tl.float32",
    "f16": "tl.float16",
    "bf16": "tl.bfloat16",
    "i64": "tl.int64",
    "i32": "tl.int32",
    "bool": "tl.int1",
}
"""How kernel text spells each dtype."""


def widened(dtype: str) -> str:
    """What follows an element that was loaded, so that arithmetic is in float32."""
    return ".to(tl.float32)" if dtype in ("f16", "bf16") else ""


@dataclass(frozen=True, slots=True)
class Factor:
    """ceil(extent / block): a number of blocks, or a plain number when `block` is 1."""

    extent: Extent
    block: int = 1

    def expression(self, names: Mapping[str, Any]) -> Any:
        """The factor as an artifact's `Expression`; `names` gives the value of each argument."""
        extent = names[self.extent] if isinstance(self.extent, str) else self.extent
        if self.block == 1:
            return extent
        if isinstance(extent, int):
            return -(-extent // self.block)
        return ("//", ("+", extent, self.block - 1), self.block)


Factors = tuple[Factor, ...]


def expression(factors: Factors, names: Mapping[str, Any]) -> Any:
    """The product of the factors as an artifact's `Expression`."""
    parts = [factor.expression(names) for factor in factors]
    number = 1
    symbols = []
    for part in parts:
        if isinstance(part, int):
            number *= part
        else:
            symbols.append(part)
    if not symbols:
        return number
    operands = ([number] if number != 1 else []) + symbols
    return operands[0] if len(operands) == 1 else ("*", *operands)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A run-time parameter of a kernel.

    `type` is Triton's: `*fp32`, `*i32`, `i32`, `fp32` …; `divisible`: the number, or the address in
    bytes, is known to be a multiple of 16.
    """

    name: str
    type: str
    divisible: bool = False

    @classmethod
    def pointer(cls, buffer: str, dtype: str, *, divisible: bool = True) -> Parameter:
        """The pointer to a buffer."""
        return cls(f"{buffer}_ptr", POINTER_TYPES[dtype], divisible)


@dataclass(frozen=True, slots=True)
class Workspace:
    """Scratch memory behind a pointer parameter.

    Units: the product of `factors` counts float32 elements.
    """

    parameter: str
    factors: Factors


@dataclass(frozen=True, slots=True)
class KernelText:
    """A kernel: its text and everything that compiling and launching it needs.

    `grid` has one product of factors an axis; `dots` counts the `tl.dot` in the text (each must
    become tensor-core instructions); `constants` are constexpr parameters after the others.
    `alone`: its programs have a processor each, so that one may take all registers; else the
    assembler spills a few where two programs would then fit.
    """

    name: str
    text: str
    parameters: tuple[Parameter, ...]
    grid: tuple[Factors, ...]
    warps: int
    stages: int
    dots: int = 0
    workspaces: tuple[Workspace, ...] = ()
    constants: Mapping[str, int] = field(default_factory=dict)
    alone: bool = False

    def spec(self) -> dict[str, Any]:
        """The record that the artifact carries for the cross-compiler (plain JSON data)."""
        return {
            "name": self.name,
            "parameters": [[p.name, p.type, p.divisible] for p in self.parameters],
            "constants": dict(self.constants),
            "warps": self.warps,
            "stages": self.stages,
            "dots": self.dots,
            "alone": self.alone,
        }

    def launch_grid(self, names: Mapping[str, Any]) -> tuple[Any, ...]:
        """The grid as `Expression`s; `names` gives each extent argument's value."""
        return tuple(expression(axis, names) for axis in self.grid)


def drawing(streams: Iterable[int]) -> list[Parameter]:
    """What a kernel needs that draws random numbers from its streams with these numbers."""
    numbers = sorted(set(streams))
    found = [Parameter(f"{n}_ptr", "*u32") for n in ("seed", "step")] if numbers else []
    return found + [Parameter(stream_name(number), "i32") for number in numbers]


def stream_name(number: int) -> str:
    """The argument for a kernel's stream."""
    return f"stream_{number + 1}"


def merged(*groups: Iterable[Parameter]) -> tuple[Parameter, ...]:
    """All parameters in order, each name once."""
    found: dict[str, Parameter] = {}
    for group in groups:
        for parameter in group:
            found.setdefault(parameter.name, parameter)
    return tuple(found.values())


def scalars(extents: Sequence[Extent], divisible: Mapping[str, bool]) -> tuple[Parameter, ...]:
    """The integer parameters for those extents that are names."""
    names = dict.fromkeys(e for e in extents if isinstance(e, str))
    return tuple(Parameter(name, "i32", divisible.get(name, False)) for name in names)
