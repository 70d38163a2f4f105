"""What only a process of its own can show: the first step, `weft check`, the memory of a step."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
DIGITS = ROOT / "examples" / "digits" / "digits.weft"
GPT2 = ROOT / "examples" / "gpt2" / "gpt2.weft"

FIRST_STEP = """
import sys, time
from pathlib import Path
import weft
from weft.runtime.data import load
program = weft.compile(sys.argv[1], target="cpu")
data = load(program.artifact.train["data"][0], Path(sys.argv[1]).parent)
program.engine.train("main", data.batches(0).at(0, 0), rate=1e-3, index=0, seed=0)
print(time.time())
"""

MEMORY = """
import gc, json, sys
import numpy as np
from weft.compiler.artifact import THREADS, evaluate
from weft.runtime.native_engine import NativeEngine
import weft

def resident():
    gc.collect()
    with open("/proc/self/status") as file:
        return next(1024 * int(x.split()[1]) for x in file if x.startswith("VmRSS"))

program = weft.compile(weft.load_text(sys.stdin.read(), "net.weft"), target="cpu")
artifact = program.artifact
port = artifact.entry("train", "main").inputs[0]
batch = {"x": np.zeros([evaluate(e, artifact.sizes) for e in port.shape], np.float32)}
warm = NativeEngine(artifact)                  # compiles, loads, starts the threads
warm.train("main", batch, rate=1e-3, index=0, seed=0)
before = resident()
engine = NativeEngine(artifact)
engine.train("main", batch, rate=1e-3, index=0, seed=0)
after = resident()
entry = artifact.entry("train", "main")
sizes = {**artifact.sizes, THREADS: engine.threads}
arenas = 4 * artifact.length * (2 + len(artifact.states))
print(json.dumps([arenas + evaluate(entry.workspace, sizes), after - before]))
"""

AUTOENCODER = """
net autoencoder {
  in x: f32[B, 784]
  x -> for width in [1000, 500, 250] { linear(width) -> relu } -> linear(30)
    -> for width in [250, 500, 1000] { linear(width) -> relu } -> linear(784) as y
}

train {
  steps = 1
  data x: f32[B, 784] = npz("none.npz", batch=128)
  step main updates autoencoder {
    optimizer = adam(lr=1e-3)
    loss = x -> autoencoder -> mse(x)
  }
}
"""


def first_step() -> float:
    """Seconds from the start of a process to its first training step of the digits example, with
    an empty cache: everything imported, the spec read, kernels written and compiled, data loaded.
    """
    times = []
    for _ in range(3):
        with tempfile.TemporaryDirectory() as cache:
            start = time.time()
            done = _python(FIRST_STEP, str(DIGITS), cache=cache)
            times.append(float(done) - start)
    return statistics.median(times)


def check_seconds(path: Path = DIGITS, *options: str) -> float:
    """The whole process of `weft check`, the median of seven."""
    times = []
    command = [sys.executable, "-m", "weft.cli", "check", str(path), *options]
    for _ in range(7):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def memory() -> tuple[int, int]:
    """Bytes of a step of the autoencoder: what the plan predicts, what the process grew by."""
    predicted, grown = json.loads(_python(MEMORY, stdin=AUTOENCODER))
    return predicted, grown


def _python(code: str, *arguments: str, stdin: str = "", cache: str = "") -> str:
    environment = {**os.environ, **({"XDG_CACHE_HOME": cache} if cache else {})}
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(
        command, env=environment, input=stdin, check=True, capture_output=True, text=True
    )
    return done.stdout
