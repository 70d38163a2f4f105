"""Programs that are run in several real processes, and the launcher that runs them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def launched(
    count: int, *command: object, cwd: Path | None = None, seconds: float = 240, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run so many processes of a script, or of `-m module`, as torchrun does."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("TORCHELASTIC", "PYTEST"))}
    launcher = ("-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}")
    return subprocess.run(
        [sys.executable, *launcher, *map(str, command)],
        cwd=cwd,
        env={**kept, "OMP_NUM_THREADS": "1", **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
    )
