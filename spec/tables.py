"""Parse tables from `grammar.lark`, built by Lark once and kept as `grammar.json`.

Building them takes Lark 0.2 s, half of what a whole `weft check` may take; reading them takes 2 ms.
After a change of the grammar: `python -m weft.spec.tables`. A test fails when the two differ.

Format of `grammar.json`: `patterns` (name, regular expression; ignored ones have no name), `marks`
and `words` (text to terminal), `rules` (what is reduced, which action makes the node, how many
symbols, which of them are handed over: an index, or -1 for a part that is missing, whether one
child stands for itself), `starts` (start symbol to state) and `states` (symbol to next state, or
`-1 - rule` to reduce; 0 at `$END` accepts).
"""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import Any

GRAMMAR = Path(__file__).with_name("grammar.lark")
TABLES = Path(__file__).with_name("grammar.json")
STARTS = ("file", "flow", "outs", "expr", "names", "header", "type", "declared")


def build(grammar: str) -> dict[str, Any]:
    """The tables of a grammar.

    Raises:
        lark.exceptions.GrammarError: not LALR(1).
        ValueError: a shift/reduce conflict, which Lark alone would settle silently.
    """
    import lark  # only who changes the grammar needs it

    conflicts = _Conflicts()
    lark.logger.addHandler(conflicts)
    level = lark.logger.level
    lark.logger.setLevel(logging.DEBUG)
    try:
        parser = lark.Lark(
            grammar, parser="lalr", lexer="basic", maybe_placeholders=True, start=list(STARTS)
        )
    finally:
        lark.logger.setLevel(level)
        lark.logger.removeHandler(conflicts)
    if conflicts.found:
        raise ValueError("; ".join(conflicts.found))
    lalr: Any = parser.parser.parser
    return {**_lexicon(parser), **_automaton(lalr._parse_table)}


def text(tables: dict[str, Any]) -> str:
    """The tables as JSON, one rule or state a line."""
    parts = []
    for key, value in tables.items():
        if key in ("rules", "states", "patterns"):
            rows = ",\n".join(json.dumps(row, separators=(",", ":")) for row in value)
            parts.append(f'"{key}": [\n{rows}\n]')
        else:
            parts.append(f'"{key}": {json.dumps(value)}')
    return "{\n" + ",\n".join(parts) + "\n}\n"


class _Conflicts(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if "conflict" in message.lower():
            self.found.append(message)


def _lexicon(parser: Any) -> dict[str, Any]:
    patterns, marks, words = [], {}, {}
    ignored = set(parser.ignore_tokens)
    for terminal in parser.terminals:
        value = terminal.pattern.value
        if terminal.pattern.type == "re":
            patterns.append(["" if terminal.name in ignored else terminal.name, value])
        elif re.fullmatch(r"\w+", value):
            words[value] = terminal.name
        else:
            marks[value] = terminal.name
    return {
        "patterns": sorted(patterns),
        "marks": dict(sorted(marks.items(), key=lambda item: (-len(item[0]), item[0]))),
        "words": dict(sorted(words.items())),
    }


def _automaton(table: Any) -> dict[str, Any]:
    """The states reachable from the starts, numbered in the same order in every run."""
    number: dict[Any, int] = {}
    queue: list[Any] = []

    def numbered(state: Any) -> int:
        if state not in number:
            number[state] = len(queue)
            queue.append(state)
        return number[state]

    starts = {name: numbered(table.start_states[name]) for name in STARTS}
    rules: dict[str, int] = {}
    rows: list[list[Any]] = []
    states: list[dict[str, int]] = []
    for state in queue:  # grows while it is walked
        row = {}
        for name, (action, argument) in sorted(
            table.states[state].items(), key=lambda i: str(i[0])
        ):
            if str(action) == "Shift":
                row[str(name)] = numbered(argument)
                continue
            described = json.dumps(_rule(argument))
            if described not in rules:
                rules[described] = len(rows)
                rows.append(_rule(argument))
            row[str(name)] = -1 - rules[described]
        if state in table.end_states.values():
            row["$END"] = 0
        states.append(row)
    return {"starts": starts, "rules": rows, "states": states}


def _rule(rule: Any) -> list[Any]:
    origin, action = str(rule.origin.name), str(rule.alias or rule.origin.name)
    flags = "".join(str(int(flag)) for flag in rule.options.empty_indices)
    missing = [len(ones) for ones in flags.split("0")] if flags else [0] * (len(rule.expansion) + 1)
    plan: list[int] = []
    for index, symbol in enumerate(rule.expansion):
        plan += [-1] * missing[index]
        if not (symbol.is_term and symbol.filter_out):
            plan.append(index)
    plan += [-1] * missing[-1]
    passes = bool(rule.options.expand1 and not rule.alias)
    return [origin, action, len(rule.expansion), plan, passes]


if __name__ == "__main__":
    TABLES.write_text(text(build(GRAMMAR.read_text(encoding="utf-8"))), encoding="utf-8")
    print(f"{TABLES.name}: {TABLES.stat().st_size} bytes")
