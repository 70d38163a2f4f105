"""Trainings of several kinds, as one process or as part of several.

`python -m torch.distributed.run … joint_trainings.py OUT` leaves a run of each in OUT.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import torch

import weft

MLP = """
net mlp {
  in x: f32[B, 64]
  x -> linear(32) -> tanh -> linear(10)
}
"""
STEP = """
  step main updates mlp {
    optimizer = %s
    %s
    y = x -> mlp
    loss = cross_entropy(y, label)
    metric accuracy = accuracy(y, label)
  }
}
"""


def digits(
    optimizer: str = "adamw(lr=1e-2)", own: str = "", train: str = "", data: str = "batch=48"
) -> str:
    """A small net on handwritten digits."""
    line = f"data x: f32[B, 64], label: i32[B] = digits({data}, limit=250, split=0.7)"
    return f"{MLP}train {{\n  epochs = 2\n  {train}\n  {line}\n{STEP % (optimizer, own)}"


PICTURES = """
net cnn {
  in x: f32[B, 1, 8, 8]
  x -> conv(4, 3) -> relu -> flatten -> linear(10)
}
train {
  steps = 6
  data x: f32[B, 1, 8, 8], label: %s = digits(batch=20, flat=false, limit=90, crop=1, %s)
  step main updates cnn {
    optimizer = sgd(lr=0.1, momentum=0.9)
    loss = x -> cnn -> cross_entropy(label)
  }
}
"""
TEXT = """
net model {
  in tokens: i32[B, T]
  tokens -> embedding(256, 16) -> linear(256) as logits
}
train {
  steps = 5
  data tokens: i32[B, 12], next: i32[B, 12] = text("words.txt", length=12, batch=8, split=0.8)
  step main updates model {
    optimizer = adam(lr=1e-2)
    logits = tokens -> model
    loss = cross_entropy(logits, next)
    metric perplexity = perplexity(logits, next)
  }
}
"""
TWO_STEPS = """
net up {
  in x: f32[B, 64]
  x -> linear(8) -> tanh
}
net down {
  in code: f32[B, 8]
  code -> linear(64)
}
train {
  epochs = 2
  data x: f32[B, 64], label: i32[B] = digits(batch=48, limit=250, split=0.7)
  step first updates up {
    optimizer = adam(lr=1e-3)
    loss = x -> up -> down -> mse(x)
  }
  step second updates down {
    optimizer = sgd(lr=0.1)
    every = 2
    loss = x -> up -> down -> mse(x)
  }
}
"""
NORMALISED = digits().replace("linear(32)", "linear(32) -> batch_norm -> dropout(0.2)")

CASES: Mapping[str, str] = {
    "plain": digits(),
    "clipped": digits(own="clip = 0.1", train="ema = 0.9"),
    "accumulated": digits(own="accumulate = 3"),
    "rounded": digits(train="precision = f16"),
    "whole": digits("lbfgs(max_iter=4)", data="batch=full"),
    "pictures": PICTURES % ("i32[B]", "flip=horizontal"),
    "mixed": PICTURES % ("f32[B, 10]", "mixup=0.2"),
    "text": TEXT,
    "two_steps": TWO_STEPS,
}
"""Trainings that are the same in one process and in several, to rounding."""


def train(name: str, text: str, out: Path, **options: object) -> tuple[str, ...]:
    """Train one of them, the run in the folder of its name; what was noted."""
    program = weft.compile(weft.load_text(text, str(out.parent / f"{name}.weft")), target="cpu")
    return program.train(out / name, progress="quiet", **options).notes


def main(out: Path) -> None:
    """What one process does."""
    for name, text in CASES.items():
        train(name, text, out)
    torch.distributed.init_process_group("gloo")  # a program may bring them together itself
    notes = train("normalised", NORMALISED, out)
    (out / "notes").write_text("\n".join(notes))
    train("resumed", NORMALISED, out, steps=3)
    train("resumed", NORMALISED, out, resume=True)
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
