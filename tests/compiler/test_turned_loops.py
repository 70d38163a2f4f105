"""Maps of operands in different orders are turned in registers or walked in blocks; others are
left as they are.
"""

from __future__ import annotations

import pytest

from tests.laws.cases import B, Case, f32
from tests.laws.harness import build, entry_of, graph_of
from tests.laws.turned_cases import TURNED_CASES
from weft.compiler.arena import Arena
from weft.compiler.ir.builder import Builder
from weft.compiler.native import emit_native

BLOCKS = ("turned_narrow", "turned_back", "turned_blocks")


def _in_order(b: Builder) -> dict[str, int]:
    x, row = f32(b, "x", B, 16, 32), f32(b, "row", 32)
    return {"y": b.map("exp", b.elementwise("add", x, b.broadcast(row, (2,), (B, 16, 32))))}


def _text(case: Case) -> str:
    entry = entry_of(graph_of(*build(case)), "forward", case.name)
    files, *_ = emit_native([entry], Arena({}, {}, 0), {}, {"B": 33}, "laws")
    return next(text for text in files.values() if "const weft_call *call)" in text)


@pytest.mark.parametrize("case", TURNED_CASES, ids=lambda c: c.name)
def test_how_a_map_is_walked(case: Case) -> None:
    text = _text(case)
    assert ("weft_turn(" in text) == (case.name not in BLOCKS)
    assert ("block += 16" in text) == (case.name in BLOCKS)
    assert ('#include "turn.h"' in text) == ("weft_turn(" in text)


def test_what_lies_in_order_stays() -> None:
    text = _text(Case("in_order", _in_order))
    assert "weft_turn(" not in text and "block" not in text
    assert text.index("row_1 < 16") < text.index("column < 32")
