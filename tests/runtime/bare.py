"""Packages run where there is no weft, and what came out compared."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from weft.runtime.checkpoint import load
from weft.runtime.metrics import read


def bare(*command: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a Python that finds no weft: neither as a package nor through an editable install."""
    hidden = "import sys; sys.modules['weft'] = None; sys.path.insert(0, sys.argv[1]); "
    run = "sys.argv = sys.argv[2:]; import runpy; runpy.run_path(sys.argv[0], run_name='__main__')"
    script = Path(str(command[0]))
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [sys.executable, "-c", hidden + run, str(script.parent), *map(str, command)],
        cwd=cwd,
        env=kept,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def same_training(ours: Path, theirs: Path) -> None:
    """The same rows of metrics, and the same tensors."""
    rows = [
        [{k: v for k, v in row.items() if k != "seconds"} for row in read(run / "metrics.jsonl")]
        for run in (ours, theirs)
    ]
    assert rows[0] == rows[1]
    found = [load(run / "checkpoints" / "last.safetensors").tensors for run in (ours, theirs)]
    assert found[0].keys() == found[1].keys()
    for name, tensor in found[0].items():
        np.testing.assert_array_equal(tensor, found[1][name])
