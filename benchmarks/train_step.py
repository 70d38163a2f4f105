"""The CPU training step of three networks against torch eager and torch.compile, in one run.

    python benchmarks/train_step.py [--quick] [--out FILE]

What is timed is the whole call from Python: `engine.train` here; forward, backward and fused AdamW
there.  The contenders take turns, a few milliseconds each; every turn gives a median and every
round a ratio of the better of the two torches to weft.  Medians of these are printed with their
10 and 90 % quantiles.

weft runs twice: as it is, choosing its number of threads while it runs, and with all cores, as
torch does.  On an idle machine both are the same; beside other work the first often takes one
thread, which pays off in the mean that a user feels but not in the median that is printed here.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from processes import GPT2, check_seconds, first_step, memory
from rates import Rates, rates, torch_gemm_rate
from torch import nn

import weft
from weft.runtime.initialise import fill_parameters
from weft.runtime.machine import cpu
from weft.runtime.native import compiler
from weft.runtime.native_engine import NativeEngine

ROUNDS, TURN, WARM = 60, 0.004, 0.15  # rounds; seconds of a turn, and of warming up
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
    y = x -> mlp
    loss = {loss}(y, target)
  }}
}}
"""


@dataclass(frozen=True)
class Case:
    """One network, and how many times faster than torch it is to be."""

    widths: tuple[int, ...]
    activation: str
    batch: int
    loss: str
    reach: float

    @property
    def name(self) -> str:
        return f"{'-'.join(map(str, self.widths))}, batch {self.batch}"

    @property
    def classes(self) -> bool:
        return self.loss == "cross_entropy"

    @property
    def spec(self) -> str:
        target = "i32[B]" if self.classes else f"f32[B, {self.widths[-1]}]"
        layers = f" -> {self.activation} -> ".join(f"linear({w})" for w in self.widths[1:])
        inputs, batch, loss = self.widths[0], self.batch, self.loss
        return SPEC.format(inputs=inputs, layers=layers, target=target, batch=batch, loss=loss)

    @property
    def multiplications(self) -> int:
        """Of forward, weight gradients and input gradients (none for the first layer's input)."""
        pairs = [a * b for a, b in zip(self.widths, self.widths[1:], strict=False)]
        return self.batch * (3 * sum(pairs) - pairs[0])

    @property
    def tanhs(self) -> int:
        return self.batch * sum(self.widths[1:-1]) if self.activation == "tanh" else 0

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(0)
        x = rng.normal(size=(self.batch, self.widths[0])).astype(np.float32)
        if self.classes:
            return x, rng.integers(0, self.widths[-1], self.batch).astype(np.int32)
        return x, rng.normal(size=(self.batch, self.widths[-1])).astype(np.float32)


CASES = (
    Case((2, 20, 20, 1), "tanh", 2601, "mse", 10.0),
    Case((784, 120, 10), "relu", 64, "cross_entropy", 4.0),
    Case((64, 128, 10), "relu", 64, "cross_entropy", 10.0),
)


# ---- contenders ----------------------------------------------------------------------------------


def weft_step(engine: NativeEngine, fields: Mapping[str, np.ndarray]) -> Callable[[], Any]:
    """One call of the engine."""
    fill_parameters(engine.artifact, engine.parameters, 0)
    index = iter(range(10**9))

    def step() -> None:
        engine.train("main", fields, rate=1e-3, index=next(index), seed=0)

    return step


def torch_step(case: Case, x: np.ndarray, target: np.ndarray, compiled: bool) -> Callable[[], Any]:
    """Forward, backward and fused AdamW; `compiled`: forward and loss, and with them the backward
    pass, by torch.compile.
    """
    layers: list[nn.Module] = []
    for a, b in zip(case.widths, case.widths[1:], strict=False):
        layers += [nn.Linear(a, b), nn.Tanh() if case.activation == "tanh" else nn.ReLU()]
    net = nn.Sequential(*layers[:-1])
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, fused=True)
    criterion = nn.functional.cross_entropy if case.classes else nn.functional.mse_loss
    given, wanted = torch.tensor(x), torch.tensor(target)
    wanted = wanted.long() if case.classes else wanted

    def loss() -> torch.Tensor:
        return criterion(net(given), wanted)

    run = torch.compile(loss) if compiled else loss

    def step() -> None:
        optimizer.zero_grad()
        run().backward()
        optimizer.step()

    return step


def take_turns(steps: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, np.ndarray]:
    """Microseconds: the median of every turn of every contender."""
    calls: dict[str, int] = {}
    for name, step in steps.items():
        start, count = time.perf_counter(), 0
        while time.perf_counter() < start + WARM:
            step()
            count += 1
        calls[name] = max(5, int(count * TURN / WARM))
    found: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            times = []
            for _ in range(calls[name]):
                start = time.perf_counter()
                step()
                times.append(time.perf_counter() - start)
            found[name].append(float(np.median(times)) * 1e6)
    return {name: np.array(times) for name, times in found.items()}


# ---- the report ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """One case, measured.  `first`: seconds of the first call of torch.compile."""

    case: Case
    times: Mapping[str, np.ndarray]
    first: float
    floor: float
    traffic: Mapping[str, Any]

    def ratio(self, ours: str) -> np.ndarray:
        """The better of the two torches to ours, round by round."""
        theirs = [self.times[name] for name in ("eager", "compile") if name in self.times]
        return np.min(theirs, axis=0) / self.times[ours]

    def row(self) -> str:
        cells = [self.case.name, *(spread(self.times[n], 1) for n in ("weft", "weft all"))]
        cells.append(spread(self.times["eager"], 0))
        cells.append(spread(self.times["compile"], 0) if "compile" in self.times else "–")
        cells += [f"{spread(self.ratio(name), 1)}" for name in ("weft", "weft all")]
        cells += [f"{self.case.reach:.0f}", f"{self.floor:.0f}"]
        cells.append(f"{self.traffic['traffic_ratio']:.3f}")
        return f"| {' | '.join(cells)} |"


def spread(values: np.ndarray, digits: int) -> str:
    low, middle, high = np.quantile(values, [0.1, 0.5, 0.9])
    return f"{middle:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


def floor_of(case: Case, traffic: Mapping[str, Any], measured: Rates) -> float:
    """Microseconds below which no step can be on all threads: multiply-adds at the measured peak,
    tanh, and the bytes of kernels and update at the speed of a copy in cache.
    """
    bytes_ = traffic["kernel_bytes"] + traffic["update_bytes"]
    products = 2 * case.multiplications / measured.peak / 1e3
    tanh = case.tanhs * measured.tanh * 1e6 / measured.threads
    return products + tanh + bytes_ / (measured.copy * measured.threads) * 1e6


def run_case(case: Case, rounds: int, measured: Rates, *, compiled: bool) -> Outcome:
    """Measure one network."""
    artifact = weft.compile(weft.load_text(case.spec, "mlp.weft"), target="cpu").artifact
    x, target = case.data()
    fields = {"x": x, "target": target}
    steps = {
        "weft": weft_step(NativeEngine(artifact), fields),
        "weft all": weft_step(NativeEngine(artifact, threads=measured.threads), fields),
        "eager": torch_step(case, x, target, compiled=False),
    }
    first = float("nan")
    if compiled:
        steps["compile"] = torch_step(case, x, target, compiled=True)
        start = time.perf_counter()
        steps["compile"]()
        first = time.perf_counter() - start
    times = take_turns(steps, rounds)
    traffic = artifact.traffic["main"]
    return Outcome(case, times, first, floor_of(case, traffic, measured), traffic)


def report(quick: bool) -> str:
    """The whole report as Markdown."""
    info, measured = cpu(), rates()
    torch.set_num_threads(measured.threads)
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
    outcomes = [
        run_case(case, ROUNDS // 4 if quick else ROUNDS, measured, compiled=not quick)
        for case in CASES
    ]
    predicted, grown = memory()
    lines = [
        "# CPU training step",
        "",
        f"{info.model}, {info.cores} cores; Python {platform.python_version()}, NumPy "
        f"{np.__version__}, torch {torch.__version__} on {torch.get_num_threads()} threads, "
        f"{compiler().version}; {time.strftime('%Y-%m-%d')}, load before the run {load}.",
        "",
        f"Multiply-adds {measured.peak_one:.0f} GFLOP/s on one thread, {measured.peak:.0f} on "
        f"{measured.threads}; torch.mm, 1024 cubed, {torch_gemm_rate():.0f} GFLOP/s; tanh "
        f"{measured.tanh * 1e9:.2f} ns on one thread; "
        f"copy in cache {measured.copy / 1e9:.0f} GB/s.",
        "",
        "Microseconds a step: median (10–90 %) of turns of 4 ms.  The ratios are those of the",
        "better of torch eager with fused AdamW and torch.compile to weft, round by round.",
        f"`weft` chooses its threads itself, `weft {measured.threads}` uses all, as torch does.",
        "",
        f"| network | weft | weft {measured.threads} | torch eager | torch.compile | ratio "
        f"| ratio {measured.threads} | to reach | floor | traffic |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *(outcome.row() for outcome in outcomes),
        "",
        f"- First training step of the digits example from the start of the process, empty cache: "
        f"{first_step():.2f} s (to reach: 3).",
        *_first_calls(outcomes),
        f"- `weft check` of the digits example, whole process: {check_seconds():.2f} s (to reach: "
        f"0.4); of GPT-2 XL: {check_seconds(GPT2, '--variant', 'xl'):.2f} s (to reach: 1).",
        f"- Memory of a step of an autoencoder 784-1000-500-250-30: predicted {predicted / 1e6:.2f}"
        f" MB, the process grew by {grown / 1e6:.2f} MB: {grown / predicted - 1:+.1%} (to reach: "
        "5 %).",
    ]
    return "\n".join(lines) + "\n"


def _first_calls(outcomes: list[Outcome]) -> list[str]:
    calls = [f"{outcome.first:.1f}" for outcome in outcomes if "compile" in outcome.times]
    told = f"- First calls of torch.compile, in a process that runs already: {', '.join(calls)} s."
    return [told] if calls else []


def command(description: str | None, report: Callable[[bool], str]) -> None:
    """Print a report, and write it where `--out` says; it is told whether to be `--quick`."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds, without torch.compile")
    parser.add_argument("--out", type=Path, help="write the report to this file too")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache  # so that its first calls are first calls
        text = report(arguments.quick)
    print(text)
    if arguments.out:
        arguments.out.write_text(text)


if __name__ == "__main__":
    command(__doc__, report)
