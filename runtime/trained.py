"""Which parameters a training step changes: those of the nets it updates, but for frozen ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..compiler.artifact import Artifact


def changes(artifact: Artifact, step: str, parameter: str) -> bool:
    """Whether the step changes the parameter of this full name; without a recipe all steps do."""
    for recipe in (artifact.train or {}).get("step", ()):
        if recipe["name"] == step:
            own = parameter.partition(".")[0] in recipe["updates"]
            return own and parameter not in (recipe.get("frozen") or ())
    return True


def untrained(artifact: Artifact) -> list[str]:
    """The nets with parameters that no step of the training changes."""
    steps = (artifact.train or {}).get("step", ())
    trained = {name for step in steps for name in step["updates"]}
    nets = dict.fromkeys(p.name.partition(".")[0] for p in artifact.parameters if p.trainable)
    return [name for name in nets if name not in trained]


def some(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = f", … {len(names) - 6} more" if len(names) > 6 else ""
    return f"{', '.join(names[:6])}{more}" if names else "none"
