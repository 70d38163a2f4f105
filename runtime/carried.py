"""Which modules of weft a generated package carries: those it starts from, and all they import."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent.parent

START = '''"""Unchanged copies of the modules of weft {version} that load, train, save and predict.

They import the standard library, NumPy and each other.  Licence: Apache-2.0, see LICENSE beside
this file.
"""
'''


def carried(start: Sequence[str], version: str) -> dict[str, str]:
    """These modules, what they import of weft, and the licence, by their path in weft."""
    found: dict[str, str] = {}
    waiting = list(start)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = (ROOT / name).read_text(encoding="utf-8")
            waiting += imported(name, found[name])
    found["__init__.py"] = START.format(version=version)
    found["LICENSE"] = (ROOT / "LICENSE").read_text(encoding="utf-8")
    return dict(sorted(found.items()))


def imported(name: str, text: str) -> set[str]:
    """The files of weft that a module imports when it runs, and the `__init__.py` on their way."""
    files: set[str] = set()
    for folder, module in _relative(ast.parse(text), PurePosixPath(name)):
        parts = folder.joinpath(*module.split("."))
        for path in (f"{parts}.py", f"{parts}/__init__.py"):
            if (ROOT / path).is_file():
                files.add(path)
    files.add(name)
    for file in list(files):
        packages = list(PurePosixPath(file).parents)[:-1]
        files |= {f"{package}/__init__.py" for package in packages}
    return files - {name}


def _relative(tree: ast.AST, name: PurePosixPath) -> Iterator[tuple[PurePosixPath, str]]:
    """What may be a module: `from .a import b` imports `a`, and `a.b` if there is one."""
    for node in _running(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            folder = name.parents[node.level - 1]
            if node.module:
                yield folder, node.module
            for alias in node.names:
                yield folder, f"{node.module}.{alias.name}" if node.module else alias.name


def _running(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those for type checkers only."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        yield child
        yield from _running(child)
