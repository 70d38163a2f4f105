"""The CPU training step of whole networks against torch, in one run.

    python benchmarks/networks.py [--quick] [--out FILE]

LeNet (20-50-500), a ResNet-20 for 32 x 32 images, a small GPT (4 layers, width 128, 128 tokens)
and a language model of two LSTM layers (200 units, 35 steps).  Contenders: weft on all cores, torch
eager, torch eager with channels last (images), and torch.compile.  They take turns; the ratio is
that of the best torch to weft, round by round.

Both sides as on a processor that has AVX2 and no more:

    CC="cc -march=x86-64-v3" ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 \\
        MKL_ENABLE_INSTRUCTIONS=AVX2 python benchmarks/networks.py
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from train_step import command, spread, take_turns, weft_step

import weft
from weft.runtime.machine import cpu
from weft.runtime.native import compiler
from weft.runtime.native_engine import NativeEngine

ROUNDS = 20

TRAIN = """
train {{
  steps = 5
  data {fields} = npz("unused.npz", batch={batch})
  step main updates net_of {{
    optimizer = {optimizer}
    loss = {loss}
  }}
}}
"""

LENET = """
net net_of {
  in x: f32[B, 1, 28, 28]
  x -> conv(20, 5, pad=0) -> max_pool(2) -> conv(50, 5, pad=0) -> max_pool(2) -> flatten
    -> linear(500) -> relu -> linear(10) as logits
}
"""

RESIDUAL = """
default conv(bias=false)

block Basic(c, stride=1) {
  in x: f32[B, C, H, W]
  x -> residual {
        conv(c, 3, stride=stride) -> batch_norm -> relu -> conv(c, 3) -> batch_norm
      | if C != c or stride != 1 { conv(c, 1, stride=stride) -> batch_norm }
    } -> relu
}
"""

RESNET = (
    RESIDUAL
    + """
net net_of {
  in x: f32[B, 3, 32, 32]
  x -> conv(16, 3) -> batch_norm -> relu -> repeat 3 { Basic(16) }
    -> Basic(32, 2) -> repeat 2 { Basic(32) } -> Basic(64, 2) -> repeat 2 { Basic(64) }
    -> global_avg_pool -> linear(10) as logits
}
"""
)

GPT = """
param d=128, heads=4, depth=4, vocab=256, context=128

block Block {
  residual { layer_norm -> attention(heads, causal=true) }
  -> residual { layer_norm -> linear(4*d) -> gelu(approximate=tanh) -> linear(d) }
}

net net_of {
  in x: i32[B, T]
  let wte = embedding(vocab, d, weight_init=normal(std=0.02))
  weight wpe: f32[context, d] = normal(std=0.02)
  (wte(x) + wpe[:T]) -> repeat depth { Block } as body -> layer_norm
    -> linear(vocab, bias=false, weight=wte.weight) as logits
}
"""

LSTM = """
net net_of {
  in x: i32[B, T]
  x -> embedding(256, 200) -> repeat 2 { lstm(200) } -> linear(256) as logits
}
"""


# ---- PyTorch's side --------------------------------------------------------------------------


def lenet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 20, 5), nn.MaxPool2d(2), nn.Conv2d(20, 50, 5), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(800, 500), nn.ReLU(), nn.Linear(500, 10),
    )  # fmt: skip


class Basic(nn.Module):
    """Two convolutions with batch norm beside a shortcut."""

    def __init__(self, c: int, out: int, stride: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(c, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU(),
            nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out),
        )  # fmt: skip
        self.side = nn.Sequential()
        if c != out or stride != 1:
            self.side = nn.Sequential(nn.Conv2d(c, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.main(x) + self.side(x))


def resnet() -> nn.Module:
    widths = [(16, 16, 1)] * 3 + [(16, 32, 2), (32, 32, 1), (32, 32, 1)]
    widths += [(32, 64, 2), (64, 64, 1), (64, 64, 1)]
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        *(Basic(*w) for w in widths), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip


class Attention(nn.Module):
    """A pre-norm transformer block."""

    causal = True

    def __init__(self, d: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = dropout
        self.heads, self.norm, self.norm_2 = heads, nn.LayerNorm(d), nn.LayerNorm(d)
        self.query, self.out = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.wide, self.narrow = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, t, d = x.shape
        split = self.query(self.norm(x)).view(b, t, 3, self.heads, d // self.heads)
        q, k, v = split.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(
            q, k, v, is_causal=self.causal, dropout_p=self.dropout
        )
        x = x + self.dropped(self.out(mixed.transpose(1, 2).reshape(b, t, d)))
        hidden = F.gelu(self.wide(self.norm_2(x)), approximate="tanh")
        return x + self.dropped(self.narrow(hidden))

    def dropped(self, x: torch.Tensor) -> torch.Tensor:
        return F.dropout(x, self.dropout) if self.dropout else x


class Gpt(nn.Module):
    """Blocks of four heads between a tied embedding."""

    def __init__(
        self, depth: int = 4, d: int = 128, context: int = 128, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.table, self.place = nn.Embedding(256, d), nn.Parameter(torch.zeros(context, d))
        blocks = [Attention(d, 4, dropout) for _ in range(depth)]
        self.body = nn.Sequential(*[nn.Dropout(dropout)] * bool(dropout), *blocks)
        self.norm = nn.LayerNorm(d)
        nn.init.normal_(self.table.weight, std=0.02)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(self.norm(self.body(self.table(x) + self.place)), self.table.weight)


class Lstm(nn.Module):
    """A language model: embedding, two layers over time, logits."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(256, 200), nn.Linear(200, 256)
        self.body = nn.LSTM(200, 200, num_layers=2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(self.table(x))[0])


# ---- the cases -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """One network on both sides, and how many times faster than torch it is to be.

    `shape`: of the batch; two dimensions are tokens.
    """

    name: str
    spec: str
    build: Callable[[], nn.Module]
    shape: tuple[int, ...]
    reach: float

    @property
    def text(self) -> bool:
        return len(self.shape) == 2

    @property
    def program(self) -> str:
        dims = ", ".join(map(str, self.shape[1:]))
        kind, wanted = ("i32", f", {dims}") if self.text else ("f32", "")
        return self.spec + TRAIN.format(
            fields=f"x: {kind}[B, {dims}], target: i32[B{wanted}]",
            batch=self.shape[0],
            optimizer="adamw(lr=1e-3)" if self.text else "sgd(lr=0.01, momentum=0.9)",
            loss="net_of(x) -> cross_entropy(target)",
        )

    def fields(self) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(0)
        if self.text:
            x, t = rng.integers(0, 256, (2, *self.shape)).astype(np.int32)
            return {"x": x, "target": t}
        x = rng.normal(size=self.shape).astype(np.float32)
        return {"x": x, "target": rng.integers(0, 10, self.shape[0]).astype(np.int32)}


CASES = (
    Case("LeNet 20-50-500, batch 64", LENET, lenet, (64, 1, 28, 28), 3.0),
    Case("ResNet-20, 32 x 32, batch 64", RESNET, resnet, (64, 3, 32, 32), 1.5),
    Case("GPT 4 x 128, 128 tokens, batch 8", GPT, Gpt, (8, 128), 2.2),
    Case("LSTM 2 x 200, 35 tokens, batch 20", LSTM, Lstm, (20, 35), 2.0),
)


def torch_step(case: Case, how: str) -> Callable[[], Any]:
    """Forward, backward and update; `how`: eager, channels last, or compile."""
    torch.manual_seed(0)
    net, fields = case.build(), case.fields()
    x, target = torch.tensor(fields["x"]), torch.tensor(fields["target"]).long()
    if how == "channels last":
        net, x = net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    own = list(net.parameters())
    optimizer: torch.optim.Optimizer = torch.optim.SGD(own, lr=0.01, momentum=0.9)
    if case.text:
        optimizer = torch.optim.AdamW(own, lr=1e-3, fused=True)

    def loss() -> torch.Tensor:
        return F.cross_entropy(net(x).flatten(0, -2), target.flatten())

    run = torch.compile(loss) if how == "compile" else loss

    def step() -> None:
        optimizer.zero_grad()
        run().backward()
        optimizer.step()

    return step


# ---- the report ------------------------------------------------------------------------------


def run_case(case: Case, rounds: int, *, compiled: bool) -> str:
    """One row of the table."""
    start = time.perf_counter()
    artifact = weft.compile(weft.load_text(case.program, "net.weft"), target="cpu").artifact
    planned = time.perf_counter() - start
    steps = {"weft": weft_step(NativeEngine(artifact, threads=os.cpu_count()), case.fields())}
    start = time.perf_counter()
    steps["weft"]()
    built = time.perf_counter() - start
    hows = ["eager"] + ["channels last"] * (len(case.shape) == 4) + ["compile"] * compiled
    steps |= {how: torch_step(case, how) for how in hows}
    first = "–"
    if compiled:
        start = time.perf_counter()
        steps["compile"]()
        first = f"{time.perf_counter() - start:.1f}"
    times = take_turns(steps, rounds)
    best = np.min([times[how] for how in hows], axis=0)
    cells = [case.name, spread(times["weft"] / 1e3, 2)]
    for how in ("eager", "channels last", "compile"):
        cells.append(spread(times[how] / 1e3, 1) if how in times else "–")
    cells += [spread(best / times["weft"], 2), f"{case.reach:g}", f"{planned:.1f} + {built:.1f}"]
    cells += [first, f"{artifact.traffic['main']['traffic_ratio']:.2f}"]
    return f"| {' | '.join(cells)} |"


def report(quick: bool, cases: Sequence[Case] = CASES) -> str:
    """The whole report as Markdown."""
    info = cpu()
    torch.set_num_threads(os.cpu_count() or 1)
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
    rounds = ROUNDS // 4 if quick else ROUNDS
    rows = [run_case(case, rounds, compiled=not quick) for case in cases]
    lines = [
        "# CPU training step of whole networks",
        "",
        f"{info.model}, {info.cores} cores; Python {platform.python_version()}, NumPy "
        f"{np.__version__}, torch {torch.__version__} ({torch.backends.cpu.get_cpu_capability()}) "
        f"on {torch.get_num_threads()} threads, "
        f"{' '.join((compiler().version, *compiler().command[1:]))}; "
        f"{time.strftime('%Y-%m-%d')}, load before the run {load}.",
        "",
        "Milliseconds a step: median (10–90 %).  The ratio is that of the best torch to weft,",
        "round by round.  `compile`: seconds of weft's planning and of the C compiler, and of",
        "the first call of torch.compile.",
        "",
        "| network | weft | torch eager | channels last | torch.compile | ratio | to reach "
        "| weft compile | torch.compile | traffic |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *rows,
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    command(__doc__, report)
