"""Random numbers are those of NumPy, bit for bit."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from tests.guarded import guarded
from weft.compiler.ops import philox

from .harness import Floats, pointer


def _stream(
    library: ctypes.CDLL, name: str, key: tuple[int, int, int], begin: int, count: int
) -> Floats:
    memory = guarded(count, 64)
    getattr(library, name)(
        *(ctypes.c_uint32(v) for v in key),
        ctypes.c_uint64(begin),
        ctypes.c_long(count),
        pointer(memory.values),
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
