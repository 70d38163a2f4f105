"""What `pip install` takes along, and what the makefile installs."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
ROOMS = ("cli", "spec", "compiler", "runtime", "server")


def _folders() -> dict[str, Path]:
    """Every package below the rooms, by its import name."""
    found = {"weft": ROOT}
    for room in ROOMS:
        for init in (ROOT / room).rglob("__init__.py"):
            folder = init.parent
            found[".".join(["weft", *folder.relative_to(ROOT).parts])] = folder
    return found


def test_every_package_is_listed() -> None:
    tools = PROJECT["tool"]["setuptools"]
    folders = _folders()
    assert sorted(tools["packages"]) == sorted(folders)
    assert {name: (ROOT / path).resolve() for name, path in tools["package-dir"].items()} == folders


def test_every_data_file_is_taken_along() -> None:
    listed = PROJECT["tool"]["setuptools"]["package-data"]
    for name, folder in _folders().items():
        if name == "weft":
            continue
        data = [p for p in folder.iterdir() if p.is_file() and p.suffix not in (".py", ".pyc")]
        for path in data:
            assert any(path.match(pattern) for pattern in listed.get(name, [])), path


def test_constraints_pin_every_dependency() -> None:
    text = (ROOT / "constraints.txt").read_text().lower().replace("_", "-")
    pinned = set(re.findall(r"^([a-z0-9.-]+)==", text, re.MULTILINE))
    extras = PROJECT["project"]["optional-dependencies"]
    wanted = [*PROJECT["project"]["dependencies"]]
    wanted += [each for extra in ("digits", "image", "lsp", "dev") for each in extras[extra]]
    names = {re.match(r"[A-Za-z0-9_.-]+", each)[0].lower().replace("_", "-") for each in wanted}
    assert names <= pinned


def test_public_names_exist() -> None:
    import weft

    for name in weft.__all__:
        assert getattr(weft, name) is not None
    assert set(weft.__all__) <= set(dir(weft))
