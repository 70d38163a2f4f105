"""Triton kernels as text: GEMM for one contraction, the finish of sums over rows, device functions.

Nothing here imports triton; the runtime compiles and runs the texts.
"""

from .choice import choose
from .contraction import Contraction, Frame, Operand, Sums, frame
from .device import called, functions, module
from .finish import Gathered, finish_kernel
from .gemm import gemm_kernel, needed
from .kernel import (
    ELEMENT_TYPES,
    POINTER_TYPES,
    Extent,
    Factor,
    KernelText,
    Parameter,
    Workspace,
    expression,
    merged,
)
from .request import Gemm
from .template import call, fill, template, tidy
from .tiles import MACHINES, Tile

__all__ = [
    "ELEMENT_TYPES",
    "MACHINES",
    "POINTER_TYPES",
    "Contraction",
    "Extent",
    "Factor",
    "Frame",
    "Gathered",
    "Gemm",
    "KernelText",
    "Operand",
    "Parameter",
    "Sums",
    "Tile",
    "Workspace",
    "call",
    "called",
    "choose",
    "expression",
    "fill",
    "finish_kernel",
    "frame",
    "functions",
    "gemm_kernel",
    "merged",
    "module",
    "needed",
    "template",
    "tidy",
]
