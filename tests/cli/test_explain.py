"""`weft explain`: what is said of the kernels of a step."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

STACK = """
param depth=3

net stack {
  in x: f32[B, 64]
  x -> repeat depth { residual { linear(256) -> gelu -> linear(64) } }
}
"""


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    path = tmp_path / "stack.weft"
    path.write_text(STACK)
    return path


def test_equal_layers_are_kernels_of_one_text(weft, stack: Path) -> None:
    """However many layers there are, so many texts are to be compiled."""
    texts = []
    for depth in (4, 8):
        ask = ("explain", stack, "--set", f"depth={depth}", "--target", "cuda:90", "--backward")
        answer = weft(*ask)
        assert answer.code == 0, answer.err
        kernels = json.loads(weft(*ask, "--json").out)["steps"]["stack"]["kernels"]
        texts.append(len({kernel["name"] for kernel in kernels}))
        assert f"\nstack: {len(kernels)} kernels of {texts[-1]} texts\n" in answer.out
    assert texts[0] == texts[1]
