"""The values of a spec's params: what it says, what a variant says, what the caller says."""

from __future__ import annotations

import math
from collections.abc import Mapping

from .errors import Diagnostic, SpecError, UsageError, suggest
from .expressions import Expr, Name, Setting
from .read_weft import read_expression
from .source import bounded, position
from .static import SPELT, NotStatic, Value, evaluate, is_value, kind
from .tree import File, Variant


class _Failed:
    """Stands for a param whose value is an error already reported."""


def bind_params(file: File, variant: str | None, given: Mapping[str, object]) -> dict[str, Value]:
    """Evaluate the params of a file in written order; later ones may use earlier ones.

    Raises:
        UsageError: no such variant, no such param, or a value of another kind.
        SpecError: expressions that have no value.
    """
    known = {param.name: param for param in file.params}
    replaced, diagnostics = _variants(file, known, variant)
    for name in given:
        if name not in known:
            listed = f"params: {', '.join(known)}" if known else "the spec has no params"
            raise UsageError(
                f"no param `{name}` in {file.path}", hint=suggest(name, known) or listed
            )
    scope: dict[str, object] = {}
    for param in file.params:
        if param.name in scope:
            continue  # defined twice: reported by the reader
        expr = replaced.get(param.name, param).value
        try:
            value: object = evaluate(expr, scope)
        except (SpecError, NotStatic) as error:
            diagnostics += _explain(error, expr, param, scope, known)
            value = _Failed()
        if param.name in given:
            value = _override(param.name, value, given[param.name], scope)
        scope[param.name] = value
    if diagnostics:
        raise SpecError(bounded(sorted(diagnostics, key=position)), {file.path: file.text})
    return {name: value for name, value in scope.items() if is_value(value)}


def _variants(
    file: File, known: Mapping[str, Setting], chosen: str | None
) -> tuple[dict[str, Setting], list[Diagnostic]]:
    """The settings of the chosen variant, and what is wrong with any variant."""
    diagnostics = [
        Diagnostic(
            "E301",
            f"variant `{variant.name}` sets `{setting.name}`, which is no param",
            setting.place,
            suggest(setting.name, known)
            or (f"the params are {', '.join(known)}" if known else "the file has no params"),
        )
        for variant in file.variants
        for setting in variant.settings
        if setting.name not in known
    ]
    if chosen is None:
        return {}, diagnostics
    variants: dict[str, Variant] = {variant.name: variant for variant in file.variants}
    if chosen not in variants:
        listed = f"variants: {', '.join(variants)}" if variants else "the spec has no variants"
        raise UsageError(
            f"no variant `{chosen}` in {file.path}", hint=suggest(chosen, variants) or listed
        )
    return {setting.name: setting for setting in variants[chosen].settings}, diagnostics


def _explain(
    error: SpecError | NotStatic,
    expr: Expr,
    param: Setting,
    scope: Mapping[str, object],
    known: Mapping[str, Setting],
) -> list[Diagnostic]:
    if isinstance(error, NotStatic):
        if isinstance(error.expr, Name) and isinstance(scope.get(error.expr.id), _Failed):
            return []  # an echo of an error reported already
        return [
            Diagnostic(
                "E310",
                f"param `{param.name}` needs a value known at compile time",
                error.expr.place,
                "params are numbers, texts, true, false, and lists and arithmetic of these",
            )
        ]
    found = []
    for each in error.diagnostics:
        name = each.message.removeprefix("unknown name `").removesuffix("`")
        hint = each.hint
        if each.code == "E301" and name in known:
            hint = f"params may use earlier ones; `{name}` comes later"
        elif each.code == "E301" and name in SPELT:
            hint = f"it is written `{SPELT[name]}`"
        elif each.code == "E301" and hint is None and each.place == expr.place:
            hint = f'a text is written in quotes: `{param.name}="{name}"`'
        found.append(Diagnostic(each.code, each.message, each.place, hint))
    return found


def _override(name: str, own: object, given: object, scope: Mapping[str, object]) -> Value:
    """The value a caller gives, of the kind the spec's own value has."""
    value = _value(given)
    if isinstance(value, str) and not isinstance(own, str):
        try:
            value = evaluate(read_expression(value, f"--set {name}"), scope)
        except NotStatic as error:
            raise UsageError(f"`{name}={given}` is not a value known at compile time") from error
        except SpecError as error:
            found = error.diagnostics[0]
            raise UsageError(f"`{name}={given}`: {found.message}", hint=found.hint) from error
    if value is None or not (isinstance(own, _Failed) or _family(value) == _family(own)):
        raise UsageError(
            f"param `{name}` is {kind(own)} in the spec; it cannot be {given!r}",
            hint="give a value of the same kind",
        )
    return value


def _value(given: object) -> Value | None:
    if isinstance(given, (list, tuple)):
        items = [_value(item) for item in given]
        return (
            None
            if any(item is None for item in items)
            else tuple(item for item in items if item is not None)
        )
    if isinstance(given, float) and not math.isfinite(given):
        return None
    return given if isinstance(given, (int, float, str)) else None


def _family(value: object) -> str:
    if isinstance(value, bool):
        return "bool"
    return "number" if isinstance(value, (int, float)) else type(value).__name__
