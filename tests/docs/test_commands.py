"""Every command line that a page shows is one: its options exist and take what they are given."""

from __future__ import annotations

import argparse
import importlib
import re
import shlex
from pathlib import Path

import pytest

from weft.cli.main import VERBS

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md"]
PAGES += sorted(p for room in ("docs", "examples", "editors") for p in (ROOT / room).rglob("*.md"))
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SPAN = re.compile(r"`(weft [^`]+)`")
END = re.compile(r"  +(?=[^\"]*$)|\s#| \| | < | > |, …| …$")
"""Where a command ends and what is said of it begins, or what it is joined with."""


def commands(text: str) -> list[str]:
    """The calls of weft in blocks of commands and between words."""
    shown = [line for kind, block in FENCE.findall(text) if not kind for line in block.split("\n")]
    spans = SPAN.findall(FENCE.sub("", text).replace("\n", " "))
    lines = [line.partition("$ ")[2] or line for line in shown]
    found = [END.split(line)[0] for line in [*lines, *spans] if re.match(r"weft [a-z-]+ ", line)]
    return [line for line in found if line.split()[1] in VERBS]


UNSAID = re.compile(r"the following arguments are required|expected (one|at least one) argument")
"""What an option between words may leave out."""


def parsed(line: str) -> argparse.Namespace:
    """What a command line says.  Raises: SystemExit where it says nothing."""
    verb, *rest = shlex.split(line)[1:]
    module = importlib.import_module(f"weft.cli.{verb.replace('-', '_')}")
    parser = argparse.ArgumentParser(prog=f"weft {verb}", allow_abbrev=False)
    module.configure(parser)
    return parser.parse_args([word for word in rest if word != "…"])


SHOWN = [
    (page.relative_to(ROOT).as_posix(), line)
    for page in PAGES
    for line in dict.fromkeys(commands(page.read_text(encoding="utf-8")))
]


@pytest.mark.parametrize("page", sorted({page for page, _ in SHOWN}))
def test_commands_are_taken(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = []
    for line in (line for where, line in SHOWN if where == page):
        try:
            parsed(line)
        except SystemExit:
            said = capsys.readouterr().err.strip().splitlines()[-1]
            if not UNSAID.search(said):
                wrong.append((line, said))
    assert not wrong


def test_a_wrong_option_is_found() -> None:
    assert len(SHOWN) > 100
    with pytest.raises(SystemExit):
        parsed("weft train net.weft --no-such-option")
