"""The Python that the documentation shows is run, and prints what the page says it prints.

The blocks of a page share one namespace and run in order.  A ```text block right after a ```python
block is its output; `...` stands for anything.  WEFT_SNAPSHOTS=write replaces outputs that lack it.
The changes that a page shows (```diff) are made to a copy of the sources, and its blocks marked
`python patched` run there.
"""

from __future__ import annotations

import contextlib
import difflib
import doctest
import io
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
FENCE = re.compile(r"^```([\w ]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")
PAGES = ("from_scratch.md", "compiler.md", "add_a_pass.md", "vision.md", "language_models.md")

OPERATION = """
from tests.laws import test_reference
(case,) = [case for case in CASES if case.name == "map_expm1"]
test_reference.test_inferred_shape_is_the_reference_shape(case)
test_reference.test_gradient_is_the_finite_difference(case)
"""
OPTIMIZER = """
from tests.compiler.test_optimizers import CASES, test_steps_are_pytorchs
((name, settings, make),) = [case for case in CASES if case[0] == "adamax"]
test_steps_are_pytorchs(name, settings, make, 0.5)
"""


@dataclass(frozen=True)
class Block:
    """Python of a page, and the output that the page gives for it (None: it prints nothing)."""

    code: str
    line: int
    output: str | None
    span: tuple[int, int]


def read(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def blocks(text: str, kind: str = "python") -> list[Block]:
    fences = list(FENCE.finditer(text))
    found = []
    for fence, after in zip(fences, [*fences, None][1:], strict=True):
        if fence[1] != kind:
            continue
        output, span = None, (0, 0)
        follows = after is not None and not text[fence.end() : after.start()].strip()
        if after is not None and follows and after[1] == "text":
            output, span = after[2], after.span(2)
        found.append(Block(fence[2], text.count("\n", 0, fence.start(2)), output, span))
    return found


def run(block: Block, path: Path, namespace: dict[str, Any]) -> str:
    """What the block prints; an error names the line of the page."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile("\n" * block.line + block.code, str(path), "exec"), namespace)
    return printed.getvalue()


def agrees(want: str, got: str) -> bool:
    return doctest.OutputChecker().check_output(want, got, doctest.ELLIPSIS)


def check(page: str, found: list[tuple[Block, str]]) -> None:
    """Every block printed what the page says; or the page is corrected, where that is wanted."""
    wrong = [(block, got) for block, got in found if not agrees(block.output or "", got)]
    if os.environ.get("WEFT_SNAPSHOTS") == "write":
        text = read(page)
        whole = [(b, got) for b, got in wrong if b.output is not None and "..." not in b.output]
        for block, got in reversed(whole):
            text = text[: block.span[0]] + got + text[block.span[1] :]
        (DOCS / page).write_text(text, encoding="utf-8")
        wrong = [pair for pair in wrong if pair not in whole]
    for block, got in wrong:
        want = (block.output or "").splitlines()
        lines = difflib.unified_diff(want, got.splitlines(), "the page", "printed", lineterm="")
        pytest.fail(f"{page}:{block.line}\n" + "\n".join(lines), pytrace=False)


def patched(page: str, folder: Path) -> None:
    """A copy of the sources with the changes that a page shows.

    A change is a ```diff of one file, named in its first line; its context must be found once.
    """
    unwanted = shutil.ignore_patterns("__pycache__")
    for room in ("spec", "compiler", "runtime"):
        shutil.copytree(ROOT / room, folder / "weft" / room, ignore=unwanted)
    shutil.copy(ROOT / "__init__.py", folder / "weft")
    for part in ("laws", "compiler"):
        shutil.copytree(ROOT / "tests" / part, folder / "tests" / part, ignore=unwanted)
    (folder / "tests" / "__init__.py").touch()
    for block in blocks(read(page), "diff"):
        head, *lines = block.code.splitlines(keepends=True)
        name = head.removeprefix("+++ ").strip()
        path = folder / (name if name.startswith("tests/") else f"weft/{name}")
        old = "".join(line[1:] for line in lines if line[0] in " -")
        new = "".join(line[1:] for line in lines if line[0] in " +")
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{page}:{block.line}: the context is not in {name}, or twice"
        path.write_text(text.replace(old, new), encoding="utf-8")


def run_patched(page: str, folder: Path, more: str) -> None:
    """Run the `python patched` blocks of a page, and more code after them, in a copy."""
    patched(page, folder)
    found = blocks(read(page), "python patched")
    script = "\nprint('<end>')\n".join([*(block.code for block in found), more])
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    answer = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stderr
    check(page, list(zip(found, answer.stdout.split("<end>\n"), strict=False)))


@pytest.mark.snapshot
@pytest.mark.parametrize("page", PAGES)
def test_a_page_prints_what_it_says(page: str) -> None:
    namespace: dict[str, Any] = {"__name__": "page"}
    check(page, [(block, run(block, DOCS / page, namespace)) for block in blocks(read(page))])


@pytest.mark.snapshot
@pytest.mark.parametrize(
    ("page", "laws"), [("add_an_op.md", OPERATION), ("add_an_optimizer.md", OPTIMIZER)]
)
def test_a_worked_example_works(page: str, laws: str, tmp_path: Path) -> None:
    run_patched(page, tmp_path, laws)


def test_the_page_from_text_to_training_is_run() -> None:
    found = blocks(read("from_scratch.md"))
    assert len(found) >= 12
    assert sum(block.output is not None for block in found) >= 10
    assert sum("assert" in block.code for block in found) >= 3


def test_an_ellipsis_stands_for_anything_and_nothing_else_does() -> None:
    assert agrees("a\n...\nd\n", "a\nb\nc\nd\n")
    assert agrees("x = ...;\n", "x = 1;\n")
    assert not agrees("a\nd\n", "a\nb\nd\n")
    assert not agrees("a\n...\ne\n", "a\nb\nc\nd\n")


@pytest.mark.parametrize("page", sorted(path.name for path in DOCS.glob("*.md")))
def test_links_lead_somewhere(page: str) -> None:
    for link in LINK.findall(read(page)):
        assert (DOCS / link).exists(), f"{page}: {link}"


@pytest.mark.parametrize("page", sorted(path.name for path in DOCS.glob("*.md")))
def test_files_that_are_named_exist(page: str) -> None:
    rooms = "spec|compiler|runtime|cli|tests|examples|benchmarks"
    for name in re.findall(rf"`((?:{rooms})/[\w/.]+\.\w+)`", read(page)):
        assert (ROOT / name).exists(), f"{page}: {name}"
