"""What compilers said of kernels, kept on disk: a text is compiled once for a target.

An answer holds figures and nothing that runs, so a damaged line costs a compilation and no more.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from . import kernel_module

_CALL = re.compile(r"(?<![\w.])(\w+)(?=\(|, keep_dims)")
_DOCSTRING = re.compile(r'""".*?"""', re.DOTALL)

MEASURING = ("crosscompile_worker.py", "launch.py")
"""The files of this folder that decide what is compiled how, and what is read off the result."""

SILENT = ("TRITON_CACHE_DIR", "TRITON_INTERPRET", "TRITON_DEFAULT_FP_FUSION")
"""Settings of Triton that do not reach its compilers here."""


class Verdicts:
    """The answers for one target by this version of Triton, as far as they are known."""

    def __init__(self, target: str, folder: Path | None = None) -> None:
        name = f"{target.replace(':', '-')}.{_toolchain()[:16]}.jsonl"
        self._path = (folder or kernel_module.cache_folder()) / "verdicts" / name
        self._known: dict[str, dict[str, Any]] = {}
        try:
            lines = self._path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            lines = []
        for line in lines:
            try:
                key, answer = json.loads(line)
                self._known[key] = dict(answer)
            except (ValueError, TypeError):
                continue

    @staticmethod
    def key(body: str, record: Mapping[str, Any]) -> str:
        """The SHA-256 of what is compiled: names and docstrings do not count."""
        text = re.sub(rf"\bdef {record['name']}\(", "def _(", _DOCSTRING.sub("", body), count=1)
        rest = {name: value for name, value in record.items() if name not in ("name", "key")}
        return hashlib.sha256(json.dumps([text, rest], sort_keys=True).encode()).hexdigest()

    def find(self, key: str) -> dict[str, Any] | None:
        """The answer, if there was one."""
        return self._known.get(key)

    def keep(self, key: str, answer: Mapping[str, Any]) -> None:
        """Writes an answer down, unless it is an error: that may be the machine's."""
        if "error" in answer:
            return
        self._known[key] = dict(answer)
        line = json.dumps([key, answer]) + "\n"
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            place = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError:  # then it is known in this run only
            return
        try:
            os.write(place, line.encode())  # one call: other processes write to the same file
        finally:
            os.close(place)


def bodies(text: str) -> dict[str, str]:
    """The text of every function of a module, by name, and of those that it calls."""
    parts = re.split(r"\n\n\n(?=@triton\.jit)", text)
    own = {found[1]: part for part in parts if (found := re.search(r"^def (\w+)\(", part, re.M))}
    whole: dict[str, str] = {}
    for name, part in own.items():  # what is called stands before
        words = dict.fromkeys(_CALL.findall(_DOCSTRING.sub("", part)))
        whole[name] = "\n\n".join([*(whole[word] for word in words if word in whole), part])
    return whole


@cache
def _toolchain() -> str:
    """A hash of what compiles, besides the kernels themselves."""
    folder = Path(__file__).parent
    found: list[Any] = [(folder / name).read_text(encoding="utf-8") for name in MEASURING]
    try:
        found.append(metadata.version("triton"))
    except metadata.PackageNotFoundError:  # Triton says what is missing when it is started
        found.append("")
    found.append(
        sorted(
            (name, value)
            for name, value in os.environ.items()
            if name.startswith("TRITON_") and name not in SILENT
        )
    )
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()
