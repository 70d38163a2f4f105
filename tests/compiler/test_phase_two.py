"""The second kernel of a product whose depth is shared: refused alone, it has smaller blocks."""

from __future__ import annotations

import re

import weft
from weft.compiler.artifact import Artifact
from weft.compiler.build import elaborate
from weft.compiler.compile import compile_gpu, lower

NET = """
net n {
  in x: f32[B, 4096]
  x -> linear(16) -> tanh as y
}
"""


def _kernels(artifact: Artifact) -> dict[str, str]:
    """The text of each kernel by its name."""
    parts = re.split(r"(?m)^def (\w+)\(", artifact.files["kernels.py"])
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def _rows(text: str) -> int:
    found = re.search(r"BM: tl.constexpr = (\d+)", text)
    assert found is not None
    return int(found[1])


def test_a_refusal_is_of_one_of_the_two() -> None:
    lowered = lower(elaborate(weft.load_text(NET, "n.weft")), native=False)
    first = compile_gpu(lowered, "cuda:90", {})
    keys = {k.name: k.compile["key"] for k in first.kernels if k.compile is not None}
    assert set(keys) == {"y", "y_sum"} and len(set(keys.values())) == 2
    before = _kernels(first)
    again = _kernels(compile_gpu(lowered, "cuda:90", {keys["y_sum"]: 1}))
    assert _rows(again["y_sum"]) == _rows(before["y_sum"]) // 2 and again["y"] == before["y"]
    other = _kernels(compile_gpu(lowered, "cuda:90", {keys["y"]: 1}))
    assert _rows(other["y_sum"]) == _rows(before["y_sum"]) and other["y"] != before["y"]
