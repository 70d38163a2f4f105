"""What training steps take at most: planned for a target, and nothing built or allocated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..spec.load import Spec
from .table import bytes_text


@dataclass(frozen=True, slots=True)
class Peak:
    """Bytes of parameters, gradients, states, batch and workspace, by training step."""

    target: str
    steps: dict[str, int]

    def lines(self) -> list[str]:
        """For people."""
        return [
            f"peak        {bytes_text(size)} in step `{name}` on {self.target}, batch included"
            for name, size in self.steps.items()
        ]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {"target": self.target, "steps": self.steps}


def peak_of(spec: Spec, target: str) -> Peak:
    """Plan every training step.

    Raises: SpecError where a step needs more than `memory` allows, UsageError for no such target.
    """
    from ..compiler.budget import peak
    from ..runtime.program import compile

    program = compile(spec, target)
    artifact = program.artifact
    steps = {n: peak(artifact, artifact.entry("train", n)) for n in program.program.steps}
    return Peak(program.target, steps)
