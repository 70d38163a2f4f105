"""The examples and what their `expected.toml` says of them."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).resolve().parents[2] / "examples"


class Count(NamedTuple):
    """The parameters of a spec in one variant ("" as it stands), by net or of all nets."""

    spec: str
    variant: str
    parameters: int | dict[str, int]


def listed() -> dict[str, dict[str, Any]]:
    """The sections of every file, by the folder it lies in."""
    return {
        str(path.parent.relative_to(FOLDER)): tomllib.loads(path.read_text(encoding="utf-8"))
        for path in sorted(FOLDER.rglob("expected.toml"))
    }


def counts() -> list[Count]:
    """Every published count."""
    found = []
    for folder, specs in listed().items():
        for name, section in specs.items():
            own = {"": section["parameters"]} if "parameters" in section else {}
            variants = own | section.get("variants", {})
            for variant, value in variants.items():
                number = value["parameters"] if variant and isinstance(value, dict) else value
                found.append(Count(f"{folder}/{name}", variant, number))
    return found
