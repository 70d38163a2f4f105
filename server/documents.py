"""The open documents: their texts, the newest analysis of each, and the last good one."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from pygls import uris

from ..spec.load import WEFT, YAML
from ..spec.prelude_index import FOLDER
from ..spec.tree import File
from . import yaml_cursor
from .analysis import Analysis, Request, readable
from .cursor import Cursor, at
from .texts import Text

LARGEST_CHANGE = 400  # lines that are compared one by one; what changed more is not followed
LARGEST_AT_ONCE = 100_000  # characters that are read again for an answer, before the analysis


@dataclass(slots=True)
class Document:
    """One open document.

    `latest` is the newest analysis that came back; `good` the newest one without errors.
    """

    uri: str
    path: str
    folder: Path | None
    text: Text
    version: int
    recognised: bool = False
    latest: Analysis | None = None
    good: Analysis | None = None
    _read: tuple[int, File] | None = None
    _drifts: dict[int, Drift] = field(default_factory=dict)

    @property
    def yaml(self) -> bool:
        """Is it the YAML form?"""
        return Path(self.path).suffix.lower() in YAML

    @property
    def ours(self) -> bool:
        """Is it a spec?  A YAML file is one once its keys have said so."""
        if not self.recognised:
            self.recognised = not self.yaml or yaml_cursor.is_spec(self.text.content)
        return self.recognised

    @property
    def file(self) -> File:
        """The tree of what can be read of the text as it is now."""
        large = len(self.text.content) > LARGEST_AT_ONCE
        if large and self.latest is not None:
            return self.latest.file
        if self._read is None or self._read[0] != self.version:
            self._read = self.version, readable(self.text.content, self.path)[0]
        return self._read[1]

    def cursor(self, offset: int) -> Cursor:
        """What stands at an offset."""
        look = yaml_cursor.at if self.yaml else at
        return look(self.text.content, offset)

    def change(self, content: str, version: int) -> None:
        """Another text."""
        self.text = Text(content, self.text.encoding)
        self.version = version
        self._drifts.clear()

    def take(self, analysis: Analysis) -> None:
        """Keep what an analysis found; one without errors is remembered through later errors."""
        if self.latest is None or analysis.version >= self.latest.version:
            self.latest = analysis
        if analysis.program is not None and (
            self.good is None or analysis.version >= self.good.version
        ):
            self.good = analysis
        self._drifts.clear()

    def known(self) -> Iterator[tuple[Analysis, Drift]]:
        """What is known, newest first, and how lines have moved since."""
        for analysis in (self.latest, self.good):
            if analysis is not None:
                yield analysis, self.drift(analysis)

    def drift(self, analysis: Analysis) -> Drift:
        """From the lines of the analysed text to those of the text as it is."""
        key = id(analysis)
        if key not in self._drifts:
            self._drifts[key] = Drift.between(analysis.content, self.text.content)
        return self._drifts[key]


@dataclass(frozen=True, slots=True)
class Drift:
    """Which line of an older text is which line now; lines count from 1."""

    forward: dict[int, int] | None
    backward: dict[int, int] | None

    @staticmethod
    def between(before: str, now: str) -> Drift:
        """The lines that both texts have; a changed line takes the one at its place."""
        if before == now:
            return Drift(None, None)
        old, new = before.split("\n"), now.split("\n")
        least = min(len(old), len(new))
        head = next((i for i in range(least) if old[i] != new[i]), least)
        rest = range(1, least - head + 1)
        tail = next((i - 1 for i in rest if old[-i] != new[-i]), least - head)
        forward = {i + 1: i + 1 for i in range(head)}
        forward |= {len(old) - i: len(new) - i for i in range(tail)}
        middle, other = old[head : len(old) - tail], new[head : len(new) - tail]
        if max(len(middle), len(other)) <= LARGEST_CHANGE:
            matcher = difflib.SequenceMatcher(None, middle, other, autojunk=False)
            for kind, a, b, c, d in matcher.get_opcodes():
                if kind == "equal" or (kind == "replace" and b - a == d - c):
                    forward |= {head + a + i + 1: head + c + i + 1 for i in range(b - a)}
        return Drift(forward, {now: then for then, now in forward.items()})

    def now(self, line: int) -> int | None:
        """Where a line of the older text is."""
        return line if self.forward is None else self.forward.get(line)

    def then(self, line: int) -> int | None:
        """Where a line was."""
        return line if self.backward is None else self.backward.get(line)


class Documents:
    """All open documents by URI."""

    def __init__(self) -> None:
        self.open: dict[str, Document] = {}
        self.encoding = "utf-16"

    def put(self, uri: str, language: str, content: str, version: int) -> Document:
        """A document was opened."""
        path, folder = whereabouts(uri, language)
        document = Document(uri, path, folder, Text(content, self.encoding), version)
        self.open[uri] = document
        return document

    def request(self, document: Document) -> Request:
        """All that an analysis needs, as it is now."""
        unsaved = {
            Path(other.path).resolve(): other.text.content
            for other in self.open.values()
            if other.folder is not None and other is not document
        }
        return Request(
            document.uri,
            document.version,
            document.text.content,
            document.path,
            document.folder,
            unsaved,
        )

    def users_of(self, document: Document) -> Iterator[Document]:
        """The open documents that import this one, as far as is known."""
        for other in self.open.values():
            latest = other.latest
            if other is not document and latest is not None and document.path in latest.texts:
                yield other

    def uri_of(self, path: str) -> str | None:
        """The URI of a file of a spec, or of the blocks that come with weft."""
        for document in self.open.values():
            if document.path == path:
                return document.uri
        if path.startswith("prelude/"):
            path = str(FOLDER / path.removeprefix("prelude/"))
        return uris.from_fs_path(path) if Path(path).is_absolute() else None

    def text_of(self, path: str) -> Text | None:
        """The text of such a file as it is now."""
        for document in self.open.values():
            if document.path == path:
                return document.text
        file = FOLDER / path.removeprefix("prelude/") if path.startswith("prelude/") else Path(path)
        try:
            return Text(file.read_text(encoding="utf-8-sig"), self.encoding)
        except (OSError, UnicodeDecodeError):
            return None


def whereabouts(uri: str, language: str) -> tuple[str, Path | None]:
    """How a document is called in messages, with an ending, and the folder it is in."""
    ending = ".yaml" if "yaml" in language else ".weft"
    path = uris.to_fs_path(uri)
    if path is None:  # a text that was never saved
        name = PurePosixPath(unquote(urlsplit(uri).path)).name or "untitled"
        known = name.lower().endswith((*WEFT, *YAML))
        return name if known else f"{name}{ending}", None
    if not path.lower().endswith((*WEFT, *YAML)):
        path += ending
    return path, Path(path).parent
