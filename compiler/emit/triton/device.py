"""The device functions that kernels may call, and the Python module that kernels make together."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache

from .template import template

_NAME = re.compile(r"^def (\w+)\(", re.MULTILINE)
_CALL = re.compile(r"(?<![\w.])(\w+)(?=\(|, keep_dims)")
_DOCSTRING = re.compile(r'""".*?"""', re.DOTALL)


@cache
def functions() -> dict[str, str]:
    """Every device function's text by name; each stands after those it calls.

    Kernels, buffers and values must not be called like one of them.
    """
    texts = template("device").strip().split("\n\n\n")
    return {_NAME.findall(text)[0]: text for text in texts}


def called(texts: Iterable[str]) -> tuple[str, ...]:
    """The device functions that the texts call, directly or through one another, in order."""
    library = functions()
    open_texts = list(texts)
    found: set[str] = set()
    while open_texts:
        calls = set(_CALL.findall(_DOCSTRING.sub("", open_texts.pop())))
        for name in calls & library.keys() - found:
            found.add(name)
            open_texts.append(library[name])
    return tuple(name for name in library if name in found)


def module(kernels: Sequence[str], title: str) -> str:
    """A Python module: the device functions that the kernel texts call, then the kernels.

    Equal texts are written once.
    """
    texts = [text.strip() for text in dict.fromkeys(kernels)]
    parts = [functions()[name] for name in called(texts)] + texts
    head = f'"""{title}"""\n\nimport triton\nimport triton.language as tl'
    return "\n\n\n".join([head, *parts]) + "\n"
