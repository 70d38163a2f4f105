"""Where the spec lies in a package, and every place in the artifact that points into it."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from ....spec.prelude_index import prelude
from ...artifact import Artifact
from .text import plain

FOLDER = "spec"
"""The folder of the user's own files; those of the prelude keep their names, `prelude/…`."""


@dataclass(frozen=True, slots=True)
class Origin:
    """How a package was compiled: the version of weft, the variant, the params that were set."""

    version: str = ""
    variant: str | None = None
    settings: tuple[str, ...] = ()

    def words(self) -> str:
        """As on the command line: `--variant wide --set hidden=64`."""
        chosen = [f"--variant {self.variant}"] if self.variant else []
        return " ".join([*chosen, *(f"--set {setting}" for setting in self.settings)])


def relocate(artifact: Artifact) -> Artifact:
    """The artifact with its sources named as in the package.

    `a/b/net.weft:7:12` -> `spec/net.weft:7:12`.

    So a package has the same texts wherever its spec was compiled from.
    """
    names = _names(artifact)
    moved = {old: new for old, new in names.items() if old != new}
    if not moved:
        return artifact
    listed = "|".join(re.escape(name) for name in sorted(moved, key=len, reverse=True))
    places = re.compile(rf"(?<![\w./-])({listed}):(?=\d)")

    def text(value: str) -> str:
        return places.sub(lambda found: f"{moved[found[1]]}:", value)

    fields = {
        field.name: _mapped(getattr(artifact, field.name), text)
        for field in dataclasses.fields(artifact)
        if field.name not in ("name", "spec")
    }
    spec = {names[old]: source for old, source in artifact.spec.items()}
    return dataclasses.replace(artifact, **fields, spec=spec)


def main_file(artifact: Artifact) -> str:
    """The name of the spec itself among the artifact's sources."""
    library = prelude().texts
    own = [name for name, text in artifact.spec.items() if library.get(name) != text]
    named = [name for name in own if PurePath(name).stem == artifact.name]
    return (named or own or list(artifact.spec))[0]


def _names(artifact: Artifact) -> dict[str, str]:
    """Every source's name, and its name in the package."""
    library = prelude().texts
    folder = os.path.dirname(main_file(artifact))
    names = {}
    for name, text in artifact.spec.items():
        if library.get(name) == text:
            names[name] = name
        else:
            inside = os.path.relpath(name, folder or ".").replace(os.sep, "/")
            names[name] = f"{FOLDER}/{plain(inside)}"
    return names


def _mapped(value: Any, text: Callable[[str], str]) -> Any:
    """The same data with every text in it rewritten."""
    if isinstance(value, str):
        return text(value)
    if isinstance(value, tuple | list):
        return type(value)(_mapped(item, text) for item in value)
    if isinstance(value, Mapping):
        return {key: _mapped(item, text) for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        return type(value)(**{name: _mapped(getattr(value, name), text) for name in names})
    return value
