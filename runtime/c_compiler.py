"""The machine's own C compiler: which it is, and how it is asked for objects and libraries."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..spec.errors import DeviceError
from .machine import cpu

__all__ = ["Compiler", "Toolchain", "compiler", "options_of", "tail"]

_PARALLEL = "#include <omp.h>\nint probe(void) { return omp_get_max_threads(); }\n"
_GCC_ALONE = ("-fno-ipa-cp-clone", "-fno-predictive-commoning")  # clang knows neither, zig refuses
_ALONE = "#include <math.h>\nfloat probe(float x) { return sqrtf(x); }\n"


@dataclass(frozen=True, slots=True)
class Compiler:
    """A C compiler: the command that starts it, and the line that identifies it."""

    command: tuple[str, ...]
    version: str


@dataclass(frozen=True, slots=True)
class Toolchain:
    """A compiler with the options that everything is compiled with."""

    compiler: Compiler
    options: tuple[str, ...]

    def compile(self, source: Path) -> subprocess.CompletedProcess[str]:
        """`x.c` -> `x.o` beside it."""
        return self._run(source.parent, "-w", "-fPIC", "-c", source.name)

    def link(self, objects: Sequence[Path], library: Path) -> subprocess.CompletedProcess[str]:
        """Objects of one folder -> a shared library beside them."""
        names = [path.name for path in objects]
        return self._run(library.parent, "-fPIC", "-shared", *names, "-o", library.name, "-lm")

    def _run(self, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        return _run([*self.compiler.command, *self.options, *arguments], folder)


def compiler() -> Compiler:
    """The C compiler: $CC if it is set, else cc, gcc or clang.

    Raises: DeviceError if there is none.
    """
    return _compiler(os.environ.get("CC", ""), os.environ.get("PATH", ""))


@cache
def _compiler(asked: str, _path: str) -> Compiler:
    candidates = [tuple(shlex.split(asked))] if asked.strip() else [("cc",), ("gcc",), ("clang",)]
    for command in candidates:
        if shutil.which(command[0]) is None:
            continue
        try:
            answer = _run([*command, "--version"])
        except OSError:
            continue
        if answer.returncode == 0 and answer.stdout.strip():
            return Compiler(command, answer.stdout.strip().splitlines()[0])
    if asked.strip():
        raise DeviceError(f"CC={asked} is not a working C compiler", hint="unset or correct CC")
    hint = "install gcc or clang (Debian, Ubuntu: apt install gcc), or set CC"
    raise DeviceError("no C compiler found: training on the CPU compiles C", hint=hint)


@cache
def options_of(flags: tuple[str, ...], chosen: Compiler) -> tuple[str, ...]:
    """The flags, as this compiler takes them on this machine: for its own processor, unless CC
    names another architecture (`CC="cc -march=x86-64-v3"`).

    Raises: DeviceError if it makes no shared library whatever it is told.
    """
    if any(word.startswith(("-march=", "-mcpu=")) for word in chosen.command):
        flags = tuple(flag for flag in flags if flag != "-march=native")
    wide = ("-mprefer-vector-width=512",) if "avx512_bf16" in cpu().features else ()
    wishes = [(*flags, *wide)]
    for some in (flags, tuple(flag for flag in flags if flag not in _GCC_ALONE)):
        spelled = tuple("-mcpu=native" if flag == "-march=native" else flag for flag in some)
        alone = [_without_openmp(each) for each in (some, spelled)]
        wishes += [some, spelled, *alone, tuple(f for f in alone[0] if f != "-march=native")]
    told = ""
    for wish in dict.fromkeys(wishes):
        answer = _probe(_PARALLEL if "-fopenmp" in wish else _ALONE, Toolchain(chosen, wish))
        if answer.returncode == 0:
            return wish
        told = told or answer.stderr
    raise DeviceError(
        f"{shlex.join(chosen.command)} cannot compile a shared library:\n{tail(told, 12)}",
        hint="install the C library's headers (Debian, Ubuntu: apt install libc6-dev), or set CC",
    )


def _without_openmp(flags: tuple[str, ...]) -> tuple[str, ...]:
    return tuple("-fopenmp-simd" if flag == "-fopenmp" else flag for flag in flags)


def _probe(text: str, tools: Toolchain) -> subprocess.CompletedProcess[str]:
    with tempfile.TemporaryDirectory(prefix="weft-probe-") as name:
        source = Path(name) / "probe.c"
        source.write_text(text, encoding="utf-8")
        answer = tools.compile(source)
        if answer.returncode == 0:
            answer = tools.link([source.with_suffix(".o")], source.with_suffix(".so"))
        return answer


def tail(text: str, lines: int) -> str:
    """What a compiler said first: the rest follows from it."""
    return "\n".join(text.strip().splitlines()[:lines])


def _run(command: Sequence[str], folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment: Mapping[str, str] = os.environ | {"LC_ALL": "C"}
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
