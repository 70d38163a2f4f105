"""Graphs that together use every primitive op, in every shape that has caused trouble elsewhere."""

from __future__ import annotations

from tests.laws.cases import B, Build, Case, T, f32, i32
from weft.compiler.ir.builder import Builder
from weft.compiler.ops.maps import MAPS

POSITIVE = ("log", "sqrt", "rsqrt", "pow")
STEPS = ("floor", "round", "sign", "floordiv", "mod")  # finite differences do not see their kinks
TRUTH = ("gt", "ge", "lt", "le", "eq", "ne", "and", "or", "not")


def _unary(op: str) -> Build:
    return lambda b: {"y": b.map(op, f32(b, "x", B, 7))}


def _binary(op: str) -> Build:
    def build(b: Builder) -> dict[str, int]:
        x, y, row = f32(b, "x", B, 7), f32(b, "y", B, 7), f32(b, "row", 7)
        return {"both": b.map(op, x, y), "broadcast": b.elementwise(op, x, row)}

    return build


def _truth(op: str) -> Build:
    def build(b: Builder) -> dict[str, int]:
        x, y = f32(b, "x", B, 7), f32(b, "y", B, 7)
        compared = b.map(op, b.map("round", x), b.map("round", y))
        return {"y": b.map("where", compared, 1.0, 0.0)}

    return build


def _logic(b: Builder) -> dict[str, int]:
    x, y = b.map("gt", f32(b, "x", B, 7), 0.0), b.map("gt", f32(b, "y", B, 7), 0.0)
    found = {"and": b.map("and", x, y), "or": b.map("or", x, y), "not": b.map("not", x)}
    return {name: b.map("where", i, 1.0, 0.0) for name, i in found.items()}


def _where(b: Builder) -> dict[str, int]:
    x, y, z = f32(b, "x", B, 7), f32(b, "y", B, 7), f32(b, "z", B, 7)
    return {"y": b.map("where", b.map("gt", x, 0.0), y, z)}


def _integers(b: Builder) -> dict[str, int]:
    x, y = i32(b, "x", B, 7), i32(b, "y", B, 7)
    safe = b.map("where", b.map("eq", y, 0.0), 3.0, y)
    return {
        "sum": b.map("add", x, y),
        "later": b.map("add", b.map("add", x, b.constant(1, "i32")), b.constant(1, "i32")),
        "product": b.map("mul", x, y),
        "floordiv": b.map("floordiv", x, safe),
        "mod": b.map("mod", x, safe),
        "largest": b.map("maximum", x, y),
        "abs": b.map("abs", x),
        "sign": b.map("sign", x),
        "neg": b.map("neg", x),
        "total": b.sum(x, (1,)),
        "columns": b.sum(x, (0,)),
        "count": b.sum(b.cast(b.map("gt", x, y), "i32"), (0, 1)),
        "max": b.reduce("max", x, (0,)),
        "real": b.cast(x, "f32"),
    }


def _casts(b: Builder) -> dict[str, int]:
    x = f32(b, "x", B, 7)
    return {
        "i32": b.cast(b.map("mul", x, 3.0), "i32"),
        "back": b.cast(b.cast(x, "i32"), "f32"),
        "bool": b.cast(b.cast(x, "bool"), "f32"),
    }


def _fold(op: str, axes: tuple[int, ...], shape: tuple[object, ...]) -> Build:
    return lambda b: {"y": b.reduce(op, f32(b, "x", *shape), axes)}


def _means(b: Builder) -> dict[str, int]:
    x = f32(b, "x", B, T, 4)
    return {
        f"over_{''.join(map(str, axes))}": b.mean(x, axes)
        for axes in ((0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2))
    }


def _softmax(b: Builder) -> dict[str, int]:
    x = f32(b, "x", B, 10)
    log = b.map("sub", x, b.broadcast(b.reduce("logsumexp", x, (1,)), (0,), (B, 10)))
    return {"softmax": b.map("exp", log), "log_softmax": log}


def _layer_norm(b: Builder) -> dict[str, int]:
    x, gain = f32(b, "x", B, T, 33), f32(b, "gain", 33)
    shape = (B, T, 33)
    spread = lambda v: b.broadcast(v, (0, 1), shape)  # noqa: E731
    centred = b.map("sub", x, spread(b.mean(x, (2,))), name="centred")
    variance = b.mean(b.map("mul", centred, centred), (2,))
    y = b.map("mul", centred, spread(b.map("rsqrt", b.map("add", variance, 1e-5))))
    return {"y": b.map("mul", y, b.broadcast(gain, (2,), shape))}


def _views(b: Builder) -> dict[str, int]:
    x = f32(b, "x", B, 4, 6)
    twice = b.map("mul", x, 2.0)
    return {
        "transposed": b.transpose(twice, (2, 0, 1)),
        "squeezed": b.squeeze(b.reshape(b.sum(x, (1,)), (B, 1, 6)), (1,)),
        "unit": b.squeeze(f32(b, "unit", B, 1, 6), (1,)),
        "reshaped": b.map("tanh", b.reshape(twice, (B, 24))),
        "regrouped": b.map("tanh", b.reshape(x, (B * 4, 6))),
        "broadcast": b.broadcast(b.sum(x, (0,)), (1, 2), (B, 4, 6)),
    }


def _slices(b: Builder) -> dict[str, int]:
    x = f32(b, "x", B, 9)
    left = b.slice(x, (0, 0), (B, 4), (1, 1))
    right = b.slice(x, (0, 4), (B, 5), (1, 1))
    return {
        "swapped": b.concat([right, left], 1),
        "product": b.map("mul", left, b.slice(right, (0, 1), (B, 4), (1, 1))),
        "padded": b.pad(x, (1, 2), (0, 1), 0.5),
        "stacked": b.concat([x, b.map("neg", x)], 0),
    }


def _read_back(b: Builder) -> dict[str, int]:
    """Values that a kernel writes, read again at other places: sliced, taken, reshaped."""
    x, indices = f32(b, "x", B, 6), i32(b, "indices", B)
    y = b.map("tanh", x)
    column = b.sum(y, (1,))
    table = b.map("mul", b.slice(y, (0, 0), (B, 3), (1, 1)), b.slice(y, (0, 3), (B, 3), (1, 1)))
    rows = b.take(y, b.map("mod", b.map("abs", indices), 1.0))
    return {
        "y": y,
        "table": table,
        "rows": b.map("mul", rows, y),
        "turned": b.concat(
            [b.slice(y, (0, 5), (B, 1), (1, 1)), b.slice(y, (0, 0), (B, 5), (1, 1))], 1
        ),
        "flat": b.map("add", b.reshape(y, (B * 6,)), 1.0),
        "column": b.map("mul", b.reshape(b.reshape(column, (B, 1)), (B,)), column),
    }


def _strided(b: Builder) -> dict[str, int]:
    x = f32(b, "x", B, 9)
    y = f32(b, "y", B, 6, 7)
    return {
        "every_second": b.slice(x, (0, 1), (B, 4), (1, 2)),
        "both": b.slice(y, (0, 0, 0), (B, 3, 3), (1, 2, 3)),
        "backwards": b.slice(y, (0, 5, 6), (B, 3, 4), (1, -2, -2)),
    }


def _spread(b: Builder) -> dict[str, int]:
    x = f32(b, "x", B, 3, 4)
    sizes = {"even": (B, 6, 4), "behind": (B, 9, 11), "whole": (B, 5, 4)}
    starts, steps = {"behind": (0, 2, 1)}, {"behind": (1, 2, 3)}
    return {
        name: b.insert(
            "spread", (x,), name, starts=starts.get(name, (0, 0, 0)), sizes=size,
            steps=steps.get(name, (1, 2, 1)),
        )
        for name, size in sizes.items()
    }  # fmt: skip


def _band(b: Builder) -> dict[str, int]:
    """Short rows of a matrix: within a known axis, beyond the ends of one of any size, turned."""
    x, y = f32(b, "x", B, 6, 4), f32(b, "y", B, T, 4)
    first = b.table([0, 0, 1, 3, 4], (5,), "i32")
    weights = b.table([0.25 * (k % 5) - 0.5 for k in range(10)], (2, 5))
    wide = b.table([1 - 0.3 * (k % 4) for k in range(15)], (3, 5))
    within = b.insert("band", (x, first, weights), axis=1, reads=3)
    return {
        "within": b.map("tanh", within),
        "turned": b.insert("band", (b.transpose(x, (2, 0, 1)), first, weights), axis=2, reads=3),
        "open": b.insert("band", (y, first, wide), axis=1, reads=5),
    }


def _product(spec: str, a: tuple[object, ...], c: tuple[object, ...]) -> Build:
    return lambda b: {"y": b.contract(spec, f32(b, "a", *a), f32(b, "c", *c))}


def _turned_broadcast(b: Builder) -> dict[str, int]:
    """A broadcast whose axes come in another order."""
    x, y = f32(b, "x", B, 4), f32(b, "y", T)
    wide = b.broadcast(x, (2, 0), (4, T, B))
    return {"y": b.map("tanh", b.map("add", wide, b.broadcast(y, (1,), (4, T, B))))}


def _embedding(b: Builder) -> dict[str, int]:
    table, indices = f32(b, "table", 11, 5), i32(b, "indices", B, T)
    return {"rows": b.map("tanh", b.take(table, indices))}


def _tied(b: Builder) -> dict[str, int]:
    """One table read by rows and by a product: its gradient is scattered into a layout of the
    product's.
    """
    table, indices, x = f32(b, "table", 11, 40), i32(b, "indices", B), f32(b, "x", B, 40)
    scores = b.contract("bk,vk->bv", b.map("add", x, b.take(table, indices)), table)
    return {"scores": b.map("tanh", b.map("mul", scores, 0.02))}


def _one_hot(b: Builder) -> dict[str, int]:
    indices = i32(b, "indices", B)
    hit = b.map("eq", b.iota((B, 11), 1), b.broadcast(indices, (0,), (B, 11)))
    return {"y": b.map("where", hit, 1.0, 0.0)}


def _random(b: Builder) -> dict[str, int]:
    x = f32(b, "x", B, 13)
    u, n = b.random("uniform", (B, 13), 3), b.random("normal", (B, 13), 4)
    return {
        "masked": b.map("where", b.map("lt", u, 0.5), x, 0.0),
        "noisy": b.map("add", x, n),
        "flat": b.random("uniform", (B, 2), 5),
    }


def _constants(b: Builder) -> dict[str, int]:
    x = f32(b, "x", B, 3)
    ones = b.broadcast(b.constant(1.0), (), (B, 4))
    return {
        "ones": b.copy(ones, "ones"),
        "same": b.copy(x, "same"),
        "again": b.insert("again", (b.map("exp", x),), number=1),
        "slope": b.insert("slope", (b.map("exp", x),)),
        "size": b.copy(b.size(B * B), "size"),
    }


def _tables(b: Builder) -> dict[str, int]:
    """Listed numbers: as they are, beside tensors, as rows to take, as a matrix of a product."""
    x = f32(b, "x", B, 6)
    weights = b.table([0.5, -1, 1e-7, 3, 3, 3, -0.0, 100, 2, 7, 8, 9], (2, 6))
    places = b.table([5, 0, 0, 2], (4,), "i32")
    matrix = b.table([k % 7 - 3 for k in range(6 * 20)], (6, 20))
    columns = b.take(b.transpose(x, (1, 0)), places)
    return {
        "bare": b.copy(b.table([1, 2, 3], (3, 1)), "bare"),
        "whole": places,
        "scaled": b.map("mul", x, b.broadcast(b.table([1, 2, 4, 8, 16, 32], (6,)), (1,), (B, 6))),
        "columns": columns,
        "product": b.contract("ik,kj->ij", x, matrix),
        "both": b.map(
            "mul", b.broadcast(x, (0, 2), (B, 2, 6)), b.broadcast(weights, (1, 2), (B, 2, 6))
        ),
        "summed": b.sum(
            b.map("mul", x, b.broadcast(b.table([3, 1, 4, 1, 5, 9], (6,)), (1,), (B, 6))), (0,)
        ),
    }


def _mixed(b: Builder) -> dict[str, int]:
    """Row sums, column sums and a full sum of one tensor, beside a map of it."""
    x = f32(b, "x", B, 37)
    y = b.map("mul", x, x)
    return {"y": y, "rows": b.sum(y, (1,)), "columns": b.sum(y, (0,)), "all": b.sum(y, (0, 1))}


def _pairs(b: Builder) -> dict[str, int]:
    """Every pair of rows: the same tensor read along both axes of one kernel."""
    x = f32(b, "x", B)
    return {"difference": b.map("sub", b.broadcast(x, (0,), (B, B)), b.broadcast(x, (1,), (B, B)))}


def _chain(b: Builder) -> dict[str, int]:
    """Two layers and a loss over narrow values, as a stage of panels."""
    x, w, v = f32(b, "x", B, 6), f32(b, "w", 6, 20), f32(b, "v", 20, 3)
    hidden = b.map("tanh", b.contract("ik,kj->ij", x, w))
    y = b.contract("ik,kj->ij", hidden, v)
    return {"y": b.copy(y, "y"), "loss": b.mean(b.map("mul", y, y), (0, 1))}


MANY = ({"B": 1, "T": 1}, {"B": 5, "T": 3}, {"B": 67, "T": 2})
BATCHES = (*MANY[:2], {"B": 3, "T": 17})
"""Where `B` counts products: few of them, of several tiles each."""
EMPTY = ({"B": 0, "T": 2},)


def _repeated_sum(b: Builder) -> dict[str, int]:
    """A sum over the rows of what a sibling repeats along one more axis."""
    x, slots = f32(b, "x", B, T, 4), f32(b, "slots", B, T, 4, 3)
    spread = b.broadcast(x, (0, 1, 2), (B, T, 4, 3))
    return {"placed": b.map("mul", spread, slots), "counts": b.reduce("sum", x, (0, 1))}


def _whole_numbers(b: Builder) -> dict[str, int]:
    """Functions of a difference of whole numbers, which is written inside them."""
    apart = b.map("sub", i32(b, "i", B, 7), i32(b, "j", B, 7))
    three = b.constant(3, "i32")
    return {
        **{name: b.map(name, apart) for name in ("abs", "sign", "neg")},
        **{name: b.map(name, apart, three) for name in ("maximum", "floordiv", "mod")},
    }


def _unit_sum(b: Builder) -> dict[str, int]:
    """A sum along an axis of one, of a product."""
    x, y = f32(b, "x", B, 3, 1, T), f32(b, "y", B, T, 8)
    return {"z": b.reduce("sum", b.contract("bhut,btd->bhud", x, y), (2,))}


CASES: tuple[Case, ...] = (
    *(
        Case(
            f"map_{name}",
            _unary(name)
            if name
            not in ("add", "sub", "mul", "div", "pow", "floordiv", "mod", "maximum", "minimum")
            else _binary(name),
            MANY if name in ("tanh", "add", "maximum") else MANY[1:2],
            name in POSITIVE or name in ("div", "floordiv", "mod"),
            name not in STEPS,
        )
        for name in MAPS
        if name not in (*TRUTH, "where")
    ),
    *(Case(f"map_{name}", _truth(name), smooth=False) for name in TRUTH[:6]),
    Case("logic", _logic, smooth=False),
    Case("where", _where),
    Case("integers", _integers, smooth=False),
    Case("casts", _casts, smooth=False),
    *(
        Case(
            f"{op}_{'x'.join(map(str, shape))}_{''.join(map(str, axes))}",
            _fold(op, axes, shape),
            MANY,
        )
        for op in ("sum", "max", "min", "logsumexp")
        for shape, axes in (
            ((B, 10), (1,)),
            ((B, 10), (0,)),
            ((B, 40), (1,)),
            ((B,), (0,)),
            ((B, T, 4), (1,)),
            ((B, T, 4), (0, 2)),
        )
    ),
    *(
        Case(f"{op}_{axis}", _fold(op, (axis,), (B, 10)), MANY, smooth=False)
        for op in ("argmax", "argmin")
        for axis in (0, 1)
    ),
    Case("means", _means, MANY),
    Case("softmax", _softmax, MANY),
    Case("layer_norm", _layer_norm, MANY),
    Case("views", _views, MANY),
    Case("slices", _slices, MANY),
    Case("read_back", _read_back, MANY),
    Case("strided_slice", _strided, MANY),
    Case("spread", _spread, MANY),
    Case("band", _band, MANY),
    *(
        Case(f"contract_{spec}", _product(spec, a, c), BATCHES if spec[0] in "ba" else MANY)
        for spec, a, c in (
            ("ik,kj->ij", (B, 7), (7, 33)),
            ("ik,jk->ij", (B, 7), (5, 7)),
            ("ki,kj->ij", (B, 7), (B, 33)),
            ("ki,jk->ij", (7, B), (5, 7)),
            ("ik,kj->ji", (B, 40), (40, 50)),
            ("bik,bkj->bij", (B, T, 5), (B, 5, 6)),
            ("bhik,bhjk->bhij", (B, 2, T, 5), (B, 2, T, 5)),
            ("bij,bij->b", (B, T, 5), (B, T, 5)),
            ("i,j->ij", (B,), (7,)),
            ("i,i->", (B,), (B,)),
            ("btk,kj->btj", (B, T, 7), (7, 33)),
            ("btk,btj->kj", (B, T, 7), (B, T, 9)),
            ("bkt,btj->kj", (B, 7, T), (B, T, 9)),
            ("abmn,abkm->akn", (B, 2, T, 4), (B, 2, 5, T)),
        )
    ),
    Case("turned_broadcast", _turned_broadcast, MANY),
    Case("embedding", _embedding, MANY),
    Case("tied", _tied, MANY),
    Case("one_hot", _one_hot, MANY, smooth=False),
    Case("random", _random, MANY, smooth=False),
    Case("tables", _tables, MANY),
    Case("constants", _constants, MANY, smooth=False),
    Case("mixed_sums", _mixed, MANY),
    Case("repeated_sum", _repeated_sum, MANY),
    Case("unit_sum", _unit_sum, BATCHES),
    Case("whole_numbers", _whole_numbers, smooth=False),
    Case("pairs", _pairs, MANY),
    Case("chain", _chain, (*MANY, {"B": 601, "T": 1})),
    Case("empty_sums", _mixed, EMPTY, smooth=False),
    Case("empty_chain", _chain, EMPTY, smooth=False),
)
