"""The CPU training step of three networks against torch eager and torch.compile, in one run.

    python benchmarks/train_step.py [--quick] [--out FILE]

Every round times each contender in turn; medians and the 10 and 90 % quantiles are printed, and
the ratio of the better of eager (fused AdamW) and torch.compile to weft, round by round.  Beside
it: the physical floor, the traffic of the plan, its prediction of memory, and the time to the
first step.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch._inductor import config as inductor

import weft
from weft.compiler.artifact import evaluate
from weft.runtime.machine import cpu

ROUNDS, WARM = 600, 60
SPEC = """
net mlp {{
  in x: f32[B, {inputs}]
  x -> {layers} as y
}}

train {{
  steps = 5
  data x: f32[B, {inputs}], target: {target} = npz("unused.npz", batch={batch})
  step main updates mlp {{
    optimizer = adamw(lr=1e-3)
    loss = x -> mlp -> {loss}(target)
  }}
}}
"""


@dataclass(frozen=True)
class Case:
    """One network; `tanhs` counts tanh evaluations of one sample."""

    name: str
    widths: tuple[int, ...]
    activation: str
    batch: int
    loss: str
    reach: float

    @property
    def spec(self) -> str:
        layers = [f"linear({w})" for w in self.widths[1:]]
        classes = self.loss == "cross_entropy"
        return SPEC.format(
            inputs=self.widths[0],
            layers=f" -> {self.activation} -> ".join(layers),
            target="i32[B]" if classes else f"f32[B, {self.widths[-1]}]",
            batch=self.batch,
            loss=self.loss,
        )

    @property
    def multiplications(self) -> int:
        """Of forward, weight gradients and input gradients (none for the first layer's input)."""
        pairs = [a * b for a, b in zip(self.widths, self.widths[1:], strict=False)]
        return self.batch * (3 * sum(pairs) - pairs[0])

    @property
    def tanhs(self) -> int:
        return self.batch * sum(self.widths[1:-1]) if self.activation == "tanh" else 0


CASES = (
    Case("MLP 2-20-20-1, batch 2601", (2, 20, 20, 1), "tanh", 2601, "mse", 10.0),
    Case("MLP 784-120-10, batch 64", (784, 120, 10), "relu", 64, "cross_entropy", 4.0),
    Case("MLP 64-128-10, batch 64", (64, 128, 10), "relu", 64, "cross_entropy", 10.0),
)


def twin(case: Case) -> nn.Sequential:
    """The same network in PyTorch."""
    layers: list[nn.Module] = []
    for position, (a, b) in enumerate(zip(case.widths, case.widths[1:], strict=False)):
        layers += [nn.Linear(a, b)]
        if position < len(case.widths) - 2:
            layers += [nn.Tanh() if case.activation == "tanh" else nn.ReLU()]
    return nn.Sequential(*layers)


def torch_step(
    case: Case, x: torch.Tensor, target: torch.Tensor, compiled: bool
) -> Callable[[], Any]:
    """Forward, backward and fused AdamW; `compiled`: forward and loss by torch.compile."""
    net = twin(case)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, fused=True)
    criterion = nn.functional.mse_loss if case.loss == "mse" else nn.functional.cross_entropy

    def loss() -> torch.Tensor:
        return criterion(net(x), target)

    run = torch.compile(loss) if compiled else loss

    def step() -> None:
        optimizer.zero_grad()
        run().backward()
        optimizer.step()

    return step


def measure(steps: dict[str, Callable[[], Any]], rounds: int) -> dict[str, np.ndarray]:
    """Microseconds of every contender, taken in turn."""
    found: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        for _ in range(WARM):
            step()
    for _ in range(rounds):
        for name, step in steps.items():
            for _ in range(3):
                start = time.perf_counter()
                step()
            found[name].append((time.perf_counter() - start) * 1e6)
    return {name: np.array(times) for name, times in found.items()}


def gemm_rate() -> float:
    """torch.mm, GFLOP/s, 512 cubed: what the library does with this processor."""
    a, b = torch.randn(512, 512), torch.randn(512, 512)
    return _rate(lambda: torch.mm(a, b))


def own_gemm_rate() -> float:
    """Our product, GFLOP/s, 512 cubed, all threads: the floor is computed with it."""
    text = "net n { in a: f32[B, 512], c: f32[512, 512]\n  out matmul(a, c) }\n"
    engine = weft.compile(weft.load_text(text, "gemm.weft"), target="cpu").engine
    rng = np.random.default_rng(0)
    inputs = {"a": rng.normal(size=(512, 512)).astype(np.float32)}
    inputs["c"] = rng.normal(size=(512, 512)).astype(np.float32)
    return _rate(lambda: engine.forward("n", inputs))


def _rate(product: Callable[[], Any]) -> float:
    """GFLOP/s of a product, 512 cubed, undisturbed: the tenth fastest of a hundred calls."""
    times = []
    for _ in range(200):
        start = time.perf_counter()
        product()
        times.append(time.perf_counter() - start)
    return float(2 * 512**3 / np.quantile(times[100:], 0.1) / 1e9)


def floor_of(case: Case, rate: float, cores: int) -> float:
    """Microseconds: products at `rate` GFLOP/s (all threads), tanh at 0.16 ns on every core."""
    return 2 * case.multiplications / rate / 1e3 + case.tanhs * 0.16e-3 / cores


def memory(program: Any) -> tuple[int, int]:
    """Bytes of one step: predicted by the plan from its buffers, and allocated by the engine."""
    artifact, engine = program.artifact, program.engine
    entry = artifact.entry("train", "main")
    sizes = {**artifact.sizes, "threads": engine.threads}
    predicted = 4 * artifact.length * (2 + len(artifact.states)) + evaluate(entry.workspace, sizes)
    arenas = [engine.parameters, engine.gradients, *engine.states.values()]
    held = sum(a.nbytes for a in arenas) + engine._entry("train", "main").workspace.nbytes
    return int(predicted), int(held)


FIRST = """
import sys, time
import weft
from pathlib import Path
program = weft.compile(sys.argv[1], target="cpu")
import numpy as np
rng = np.random.default_rng(0)
case = {kind!r}
x = rng.normal(size=({batch}, {inputs})).astype(np.float32)
t = rng.integers(0, 10, {batch}).astype(np.int32)
program.engine.train("main", {{"x": x, "target": t}}, rate=1e-3, index=0, seed=0)
"""


def first_step(case: Case) -> float:
    """Seconds from starting a process to the end of its first step, with an empty cache."""
    with tempfile.TemporaryDirectory() as folder:
        spec = Path(folder) / "net.weft"
        spec.write_text(case.spec)
        code = FIRST.format(kind=case.name, batch=case.batch, inputs=case.widths[0])
        environment = {**os.environ, "XDG_CACHE_HOME": folder}
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code, str(spec)], env=environment, check=True)
        return time.perf_counter() - start


def check_seconds(path: Path) -> float:
    """Whole process of `weft check`, the median of five."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        command = [sys.executable, "-m", "weft.cli", "check", str(path)]
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def quantiles(times: np.ndarray) -> str:
    low, middle, high = np.quantile(times, [0.1, 0.5, 0.9])
    return f"{middle:7.1f} ({low:.1f}–{high:.1f})"


def run_case(case: Case, rounds: int, with_compile: bool, rate: float) -> tuple[str, float]:
    """One row of the table, and the first call of torch.compile in seconds."""
    program = weft.compile(weft.load_text(case.spec, "bench.weft"), target="cpu")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(case.batch, case.widths[0])).astype(np.float32)
    classes = case.loss == "cross_entropy"
    target = (
        rng.integers(0, case.widths[-1], case.batch).astype(np.int32)
        if classes
        else rng.normal(size=(case.batch, case.widths[-1])).astype(np.float32)
    )
    inputs, index = {"x": x, "target": target}, iter(range(10**9))
    engine = program.engine

    def ours() -> None:
        engine.train("main", inputs, rate=1e-3, index=next(index), seed=0)

    tx, tt = torch.tensor(x), torch.tensor(target)
    tt = tt.long() if classes else tt
    steps = {"weft": ours, "eager": torch_step(case, tx, tt, compiled=False)}
    first = float("nan")
    if with_compile:
        compiled = torch_step(case, tx, tt, compiled=True)
        start = time.perf_counter()
        compiled()
        first = time.perf_counter() - start
        steps["compile"] = compiled
    times = measure(steps, rounds)
    best = np.minimum(times["eager"], times["compile"]) if with_compile else times["eager"]
    ratio = float(np.median(best / times["weft"]))
    floor = floor_of(case, rate, engine.threads)
    predicted, held = memory(program)
    traffic = program.artifact.traffic["main"]["traffic_ratio"]
    cells = [
        case.name,
        quantiles(times["weft"]),
        quantiles(times["eager"]),
        quantiles(times["compile"]) if with_compile else "–",
        f"{ratio:.1f} (≥ {case.reach:.0f})",
        f"{floor:.0f}",
        f"{traffic:.3f}",
        f"{predicted / 1e6:.3f} / {held / 1e6:.3f}",
    ]
    return "| " + " | ".join(cells) + " |", first


def report(quick: bool) -> str:
    """The whole table as Markdown."""
    rounds = ROUNDS // 4 if quick else ROUNDS
    rate = own_gemm_rate()
    info = cpu()
    lines = [
        "# CPU training step",
        "",
        f"{info.model}, {info.cores} cores; Python {platform.python_version()}, torch "
        f"{torch.__version__}, NumPy {np.__version__}, {torch.get_num_threads()} torch threads; "
        f"{time.strftime('%Y-%m-%d')}.",
        f"Products, 512 cubed: torch.mm {gemm_rate():.0f} GFLOP/s, ours {rate:.0f} GFLOP/s.",
        "",
        "Microseconds a step, median (10–90 %), contenders in turn in one run. The ratio is the",
        "median over the rounds of the better of eager (fused AdamW) and torch.compile to weft.",
        "The floor is the products at our rate above and tanh at 0.16 ns.",
        "",
        "| network | weft | torch eager | torch.compile | ratio | floor | traffic ratio "
        "| memory predicted / held, MB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    firsts = []
    for case in CASES:
        row, first = run_case(case, rounds, not quick, rate)
        lines.append(row)
        firsts.append(first)
    digits = Path(__file__).parents[1] / "examples" / "digits" / "digits.weft"
    calls = ", ".join(f"{seconds:.1f}" for seconds in firsts)
    lines += [
        "",
        f"Process start to the end of the first step, empty cache: {first_step(CASES[2]):.2f} s"
        " (64-128-10).",
        *([] if quick else [f"torch.compile's first calls alone: {calls} s."]),
        f"`weft check` of the digits example, whole process: {check_seconds(digits):.2f} s.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the report, and write it where `--out` says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, without torch.compile")
    parser.add_argument("--out", type=Path, help="write the report to this file too")
    arguments = parser.parse_args()
    inductor.force_disable_caches = True  # its first call is measured
    text = report(arguments.quick)
    print(text)
    if arguments.out:
        arguments.out.write_text(text)


if __name__ == "__main__":
    main()
