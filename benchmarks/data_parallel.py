"""A CPU training step by one process with all cores, and by several that share them.

    torchrun --standalone --nproc-per-node 2 benchmarks/data_parallel.py [--rounds N]

LeNet-5 of the examples, the small GPT and the ResNet-20 of `networks.py`.  They take turns: while
one process works alone the others wait for it.  Printed are the least times of a step.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from networks import GPT, RESNET, TRAIN

import weft
from weft.runtime.data.shard import Portion
from weft.runtime.exchange import Exchanging
from weft.runtime.joint import Joint
from weft.runtime.machine import cpu
from weft.runtime.native_engine import NativeEngine
from weft.runtime.processes import Processes, launched

LENET5 = Path(__file__).parents[1] / "examples" / "lenet5" / "lenet5.weft"
STEPS = 5


def training(net: str, fields: str, batch: int, loss: str) -> Any:
    """A network of `networks.py` with its training."""
    text = net + TRAIN.format(fields=fields, batch=batch, optimizer="adamw(lr=1e-3)", loss=loss)
    return weft.load_text(text, "net.weft")


def batch_of(program: Any, size: int) -> dict[str, Any]:
    """A batch of zeros and of numbers in between."""
    random, found = np.random.default_rng(0), {}
    for port in program.artifact.entry("gradient", "main").inputs:
        shape = [size if extent == "B" else extent for extent in port.shape]
        whole = port.dtype == "i32"
        found[port.name] = (
            random.integers(0, 10, shape, np.int32) if whole else random.random(shape, np.float32)
        )
    return found


def least(step: Callable[[int], object], processes: Processes) -> float:
    """Seconds of the fastest of some steps."""
    times = []
    for index in range(STEPS):
        processes.agree()
        begin = time.perf_counter()
        step(index)
        times.append(time.perf_counter() - begin)
    return min(times)


def compare(name: str, spec: Any, size: int, rounds: int, processes: Processes) -> None:
    """Print the times of one network."""
    program = weft.compile(spec, target="cpu")
    whole = batch_of(program, size)
    rows = Portion(processes.rank, processes.size).rows(size)
    part = {field: np.ascontiguousarray(array[rows]) for field, array in whole.items()}
    share = max(1, cpu().cores // processes.size)
    alone = NativeEngine(program.artifact, threads=cpu().cores)
    joint = Joint(NativeEngine(program.artifact, threads=share), processes)
    exchanging = Joint(Exchanging(program.lowered, processes), processes, whole=True)
    settings = {"rate": 1e-4, "seed": 0}
    found: dict[str, list[float]] = {"alone": [], "together": [], "sync": []}

    def first(index: int) -> None:
        if not processes.rank:
            alone.train("main", whole, index=index, **settings)

    for _ in range(rounds):
        found["alone"].append(least(first, processes))
        for kind, engine in (("together", joint), ("sync", exchanging)):

            def step(index: int, engine: Joint = engine) -> None:
                engine.train("main", part, index=index, **settings)

            found[kind].append(least(step, processes))
    if not processes.rank:
        one, several, sync = (1e3 * min(times) for times in found.values())
        print(
            f"{name}: one process of {cpu().cores} threads {one:.2f} ms, "
            f"{processes.size} of {share} {several:.2f} ms, with --sync {sync:.2f} ms",
            flush=True,
        )


def main() -> None:
    """Compare both networks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    with launched() as processes:
        processes.connect("cpu")
        if not processes.rank:
            print(f"load before {os.getloadavg()[0]:.1f}")
        compare("LeNet-5, batch 64", str(LENET5), 64, rounds, processes)
        gpt = training(GPT, "x: i32[B, 128], y: i32[B, 128]", 8, "x -> net_of -> cross_entropy(y)")
        compare("GPT 4 x 128, 128 tokens, batch 8", gpt, 8, rounds, processes)
        fields = "x: f32[B, 3, 32, 32], y: i32[B]"
        residual = training(RESNET, fields, 64, "x -> net_of -> cross_entropy(y)")
        compare("ResNet-20, 32 x 32, batch 64", residual, 64, rounds, processes)


if __name__ == "__main__":
    main()
