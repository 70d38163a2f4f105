"""`docs/layers.md` lists every operation with its signature; `make snapshots` writes it anew."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from weft.compiler.build.intrinsics import INTRINSICS, Intrinsic
from weft.compiler.build.signature import REQUIRED
from weft.spec.prelude_index import prelude
from weft.spec.spell import header, type_text

PAGE = Path(__file__).resolve().parents[2] / "docs" / "layers.md"
MARK = "<!-- what follows is written by `make snapshots` -->\n"
TITLES = {
    "activations": "Activations",
    "experts": "Experts",
    "functions": "Functions",
    "layers": "Layers",
    "losses": "Losses and measures",
    "normalisation": "Normalisation over channels",
    "positions": "Positions",
    "sequences": "Attention, recurrent layers and sequences",
    "windows": "Convolutions, pools and images",
}


@pytest.mark.snapshot
def test_the_page_lists_every_operation() -> None:
    written = PAGE.read_text(encoding="utf-8")
    wanted = written.partition(MARK)[0] + MARK + "\n".join(lists()) + "\n"
    if os.environ.get("WEFT_SNAPSHOTS") == "write":
        PAGE.write_text(wanted, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == wanted, "docs/layers.md: run `make snapshots`"


def lists() -> Iterator[str]:
    """The blocks of the prelude by file, then the intrinsics by family."""
    for file, text in prelude().texts.items():
        stem = Path(file).stem
        yield f"\n## {TITLES[stem]}\n\n`spec/prelude/{stem}.weft`\n"
        yield "| block | inputs | |\n|---|---|---|"
        yield from blocks(text)
    yield "\n## Intrinsics\n\nWhat the blocks above are written in."
    for family in dict.fromkeys(op.family for op in INTRINSICS.values()):
        yield f"\n**{family.capitalize()}**\n\n| operation | |\n|---|---|"
        yield from (row(op) for op in INTRINSICS.values() if op.family == family)


def blocks(text: str) -> Iterator[str]:
    """One line a public block, with the comment that stands above it."""
    for match in re.finditer(r"((?:^#.*\n)*)^block (\w+)", text, re.MULTILINE):
        comment, name = match.groups()
        if name.startswith("_"):
            continue
        block = prelude()[name]
        said = " ".join(line.lstrip("# ") for line in comment.splitlines())
        assert said, f"block {name} has no comment"
        inputs = ", ".join(f"`{i.name}: {type_text(i.type)}`" for i in block.body.inputs)
        yield cells(f"`{header(name, block.parameters)}`", inputs, sentence(said))


def row(op: Intrinsic) -> str:
    """One line an intrinsic."""
    signature = op.signature
    inputs = [f"*{i}" if signature.variadic else i for i in signature.inputs]
    settings = [
        s.name if s.default is REQUIRED else f"{s.name}={word(s.default)}"
        for s in signature.settings
    ]
    extra = [f"**{signature.extra}"] if signature.extra else []
    named = [f"{name}=…" for name in signature.by_name]
    return cells(
        f"`{op.name}({', '.join([*inputs, *settings, *extra, *named])})`", sentence(op.doc)
    )


def word(value: object) -> str:
    """A default as the language writes it."""
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


def sentence(text: str) -> str:
    """With a full stop."""
    return text if text.endswith(".") else f"{text}."


def cells(*texts: str) -> str:
    """A row of a table."""
    return f"| {' | '.join(text.replace('|', chr(92) + '|') for text in texts)} |"
