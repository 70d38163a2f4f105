"""What the generated files share: templates, and how types, costs and places are written."""

from __future__ import annotations

import json
import keyword
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from string import Template
from typing import Any

from ...artifact import Artifact, Initialiser, KernelRecord, Port

WIDTH = 100


def template(name: str, /, **values: object) -> str:
    """The text of `NAME.txt` beside this file with its `$names` filled in."""
    return _read(name).substitute(values)


@cache
def _read(name: str) -> Template:
    return Template(Path(__file__).with_name(f"{name}.txt").read_text(encoding="utf-8"))


def plain(name: str) -> str:
    """A name that needs no escaping in Python, Markdown or a path."""
    return re.sub(r"[^\w./ +-]", "_", name)


def port_type(port: Port) -> str:
    """`f32[B, 64]`"""
    return f"{port.dtype}[{', '.join(extent(dim) for dim in port.shape)}]"


def extent(dim: Any) -> str:
    """A dimension as it is written in a spec: `B`, `64`, `2*B`."""
    if not isinstance(dim, tuple | list):
        return str(dim)
    operator, *operands = dim
    words = [f"({extent(o)})" if isinstance(o, tuple | list) else str(o) for o in operands]
    return operator.join(words) if len(words) > 1 else f"{operator}({words[0]})"


def call(name: str, settings: Iterable[tuple[str, Any]]) -> str:
    """`adamw(betas=[0.9, 0.999], weight_decay=0.01)`; what is not set is left out."""
    listed = [f"{key}={literal(value)}" for key, value in settings if value is not None]
    return f"{name}({', '.join(listed)})"


def literal(value: Any) -> str:
    """A value as it is written in a spec."""
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(literal, value))}]"
    return json.dumps(value) if isinstance(value, bool) else str(value)


def initialiser(start: Initialiser) -> str:
    """`pytorch_linear()`"""
    return call(start.kind, start.settings)


def argument(name: str, taken: Sequence[str] = ()) -> str:
    """The name as a Python argument."""
    return f"{name}_" if keyword.iskeyword(name) or name in taken else name


def origin(record: KernelRecord) -> list[str]:
    """Where a kernel comes from: `spec/digits.weft:7 mlp.linear`, or what it is for."""
    if not record.places:
        return ["the update"]
    return list(dict.fromkeys(_line(place) for place in record.places))


def _line(place: str) -> str:
    """`f.weft:7:12  mlp.linear` -> `f.weft:7 mlp.linear`."""
    where, _, layer = place.partition("  ")
    file, _, rest = where.partition(":")
    return f"{file}:{rest.split(':')[0]} {layer}".strip()


def kernels(artifact: Artifact, entry: str) -> list[KernelRecord]:
    """The kernels of an entry, in the order in which they run."""
    return [record for record in artifact.kernels if record.entry == entry]


def sizes(values: Mapping[str, int]) -> str:
    """`B = 64`"""
    return ", ".join(f"{name} = {size}" for name, size in values.items())


def wrapped(text: str, width: int = WIDTH) -> str:
    """The text in lines that are not too long."""
    return textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False)
