"""`--variant` and `--set` mean the same to every verb that reads a spec."""

from __future__ import annotations

import argparse
import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from weft.cli.main import VERBS

SPEC = """\
param hidden=3

variant wide { hidden=5 }

net model {
  in x: f32[B, 2]
  x -> linear(hidden) -> tanh -> linear(1) as y
}

train {
  steps = 2
  data x: f32[B, 2], y: f32[B, 1] = npz("points.npz", batch=4)
  step main updates model {
    optimizer = sgd(lr=0.1)
    loss = x -> model -> mse(y)
  }
}
"""
OTHERS = {"new", "fmt", "explain-error", "doc", "schema", "lsp"}
"""What reads no spec, or only its text."""
READERS = sorted(VERBS.keys() - OTHERS)
NEEDED = {
    "predict": ["--input", "x.csv", "-o", "y.csv"],
    "import-weights": ["--from", "x.safetensors"],
}


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "model.weft"
    path.write_text(SPEC)
    return path


def _options(verb: str) -> set[str]:
    parser = argparse.ArgumentParser()
    importlib.import_module(f"weft.cli.{verb.replace('-', '_')}").configure(parser)
    return set(parser._option_string_actions)


@pytest.mark.parametrize("verb", READERS)
def test_every_reader_has_both(verb: str) -> None:
    assert _options(verb) >= {"--variant", "--set"}


@pytest.mark.parametrize("verb", READERS)
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--variant", "wid"], "no variant `wid`"),
        (["--set", "hiden=4"], "no param `hiden`"),
        (["--set", "hidden=[4]"], "`hidden` is"),
        (["--set", "hidden"], "expected NAME=VALUE"),
    ],
)
def test_every_reader_refuses_what_the_spec_lacks(
    weft: Any, spec: Path, verb: str, options: list[str], said: str
) -> None:
    answer = weft(verb, spec, *NEEDED.get(verb, []), *options)
    assert answer.code == 2
    assert said in answer.err
    assert not answer.out


@pytest.mark.parametrize(
    ("options", "hidden"),
    [([], 3), (["--variant", "wide"], 5), (["--variant", "wide", "--set", "hidden=2*3"], 6)],
)
def test_they_take_effect(weft: Any, spec: Path, options: list[str], hidden: int) -> None:
    checked = weft("check", spec, *options, "--json")
    assert json.loads(checked.out)["parameters"] == 4 * hidden + 1
    shown = weft("show", spec, *options, "--format", "dot")
    assert shown.code == 0 and f"{hidden}" in shown.out
    assert f"[B, {hidden}]" in weft("show", spec, *options).out
    explained = weft("explain", spec, *options, "--after", "build")
    assert explained.code == 0, explained.err
    assert f"f32[B, {hidden}]" in explained.out
