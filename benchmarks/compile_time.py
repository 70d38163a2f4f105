"""How long the compiler takes, from a spec to the text of all kernels, stage by stage.

    python benchmarks/compile_time.py [--quick] [--out FILE]

Every row is a process of its own with everything imported: the spec is read, built into graphs,
differentiated, planned and printed, for all entries (training, evaluation, inference, gradients
alone, the update alone, the probe).  Seconds are those of the processor, of the fastest of some
runs.  `texts` are kernels with different texts; equal layers share theirs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import networkx  # the compiler imports it when it is first needed

import weft
from weft.compiler.build import elaborate
from weft.compiler.compile import compile_for, lower
from weft.runtime.machine import cpu

EXAMPLES = Path(__file__).parents[1] / "examples"
STAGES = ("read", "build", "differentiate", "plan and print")
RUNS, QUICK_RUNS = 5, 2

IMAGES = """
train {
  steps = 1
  data image: f32[B, 3, 224, 224], label: i32[B] = npz("none.npz", batch=32)
  step main updates resnet {
    optimizer = sgd(lr=0.1, momentum=0.9)
    loss = image -> resnet -> cross_entropy(label)
  }
}
"""

WORDS = """
train {
  steps = 1
  data tokens: i32[B, 1024], targets: i32[B, 1024] = npz("none.npz", batch=8)
  step main updates gpt2 {
    optimizer = adamw(lr=6e-4)
    loss = tokens -> gpt2 -> cross_entropy(targets)
  }
}
"""

CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "ResNet-50": ("resnet/resnet.weft", IMAGES, {"variant": "resnet50"}),
    "GPT-2, 12 layers": ("gpt2/gpt2.weft", WORDS, {}),
    "GPT-2, 24 layers": ("gpt2/gpt2.weft", WORDS, {"params": {"depth": 24}}),
    "GPT-2, 48 layers": ("gpt2/gpt2.weft", WORDS, {"params": {"depth": 48}}),
}
TARGETS = ("cpu", "cuda:90")


def measured(case: str, target: str) -> dict[str, Any]:
    """Processor seconds of each stage, and what came out, of one run in this process."""
    assert networkx
    path, train, options = CASES[case]
    text = (EXAMPLES / path).read_text().partition("\ntrain {")[0] + train
    times = [time.process_time()]
    spec = weft.load_text(text, path, **options)
    times.append(time.process_time())
    program = elaborate(spec)
    times.append(time.process_time())
    lowered = lower(program, native=target == "cpu")
    times.append(time.process_time())
    artifact = compile_for(lowered, target)
    times.append(time.process_time())
    step = lowered.entry("train", "main").graph
    return {
        "nodes": len(step) if step else 0,
        "kernels": sum(k.entry == "train_main" for k in artifact.kernels),
        "texts": len({k.name for k in artifact.kernels if k.entry == "train_main"}),
        "seconds": [after - before for before, after in pairwise(times)],
    }


def row(case: str, target: str, runs: int) -> str:
    """A line of the table: the fastest of some processes."""
    found = []
    for _ in range(runs):
        done = subprocess.run(
            [sys.executable, __file__, "--case", case, target],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        found.append(json.loads(done.stdout))
    best = min(found, key=lambda one: sum(one["seconds"]))
    cells = [case, target, best["nodes"], best["kernels"], best["texts"]]
    seconds = [f"{s:.2f}" for s in (*best["seconds"], sum(best["seconds"]))]
    return "| " + " | ".join(map(str, [*cells, *seconds])) + " |"


def report(quick: bool) -> str:
    """The whole table."""
    load = os.getloadavg()[0]
    head = f"{cpu().model}, Python {platform.python_version()}, load before the run {load:.1f}"
    columns = ["spec", "target", "nodes", "kernels", "texts", *STAGES, "together"]
    lines = ["# Compile time", "", f"{head}; seconds of one processor.", ""]
    lines += ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    for case in list(CASES)[: 2 if quick else None]:
        lines += [row(case, target, QUICK_RUNS if quick else RUNS) for target in TARGETS]
    return "\n".join(lines) + "\n"


def main() -> None:
    """One measurement for `--case`, else the report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="two networks, fewer runs")
    parser.add_argument("--out", type=Path, help="write the report to this file too")
    parser.add_argument("--case", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        print(json.dumps(measured(*arguments.case)))
        return
    text = report(arguments.quick)
    print(text)
    if arguments.out:
        arguments.out.write_text(text)


if __name__ == "__main__":
    main()
