"""`make bench`: all benchmarks, one after the other; results land beside this file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main() -> None:
    """Run every script; the training step's table is kept."""
    results = HERE / "results"
    results.mkdir(exist_ok=True)
    subprocess.run([sys.executable, HERE / "gemm.py"], check=True)
    table = results / "cpu-train_step.md"
    subprocess.run([sys.executable, HERE / "train_step.py", "--out", table], check=True)


if __name__ == "__main__":
    main()
