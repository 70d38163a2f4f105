"""A whole training step as a launch list: interpreted, and on a GPU, against NumPy."""

from __future__ import annotations

import json

import numpy as np
import pytest

from weft.compiler.artifact import (
    Artifact,
    Buffer,
    Entry,
    Initialiser,
    KernelRecord,
    Launch,
    Parameter,
    Port,
    Scalar,
    State,
    from_json,
    to_json,
)
from weft.compiler.emit import triton as emit
from weft.compiler.emit.triton import Contraction, Gathered, Gemm, Operand, Tile
from weft.runtime.triton_engine import TritonEngine
from weft.spec.errors import DataError

IN, HIDDEN, OUT = 37, 20, 7
PLACES = {"weight0": 0, "bias0": 752, "weight1": 784, "bias1": 928}
SHAPES = {"weight0": (IN, HIDDEN), "bias0": (HIDDEN,), "weight1": (HIDDEN, OUT), "bias1": (OUT,)}
LENGTH = 960

UPDATE = '''
@triton.jit
def update(loss_ptr, rate_ptr, parameter_ptr, gradient_ptr, momentum_ptr):
    """Descent with momentum 0.9; nothing when the loss is not finite."""
    at = tl.program_id(0) * 256 + tl.arange(0, 256)
    inside = at < 960
    loss = tl.load(loss_ptr)
    if tl.abs(loss) < float("inf"):
        rate = tl.load(rate_ptr)
        gradient = tl.load(gradient_ptr + at, mask=inside)
        momentum = 0.9 * tl.load(momentum_ptr + at, mask=inside) + gradient
        parameter = tl.load(parameter_ptr + at, mask=inside)
        tl.store(momentum_ptr + at, momentum, mask=inside)
        tl.store(parameter_ptr + at, parameter - rate * momentum, mask=inside)
'''


def pointers(*names: str) -> tuple[emit.Parameter, ...]:
    types = {"label": "i32", "seed": "i32", "step": "i32"}
    return tuple(emit.Parameter.pointer(n, types.get(n, "f32")) for n in names)


def kernels(tile: Tile, split: int) -> list[emit.KernelText]:
    """Forward and backward of image -> linear -> relu -> dropout -> linear -> cross entropy."""

    def x(buffer: str, row: int, column: int) -> Operand:
        return Operand(buffer, "f32", row, column)

    def gemm(name, c, tile, product, lines, extra, **more) -> tuple[emit.KernelText, ...]:
        return emit.gemm_kernel(
            Gemm(name=name, contraction=c, tile=tile, product=product, epilogue=tuple(lines),
                 parameters=pointers(*extra), title=name, precision="ieee", **more)
        )  # fmt: skip

    c = Contraction("rows", HIDDEN, IN, x("image", IN, 1), x("weight0", HIDDEN, 1))
    found = [*gemm("hidden", c, tile, "z", [
        "z = maximum(z + tl.load(bias0_ptr + column, mask=in_column, other=0.0), 0.0)",
        "keep = philox_uniform(tl.load(seed_ptr), tl.load(step_ptr), 5, row * 20 + column) >= 0.25",
        "h = tl.where(keep, z / 0.75, 0.0)",
        "tl.store(h_ptr + row * 20 + column, h, mask=in_row & in_column)",
    ], ["bias0", "seed", "step", "h"])]  # fmt: skip
    c = Contraction("rows", OUT, HIDDEN, x("h", HIDDEN, 1), x("weight1", OUT, 1))
    found += gemm("head", c, Tile(16, 16, 16, 4, 2), "z", [
        "z = z + tl.load(bias1_ptr + column, mask=in_column, other=0.0)",
        "top = row_max(tl.where(in_column, z, -float('inf')))",
        "e = tl.where(in_column, tl.exp(z - top), 0.0)",
        "total = tl.sum(e, axis=1, keep_dims=True)",
        "label = tl.load(label_ptr + row, mask=in_row, other=0)",
        "hit = tl.where(column == label, 1.0, 0.0)",
        "row_loss = top + tl.log(total) - tl.sum(hit * z, axis=1, keep_dims=True)",
        "d_z1 = tl.where(in_row, (e / total - hit) / rows, 0.0)",
        "tl.store(d_z1_ptr + row * 7 + column, d_z1, mask=in_row & in_column)",
        "loss = tl.sum(tl.where(in_row, row_loss, 0.0), axis=0, keep_dims=True) / rows",
        "tl.store(loss_partial_ptr + tile_m + tl.zeros_like(loss).to(tl.int32), loss)",
        "d_bias1 = tl.sum(d_z1, axis=0, keep_dims=True)",
        "tl.store(d_bias1_partial_ptr + tile_m * 7 + column, d_bias1, mask=in_column)",
    ], ["bias1", "label", "d_z1", "loss_partial", "d_bias1_partial"])  # fmt: skip
    gathers = [Gathered("loss_partial", "loss", 1), Gathered("d_bias1_partial", "d_bias1", OUT)]
    found.append(emit.finish_kernel("finish_head", gathers, count="count", title="loss, d_bias1"))
    c = Contraction("rows", HIDDEN, OUT, x("d_z1", OUT, 1), x("weight1", 1, OUT))
    found += gemm("d_hidden", c, Tile(8, 32, 1, 4, 1), "d_h", [
        "h = tl.load(h_ptr + row * 20 + column, mask=in_row & in_column, other=0.0)",
        "d_z0 = tl.where(h > 0, d_h / 0.75, 0.0)",
        "tl.store(d_z0_ptr + row * 20 + column, d_z0, mask=in_row & in_column)",
    ], ["h", "d_z0"])  # fmt: skip
    for name, left, right, m, n in (
        ("1", "h", "d_z1", HIDDEN, OUT),
        ("0", "image", "d_z0", IN, HIDDEN),
    ):
        c = Contraction(m, n, "rows", x(left, 1, m), x(right, n, 1))
        cut = Tile(16, 16, 16, 4, 2, split if name == "0" else 1)
        f = emit.frame(c, cut)
        inside = f", mask={f.inside}" if f.inside else ""
        line = f"tl.store(d_weight{name}_ptr + row * {n} + column, d_weight{inside})"
        sums = emit.Sums("b", "d_bias0") if name == "0" else None
        found += gemm(f"d_weight{name}", c, cut, "d_weight", [line], [f"d_weight{name}"], sums=sums)
    return found


def artifact(target: str = "interpret", split: int = 2) -> Artifact:
    found = kernels(Tile(16, 32, 16, 4, 2), split)
    panels = ("//", ("+", "B", 15), 16)
    sizes = {"rows": "B", "count": panels}
    inside = {
        "h": ("B", HIDDEN),
        "d_z1": ("B", OUT),
        "d_z0": ("B", HIDDEN),
        "loss_partial": (panels,),
    }
    inside |= {"d_bias1_partial": (panels, OUT), "d_weight_partial": (split, IN, HIDDEN)}
    inside |= {"d_bias0_partial": (split, HIDDEN)}
    buffers, offset = [], 0

    def add(name, shape, space, offset=0, slot=0, dtype="f32") -> None:
        strides = [1]
        for extent in reversed(shape[1:]):
            strides.append(("*", strides[-1], extent))
        strides = tuple(reversed(strides[: len(shape)]))
        buffers.append(Buffer(name, dtype, shape, space, slot, offset, strides, "net.weft:1:1"))

    for name, shape in inside.items():
        add(name, shape, "workspace", offset)
        offset = ("+", offset, ("*", 64, ("//", ("+", ("*", 4, *shape), 63), 64)))
    for name, place in PLACES.items():
        add(name, SHAPES[name], "parameter", 4 * place)
        add(f"d_{name}", SHAPES[name], "gradient", 4 * place)
    add("parameter", (LENGTH,), "parameter")
    add("gradient", (LENGTH,), "gradient")
    add("momentum", (LENGTH,), "state")
    add("image", ("B", IN), "input")
    add("label", ("B",), "input", slot=1, dtype="i32")
    add("loss", (), "output")
    special = {"seed": "call:seed", "step": "call:step", "rate": "scalar:rate"}

    def argument(name: str):
        if not name.endswith("_ptr"):
            return ("size", sizes[name])
        return special.get(name[:-4], name[:-4])

    launches = [
        Launch(k.name, k.launch_grid(sizes), tuple(argument(p.name) for p in k.parameters),
               tuple(k.constants.items()), k.warps, k.stages)
        for k in found
    ]  # fmt: skip
    names = ("loss", "rate", "parameter", "gradient", "momentum")
    arguments = tuple(special.get(n, n) for n in names)
    launches.append(Launch("update", (4,), arguments, (), 4, 2))
    ports = (Port("image", "f32", ("B", IN)), Port("label", "i32", ("B",)))
    loss = (Port("loss", "f32", ()),)
    scalars = (Scalar("rate", "rate"),)

    def entry(kind: str, launches: list[Launch]) -> Entry:
        return Entry(
            kind, "main", "", ports, loss, ("B",), scalars, offset, tuple(buffers), tuple(launches)
        )

    text = emit.module([*(k.text for k in found), UPDATE], "A two-layer network.")
    start = Initialiser("normal", (), 1, 1)
    parameters = tuple(
        Parameter(n, SHAPES[n], p, (*SHAPES[n][1:], 1), start, "net.weft:1:1")
        for n, p in PLACES.items()
    )
    return Artifact(
        name="two layers", target=target, precision="fp32", files={"kernels.py": text}, spec={},
        parameters=parameters, length=LENGTH, states=(State("main", "momentum", 0.0),),
        entries=(
            entry("train", launches),
            entry("gradient", launches[:-1]),
            entry("probe", launches[:-1]),
        ),
        kernels=tuple(
            KernelRecord(k.name, "train_main", "product", 0, 0, (), (), (), k.spec()) for k in found
        ),
        sizes={"B": 29}, train=None, traffic={},
    )  # fmt: skip


def start(engine: TritonEngine) -> None:
    rng = np.random.default_rng(1)
    parameters = engine.parameters
    for name, place in PLACES.items():
        count = int(np.prod(SHAPES[name]))
        parameters[place : place + count] = rng.standard_normal(count) * 0.3


def batch(rows: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "image": rng.standard_normal((rows, IN)).astype(np.float32),
        "label": rng.integers(0, OUT, rows).astype(np.int32),
    }


def reference(flat: np.ndarray, inputs: dict[str, np.ndarray], seed: int, step: int):
    """Loss and gradient in float64."""
    from weft.compiler.ops import philox

    p = {
        n: flat[at : at + int(np.prod(SHAPES[n]))].reshape(SHAPES[n]).astype(float)
        for n, at in PLACES.items()
    }
    x, label = inputs["image"].astype(float), inputs["label"]
    rows = len(x)
    z0 = np.maximum(x @ p["weight0"] + p["bias0"], 0)
    keep = philox.uniform(seed, step, 5, 0, rows * HIDDEN).reshape(rows, HIDDEN) >= 0.25
    h = np.where(keep, z0 / 0.75, 0)
    z1 = h @ p["weight1"] + p["bias1"]
    e = np.exp(z1 - z1.max(1, keepdims=True))
    soft = e / e.sum(1, keepdims=True)
    loss = -np.log(soft[np.arange(rows), label]).mean()
    d_z1 = soft.copy()
    d_z1[np.arange(rows), label] -= 1
    d_z1 /= rows
    d_z0 = np.where(h > 0, d_z1 @ p["weight1"].T / 0.75, 0)
    gradients = {
        "weight0": x.T @ d_z0,
        "bias0": d_z0.sum(0),
        "weight1": h.T @ d_z1,
        "bias1": d_z1.sum(0),
    }
    out = np.zeros(LENGTH)
    for name, g in gradients.items():
        out[PLACES[name] : PLACES[name] + g.size] = g.ravel()
    return loss, out


@pytest.fixture(scope="module")
def engine():
    made = artifact()
    engine = TritonEngine(from_json(json.dumps(json.loads(to_json(made))), made.files), "interpret")
    yield engine
    engine.close()


def check_training(engine: TritonEngine, tolerance: float) -> None:
    """Four steps with momentum, the third with a smaller batch, against NumPy in float64."""
    start(engine)
    engine.states["main", "momentum"][:] = 0
    flat = engine.parameters.astype(float).copy()
    momentum = np.zeros(LENGTH)
    for index, rows in enumerate((29, 29, 11, 40, 29)):
        inputs, rate = batch(rows, index), 0.1 / (1 + index)
        got = engine.train("main", inputs, rate=rate, index=index, seed=9)
        loss, gradient = reference(flat, inputs, 9, index)
        momentum = 0.9 * momentum + gradient
        flat -= rate * momentum
        assert got.finite
        assert abs(got.values["loss"] - loss) <= tolerance * 10
        np.testing.assert_allclose(engine.parameters, flat, atol=tolerance * 10)
        np.testing.assert_allclose(engine.states["main", "momentum"], momentum, atol=tolerance * 10)


def test_training_in_the_interpreter(engine):
    check_training(engine, 1e-6)


def test_gradient_in_the_interpreter(engine):
    start(engine)
    inputs = batch(13, 7)
    before = engine.parameters.copy()
    result, gradient = engine.gradient("main", inputs, index=3, seed=2)
    loss, want = reference(before, inputs, 2, 3)
    assert result.finite and abs(result.values["loss"] - loss) < 1e-5
    np.testing.assert_allclose(gradient, want, atol=1e-6)
    assert (engine.parameters == before).all()


def test_a_probe_gives_every_value(engine):
    start(engine)
    inputs = batch(13, 7)
    found = {b.name: v for b, v in engine.probe("main", inputs, index=3, seed=2)}
    _, gradient = reference(engine.parameters, inputs, 2, 3)
    assert found["h"].shape == (13, HIDDEN)
    assert (found["image"] == inputs["image"]).all()
    np.testing.assert_allclose(found["d_weight1"].ravel(), gradient[784 : 784 + 140], atol=1e-6)


def test_an_input_of_another_shape_is_refused(engine):
    inputs = batch(13, 7)
    inputs["label"] = inputs["label"][:5]
    with pytest.raises(DataError, match="`label`"):
        engine.gradient("main", inputs, index=0, seed=0)


def test_the_order_of_programs_does_not_show(engine):
    start(engine)
    inputs = batch(40, 7)
    _, natural = engine.gradient("main", inputs, index=3, seed=2)
    engine.device.shuffle = 11
    _, permuted = engine.gradient("main", inputs, index=3, seed=2)
    engine.device.shuffle = None
    assert (natural == permuted).all()


def test_nothing_is_updated_when_the_loss_is_not_finite(engine):
    start(engine)
    inputs = batch(13, 7)
    inputs["image"][3, 4] = np.nan
    before = engine.parameters.copy()
    result = engine.train("main", inputs, rate=0.1, index=0, seed=2)
    assert not result.finite
    assert np.isnan(result.values["loss"])
    assert (engine.parameters == before).all()
    assert engine.train("main", batch(13, 7), rate=0.1, index=0, seed=2).finite


@pytest.mark.gpu
def test_training_on_a_gpu():
    engine = TritonEngine(artifact(target="cuda"), "cuda")
    check_training(engine, 1e-5)
    engine.close()


@pytest.mark.gpu
def test_a_replayed_graph_gives_the_same_bits_as_single_launches():
    found = []
    for graphs in (True, False):
        engine = TritonEngine(artifact(target="cuda"), "cuda")
        engine.device._graphs = graphs
        start(engine)
        steps = [engine.train("main", batch(29, i), rate=0.1, index=i, seed=9) for i in range(6)]
        found.append(([s.values["loss"] for s in steps], engine.parameters.copy()))
        captured = [s.captured for s in engine.device._steps.values() if graphs]
        assert captured == ([True] if graphs else [])
        engine.close()
    assert found[0][0] == found[1][0]
    assert (found[0][1] == found[1][1]).all()


@pytest.mark.gpu
def test_a_binary_that_was_changed_is_compiled_again(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    losses = []
    for _ in range(2):
        engine = TritonEngine(artifact(target="cuda"), "cuda")
        start(engine)
        losses.append(engine.train("main", batch(29, 0), rate=0.1, index=0, seed=9).values["loss"])
        engine.close()
        binaries = list(tmp_path.rglob("*.cubin"))
        assert binaries
        for path in binaries:
            path.write_bytes(path.read_bytes()[:-100] + bytes(100))
    assert losses[0] == losses[1]
