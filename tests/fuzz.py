"""Damages specs and looks at what comes of it: fine, or a SpecError or UsageError, and soon.

`python tests/fuzz.py --seconds 300` mutates the examples and the pairs of the tests in both forms
(tokens and bytes are deleted, doubled, swapped, exchanged between files), reads and checks each
mutant as `weft check` does, and prints a summary. Anything else than the three outcomes, a mutant
that takes longer than `--slow` seconds, a process that grows beyond `--memory` MiB, and a message
that points nowhere are failures: the mutant is kept under `--keep`, and the exit code is 1.

`--seed` repeats a run; each mutant has a number, and `--only NUMBER` runs just that one.
"""

from __future__ import annotations

import argparse
import random
import re
import resource
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from weft.compiler.build import elaborate
from weft.spec.errors import SpecError, UsageError
from weft.spec.load import LARGEST, decode, load_text

ROOT = Path(__file__).resolve().parents[1]
FORMS = (".weft", ".yaml")
TOKEN = re.compile(r'"[^"\n]*"|[A-Za-z_]\w*|\d+(?:\.\d+)?(?:e-?\d+)?|->|\n[ ]*|[ \t]+|.', re.DOTALL)
ODD = (
    *("0", "-1", "1.5", "1e308", "9" * 30, "2**62", "10**400", "1/0", "true", "B", "x", "training"),
    *("weight", "size(x)", "(x, x)", "[1, 2]", "[]", "...", ":", "repeat 3 { relu }", "x -> x"),
    *("x*x", "mean", "softmax(x)", "f16[B]", "->", "{", "}", "(", ")", "[", "]", "|", "as", "\n"),
    *("  ", "\t", '"', "'", "# ", "- ", ": ", "*a", "&a ", "!t ", "<<: ", "---\n", "é", "\u2192"),
    *("\x00", "\ufeff"),
)
Texts = Sequence[str]
Mutation = Callable[[random.Random, list[str]], None]


def delete(chance: random.Random, tokens: list[str]) -> None:
    at = chance.randrange(len(tokens))
    del tokens[at : at + chance.choice((1, 1, 1, 2, 8))]


def double(chance: random.Random, tokens: list[str]) -> None:
    at = chance.randrange(len(tokens))
    tokens[at:at] = tokens[at : at + chance.choice((1, 1, 3, 20, 200))]


def swap(chance: random.Random, tokens: list[str]) -> None:
    a, b = chance.randrange(len(tokens)), chance.randrange(len(tokens))
    tokens[a], tokens[b] = tokens[b], tokens[a]


def neighbours(chance: random.Random, tokens: list[str]) -> None:
    at = chance.randrange(max(1, len(tokens) - 2))
    tokens[at : at + 3] = reversed(tokens[at : at + 3])


def insert(chance: random.Random, tokens: list[str]) -> None:
    tokens.insert(chance.randrange(len(tokens) + 1), chance.choice(ODD))


def exchange(chance: random.Random, tokens: list[str]) -> None:
    tokens[chance.randrange(len(tokens))] = chance.choice(ODD)


def number(chance: random.Random, tokens: list[str]) -> None:
    spots = [i for i, token in enumerate(tokens) if token[0].isdigit()]
    if spots:
        tokens[chance.choice(spots)] = chance.choice(("0", "1", "2", "3", "7", "65", "1000", "0.5"))


def name(chance: random.Random, tokens: list[str]) -> None:
    spots = [i for i, token in enumerate(tokens) if token[0].isalpha()]
    if spots:
        tokens[chance.choice(spots)] = tokens[chance.choice(spots)]


def cut(chance: random.Random, tokens: list[str]) -> None:
    del tokens[chance.randrange(len(tokens)) :]


MUTATIONS: tuple[Mutation, ...] = (
    delete, double, swap, neighbours, insert, exchange, cut,
    number, number, number, name, name, name, name,
)  # fmt: skip


@dataclass(slots=True)
class Summary:
    """What a run has seen; `failures`: number, file and what went wrong."""

    mutants: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[int, str, str]] = field(default_factory=list)
    slowest: tuple[float, int, str] = (0.0, -1, "")
    seconds: float = 0.0

    def text(self) -> str:
        """The summary for people."""
        shares = ", ".join(f"{count:,} {what}" for what, count in self.outcomes.most_common())
        codes = ", ".join(f"{code} {count:,}" for code, count in sorted(self.codes.items()))
        took, number, file = self.slowest
        lines = [
            f"{self.mutants:,} mutants in {self.seconds:.0f} s: {shares}",
            f"codes: {codes}",
            f"slowest: {1000 * took:.0f} ms, number {number} of {file}",
            f"largest memory of the process: {memory()} MiB",
            f"failures: {len(self.failures)}",
        ]
        lines += [f"  {number} {file}: {what}" for number, file, what in self.failures[:50]]
        return "\n".join(lines)


def memory() -> int:
    """The most memory this process has held, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def corpus() -> list[Path]:
    """The specs that are damaged."""
    folders = (ROOT / "examples", ROOT / "tests" / "spec" / "pairs")
    return sorted(p for folder in folders for form in FORMS for p in folder.rglob(f"*{form}"))


def mutant(chance: random.Random, text: str, texts: Texts) -> bytes:
    """A damaged copy of a text, perhaps with a piece of another one."""
    tokens = TOKEN.findall(text) or [" "]
    if chance.random() < 0.1:  # a piece of another file
        other = TOKEN.findall(chance.choice(texts))
        start, at = chance.randrange(len(other)), chance.randrange(len(tokens))
        tokens[at:at] = other[start : start + chance.randrange(60)]
    for _ in range(chance.choice((1, 1, 1, 2, 3, 6))):
        chance.choice(MUTATIONS)(chance, tokens)
        tokens = tokens or [" "]
    data = bytearray("".join(tokens)[:LARGEST].encode("utf-8", "surrogatepass"))
    if chance.random() < 0.15:
        for _ in range(chance.choice((1, 2, 8))):
            at = chance.randrange(len(data) + 1)
            match chance.randrange(3):
                case 0:
                    data[at : at + 1] = bytes([chance.randrange(256)])
                case 1:
                    data[at:at] = bytes(chance.randrange(256) for _ in range(3))
                case 2:
                    del data[at : at + chance.randrange(1, 20)]
    return bytes(data)


def attempt(data: bytes, path: str, folder: Path, codes: Counter[str]) -> str:
    """What `weft check` makes of a mutant.

    Raises: whatever it should not, and AssertionError for a message that points nowhere.
    """
    try:
        elaborate(load_text(decode(data, path), path, folder=folder))
    except SpecError as error:
        said = str(error)
        lines = data.decode("utf-8-sig", "replace").split("\n")
        for found in error.diagnostics:
            codes[found.code] += 1
            place = found.place
            assert place is not None and found.message, f"no place: {found}"
            assert "prelude" not in place.file, f"a place in the library: {found}"
            assert f"error[{found.code}]" in said
            if place.file == path:
                assert 1 <= place.line <= len(lines), f"outside the text: {found}"
                assert 1 <= place.column < place.end_column, f"an empty place: {found}"
                assert place.column <= len(lines[place.line - 1]) + 1, f"outside: {found}"
        return "refused"
    except UsageError:
        return "usage"
    return "fine"


def run(
    *,
    seconds: float,
    mutants: int,
    seed: int,
    slow: float,
    keep: Path | None = None,
    only: int = -1,
) -> Summary:
    """Damage and check until the time is over or the mutants are."""
    texts = {path: path.read_text(encoding="utf-8") for path in corpus()}
    families = {form: [path for path in texts if path.suffix == form] for form in FORMS}
    summary = Summary()
    began = time.perf_counter()
    number = max(only, 0)
    while number < (only + 1 if only >= 0 else mutants) and time.perf_counter() - began < seconds:
        chance = random.Random(f"{seed}/{number}")
        family = families[chance.choice(FORMS)]
        path = chance.choice(family)
        data = mutant(chance, texts[path], [texts[each] for each in family])
        _one(summary, data, number, path, slow, keep)
        number += 1
    summary.seconds = time.perf_counter() - began
    return summary


def _one(
    summary: Summary, data: bytes, number: int, path: Path, slow: float, keep: Path | None
) -> None:
    file = f"mutant{path.suffix}"
    started = time.perf_counter()
    wrong = ""
    try:
        summary.outcomes[attempt(data, file, path.parent, summary.codes)] += 1
    except Exception as error:
        summary.outcomes["failed"] += 1
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(last.filename).name}:{last.lineno}"
        wrong = f"{type(error).__name__} at {where}: {str(error)[:200]}"
    took = time.perf_counter() - started
    if took > slow and not wrong:
        wrong = f"took {took:.1f} s"
    summary.mutants += 1
    summary.slowest = max(summary.slowest, (took, number, path.name))
    if wrong:
        summary.failures.append((number, path.name, wrong))
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
            (keep / f"{number}{path.suffix}").write_bytes(data)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--mutants", type=int, default=10**9)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, default=-1, metavar="NUMBER")
    parser.add_argument("--slow", type=float, default=60, help="seconds a mutant may take")
    parser.add_argument("--memory", type=int, default=4096, help="MiB the process may grow to")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where failing mutants go")
    given = parser.parse_args(argv)
    resource.setrlimit(resource.RLIMIT_AS, (given.memory << 20, given.memory << 20))
    summary = run(
        seconds=given.seconds,
        mutants=given.mutants,
        seed=given.seed,
        slow=given.slow,
        keep=given.keep,
        only=given.only,
    )
    print(summary.text())
    return 1 if summary.failures else 0


if __name__ == "__main__":
    sys.exit(main())
