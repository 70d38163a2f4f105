"""Processors with narrower vectors than this one: code for them runs here, too."""

from __future__ import annotations

from weft.runtime.machine import cpu

NARROWER = (
    *(["x86-64-v3"] if "avx2" in cpu().features else []),
    *(["x86-64"] if cpu().architecture == "x86_64" else []),
)
"""Architectures by their names in `-march`."""
