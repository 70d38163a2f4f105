"""Functions of numbers are within so many ulps everywhere, and vectorised."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from weft.compiler.emit.c import includes
from weft.compiler.emit.c import library as texts
from weft.runtime.native import FLAGS, compiler

from .harness import BINARY, UNARY, Floats, pointer

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
    getattr(library, f"run_{name}")(ctypes.c_long(x.size), pointer(x), pointer(got))
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
    run(ctypes.c_long(x.size), pointer(x), pointer(y), pointer(got))
    with np.errstate(all="ignore"):
        want = np.asarray(reference(x.astype(np.float64), y.astype(np.float64)), np.float64)
    _assert_close(name, got, want, bound, x)


def test_zero_keeps_its_sign_through_tanh_and_erf(library: ctypes.CDLL) -> None:
    x = np.array([-0.0, 0.0] * 16, np.float32)
    for name in ("tanh", "erf"):
        got = np.ones_like(x)
        getattr(library, f"run_{name}")(ctypes.c_long(x.size), pointer(x), pointer(got))
        assert (np.signbit(got) == np.signbit(x)).all() and (got == 0).all()


def test_far_angles_are_near_and_farther_ones_are_refused(library: ctypes.CDLL) -> None:
    farthest = library.farthest()
    assert farthest >= 2**35
    inside = [2.0**31, 1e10, -3e12, 2.0**44, farthest / 2, -farthest / 3]
    x = np.array([*(v for v in inside if abs(v) < farthest), farthest, -1e20, 3e38], np.float32)
    got = np.zeros_like(x)
    library.run_sin(ctypes.c_long(x.size), pointer(x), pointer(got))
    assert np.abs(got[:-3] - np.sin(x[:-3].astype(np.float64))).max() < 1e-6
    assert np.isnan(got[-3:]).all()


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
