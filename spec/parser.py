"""A table-driven LALR parser that goes on after an error.

It runs the tables Lark made of `grammar.lark`. A reduction calls the method of the actions object
that is named like the rule (or its alias) with a `Reduction`. After an unexpected token the
statement it stands in is dropped and the next one is read: one run finds one error a statement.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .lexer import DEEPEST, END, ITEMS, WRONG, Token, tables, tokens
from .place import Place
from .source import Findings, Source
from .unexpected import explain

RECOVERABLE = ("act", "order", "statement", "item")
TALLEST = 2 * DEEPEST + 2  # operators inside operators
GROWS = frozenset(
    [
        "choice",
        "or_",
        "and_",
        "not_",
        "binary",
        "add",
        "subtract",
        "multiply",
        "divide",
        "floordiv",
        "modulo",
        "negative",
        "power",
        "index",
        "attribute",
        "list_of",
        "tuple_of",
        "pipe",
        "call",
    ]
)


class Dropped:
    """Stands for a statement that could not be read."""


class Run(list[Any]):
    """The parts of a repetition, to be handed over one by one."""


@dataclass(slots=True)
class Reduction:
    """The parts of a rule that has been recognised, and where it stands."""

    children: list[Any]
    first: Token
    last: Token
    source: Source

    @property
    def place(self) -> Place:
        """All of it, as far as it stands on one line."""
        return self.source.place(self.first.start, self.last.end)

    @property
    def head(self) -> Place:
        """Its first token: the keyword or the name."""
        return self.source.place(self.first.start, self.first.end)

    def at(self, token: Token) -> Place:
        """The place of one of its tokens."""
        return self.source.place(token.start, token.end)


def parse(source: Source, start: str, actions: object, findings: Findings) -> Any:
    """What the actions make of the source, or None when nothing could be made of it."""
    before = len(findings.diagnostics)
    stream = tokens(source, findings)
    if len(stream) == 1 or any(found.code == "E105" for found in findings.diagnostics[before:]):
        return None
    return _Parser(source, start, actions, findings, stream).run()


class _Parser:
    """One run: parallel stacks of states, values, token spans and heights."""

    def __init__(
        self, source: Source, start: str, actions: object, findings: Findings, stream: list[Token]
    ) -> None:
        known = tables()
        self.source, self.actions, self.findings, self.stream = source, actions, findings, stream
        self.states_of: list[dict[str, int]] = known["states"]
        self.rules = known["rules"]
        self.states: list[int] = [known["starts"][start]]
        self.values: list[Any] = []
        self.spans: list[tuple[int, int]] = []
        self.heights: list[int] = []
        self.stopped_at = -1
        self.too_tall = False

    def run(self) -> Any:
        position = 0
        while not self.too_tall:
            token = self.stream[position]
            act = self.states_of[self.states[-1]].get(token.type)
            if act is None:
                resumed = self.recover(position)
                if resumed is None:
                    return None
                position = resumed
            elif act < 0:
                self.reduce(-1 - act)
            elif token.type == END:
                return self.values[-1]
            else:
                self.push(act, token, (position, position), 0)
                position += 1
        return None

    def push(self, state: int, value: Any, span: tuple[int, int], height: int) -> None:
        self.states.append(state)
        self.values.append(value)
        self.spans.append(span)
        self.heights.append(height)

    def reduce(self, number: int) -> None:
        origin, action, size, plan, passes = self.rules[number]
        if passes and len(plan) == 1:  # one child stands for itself: only the state changes
            at = plan[0] - size
            value, height = self.values[at], self.heights[at]
        else:
            value, height = self.node(action, size, plan), max(self.heights[-size:])
            if action in GROWS:
                height = self.grow(height, size)
        span = (self.spans[-size][0], self.spans[-1][1])
        self.drop(size)
        self.push(self.states_of[self.states[-1]][origin], value, span, height)

    def drop(self, size: int) -> None:
        del self.states[-size:], self.values[-size:], self.spans[-size:], self.heights[-size:]

    def node(self, action: str, size: int, plan: list[int]) -> Any:
        parts = self.values[-size:]
        children: list[Any] = []
        repeats = action.startswith("__")
        if repeats and plan[0] >= 0 and type(parts[plan[0]]) is Run:
            children, plan = parts[plan[0]], plan[1:]  # it grows in place: no copy
        for index in plan:
            part = None if index < 0 else parts[index]
            if type(part) is Run:
                children += part
            else:
                children.append(part)
        if repeats:
            return children if type(children) is Run else Run(children)
        first, last = self.stream[self.spans[-size][0]], self.stream[self.spans[-1][1]]
        return getattr(self.actions, action)(Reduction(children, first, last, self.source))

    def grow(self, height: int, size: int) -> int:
        if height == TALLEST:
            self.too_tall = True
            token = self.stream[self.spans[-size][0]]
            self.findings.add(
                "E105",
                f"more than {TALLEST} operators or calls inside each other",
                self.source.place(token.start, token.end),
                "name the parts: `h = …`",
            )
        return height + 1

    def recover(self, position: int) -> int | None:
        """Note the error, drop the statement, and say where to go on."""
        token = self.stream[position]
        if token.type != WRONG and position > self.stopped_at:
            message, hint = explain(
                self.source, self.stream, position, self.states_of[self.states[-1]]
            )
            start, end = self.visible(token)
            self.findings.add("E102", message, self.source.place(start, end), hint)
        if self.findings.full or not self.unwind(position):
            return None
        begun = self.spans[-1][0]
        level = self.stream[begun].level
        stop = max(position, self.stopped_at + 1)
        if stop >= len(self.stream) or token.type == END:
            return None
        before = self.stream[position - 1]
        if begun < position - 1 > self.stopped_at and before[0] == "_NL" and before.level == level:
            stop = position - 1  # the line before was not finished: this one may be right
        while not self.ends_statement(self.stream[stop], level) or self.goes_on(stop, level):
            stop += 1
        self.stopped_at = stop
        return stop

    def goes_on(self, end: int, level: int) -> bool:
        """Whether what follows an item that is wrong is its body, indented but without braces."""
        if level or self.stream[end].type != "_NL":
            return False
        following = self.stream[end + 1]
        start = following.start
        indented = start > 0 and self.source.text[start - 1] in " \t"
        return indented and following.type not in (END, *ITEMS)

    def visible(self, token: Token) -> tuple[int, int]:
        if token.type == END:
            text = self.source.text
            end = len(text.rstrip())
            return end, end + 1
        if token.type == "_NL":
            return token.start, token.start + 1
        return token.start, token.end

    @staticmethod
    def ends_statement(token: Token, level: int) -> bool:
        if token.type == END or token.level < level:
            return True
        return token.level == level and (
            token.type == "_NL" or (token.type == "RBRACE" and level > 0)
        )

    def unwind(self, position: int) -> bool:
        """Pop to where the statement began and put a `Dropped` in its place."""
        level = self.stream[position].level
        outermost = level == 0 and self.stream[position].type in ITEMS
        wanted = ("item",) if outermost else RECOVERABLE
        for depth in range(len(self.states) - 1, -1, -1):
            begin = self.spans[depth][0] if depth < len(self.spans) else position
            if self.stream[begin].level > level:
                continue
            row = self.states_of[self.states[depth]]
            symbol = next((name for name in wanted if name in row), None)
            if symbol is not None:
                count = len(self.values) - depth
                if count:
                    self.drop(count)
                self.push(row[symbol], Dropped(), (begin, position), 0)
                return True
        return False
