"""Threads share the work, and each file of the library stands by itself."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

import numpy as np
import pytest

import weft.compiler.emit.c as emitted
from weft.compiler.emit.c import BASE, GEMM_SCRATCH, UNITS, includes
from weft.compiler.emit.c import library as texts
from weft.runtime.arena import arena
from weft.runtime.native import compiler

from ..narrow import NARROWER
from .harness import longs, pointer


def test_threads_share_all_chunks_of_a_level_evenly(library: ctypes.CDLL) -> None:
    rng = np.random.default_rng(9)
    for size in (1, 2, 3, 8, 16):
        chunks, works = rng.integers(1, 7, 9), rng.integers(1, 500, 9)
        total, load = int(works.sum()), np.zeros(size)
        for number in range(9):
            each = max(1, int(works[number] // chunks[number]))
            before = int(works[:number].sum())
            share = longs(int(chunks[number]), before, each, total)
            borders = [library.border(*longs(me, size), *share) for me in range(size + 1)]
            assert borders[0] == 0 and borders[-1] == chunks[number]
            assert borders == sorted(borders)
            load += np.diff(borders) * each
        assert load.max() <= total / size + (works / chunks).max() + 1


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_nobody_passes_a_barrier_early(library: ctypes.CDLL, threads: int) -> None:
    if library.team(threads) != threads:
        pytest.skip("this compiler has no OpenMP, or the machine refuses so many threads")
    slots = np.zeros(8 * threads, np.int64)
    assert library.rounds(threads, ctypes.c_long(300), pointer(slots)) == 0
    assert (slots.reshape(threads, 8)[:, 0] == 300).all()


FILES = texts(*(f'#include "{unit}.h"\n' for unit in UNITS))


@pytest.mark.parametrize("target", ["native", *NARROWER])
@pytest.mark.parametrize("name", FILES)
def test_each_file_compiles_by_itself_without_a_warning(
    tmp_path: Path, name: str, target: str
) -> None:
    chosen = compiler()
    for file, text in FILES.items():
        (tmp_path / file).write_text(text)
    (tmp_path / "t.c").write_text(f'#include "weft.h"\n#include "{name}"\nint unused;\n')
    command = [*chosen.command, "-std=gnu11", f"-march={target}", "-fopenmp-simd", "-O1"]
    command += ["-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas", "-c", "t.c", "-o", "t.o"]
    answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr


def test_a_text_includes_what_it_calls_and_no_more() -> None:
    assert includes("y = weft_exp(x);") == '#include "weft.h"\n'
    source = includes("weft_pool_sum(1, &g, x, y);") + "int unused;"
    assert source.startswith('#include "weft.h"\n#include "pools.h"\n')
    assert list(texts(source)) == ["geometry.h", "pools.c", "pools.h", "vectors.h", "weft.h"]
    called = texts(includes("weft_convolve(1, &g, x, w, kept, y, scratch, planes);"))
    assert {"windows.c", "products.c", "tile_units.c"} <= set(called)
    assert "kept.c" not in called


def test_every_file_of_the_library_goes_along() -> None:
    bodies = {f"{part}.c" for parts in UNITS.values() for part in parts}
    here = Path(emitted.__file__).parent
    assert bodies == {path.name for path in here.glob("*.c")}
    assert {path.name for path in here.glob("*.h")} == {f"{part}.h" for part in BASE} | {
        name for name in FILES if name.endswith(".h") and name != "weft.h"
    }


def test_scratch_is_modest() -> None:
    assert 4 * GEMM_SCRATCH <= 512 * 1024
    assert arena(GEMM_SCRATCH).ctypes.data % 64 == 0
