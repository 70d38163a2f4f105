"""Memory of `weft check` as a command of its own, on nets of hundreds of layers.

How long it takes is in `benchmarks/`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

STEP = """
train {{
  steps = 1
  data {data} = npz("points.npz", batch=8)
  step main updates model {{
    optimizer = adamw(lr=1e-3)
    loss = {loss}
  }}
}}
"""
DEEP = """\
net model {
  in x: f32[B, 784]
  x -> linear(512) -> repeat 200 { residual { layer_norm -> linear(512) -> gelu } } as body
    -> linear(10) as logits
}
""" + STEP.format(data="x: f32[B, 784], y: i32[B]", loss="x -> model -> cross_entropy(y)")
GPT2_XL = """\
param width=1600, heads=25, context=1024

block Attention {
  in x: f32[B, T, C]
  q = linear(x, C) -> rearrange("b t (h e) -> b h t e", h=heads)
  k = linear(x, C) -> rearrange("b t (h e) -> b h t e", h=heads)
  v = linear(x, C) -> rearrange("b t (h e) -> b h t e", h=heads)
  scores = softmax(matmul(q, transpose(k))/sqrt(width//heads))
  matmul(scores, v) -> rearrange("b h t e -> b t (h e)") -> linear(C) as project
}

block Layer {
  in x: f32[B, T, C]
  x -> residual { layer_norm -> Attention }
    -> residual { layer_norm -> linear(4*C) -> gelu(approximate=tanh) -> linear(C) }
}

net model {
  in tokens: i32[B, T]
  let wte = embedding(50257, width)
  weight wpe: f32[context, width] = normal(std=0.01)
  h = wte(tokens) + wpe[:T]
  h -> repeat 48 { Layer } as body -> layer_norm
    -> linear(50257, bias=false, weight=wte.weight) as logits
}
""" + STEP.format(
    data="t: i32[B, 1024], y: i32[B]",
    loss="model(t)[:, -1] -> cross_entropy(y)",
)


MEASURE = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE, text=True, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1000)
print(done.stdout)
"""


def _run(*arguments: str) -> tuple[int, str]:
    """Largest memory in MB, and the output of one run of Python.

    A small process starts it: a child begins with the largest memory of its parent.
    """
    command = [sys.executable, "-c", MEASURE, sys.executable, *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    memory, _, output = done.stdout.partition("\n")
    return int(memory), output


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        (DEEP, 784 * 512 + 512 + 200 * (512 * 512 + 3 * 512) + 5130),
        (GPT2_XL, 1_557_611_200),
    ],
    ids=["200 layers", "GPT-2 XL"],
)
def test_large_nets_allocate_nothing(tmp_path: Path, text: str, parameters: int) -> None:
    path = tmp_path / "net.weft"
    path.write_text(text)
    memory, output = _run("-m", "weft.cli", "check", str(path))
    assert f"{parameters:,}" in output
    assert memory < 300
