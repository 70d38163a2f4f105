"""Spells expressions and flows on one line, with few parentheses.

They are the fewest that read back the same, but for pipelines beside other arguments:
`f(a, (b -> g))` needs none, and would look as if both went into `g`.
"""

from __future__ import annotations

from .expressions import (
    Attribute,
    Binary,
    Boolean,
    Call,
    Choice,
    Dots,
    Expr,
    Index,
    ListOf,
    Name,
    Number,
    Pipe,
    Setting,
    Slice,
    Text,
    TupleOf,
    Unary,
)
from .tree import (
    Branch,
    Flow,
    For,
    If,
    Parameter,
    Piece,
    Repeat,
    Residual,
    Structure,
    Type,
    is_structure,
)

BINDS = {
    "or": 1, "and": 2, "not": 3, "==": 4, "!=": 4, "<": 4, "<=": 4, ">": 4, ">=": 4, "+": 5, "-": 5,
    "*": 6, "/": 6, "//": 6, "%": 6, "**": 8,
}  # fmt: skip
NEGATIVE = 7
POSTFIX = 9  # what may stand before `->`, `[` and `.`
ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t"})


def expression(expr: Expr, least: int = 0) -> str:
    """The text of an expression where at least `least` binding strength is needed."""
    strength, text = _spell(expr)
    return f"({text})" if strength < least else text


def _spell(expr: Expr) -> tuple[int, str]:
    match expr:
        case Choice(condition, then, otherwise):
            first, last = expression(then, BINDS["or"]), expression(otherwise)
            return 0, f"{first} if {expression(condition, BINDS['or'])} else {last}"
        case Binary(operator, left, right):
            return BINDS[operator], _binary(operator, left, right)
        case Unary("not", operand):
            return BINDS["not"], f"not {expression(operand, BINDS['not'])}"
        case Unary(_, operand):
            return NEGATIVE, f"-{expression(operand, NEGATIVE)}"
        case Number(text) | Name(text):
            return 10, text
        case Text(value):
            return 10, quoted(value)
        case Boolean(value):
            return 10, "true" if value else "false"
        case ListOf(items):
            return 10, f"[{_listed(items)}]"
        case TupleOf(items):
            return 10, f"({_listed(items)})"
        case Pipe(stages):
            return 10, f"({' -> '.join(expression(stage, POSTFIX) for stage in stages)})"
        case Index(value, subscripts):
            return 10, f"{expression(value, POSTFIX)}[{_listed(subscripts)}]"
        case Slice(start, stop):
            ends = ("" if end is None else expression(end) for end in (start, stop))
            return 10, ":".join(ends)
        case Dots():
            return 10, "..."
        case Attribute(value, name):
            return 10, f"{expression(value, POSTFIX)}.{name}"
        case Call(name):
            return 10, f"{name}({', '.join(arguments(expr))})"


def _binary(operator: str, left: Expr, right: Expr) -> str:
    """Left to right, except `**`; comparisons do not chain."""
    strength = BINDS[operator]
    if operator == "**":
        return f"{expression(left, POSTFIX)}**{expression(right, NEGATIVE)}"
    above = strength + (strength == BINDS["=="])
    first, second = expression(left, above), expression(right, strength + 1)
    return (
        f"{first}{operator}{second}" if strength == BINDS["*"] else f"{first} {operator} {second}"
    )


def arguments(call: Call) -> list[str]:
    """The arguments of a call, positional ones first."""
    if len(call.positional) == 1 and not call.named and isinstance(call.positional[0], Pipe):
        return [expression(call.positional[0])[1:-1]]
    return [expression(each) for each in call.positional] + [setting(each) for each in call.named]


def setting(given: Setting) -> str:
    """`name=value`."""
    return f"{given.name}={expression(given.value)}"


def settings(given: tuple[Setting, ...]) -> str:
    """`a=1, b=2`."""
    return ", ".join(setting(each) for each in given)


def quoted(value: str) -> str:
    """A string literal."""
    return f'"{value.translate(ESCAPES)}"'


def type_text(given: Type) -> str:
    """`f32[B, 3]`."""
    return f"{given.dtype}[{_listed(given.dims)}]"


def header(name: str, parameters: tuple[Parameter, ...]) -> str:
    """The name of a block and its parameters."""
    return f"{name}({', '.join(_parameter(each) for each in parameters)})" if parameters else name


def flow(given: Flow) -> str:
    """A flow on one line."""
    alone = lone(given)
    return " -> ".join(piece(each, alone) for each in given.pieces)


def lone(given: Flow) -> bool:
    """Whether a flow is one stage without a name, which needs no parentheses."""
    return len(given.pieces) == 1 and not given.pieces[0].names


def piece(given: Piece, alone: bool = False) -> str:
    """A stage and the names of its values."""
    return stage(given.stage, alone) + names(given)


def names(given: Piece) -> str:
    """` as a, b`, or nothing."""
    return f" as {', '.join(given.names)}" if given.names else ""


def stage(given: Expr | Structure, alone: bool = False) -> str:
    """A stage on one line."""
    if not is_structure(given):
        return expression(given, 0 if alone else POSTFIX)
    match given:
        case If(_, then, None):
            return f"{opening(given)} {flow(then)} }}"
        case If(_, then, otherwise):
            assert otherwise is not None
            chained = else_if(otherwise)
            rest = stage(chained) if chained else f"{{ {flow(otherwise)} }}"
            return f"{opening(given)} {flow(then)} }} else {rest}"
    return f"{opening(given)} {' | '.join(flow(each) for each in arms(given))} }}"


def opening(given: Structure) -> str:
    """A structure up to its first brace."""
    match given:
        case Residual():
            return "residual {"
        case Branch():
            return "branch {"
        case Repeat(count, index):
            return f"repeat {expression(count)}{f' as {index}' if index else ''} {{"
        case For(name, values):
            return f"for {name} in {expression(values)} {{"
        case If(condition):
            return f"if {expression(condition)} {{"


def arms(given: Structure) -> tuple[Flow, ...]:
    """What stands between the braces, at each side of `|`."""
    match given:
        case Residual(main, shortcut):
            return (main,) if shortcut is None else (main, shortcut)
        case Branch(flows):
            return flows
        case If(_, then):
            return (then,)
    return (given.body,)


def else_if(given: Flow) -> If | None:
    """The `if` of an `else if`."""
    only = given.pieces[0].stage
    return only if lone(given) and isinstance(only, If) else None


def _parameter(given: Parameter) -> str:
    if given.default is None:
        return given.name
    default = expression(given.default)
    words = given.choices
    if words[:1] == (default,):
        words = words[1:] or words  # `none|none`: one choice, the default
    return f"{given.name}={'|'.join((default, *words))}"


def _listed(items: tuple[Expr, ...]) -> str:
    return ", ".join(expression(item) for item in items)
