"""Loops over time with bodies of their own: cells as people write them, and awkward ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.laws.cases import B, Build, Case, T
from weft.compiler.ir.body import ROW, Body
from weft.compiler.ir.builder import Builder
from weft.compiler.ir.types import TensorType
from weft.compiler.ops import new_builder
from weft.compiler.ops.weave import weave
from weft.spec.dims import symbol

S = symbol("S")

Shapes = Mapping[str, tuple[object, ...]]
Cell = Callable[[Builder, dict[str, int]], tuple[list[int], list[int]]]
"""The states after a step, and what it emits, from its inputs by name."""


def scan(
    cell: Cell,
    fixed: Shapes,
    states: Shapes,
    sequences: Shapes,
    *,
    reverse: bool = False,
    unread: tuple[int, ...] = (),
    whole: str = "",
    truth: str = "",
    made: bool = False,
    small: float = 0.4,
) -> Build:
    """All results of a cell but those `unread`; `whole` numbers stand in the sequence of that
    name, booleans in that of `truth`.  `made`: sequences are values of the graph, in whose place
    results may lie; weights are as `small`.
    """

    def build(b: Builder) -> dict[str, int]:
        c = new_builder()
        kinds = dict.fromkeys(sequences, "f32") | {whole: "i32", truth: "bool"}
        given = {
            name: c.input(name, TensorType(kinds.get(name, "f32"), shape))
            for name, shape in (fixed | states | sequences).items()  # type: ignore[operator]
        }
        after, emits = cell(c, given)
        body = Body(
            tuple(c.nodes),
            tuple(given[name] for name in fixed),
            tuple(given[name] for name in states),
            tuple(given[name] for name in sequences),
            tuple(after),
            tuple(emits),
        )

        def outside(name: str, shape: tuple[object, ...]) -> int:
            given = b.input(name, TensorType("f32", tuple(B if d is ROW else d for d in shape)))
            return b.map("mul", given, small)

        weights = [outside(name, shape) for name, shape in fixed.items()]
        starts = [outside(name, shape) for name, shape in states.items()]
        walked = []
        for name, shape in sequences.items():
            kind = "i32" if name == truth else kinds[name]
            feed = "indices" if kind == "i32" else name
            walked.append(b.input(feed, TensorType(kind, (B, T, *shape[1:]))))
            if name == truth:
                walked[-1] = b.map("ne", b.map("mod", walked[-1], 3.0), 0.0)
            elif made:
                walked[-1] = b.map("mul", walked[-1], 1.5)
        states_after, emitted = weave(b, body, weights, starts, walked, reverse=reverse)
        results = [*states_after, *(each.id for each in emitted)]
        kept = [k for k in range(len(results)) if k not in unread]
        return {f"result_{k}": b.map("mul", results[k], 0.5) for k in kept}

    return build


def _linear(c: Builder, x: int, weight: int, bias: int) -> int:
    product = c.contract("bd,ud->bu", x, weight)
    return c.map("add", product, c.broadcast(bias, (1,), c[product].shape))


def _plain(c: Builder, g: dict[str, int]) -> tuple[list[int], list[int]]:
    inner = c.map(
        "add", c.contract("bd,ud->bu", g["x"], g["w"]), _linear(c, g["h"], g["u"], g["b"])
    )
    return [c.map("tanh", inner)], []


def _long_short(c: Builder, g: dict[str, int]) -> tuple[list[int], list[int]]:
    """An LSTM, whose output is a product of its state."""
    both = c.concat((g["x"], g["h"]), 1)
    gates = _linear(c, both, g["w"], g["b"])
    units = c[g["h"]].shape[1]
    i, f, n, o = (c.slice(gates, (0, k * units), (ROW, units), (1, 1)) for k in range(4))
    i, f, o = (c.map("sigmoid", gate) for gate in (i, f, o))
    cells = c.map("add", c.map("mul", f, g["c"]), c.map("mul", i, c.map("tanh", n)))
    h = c.map("mul", o, c.map("tanh", cells))
    return [h, cells], [c.contract("bu,vu->bv", h, g["v"])]


def _opened(c: Builder, g: dict[str, int]) -> tuple[list[int], list[int]]:
    """An LSTM whose inputs say what its gates see of them."""
    gates = c.map("add", g["x"], c.contract("bd,ud->bu", g["h"], g["w"]))
    units = c[g["h"]].shape[1]
    i, f, n, o = (c.slice(gates, (0, k * units), (ROW, units), (1, 1)) for k in range(4))
    i, f, o = (c.map("sigmoid", gate) for gate in (i, f, o))
    cells = c.map("add", c.map("mul", f, g["c"]), c.map("mul", i, c.map("tanh", n)))
    return [c.map("mul", o, c.map("tanh", cells)), cells], []


def _reset(c: Builder, g: dict[str, int]) -> tuple[list[int], list[int]]:
    """A gated recurrent unit whose inputs say what its gates see of them."""
    inner, units = _linear(c, g["h"], g["w"], g["b"]), c[g["h"]].shape[1]
    rx, zx, nx, r, z, n = (
        c.slice(gates, (0, k * units), (ROW, units), (1, 1))
        for gates in (g["x"], inner)
        for k in range(3)
    )
    r, z = (c.map("sigmoid", c.map("add", a, b)) for a, b in ((rx, r), (zx, z)))
    n = c.map("tanh", c.map("add", nx, c.map("mul", r, n)))
    kept = c.map("mul", z, c.map("sub", g["h"], n))
    return [c.map("add", n, kept)], []


def _read_again(c: Builder, g: dict[str, int]) -> tuple[list[int], list[int]]:
    """What is emitted could lie where x does, but for a later reader of that."""
    a = c.map("sigmoid", c.map("add", g["x"], c.contract("bd,ud->bu", g["h"], g["u"])))
    later = c.contract("bd,ud->bu", a, g["w"])
    score = c.reduce("sum", c.map("mul", later, g["x"]), (1,))
    return [c.map("tanh", c.map("add", later, c.broadcast(score, (0,), c[a].shape)))], [a]


def _gated(c: Builder, g: dict[str, int]) -> tuple[list[int], list[int]]:
    """The minimal gated unit; it emits how far it forgot."""
    f = c.map("sigmoid", _linear(c, c.concat((g["x"], g["h"]), 1), g["w"], g["b"]))
    fresh = c.map("mul", f, g["h"])
    fresh = c.map("tanh", _linear(c, c.concat((g["x"], fresh), 1), g["u"], g["b"]))
    kept = c.map("mul", c.map("sub", c.constant(1.0), f), g["h"])
    return [c.map("add", kept, c.map("mul", f, fresh))], [f]


def _normalised(c: Builder, g: dict[str, int]) -> tuple[list[int], list[int]]:
    """A sum over units inside of the loop."""
    (h,), _ = _plain(c, g)
    middle = c.map("sub", h, c.broadcast(c.mean(h, (1,)), (0,), c[h].shape))
    size = c.map("add", c.mean(c.map("mul", middle, middle), (1,)), 0.1)
    scale = c.broadcast(c.map("rsqrt", size), (0,), c[h].shape)
    return [c.map("mul", middle, scale)], []


def _looking(c: Builder, g: dict[str, int]) -> tuple[list[int], list[int]]:
    """Each step looks at all of another sequence, which has a length of its own."""
    scores = c.contract("bu,bsu->bs", g["h"], g["memory"])
    top = c.broadcast(c.reduce("logsumexp", scores, (1,)), (0,), c[scores].shape)
    weights = c.map("exp", c.map("sub", scores, top))
    seen = c.contract("bs,bsu->bu", weights, g["memory"])
    return [c.map("tanh", c.map("add", c.map("add", seen, g["x"]), g["h"]))], [weights]


def _held(c: Builder, g: dict[str, int]) -> tuple[list[int], list[int]]:
    """Steps that do not count leave the states as they were."""
    (h, cells), emitted = _long_short(c, g)
    counts = c.broadcast(g["counts"], (0,), c[h].shape)
    return [c.map("where", counts, x, g[n]) for n, x in (("h", h), ("c", cells))], emitted


def _looked_up(c: Builder, g: dict[str, int]) -> tuple[list[int], list[int]]:
    rows = c.take(g["table"], c.map("mod", g["token"], 7.0))
    return [c.map("tanh", c.map("add", rows, c.contract("bu,vu->bv", g["h"], g["u"])))], []


def _matrices(c: Builder, g: dict[str, int]) -> tuple[list[int], list[int]]:
    """A state that is a matrix, as in linear attention; samples are not always in front."""
    outer = c.contract("bi,bj->bij", g["k"], g["x"])
    state = c.map("add", c.map("mul", g["m"], 0.8), outer)
    turned = c.transpose(state, (1, 0, 2))
    shifted = c.map("mul", turned, c.broadcast(g["k"], (1, 0), c[turned].shape))
    return [state], [c.contract("bij,bi->bj", state, g["x"]), c.sum(shifted, (0,))]


def _delayed(c: Builder, g: dict[str, int]) -> tuple[list[int], list[int]]:
    """One state is the last step's input, another counts: no loop leads through the first."""
    count = c.map("add", g["n"], 1.0)
    return [g["x"], count], [c.map("mul", g["h"], g["x"]), c.map("mul", count, g["x"])]


def _reshaped(c: Builder, g: dict[str, int]) -> tuple[list[int], list[int]]:
    """Heads: the state under another shape."""
    (h,), _ = _plain(c, g)
    heads = c.reshape(h, (ROW, 2, 3))
    best = c.broadcast(c.reduce("max", heads, (2,)), (0, 1), (ROW, 2, 3))
    flat = c.reshape(c.map("sub", heads, c.map("mul", best, 0.5)), (ROW, 6))
    by_x = c.reshape(c.slice(g["x"], (0, 0), (ROW, 4), (1, 1)), (ROW, 2, 2))
    return [flat], [c.sum(by_x, (2,))]


def _convolved(c: Builder, g: dict[str, int]) -> tuple[list[int], list[int]]:
    """Images as states."""
    same = {"stride": (1, 1), "low": (1, 1), "dilation": (1, 1), "groups": 1, "sizes": (4, 3)}
    made = c.insert("convolve", (g["h"], g["w"]), **same)
    return [c.map("tanh", c.map("add", made, g["x"]))], []


def _rows_of(c: Builder, g: dict[str, int], start: int, *, reverse: bool) -> tuple[int, int]:
    """A loop along the row that a step reads, from its state on: all states, and their outputs."""
    d = new_builder()
    width = c[start].shape[1]
    row = c[g["x"]].shape
    names = {
        "u": (width, width), "w": (width, row[2]), "b": (width,),
        "h": (ROW, width), "x": (ROW, *row[2:]),
    }  # fmt: skip
    inner = {name: d.input(name, TensorType("f32", shape)) for name, shape in names.items()}
    (h,), _ = _plain(d, inner)
    emitted = d.map("mul", h, h)
    fixed = tuple(inner[name] for name in ("u", "w", "b"))
    body = Body(tuple(d.nodes), fixed, (inner["h"],), (inner["x"],), (h,), (emitted,))
    given = [g[name] for name in ("u", "w", "b")]
    states, (out,) = weave(c, body, given, [start], [g["x"]], reverse=reverse)
    return states[0], out.id


def _nested(c: Builder, g: dict[str, int]) -> tuple[list[int], list[int]]:
    """Rows of an image: a loop along each, from what the rows above left behind."""
    states, out = _rows_of(c, g, g["h"], reverse=False)
    last = c.mean(states, (1,))
    return [c.map("tanh", c.map("add", last, c.map("mul", g["h"], 0.3)))], [c.sum(out, (1,))]


def _nested_apart(c: Builder, g: dict[str, int]) -> tuple[list[int], list[int]]:
    """The same backwards, behind a product of values of a sample, which takes launches."""
    states, _ = _rows_of(c, g, g["h"], reverse=True)
    scores = c.contract("bsu,bu->bs", states, g["h"])
    return [c.map("tanh", c.contract("bs,bsu->bu", scores, states))], []


def long_short(units: int, unread: tuple[int, ...] = ()) -> Build:
    """An LSTM of 3 inputs."""
    weights: Shapes = {"w": (4 * units, 3 + units), "b": (4 * units,), "v": (2, units)}
    states = _steps(h=(units,), c=(units,))
    return scan(_long_short, weights, states, _steps(x=(3,)), unread=unread)


def _wide(units: int, width: int) -> Shapes:
    return {"w": (units, width), "u": (units, units), "b": (units,)}


def _case(name: str, build: Build, *, smooth: bool = True) -> Case:
    return Case(f"scan_{name}", build, SIZES, smooth=smooth)


SIZES = (
    {"B": 3, "T": 4, "S": 5},
    {"B": 1, "T": 1, "S": 1},
    {"B": 70, "T": 2, "S": 3},
)


def _steps(**shapes: tuple[object, ...]) -> Shapes:
    return {name: (ROW, *shape) for name, shape in shapes.items()}


SCAN_CASES: tuple[Case, ...] = (
    *(
        _case(f"plain_{units}", scan(_plain, _wide(units, 3), _steps(h=(units,)), _steps(x=(3,))))
        for units in (1, 5, 17, 32)
    ),
    _case("reversed", scan(_plain, _wide(5, 3), _steps(h=(5,)), _steps(x=(3,)), reverse=True)),
    *(
        _case(f"long_short_{units}", long_short(units, unread))
        for units, unread in ((5, ()), (16, (0, 1)), (33, (1,)))
    ),
    _case(
        "gated",
        scan(
            _gated,
            {"w": (7, 10), "u": (7, 10), "b": (7,)},
            _steps(h=(7,)),
            _steps(x=(3,)),
        ),
    ),
    _case("normalised", scan(_normalised, _wide(6, 3), _steps(h=(6,)), _steps(x=(3,)))),
    _case(
        "held",
        scan(
            _held,
            {"w": (20, 8), "b": (20,), "v": (2, 5)},
            _steps(h=(5,), c=(5,)),
            _steps(x=(3,), counts=()),
            truth="counts",
        ),
    ),
    _case(
        "looking",
        scan(_looking, {"memory": (ROW, S, 4)}, _steps(h=(4,)), _steps(x=(4,))),
    ),
    _case(
        "looked_up",
        scan(
            _looked_up,
            {"table": (7, 5), "u": (5, 5)},
            _steps(h=(5,)),
            _steps(token=()),
            whole="token",
        ),
    ),
    _case("matrices", scan(_matrices, {}, _steps(m=(3, 3)), _steps(k=(3,), x=(3,)))),
    _case("delayed", scan(_delayed, {}, _steps(h=(4,), n=(4,)), _steps(x=(4,)))),
    _case(
        "convolved",
        scan(_convolved, {"w": (2, 2, 3, 3)}, _steps(h=(4, 3, 2)), _steps(x=(4, 3, 2))),
    ),
    *(
        _case(
            name,
            scan(cell, _wide(5, 3), _steps(h=(5,)), {"x": (ROW, S, 3)}),
        )
        for name, cell in (("nested", _nested), ("nested_apart", _nested_apart))
    ),
    _case("reshaped", scan(_reshaped, _wide(6, 5), _steps(h=(6,)), _steps(x=(5,)))),
)


def _long(name: str, cell: Cell, units: int, parts: int, states: str, weights: Shapes) -> Case:
    """A cell whose sequence is made, over steps and samples enough for tile units."""
    small = 0.4 if units < 48 else 0.05  # or errors would grow from step to step
    sides = _steps(**dict.fromkeys(states, (units,))), _steps(x=(parts * units,))
    return Case(f"{name}_{units}", scan(cell, weights, *sides, made=True, small=small), LONG)


LONG = ({"B": 16, "T": 4}, {"B": 20, "T": 3}, {"B": 3, "T": 3})
"""All rows of a tile, ten each, and fewer than are worth one."""

WIDE_SCANS: tuple[Case, ...] = (
    *(_long("opened", _opened, n, 4, "hc", {"w": (4 * n, n)}) for n in (33, 200)),
    *(_long("reset", _reset, n, 3, "h", {"w": (3 * n, n), "b": (3 * n,)}) for n in (40, 200)),
    _long("read_again", _read_again, 48, 1, "h", {"w": (48, 48), "u": (48, 48)}),
)
"""Several groups of units on tile units, which open beside the products of the next."""
