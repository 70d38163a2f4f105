"""What kernels call values and sizes.

A kernel has three kinds of names: its own, those of values, which users choose, and those of
sizes, which users choose too.  They are kept apart here, for both languages: no value is called
like a size, and neither is called like a word of WORDS, also with a number behind it.
"""

from __future__ import annotations

import keyword
import re

from ...spec import dims
from ...spec.dims import Dim

_SHARED = """
row rows column columns block begin end first size seed step stream batch depth lead loop
local part start max min range
"""

_C = """
int long float double char short if else for while do return static const void auto break case
default inline register restrict signed sizeof struct switch typedef union unsigned volatile goto
enum extern continue uint32_t uint64_t int32_t int64_t
team me chunk chunks scratch main call own parts planes threads workspace memset memcpy omp
exp log sin cos tan j0 j1 y0 y1 INFINITY NAN i j l r t xb xs xc made packed_tile wide high factor
kept_planes most how laps lap_began lap_ended rest tiled joined
"""

_TRITON = """
tl triton in_row in_column inside ROWS COLUMNS BM BN BK GROUP m panel panels pixels
tile tile_m tile_n tiles_m tiles_n share split in_depth ones total band height length
top peak base shrink at in_at whole last rest program owned walked repeated
batch_extent image channel phase pixel group tap taps index x_at seen open winner best given chosen
near window program member source opposite source_row opposite_row
BO across in_across inner in_inner chunk rank first_each second_each first_blocks second_blocks
"""

_FUNCTIONS = """
absorb absorbed circle cosine expm1 floordiv gauss log1p maximum minimum mod philox philox_normal
philox_normal4 philox_uniform philox_uniform4 pick power round_even row_argmax row_argmin row_first
row_logsumexp row_max row_min row_moments row_squares sign sine softplus tanh unit woven
"""

_ALONG = """
in out tap taps corner first count phase open from rest near
"""

WORDS = frozenset([*_SHARED.split(), *_C.split(), *_TRITON.split(), *_FUNCTIONS.split()]) | {
    f"{word}_{axis}" for word in _ALONG.split() for axis in "dhw"
}
WORDS |= {f"{axis}_{word}" for word in ("in", "out") for axis in "dhw"}
"""Words that kernels with values of users use for what is neither a value nor a size."""

SIZE = re.compile(r"[A-Z]\d*|\w+_size")
"""What sizes are called, and nothing else."""

_NUMBERED = re.compile(r"(.+?)_\d+")


def reserved(name: str) -> bool:
    """Does a name, perhaps with a number behind it, mean something else than a value?"""
    numbered = _NUMBERED.fullmatch(name)
    stem = numbered[1] if numbered else name
    return stem in WORDS or SIZE.fullmatch(name) is not None


def spelled(name: str) -> str:
    """A name of a value in the letters that C and Python allow: what people read."""
    text = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_") or "value"
    text = f"_{text}" if text[0].isdigit() else text
    return f"{text}_" if keyword.iskeyword(text) else text


def identifier(name: str) -> str:
    """A name of a value fit for kernels: the last part of a path is enough."""
    text = spelled(name)
    return f"{text}_" if reserved(text) else text


def local_name(name: str) -> str:
    """What a value is called inside a kernel: the end of its path, so that equal layers print
    alike.

    `mlp.body.3.linear.bias` is `bias` there, and its gradient `d_bias`.
    """
    tail = name.rsplit(".", 1)[-1]
    return identifier(f"d_{tail}" if name.startswith("d_") and not tail.startswith("d_") else tail)


def size_name(symbol: str) -> str:
    """What a symbolic size is called: `B` and `T2` as they are, `TOKENS` is `TOKENS_size`.

    Sizes of the compiler's own begin with a dot and have small letters, which no user can write.
    """
    name = symbol.removeprefix(".")
    return name if SIZE.fullmatch(name) else f"{name}_size"


def c_expression(dim: Dim) -> str:
    """A size in C, over the names of its symbols."""
    return dims.c_expression(dim, {s: size_name(s) for s in dims.symbols(dim)})
