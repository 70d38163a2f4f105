"""What a layer, operation, optimizer … does: signature, shapes, definition, example."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass

from ..compiler.build import NetProgram, Program, elaborate
from ..compiler.build.other_names import operation_hint
from ..spec import usages
from ..spec.errors import SpecError, UsageError, suggest
from ..spec.load import load, load_text
from .catalogue import Entry, Setting, catalogue, own_block
from .options import add_json, print_json

WIDTH = 96


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `weft doc`."""
    parser.add_argument(
        "names", metavar="NAME", nargs="*", help="for example conv; all are listed without one"
    )
    parser.add_argument("--in", dest="file", metavar="FILE", help="look in this spec's blocks too")
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print what is known under each name."""
    own = _own(arguments.file) if arguments.file else ()
    if not arguments.names:
        _list(own, arguments.json)
        return 0
    found = [entry for name in arguments.names for entry in find(name, own)]
    if arguments.json:
        print_json([as_json(entry) for entry in found])
    else:
        print("\n\n".join(page(entry) for entry in found))
    return 0


def find(name: str, own: Sequence[Entry] = ()) -> list[Entry]:
    """Everything of that name, a spec's own blocks before those they take the place of.

    Raises: UsageError for a name that means nothing.
    """
    mine = [entry for entry in own if entry.name == name]
    hidden = ("block", "operation") if mine else ()
    found = [e for e in catalogue() if e.name == name and e.kind not in hidden]
    if not mine and not found:
        known = [entry.name for entry in (*own, *catalogue())]
        hint = operation_hint(name, known) or suggest(name, known)
        hint = hint or "`weft doc` lists everything"
        raise UsageError(f"there is nothing called `{name}`", hint=hint)
    return [*mine, *found]


def _own(path: str) -> tuple[Entry, ...]:
    spec = load(path)
    return tuple(own_block(each, spec.texts[each.place.file]) for each in spec.blocks.own.values())


# ---------------------------------------------------------------- examples


@dataclass(frozen=True, slots=True)
class Example:
    """An example as lines of a spec, and what comes of it."""

    lines: tuple[str, ...]
    inputs: tuple[tuple[str, str], ...] = ()
    outputs: tuple[tuple[str, str], ...] = ()
    parameters: tuple[tuple[str, str], ...] = ()


def example(entry: Entry) -> Example | None:
    """The first example of an entry that is right, with the shapes it leads to."""
    for usage in entry.usages:
        if entry.kind in usages.TRAINING:
            if program(usages.training(entry.kind, usage)) is not None:
                return Example((usage,))
        elif (found := program(usages.net(usage))) is not None:
            return _described(usage, found, found.nets["n"])
    return None


def program(text: str) -> Program | None:
    """What a spec elaborates to, or None where something is wrong with it."""
    try:
        return elaborate(load_text(text, "example.weft"))
    except SpecError:
        return None


def _described(usage: str, whole: Program, net: NetProgram) -> Example:
    return Example(
        tuple(usages.lines(usage)),
        tuple((name, str(type)) for name, type in net.inputs.items()),
        tuple((name, str(type)) for name, type in net.outputs.items()),
        tuple(
            (each.name.removeprefix("n."), f"{each.dtype}[{', '.join(map(str, each.shape))}]")
            for each in whole.parameters
        ),
    )


# ---------------------------------------------------------------- pages


def page(entry: Entry) -> str:
    """The page for people."""
    parts = [f"{entry.kind} {entry.signature}", _indented(textwrap.wrap(_sentence(entry), WIDTH))]
    parts += _titled("inputs", entry.inputs if any(type for _, type in entry.inputs) else ())
    parts += _titled("settings", [(s.name, _said(s)) for s in entry.settings])
    parts += _titled("weights", entry.weights)
    shown = example(entry)
    if shown is not None:
        parts.append("example\n" + _indented(shown.lines))
        rows = [("result", ", ".join(type for _, type in shown.outputs))] if shown.outputs else []
        rows += [(name, shape) for name, shape in shown.parameters]
        parts += _titled("which gives", rows)
    text = f"\n{_indented(entry.source.splitlines())}" if entry.source else ""
    parts.append(f"defined in {entry.where}{text}")
    return "\n\n".join(parts)


def as_json(entry: Entry) -> dict[str, object]:
    """The page for programs."""
    shown = example(entry)
    answer = asdict(entry)
    del answer["usages"]
    for key in ("inputs", "weights"):
        answer[key] = dict(getattr(entry, key))
    if shown is None:
        return answer | {"example": None}
    pairs = {key: dict(getattr(shown, key)) for key in ("inputs", "outputs", "parameters")}
    return answer | {"example": {"lines": list(shown.lines), **pairs}}


def _said(setting: Setting) -> str:
    words = " | ".join(setting.words)
    default = "required" if setting.default is None else f"= {setting.default}"
    return "; ".join(part for part in (default, words, setting.doc) if part)


def _titled(title: str, rows: Sequence[tuple[str, str]]) -> Iterator[str]:
    if rows:
        width = max(len(name) for name, _ in rows)
        yield f"{title}\n" + _indented(f"{name:<{width}}  {said}".rstrip() for name, said in rows)


def _indented(lines: Iterable[str]) -> str:
    return textwrap.indent("\n".join(lines), "  ")


def _sentence(entry: Entry) -> str:
    text = entry.doc
    return text if not text or text.endswith(".") else f"{text}."


# ---------------------------------------------------------------- the list


def _list(own: Sequence[Entry], json: bool) -> None:
    known = (*own, *catalogue())
    if json:
        keys = ("name", "kind", "family", "doc")
        print_json([{key: getattr(entry, key) for key in keys} for entry in known])
        return
    for family in dict.fromkeys(entry.family for entry in known):
        print(f"{family}")
        listed = [entry for entry in known if entry.family == family]
        width = max(len(entry.name) for entry in listed)
        for entry in listed:
            room = WIDTH - width - 4
            said = textwrap.shorten(entry.doc, room, placeholder=" …") if entry.doc else ""
            print(f"  {entry.name:<{width}}  {said}".rstrip())
        print()
    print("`weft doc NAME` shows signature, shapes, definition and an example.")
