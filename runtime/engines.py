"""The engine that runs an artifact, by its target."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..spec.errors import DeviceError
from .native_engine import NativeEngine
from .reference_engine import ReferenceEngine

if TYPE_CHECKING:
    from ..compiler.artifact import Artifact
    from ..compiler.lowered import Lowered
    from .engine import Engine


def open_engine(lowered: Lowered, artifact: Artifact) -> Engine:
    """The engine of an artifact's target.

    Raises: DeviceError when this machine cannot run it.
    """
    if artifact.target == "reference":
        return ReferenceEngine(lowered)
    if artifact.target == "cpu":
        return NativeEngine(artifact)
    if artifact.target in ("cuda", "interpret"):
        from .triton_engine import TritonEngine

        return TritonEngine(artifact, artifact.target)
    raise DeviceError(
        f"{artifact.target} can be compiled for, not run, here", hint="run with --target cpu"
    )
