"""Whatever the bytes are: a tree or a SpecError, soon, and never anything else."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from weft.spec.errors import SpecError
from weft.spec.format import write_weft, write_yaml
from weft.spec.lexer import tables, words
from weft.spec.load import decode, read_text

PAIRS = sorted((Path(__file__).parent / "pairs").glob("*.*"))


def attempt(text: str, name: str) -> str:
    """Read; what can be read prints and reads again to the same tree; errors can be shown."""
    try:
        tree = read_text(text, name)
    except SpecError as error:
        shown = str(error)
        assert "error[E" in shown
        for found in error.diagnostics:
            assert found.place is not None
            assert found.place.line <= text.count("\n") + 1
            assert 1 <= found.place.column <= found.place.end_column
        return "refused"
    assert read_text(write_weft(tree), "w.weft") == tree
    assert read_text(write_yaml(tree), "w.yaml") == tree
    return "read"


@pytest.mark.parametrize("path", PAIRS, ids=lambda path: path.name)
def test_damaged_specs(path: Path) -> None:
    choice = random.Random(path.name)
    text = path.read_text()
    pieces = [
        *words(),
        *tables()["marks"],
        "\n",
        " ",
        "3",
        '"',
        "#",
        "'",
        "- ",
        ": ",
        "\t",
        "é",
        "{{",
        "x",
    ]
    outcomes = set()
    for _ in range(60):
        damaged = text
        for _ in range(choice.randint(1, 3)):
            at = choice.randrange(len(damaged))
            match choice.randint(1, 4):
                case 1:
                    damaged = damaged[:at] + damaged[at + choice.randint(1, 9) :]
                case 2:
                    damaged = damaged[:at] + choice.choice(pieces) + damaged[at:]
                case 3:
                    other = choice.randrange(len(damaged))
                    damaged = damaged[:at] + damaged[other : other + 20] + damaged[at:]
                case 4:
                    damaged = damaged[:at]
            damaged = damaged or "x"
        outcomes.add(attempt(damaged, path.name))
    assert "refused" in outcomes


@pytest.mark.parametrize("name", ["t.weft", "t.yaml"])
def test_any_tokens_and_any_bytes(name: str) -> None:
    choice = random.Random(7)
    pieces = [
        *words(),
        *tables()["marks"],
        "\n",
        "\n  ",
        " ",
        "3",
        '"a"',
        "x",
        "y: ",
        "- ",
        "# c\n",
    ]
    for _ in range(150):
        attempt(" ".join(choice.choice(pieces) for _ in range(choice.randint(1, 40))), name)
        data = bytes(choice.randrange(256) for _ in range(choice.randint(1, 60)))
        attempt(data.decode("latin-1"), name)
        try:
            decode(data, name)
        except SpecError as error:
            assert error.diagnostics[0].code == "E107"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.yaml", "a: &a [x,x,x,x]\n" + "".join(f"{c}: &{c} [*a,*a,*a]\n" for c in "bcdefgh")),
        ("t.yaml", "a: " + "[" * 100_000),
        ("t.yaml", "a: " + "{a: " * 10_000),
        ("t.yaml", "- " * 50_000),
        ("t.weft", "param a=" + "(" * 200_000),
        ("t.weft", "block a { x -> " + "residual { " * 50_000),
        ("t.weft", "}" * 200_000),
        ("t.weft", "@" * 500_000),
        ("t.weft", 'param a="' + "x" * 500_000),
    ],
)
def test_bombs_are_refused_at_once(name: str, text: str) -> None:
    attempt(
        "param:\n  a: 1\n" if name.endswith("yaml") else "param a=1\n", name
    )  # warm: tables, PyYAML
    began = time.process_time()
    assert attempt(text, name) == "refused"
    assert time.process_time() - began < (0.1 if text.startswith("a: &a") else 5.0)


def test_a_large_spec_is_read_in_time() -> None:
    text = "\n".join(
        f"block B{n}(c) {{ conv(c, 3) -> batch_norm -> relu -> conv(c, 3) }}" for n in range(1500)
    )
    began = time.perf_counter()
    assert len(read_text(text, "t.weft").blocks) == 1500
    assert time.perf_counter() - began < 8.0


def test_reading_imports_nothing_heavy() -> None:
    code = (
        "import sys; from weft.spec.load import load_text\n"
        "load_text('block A { relu }', 't.weft')\n"
        "heavy = ('torch', 'numpy', 'networkx', 'lark', 'yaml', 'triton', 'rich')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
