"""What stands at one place of a YAML text: its keys by indentation, its values by their tokens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from ..spec.read_yaml import FILE, STEP
from ..spec.yaml_bodies import BODY, STRUCTURE
from .cursor import Cursor, scan, word_bounds

KEY = re.compile(
    r"^(?P<indent>[ ]*)(?P<dashes>(?:-[ ]+)*)(?P<key>[^\s#\"'-][^#\n]*?):(?=[ \t\r\n]|$)"
)
DASH = re.compile(r"^(?P<indent>[ ]*)(?:-(?:[ ]+|$))+")
TOP = re.compile(r"^([A-Za-z_][\w-]*)[ \t]*:", re.MULTILINE)
NEEDED = ("net", "block", "train", "param")


@dataclass(frozen=True, slots=True)
class Line:
    """One line: how deep its key or value stands, its key, and where its value begins."""

    indent: int
    key: str
    value: int
    item: bool


def is_spec(content: str) -> bool:
    """Is a YAML text one of ours, going by its outermost keys?"""
    keys = TOP.findall(content)
    known = [key for key in keys if key in FILE]
    return any(key in NEEDED for key in known) and 2 * len(known) >= len(keys)


def at(content: str, offset: int) -> Cursor:
    """The cursor in a YAML text."""
    start, end = word_bounds(content, offset)
    begin = content.rfind("\n", 0, start) + 1
    stop = content.find("\n", begin)
    line = content[begin : stop if stop >= 0 else len(content)]
    indent = len(line) - len(line.lstrip(" "))
    own = _line(line, begin)
    path = keys_above(content, begin, own.indent if own else indent)
    in_value = own is not None and start >= own.value
    value = begin + indent
    if own is not None and in_value:
        value = own.value
        path = (*path, own.key) if own.key else path
    elif own is None:
        value = _first_line(content, begin, indent)
    cursor, _ = scan(content, value, offset)
    if own is None and not line.strip() and not cursor.calls:
        cursor, _ = scan(content, begin + indent, offset)  # an empty line begins something new
    word = content[start:end]
    cursor = replace(cursor, word=word, start=start, end=end)
    if cursor.inside == "comment" or line[: start - begin].lstrip().startswith("#"):
        return replace(cursor, inside="comment")
    container, owner, statement = _meaning(path)
    at_item = own is not None and not own.key and start == own.value
    opening = at_item or (not in_value and not line[: start - begin].strip(" -"))
    return replace(cursor, container=container, owner=owner, statement=statement, opening=opening)


def keys_above(content: str, begin: int, indent: int) -> tuple[str, ...]:
    """The keys that a line of this indentation stands under, outermost first."""
    found: list[str] = []
    for line in reversed(content[:begin].split("\n")):
        read = _line(line, 0)
        if read is None or not read.key or read.indent >= indent:
            continue
        found.insert(0, read.key)
        indent = read.indent
        if not indent:
            break
    return tuple(found)


def allowed(path: tuple[str, ...], beside: tuple[str, ...]) -> tuple[str, ...] | None:
    """The reserved keys of a mapping under these keys, beside others; None where names stand."""
    structure = next((key for key in beside if key in STRUCTURE), None)
    if structure is not None and path[:1] != ("train",):
        return STRUCTURE[structure]
    match path:
        case ():
            return FILE
        case ("net" | "block", _):
            return (*BODY, *STRUCTURE)
        case ("train",):
            return ("data", "step")
        case ("train", "data", _):
            return ("type", "from")
        case ("train", "step", _):
            return STEP
        case ("net" | "block" | "variant" | "default" | "param",) | ("train", "data" | "step"):
            return None
        case (*_, "in" | "let" | "weight" | "values" | "metric" | "default"):
            return None
    return tuple(STRUCTURE)


def keys_at(content: str, offset: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The keys above the line of an offset, and those beside it in the same mapping."""
    begin = content.rfind("\n", 0, offset) + 1
    stop = content.find("\n", begin)
    stop = stop if stop >= 0 else len(content)
    line = content[begin:stop]
    own = _line(line, begin)
    indent = own.indent if own else len(line) - len(line.lstrip(" "))
    before = reversed(content[:begin].split("\n")[:-1])
    fresh = own is not None and own.item
    beside = [] if fresh else _beside(before, indent)
    beside += _beside(iter(content[stop + 1 :].split("\n")), indent, below=True)
    return keys_above(content, begin, indent), tuple(beside)


def _beside(lines: Iterator[str], indent: int, below: bool = False) -> list[str]:
    """The keys of this indentation up to the end of their mapping."""
    found = []
    for line in lines:
        read = _line(line, 0)
        if read is None or read.indent > indent:
            continue
        if read.indent < indent or (below and read.item):
            break
        found.append(read.key)
        if read.item:
            break
    return found


def _line(line: str, begin: int) -> Line | None:
    """The key or list entry of a line; None for one that goes on with a value."""
    found = KEY.match(line)
    if found is not None:
        dashes = found["dashes"]
        deep = len(found["indent"]) + len(dashes)
        value = found.end()
        value += len(line[value:]) - len(line[value:].lstrip())
        return Line(deep, found["key"].strip(), begin + value, bool(dashes))
    dash = DASH.match(line)
    if dash is not None:
        return Line(dash.end(), "", begin + dash.end(), True)
    return None


def _first_line(content: str, begin: int, indent: int) -> int:
    """Where the value begins that this line goes on with."""
    while begin > 0:
        before = content.rfind("\n", 0, begin - 1) + 1
        line = content[before : begin - 1]
        read = _line(line, before)
        if read is not None and read.indent < indent + 1:
            return min(read.value, begin) if read.value < begin - 1 else begin
        if read is None and not line.strip():
            return begin
        begin = before
    return begin


def _meaning(path: tuple[str, ...]) -> tuple[str, str, str]:
    """Container, owner and statement of a value under these keys."""
    match path:
        case ("net" | "block", name, *rest):
            section = next((key for key in rest if key in ("in", "let", "weight", "default")), "")
            return "body", name.partition("(")[0].strip(), section or "flow"
        case ("train", "step", name, key, *_):
            plain = key in ("values", "loss", "metric")
            return "step", name, "flow" if plain else key
        case ("train", "step", name):
            return "step", name, "flow"
        case ("train", "data", *_):
            return "train", "", "data"
        case ("train", key, *_):
            return "train", "", key
        case ("train",):
            return "train", "", "flow"
        case ("variant", name, *_):
            return "variant", name, "flow"
        case (key, *_):
            return "file", "", key
    return "file", "", "flow"
