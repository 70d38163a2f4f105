"""What an error code means, with a spec that earns it, its message, and the same spec mended."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..spec.errors import SpecError, UsageError, suggest
from ..spec.explanations import Explanation, Sample, explanations
from .options import add_json, print_json


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `weft explain-error`."""
    parser.add_argument(
        "codes", metavar="CODE", nargs="*", help="for example E302; all are listed without one"
    )
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the page of each code."""
    if not arguments.codes:
        _list(arguments.json)
        return 0
    found = [find(code) for code in arguments.codes]
    if arguments.json:
        answers = [as_json(each) for each in found]
        print_json(answers if len(answers) > 1 else answers[0])
    else:
        print("\n\n".join(page(each) for each in found))
    return 0


def find(code: str) -> Explanation:
    """The page of a code.  Raises: UsageError for a code that does not exist."""
    known = explanations()
    spelt = code.upper().removeprefix("ERROR").strip("[]")
    spelt = f"E{spelt}" if spelt.isdigit() else spelt
    if spelt not in known:
        hint = suggest(spelt, known) or "`weft explain-error` lists all codes"
        raise UsageError(f"there is no error `{code}`", hint=hint)
    return known[spelt]


def page(explanation: Explanation) -> str:
    """The page for people."""
    parts = [f"{explanation.code}  {explanation.title}"]
    if explanation.text:
        parts.append(explanation.text)
    if explanation.bad:
        parts += [_listing(explanation.bad), _indented(message(explanation.bad) or "")]
        parts += ["Mended:", _listing(explanation.mended)]
    return "\n\n".join(parts)


def as_json(explanation: Explanation) -> dict[str, object]:
    """The page for programs; the files by name, the spec first."""
    return {
        "code": explanation.code,
        "part": explanation.part,
        "title": explanation.title,
        "text": explanation.text,
        "bad": {each.name: each.text for each in explanation.bad},
        "message": message(explanation.bad),
        "mended": {each.name: each.text for each in explanation.mended},
    }


def message(samples: Sequence[Sample]) -> str | None:
    """What `weft check` says of an example, or None when nothing is wrong with it."""
    from ..compiler.build import elaborate
    from ..spec.load import decode, load_text

    if not samples:
        return None
    spec, *others = samples
    with tempfile.TemporaryDirectory() as folder:
        for other in others:
            Path(folder, other.name).write_text(other.text, encoding="utf-8")
        try:
            text = decode(spec.text.encode(spec.encoding), spec.name)
            elaborate(load_text(text, spec.name, folder=Path(folder)))
        except SpecError as error:
            return "\n".join(line.rstrip() for line in str(error).splitlines())
    return None


def _list(json: bool) -> None:
    known = explanations().values()
    if json:
        print_json({each.code: each.title for each in known})
    else:
        print("\n".join(_titles(list(known))))


def _titles(known: Sequence[Explanation]) -> Iterator[str]:
    part = ""
    for each in known:
        if each.part != part:
            yield f"{'' if not part else chr(10)}{each.part}"
            part = each.part
        yield f"  {each.code}  {each.title}"
    yield "\n`weft explain-error CODE` shows an example and how to mend it."


def _listing(samples: Sequence[Sample]) -> str:
    """The files of an example, each under its name where there are several."""
    names = len(samples) > 1
    return "\n\n".join((f"    # {s.name}\n" if names else "") + _indented(s.text) for s in samples)


def _indented(text: str) -> str:
    return "\n".join(f"    {line}".rstrip() for line in text.rstrip("\n").splitlines())
