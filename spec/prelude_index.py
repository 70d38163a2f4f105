"""The blocks that come with weft: found by a glance at the texts, parsed when they are used."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from .errors import InternalError
from .read_weft import read_items
from .tree import Block

FOLDER = Path(__file__).with_name("prelude")
ITEM = re.compile(
    r"^(?:(block)[ \t]+(\w+)|(?:param|default|import|variant|net|train)\b)", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Entry:
    """Where the text of a block stands."""

    file: str
    start: int
    end: int


@dataclass(slots=True)
class Prelude(Mapping[str, Block]):
    """Block name to Block; each is parsed when it is first looked up."""

    texts: dict[str, str]
    entries: dict[str, Entry]
    parsed: dict[str, Block] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Block:
        if name not in self.parsed:
            entry = self.entries[name]
            (block,) = read_items(self.texts[entry.file], entry.file, entry.start, entry.end)
            assert isinstance(block, Block)
            self.parsed[name] = block
        return self.parsed[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __contains__(self, name: object) -> bool:
        return name in self.entries


@cache
def prelude() -> Prelude:
    """The prelude that ships with weft; read only, so it may be shared."""
    paths = sorted(FOLDER.glob("*.weft"))
    return index({f"prelude/{path.name}": path.read_text(encoding="utf-8") for path in paths})


def index(texts: Mapping[str, str]) -> Prelude:
    """Find the blocks of some texts.

    Raises:
        InternalError: a block name twice, or a text that holds anything but blocks.
    """
    entries: dict[str, Entry] = {}
    for file, text in texts.items():
        items = list(ITEM.finditer(text))
        for position, item in enumerate(items):
            if item[1] is None:
                raise InternalError(f"{file} holds more than blocks: {item[0]}")
            if item[2] in entries:
                raise InternalError(
                    f"block {item[2]} stands in {entries[item[2]].file} and in {file}"
                )
            end = items[position + 1].start() if position + 1 < len(items) else len(text)
            entries[item[2]] = Entry(file, item.start(), end)
    return Prelude(dict(texts), entries)
