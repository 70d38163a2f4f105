"""The hand-written C text: functions in ulps, products over all shapes and strides, random bits."""

from __future__ import annotations

import ctypes
import math
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import special

import weft.compiler.emit.c as emitted
from weft.compiler.emit.c import BASE, GEMM_SCRATCH, UNITS, includes
from weft.compiler.emit.c import library as texts
from weft.compiler.ops import philox
from weft.runtime.arena import Guarded, arena, guarded
from weft.runtime.native import FLAGS, build, compiler, load

Floats = NDArray[np.float32]
UNARY = {  # name: (float64 reference, worst error allowed in ulps of the result)
    "exp": (np.exp, 1.1),
    "expm1": (np.expm1, 1.7),
    "log": (np.log, 0.9),
    "log1p": (np.log1p, 1.6),
    "tanh": (np.tanh, 2.5),
    "sigmoid": (lambda x: np.where(x < 0, np.exp(x), 1.0) / (1 + np.exp(-abs(x))), 2.4),
    "softplus": (lambda x: np.maximum(x, 0) + np.log1p(np.exp(-abs(x))), 2.1),
    "erf": (special.erf, 1.9),
    "sqrt": (np.sqrt, 0.51),
    "rsqrt": (lambda x: 1 / np.sqrt(x), 1.51),
    "sin": (np.sin, 1.6),
    "cos": (np.cos, 1.6),
    "floor": (np.floor, 0.0),
    "ceil": (np.ceil, 0.0),
    "round": (np.rint, 0.0),
    "sign": (np.sign, 0.0),
    "abs": (np.abs, 0.0),
    "relu": (lambda x: np.maximum(x, 0), 0.0),
}
BINARY = {"pow": (np.power, 0.6), "max": (np.maximum, 0.0), "min": (np.minimum, 0.0)}
SHAPE = "long m, long n, long k, const float *a, long ar, long ac"
OUTPUT = "float *c, long cr, int accumulate, float *scratch"
STREAM = "uint32_t seed, uint32_t step, uint32_t op, uint64_t begin, long count, float *out"
HARNESS = f"""
void gemm({SHAPE}, const float *b, long br, long bc, {OUTPUT})
{{ weft_gemm(m, n, k, a, ar, ac, b, br, bc, c, cr, accumulate, scratch); }}
void gemm_plain({SHAPE}, const float *b, long br, long bc, {OUTPUT})
{{ weft_gemm_plain(m, n, k, a, ar, ac, b, br, bc, c, cr, accumulate, scratch); }}
int gemm_tiles({SHAPE}, const float *b, long br, long bc, {OUTPUT})
{{
#if defined(WEFT_TILES)
    if (!weft_tiles_allowed) return 0;
    weft_gemm_tiles(m, n, k, a, ar, ac, b, br, bc, c, cr, accumulate, 0, scratch);
    return 1;
#else
    return 0;
#endif
}}
void gemm_from_row({SHAPE}, const float *b, long br, long bc,
    float *c, long cr, const float *row, float *scratch)
{{ weft_gemm_from_row(m, n, k, a, ar, ac, b, br, bc, c, cr, row, scratch); }}
long scratch_floats(void) {{ return WEFT_GEMM_SCRATCH; }}
void uniform({STREAM}) {{ weft_uniform_fill(seed, step, op, begin, count, out); }}
void normal({STREAM}) {{ weft_normal_fill(seed, step, op, begin, count, out); }}
void uniform_each({STREAM})
{{ for (long i = 0; i < count; ++i) out[i] = weft_uniform(seed, step, op, begin + i); }}
void normal_each({STREAM})
{{ for (long i = 0; i < count; ++i) out[i] = weft_normal(seed, step, op, begin + i); }}
long border(long me, long size, long chunks, long before, long each, long total)
{{ return weft_border(me, size, chunks, before, each, total); }}
int team(int threads)
{{
    int size = 1;
    #pragma omp parallel num_threads(threads)
    if (omp_get_thread_num() == 0) size = omp_get_num_threads();
    return size;
}}
long rounds(int threads, long count, long *slots)
{{
    weft_team team = WEFT_TEAM;
    long wrong = 0;
    #pragma omp parallel num_threads(threads) reduction(+ : wrong)
    {{
        const int size = omp_get_num_threads(), me = omp_get_thread_num();
        for (long round = 1; round <= count; ++round) {{
            slots[8 * me] = round;
            weft_barrier(&team, size);
            for (int other = 0; other < size; ++other) wrong += slots[8 * other] != round;
            weft_barrier(&team, size);
        }}
    }}
    return wrong;
}}
"""


def _harness() -> str:
    lines = [includes(HARNESS), HARNESS]
    for name in UNARY:
        lines.append(f"void run_{name}(long n, const float *restrict x, float *restrict y) {{")
        lines.append("    #pragma omp simd")
        lines.append(f"    for (long i = 0; i < n; ++i) y[i] = weft_{name}(x[i]);\n}}")
    for name in BINARY:
        lines.append(
            f"void run_{name}(long n, const float *restrict x, const float *restrict y, "
            "float *restrict z) {\n    #pragma omp simd"
        )
        lines.append(f"    for (long i = 0; i < n; ++i) z[i] = weft_{name}(x[i], y[i]);\n}}")
    return "\n".join(lines)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("native")


@pytest.fixture(scope="module")
def library(folder: Path) -> Iterator[ctypes.CDLL]:
    harness = _harness()
    found = load(build(harness, files=texts(harness), cache_dir=folder))
    for name in ("scratch_floats", "rounds", "border"):
        getattr(found, name).restype = ctypes.c_long
    yield found


def _long(*values: int) -> list[ctypes.c_long]:
    return [ctypes.c_long(v) for v in values]


def _pointer(array: NDArray[np.generic]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


# ---- functions -----------------------------------------------------------------------------------

SPECIAL = np.array(
    [
        *(
            0.0,
            -0.0,
            1,
            -1,
            0.5,
            -0.5,
            2,
            -2,
            3,
            1e-30,
            -1e-30,
            1e-40,
            -1e-40,
            1e-45,
            1.1754944e-38,
        ),
        *(88.7, 88.8, -87.3, -87.4, -103.9, -104.1, 89.1, 1e4, -1e4, 3.4028235e38, -3.4028235e38),
        *(
            np.inf,
            -np.inf,
            np.nan,
            2.5,
            -2.5,
            1.5,
            0.49999997,
            8388609.0,
            9.0,
            -9.5,
            16777215,
            -1.5,
        ),
    ],
    np.float32,
)


def _samples() -> Floats:
    """All magnitudes, the interesting range densely, and the special values."""
    rng = np.random.default_rng(7)
    bits = rng.integers(0, 2**32, 300_000, dtype=np.uint32).view(np.float32)
    near = rng.uniform(-12, 12, 300_000).astype(np.float32)
    small = rng.uniform(-0.7, 0.7, 100_000).astype(np.float32)
    around = (1 + rng.uniform(-0.4, 0.5, 100_000)).astype(np.float32)
    return np.concatenate([SPECIAL, bits, near, small, around])


def _ulps(got: Floats, want: NDArray[np.float64]) -> NDArray[np.float64]:
    """Error in units of the last place of `want` as a float; NaN and infinities must agree."""
    with np.errstate(over="ignore", invalid="ignore"):
        rounded = want.astype(np.float32)
        exponent = np.clip(np.frexp(np.where(np.isfinite(want), want, 1))[1], -125, 128)
        error = np.abs(got.astype(np.float64) - want) / np.ldexp(1.0, exponent - 24)
    same = (np.isnan(got) & np.isnan(want)) | (got == rounded)
    edge = np.isinf(rounded) & (np.abs(got) > 3.4028e38) & (np.sign(got) == np.sign(rounded))
    return np.where(same | edge, np.where(np.isfinite(error), error, 0), error)


def _assert_close(
    name: str, got: Floats, want: NDArray[np.float64], bound: float, x: Floats
) -> None:
    error = _ulps(got, want)
    worst = int(np.nanargmax(np.where(np.isnan(error), np.inf, error)))
    assert error[worst] <= bound, f"{name}({x[worst]!r}) = {got[worst]!r}, not {want[worst]!r}"


@pytest.mark.parametrize("name", UNARY)
def test_function_is_accurate_everywhere(library: ctypes.CDLL, name: str) -> None:
    reference, bound = UNARY[name]
    x = _samples()
    if name in ("sin", "cos"):
        x = x[(np.abs(x) <= 2.0**30) | ~np.isfinite(x)]
    got = np.full_like(x, -7)
    getattr(library, f"run_{name}")(ctypes.c_long(x.size), _pointer(x), _pointer(got))
    with np.errstate(all="ignore"):
        want = np.asarray(reference(x.astype(np.float64)), np.float64)
    _assert_close(name, got, want, bound, x)


@pytest.mark.parametrize("name", BINARY)
def test_function_of_two_is_accurate_everywhere(library: ctypes.CDLL, name: str) -> None:
    reference, bound = BINARY[name]
    rng = np.random.default_rng(8)
    left, right = (v.ravel() for v in np.meshgrid(SPECIAL, SPECIAL))
    base = np.abs(rng.standard_cauchy(200_000)).astype(np.float32)
    power = rng.uniform(-20, 20, 200_000).astype(np.float32)
    x, y = np.concatenate([left, base, -base]), np.concatenate([right, power, np.rint(power)])
    got = np.full_like(x, -7)
    run = getattr(library, f"run_{name}")
    run(ctypes.c_long(x.size), _pointer(x), _pointer(y), _pointer(got))
    with np.errstate(all="ignore"):
        want = np.asarray(reference(x.astype(np.float64), y.astype(np.float64)), np.float64)
    _assert_close(name, got, want, bound, x)


def test_zero_keeps_its_sign_through_tanh_and_erf(library: ctypes.CDLL) -> None:
    x = np.array([-0.0, 0.0] * 16, np.float32)
    for name in ("tanh", "erf"):
        got = np.ones_like(x)
        getattr(library, f"run_{name}")(ctypes.c_long(x.size), _pointer(x), _pointer(got))
        assert (np.signbit(got) == np.signbit(x)).all() and (got == 0).all()


def test_far_angles_are_near_and_farther_ones_are_refused(library: ctypes.CDLL) -> None:
    x = np.array([2.0**31, 1e10, -3e12, 2.0**44, 2.0**45, -1e20, 3e38], np.float32)
    got = np.zeros_like(x)
    library.run_sin(ctypes.c_long(x.size), _pointer(x), _pointer(got))
    assert np.abs(got[:4] - np.sin(x[:4].astype(np.float64))).max() < 1e-6
    assert np.isnan(got[4:]).all()


@pytest.mark.parametrize("name", ["tanh", "exp", "erf", "log", "sigmoid", "softplus", "pow", "sin"])
def test_loops_over_functions_are_vectorised(tmp_path: Path, name: str) -> None:
    """The loop's body holds vector instructions and calls nothing."""
    chosen = compiler()
    if "clang" in chosen.version or not _is_x86():
        pytest.skip("reads gcc's x86 assembly")
    arguments = "x[i], x[n + i]" if name in BINARY else "x[i]"
    source = texts(includes(""))["weft.h"] + (
        "\nvoid run(long n, const float *restrict x, float *restrict y) {\n    #pragma omp simd\n"
        f"    for (long i = 0; i < n; ++i) y[i] = weft_{name}({arguments});\n}}\n"
    )
    (tmp_path / "f.c").write_text(source)
    command = [*chosen.command, *FLAGS, "-march=x86-64-v3", "-S", "f.c", "-o", "f.s"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    body = (tmp_path / "f.s").read_text().split("run:")[1].split(".cfi_endproc")[0]
    assert "call" not in body
    assert body.count("%ymm") > 40


def _is_x86() -> bool:
    import platform

    return platform.machine() in ("x86_64", "AMD64")


# ---- products ------------------------------------------------------------------------------------


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
        _pointer(c.memory.values), *_long(c.strides[0]), accumulate, _pointer(scratch.values)
    ]  # fmt: skip
    head = [*_long(m, n, k), _pointer(a.memory.values), *_long(*a.strides)]
    source = [_pointer(b.memory.values), *_long(*b.strides)]
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
        head = [*_long(m, n, k), _pointer(a.memory.values), *_long(*a.strides)]
        source = [_pointer(b.memory.values), *_long(*b.strides)]
        tail = [_pointer(c.memory.values), *_long(c.strides[0]), _pointer(row.values)]
        library.gemm_from_row(*head, *source, *tail, _pointer(scratch.values))
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


# ---- random numbers ------------------------------------------------------------------------------


def _stream(
    library: ctypes.CDLL, name: str, key: tuple[int, int, int], begin: int, count: int
) -> Floats:
    memory = guarded(count, 64)
    getattr(library, name)(
        *(ctypes.c_uint32(v) for v in key),
        ctypes.c_uint64(begin),
        ctypes.c_long(count),
        _pointer(memory.values),
    )
    assert memory.intact()
    return memory.values


KEYS = [(0, 0, 0), (7, 3, 11), (2**32 - 1, 2**31 + 5, 123456789)]
RANGES = [(0, 1), (0, 4), (1, 2), (3, 300), (5, 1000), (255, 513), (4 * (2**32 - 1) + 2, 40)]


@pytest.mark.parametrize("key", KEYS)
def test_random_numbers_are_the_same_in_c_and_numpy(
    library: ctypes.CDLL, key: tuple[int, int, int]
) -> None:
    for begin, count in RANGES:
        want = philox.uniform(*key, begin, count)
        assert (_stream(library, "uniform", key, begin, count) == want).all()
        assert (_stream(library, "uniform_each", key, begin, count) == want).all()
        bell = philox.normal(*key, begin, count)
        for name in ("normal", "normal_each"):
            np.testing.assert_allclose(_stream(library, name, key, begin, count), bell, 3e-6, 3e-7)


def test_philox_known_answers() -> None:
    """Source: Random123's kat_vectors, philox4x32 10."""
    answers = {
        ((0,) * 4, (0, 0)): (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2): (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
        ((0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0)): (
            0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1,
        ),
    }  # fmt: skip
    for (counter, key), want in answers.items():
        c0, c1, c2, c3 = (np.array([v], np.uint64) for v in counter)
        assert tuple(philox.philox((c0, c1, c2, c3), key)[0]) == want


def test_random_numbers_are_spread_as_they_should_be() -> None:
    flat, bell = philox.uniform(1, 2, 3, 0, 400_000), philox.normal(1, 2, 3, 0, 400_000)
    assert flat.min() >= 0 and flat.max() < 1
    assert abs(flat.mean() - 0.5) < 0.002 and abs(flat.var() - 1 / 12) < 0.001
    assert abs(bell.mean()) < 0.006 and abs(bell.var() - 1) < 0.008
    assert abs(np.mean(bell**4) - 3) < 0.08
    assert abs(np.corrcoef(bell[0::2], bell[1::2])[0, 1]) < 0.008
    other = philox.uniform(1, 3, 3, 0, 400_000)
    assert abs(np.corrcoef(flat, other)[0, 1]) < 0.006


# ---- threads, and the text itself ----------------------------------------------------------------


def test_threads_share_all_chunks_of_a_level_evenly(library: ctypes.CDLL) -> None:
    rng = np.random.default_rng(9)
    for size in (1, 2, 3, 8, 16):
        chunks, works = rng.integers(1, 7, 9), rng.integers(1, 500, 9)
        total, load = int(works.sum()), np.zeros(size)
        for number in range(9):
            each = max(1, int(works[number] // chunks[number]))
            before = int(works[:number].sum())
            share = _long(int(chunks[number]), before, each, total)
            borders = [library.border(*_long(me, size), *share) for me in range(size + 1)]
            assert borders[0] == 0 and borders[-1] == chunks[number]
            assert borders == sorted(borders)
            load += np.diff(borders) * each
        assert load.max() <= total / size + (works / chunks).max() + 1


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_nobody_passes_a_barrier_early(library: ctypes.CDLL, threads: int) -> None:
    if library.team(threads) != threads:
        pytest.skip("this compiler has no OpenMP, or the machine refuses so many threads")
    slots = np.zeros(8 * threads, np.int64)
    assert library.rounds(threads, ctypes.c_long(300), _pointer(slots)) == 0
    assert (slots.reshape(threads, 8)[:, 0] == 300).all()


FILES = texts(*(f'#include "{unit}.h"\n' for unit in UNITS))


@pytest.mark.parametrize("name", FILES)
def test_each_file_compiles_by_itself_without_a_warning(tmp_path: Path, name: str) -> None:
    chosen = compiler()
    for file, text in FILES.items():
        (tmp_path / file).write_text(text)
    (tmp_path / "t.c").write_text(f'#include "weft.h"\n#include "{name}"\nint unused;\n')
    command = [*chosen.command, "-std=gnu11", "-march=native", "-fopenmp-simd", "-O1"]
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
