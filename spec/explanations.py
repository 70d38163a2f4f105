"""The page of every error code: what it means, a spec that earns it, and the spec mended.

The texts are the Markdown files in `codes/`: a `#` line names the part, a `##` line a code. Fences
before the line `Mended:` are the bad spec, those after it the mended one; each is one file, called
`a.weft` or `a.yaml` unless its first line names it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

PARTS = ("text", "yaml", "structure", "names", "shapes", "parameters")
HEAD = re.compile(r"^## (E\d{3}) (.+)$", re.MULTILINE)
FENCE = re.compile(r"^```(weft|yaml)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MENDED = "\nMended:\n"
ENCODINGS = ("latin-1",)


@dataclass(frozen=True, slots=True)
class Sample:
    """One file of an example; `encoding` is that of its bytes."""

    name: str
    text: str
    encoding: str = "utf-8"


@dataclass(frozen=True, slots=True)
class Explanation:
    """The page of one code; `bad` and `mended` begin with the spec, imported files follow.

    A code that no text on its own can earn has neither.
    """

    code: str
    part: str
    title: str
    text: str
    bad: tuple[Sample, ...]
    mended: tuple[Sample, ...]


@cache
def explanations() -> Mapping[str, Explanation]:
    """The pages of all codes, by code, in the order of the parts."""
    folder = resources.files(__package__) / "codes"
    found: dict[str, Explanation] = {}
    for part in PARTS:
        text = (folder / f"{part}.md").read_text(encoding="utf-8")
        for each in _pages(text):
            if each.code in found:
                raise ValueError(f"{part}.md explains {each.code} a second time")
            found[each.code] = each
    return found


def _pages(text: str) -> Iterator[Explanation]:
    part = text.partition("\n")[0].removeprefix("# ")
    pieces = HEAD.split(text)[1:]
    for code, title, body in zip(pieces[::3], pieces[1::3], pieces[2::3], strict=True):
        bad, _, mended = body.partition(MENDED)
        prose = bad.partition("\n```")[0].strip()
        yield Explanation(code, part, title, prose, _samples(bad), _samples(mended))


def _samples(text: str) -> tuple[Sample, ...]:
    return tuple(_sample(*found) for found in FENCE.findall(text))


def _sample(form: str, said: str, text: str) -> Sample:
    if said in ENCODINGS:
        return Sample(f"a.{form}", text, said)
    return Sample(said or f"a.{form}", text)
