"""How many samples a program takes through all of time, and how many columns at once."""

from __future__ import annotations

import pytest

from weft.compiler.emit.triton.tiles import MACHINES
from weft.compiler.emit.triton.time_blocks import AREA, LEAST, TimeBlock, time_block
from weft.runtime.gate import ATTEMPTS


@pytest.mark.parametrize("arch", MACHINES)
def test_more_samples_once_every_processor_has_some(arch: str) -> None:
    processors = MACHINES[arch].processors
    for samples in (1, 16 * processors):
        assert time_block(samples, arch, 0) == TimeBlock(16, 64, 32, alone=True)
    assert time_block(16 * processors + 1, arch, 0) == TimeBlock(32, 16, 32, alone=True)
    for samples in (32 * processors + 1, 1_000_000):
        assert time_block(samples, arch, 0) == TimeBlock(64, 16, 32, alone=True)


@pytest.mark.parametrize("samples", [16, 1_000_000])
def test_a_refused_block_shares_registers_before_it_is_halved(samples: int) -> None:
    sizes = [time_block(samples, "cuda:90", k) for k in range(ATTEMPTS)]
    areas = [(b.rows * b.columns, b.alone) for b in sizes]
    assert areas == [(AREA >> k, alone) for k in range(3) for alone in (True, False)]
    assert all(min(b.rows, b.columns, b.depth) >= LEAST for b in sizes)
    with pytest.raises(LookupError):
        time_block(samples, "cuda:90", ATTEMPTS)


def test_a_block_has_no_more_columns_than_there_are() -> None:
    block = time_block(16, "cuda:90", 0)
    assert block.warps == 8
    assert block.narrowed(200) == block
    assert block.narrowed(33) == block
    assert block.narrowed(20) == TimeBlock(16, 32, 32, alone=True)
    assert block.narrowed(3) == TimeBlock(16, 16, 16, alone=True)
    assert block.narrowed(3).warps == 4
