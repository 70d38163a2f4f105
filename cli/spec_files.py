"""Which specs a command line means: files, folders and everything below them, patterns."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..spec.errors import UsageError
from ..spec.load import WEFT, YAML

ENDINGS = (*WEFT, *YAML)


def spec_files(given: Iterable[str]) -> list[str]:
    """The files that are meant, in order, each once.

    A folder means every spec below it.  A shell without `**` hands over folders and READMEs for
    `examples/**`: beside specs, other files are passed over.

    Raises: UsageError where there is no spec at all.
    """
    listed = list(given)
    found = [file for each in listed for file in _expand(each)]
    specs = [file for file in found if Path(file).suffix.lower() in ENDINGS]
    if not specs and found:
        return found  # reading them says what is wrong
    if not specs:
        raise UsageError(
            f"no spec in {', '.join(listed)}", hint=f"specs end in {' '.join(ENDINGS)}"
        )
    return list(dict.fromkeys(specs))


def _expand(given: str) -> Iterator[str]:
    path = Path(given)
    if path.is_dir():
        inside = (each for each in path.rglob("*") if each.suffix.lower() in ENDINGS)
        yield from (str(each) for each in sorted(inside) if each.is_file() and _shown(each, path))
    elif glob.has_magic(given) and not path.exists():
        for each in sorted(glob.glob(given, recursive=True)):
            if Path(each).is_file():
                yield each
    else:
        yield given


def _shown(path: Path, root: Path) -> bool:
    """Is nothing on the way hidden?"""
    return not any(part.startswith(".") for part in path.relative_to(root).parts)
