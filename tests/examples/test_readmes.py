"""The README of each example names what is there, and its commands are understood."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from .counts import FOLDER, counts

ROOT = FOLDER.parent
EXPECTED: dict[str, dict[str, dict[str, int]]] = {}
for count in counts():
    if isinstance(count.parameters, int):
        folder, _, name = count.spec.rpartition("/")
        variants = EXPECTED.setdefault(folder, {}).setdefault(name, {})
        variants[count.variant] = count.parameters
COMMAND = re.compile(r"^weft (?:train|predict|check|show) (\S+\.weft)(.*?)(?:#.*)?$", re.MULTILINE)
OPTION = re.compile(r"--(variant|set) (\S+)")
LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)\)")


@pytest.mark.parametrize("folder", sorted(EXPECTED))
def test_specs_variants_and_counts_are_named(folder: str) -> None:
    text = (FOLDER / folder / "README.md").read_text(encoding="utf-8")
    for spec, variants in EXPECTED[folder].items():
        assert len(EXPECTED[folder]) == 1 or f"`{spec}.weft" in text
        for variant, count in variants.items():
            assert not variant or re.search(rf"\b{variant}\b", text), variant
            assert re.search(rf"\b({count}|{count:,})\b", text), (variant, count)


@pytest.mark.parametrize("folder", sorted(EXPECTED))
def test_commands_are_understood(weft: Any, folder: str) -> None:
    text = (FOLDER / folder / "README.md").read_text(encoding="utf-8")
    read = {
        (path, *(f"--{name}={value}" for name, value in OPTION.findall(rest)))
        for path, rest in COMMAND.findall(text)
    }
    assert read
    for path, *options in sorted(read):
        answer = weft("check", ROOT / path, *options)
        assert answer.code == 0, answer.err


@pytest.mark.parametrize("page", sorted(FOLDER.rglob("README.md")), ids=lambda p: p.parent.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("spec", sorted(FOLDER.rglob("*.weft")), ids=lambda p: p.stem)
def test_specs_are_in_canonical_form(weft: Any, spec: Path) -> None:
    answer = weft("fmt", "--check", spec)
    assert answer.code == 0, answer.err
