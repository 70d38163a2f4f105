"""The JSON Schema of the YAML form: takes every spec, and refuses what has slipped."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from weft.compiler.schema import ABOUT, yaml_schema
from weft.spec.errors import SpecError
from weft.spec.format import write_yaml
from weft.spec.load import read_text
from weft.spec.read_yaml import FILE, STEP
from weft.spec.yaml_bodies import BODY, STRUCTURE

ROOT = Path(__file__).resolve().parents[2]
SPECS = sorted(
    path for ending in ("weft", "yaml") for path in (ROOT / "examples").rglob(f"*.{ending}")
)
SCHEMA = yaml_schema()
VALIDATOR = jsonschema.Draft7Validator(SCHEMA)


class Core(yaml.SafeLoader):
    """YAML 1.2's core schema, which editors read by: `on` is a word, `3e-4` is a number."""

    yaml_implicit_resolvers: dict[str, Any] = {}


Core.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(true|false)$"), list("tf"))
Core.add_implicit_resolver("tag:yaml.org,2002:null", re.compile("^(~|null|)$"), ["~", "n", ""])
Core.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?\d+$"), list("-+0123456789"))
Core.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\.\d+|\d+(\.\d*)?)([eE][-+]?\d+)?$"),
    list("-+.0123456789"),
)
Core.add_constructor("tag:yaml.org,2002:float", lambda loader, node: float(node.value))


def problems(text: str) -> list[str]:
    return [error.message for error in VALIDATOR.iter_errors(yaml.load(text, Core))]


def test_it_is_a_schema() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.name)
def test_every_spec_fits(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".yaml":
        assert problems(text) == []
    assert problems(write_yaml(read_text(text, path.name))) == []


def test_every_key_has_a_description() -> None:
    seen: set[str] = set()

    def walk(part: Any) -> None:
        if isinstance(part, dict):
            if part.get("additionalProperties") is False:
                for key, value in part["properties"].items():
                    seen.add(key)
                    assert value.get("description"), key
            for value in part.values():
                walk(value)
        elif isinstance(part, list):
            for value in part:
                walk(value)

    walk(SCHEMA)
    assert {*FILE, *BODY, *STEP, *(key for keys in STRUCTURE.values() for key in keys)} <= seen
    assert set(ABOUT) <= seen


GOOD = """\
param:
  d: 8
  w: [1, d*2]
variant:
  big:
    d: 1024
default:
  linear:
    bias: false
block:
  A(c, s=1):
    in:
      x: f32[B, C]
    out:
      - x
      - residual: [linear(c), relu]
        shortcut: linear(c)
      - repeat: s
        index: i
        do: relu
  D: relu -> A(3)
net:
  n:
    in:
      x: f32[B, 4]
    let:
      e: linear(4)
    weight:
      k: f32[4] = zeros()
    values:
      a, b: x -> e -> split(2)
    out:
      - branch: [a -> A(4), b -> D]
      - add
train:
  epochs: 2
  precision: bf16
  early_stop: patience(3)
  data:
    x, y:
      type:
        - f32[B, 4]
        - i32[B]
      from: npz("a.npz")
  step:
    main:
      updates: n
      optimizer: adamw(lr=1e-3)
      clip: 1.0
      loss: mean(n(x)) + mean(cast(y, f32))
      metric:
        m: mean(n(x))
"""

Tree = dict[str, Any]
MUTATIONS: dict[str, Callable[[Tree], object]] = {
    "a key of the file": lambda t: t.update(nets={}),
    "no mapping": lambda t: t.update(net=["n"]),
    "an empty section": lambda t: t.update(param=None),
    "an empty net": lambda t: t["net"].update(n=None),
    "a reserved name": lambda t: t["param"].update({"repeat": 1}),
    "no name": lambda t: t["param"].update({"2d": 1}),
    "a mapping for a value": lambda t: t["param"].update(d={"a": 1}),
    "a value for variants": lambda t: t["variant"].update(big=3),
    "a bad header": lambda t: t["block"].update({"A c": "relu"}),
    "a key of a body": lambda t: t["net"]["n"].update(outs="x"),
    "a body without result": lambda t: t["net"]["n"].pop("out"),
    "no type": lambda t: t["net"]["n"]["in"].update(x="f33[B]"),
    "a type without brackets": lambda t: t["net"]["n"]["in"].update(x="f32"),
    "a list for a type": lambda t: t["net"]["n"]["in"].update(x=["B", 4]),
    "a weight without first values": lambda t: t["net"]["n"]["weight"].update(k="f32[4]"),
    "a call as a mapping": lambda t: t["net"]["n"]["out"].append({"linear": 10}),
    "one arm": lambda t: t["net"]["n"].update(out=[{"branch": ["relu"]}]),
    "no do": lambda t: t["net"]["n"].update(out=[{"repeat": 3}]),
    "no in": lambda t: t["net"]["n"].update(out=[{"for": "w", "do": "relu"}]),
    "no then": lambda t: t["net"]["n"].update(out=[{"if": "true"}]),
    "a key of a structure": lambda t: t["net"]["n"].update(out=[{"residual": "relu", "do": "x"}]),
    "an empty pipeline": lambda t: t["net"]["n"].update(out=[]),
    "a setting of train": lambda t: t["train"].update(epoch=3),
    "epochs and steps": lambda t: t["train"].update(steps=3),
    "no epochs": lambda t: t["train"].pop("epochs"),
    "epochs below 0": lambda t: t["train"].update(epochs=-1),
    "a seed of 1.5": lambda t: t["train"].update(seed=1.5),
    "a list for a seed": lambda t: t["train"].update(seed=[1]),
    "a number for a word": lambda t: t["train"].update(precision=16),
    "a stopping rule": lambda t: t["train"].update(early_stop="patient(3)"),
    "a source": lambda t: t["train"]["data"].update({"x, y": "minst()"}),
    "a source within": lambda t: t["train"]["data"]["x, y"].update({"from": "minst()"}),
    "data without a source": lambda t: t["train"]["data"]["x, y"].pop("from"),
    "names of data": lambda t: t["train"]["data"].update({"x y": "digits()"}),
    "no updates": lambda t: t["train"]["step"]["main"].pop("updates"),
    "no loss": lambda t: t["train"]["step"]["main"].pop("loss"),
    "a setting of a step": lambda t: t["train"]["step"]["main"].update(losses="x"),
    "an optimizer": lambda t: t["train"]["step"]["main"].update(optimizer="adamv(lr=1)"),
    "every 0 steps": lambda t: t["train"]["step"]["main"].update(every=0),
    "a metric that is none": lambda t: t["train"]["step"]["main"].update(metric="m"),
    "an import that is no list": lambda t: t.update({"import": "a.weft"}),
}


def test_the_spec_that_is_mutated_is_right() -> None:
    assert problems(GOOD) == []
    read_text(GOOD, "good.yaml")


@pytest.mark.parametrize("slip", MUTATIONS)
def test_what_has_slipped_is_refused(slip: str) -> None:
    tree = copy.deepcopy(yaml.load(GOOD, Core))
    MUTATIONS[slip](tree)
    assert list(VALIDATOR.iter_errors(tree)), slip


def test_every_key_that_is_spelt_wrong_is_refused() -> None:
    """As `weft check` does: wherever keys are known, one more letter is an error in both."""
    slipped = 0
    for key in (*FILE, *BODY, *STEP, "residual", "shortcut", "repeat", "index", "do", "from"):
        at = re.search(rf"^ *(?:- )?({key}):", GOOD, re.MULTILINE)
        if at is None:
            continue
        slipped += 1
        bad = f"{GOOD[: at.end(1)]}x{GOOD[at.end(1) :]}"
        with pytest.raises(SpecError):
            read_text(bad, "bad.yaml")
        assert problems(bad), key
    assert slipped > 18
