"""What every source gives, and how its files are found."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...spec.errors import DataError, suggest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .pictures import Pictures
    from .windows import Text

    Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Request:
    """What a data line asks of its source; `root` is the folder of the spec.

    `facts` are those of an earlier load (classes, columns), which bind this one.
    """

    settings: Mapping[str, Any]
    names: tuple[str, ...]
    dtypes: tuple[str, ...]
    root: Path
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Raw:
    """The fields of a source as they were read, one array each, and its own held-out part if any.

    `facts` must be known again when the network is used: classes, column names.  `where` names the
    origin of a sample, such as `wdbc.csv:18`; `gaps` says that NaN stands for a missing value.
    Where there are `pictures`, their planes are the first fields, and `fields` those after them.
    Where there is a `text`, windows of it are all there is.
    """

    fields: tuple[Array, ...]
    test: tuple[Array, ...] | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    where: Callable[[int], str] = "sample {}".format
    where_test: Callable[[int], str] = "held-out sample {}".format
    gaps: bool = False
    pictures: Pictures | None = None
    test_pictures: Pictures | None = None
    text: Text | None = None
    test_text: Text | None = None


def locate(root: Path, path: str) -> Path:
    """The file of this name in the spec's folder.

    Raises: DataError when it leaves the folder, does not exist, is empty or is not a file.
    """
    found = inside(root, path)
    try:
        found.stat()
    except FileNotFoundError:
        raise DataError(f"there is no file `{path}`", hint=_beside(found, path)) from None
    except OSError as error:
        raise DataError(f"`{path}` cannot be read: {error.strerror}") from None
    if found.is_dir():
        raise DataError(f"`{path}` is a folder, not a file")
    if found.stat().st_size == 0:
        raise DataError(f"`{path}` is empty")
    if not os.access(found, os.R_OK):
        raise DataError(f"`{path}` may not be read", hint="check the permissions of the file")
    return found


def inside(root: Path, path: str) -> Path:
    """The path below the spec's folder; links are followed, `..` out of it is not.

    Raises: DataError.
    """
    base = os.path.abspath(root)
    joined = os.path.normpath(os.path.join(base, path))
    if "\0" in path or os.path.isabs(path) or os.path.commonpath([base, joined]) != base:
        raise DataError(
            f"`{path}` lies outside the folder of the spec",
            hint="put the file, or a link to it, beside the spec and name it relative to there",
        )
    return Path(joined)


def _beside(missing: Path, path: str) -> str:
    """What the user may have meant: files of similar name, or those that are there."""
    folder = missing.parent
    if not folder.is_dir():
        return f"there is no folder `{Path(path).parent}` beside the spec"
    there = sorted(entry.name for entry in folder.iterdir() if entry.is_file())
    close = suggest(missing.name, there)
    if close:
        return close
    same = [name for name in there if Path(name).suffix == missing.suffix]
    shown = same or there
    more = f" and {len(shown) - 8} more" if len(shown) > 8 else ""
    return f"that folder holds {', '.join(shown[:8])}{more}" if shown else "that folder is empty"


def as_list(value: str | Sequence[str] | None) -> list[str]:
    """One text or several, as a list."""
    if value is None:
        return []
    return [value] if isinstance(value, str) else list(value)
