"""The printed kernels of a file, each text once: equal layers share theirs."""

from __future__ import annotations

from ..loops import Kernel
from .printer import Signature, print_kernel


class Kernels:
    """Texts in the order in which they were first needed."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._known: dict[str, Signature] = {}
        self._names: set[str] = set()

    def add(self, kernel: Kernel, aliased: frozenset[str]) -> Signature:
        """The signature under which a kernel's text is called."""
        text, signature = print_kernel(kernel, aliased)
        head = f"WEFT_KERNEL void {kernel.name}("
        body = text[text.index(head) + len(head) :]
        if body not in self._known:
            name = self._fresh(kernel.name)
            self.texts.append(text.replace(head, f"WEFT_KERNEL void {name}(", 1))
            self._known[body] = Signature(
                name, signature.sizes, signature.first, signature.buffers
            )
        return self._known[body]

    def _fresh(self, name: str) -> str:
        found, count = name, 2
        while found in self._names:
            found, count = f"{name}_{count}", count + 1
        self._names.add(found)
        return found
