"""Counter-based random numbers: Philox4x32-10, the same in NumPy, C (`emit/c/random.h`) and Triton.

Element `index` of a random value is word `index & 3` of the block whose counter is
`(index >> 2 low, op, index >> 2 high, 0)`, under the key `(seed, step)`: it depends on nothing
else, neither on tiles nor on threads.

Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10

Counter = tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint64]]


def philox(counter: Counter, key: tuple[int, int]) -> NDArray[np.uint32]:
    """The four output words of each counter: shape [n, 4] for counters of shape [n]."""
    c0, c1, c2, c3 = (np.asarray(c, np.uint64) & _LOW for c in counter)
    for turn in range(_ROUNDS):
        k0, k1 = (np.uint64((k + turn * w) & 0xFFFFFFFF) for k, w in zip(key, _WEYL, strict=True))
        p0, p1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1 = (p1 >> _HALF) ^ c1 ^ k0, p1 & _LOW
        c2, c3 = (p0 >> _HALF) ^ c3 ^ k1, p0 & _LOW
    return np.stack((c0, c1, c2, c3), axis=1).astype(np.uint32)


def words(seed: int, step: int, op: int, begin: int, count: int) -> NDArray[np.uint32]:
    """The random words of elements `begin` to `begin + count`."""
    return _blocks(seed, step, op, begin, count).reshape(-1)[begin & 3 :][:count]


def uniform(seed: int, step: int, op: int, begin: int, count: int) -> NDArray[np.float32]:
    """Uniform numbers in [0, 1) with 24 bits, exact in float32."""
    return _unit(words(seed, step, op, begin, count)).astype(np.float32)


def normal(seed: int, step: int, op: int, begin: int, count: int) -> NDArray[np.float32]:
    """Standard normal numbers: Box and Muller on words (0, 1) and (2, 3) of each block."""
    pairs = _unit(_blocks(seed, step, op, begin, count)).reshape(-1, 2)
    radius = np.sqrt(-2.0 * np.log(pairs[:, 0] + 2.0**-24))
    angle = 2.0 * np.pi * pairs[:, 1]
    both = np.stack((radius * np.cos(angle), radius * np.sin(angle)), axis=1)
    return both.reshape(-1)[begin & 3 :][:count].astype(np.float32)


def _blocks(seed: int, step: int, op: int, begin: int, count: int) -> NDArray[np.uint32]:
    """The blocks that hold elements `begin` to `begin + count`, whole: shape [blocks, 4]."""
    block = np.arange(begin >> 2, (begin + count + 3) >> 2, dtype=np.uint64)
    zero = np.zeros_like(block)
    return philox((block, zero + np.uint64(op), block >> _HALF, zero), (seed, step))


def _unit(word: NDArray[np.uint32]) -> NDArray[np.float64]:
    return (word >> np.uint32(8)).astype(np.float64) * 2.0**-24
