"""The printed kernels of a file, each text once: equal layers share theirs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ..loops import Kernel
from .printer import Signature, print_kernel

FAMILY = "FAMILY"
"""Stands in texts of several functions for the name that they share."""

MOST_PLACES = 6  # spec lines named above a kernel; the rest are counted


@dataclass(slots=True)
class _Shared:
    """One text: its name, all spec lines it stands for, and what follows them."""

    name: str
    text: str
    places: dict[str, None] = field(default_factory=dict)


class Kernels:
    """Texts in the order in which they were first needed."""

    def __init__(self) -> None:
        self._known: dict[str, _Shared] = {}
        self._printed: dict[tuple[object, str, frozenset[str]], tuple[_Shared, Signature]] = {}
        self._names: set[str] = set()

    @property
    def texts(self) -> list[str]:
        """Every kernel below the spec lines of all layers that use it."""
        return [_with_places(shared) for shared in self._known.values()]

    def add(self, kernel: Kernel, aliased: frozenset[str]) -> Signature:
        """The signature under which a kernel's text is called."""
        key = kernel.form, kernel.name, aliased
        if key not in self._printed:
            self._printed[key] = self._print(kernel, aliased)
        shared, signature = self._printed[key]
        shared.places.update(dict.fromkeys(kernel.places))
        return replace(signature, name=shared.name)

    def add_text(self, kernel: Kernel, text: str, signature: Signature) -> Signature:
        """The same for a kernel that is printed already, under the name in its signature."""
        shared = self._shared(kernel.name, text, signature.name)
        shared.places.update(dict.fromkeys(kernel.places))
        return replace(signature, name=shared.name)

    def add_function(self, name: str, text: str) -> str:
        """The name under which a function is called; `name` is what the text calls it."""
        return self._shared(name, text, name).name

    def add_family(self, name: str, text: str) -> str:
        """The name under which the functions of a text are called that say FAMILY for it."""
        if text not in self._known:
            own = self._fresh(name)
            self._known[text] = _Shared(own, text.replace(FAMILY, own))
        return self._known[text].name

    def _print(self, kernel: Kernel, aliased: frozenset[str]) -> tuple[_Shared, Signature]:
        """The text of a form that is new, which may be one that is known."""
        text, signature = print_kernel(kernel, aliased)
        return self._shared(kernel.name, text, kernel.name), signature

    def _shared(self, wanted: str, text: str, printed: str) -> _Shared:
        """A text whose function is called `printed`, once, under a name like the one `wanted`."""
        head = f"WEFT_KERNEL void {printed}("
        body = text[text.index(head) + len(head) :]
        if body not in self._known:
            name = self._fresh(wanted)
            text = text.replace(head, f"WEFT_KERNEL void {name}(", 1)
            self._known[body] = _Shared(name, text)
        return self._known[body]

    def _fresh(self, name: str) -> str:
        found, count = name, 2
        while found in self._names:
            found, count = f"{name}_{count}", count + 1
        self._names.add(found)
        return found


def _with_places(shared: _Shared) -> str:
    places = list(shared.places)
    lines = [f"/* {place} */" for place in places[:MOST_PLACES]]
    if len(places) > MOST_PLACES:
        lines.append(f"/* and {len(places) - MOST_PLACES} more */")
    return "\n".join([*lines, shared.text])
