"""How long it takes until a network can train: from a spec to the text of all kernels, stage by
stage, and from there to a library.

    python benchmarks/compile_time.py [--quick] [--out FILE]

Every row is a process of its own with everything imported: the spec is read, built into graphs,
differentiated, planned and printed, for all entries (training, evaluation, inference, gradients
alone, the update alone, the probe).  Seconds are those of the processor, of the fastest of some
runs.  `texts` are kernels with different texts; equal layers share theirs.  `traffic` is what the
training step moves over the least that it could (docs/compiler.md), `memory` what passes between
memory and caches.

The second table is the C compiler's: what stands in front of the first step of a training, which
needs `kernels.c`, with its shares, and nothing else.  Units are what all networks share
(`compiler/emit/c`): compiled when a machine needs them for the first time, beside the step, and
kept.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import weft
from weft.compiler.build import elaborate
from weft.compiler.compile import compile_for, lower
from weft.runtime.machine import cpu
from weft.runtime.native import build, compiler

EXAMPLES = Path(__file__).parents[1] / "examples"
STAGES = ("read", "build", "differentiate", "plan and print")
KINDS = ("processor", "clock")
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
        "traffic": [artifact.traffic["main"][f"{word}_ratio"] for word in ("traffic", "memory")],
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
    ratios = [f"{ratio:.2f}" for ratio in best["traffic"]]
    return "| " + " | ".join(map(str, [*cells, *seconds, *ratios])) + " |"


def programs() -> dict[str, str]:
    """Specs that train on a CPU, by name."""
    from breadth import CASES as MORE  # imports torch: in this process no case is measured
    from networks import CASES as NETWORKS

    found = {"digits": (EXAMPLES / "digits/digits.weft").read_text()}
    wanted = [*NETWORKS, *(case for case in MORE if case.name.startswith("dense"))]
    return found | {case.name.split(",")[0]: case.program for case in wanted}


def in_front_of_a_step(name: str, text: str, runs: int) -> str:
    """A line of the second table: the least of some builds."""
    files = weft.compile(weft.load_text(text, "net.weft"), target="cpu").artifact.files
    first, later = [], []
    for run in range(runs):
        with tempfile.TemporaryDirectory() as folder:
            first.append(_built(files, folder, f"/* {run} */"))
            later.append(_built(files, folder, f"/* {run}, again */"))
    cells = [name, f"{sum(len(files[own]) for own in _own(files)) / 1000:.0f}"]
    cells += [f"{min(seconds):.2f}" for seconds in (*zip(*later, strict=True),)]
    cells += [f"{min(seconds):.2f}" for seconds in (*zip(*first, strict=True),)]
    return "| " + " | ".join(cells) + " |"


def _own(files: Mapping[str, str]) -> list[str]:
    """What is printed for the network alone of what a training needs."""
    return [name for name in files if re.fullmatch(r"kernels(_\d+)?\.c", name)]


def _built(files: Mapping[str, str], folder: str, mark: str) -> tuple[float, float]:
    """Seconds of the processor and of the clock; `mark` makes the text another one."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    texts = {**files, **{name: files[name] + mark for name in _own(files)}}
    build(texts["kernels.c"], files=texts, cache_dir=folder)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def report(quick: bool) -> str:
    """Both tables."""
    load = os.getloadavg()[0]
    head = f"{cpu().model}, Python {platform.python_version()}, load before the run {load:.1f}"
    columns = [
        "spec",
        "target",
        "nodes",
        "kernels",
        "texts",
        *STAGES,
        "together",
        "traffic",
        "memory",
    ]
    lines = ["# Compile time", "", f"{head}; seconds of one processor.", ""]
    lines += ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    for case in list(CASES)[: 2 if quick else None]:
        lines += [row(case, target, QUICK_RUNS if quick else RUNS) for target in TARGETS]
    chosen = compiler().version
    lines += ["", f"## The C compiler in front of a first step ({chosen})", ""]
    times = [f"{kind}, {when}" for when in ("units kept", "the first time") for kind in KINDS]
    lines += [
        "| network | kB of kernels and entries | " + " | ".join(times) + " |",
        "|---" * 6 + "|",
    ]
    for name, text in programs().items():
        lines.append(in_front_of_a_step(name, text, QUICK_RUNS))
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
