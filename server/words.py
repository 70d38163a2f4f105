"""The words of the language itself, each with a line on what it does."""

from __future__ import annotations

KEYWORDS: dict[str, str] = {
    "import": 'import "blocks.weft": the blocks of another file',
    "param": "param d=64, w=[d, 2*d]: values known at compile time; `--set d=128` replaces them",
    "variant": "variant big { d=1024 }: other values for params; `--variant big`",
    "default": "default conv(bias=false): settings for all calls written in this file or body",
    "block": "block B(c, s=1) { … }: a template; each use makes weights of its own",
    "net": "net G { … }: one set of weights, shared by all uses",
    "train": "train { … }: data, optimizers, losses",
    "in": "in x: f32[B, C, H, W]: an input and its type",
    "out": "out a, b: the results of the body",
    "let": "let e = embedding(v, d): a layer without its input; all its uses share weights",
    "weight": "weight w: f32[d] = zeros(): a parameter and its first values",
    "residual": "residual { f | s }: f and s, added; without s the input itself",
    "branch": "branch { f | g }: one value an arm",
    "repeat": "repeat n as i { f }: n times, each with weights of its own",
    "for": "for w in ws { f }: once an entry of a list",
    "if": "if c { f } else { g }: chosen at compile time; without else nothing happens",
    "else": "else { g }: what happens where the condition is false",
    "as": "f as h: names the value, and the layer",
    "data": "data x: f32[B, 64], label: i32[B] = digits(batch=64): a source and its fields",
    "step": "step main updates net { … }: a loss, and the nets that it trains",
    "updates": "updates a, b: the nets whose parameters the step changes",
    "metric": "metric accuracy = accuracy(logits, label): reported with the loss",
    "optimizer": "optimizer = adamw(lr=1e-3): how the step changes parameters",
    "loss": "loss = cross_entropy(logits, label): one number, made small",
    "clip": "clip = 1: the greatest norm of the gradient",
    "every": "every = 2: the step runs once in so many",
    "accumulate": "accumulate = 4: batches in one gradient",
    "freeze": 'freeze = ["conv*"]: parameters that the step leaves as they are',
    "epochs": "epochs = 10: passes over the data; or steps",
    "steps": "steps = 2000: updates; or epochs",
    "seed": "seed = 0: of everything random",
    "precision": "precision = f32, bf16 or f16: of products",
    "loss_scale": "loss_scale = 1024: a fixed one, for precision = f16",
    "ema": "ema = 0.999: kept of the average of the weights in an update",
    "eval_every": "eval_every = 1: how often held-out data is evaluated",
    "save_every": "save_every = 1: how often a checkpoint is written",
    "log_every": "log_every = 1: how often a line is reported",
    "early_stop": "early_stop = patience(10): when the training may end early",
    "values": "values: names for values",
    "shortcut": "shortcut: the other side of a residual; without it the input itself",
    "index": "index: the name of the number of the turn",
    "do": "do: what is repeated",
    "then": "then: what happens where the condition holds",
    "type": "type: the types of the fields, a list where there are several",
    "from": "from: the source of the data",
}

OPENING: dict[str, tuple[str, ...]] = {
    "file": ("import", "param", "variant", "default", "block", "net", "train"),
    "body": ("in", "let", "weight", "default", "out"),
    "train": (
        "epochs", "steps", "data", "step", "seed", "precision", "loss_scale", "ema", "eval_every",
        "save_every", "log_every", "early_stop", "memory",
    ),
    "step": ("optimizer", "loss", "metric", "every", "clip", "accumulate", "freeze"),
}  # fmt: skip
"""The words that a statement may begin with, by what holds it."""

SETTINGS = (*OPENING["step"], *OPENING["train"])
STRUCTURES = ("residual", "branch", "repeat", "for", "if")
DTYPES = ("f32", "f16", "bf16", "f64", "i32", "i64", "bool")
STATIC = {
    "len": "the length of a list",
    "min": "the smallest of some numbers",
    "max": "the largest of some numbers",
    "abs": "the absolute value",
    "round": "the nearest whole number",
    "floor": "the largest whole number up to x",
    "ceil": "the smallest whole number from x on",
    "range": "a list of whole numbers",
    "sqrt": "the square root",
    "exp": "e to the power of x",
    "log": "the natural logarithm",
}
