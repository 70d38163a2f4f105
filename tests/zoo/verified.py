"""`weft verify` of an example, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from weft.spec.errors import UsageError


def verify(path: Path) -> dict[str, Any]:
    """How many results were compared on which targets, and the largest error over its limit.

    Raises: UsageError with what is further off than it may be, or why nothing was compared.
    """
    command = [sys.executable, "-m", "weft.cli", "verify", str(path), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        found = json.loads(done.stdout)
    except ValueError:
        words = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise UsageError(words[0]) from None
    checks = found["checks"]
    off = [c for c in checks if not c["error"] <= c["limit"]]
    if off or not checks:
        told = (f"{c['target']} {c['subject']}: {c['error']:.1e} > {c['limit']:.1e}" for c in off)
        raise UsageError("; ".join(told) or "nothing was compared")
    return {
        "checks": len(checks),
        "targets": sorted({c["target"] for c in checks}),
        "worst": max(c["error"] / c["limit"] for c in checks if c["limit"]),
        "smaller": bool(found["settings"]),
        "left_out": found["left_out"],
    }


def line(found: Mapping[str, Any]) -> str:
    """What to print."""
    left = f", left out: {', '.join(found['left_out'])}" if found["left_out"] else ""
    less = ", smaller" if found["smaller"] else ""
    targets = " ".join(found["targets"])
    return f"{found['checks']:>4} checks on {targets}, worst {found['worst']:.2f}{less}{left}"
