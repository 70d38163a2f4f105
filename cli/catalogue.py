"""Everything that can be called, as one kind of record: what `weft doc` shows."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from .. import spec
from ..compiler.build.intrinsics import INTRINSICS, Intrinsic
from ..compiler.build.signature import KINDS, REQUIRED
from ..spec import initialisers, optimizers, schedules, sources, stopping, usages
from ..spec.format import write_weft
from ..spec.prelude_index import prelude
from ..spec.signature import Option, Signature, value_text
from ..spec.spell import expression, header, type_text
from ..spec.tree import Block, File

SPEC = Path(spec.__file__).parent
ROOT = SPEC.parent
COMMENT = re.compile(r"(?:^#.*\n)+\Z", re.MULTILINE)

TABLES: Mapping[str, tuple[str, Mapping[str, Signature]]] = {
    "data source": (
        "*sources.py",
        {name: source.signature for name, source in sources.SOURCES.items()},
    ),
    "optimizer": ("optimizers.py", optimizers.OPTIMIZERS),
    "schedule": ("schedules.py", schedules.SCHEDULES),
    "initialiser": ("initialisers.py", initialisers.INITIALISERS),
    "stopping rule": ("stopping.py", stopping.STOPPING),
}
"""The tables of the training section, and the files of `spec` they stand in."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of a call, in words; `default` is None where it must be given."""

    name: str
    default: str | None
    words: tuple[str, ...]
    doc: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that can be called.

    `inputs` and `weights` are names with types, as far as those are written down; `where` is the
    file and line of the definition, `source` its text where it is written in the language;
    `usages` are examples, the first one that fits counts.
    """

    name: str
    kind: str
    family: str
    signature: str
    doc: str
    inputs: tuple[tuple[str, str], ...]
    settings: tuple[Setting, ...]
    weights: tuple[tuple[str, str], ...]
    where: str
    source: str | None
    usages: tuple[str, ...]


@cache
def catalogue() -> tuple[Entry, ...]:
    """Everything public that comes with weft: blocks by file, operations by family, tables."""
    return (*_blocks(), *map(_of_intrinsic, INTRINSICS.values()), *_tables())


def of_block(block: Block, family: str, where: str, source: str, doc: str) -> Entry:
    """The entry of a block, of the prelude or of a spec."""
    body = block.body
    settings = [
        Setting(p.name, None if p.default is None else expression(p.default), _words(p.choices), "")
        for p in block.parameters
    ]
    typed = [(i.name, i.type.dtype.replace("any", "f32")) for i in body.inputs]
    return Entry(
        block.name,
        "block",
        family,
        header(block.name, block.parameters),
        doc,
        tuple((each.name, type_text(each.type)) for each in body.inputs),
        tuple(settings),
        tuple((each.name, type_text(each.type)) for each in body.weights),
        where,
        source,
        _usages(block.name, typed, settings),
    )


def own_block(block: Block, text: str) -> Entry:
    """The entry of a block of a spec, whose text is its canonical form."""
    alone = File((), (), (), (), (block,), (), None, block.place.file, "")
    before = [line.strip() for line in text.split("\n")[: block.place.line - 1]]
    doc = _comment("".join(f"{line}\n" for line in before))
    entry = of_block(block, "this spec", str(block.place), write_weft(alone).rstrip(), doc)
    return replace(entry, usages=())


def _blocks() -> Iterator[Entry]:
    library = prelude()
    for name, entry in library.entries.items():
        if name.startswith("_"):
            continue
        text = library.texts[entry.file]
        source = text[entry.start : entry.end]
        source = source[: source.rindex("\n}") + 2] if "\n}" in source else source
        line = text.count("\n", 0, entry.start) + 1
        yield of_block(
            library[name],
            Path(entry.file).stem,
            f"spec/{entry.file}:{line}",
            source.rstrip(),
            _comment(text[: entry.start]),
        )


def _comment(before: str) -> str:
    """The comment that ends a text, as one paragraph."""
    found = COMMENT.search(before)
    return " ".join(line.lstrip("# ") for line in found[0].splitlines()) if found else ""


def _of_intrinsic(intrinsic: Intrinsic) -> Entry:
    signature = intrinsic.signature
    inputs = [f"*{each}" if signature.variadic else each for each in signature.inputs]
    settings = [
        Setting(
            each.name,
            None if each.default is REQUIRED else value_text(each.default),
            each.words,
            KINDS[each.kind][1],
        )
        for each in signature.settings
    ]
    given = [s.name if s.default is None else f"{s.name}={s.default}" for s in settings]
    extra = [f"**{signature.extra}"] if signature.extra else []
    named = [f"{each}=…" for each in signature.by_name]
    typed = [(each, "f32") for each in signature.inputs]
    return Entry(
        intrinsic.name,
        "operation",
        intrinsic.family,
        f"{intrinsic.name}({', '.join([*inputs, *given, *extra, *named])})",
        intrinsic.doc,
        tuple((each, "") for each in (*inputs, *signature.by_name)),
        tuple(settings),
        (),
        _row(intrinsic),
        None,
        _usages(intrinsic.name, typed, settings),
    )


def _usages(
    name: str, inputs: Sequence[tuple[str, str]], settings: Sequence[Setting]
) -> tuple[str, ...]:
    """The example of an operation, or what may be one."""
    if name in usages.OPERATIONS:
        return (usages.OPERATIONS[name],)
    required = sum(each.default is None for each in settings)
    return usages.guesses(name, inputs or [("x", "f32")], required)


def _row(intrinsic: Intrinsic) -> str:
    """Where the line of the table stands: beside the function that builds the operation."""
    build = inspect.unwrap(intrinsic.build)
    while isinstance(build, functools.partial):
        build = build.func
    code = build.__code__
    path = Path(code.co_filename)
    text = path.read_text(encoding="utf-8")
    at = text.find(f'"{intrinsic.name}(')
    line = text.count("\n", 0, at) + 1 if at >= 0 else code.co_firstlineno
    return f"{path.relative_to(ROOT).as_posix()}:{line}"


def _tables() -> Iterator[Entry]:
    for kind, (pattern, table) in TABLES.items():
        files = {path: path.read_text(encoding="utf-8") for path in sorted(SPEC.glob(pattern))}
        for name, signature in table.items():
            options = [*signature.options, *([signature.extra] if signature.extra else [])]
            usage = usages.TRAINING[kind].get(name)
            yield Entry(
                name,
                kind,
                f"{kind}s",
                str(signature),
                signature.doc,
                (),
                tuple(map(_of_option, options)),
                (),
                _quoted_in(files, name),
                None,
                (usage,) if usage else usages.training_guesses(kind, signature),
            )


def _quoted_in(files: Mapping[Path, str], name: str) -> str:
    """Where the name stands as the first word of an entry."""
    for path, text in files.items():
        found = re.search(rf'(?:Signature\(\s*|^\s*)"{name}"[,:]', text, re.MULTILINE)
        if found:
            line = text.count("\n", 0, found.end()) + 1
            return f"{path.relative_to(ROOT).as_posix()}:{line}"
    return next(iter(files)).relative_to(ROOT).as_posix() + ":1"


def _of_option(option: Option) -> Setting:
    default = None if option.required else value_text(option.default)
    return Setting(option.name, default, option.words, option.doc)


def _words(choices: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(choices))
