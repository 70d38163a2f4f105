"""A spec in both forms, with a bit of everything, and the blocks that it imports."""

from __future__ import annotations

from pathlib import Path

from lsp_client import Client

BLOCKS = """# mixes features and adds what came
block Mix(width, act=relu|gelu) {
  in x: f32[..., C]
  x -> residual {
    layer_norm -> linear(width*4) -> if act == "relu" { relu } else { gelu } -> linear(C)
  }
}
"""

WEFT = """# reads a text
import "blocks.weft"

param d=32, depth=3

variant wide { d=64 }

# halves the features
block Half {
  in x: f32[..., F]
  y = x -> linear(F // 2)
  y -> tanh
}

# a classifier of texts
net reader {
  in t: i32[B, T]
  let e = embedding(100, d)
  weight scale: f32[d] = ones()
  h = t -> e -> repeat depth as i { Mix(d) } as body
  (h*scale) -> Half -> linear(d) -> linear(100, bias=false, weight=e.weight) as logits
}

train {
  epochs = 3
  data t: i32[B, T], label: i32[B, T] = npz("texts.npz", batch=8)
  step main updates reader {
    optimizer = adamw(lr=cosine(3e-3, warmup=1), weight_decay=0.01)
    logits = t -> reader
    loss = cross_entropy(logits, label, axis=-1)
    metric right = accuracy(logits, label, axis=-1)
  }
}
"""

YAML = """# reads numbers
param:
  width: 64

block:
  # around and on
  Res(features, act=relu|gelu):
    in:
      x: f32[B, C]
    out:
      - x
      - residual:
          - linear(features)
          - repeat: 2
            do: relu
      - gelu

net:
  mlp:
    in:
      image: f32[B, 64]
    values:
      h: image -> linear(width)
    out: h -> Res(width) -> linear(10) as logits

train:
  epochs: 20
  data:
    image, label:
      type:
        - f32[B, 64]
        - i32[B]
      from: digits(batch=64)
  step:
    main:
      updates: mlp
      optimizer: adamw(lr=1e-3)
      values:
        logits: image -> mlp
      loss: cross_entropy(logits, label)
"""


def open_weft(editor: Client, folder: Path) -> str:
    """The .weft spec with its import on disk, analysed and without errors."""
    (folder / "blocks.weft").write_text(BLOCKS)
    uri = editor.open(folder / "reader.weft", WEFT)
    assert editor.diagnostics(uri) == []
    return uri


def open_yaml(editor: Client, folder: Path) -> str:
    """The YAML spec, analysed and without errors."""
    uri = editor.open(folder / "mlp.yaml", YAML)
    assert editor.diagnostics(uri) == []
    return uri
