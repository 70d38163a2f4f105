"""Sizes for which a net means nothing are refused before anything runs."""

from __future__ import annotations

import numpy as np
import pytest

import weft
from weft.compiler.artifact import from_json, to_json
from weft.spec.errors import DataError

TABLE = """\
net a {
  in x: f32[B, T]
  weight table: f32[32] = ones()
  y = x + table[:T]
  y
}
"""
HALVES = """\
net a {
  in x: f32[B, H%8]
  x[:, H//4:H//2] as y
}
"""


def _run(text: str, target: str, columns: int) -> np.ndarray:
    program = weft.compile(weft.load_text(text, "a.weft"), target=target)
    x = np.arange(2 * columns, dtype=np.float32).reshape(2, columns)
    return np.asarray(program.engine.forward("a", {"x": x})["y"])


@pytest.mark.parametrize("target", ["cpu", "reference"])
@pytest.mark.parametrize(
    ("text", "columns", "said"),
    [
        (TABLE, 33, "`a` needs T <= 32 (a.weft:4:11), got B=2, T=33"),
        (HALVES, 12, "`a` needs H to be divisible by 8, got B=2, H=12"),
    ],
)
def test_refused(target: str, text: str, columns: int, said: str) -> None:
    with pytest.raises(DataError) as caught:
        _run(text, target, columns)
    assert said in str(caught.value)


@pytest.mark.parametrize("target", ["cpu", "reference"])
def test_accepted(target: str) -> None:
    assert _run(TABLE, target, 32).shape == (2, 32)
    np.testing.assert_array_equal(_run(HALVES, target, 16), [[4, 5, 6, 7], [20, 21, 22, 23]])


LAST = """\
net a {
  in x: f32[B, T, 3]
  y, h = x -> gru(4, return_state=true)
  out y, h
}
"""


@pytest.mark.parametrize("target", ["cpu", "reference"])
def test_no_steps_have_states_but_no_last_one(target: str) -> None:
    program = weft.compile(weft.load_text(LAST, "a.weft"), target=target)
    with pytest.raises(DataError) as caught:
        program.engine.forward("a", {"x": np.zeros((2, 0, 3), np.float32)})
    assert "`a` needs T >= 1 (a.weft:3:15), got B=2, T=0" in str(caught.value)
    found = program.engine.forward("a", {"x": np.zeros((0, 5, 3), np.float32)})
    assert [np.shape(found[name]) for name in ("y", "h")] == [(0, 5, 4), (0, 4)]
    alone = LAST.replace("y, h =", "y, _h =").replace("out y, h", "y")
    program = weft.compile(weft.load_text(alone, "a.weft"), target=target)
    y = program.engine.forward("a", {"x": np.zeros((2, 0, 3), np.float32)})
    assert np.shape(y[next(iter(y))]) == (2, 0, 4)


def test_needs_are_kept_in_the_manifest() -> None:
    artifact = weft.compile(weft.load_text(HALVES, "a.weft"), target="cpu").artifact
    assert from_json(to_json(artifact), artifact.files) == artifact
    assert [need.text for need in artifact.entries[0].needs] == ["H to be divisible by 8"]
