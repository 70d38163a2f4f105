"""Writes errors.md: what each code means, a spec that earns it, its message, and the spec mended.

`python docs/errors_page.py` rewrites the page; a test fails when it is not up to date.  The texts
are those of `weft explain-error`, in `spec/codes/`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from weft.cli.explain_error import message
from weft.spec.explanations import Explanation, Sample, explanations

PAGE = Path(__file__).resolve().parent / "errors.md"
INTRODUCTION = """# Errors

Written by `python docs/errors_page.py` from the texts in `spec/codes/`, which `weft explain-error`
prints. A message names the place, the code, the cause, and a way out where there is one; all errors
of a spec come at once, from top to bottom."""


def page() -> str:
    """The whole page."""
    lines = [INTRODUCTION]
    part = ""
    for each in explanations().values():
        if each.part != part:
            part = each.part
            lines += ["", f"## {part}"]
        lines += _section(each)
    return "\n".join(lines) + "\n"


def _section(explanation: Explanation) -> Iterator[str]:
    yield from ("", f"### {explanation.code}", "", f"**{explanation.title}**")
    if explanation.text:
        yield from ("", explanation.text)
    yield from _files(explanation.bad)
    said = message(explanation.bad)
    if said is not None:
        yield from ("", "```", said, "```")
    if explanation.mended:
        yield from ("", "Mended:")
    yield from _files(explanation.mended)


def _files(samples: Sequence[Sample]) -> Iterator[str]:
    for sample in samples:
        name = () if len(samples) == 1 else (f"# {sample.name}",)
        form = "yaml" if sample.name.endswith("yaml") else ""
        yield from ("", f"```{form}", *name, sample.text.rstrip("\n"), "```")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
