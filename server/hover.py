"""What is told of the word under the pointer: shapes, parameters, FLOPs, values, documentation."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from lsprotocol import types as lsp

from ..compiler.build import Layer, Program
from ..compiler.build.trace import Binding, Use
from ..compiler.build.values import BROKEN, Tensor, show
from ..spec.dims import Dim
from ..spec.expressions import Setting
from ..spec.spell import expression, type_text
from ..spec.tree import Data, Input, Let, Net, Parameter, Weight
from .callables import Callee, Option
from .cursor import Cursor
from .definitions import Definition
from .resolve import Meaning, resolve
from .texts import comment_above
from .view import Seen, View
from .words import KEYWORDS

MOST = 6  # lines of one kind


def hover(view: View, offset: int) -> lsp.Hover | None:
    """The answer to `textDocument/hover`."""
    cursor = view.document.cursor(offset)
    meaning = resolve(view, cursor)
    if meaning is None:
        return None
    parts = list(_parts(view, cursor, meaning))
    if not parts:
        return None
    text = view.document.text
    content = lsp.MarkupContent(lsp.MarkupKind.Markdown, "\n\n".join(parts))
    return lsp.Hover(content, text.range(cursor.start, cursor.end))


def _parts(view: View, cursor: Cursor, meaning: Meaning) -> Iterable[str]:
    if meaning.keyword:
        form, _, said = KEYWORDS[meaning.keyword].partition(": ")
        yield f"{_code(form)}\n{said}"
    elif meaning.option is not None and meaning.callee is not None:
        yield _option(meaning.callee, meaning.option)
    elif meaning.callee is not None:
        yield _callee(meaning.callee)
        yield from _layer(view, cursor)
    elif meaning.definition is not None:
        yield from _definition(view, meaning.definition)
        if not isinstance(meaning.definition.node, Net):
            yield from _layer(view, cursor)


# ---- calls -------------------------------------------------------------------------------------


def _callee(callee: Callee) -> str:
    said = f"\n{callee.doc}" if callee.doc else ""
    return f"{_code(callee.label)}{said}" if callee.doc else f"{_code(callee.label)}\n{callee.kind}"


def _option(callee: Callee, option: Option) -> str:
    words = f", one of {', '.join(f'`{word}`' for word in option.words)}" if option.words else ""
    doc = f": {option.doc}" if option.doc else ""
    return f"{_code(str(option))}\nsetting of `{callee.name}`{words}{doc}"


def _layer(view: View, cursor: Cursor) -> Iterable[str]:
    """What the call at the cursor does where it stands: types, parameters, work."""
    seen = view.seen(cursor.start)
    if seen is None:
        return
    shapes = list(dict.fromkeys(_arrow(use) for use in seen.uses))
    yield "  \n".join(f"`{shape}`" for shape in _few(shapes))
    if seen.program is not None:
        yield from _cost(seen, seen.program)


def _arrow(use: Use) -> str:
    inputs = ", ".join(map(str, use.inputs)) or "()"
    return f"{inputs} -> {', '.join(map(str, use.outputs))}"


def _cost(seen: Seen, program: Program) -> Iterable[str]:
    """Parameters and FLOPs of the first time the call ran, and how often it runs."""
    first = seen.uses[0]
    rows = _rows(first, program)
    own = [p for p in program.parameters if _below(p.name, first.path)]
    same = [row for net in program.nets.values() for row in net.layers if row.place in seen.places]
    count = max(len(seen.uses), len(same))
    times = f" × {count} = {_sum(p.shape for p in own) * count:,}" if count > 1 else ""
    lines = []
    if own:
        listed = ", ".join(
            f"{p.name.removeprefix(first.path).lstrip('.')} [{', '.join(map(str, p.shape))}]"
            for p in own[:MOST]
        )
        more = ", …" if len(own) > MOST else ""
        lines.append(f"parameters: {_sum(p.shape for p in own):,}{times} ({listed}{more})")
    if rows:
        work: Dim = 0
        for row in rows:
            work = work + row.flops
        lines.append(f"FLOPs: `{work}`" + (f", {count} times" if count > 1 else ""))
    if rows or own:
        lines.append(f"layer: `{first.path}`" + (", …" if count > 1 else ""))
    if lines:
        yield "\n".join(f"- {line}" for line in lines)


def _rows(use: Use, program: Program) -> list[Layer]:
    """The lines of the table of layers that a call stands for."""
    return [
        row
        for net in program.nets.values()
        for row in net.layers
        if _below(f"{net.name}.{row.path}", use.path)
    ]


def _below(path: str, above: str) -> bool:
    return path == above or path.startswith(f"{above}.")


def _sum(shapes: Iterable[Sequence[int]]) -> int:
    return sum(math.prod(shape) for shape in shapes)


# ---- names -------------------------------------------------------------------------------------


def _definition(view: View, definition: Definition) -> Iterable[str]:
    node, name = definition.node, definition.name
    bound = view.bindings(definition)
    match node:
        case Setting():
            yield from _param(view, name, node)
            return
        case Parameter():
            words = "|".join(node.choices)
            default = f" = {expression(node.default)}" if node.default is not None else ""
            yield f"{_code(name + default + (f' ({words})' if words else ''))}"
            values = [_value(each) for each in view.arguments(definition.owner, name)]
            known = f": {', '.join(_few(list(dict.fromkeys(values))))}" if values else ""
            yield f"parameter of block `{definition.owner}`{known}"
            return
        case Net():
            yield from _net(view, node)
            return
        case Weight():
            start = expression(node.init)
            yield _code(f"weight {name}: {type_text(node.type)} = {start}")
        case Let():
            yield _code(f"let {name} = {expression(node.value)}")
    values = _values(bound, definition.kind)
    if not values and isinstance(node, (Input, Data)):
        values = [_declared(name, node)]
    if values and values != [name]:
        sign = ":" if definition.kind not in ("size", "loop index") else " ="
        yield _code("\n".join(f"{name}{sign} {value}" for value in _few(values)))
    owner = f" of `{definition.owner}`" if definition.owner else ""
    yield f"{definition.kind}{owner}"


def _param(view: View, name: str, node: Setting) -> Iterable[str]:
    value = view.constant(name)
    written = expression(node.value)
    known = written if value is None else show(value)
    yield _code(f"param {name} = {known}")
    said = [f"written as `{written}`"] if written != known else []
    for variant in view.document.file.variants:
        said += [
            f"`{expression(each.value)}` in variant `{variant.name}`"
            for each in variant.settings
            if each.name == name
        ]
    yield ", ".join(said) if said else f"`--set {name}=…` replaces it"


def _net(view: View, net: Net) -> Iterable[str]:
    for analysis, _ in view.document.known():
        if analysis.program is not None and net.name in analysis.program.nets:
            built = analysis.program.nets[net.name]
            counts = {p.name: math.prod(p.shape) for p in analysis.program.parameters}
            inputs = ", ".join(f"{name}: {type}" for name, type in built.inputs.items())
            outputs = ", ".join(f"{name}: {type}" for name, type in built.outputs.items())
            work: Dim = 0
            for row in built.layers:
                work = work + row.flops
            yield _code(f"net {net.name}: {inputs} -> {outputs}")
            count = sum(counts[name] for name in built.parameters)
            doc = comment_above(view.document.text.content, net.place.line)
            yield "\n\n".join(filter(None, (doc, f"- parameters: {count:,}\n- FLOPs: `{work}`")))
            return
    inputs = ", ".join(f"{each.name}: {type_text(each.type)}" for each in net.body.inputs)
    yield _code(f"net {net.name}: {inputs}")


def _declared(name: str, node: Input | Data) -> str:
    if isinstance(node, Input):
        return type_text(node.type)
    types = dict(zip(node.names, node.types or (), strict=False))
    return type_text(types[name]) if name in types else expression(node.source)


def _values(bound: Sequence[Binding], kind: str) -> list[str]:
    """The types or values that a name had, each once."""
    found = []
    for each in bound:
        if isinstance(each.value, Tensor):
            found.append(str(each.value.type))
        elif each.value is not BROKEN and kind in ("size", "loop index"):
            found.append(show(each.value))
    return list(dict.fromkeys(found))


def _value(value: object) -> str:
    return f"`{value.type}`" if isinstance(value, Tensor) else f"`{show(value)}`"


def _few(lines: Sequence[str]) -> list[str]:
    return [*lines[:MOST], f"… {len(lines) - MOST} more"] if len(lines) > MOST else list(lines)


def _code(text: str) -> str:
    return f"```weft\n{text}\n```"
