"""The library for ARM, where a compiler for it is at hand."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from weft.compiler.emit.c import library as texts

from .harness import harness

COMPILERS = (
    ("aarch64-linux-gnu-gcc",),
    ("zig", "cc", "-target", "aarch64-linux-musl"),
    ("clang", "--target=aarch64-linux-gnu"),
)
FLAGS = ["-std=gnu11", "-O3", "-fopenmp-simd", "-Werror=implicit-function-declaration"]


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A compiler for 64-bit ARM that finds the headers of a C library."""
    source = tmp_path_factory.mktemp("probe") / "probe.c"
    source.write_text("#include <math.h>\nfloat root(float x) { return sqrtf(x); }\n")
    for found in COMPILERS:
        told = [*found, "-c", "-o", str(source.with_suffix(".o")), str(source)]
        if shutil.which(found[0]) and not subprocess.run(told, capture_output=True).returncode:
            return list(found)
    pytest.skip("no compiler for 64-bit ARM (gcc-aarch64-linux-gnu, zig or clang)")


def test_the_library_compiles_for_arm(command: list[str], tmp_path: Path) -> None:
    text = harness()
    files = {**texts(text), "harness.c": text}
    for name, body in files.items():
        (tmp_path / name).write_text(body)
    for name in sorted(files):
        if name.endswith(".c"):
            told = [*command, *FLAGS, "-c", name]
            answer = subprocess.run(told, cwd=tmp_path, capture_output=True, text=True)
            assert answer.returncode == 0, answer.stderr
