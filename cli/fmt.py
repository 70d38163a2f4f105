"""Bring specs into their canonical form, in place; or convert one between .weft and .yaml."""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from ..spec.errors import UsageError
from ..spec.format import write_weft, write_yaml
from ..spec.load import decode, read_text
from ..spec.tree import File
from .spec_files import spec_files

WRITERS = {"weft": write_weft, "yaml": write_yaml}


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `weft fmt`."""
    parser.add_argument("files", metavar="FILE", nargs="+", help="a spec, or a folder of them")
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--check", action="store_true", help="change nothing; exit 1 if one would")
    action.add_argument("--to", choices=sorted(WRITERS), help="print it in this form instead")


def run(arguments: argparse.Namespace) -> int:
    """Format every file; with `--check`, 1 where one is not in canonical form."""
    if arguments.to and len(arguments.files) > 1:
        raise UsageError("--to converts one file at a time")
    changed = 0
    for path in map(Path, spec_files(arguments.files)):
        text, tree = _read(path)
        if arguments.to:
            print(WRITERS[arguments.to](tree), end="")
            return 0
        canonical = WRITERS["weft" if path.suffix == ".weft" else "yaml"](tree)
        if canonical == text:
            continue
        changed += 1
        if arguments.check:
            print(f"{path}: not in canonical form")
        else:
            _replace(path, canonical)
            print(f"{path}: formatted")
    return 1 if changed and arguments.check else 0


def _read(path: Path) -> tuple[str, File]:
    """The text of a spec and its tree.

    Raises: UsageError, SpecError.
    """
    try:
        text = decode(path.read_bytes(), str(path))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
    return text, read_text(text, str(path))


def _replace(path: Path, text: str) -> None:
    """The whole new text or the whole old one, whatever happens in between."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        os.chmod(name, path.stat().st_mode)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
