"""Products over all shapes and strides, in each way to multiply."""

from __future__ import annotations

import ctypes
import math
import subprocess
import sys
from dataclasses import dataclass
from itertools import product

import numpy as np
import pytest

from tests.guarded import Guarded, guarded
from weft.compiler.emit.c import GEMM_SCRATCH

from .harness import Floats, longs, pointer


@dataclass(frozen=True, slots=True)
class Matrix:
    """A matrix inside guarded memory, and the strides by which C walks it."""

    memory: Guarded
    view: Floats
    strides: tuple[int, int]


def _matrix(rng: np.random.Generator, rows: int, columns: int, form: str, pad: int) -> Matrix:
    """`form`: N (row-major), T (column-major) or S (strided both ways); NaN everywhere around."""
    if form == "N":
        strides = (columns + pad, 1)
    elif form == "T":
        strides = (1, rows + pad)
    else:
        strides = (2 * columns + 1 + pad, 2)
    span = max(0, (rows - 1) * strides[0] + (columns - 1) * strides[1] + 1) if rows * columns else 0
    memory = guarded(span, 64, offset=int(rng.integers(0, 16)))
    view = np.lib.stride_tricks.as_strided(
        memory.values, (rows, columns), tuple(4 * s for s in strides)
    )
    view[...] = rng.uniform(-1, 1, (rows, columns))
    return Matrix(memory, view, strides)


def _multiply(
    library: ctypes.CDLL, a: Matrix, b: Matrix, c: Matrix, accumulate: int, how: str = "gemm"
) -> None:
    (m, n), k = c.view.shape, a.view.shape[1]
    scratch = guarded(GEMM_SCRATCH, 64)
    tail = [
        pointer(c.memory.values), *longs(c.strides[0]), accumulate, pointer(scratch.values)
    ]  # fmt: skip
    head = [*longs(m, n, k), pointer(a.memory.values), *longs(*a.strides)]
    source = [pointer(b.memory.values), *longs(*b.strides)]
    done = getattr(library, how)(*head, *source, *tail)
    if how == "gemm_tiles" and not done:
        pytest.skip("this processor has no tile units")
    assert scratch.intact()


def _check(
    library: ctypes.CDLL,
    rng: np.random.Generator,
    shape: tuple[int, int, int],
    forms: str,
    accumulate: int,
    pads: tuple[int, int, int] = (0, 0, 0),
    how: str = "gemm",
) -> None:
    m, n, k = shape
    a = _matrix(rng, m, k, forms[0], pads[0])
    b = _matrix(rng, k, n, forms[1], pads[1])
    c = _matrix(rng, m, n, "N", pads[2])
    before = c.memory.values.copy()
    start = c.view.astype(np.float64) if accumulate else 0.0
    want = start + a.view.astype(np.float64) @ b.view.astype(np.float64)
    if not accumulate:
        c.view[...] = np.nan
    _multiply(library, a, b, c, accumulate, how)
    told = f"{m} x {n} x {k} {forms} accumulate {accumulate} pads {pads} {how}"
    error = np.abs(c.view - want).max(initial=0.0)
    assert error <= 1e-6 * math.sqrt(k + 1) + 1e-6, told  # NaN, from any stray read, fails too
    assert a.memory.intact() and b.memory.intact() and c.memory.intact(), told
    written = np.zeros(before.size, bool)
    np.lib.stride_tricks.as_strided(written, (m, n), c.strides)[...] = True
    stray = c.memory.values.view(np.uint32)[~written] != before.view(np.uint32)[~written]
    assert not stray.any(), f"wrote between the rows: {told}"


def test_products_of_every_small_shape(library: ctypes.CDLL) -> None:
    rng = np.random.default_rng(1)
    for m, n in product(range(1, 27), (*range(1, 35), 47, 48, 49, 63, 64, 65, 80)):
        _check(library, rng, (m, n, 1 + (m * n) % 7), "NN", (m + n) % 2)


@pytest.mark.parametrize("forms", ["NN", "NT", "TN", "TT", "SS", "NS", "SN"])
def test_products_of_all_strides_and_depths(library: ctypes.CDLL, forms: str) -> None:
    rng = np.random.default_rng(sum(map(ord, forms)))
    for k in (1, 2, 3, 4, 7, 8, 15, 16, 17, 33, 64, 100, 255, 257, 300, 515):
        for m, n in ((1, 1), (1, 37), (2, 10), (3, 33), (5, 1), (13, 20), (17, 1), (25, 70)):
            pads = tuple(int(p) for p in rng.integers(0, 19, 3))
            _check(library, rng, (m, n, k), forms, int(k) % 2, (pads[0], pads[1], pads[2]))


@pytest.mark.parametrize("how", ["gemm", "gemm_plain", "gemm_tiles"])
def test_products_of_random_shapes(library: ctypes.CDLL, how: str) -> None:
    rng = np.random.default_rng(3)
    for _ in range(150):
        m, n, k = (int(v) for v in rng.integers(1, (130, 140, 90)))
        forms = "".join(rng.choice(["N", "T"], 2))
        pads = tuple(int(p) for p in rng.integers(0, 20, 3))
        accumulate = int(rng.integers(0, 2))
        _check(library, rng, (m, n, k), forms, accumulate, (pads[0], pads[1], pads[2]), how)


@pytest.mark.parametrize(
    ("shape", "forms", "pads"),
    [
        ((600, 70, 300), "NT", (0, 0, 0)),  # several blocks of rows and of depth
        ((130, 256, 260), "NN", (0, 0, 0)),  # strides that are packed
        ((300, 523, 131), "TN", (0, 0, 1)),  # blocks of each side of tiles
        ((523, 300, 131), "NT", (3, 0, 0)),
        ((96, 330, 500), "TN", (0, 0, 0)),  # steps of depth that are packed meanwhile
        ((330, 100, 400), "NT", (0, 3, 5)),
        ((20, 20, 2601), "NT", (7, 7, 0)),  # dots
        ((20, 2601, 20), "TN", (0, 7, 7)),
        ((2601, 1, 20), "NN", (12, 0, 0)),
        ((20, 1, 9000), "TN", (0, 0, 3)),  # deeper and longer than the scratch
        ((9000, 1, 3), "TT", (0, 0, 1)),
        ((40, 1, 9000), "NN", (0, 2, 0)),
    ],
)
def test_products_of_large_shapes(
    library: ctypes.CDLL, shape: tuple[int, int, int], forms: str, pads: tuple[int, int, int]
) -> None:
    rng = np.random.default_rng(4)
    for accumulate in (0, 1):
        _check(library, rng, shape, forms, accumulate, pads)


@pytest.mark.parametrize("forms", ["NN", "NT", "TN", "TT"])
def test_tiles_of_several_rounds(library: ctypes.CDLL, forms: str) -> None:
    """What is packed while tiles multiply: the next 32, the next depth, the next 256, edges."""
    rng = np.random.default_rng(9)
    shapes = [(33, 31, 70), (64, 40, 520), (160, 130, 600), (270, 530, 300), (40, 600, 97)]
    for k, shape in enumerate([*shapes, (530, 20, 129), (17, 300, 600), (300, 45, 257)]):
        _check(library, rng, shape, forms, k % 2, (k, 0, 3), "gemm_tiles")


def _block(whole: Matrix, rows: slice, columns: slice) -> Matrix:
    """A part of a matrix, where it lies."""
    start = rows.start * whole.strides[0] + columns.start * whole.strides[1]
    memory = Guarded(whole.memory.whole, whole.memory.values[start:])
    return Matrix(memory, whole.view[rows, columns], whole.strides)


@pytest.mark.parametrize("forms", ["NN", "NT", "TN", "TT"])
def test_an_element_is_the_same_however_tiles_are_cut(library: ctypes.CDLL, forms: str) -> None:
    rng = np.random.default_rng(21)
    for m, n, k in ((200, 330, 300), (45, 170, 97), (90, 40, 520)):
        a, b = _matrix(rng, m, k, forms[0], 3), _matrix(rng, k, n, forms[1], 0)
        c = _matrix(rng, m, n, "N", 0)
        _multiply(library, a, b, c, 0, "gemm_tiles")
        once = c.view.copy()
        rows, columns = (sorted({0, e, *rng.integers(1, e, 2).tolist()}) for e in (m, n))
        every = slice(0, k)
        for i in map(slice, rows, rows[1:]):
            for j in map(slice, columns, columns[1:]):
                parts = _block(a, i, every), _block(b, every, j), _block(c, i, j)
                _multiply(library, *parts, 0, "gemm_tiles")
        assert np.array_equal(c.view, once), (m, n, k)


@pytest.mark.parametrize("forms", ["NN", "NT", "TN", "TT"])
def test_products_begin_with_a_row(library: ctypes.CDLL, forms: str) -> None:
    """Every row of the sum begins with the same one, in each way to multiply; what is not finite
    passes through.
    """
    rng = np.random.default_rng(11)
    shapes = [(1, 1, 1), (5, 37, 0), (13, 20, 7), (9, 70, 300), (40, 1, 60), (33, 49, 64)]
    for m, n, k in [
        *shapes,
        (64, 40, 520),
        (160, 130, 300),
        (45, 530, 129),
        (17, 300, 97),
        (531, 35, 70),
    ]:
        a, b = _matrix(rng, m, k, forms[0], 3), _matrix(rng, k, n, forms[1], 0)
        c, row, scratch = _matrix(rng, m, n, "N", 5), guarded(n, 64), guarded(GEMM_SCRATCH, 64)
        row.values[...] = rng.uniform(-1, 1, n)
        if k > 100:
            a.view[m // 2, k // 2] = math.inf
        c.view[...] = np.nan
        head = [*longs(m, n, k), pointer(a.memory.values), *longs(*a.strides)]
        source = [pointer(b.memory.values), *longs(*b.strides)]
        tail = [pointer(c.memory.values), *longs(c.strides[0]), pointer(row.values)]
        library.gemm_from_row(*head, *source, *tail, pointer(scratch.values))
        with np.errstate(invalid="ignore"):
            want = row.values + a.view.astype(np.float64) @ b.view.astype(np.float64)
        close = np.isclose(c.view, want, rtol=0, atol=1e-6 * math.sqrt(k + 1) + 1e-6)
        assert (close | (c.view == want)).all(), (m, n, k)
        assert all(x.intact() for x in (a.memory, b.memory, c.memory, row, scratch)), (m, n, k)


def test_an_empty_depth_clears_or_leaves(library: ctypes.CDLL) -> None:
    rng = np.random.default_rng(5)
    for accumulate in (0, 1):
        _check(library, rng, (5, 37, 0), "NN", accumulate, (0, 0, 3))


def test_tiles_err_no_more_than_multiply_adds(library: ctypes.CDLL) -> None:
    """A float is the exact sum of three bfloat16: also where magnitudes differ widely."""
    rng = np.random.default_rng(7)
    errors = {}
    for how in ("gemm_plain", "gemm_tiles"):
        a, b = _matrix(rng, 64, 300, "N", 0), _matrix(rng, 300, 64, "N", 0)
        a.view[...] *= np.exp(rng.normal(0, 5, a.view.shape))
        c = _matrix(rng, 64, 64, "N", 0)
        _multiply(library, a, b, c, 0, how)
        size = np.abs(a.view).astype(np.float64) @ np.abs(b.view)
        exact = a.view.astype(np.float64) @ b.view.astype(np.float64)
        errors[how] = np.sqrt((((c.view - exact) / size) ** 2).mean())
    assert errors["gemm_tiles"] <= 1.2 * errors["gemm_plain"]


@pytest.mark.parametrize("accumulate", [0, 1])
@pytest.mark.parametrize("where", ["left", "right"])
def test_what_is_not_finite_comes_out_of_tiles_as_elsewhere(
    library: ctypes.CDLL, where: str, accumulate: int
) -> None:
    rng = np.random.default_rng(8)
    a, b = _matrix(rng, 100, 300, "N", 3), _matrix(rng, 300, 80, "T", 0)
    hurt = a.view if where == "left" else b.view
    hurt[3, 5], hurt[33, 20], hurt[2, 7], hurt[38, 39] = np.inf, -np.inf, np.nan, 3e38
    results = []
    for how in ("gemm_plain", "gemm_tiles"):
        c = _matrix(rng, 100, 80, "N", 0)
        c.view[...] = 1.0
        _multiply(library, a, b, c, accumulate, how)
        results.append(c.view.copy())
    assert not np.isfinite(results[0]).all()
    np.testing.assert_allclose(*results, rtol=1e-5, atol=1e-5)


def test_products_give_the_same_bits_each_time(library: ctypes.CDLL) -> None:
    rng = np.random.default_rng(6)
    a, b = _matrix(rng, 45, 70, "N", 1), _matrix(rng, 70, 53, "T", 2)
    results = []
    for _ in range(3):
        c = _matrix(rng, 45, 53, "N", 0)
        _multiply(library, a, b, c, 0)
        results.append(c.view.tobytes())
    assert len(set(results)) == 1


PAGES = """
import ctypes, mmap, sys
import numpy as np
from weft.compiler.emit.c import GEMM_SCRATCH
from weft.runtime.arena import arena
from weft.runtime.native import load
library = load(sys.argv[1])
libc = ctypes.CDLL(None)
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
keep = []
def at_the_edge(count):
    "`count` floats that end where a page begins which nobody may touch."
    size = mmap.PAGESIZE
    length = -(-4 * count // size) * size
    region = mmap.mmap(-1, length + size)
    whole = np.frombuffer(region, np.uint8)
    keep.append((region, whole))
    assert libc.mprotect(whole.ctypes.data + length, size, 0) == 0
    return whole[length - 4 * count : length].view(np.float32)
long = ctypes.c_long
scratch = arena(GEMM_SCRATCH)
shapes = [(1, 1, 1), (1, 17, 3), (5, 33, 4), (13, 10, 21), (3, 20, 37), (2, 1, 19), (12, 31, 2)]
for m, n, k in shapes:
    for ta in (0, 1):
        for tb in (0, 1):
            a, b, c = at_the_edge(m * k), at_the_edge(k * n), at_the_edge(m * n)
            sa = (1, m) if ta else (k, 1)
            sb = (1, k) if tb else (n, 1)
            a[:], b[:] = 1.0, 1.0
            library.gemm(
                long(m), long(n), long(k), ctypes.c_void_p(a.ctypes.data), *map(long, sa),
                ctypes.c_void_p(b.ctypes.data), *map(long, sb), ctypes.c_void_p(c.ctypes.data),
                long(n), 0, ctypes.c_void_p(scratch.ctypes.data))
            assert (c == k).all()
print("whole")
"""


def test_products_touch_nothing_beyond_the_last_element(library: ctypes.CDLL) -> None:
    """Operands that end at a forbidden page: reading one float further would kill the process."""
    if not sys.platform.startswith("linux"):
        pytest.skip("protects pages the way Linux does")
    answer = subprocess.run(
        [sys.executable, "-c", PAGES, library._name], capture_output=True, text=True, check=False
    )
    assert answer.stdout == "whole\n", answer.stderr


def test_python_and_c_agree_on_sizes(library: ctypes.CDLL) -> None:
    assert library.scratch_floats() == GEMM_SCRATCH
