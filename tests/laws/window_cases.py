"""Convolutions and pools in every geometry that has caused trouble elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

from tests.laws.cases import B, Build, Case, f32
from weft.compiler.ir.builder import Builder
from weft.compiler.ops.windows import turned


@dataclass(frozen=True)
class Geometry:
    """`pad` is before and after every axis; `outputs` counts windows."""

    name: str
    space: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    pad: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    channels: tuple[int, int] = (3, 4)
    groups: int = 1

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(
            (n + sum(p) - d * (k - 1) - 1) // s + 1
            for n, k, s, p, d in zip(
                self.space, self.kernel, self.stride, self.pad, self.dilation, strict=True
            )
        )

    @property
    def low(self) -> tuple[int, ...]:
        return tuple(low for low, _ in self.pad)


def square(name: str, size: int, kernel: int, stride: int = 1, pad: int = 0, dilation: int = 1,
           channels: tuple[int, int] = (3, 4), groups: int = 1) -> Geometry:  # fmt: skip
    pads = ((pad, pad),) * 2
    return Geometry(name, (size, size), (kernel,) * 2, (stride,) * 2, pads, (dilation,) * 2,
                    channels, groups)  # fmt: skip


GEOMETRIES = (
    square("plain", 6, 3),
    square("same", 5, 3, pad=1, channels=(5, 20)),
    square("pointwise", 4, 1, channels=(7, 33)),
    square("whole", 4, 4),
    square("even_kernel", 7, 4, stride=2, pad=1),
    square("strided", 7, 3, stride=2, pad=1, channels=(16, 8)),
    square("strided_pointwise", 5, 1, stride=2),
    square("stem", 13, 7, stride=4, pad=3, channels=(3, 8)),
    square("gap", 7, 2, stride=3),
    square("dilated", 9, 3, dilation=2, pad=2),
    square("dilated_strided", 11, 3, stride=2, dilation=3, pad=3),
    square("grouped", 5, 3, pad=1, channels=(6, 8), groups=2),
    square("depthwise", 6, 3, pad=1, channels=(6, 6), groups=6),
    square("depthwise_wide", 6, 3, stride=2, pad=1, channels=(3, 6), groups=3),
    Geometry("oblong", (5, 9), (3, 2), (1, 3), ((1, 1), (0, 2)), (2, 1)),
    Geometry("line", (11,), (3,), (2,), ((2, 1),), (1,)),
    Geometry("line_of_many", (90,), (70,), (3,), ((2, 5),), (1,)),
    Geometry("line_same", (7,), (5,), (1,), ((2, 2),), (1,), (4, 17)),
    Geometry("volume", (4, 3, 5), (2, 3, 3), (1, 1, 2), ((0, 1), (1, 1), (1, 0)), (1, 1, 1)),
)


def shared(g: Geometry) -> dict[str, object]:
    return {"stride": g.stride, "dilation": g.dilation, "low": g.low, "groups": g.groups}


def operands(b: Builder, g: Geometry) -> tuple[int, int]:
    inputs, outputs = g.channels
    x = f32(b, "x", B, *g.space, inputs)
    return x, f32(b, "w", outputs, inputs // g.groups, *g.kernel)


AHEAD = (
    square("ahead", 5, 3, pad=1, channels=(40, 33)),
    square("ahead_strided", 6, 3, stride=2, pad=1, channels=(16, 40)),
    square("ahead_pointwise", 4, 1, channels=(36, 20)),
    square("ahead_skipped", 5, 1, stride=2, channels=(32, 17)),
    square("ahead_dilated", 9, 3, dilation=2, pad=2, channels=(16, 18)),
    Geometry("ahead_line", (11,), (3,), (2,), ((2, 1),), (1,), (48, 18)),
)
"""Convolutions whose operand GPUs make of what they load."""


def normalised(g: Geometry) -> Build:
    """A convolution and its adjoint in the weight behind a normalisation over the batch; what lies
    outside is zero only after that.
    """

    def build(b: Builder) -> dict[str, int]:
        z, w = operands(b, g)
        shape, axes = b[z].shape, tuple(range(len(g.space) + 1))

        def spread(i: int) -> int:
            return b.broadcast(i, (len(axes),), shape)

        centred = b.map("sub", z, spread(b.mean(z, axes)))
        scale = b.map("rsqrt", b.map("add", b.mean(b.map("mul", centred, centred), axes), 0.1))
        scale = b.map("mul", scale, f32(b, "gain", g.channels[0]))
        shift = b.map("add", f32(b, "shift", g.channels[0]), 0.5)
        a = b.map("add", b.map("mul", centred, spread(scale)), spread(shift))
        a = b.map("maximum", a, -0.25)
        y = b.insert("convolve", (a, w), sizes=g.sizes, **shared(g))
        d = f32(b, "d", B, *g.sizes, g.channels[1])
        d_w = b.insert("convolve_weight", (a, d), kernel=g.kernel, **shared(g))
        return {"y": y, "d_w": b.map("mul", d_w, 0.02), "seen": b.sum(a, axes[1:])}

    return build


def shifted(g: Geometry) -> Build:
    """A convolution and its adjoint in the weight of what is stored anyway, less a number a
    channel; what lies outside is zero only after that.
    """

    def build(b: Builder) -> dict[str, int]:
        w = f32(b, "w", g.channels[1], g.channels[0], *g.kernel)
        one = {"kernel": (2, 2), "stride": (1, 1), "dilation": (1, 1), "low": (0, 0)}
        larger = f32(b, "larger", B, *(n + 1 for n in g.space), g.channels[0])
        z = b.insert("pool_max", (larger,), sizes=g.space, **one)
        a = b.map("sub", z, b.broadcast(f32(b, "shift", g.channels[0]), (3,), b[z].shape))
        y = b.insert("convolve", (a, w), sizes=g.sizes, **shared(g))
        d = f32(b, "d", B, *g.sizes, g.channels[1])
        d_w = b.insert("convolve_weight", (a, d), kernel=g.kernel, **shared(g))
        return {"y": b.map("mul", y, 0.1), "d_w": b.map("mul", d_w, 0.02), "z": b.map("tanh", z)}

    return build


AHEAD_OF_POOLS = (
    square("ahead_pool", 7, 3, stride=2, pad=1, channels=(5, 5)),
    square("ahead_pool_same", 4, 3, pad=1, channels=(18, 18)),
    square("ahead_pool_tiles", 6, 2, stride=2, channels=(8, 8)),
)
"""Pools whose operand GPUs make of what they load."""


def pooled(g: Geometry) -> Build:
    """The maximum, often of equals, its gradient and a sum behind a normalisation."""

    def build(b: Builder) -> dict[str, int]:
        z, axes = f32(b, "z", B, *g.space, g.channels[0]), tuple(range(len(g.space) + 1))
        centred = b.map("sub", z, b.broadcast(b.mean(z, axes), (len(axes),), b[z].shape))
        gain = b.broadcast(f32(b, "gain", g.channels[0]), (len(axes),), b[z].shape)
        a = b.map("sub", b.map("maximum", b.map("mul", centred, gain), 0.0), 2.0)
        window = {"kernel": g.kernel, "stride": g.stride, "dilation": g.dilation, "low": g.low}
        y = b.insert("pool_max", (a,), sizes=g.sizes, **window)
        d = f32(b, "d", *b[y].shape)
        d_a = b.insert("pool_max_input", (a, y, d), **window)
        total = b.insert("pool_sum", (a,), sizes=g.sizes, **window)
        return {"y": y, "d_a": b.map("mul", d_a, a), "total": b.map("mul", total, 0.1)}

    return build


WRITERS = (
    square("written", 5, 1, channels=(40, 20)),
    square("written_wide", 4, 1, channels=(16, 150)),
    square("written_odd", 3, 1, channels=(35, 17)),
)
"""Products whose left operand GPUs make of several values that they load, and store."""


def summed(g: Geometry) -> Build:
    """A residual sum behind a normalisation over the batch, which more than a product reads."""

    def build(b: Builder) -> dict[str, int]:
        x, w = operands(b, g)
        z, axes = f32(b, "z", *b[x].shape), tuple(range(len(g.space) + 1))
        centred = b.map("sub", z, b.broadcast(b.mean(z, axes), (len(axes),), b[x].shape))
        gain = b.broadcast(f32(b, "gain", g.channels[0]), (len(axes),), b[x].shape)
        a = b.map("maximum", b.map("add", x, b.map("mul", centred, gain)), -0.25)
        y = b.insert("convolve", (a, w), sizes=g.sizes, **shared(g))
        d = f32(b, "d", B, *g.sizes, g.channels[1])
        d_w = b.insert("convolve_weight", (a, d), kernel=g.kernel, **shared(g))
        d_a = b.map("where", b.map("gt", a, 0.0), x, 0.0)
        return {
            "y": b.map("tanh", b.map("mul", y, 0.1)),
            "d_w": b.map("mul", d_w, 0.02),
            "d_a": d_a,
        }

    return build


COTANGENTS = (
    square("cotangent_stem", 13, 7, stride=4, pad=3, channels=(3, 20)),
    square("cotangent_pointwise", 4, 1, channels=(40, 33)),
    Geometry("cotangent_line", (11,), (2,), (2,), ((2, 1),), (1,), (35, 18)),
)
"""Adjoints in a weight that make the cotangent of what they load."""


def spread_back(g: Geometry, *, alone: bool = False) -> Build:
    """The cotangent of what is normalised: the adjoint in x makes it, that in w reads it; `alone`:
    nobody asks for the one in x.
    """

    def build(b: Builder) -> dict[str, int]:
        outputs = g.channels[1]
        d, z = (f32(b, name, B, *g.sizes, outputs) for name in ("d", "z"))
        x, w = operands(b, g)
        axes = tuple(range(len(g.space) + 1))

        def spread(i: int) -> int:
            return b.broadcast(i, (len(axes),), b[d].shape)

        centred = b.map("sub", z, spread(b.mean(z, axes)))
        share = spread(b.mean(b.map("mul", d, centred), axes))
        d_z = b.map("sub", b.map("sub", d, spread(b.mean(d, axes))), b.map("mul", centred, share))
        d_w = b.insert("convolve_weight", (x, d_z), kernel=g.kernel, **shared(g))
        if alone:
            return {"d_w": b.map("mul", d_w, 0.02)}
        d_x = b.insert("convolve_input", (d_z, turned(b, w)), sizes=g.space, **shared(g))
        masked = b.map("where", b.map("gt", x, 0.0), b.map("mul", d_x, 0.1), 0.0)
        return {"d_x": masked, "sums": b.sum(masked, axes), "d_w": b.map("mul", d_w, 0.02)}

    return build


def _convolve(g: Geometry) -> Build:
    def build(b: Builder) -> dict[str, int]:
        x, w = operands(b, g)
        y = b.insert("convolve", (x, w), sizes=g.sizes, **shared(g))
        return {"y": b.map("tanh", b.map("mul", y, 0.1))}

    return build


def _convolve_input(g: Geometry) -> Build:
    def build(b: Builder) -> dict[str, int]:
        inputs, outputs = g.channels
        d = f32(b, "d", B, *g.sizes, outputs)
        u = turned(b, f32(b, "w", outputs, inputs // g.groups, *g.kernel))
        return {"x": b.insert("convolve_input", (d, u), sizes=g.space, **shared(g))}

    return build


def _convolve_weight(g: Geometry) -> Build:
    def build(b: Builder) -> dict[str, int]:
        inputs, outputs = g.channels
        x, d = f32(b, "x", B, *g.space, inputs), f32(b, "d", B, *g.sizes, outputs)
        w = b.insert("convolve_weight", (x, d), kernel=g.kernel, **shared(g))
        return {"w": b.map("mul", w, 0.02)}

    return build


def _pool(op: str, g: Geometry) -> Build:
    def build(b: Builder) -> dict[str, int]:
        x = f32(b, "x", B, *g.space, g.channels[0])
        geometry = {"kernel": g.kernel, "stride": g.stride, "dilation": g.dilation, "low": g.low}
        y = b.insert(op, (x,), sizes=g.sizes, **geometry)
        found = {"y": b.map("mul", y, 0.5)}
        if op == "pool_max":
            d = f32(b, "d", B, *g.sizes, g.channels[0])
            found["dx"] = b.insert("pool_max_input", (x, y, d), **geometry)
            e = f32(b, "e", B, *g.space, g.channels[0])
            found["picked"] = b.insert("pool_max_pick", (x, y, e), **geometry)
        return found

    return build


def _placed(g: Geometry) -> Build:
    def build(b: Builder) -> dict[str, int]:
        x, d = f32(b, "x", B, *g.space, g.channels[0]), f32(b, "d", B, *g.sizes, g.channels[0])
        geometry = {"kernel": g.kernel, "stride": g.stride, "dilation": g.dilation, "low": g.low}
        y = b.insert("pool_max", (x,), sizes=g.sizes, **geometry)
        place = b.insert("pool_max_place", (y, x), **geometry)
        dx = b.insert("pool_max_put", (place, d), sizes=g.space, **geometry)
        return {"y": b.map("mul", y, 0.5), "place": b.copy(place, "place"), "dx": dx}

    return build


def _pool_sum_input(g: Geometry) -> Build:
    def build(b: Builder) -> dict[str, int]:
        d = f32(b, "d", B, *g.sizes, g.channels[0])
        geometry = {"kernel": g.kernel, "stride": g.stride, "dilation": g.dilation, "low": g.low}
        return {"x": b.insert("pool_sum_input", (d,), sizes=g.space, **geometry)}

    return build


def _channels_first(b: Builder) -> dict[str, int]:
    """Two convolutions as the language has them: the transpositions between them vanish."""
    x, w = f32(b, "x", B, 3, 5, 6), f32(b, "w", 4, 3, 3, 3)
    v, bias = f32(b, "v", 2, 4, 3, 3), f32(b, "bias", 4)
    same = {"stride": (1, 1), "dilation": (1, 1), "low": (1, 1), "groups": 1, "sizes": (5, 6)}
    y = b.transpose(b.insert("convolve", (b.transpose(x, (0, 2, 3, 1)), w), **same), (0, 3, 1, 2))
    h = b.map("mul", b.map("add", y, b.broadcast(bias, (1,), (B, 4, 5, 6))), 0.1)
    z = b.insert("convolve", (b.transpose(h, (0, 2, 3, 1)), v), **same)
    return {"z": b.copy(b.transpose(z, (0, 3, 1, 2)), "z"), "mean": b.mean(h, (2, 3))}


def _itself(b: Builder) -> dict[str, int]:
    """A tensor that is its own weight, in both directions, and its own cotangent."""
    x = f32(b, "x", 3, 3, 3, 3)
    whole = {"stride": (1, 1), "dilation": (1, 1), "low": (0, 0), "groups": 1}
    y = b.insert("convolve", (x, x), sizes=(1, 1), **whole)
    wide = b.insert("convolve_input", (x, x), sizes=(5, 5), **whole)
    weight = b.insert("convolve_weight", (x, x), kernel=(1, 1), **whole)
    return {"y": b.copy(y, "y"), "wide": wide, "weight": weight}


SIZES = ({"B": 1, "T": 1}, {"B": 3, "T": 1}, {"B": 19, "T": 1})
EMPTY = ("pool_max", "oblong")  # some windows hold nothing: their maximum is -inf
POOLED = ("plain", "even_kernel", "strided", "gap", "dilated", "oblong", "line", "volume")

WINDOW_CASES: tuple[Case, ...] = (
    *(Case(f"convolve_{g.name}", _convolve(g), SIZES) for g in GEOMETRIES),
    *(Case(f"convolve_input_{g.name}", _convolve_input(g), SIZES) for g in GEOMETRIES),
    *(Case(f"convolve_weight_{g.name}", _convolve_weight(g), SIZES) for g in GEOMETRIES),
    *(
        Case(f"{op}_{g.name}", _pool(op, g), SIZES, smooth=(op, g.name) != EMPTY)
        for op in ("pool_max", "pool_sum")
        for g in GEOMETRIES
        if g.name in POOLED
    ),
    *(
        Case(f"pool_sum_input_{g.name}", _pool_sum_input(g), SIZES)
        for g in GEOMETRIES
        if g.name in POOLED
    ),
    Case("channels_first", _channels_first, SIZES),
    Case("convolve_itself", _itself, SIZES[:1]),
    Case("convolve_nothing", _convolve(GEOMETRIES[1]), ({"B": 0, "T": 1},), smooth=False),
)

PLACED_CASES: tuple[Case, ...] = tuple(
    Case(f"placed_{g.name}", _placed(g), SIZES, smooth=False)
    for g in GEOMETRIES
    if g.name in POOLED
)
"""Without a derivative: where maxima are, as pools of CPUs tell."""

GROUPED = (
    square("pairs", 11, 3, pad=1, channels=(40, 40), groups=20),
    square("threes", 7, 3, pad=1, channels=(6, 18), groups=6),
    square("four_to_one", 9, 5, channels=(24, 6), groups=6),
    square("fours_dilated", 10, 3, pad=2, dilation=2, channels=(16, 16), groups=4),
    square("one_to_four", 9, 3, stride=2, pad=1, channels=(8, 32), groups=8),
    square("eight_to_two", 5, 1, channels=(32, 8), groups=4),
    square("channels", 11, 3, pad=1, channels=(32, 32), groups=32),
    square("channels_dilated", 10, 3, stride=2, pad=2, dilation=2, channels=(16, 16), groups=16),
    Geometry("volumes", (4, 3, 10), (2, 3, 4), (1, 1, 2), ((0, 1), (1, 1), (2, 0)), (1, 1, 1),
             (4, 8), 2),
)  # fmt: skip
GROUPED_CASES: tuple[Case, ...] = tuple(
    Case(f"grouped_{op}_{g.name}", build(g), SIZES[::2], smooth=False)
    for g in GROUPED
    for op, build in (("y", _convolve), ("x", _convolve_input), ("w", _convolve_weight))
)
"""Groups of few channels, whose lanes are outputs on a CPU."""

SQUARES = (
    square("even", 8, 3, pad=1, channels=(16, 16)),
    square("odd", 7, 3, pad=1, channels=(17, 40)),
    square("inside", 9, 3, channels=(20, 8)),
    Geometry("uneven", (5, 12), (3, 3), (1, 1), ((0, 2), (1, 0)), (1, 1), (12, 10)),
)
SQUARES_CASES: tuple[Case, ...] = tuple(
    Case(f"squares_{op}_{g.name}", build(g), SIZES[::2], smooth=op == "y" and g.name == "odd")
    for g in SQUARES
    for op, build in (("y", _convolve), ("x", _convolve_input), ("w", _convolve_weight))
)
"""Convolutions of 3 x 3 that a CPU without tile units makes with fewer multiplications."""
