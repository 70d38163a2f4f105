"""The choice of tiles: fits the machine, covers what was asked, ends when nothing is left."""

from __future__ import annotations

import itertools

import pytest

from weft.compiler.emit.triton import MACHINES, Contraction, Operand, Tile, choose
from weft.compiler.emit.triton.tiles import HALF, SINGLE, room, shared_bytes

SHAPES = [(m, n, k) for m in (1, 64, 2601, 65536) for n in (1, 10, 120, 768) for k in (2, 20, 784)]


def contraction(n, k, dtype: str = "f32", m="rows") -> Contraction:
    return Contraction(m, n, k, Operand("x", dtype, 1, 1), Operand("w", dtype, 1, 1))


@pytest.mark.parametrize("arch", MACHINES)
@pytest.mark.parametrize("dtype", ("f32", "bf16"))
@pytest.mark.parametrize("pressure", (0, 1, 2))
def test_every_tile_fits_its_machine(arch, dtype, pressure):
    machine, item = MACHINES[arch], 4 if dtype == "f32" else 2
    for m, n, k in SHAPES:
        tile = choose(arch, contraction(n, k, dtype), {"rows": m}, pressure=pressure)
        assert shared_bytes(machine, tile, item) <= machine.shared
        assert tile.load <= room(machine, pressure, item)
        assert tile == choose(arch, contraction(n, k, dtype), {"rows": m}, pressure=pressure)
        if tile.form == "dot":
            assert min(tile.rows, tile.columns, tile.depth) >= 16
        assert tile.form == ("vector" if n == 1 else "outer" if k == 2 else "dot")


@pytest.mark.parametrize("arch", MACHINES)
def test_whole_rows_are_in_one_block(arch):
    for n in (2, 7, 10, 64, 100, 256):
        tile = choose(arch, contraction(n, 120), {"rows": 4096}, whole_rows=True)
        assert tile.columns >= n
        assert choose(arch, contraction(n, 2), {"rows": 4096}, whole_rows=True).columns >= n
    with pytest.raises(LookupError, match="1000 columns"):
        choose(arch, contraction(1000, 120), {"rows": 4096}, whole_rows=True)


@pytest.mark.parametrize("arch", MACHINES)
def test_refusals_lead_to_smaller_tiles_and_to_an_end(arch):
    seen: list[Tile] = []
    with pytest.raises(LookupError):
        for level in range(100):
            seen.append(choose(arch, contraction(3072, 768), {"rows": 65536}, level=level))
    for refused, tile in itertools.pairwise(seen):
        assert tile.load < refused.load or refused.load <= 16
    assert seen[1].load < seen[0].load
    assert len({str(tile) for tile in seen}) == len(seen) >= 4


def test_a_long_sum_is_shared_and_a_short_one_is_not():
    weight = contraction(20, "rows", m=120)
    assert choose("cuda:90", weight, {"rows": 64}).split == 1
    assert choose("cuda:90", weight, {"rows": 65536}).split > 1
    assert choose("interpret", weight, {"rows": 65536}).split == 1
    vector = contraction(1, "rows", m=20)
    assert choose("cuda:90", vector, {"rows": 65536}).split > 1


def test_large_products_get_large_tiles():
    """The tiles that the published model of these machines ranks first for 65536 x 3072 x 768."""
    large = {"rows": 65536}
    assert str(choose("cuda:90", contraction(3072, 768, "bf16"), large)) == "128x128x64/8/3"
    assert str(choose("cuda:90", contraction(3072, 768), large)) == "128x128x32/8/3"
    assert choose("cuda:90", contraction(3072, 768, "bf16"), large, pressure=0).columns == 256
    assert choose("cuda:90", contraction(3072, 768), large).group > 1
    small = choose("cuda:90", contraction(120, 784), {"rows": 64})
    assert small.rows * small.columns <= 512 and small.group == 1


def test_every_listed_tile_is_different():
    for tiles in (HALF, SINGLE):
        assert len({str(tile) for tile in tiles}) == len(tiles)
        assert {tile.form for tile in tiles} == {"dot"}
