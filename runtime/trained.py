"""Which parameters a training step changes: those of the nets it updates, but for frozen ones."""

from __future__ import annotations

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
