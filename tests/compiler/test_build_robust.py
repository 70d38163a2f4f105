"""Texts with words exchanged elaborate, or are wrong at a place: nothing else happens."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from weft.compiler.build import elaborate
from weft.spec.errors import SpecError
from weft.spec.load import load_text

ROOT = Path(__file__).resolve().parents[2]
FILES = [*ROOT.glob("examples/*/*.weft"), *ROOT.glob("tests/bad_specs/build/*.weft")]
TEXTS = [path.read_text(encoding="utf-8") for path in sorted(FILES)]
WORD = re.compile(r'"[^"\n]*"|[A-Za-z_]\w*|\d+(?:\.\d+)?(?:e-?\d+)?')
ODD = (
    "B",
    "0",
    "1.5",
    "true",
    "x",
    "weight",
    "training",
    "size(x)",
    "shape(x)",
    "(x, x)",
    "[1, 2]",
)


@pytest.mark.parametrize("seed", range(8))
def test_exchanged_words(seed: int) -> None:
    chance = random.Random(seed)
    words = [word for text in TEXTS for word in WORD.findall(text)]
    outcomes = set()
    for _ in range(60):
        text = chance.choice(TEXTS)
        for _ in range(chance.choice((1, 1, 2, 3))):
            spot = chance.choice(list(WORD.finditer(text)))
            word = chance.choice(ODD) if chance.random() < 0.3 else chance.choice(words)
            text = text[: spot.start()] + word + text[spot.end() :]
        try:
            elaborate(load_text(text, "mutant.weft"))
            outcomes.add("fine")
        except SpecError as error:
            for found in error.diagnostics:
                assert found.place is not None and "prelude" not in str(found), text
                assert found.place.line <= text.count("\n") + 1, text
            outcomes |= {found.code[:2] for found in error.diagnostics}
    assert "E3" in outcomes and outcomes & {"E1", "E2", "fine"}
