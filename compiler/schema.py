"""The JSON Schema of the YAML form, made from the tables that the readers and checks use.

Editors take it (`yaml-language-server`) for completion, descriptions and first errors.  It knows
keys, kinds of values and names of optimizers and sources; what stands inside an expression is
judged by `weft check` alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ..spec.lexer import words
from ..spec.optimizers import OPTIMIZERS
from ..spec.read_yaml import FILE, STEP
from ..spec.signature import KINDS, Option, Signature, value_text
from ..spec.sources import SOURCES
from ..spec.stopping import STOPPING
from ..spec.yaml_bodies import BODY, NEEDS, STRUCTURE
from .build.recipe import STEP as STEP_OPTIONS
from .build.recipe import TRAIN as TRAIN_OPTIONS

DRAFT = "http://json-schema.org/draft-07/schema#"
NAME = "[A-Za-z_][A-Za-z0-9_]*"
DTYPES = ("f16", "bf16", "f32", "f64", "i32", "i64", "bool", "any")
Schema = dict[str, Any]

ABOUT = {
    "import": 'Files whose blocks may be used: `["blocks.weft"]`, in the folder or below it.',
    "param": "Values known at compile time; later ones may use earlier ones. `--set d=512`.",
    "variant": "Other values for params, chosen with `--variant NAME`.",
    "default": "Settings for all calls of an operation: `conv: {bias: false}` on two lines.",
    "block": "Templates, `Name(width, stride=1):`; each use makes weights of its own.",
    "net": "Networks; all uses of one share its weights.",
    "train": "Data, optimizers and losses.",
    "in": "The inputs and their types: `image: f32[B, 3, H, W]`.",
    "let": "Layers without their input; all their uses share weights.",
    "weight": "Parameters and their first values: `scale: f32[d] = ones()`.",
    "values": "Names for values: `h: x -> relu`, or `a, b: x -> split(2)`.",
    "out": "The result: a pipeline, or several values `a, b`.",
    "data": "Fields and where they come from: `image, label: digits(batch=64)`.",
    "step": "Training steps, run in this order on every batch.",
    "updates": "The nets that the step trains: `generator`, or `a, b`.",
    "loss": "The number to be made small.",
    "metric": "What is reported of training and held-out data.",
    "residual": "A pipeline whose result is added to its input, or to `shortcut`.",
    "shortcut": "The other side of the sum; the input where it is left out.",
    "branch": "Pipelines that all take the input; one value an arm.",
    "repeat": "How often `do` runs, each time with weights of its own.",
    "index": "A name for the count, from 0.",
    "do": "The pipeline that is repeated.",
    "for": "A name for the entry of the list.",
    "if": "A condition known at compile time.",
    "then": "The pipeline if it holds.",
    "else": "The pipeline if it does not; nothing happens where it is left out.",
    "as": "A name for the value, and for the layer: `h`, or `a, b` for several.",
    "type": "A type, or a list with one for each name.",
    "from": "The source: `digits(batch=64)`.",
}
"""What a key is for."""
IN_A_LIST = "The list that is gone through."


def yaml_schema() -> Schema:
    """The schema of a spec."""
    return {
        "$schema": DRAFT,
        "title": "weft",
        "description": "A neural network, and how it is trained.",
        **_mapping(_file(), empty=False),
        "definitions": {
            "value": _any(_scalar(), _list(_ref("value")), about="A value or an expression."),
            "flow": _any(
                _scalar(),
                {"type": "array", "items": _ref("flow"), "minItems": 1},
                *(_ref(kind) for kind in STRUCTURE),
                about="A pipeline: text such as `conv(64, 3) -> relu as h`, or a list of pieces.",
            ),
            **{kind: _structure(kind) for kind in STRUCTURE},
            "type": _text(rf"^\s*({'|'.join(DTYPES)})\s*\[[\s\S]*\]\s*$", "f32[B, 64]"),
            "body": _any(_mapping(_body(), ("out",)), _ref("flow")),
            "values": _named(_names(), _ref("flow")),
            "defaults": _named(_identifier(free=True), _named(_word(), _ref("value"))),
            "data": _data(),
            "step": _mapping(_step(), ("updates", "optimizer", "loss")),
            "train": _train(),
        },
    }


# ---------------------------------------------------------------- the parts


def _file() -> Schema:
    value, flow = _ref("value"), _ref("body")
    parts = {
        "import": {"type": "array", "items": {"type": "string"}, "minItems": 1},
        "param": _named(_identifier(), value),
        "variant": _named(_identifier(), _named(_identifier(), value)),
        "default": _ref("defaults"),
        "block": _named(rf"^\s*{NAME}\s*(\([\s\S]*\))?\s*$", flow),
        "net": _named(_identifier(), flow),
        "train": _ref("train"),
    }
    return {key: _about(key, parts[key]) for key in FILE}


def _body() -> Schema:
    parts = {
        "in": _named(_identifier(), _ref("type")),
        "default": _ref("defaults"),
        "let": _named(_identifier(), _ref("value")),
        "weight": _named(_word(), _text(r"\][\s\S]*=[\s\S]*\S", "f32[d] = zeros()")),
        "values": _ref("values"),
        "out": _ref("flow"),
    }
    return {key: _about(key, parts[key]) for key in BODY}


def _structure(kind: str) -> Schema:
    flow, value, name = _ref("flow"), _ref("value"), _text(_identifier(), "h")
    parts: Schema = {
        "branch": {"type": "array", "items": flow, "minItems": 2},
        "repeat": value,
        "index": name,
        "for": name,
        "in": value,
        "if": value,
        "as": _text(_names(), "h"),
    }
    keys = {key: _about(key, parts.get(key, flow)) for key in STRUCTURE[kind]}
    if "in" in keys:
        keys["in"] = {**keys["in"], "description": IN_A_LIST}
    return _mapping(keys, (kind, *NEEDS.get(kind, ())))


def _data() -> Schema:
    source = _call(SOURCE_SIGNATURES, "digits(batch=64)")
    type_ = _any(_ref("type"), _list(_ref("type")))
    parts = {"type": _about("type", type_), "from": _about("from", source)}
    return _named(_names(), _any(source, _mapping(parts, ("from",))))


def _step() -> Schema:
    parts: Schema = {name: _setting(option) for name, option in STEP_OPTIONS.items()}
    parts |= {
        "optimizer": _call(OPTIMIZERS, "adamw(lr=1e-3)", "The rule by which weights change."),
        "updates": _about("updates", _text(_names(), "net")),
        "values": _about("values", _ref("values")),
        "loss": _about("loss", _ref("flow")),
        "metric": _about("metric", _named(_identifier(), _ref("flow"))),
    }
    return {key: parts[key] for key in STEP}


def _train() -> Schema:
    parts: Schema = {name: _setting(option) for name, option in TRAIN_OPTIONS.items()}
    parts["early_stop"] = _call(STOPPING, "patience(10)", "When the training may end early.")
    parts["data"] = _about("data", _ref("data"))
    parts["step"] = _about("step", _named(_identifier(), _ref("step")))
    length = [{"required": [key]} for key in ("epochs", "steps") if key in parts]
    return {**_mapping(parts, ("data", "step")), "oneOf": length}


# ---------------------------------------------------------------- values


def _setting(option: Option) -> Schema:
    """A setting of the training section: a literal within its bounds, or an expression."""
    kinds = option.kind.split("|")
    forms: list[Schema] = []
    if option.words:
        forms.append({"enum": list(option.words)})
    if "integer" in kinds or "number" in kinds:
        bounds = {"minimum": option.low, "maximum": option.high, "exclusiveMinimum": option.above}
        known = {key: bound for key, bound in bounds.items() if bound is not None}
        forms.append({"type": "integer" if "number" not in kinds else "number", **known})
    if "boolean" in kinds:
        forms.append({"type": "boolean"})
    if any(kind.endswith("s") or kind in ("range", "split") for kind in kinds):
        forms.append(_list(_ref("value")))
    forms.append({"type": "string"})
    return _any(*forms, about=_said(option))


def _said(option: Option) -> str:
    """What a setting is: its documentation, kinds, words and default."""
    kinds = [KINDS[kind][1] for kind in option.kind.split("|") if kind in KINDS]
    kinds += [f"`{word}`" for word in option.words]
    what = f"{option.doc[:1].upper()}{option.doc[1:]}." if option.doc else ""
    default = "" if option.default is None else f"Default: {value_text(option.default)}."
    return " ".join(
        each for each in (what, f"Takes {' or '.join(kinds)}." if kinds else "", default) if each
    )


def _call(known: Mapping[str, Signature], example: str, about: str = "") -> Schema:
    """A call of one of these, as text."""
    listed = "\n".join(f"- `{each.name}`: {each.doc}" for each in known.values())
    pattern = rf"^[\s(]*({'|'.join(map(re.escape, known))})\s*(\(|\)*\s*$|#)"
    said = "\n\n".join(each for each in (about, listed) if each)
    return {**_text(pattern, example), "description": said}


def _identifier(free: bool = False) -> str:
    """A pattern for names that may be defined; `free`: of anything that may be called."""
    barred = "" if free else f"(?!({'|'.join(sorted(set(words()) - FREE))})$)"
    return f"^{barred}{NAME}$"


def _word() -> str:
    return f"^{NAME}$"


def _names() -> str:
    return rf"^\s*{NAME}(\s*,\s*{NAME})*\s*$"


FREE = {"weight", "out"}  # reserved words that are names wherever no statement begins with them
SOURCE_SIGNATURES = {name: source.signature for name, source in SOURCES.items()}


# ---------------------------------------------------------------- schema


def _ref(name: str) -> Schema:
    return {"$ref": f"#/definitions/{name}"}


def _about(key: str, schema: Schema) -> Schema:
    """With the description of the key; beside `$ref` draft 7 would not see it."""
    inner: Schema = {"allOf": [schema]} if "$ref" in schema else schema
    said = "\n\n".join(each for each in (ABOUT[key], inner.get("description", "")) if each)
    return {**inner, "description": said}


def _scalar() -> Schema:
    return {"type": ["string", "number", "boolean"]}


def _text(pattern: str, example: str) -> Schema:
    return {"type": "string", "pattern": pattern, "examples": [example]}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _any(*forms: Schema, about: str = "") -> Schema:
    return {"anyOf": list(forms), **({"description": about} if about else {})}


def _named(pattern: str, value: Schema) -> Schema:
    """A mapping whose keys are names of the user's."""
    return {
        "type": "object",
        "minProperties": 1,
        "propertyNames": {"pattern": pattern},
        "additionalProperties": value,
    }


def _mapping(keys: Schema, required: Iterable[str] = (), empty: bool = True) -> Schema:
    """A mapping whose keys are known."""
    needed = list(required)
    return {
        "type": "object",
        "properties": keys,
        "additionalProperties": False,
        **({"required": needed} if needed else {}),
        **({} if empty else {"minProperties": 1}),
    }
