"""Which targets and precisions there are, and which this machine can compute in."""

from __future__ import annotations

from pathlib import Path

from ..compiler.build import Program
from ..compiler.passes.reduce_precision import LOW
from ..spec.errors import DeviceError, UsageError

CROSS = ("cuda:80", "cuda:86", "cuda:89", "cuda:90", "cuda:100", "hip:gfx942")
TARGETS = ("auto", "cpu", "cuda", "interpret", "reference", *CROSS)


def check_target(target: str) -> str:
    """A target that exists; `auto` is the GPU where there is one, else the CPU.

    Raises: UsageError for another word, DeviceError for `cuda` without a GPU.
    """
    if target not in TARGETS:
        raise UsageError(f"there is no target `{target}`", hint=f"targets: {', '.join(TARGETS)}")
    if target == "auto":
        return "cuda" if _has_gpu() else "cpu"
    if target == "cuda" and not _has_gpu():
        raise DeviceError(
            "no GPU that torch can use on this machine",
            hint="train with --target cpu, or cross-compile: `weft compile --target cuda:90`",
        )
    return target


def precision_of(program: Program) -> str:
    """The precision of products that the spec asks for."""
    return str((program.train or {}).get("precision") or "f32")


def rounds_to_bf16(program: Program) -> bool:
    """Does a net or a step say itself that numbers are rounded to bf16?"""
    builders = [net.builder for net in program.nets.values()]
    builders += [step.builder for step in program.steps.values()]
    return any(node.dtype == "bf16" for each in builders for node in each.nodes)


def check_precision(precision: str, target: str, program: Program) -> str:
    """A precision that the target computes in.  Raises: UsageError for another."""
    if precision not in ("f32", *LOW):
        hint = f"there are f32, {' and '.join(LOW)}"
        raise UsageError(f"there is no precision `{precision}`", hint=hint)
    if target == "interpret" and (precision == "bf16" or rounds_to_bf16(program)):
        raise UsageError(
            "Triton's interpreter gets bf16 wrong",
            hint="interpret in f16 or f32; the targets cpu and cuda compute in bf16",
        )
    return precision


def machine_here() -> str:
    """The target whose tiles and instructions the GPU of this machine has.

    GPUs for games and workstations have 100 KiB of shared memory, an A100 163; those of a later
    generation take the instructions of an earlier one.

    Raises: DeviceError for a GPU that is older than Triton compiles for.
    """
    import torch

    if torch.version.hip:
        return "hip:gfx942"
    capability = torch.cuda.get_device_capability()
    if capability < (8, 0):
        text = ".".join(map(str, capability))
        raise DeviceError(
            f"this GPU has compute capability {text}, Triton needs 8.0 or more",
            hint="train with `--target cpu`",
        )
    return BY_CAPABILITY.get(capability) or BY_GENERATION.get(capability[0], "cuda:80")


BY_CAPABILITY = {(8, 6): "cuda:86", (8, 9): "cuda:89"}
BY_GENERATION = {9: "cuda:90", 10: "cuda:100", 12: "cuda:89"}
"""An RTX 50 is of generation 12: it has the instructions and the shared memory of an RTX 40."""


GPU_DEVICES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
"""What a driver shows: NVIDIA's, AMD's, and that of Windows' subsystem for Linux."""


def _has_gpu() -> bool:
    """Can torch use a GPU?  Without a driver torch, slow to import, is not asked."""
    if not any(Path(device).exists() for device in GPU_DEVICES):
        return False
    try:
        import torch
    except ImportError:
        return False
    return bool(torch.cuda.is_available())
