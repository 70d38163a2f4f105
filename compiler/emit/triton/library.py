"""The kernels of a module, each text once: equal layers share theirs."""

from __future__ import annotations

import builtins
import re
from collections.abc import Iterable
from dataclasses import replace

from .device import module
from .kernel import KernelText

SHOWN = 3
"""Spec lines that a kernel shared by many layers lists."""

PLACES = "@places@"
"""Stands in a docstring for the spec lines until all layers that share the kernel are known."""

DOCSTRING = '"""'


class Kernels:
    """Texts by name; two that differ in nothing but name and docstring are one."""

    def __init__(self) -> None:
        self.texts: dict[str, KernelText] = {}
        self.places: dict[str, dict[str, None]] = {}
        self._known: dict[tuple[object, ...], str] = {}
        self._given: dict[int, tuple[KernelText, KernelText]] = {}  # by identity

    def add(self, text: KernelText, places: Iterable[str]) -> KernelText:
        """The kernel under whose name this text is in the module."""
        given = id(text)
        if given not in self._given:
            self._given[given] = text, self._named(text)
        found = self._given[given][1]
        self.places.setdefault(found.name, {}).update(dict.fromkeys(places))
        return found

    def _named(self, text: KernelText) -> KernelText:
        """The kernel with its name in the module, where a new text gets one."""
        before, _, rest = text.text.partition(DOCSTRING)
        body = (before + rest.partition(DOCSTRING)[2]).replace(f"def {text.name}(", "def @(", 1)
        key = (body, text.parameters, text.warps, text.stages, text.dots, text.alone)
        if key not in self._known:
            name = self._fresh(text.name)
            whole = text.text.replace(f"def {text.name}(", f"def {name}(", 1)
            self.texts[name] = replace(text, name=name, text=whole)
            self._known[key] = name
        return replace(text, name=self._known[key])

    def module(self, title: str) -> str:
        """The Python module of all kernels."""
        return module([self._whole(name) for name in self.texts], title)

    def _fresh(self, name: str) -> str:
        base = name.rstrip("_")
        base = f"compute_{base}" if base != name or hasattr(builtins, name) else name
        found, count = base, 2
        while found in self.texts:
            found, count = f"{base}_{count}", count + 1
        return found

    def _whole(self, name: str) -> str:
        """The text with the spec lines of all layers that share it."""
        places, text = list(self.places[name]), self.texts[name].text
        lines = places[:SHOWN] + (
            [f"and {len(places) - SHOWN} more"] if len(places) > SHOWN else []
        )
        if lines:
            shown = lambda found: "\n".join(found[1] + line for line in lines)  # noqa: E731
            return re.sub(rf"( *){PLACES}", shown, text, count=1)
        text = re.sub(rf'\n\n *{PLACES}\n *"""', '"""', text, count=1)
        return re.sub(rf"\n *{PLACES}\n", "\n", text, count=1)
