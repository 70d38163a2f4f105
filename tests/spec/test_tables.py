"""The parse tables are those of the grammar, and the grammar is LALR(1) without conflicts."""

from __future__ import annotations

import pytest

from weft.spec.file_actions import FileActions
from weft.spec.tables import GRAMMAR, STARTS, TABLES, build, text

lark = pytest.importorskip("lark")


def test_the_tables_are_those_of_the_grammar() -> None:
    built = text(build(GRAMMAR.read_text(encoding="utf-8")))
    assert built == TABLES.read_text(encoding="utf-8"), "run `python -m weft.spec.tables`"


def test_every_rule_has_an_action() -> None:
    built = build(GRAMMAR.read_text(encoding="utf-8"))
    wanted = {row[1] for row in built["rules"] if not row[1].startswith("__")}
    plain = {row[1] for row in built["rules"] if row[4] and len(row[3]) == 1}  # one child passes
    made = {row[1] for row in built["rules"] if not (row[4] and len(row[3]) == 1)}
    assert {name for name in made if not name.startswith("__")} <= set(dir(FileActions))
    assert wanted == (made | plain) & wanted
    assert set(built["starts"]) == set(STARTS)


def test_a_conflict_is_refused() -> None:
    starts = "\n".join(f"{name}: expr" for name in STARTS if name != "expr")
    with pytest.raises((ValueError, lark.exceptions.GrammarError)):
        build(f'{starts}\nexpr: expr "+" expr | "x"\n')
