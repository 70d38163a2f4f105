"""Matches the arguments of a call with the signature: inputs first, then settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ...spec.errors import suggest
from ...spec.expressions import Call, Expr, Name, Number
from ...spec.expressions import Setting as Argument
from ...spec.initialisers import INITIALISERS
from ...spec.place import Place
from ...spec.spell import expression as spell
from ...spec.static import SPELT
from . import expressions, other_names, starts
from .elaboration import TRAINING, Elaboration, is_operand
from .faults import Silent, fault
from .scope import Scope
from .signature import REQUIRED, Setting, Signature, accepts, wanted
from .values import BROKEN, Layer, Operation, Tensor, Value, Values, is_number, show

@dataclass(frozen=True, slots=True)
class Given:
    """An argument and where it stands."""

    value: Value
    place: Place


@dataclass(slots=True)
class Bound:
    """What a call gives: inputs in order, and everything that goes by name."""

    inputs: list[Value] = field(default_factory=list)
    named: dict[str, Given] = field(default_factory=dict)
    settings: dict[str, Given] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Site:
    """Where a call stands: what is piped into it, or that it opens a flow."""

    name: str
    place: Place
    scope: Scope
    piped: Values | None
    head: bool
    peeked: dict[int, Values] = field(default_factory=dict)


def bind(
    e: Elaboration,
    signature: Signature,
    positional: Sequence[Expr],
    named: Sequence[Argument],
    site: Site,
) -> Bound:
    """All arguments, evaluated.  Raises: Faults E304 to E306, E311 for what does not fit."""
    bound = Bound()
    for argument in named:
        _bind_named(e, signature, argument, bound, site)
    open_inputs = (
        [] if signature.variadic else [n for n in signature.inputs if n not in bound.named]
    )
    free = [s for s in signature.settings if s.name not in bound.settings]
    need = None if signature.variadic else len(open_inputs)
    words = [w for s in signature.settings for w in (*s.words, *(INITIALISERS if s.starts else ()))]
    queue = [expressions.chosen(e, each, site.scope, words) for each in positional]
    taken = _first_inputs(e, signature, need, queue, free, site)
    while queue and (need is None or len(taken) < need):
        if need is None and not _is_input(e, queue[0], free, site):
            break
        taken += _input(e, queue.pop(0), site)
    if (need is not None and len(taken) != need) or (need is None and len(taken) < signature.least):
        by_name = 0 if signature.variadic else len(signature.inputs) - len(open_inputs)
        raise _wrong_count(signature, len(taken) + by_name, site)
    for found, name in zip(taken, open_inputs or [""] * len(taken), strict=True):
        _check_input(found, name, site)
    bound.inputs = _in_order(signature, open_inputs, taken, bound)
    _check_list(signature, queue, free, site)
    for expr in queue:
        if not free:
            raise _too_many(signature, expr, site)
        _bind_setting(e, free.pop(0), expr, expr.place, bound, site)
    _add_defaults(e, signature, bound, site)
    return bound


def _check_list(
    signature: Signature, queue: Sequence[Expr], free: Sequence[Setting], site: Site
) -> None:
    """Raises: Faults E305 for `resize(64, 64)` and its like, which mean a list."""
    if len(queue) < 2 or not free or not all(isinstance(each, Number) for each in queue):
        return
    fits = [accepts(setting, 0) for setting in free[: len(queue)]]
    if len(free) < len(queue) or not all(fits):
        listed = ", ".join(spell(each) for each in queue)
        hint = f"several numbers for one setting stand in brackets: `{site.name}([{listed}])`"
        raise fault("E305", f"too many arguments for `{site.name}`", queue[1].place, hint)


def evaluate_setting(e: Elaboration, setting: Setting, expr: Expr, scope: Scope) -> Value:
    """A setting's value: an initialiser, one of its words, or an expression."""
    expr = expressions.chosen(e, expr, scope, setting.words)
    if setting.starts:
        return starts.start(e, expr, scope)
    if setting.words and isinstance(expr, Name) and _means_nothing(e, expr.id, setting, scope):
        raise _no_word(setting, expr.id, expr.place)
    found = expressions.value(e, expr, scope, setting.words)
    if isinstance(found, Operation) and setting.words:
        raise _no_word(setting, found.name, expr.place)
    return expressions.needs_value(found, expr.place)


def _means_nothing(e: Elaboration, name: str, setting: Setting, scope: Scope) -> bool:
    """Is it neither a word of the setting nor a name, nor like one?"""
    if name in setting.words or scope.has(name) or name == TRAINING or name in SPELT:
        return False
    operations = e.catalogue.operations(scope.library)
    return name not in operations and (
        suggest(name, setting.words) is not None or suggest(name, scope.visible()) is None
    )


def _no_word(setting: Setting, name: str, place: Place) -> Exception:
    text = f"`{setting.name}` must be {_accepted(setting)}, not `{name}`"
    hint = other_names.value_hint(setting.name, name) or suggest(name, setting.words)
    return fault("E311", text, place, hint)


def _accepted(setting: Setting) -> str:
    """What a setting takes: one of its words, or a value where there is but one word."""
    what = wanted(setting)
    return f"a value or {what}" if not setting.kind and len(setting.words) == 1 else what


def check_setting(setting: Setting, value: Value, place: Place, subject: str) -> None:
    """Raises: Faults E311 for a value that the setting does not accept."""
    fits = accepts(setting, value)
    if not setting.kind and setting.words:
        text = isinstance(value, str)
        fits = value in setting.words if text or len(setting.words) > 1 else True
        fits = fits and not isinstance(value, bool)
    if not fits:
        hint = suggest(value, setting.words) if isinstance(value, str) else None
        what = f"`{setting.name}` must be {_accepted(setting)}, not {show(value)}"
        raise fault("E311", what, place, hint, subject)


def _add_defaults(e: Elaboration, signature: Signature, bound: Bound, site: Site) -> None:
    """What `default` lines say of settings that the call leaves open, innermost line first."""
    for default, home in site.scope.settings(signature.name):
        for argument in default.settings:
            setting = signature.setting(argument.name)
            if setting is not None and setting.name not in bound.settings:
                found = evaluate_setting(e, setting, argument.value, home)
                check_setting(setting, found, argument.value.place, signature.name)
                bound.settings[setting.name] = Given(found, argument.value.place)
    for setting in signature.settings:
        if setting.default is REQUIRED and setting.name not in bound.settings:
            hint = f"its settings are {', '.join(s.name for s in signature.settings)}"
            raise fault("E307", f"`{site.name}` needs `{setting.name}`", site.place, hint)


# ---- named arguments -------------------------------------------------------------------------


def _bind_named(
    e: Elaboration, signature: Signature, argument: Argument, bound: Bound, site: Site
) -> None:
    name, place = argument.name, argument.place.through(argument.value.place)
    setting = signature.setting(name)
    if setting is not None:
        _bind_setting(e, setting, argument.value, place, bound, site)
    elif name in signature.by_name or (name in signature.inputs and not signature.variadic):
        found = expressions.needs_value(expressions.value(e, argument.value, site.scope), place)
        _check_input(found, name, site)
        bound.named[name] = Given(found, place)
    elif signature.extra:
        found = expressions.known(e, argument.value, site.scope, f"`{name}`")
        bound.settings[name] = Given(found, place)
    else:
        text = f"`{site.name}` has no setting `{name}`"
        raise fault("E304", text, argument.place, setting_hint(signature, name))


def setting_hint(signature: Signature, name: str) -> str:
    """What to write in place of a setting that does not exist."""
    own = [s.name for s in signature.settings]
    listed = f"its settings are {', '.join(own)}" if own else "it has no settings"
    return other_names.setting_hint(name, own) or suggest(name, signature.known()) or listed


def _bind_setting(
    e: Elaboration, setting: Setting, expr: Expr, place: Place, bound: Bound, site: Site
) -> None:
    peeked = site.peeked.get(id(expr), ())
    again = setting.starts or setting.words or len(peeked) != 1
    found = evaluate_setting(e, setting, expr, site.scope) if again else peeked[0]
    if setting.kind and isinstance(found, Tensor):
        hint = "use where(condition, a, b) for a choice between tensors"
        raise fault(
            "E310", f"{site.name}: `{setting.name}` must be known at compile time", expr.place, hint
        )
    check_setting(setting, found, expr.place, site.name)
    bound.settings[setting.name] = Given(found, place)


# ---- inputs ----------------------------------------------------------------------------------


def _first_inputs(
    e: Elaboration,
    signature: Signature,
    need: int | None,
    queue: list[Expr],
    free: Sequence[Setting],
    site: Site,
) -> list[Value]:
    """What is piped in; else the input of the body, where the arguments alone are too few.

    `f(a)` with a tensor `a` is complete; `mul(3)` is not, nor is `add(a)`, which needs two.
    """
    if site.piped is not None:
        return list(site.piped)
    if need == 0:
        return []
    if queue and _is_tensor(e, queue[0], free, site):
        enough = len(queue) >= need if need is not None else _many(e, signature, queue, free, site)
        inputs = site.scope.take_inputs() if site.head and not enough else None
        return list(inputs or ())
    if queue and need is not None and need > 1 and len(queue) >= need:
        first = queue[:need]
        if any(_is_tensor(e, expr, free, site) for expr in first[1:]):
            return []
    inputs = site.scope.take_inputs() if site.head else None
    if inputs is not None:
        return list(inputs)
    if queue and not free and _is_number(e, queue[0], free, site):
        return []
    hint = f"write `{site.name}(x, …)` or `x -> {site.name}`"
    raise fault("E306", f"`{site.name}` has no input here", site.place, hint)


def _many(
    e: Elaboration, signature: Signature, queue: list[Expr], free: Sequence[Setting], site: Site
) -> bool:
    """Are there arguments enough for an operation that takes any number?"""
    return sum(_is_input(e, expr, free, site) for expr in queue) >= signature.least


def _peek(e: Elaboration, expr: Expr, free: Sequence[Setting], site: Site) -> Values | None:
    """The values of a first argument, unless it can only be a setting."""
    if free and isinstance(expr, Name) and expr.id in free[0].words:
        return None
    if free and free[0].starts and isinstance(expr, Call) and not site.scope.has(expr.name):
        return None
    key = id(expr)
    if key not in site.peeked:
        site.peeked[key] = expressions.values(e, expr, site.scope)
    return site.peeked[key]


def _is_tensor(e: Elaboration, expr: Expr, free: Sequence[Setting], site: Site) -> bool:
    found = _peek(e, expr, free, site)
    return found is not None and any(isinstance(v, Tensor) for v in found)


def _is_input(e: Elaboration, expr: Expr, free: Sequence[Setting], site: Site) -> bool:
    """One more input of many: a tensor, or anything where there are no settings."""
    return not free or _is_tensor(e, expr, free, site)


def _is_number(e: Elaboration, expr: Expr, free: Sequence[Setting], site: Site) -> bool:
    found = _peek(e, expr, free, site)
    return found is not None and all(is_number(v) for v in found)


def _input(e: Elaboration, expr: Expr, site: Site) -> list[Value]:
    found = site.peeked.get(id(expr))
    return list(expressions.values(e, expr, site.scope) if found is None else found)


def _check_input(found: Value, name: str, site: Site) -> None:
    if found is BROKEN:
        raise Silent
    if not is_operand(found):
        what = f"`{name}`" if name else "its input"
        if isinstance(found, (Operation, Layer)):
            expressions.needs_value(found, site.place)
        raise fault(
            "E317",
            f"{what} must be a tensor or a number, not {show(found)}",
            site.place,
            None,
            site.name,
        )


def _in_order(
    signature: Signature, open_inputs: Sequence[str], taken: Sequence[Value], bound: Bound
) -> list[Value]:
    if signature.variadic:
        return list(taken)
    by_name = dict(zip(open_inputs, taken, strict=True))
    return [
        by_name[name] if name in by_name else bound.named.pop(name).value
        for name in signature.inputs
    ]


def _wrong_count(signature: Signature, got: int, site: Site) -> Exception:
    if signature.variadic:
        least = "two inputs" if signature.least == 2 else "one input"
        hint = f"write `{site.name}({'a, b' if signature.least == 2 else 'a'})`"
        text = f"`{site.name}` takes at least {least}, got {got}"
        return fault("E305", text, site.place, hint)
    if not signature.inputs:
        return fault("E305", f"`{site.name}` takes no input, got {got}", site.place)
    count = f"{len(signature.inputs)} input{'s' if len(signature.inputs) > 1 else ''}"
    names = ", ".join(signature.inputs)
    text = f"`{site.name}` takes {count}: {names}; got {got}"
    return fault("E305", text, site.place, f"write `{site.name}({names})`")


def _too_many(signature: Signature, expr: Expr, site: Site) -> Exception:
    settings = ", ".join(s.name for s in signature.settings)
    hint = f"its settings are {settings}" if settings else "it has no settings"
    return fault("E305", f"too many arguments for `{site.name}`", expr.place, hint)
