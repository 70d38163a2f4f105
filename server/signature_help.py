"""The signature of the call that is being written, with the argument at the cursor marked."""

from __future__ import annotations

import re

from lsprotocol import types as lsp

from .callables import Callee
from .cursor import Cursor, Open
from .view import View

WORD = re.compile(r"[(\s]*([A-Za-z_]\w*)")


def signature_help(view: View, offset: int) -> lsp.SignatureHelp | None:
    """The answer to `textDocument/signatureHelp`."""
    cursor = view.document.cursor(offset)
    for index in range(len(cursor.calls) - 1, -1, -1):
        callee = view.callee(cursor, index)
        if callee is not None and cursor.inside != "comment":
            active = _active(view, cursor, cursor.calls[index], callee)
            signature = lsp.SignatureInformation(
                callee.label, callee.doc or None, _parameters(callee), active
            )
            return lsp.SignatureHelp([signature], 0, active)
    return None


def _parameters(callee: Callee) -> list[lsp.ParameterInformation]:
    """Inputs, then settings; each is a part of the label."""
    inputs, _ = callee.parts
    shown = [lsp.ParameterInformation(each) for each in inputs.split(", ") if each]
    return shown + [
        lsp.ParameterInformation(str(each), each.doc or None) for each in callee.options
    ]


def _active(view: View, cursor: Cursor, call: Open, callee: Callee) -> int | None:
    """The argument at the cursor; behind an arrow, or at the head of a flow, inputs are given."""
    settings = [option.name for option in callee.options]
    inputs = len(callee.inputs)
    if call.argument is not None:
        known = call.argument in settings
        return inputs + settings.index(call.argument) if known else None
    piped = inputs if call.piped or _heads_flow(view, cursor, call) else 0
    place = call.index + min(piped, inputs)
    return place if place < inputs + len(settings) or callee.variadic else None


def _heads_flow(view: View, cursor: Cursor, call: Open) -> bool:
    """Does the call take the input of its body?  Then its first argument is no value."""
    content = view.document.text.content
    first = WORD.match(content, call.start + len(call.name))
    found = view.find(cursor, first[1]) if first is not None else None
    return found is None or found.kind not in ("input", "value", "data field", "weight")
