"""Reads a spec from disk: the file, what it imports, its variant and overrides, the prelude."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from .errors import Diagnostic, SpecError, UsageError, suggest
from .lexer import DEEPEST
from .params import bind_params
from .place import Place
from .prelude_index import Prelude, prelude
from .read_weft import read_weft
from .scopes import items_of
from .source import bounded, position
from .static import Value
from .tree import Block, Default, File, Import

LARGEST = 1 << 20  # bytes of a spec file
MOST_FILES = 256  # that one spec imports
WEFT, YAML = (".weft",), (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Module:
    """What the blocks of one file see besides blocks: the file's own params and defaults."""

    constants: Mapping[str, Value]
    defaults: tuple[Default, ...]


class Blocks(Mapping[str, Block]):
    """The user's blocks and, behind them, those of the prelude."""

    def __init__(self, own: Mapping[str, Block], behind: Prelude) -> None:
        self.own = dict(own)
        self.behind = behind

    def __getitem__(self, name: str) -> Block:
        return self.own[name] if name in self.own else self.behind[name]

    def __iter__(self) -> Iterator[str]:
        yield from self.own
        yield from (name for name in self.behind if name not in self.own)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return name in self.own or name in self.behind


@dataclass(frozen=True, slots=True)
class Spec:
    """A spec, read and checked as far as its text goes.

    `blocks` holds the blocks of the file, of its imports and of the prelude (parsed when looked
    up); `constants` its params with variant and overrides applied; `modules` what the blocks of
    each imported file see instead; `texts` every text a place may point into.
    """

    file: File
    blocks: Blocks
    constants: Mapping[str, Value]
    modules: Mapping[str, Module]
    path: str
    texts: Mapping[str, str]
    variant: str | None = None

    def home(self, block: Block) -> Module:
        """The params and defaults that hold inside a block: those of the file it is written in."""
        return self.modules.get(block.place.file, NOTHING)


NOTHING = Module({}, ())


def load(
    path: str | os.PathLike[str],
    *,
    variant: str | None = None,
    params: Mapping[str, object] | None = None,
) -> Spec:
    """Read a spec file.

    Args:
        path: a `.weft`, `.yaml` or `.yml` file.
        variant: the name of one of its variants.
        params: values in place of those of its params; a text is read as an expression where the
            param is no text itself.

    Raises:
        UsageError: no such file, variant or param.
        SpecError: what is wrong with the text and the structure of the spec.
    """
    where = Path(path)
    try:
        data = _read(where)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
    return load_text(
        decode(data, str(path)), str(path), variant=variant, params=params, folder=where.parent
    )


def load_text(
    text: str,
    path: str,
    *,
    variant: str | None = None,
    params: Mapping[str, object] | None = None,
    folder: Path | None = None,
    unsaved: Mapping[Path, str] | None = None,
) -> Spec:
    """Read a spec from a text; `path` names it in messages and its ending says which form it has.

    Imports are looked for in `folder`; without one they are errors.  `unsaved` holds texts that
    stand in place of those on disk, by their resolved path: what an editor has not written yet.
    """
    file = read_text(text, path)
    loader = _Imports(folder.resolve() if folder else None, {path: text}, unsaved or {})
    own = {block.name: block for block in file.blocks}
    loader.follow(file, folder, (path,), own, dict(items_of(file)))
    if loader.diagnostics:
        raise SpecError(loader.in_order(), loader.texts)
    constants = bind_params(file, variant, params or {})
    library = prelude()
    modules = {**loader.modules, path: Module(constants, file.defaults)}
    return Spec(
        file,
        Blocks(own, library),
        constants,
        modules,
        path,
        {**library.texts, **loader.texts},
        variant,
    )


def with_params(spec: Spec, params: Mapping[str, object]) -> Spec:
    """The same spec and variant with other values of its params.

    Raises: UsageError for a param that does not exist, SpecError for one that has no value now.
    """
    constants = bind_params(spec.file, spec.variant, params)
    own = Module(constants, spec.file.defaults)
    return replace(spec, constants=constants, modules={**spec.modules, spec.path: own})


def read_text(text: str, path: str) -> File:
    """The tree of a text in the form its name says.

    Raises:
        UsageError: a name that says neither.
    """
    if len(text.encode("utf-8", "surrogatepass")) > LARGEST:
        raise SpecError(
            Diagnostic(
                "E105",
                "larger than 1 MiB",
                Place(path, 1, 1, 2),
                "move blocks into files to import",
            )
        )
    ending = Path(path).suffix.lower()
    if ending in WEFT:
        return read_weft(text, path)
    if ending in YAML:
        from .read_yaml import read_yaml  # PyYAML takes 15 ms to import; most specs need none

        return read_yaml(text, path)
    raise UsageError(f"{path}: the name of a spec ends in .weft, .yaml or .yml")


def decode(data: bytes, path: str) -> str:
    """The text of a file.

    Raises:
        SpecError: larger than 1 MiB, or not UTF-8.
    """
    if len(data) > LARGEST:
        raise SpecError(Diagnostic("E105", "larger than 1 MiB", Place(path, 1, 1, 2)))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line = before.count(b"\n") + 1
        column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8", "replace")) + 1
        wide = " (it looks like UTF-16)" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else ""
        found = Diagnostic(
            "E107",
            f"not UTF-8 text: byte 0x{data[error.start]:02x}{wide}",
            Place(path, line, column, column + 1),
            "save the file as UTF-8",
        )
        raise SpecError(found) from error


def _read(path: Path) -> bytes:
    """At most a little more than the largest spec, and only from a regular file."""
    if path.exists() and not path.is_file():
        raise OSError(0, "not a file")
    with path.open("rb") as stream:
        return stream.read(LARGEST + 1)


class _Imports:
    """Follows imports; each file is read once."""

    def __init__(
        self, root: Path | None, texts: dict[str, str], unsaved: Mapping[Path, str]
    ) -> None:
        self.root = root
        self.texts = texts
        self.unsaved = unsaved
        self.modules: dict[str, Module] = {}
        self.seen: set[Path] = set()
        self.open: list[Path] = []
        self.diagnostics: list[Diagnostic] = []

    def follow(
        self,
        file: File,
        folder: Path | None,
        chain: tuple[str, ...],
        blocks: dict[str, Block],
        taken: dict[str, Place],
    ) -> None:
        for item in file.imports:
            target = self.target(item, folder)
            if target is None:
                continue
            if target in self.open or target == self.spec(chain[0]):
                way = " -> ".join((*chain, item.path))
                hint = f"{way}: move what both need into a third file"
                self.fail("E212", f'"{item.path}" imports itself in the end', item.place, hint)
            elif target not in self.seen:
                if len(chain) > DEEPEST or len(self.seen) == MOST_FILES:
                    most = f"more than {MOST_FILES} imported files"
                    deep = f"more than {DEEPEST} imports inside each other"
                    self.fail("E105", deep if len(chain) > DEEPEST else most, item.place)
                    return
                self.seen.add(target)
                self.open.append(target)
                self.take(item, target, chain, blocks, taken)
                self.open.pop()

    def target(self, item: Import, folder: Path | None) -> Path | None:
        """The file an import means, if it may be read."""
        if folder is None or self.root is None:
            self.fail("E211", f'cannot import "{item.path}": the spec is not a file', item.place)
            return None
        path = folder / item.path
        try:
            resolved = path.resolve()
            resolved.is_file()
        except (OSError, ValueError, RuntimeError):  # too long, a zero byte, links in a circle
            self.fail("E211", "this cannot be the path of a file", item.place)
            return None
        if Path(item.path).is_absolute() or not resolved.is_relative_to(self.root):
            hint = "paths are relative, and stay inside the folder of the spec"
            self.fail("E213", f'"{item.path}" is outside the folder of the spec', item.place, hint)
            return None
        if resolved not in self.unsaved and not resolved.is_file():
            near = [each.name for each in path.parent.glob("*") if each.suffix in (*WEFT, *YAML)]
            what = "a folder, not a file" if resolved.is_dir() else "no file here"
            hint = suggest(path.name, near) or "paths are relative to the file that imports"
            self.fail("E211", f'"{item.path}" is {what}', item.place, hint)
            return None
        if resolved.suffix.lower() not in (*WEFT, *YAML):
            hint = "the name of a spec ends in .weft, .yaml or .yml"
            self.fail("E211", f'cannot import "{item.path}"', item.place, hint)
            return None
        return resolved

    def take(
        self,
        item: Import,
        target: Path,
        chain: tuple[str, ...],
        blocks: dict[str, Block],
        taken: dict[str, Place],
    ) -> None:
        shown = os.path.normpath(os.path.join(os.path.dirname(chain[-1]), item.path))
        try:
            text = self.unsaved.get(target)
            if text is None:
                text = decode(_read(target), shown)
            self.texts[shown] = text
            file = read_text(text, shown)
            self.modules[shown] = Module(bind_params(file, None, {}), file.defaults)
        except SpecError as error:
            self.diagnostics += error.diagnostics
            self.texts.update(error.texts)
            return
        except (OSError, UsageError) as error:
            self.fail("E211", f'cannot import "{item.path}": {error}', item.place)
            return
        misplaced = [each.place for each in file.variants] + [each.place for each in file.nets]
        for place in [*misplaced, *([file.train.place] if file.train else [])]:
            what = "an imported file holds only import, param, default and block"
            self.fail("E210", what, place, f"it is imported at {item.place}")
        for block in file.blocks:
            first = taken.get(block.name) or (
                blocks[block.name].place if block.name in blocks else None
            )
            if first is not None:
                hint = f"the first is at {first}"
                self.fail(
                    "E202", f"name `{block.name}` is defined twice in this scope", block.place, hint
                )
            else:
                blocks[block.name] = block
        self.follow(file, target.parent, (*chain, shown), blocks, taken)

    def spec(self, path: str) -> Path | None:
        """The file that imports first of all."""
        return (self.root / Path(path).name).resolve() if self.root else None

    def in_order(self) -> tuple[Diagnostic, ...]:
        """The findings by file, in the order in which they are read, from top to bottom."""
        files = list(self.texts)

        def place(found: Diagnostic) -> tuple[int, int, int]:
            line, column = position(found)
            at = found.place.file if found.place else ""
            return (files.index(at) if at in files else len(files), line, column)

        return bounded(sorted(self.diagnostics, key=place))

    def fail(self, code: str, message: str, place: Place, hint: str | None = None) -> None:
        self.diagnostics.append(Diagnostic(code, message, place, hint))
