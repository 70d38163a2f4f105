"""The Triton texts mean what they say: interpreted, against NumPy in float64."""

from __future__ import annotations

import ast

import numpy as np
import pytest

from weft.compiler.artifact import evaluate
from weft.compiler.emit.triton import (
    Gathered,
    KernelText,
    finish_kernel,
    frame,
    functions,
    module,
)
from weft.runtime.interpreted import InterpretedDevice
from weft.runtime.kernel_module import digest, store
from weft.runtime.launch import Launch, Pointer

from .gemm_cases import build, cases

GUARD = 256  # elements of NaN before and after every buffer
ITEM = {"f32": 4, "f16": 2, "i32": 4}

GEMMS = {case.name: (case, *build(case)) for case in cases()}
GATHERS = {
    "finish_one": ([Gathered("p", "q", 37)], "count", 13),
    "finish_long": ([Gathered("p", "q", 100)], "count", 301),
    "finish_three": (
        [Gathered("p", "q", 32), Gathered("u", "v", 1), Gathered("a", "b", 70)],
        19,
        19,
    ),
}
FINISHES = {
    name: finish_kernel(name, gathers, count=count, title="sums")
    for name, (gathers, count, _) in GATHERS.items()
}
SCALAR = '''
@triton.jit
def scalar(x_ptr, y_ptr, out_ptr, mask_ptr):
    """Every device function of one or two numbers."""
    i = tl.arange(0, 256)
    x = tl.load(x_ptr + i)
    y = tl.load(y_ptr + i)
    n = x.to(tl.int32)
    d = tl.where(n % 3 == 0, -7, 5)
{lines}
'''
SCALARS = {
    "maximum(x, y)": np.maximum,
    "minimum(x, y)": np.minimum,
    "sign(x)": lambda x, y: np.sign(x),
    "round_even(x)": lambda x, y: np.rint(x),
    "floordiv(x, y)": np.floor_divide,
    "mod(x, y)": np.mod,
    "tanh(x)": lambda x, y: np.tanh(x),
    "expm1(x)": lambda x, y: np.expm1(x),
    "log1p(x)": lambda x, y: np.log1p(x),
    "sine(x * 100.0)": lambda x, y: np.sin(x.astype(np.float32) * np.float32(100)),
    "cosine(x)": lambda x, y: np.cos(x),
    "softplus(x)": lambda x, y: np.logaddexp(x, 0),
    "power(x, y)": np.power,
    "tl.sigmoid(x)": lambda x, y: 1 / (1 + np.exp(-x)),
    "tl.erf(x)": lambda x, y: np.array([__import__("math").erf(v) for v in x]),
}
RANDOM = '''
@triton.jit
def draw(seed_ptr, out_ptr, four_ptr, normal_ptr, gauss_ptr, rows):
    """Random numbers one by one and four by four."""
    seed = tl.load(seed_ptr)
    step = tl.load(seed_ptr + 1)
    row = tl.arange(0, 4)[:, None]
    column = tl.arange(0, 16)[None, :]
    at = row * 12 + column
    inside = (row < rows) & (column < 12)
    tl.store(out_ptr + at, philox_uniform(seed, step, 7, at), mask=inside)
    tl.store(four_ptr + at, philox_uniform4(seed, step, 7, row * 3, 4, 16), mask=inside)
    far = at.to(tl.int64) + 17179869184
    tl.store(normal_ptr + at, philox_normal(seed, step, 9, far), mask=inside)
    tl.store(gauss_ptr + at, philox_normal4(seed, step, 9, row * 3, 4, 16), mask=inside)
'''


def source() -> str:
    lines = "".join(
        f"    tl.store(out_ptr + {256 * i} + i, {text})\n" for i, text in enumerate(SCALARS)
    )
    lines += "    tl.store(mask_ptr + i, floordiv(n, d))\n"
    lines += "    tl.store(mask_ptr + 256 + i, mod(n, d))\n"
    texts = [k.text for _, _, kernels in GEMMS.values() for k in kernels]
    texts += [k.text for k in FINISHES.values()]
    return module([*texts, SCALAR.format(lines=lines), RANDOM], "Kernels of the tests.")


@pytest.fixture(scope="module")
def device():
    text = source()
    found = InterpretedDevice(store(text), digest(text))
    yield found
    found.close()


class Memory:
    """Buffers with NaN (or a number no kernel writes) around them."""

    def __init__(self, device: InterpretedDevice) -> None:
        self.device = device
        self.device.arena("all", 1 << 22)
        self.bytes = device.view(Pointer("all", 0, "i32"), (1 << 20,))
        self.bytes[:] = 0x7FC00000  # NaN in float32, in float16 pairs 0x7fc0 (NaN) and 0
        self.end = 0
        self.places: dict[str, tuple[Pointer, tuple[int, ...]]] = {}

    def put(self, name: str, values: np.ndarray, dtype: str = "f32") -> None:
        self.add(name, values.shape, dtype)
        self.device.write(self.places[name][0], values)

    def add(self, name: str, shape: tuple[int, ...], dtype: str = "f32") -> None:
        start = self.end + GUARD * 4
        self.places[name] = (Pointer("all", start, dtype), shape)
        size = int(np.prod(shape)) * ITEM[dtype]
        self.end = start + -(-size // 16) * 16

    def get(self, name: str) -> np.ndarray:
        return self.device.read(*self.places[name]).astype(np.float64)

    def check_guards(self) -> None:
        owned = np.zeros(len(self.bytes), bool)
        for pointer, shape in self.places.values():
            size = int(np.prod(shape)) * ITEM[pointer.dtype]
            owned[pointer.offset // 4 : -(-(pointer.offset + size) // 4)] = True
        assert (self.bytes[~owned] == 0x7FC00000).all(), "a kernel wrote outside its buffers"


def launch(memory: Memory, kernel: KernelText, sizes: dict[str, int]) -> Launch:
    arguments = []
    for parameter in kernel.parameters:
        if parameter.type.startswith("*"):
            arguments.append(memory.places[parameter.name.removesuffix("_ptr")][0])
        else:
            arguments.append(sizes[parameter.name])
    grid = tuple(evaluate(axis, {}) for axis in kernel.launch_grid(sizes))
    return Launch(kernel.name, grid, tuple(arguments), kernel.constants)


def close(got: np.ndarray, want: np.ndarray, tolerance: float) -> None:
    assert got.shape == want.shape
    assert np.isfinite(got).all()
    assert np.abs(got - want).max() <= tolerance * max(np.abs(want).max(), 0.1)


@pytest.mark.parametrize("name", GEMMS)
def test_gemm(device, name):
    case, gemm, kernels = GEMMS[name]
    rng = np.random.default_rng(len(name))
    low = np.float16 if case.dtype == "f16" else np.float32

    def draw(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape) * 0.5).astype(low)

    b, m, n, k = case.batch, case.m, case.n, case.k
    x = draw(*b, *((k, m) if case.a_transposed else (m, k)))
    w = draw(*(() if case.shared_b else b), *((n, k) if case.b_transposed else (k, n)))
    bias, r = draw(n), draw(*b, m, n)
    left, right = x.astype(np.float64), w.astype(np.float64)
    left = left.swapaxes(-1, -2) if case.a_transposed else left
    right = right.swapaxes(-1, -2) if case.b_transposed else right
    if case.prologue:
        left, right = (left.astype(low) ** 2).astype(np.float64), right * 2
    z = left @ right + bias
    y = np.where(z > 0, z, 0.1 * z) + r

    memory = Memory(device)
    sizes = {"rows": m, "columns": n, "deep": k, "batches": b[0] if b else 1}
    for buffer, values in (("x", x), ("w", w), ("bias", bias), ("r", r)):
        memory.put(buffer, values, case.dtype)
    for buffer in ("z", "y"):
        memory.add(buffer, y.shape, case.dtype)
    f = frame(gemm.contraction, case.tile)
    panels = int(np.prod([evaluate(p.expression(sizes), {}) for p in f.panels]))
    memory.add("s_partial", (panels, n))
    memory.add("top", y.shape[:-1])
    memory.add("own", (*b, m if case.sums == "a" else n))
    for kernel in kernels:
        for space in kernel.workspaces:
            extents = [evaluate(p.expression(sizes), {}) for p in space.factors]
            memory.add(space.parameter.removesuffix("_ptr"), tuple(extents))
    device.shuffle = 3
    device.prepare(name, [launch(memory, kernel, sizes) for kernel in kernels])
    device.run(name)

    tolerance = 4e-3 if case.dtype == "f16" else 3e-6
    close(memory.get("z"), z, tolerance)
    close(memory.get("y"), y, tolerance)
    close(memory.get("s_partial").sum(0), y.reshape(-1, n).sum(0), tolerance)
    if f.whole_rows:
        close(memory.get("top"), y.max(-1), tolerance)
    if case.sums:
        close(memory.get("own"), left.sum(-1) if case.sums == "a" else right.sum(-2), tolerance)
    memory.check_guards()

    first = memory.get("y")
    device.shuffle = 4
    device.run(name)
    assert (memory.get("y") == first).all(), "the order of the programs shows"


@pytest.mark.parametrize("name", FINISHES)
def test_finish(device, name):
    gathers, _, count = GATHERS[name]
    memory, rng = Memory(device), np.random.default_rng(0)
    parts = {g.partial: rng.standard_normal((count, g.columns)) for g in gathers}
    for buffer, values in parts.items():
        memory.put(buffer, values)
    for g in gathers:
        memory.add(g.out, (g.columns,))
    device.shuffle = 1
    device.prepare(name, [launch(memory, FINISHES[name], {"count": count})])
    device.run(name)
    for g in gathers:
        close(memory.get(g.out), parts[g.partial].astype(np.float32).astype(float).sum(0), 1e-6)
    memory.check_guards()


def test_scalar_functions(device):
    rng = np.random.default_rng(5)
    x = np.concatenate([rng.standard_normal(200) * 3, rng.standard_normal(40) * 1e-4])
    x = np.concatenate([x, [0.0, 0.5, 1.5, -2.5, 80.0, -80.0, 0.625, -0.625, 1.0, -1.0, 7.0, -7.0]])
    x = np.concatenate([x, [3e6 + 0.5, -3.0, np.nan, 2.0]]).astype(np.float32)
    y = np.where(rng.random(256) < 0.3, rng.integers(-3, 4, 256), rng.standard_normal(256))
    y = np.where(np.abs(y) < 0.1, 0.5, y).astype(np.float32)
    memory = Memory(device)
    memory.put("x", x)
    memory.put("y", y)
    memory.add("out", (len(SCALARS), 256))
    memory.add("whole", (2, 256), "i32")
    places = [memory.places[b][0] for b in ("x", "y", "out", "whole")]
    device.prepare("scalar", [Launch("scalar", (1,), tuple(places))])
    device.run("scalar")
    got = memory.get("out")
    with np.errstate(all="ignore"):
        for row, (text, reference) in zip(got, SCALARS.items(), strict=True):
            want = reference(x.astype(np.float64), y.astype(np.float64))
            assert (np.isnan(row) == np.isnan(want)).all(), text
            near = np.isfinite(want) & (np.abs(want) < 3e38)
            error = np.abs(row - want)[near]
            slack = 1e-6 * np.abs(want[near])
            slack += 2e-7 * np.abs(x[near]) if text.startswith(("mod", "cos")) else 1e-30
            assert (error <= slack).all(), (text, x[near][error > slack], row[near][error > slack])
    n = np.nan_to_num(x).astype(np.int64)
    d = np.where(np.fmod(n, 3) == 0, -7, 5)
    finite = ~np.isnan(x)
    assert (memory.get("whole")[0] == n // d)[finite].all()
    assert (memory.get("whole")[1] == n % d)[finite].all()
    memory.check_guards()


def test_random_numbers_are_those_of_numpy(device):
    from weft.compiler.ops import philox

    memory = Memory(device)
    memory.put("seed", np.array([2**31 + 5, 3], np.uint32).view(np.int32), "i32")
    for buffer in ("one", "four", "normal", "gauss"):
        memory.add(buffer, (3, 12))
    places = [memory.places[b][0] for b in ("seed", "one", "four", "normal", "gauss")]
    device.prepare("draw", [Launch("draw", (1,), (*places, 3))])
    device.run("draw")
    want = philox.uniform(2**31 + 5, 3, 7, 0, 36)
    assert (memory.get("one").ravel() == want).all()
    assert (memory.get("four").ravel() == want).all()
    far = philox.normal(2**31 + 5, 3, 9, 2**34, 36)
    near = philox.normal(2**31 + 5, 3, 9, 0, 36)
    np.testing.assert_allclose(memory.get("normal").ravel(), far, rtol=2e-6, atol=1e-6)
    np.testing.assert_allclose(memory.get("gauss").ravel(), near, rtol=2e-6, atol=1e-6)
    memory.check_guards()


@pytest.mark.parametrize("name", GEMMS)
def test_text_has_nothing_superfluous(name):
    """Every parameter, name and mask of a kernel is read; every line is short."""
    _, gemm, kernels = GEMMS[name]
    epilogue = {line.strip() for line in gemm.epilogue}
    for kernel in kernels:
        tree = ast.parse(kernel.text)
        read = {
            n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)
        }
        function = tree.body[0]
        given = {a.arg for a in function.args.args}
        stored = {
            n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
        }
        assert given == {p.name for p in kernel.parameters}
        assert given | stored <= read | {"_"}, (given | stored) - read
        assert kernel.text.count("tl.dot(") == kernel.dots
        own = [line for line in kernel.text.splitlines() if line.strip() not in epilogue]
        assert all(len(line) <= 100 for line in own)
        assert "net.weft:3:4" in ast.get_docstring(function)


def test_device_functions_are_written_once_and_only_when_called():
    kernel = '@triton.jit\ndef k(x_ptr):\n    """tanh(x)"""\n    softplus(1.0)\n'
    text = module([kernel, kernel], "Two.")
    assert text.count("def k(") == 1
    assert [name for name in functions() if f"def {name}(" in text] == [
        "maximum",
        "log1p",
        "softplus",
    ]
