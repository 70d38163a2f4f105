"""Reads a `.weft` text into a File."""

from __future__ import annotations

from .actions import ExpressionActions
from .assemble import FileParts, twice
from .errors import Diagnostic, SpecError
from .expressions import Expr, Setting
from .file_actions import FileActions
from .parser import parse
from .place import Place
from .scopes import check_names
from .source import Findings, Source, line_starts, source
from .tree import Block, Default, File, Import, Net, Train, Variant


def read_weft(text: str, path: str) -> File:
    """The tree of a `.weft` text.

    Raises:
        SpecError: everything that is wrong with its text and structure.
    """
    file, found = read_readable(text, path)
    if found:
        raise SpecError(found, {path: text})
    return file


def read_readable(text: str, path: str) -> tuple[File, tuple[Diagnostic, ...]]:
    """The tree of what can be read of a `.weft` text, and what is wrong with the rest."""
    findings = Findings()
    items = parse(source(path, text), "file", FileActions(findings), findings)
    if items is None and not findings.diagnostics:
        findings.add(
            "E110", "an empty file", Place(path, 1, 1, 2), "write a `net`; `weft new` starts one"
        )
    file = _group(items or (), findings).file(path, text)
    check_names(file, findings)
    return file, findings.in_order()


def read_items(text: str, path: str, start: int, end: int) -> tuple[object, ...]:
    """The items in a stretch of a file, at their places in the whole of it."""
    findings = Findings()
    stretch = Source(path, text, text[start:end], range(start, end), line_starts(text))
    items = parse(stretch, "file", FileActions(findings), findings)
    if findings.diagnostics:
        raise SpecError(findings.in_order(), {path: text})
    return tuple(items or ())


def read_expression(text: str, path: str) -> Expr:
    """One expression, for instance a value given on the command line.

    Raises:
        SpecError: it is none.
    """
    findings = Findings()
    read = parse(source(path, text), "expr", ExpressionActions(findings), findings)
    if read is None and not findings.diagnostics:
        findings.add("E110", "an empty value", Place(path, 1, 1, 2))
    if findings.diagnostics:
        raise SpecError(findings.in_order(), {path: text})
    result: Expr = read
    return result


def _group(items: tuple[object, ...], findings: Findings) -> FileParts:
    parts = FileParts()
    for item in items:
        match item:
            case Import():
                parts.imports.append(item)
            case tuple():
                parts.params += [each for each in item if isinstance(each, Setting)]
            case Variant():
                parts.variants.append(item)
            case Default():
                parts.defaults.append(item)
            case Block():
                parts.blocks.append(item)
            case Net():
                parts.nets.append(item)
            case Train():
                if parts.train is not None:
                    twice(findings, "section", "train", item.place, parts.train.place)
                parts.train = item
    return parts
