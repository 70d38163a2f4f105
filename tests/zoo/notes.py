"""What was measured of the examples, kept beside the results of the benchmarks."""

from __future__ import annotations

import datetime
import json
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
FILE = ROOT / "benchmarks" / "results" / "zoo.json"


def specs(only: str = "") -> list[Path]:
    """The examples that have nets; files of shared blocks have none."""
    found = (path for path in sorted(EXAMPLES.rglob("*.weft")) if only in str(path))
    return [path for path in found if "\nnet " in path.read_text(encoding="utf-8")]


def name_of(path: Path) -> str:
    """`vgg/vgg`: how an example is called in the notes."""
    return str(path.relative_to(EXAMPLES).with_suffix(""))


def read(file: Path = FILE) -> dict[str, dict[str, Any]]:
    """By kind of measurement, then by example."""
    return json.loads(file.read_text("utf-8")) if file.is_file() else {}


def note(kind: str, name: str, found: Mapping[str, Any] | None, file: Path = FILE) -> None:
    """Write down what was found today, with the versions that it depends on; None: forget it.

    The file is read anew, as several processes may measure.
    """
    known = read(file)
    mine = known.setdefault(kind, {})
    mine.pop(name, None)
    if found is not None:
        mine[name] = {**found, "date": str(datetime.date.today()), **versions()}
    file.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", "utf-8")


def versions() -> dict[str, str]:
    """Of what compiles and computes here."""
    return {
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in ("numpy", "torch", "triton")},
    }
