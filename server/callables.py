"""What can be called: operations, blocks, nets, and the tables of the training section.

All of them are shown as one kind of record: name, inputs, options, documentation, place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from ..compiler.build.intrinsics import INTRINSICS, Intrinsic
from ..compiler.build.signature import KINDS, REQUIRED, Signature, of_block
from ..spec import signature as tables
from ..spec.expressions import Boolean
from ..spec.initialisers import INITIALISERS
from ..spec.optimizers import OPTIMIZERS
from ..spec.place import Place
from ..spec.prelude_index import prelude
from ..spec.schedules import SCHEDULES
from ..spec.sources import SOURCES
from ..spec.spell import expression
from ..spec.stopping import STOPPING
from ..spec.tree import Block, Net
from .texts import comment_above


@dataclass(frozen=True, slots=True)
class Option:
    """A setting of a call: `words` are the bare words it takes, `starts`: it takes initialisers."""

    name: str
    default: str | None
    words: tuple[str, ...] = ()
    doc: str = ""
    starts: bool = False
    place: Place | None = None

    def __str__(self) -> str:
        return self.name if self.default is None else f"{self.name}={self.default}"


@dataclass(frozen=True, slots=True)
class Callee:
    """Something that can be called; `kind` says what it is, in words."""

    name: str
    kind: str
    inputs: tuple[str, ...]
    options: tuple[Option, ...]
    doc: str
    place: Place | None = None
    variadic: bool = False

    @property
    def label(self) -> str:
        """`linear(x; features, bias=true)`: inputs before `;`, settings after it."""
        return f"{self.name}({'; '.join(part for part in self.parts if part)})"

    @property
    def parts(self) -> tuple[str, str]:
        """The texts of inputs and of settings."""
        inputs = ", ".join(f"*{x}" if self.variadic else x for x in self.inputs)
        return inputs, ", ".join(map(str, self.options))

    def option(self, name: str) -> Option | None:
        """The setting of that name."""
        return next((option for option in self.options if option.name == name), None)


TABLES: Mapping[str, Mapping[str, tables.Signature]] = {
    "data source": {name: source.signature for name, source in SOURCES.items()},
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "initialiser": INITIALISERS,
    "stopping rule": STOPPING,
}


@cache
def table(kind: str) -> Mapping[str, Callee]:
    """The data sources, optimizers, schedules, initialisers or stopping rules."""
    return {name: _of_table(kind, each) for name, each in TABLES[kind].items()}


@cache
def shipped() -> Mapping[str, Callee]:
    """The operations and blocks that come with weft."""
    found = {name: of_intrinsic(each) for name, each in INTRINSICS.items()}
    library = prelude()
    for name in library:
        if not name.startswith("_"):
            block = library[name]
            found[name] = of_own(block, library.texts[block.place.file], "layer")
    return found


def callables(
    blocks: Iterator[Block], nets: Iterator[Net], texts: Mapping[str, str]
) -> dict[str, Callee]:
    """Everything that can be called in a file with these blocks and nets of its own."""
    found = dict(shipped())
    for block in blocks:
        found[block.name] = of_own(block, texts.get(block.place.file, ""), "block")
    for net in nets:
        inputs = tuple(each.name for each in net.body.inputs)
        doc = comment_above(texts.get(net.place.file, ""), net.place.line)
        found[net.name] = Callee(net.name, "net", inputs, (), doc, net.place)
    return found


def of_intrinsic(intrinsic: Intrinsic) -> Callee:
    """An operation that is not written in the language."""
    signature = intrinsic.signature
    options = tuple(
        Option(
            each.name,
            None if each.default is REQUIRED else _plain(each.default),
            each.words or (("true", "false") if each.kind == "flag" else ()),
            KINDS[each.kind][1],
            each.starts,
        )
        for each in signature.settings
    )
    inputs = signature.inputs
    return Callee(
        intrinsic.name, "operation", inputs, options, intrinsic.doc, None, signature.variadic
    )


def of_own(block: Block, text: str, kind: str) -> Callee:
    """A block, of the user or of the prelude."""
    signature: Signature = of_block(block)
    places = {each.name: each for each in block.parameters}
    options = []
    for each in signature.settings:
        written = places[each.name]
        words = each.words or (("true", "false") if isinstance(written.default, Boolean) else ())
        default = None if written.default is None else expression(written.default)
        options.append(Option(each.name, default, words, "", each.starts, written.place))
    doc = comment_above(text, block.place.line)
    return Callee(
        block.name, kind, signature.inputs, tuple(options), doc, block.place, signature.variadic
    )


def _of_table(kind: str, signature: tables.Signature) -> Callee:
    options = tuple(
        Option(
            each.name,
            None if each.required else _plain(each.default),
            each.words or (("true", "false") if each.kind == "boolean" else ()),
            each.doc,
        )
        for each in signature.options
    )
    return Callee(signature.name, kind, (), options, signature.doc)


def _plain(value: object) -> str:
    """A default as the language writes it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_plain, value))}]"
    if isinstance(value, str) and not value.isidentifier():
        return f'"{value}"'
    return str(value)
