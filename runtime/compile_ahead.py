"""Kernels that Triton compiles before they are launched: side by side, on all processors."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

from .machine import threads


def compile_ahead(kernels: Iterable[Callable[[], object]]) -> None:
    """Calls each, which asks Triton for a kernel; returns when it has all of them.

    Nearly all of the work happens outside of Python's lock: in LLVM, and in the assembler.  Before
    version 3.5 Triton compiles each when it is launched, and nothing happens here.
    """
    try:
        from triton import AsyncCompileMode
    except ImportError:
        return

    def ask() -> None:
        with ThreadPoolExecutor(threads()) as pool, AsyncCompileMode(pool):
            for kernel in kernels:
                kernel()

    copy_context().run(ask)  # where a kernel does not compile, Triton leaves its mode on
