"""`make bench`: all benchmarks, one after the other; results land beside this file."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from weft.runtime.machine import cpu

HERE = Path(__file__).parent


def machine() -> str:
    """A name for this machine's results, such as `amd-epyc-2`."""
    info = cpu()
    words = re.sub(r"\((r|tm)\)|@.*|\b(cpu|processor|\d+-core)\b", "", info.model.lower())
    return "-".join([*re.findall(r"[a-z0-9]+", words), str(info.cores)])


def main() -> None:
    """Run every script, with the options given (`--quick`); their tables are kept."""
    options = sys.argv[1:]
    results = HERE / "results"
    results.mkdir(exist_ok=True)
    subprocess.run([sys.executable, HERE / "gemm.py"], check=True)
    for name in ("train_step", "networks", "breadth", "sampling", "compile_time"):
        table = results / f"{machine()}-{name}.md"
        script = HERE / f"{name}.py"
        subprocess.run([sys.executable, script, *options, "--out", table], check=True)


if __name__ == "__main__":
    main()
