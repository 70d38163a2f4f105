"""From the text of a document to everything that is known about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..compiler.build import Program, Trace, elaborate
from ..spec import read_weft, read_yaml
from ..spec.errors import Diagnostic, SpecError
from ..spec.load import LARGEST, YAML, Spec, load_text
from ..spec.place import Place
from ..spec.tree import File
from .cursor import at


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be analysed.

    `path` names the text, `folder` is where its imports are, `unsaved` the texts of other open
    documents by their resolved path.
    """

    uri: str
    version: int
    content: str
    path: str
    folder: Path | None
    unsaved: Mapping[Path, str]


@dataclass(frozen=True, slots=True)
class Analysis:
    """What is known about one version of a text.

    `spec` and `program` are there if nothing is wrong, `trace` as far as the elaboration went;
    `texts` are those of the document and what it imports.
    """

    version: int
    content: str
    file: File
    spec: Spec | None
    trace: Trace
    program: Program | None
    diagnostics: tuple[Diagnostic, ...]
    texts: Mapping[str, str]


def analyse(request: Request) -> Analysis:
    """Read, load and elaborate a text; whatever is wrong with it becomes diagnostics."""
    path, content = request.path, request.content
    file, found = readable(content, path)
    spec: Spec | None = None
    program: Program | None = None
    trace = Trace()
    texts = {path: content}
    try:
        if not found:
            spec = load_text(content, path, folder=request.folder, unsaved=request.unsaved)
            texts |= {name: text for name, text in spec.texts.items() if not _shipped(name)}
            program = elaborate(spec, trace)
    except SpecError as error:
        texts |= {name: text for name, text in error.texts.items() if not _shipped(name)}
        found = tuple(each for each in error.diagnostics if not _only_blocks(file, each))
    return Analysis(request.version, content, file, spec, trace, program, found, texts)


def readable(content: str, path: str) -> tuple[File, tuple[Diagnostic, ...]]:
    """The tree of what can be read, and what is wrong with the rest."""
    if len(content) > LARGEST:
        too_large = Diagnostic("E105", "larger than 1 MiB", Place(path, 1, 1, 2))
        return _nothing(path, content), (too_large,)
    if Path(path).suffix.lower() in YAML:
        return read_yaml.read_readable(content, path)
    file, found = read_weft.read_readable(content, path)
    if found and file == _nothing(path, content):  # braces that are open at the end hide all
        file, _ = read_weft.read_readable(closed(content, len(content)), path)
    return file, found


def closed(content: str, offset: int) -> str:
    """The text up to the statement at an offset, with its braces closed."""
    cursor = at(content, offset)
    return content[: cursor.begun] + "\n" + "}\n" * cursor.braces


def _nothing(path: str, content: str) -> File:
    return File((), (), (), (), (), (), None, path, content)


def _shipped(name: str) -> bool:
    return name.startswith("prelude/")


def _only_blocks(file: File, found: Diagnostic) -> bool:
    """A file of blocks for others to import has no net, and needs none."""
    return found.code == "E208" and found.place == file.place and bool(file.blocks)
