"""Kernels compiled for GPUs that are not here, and the gates that refuse bad ones."""

from __future__ import annotations

import os

import pytest

from tests.laws.kernels import ARCHITECTURES
from weft.compiler.emit import triton as emit
from weft.compiler.emit.triton import (
    Contraction,
    Gathered,
    Gemm,
    KernelText,
    Operand,
    Parameter,
    Sums,
    Tile,
)
from weft.runtime.crosscompile import SHARED, TENSOR_CORES, compile_module, settle
from weft.spec.errors import UsageError

DEAD = """

class _Dead:
    @property
    def arg_names(self):
        import os

        os._exit(3)


dead = _Dead()
"""
NOMINAL = {"rows": 64}
LARGE = {"rows": 16384}
CAST = {"f32": "", "bf16": ".to(tl.bfloat16)"}
WIDEN = {"f32": "", "bf16": ".to(tl.float32)"}


def gemm(
    target: str,
    name: str,
    c: Contraction,
    lines: tuple[str, ...],
    buffers: dict[str, str],
    *,
    sizes: dict[str, int] = NOMINAL,
    tile: Tile | None = None,
    pressure: int = 1,
    whole_rows: bool = False,
    level: int = 0,
    **more,
) -> tuple[KernelText, ...]:
    tile = tile or emit.choose(
        target, c, sizes, pressure=pressure, whole_rows=whole_rows, level=level
    )
    f = emit.frame(c, tile)
    words = {
        "inside": f", mask={f.inside}" if f.inside else "",
        "in_column": f", mask={f.in_column}" if f.in_column else "",
        "high": f"tl.where({f.in_column}, z, float('-inf'))" if f.in_column else "z",
        "guarded": f"tl.where({f.inside}, d, 0.0)" if f.inside else "d",
        "panel": f.panel,
    }
    return emit.gemm_kernel(
        Gemm(
            name=name,
            contraction=c,
            tile=tile,
            product="z",
            epilogue=tuple(line.format(**words) for line in lines),
            parameters=tuple(Parameter.pointer(b, dtype) for b, dtype in buffers.items()),
            title=name,
            **more,
        )
    )


def forward(target: str, dtype: str, n: int, k: int, **more) -> tuple[KernelText, ...]:
    """bias, erf gelu, the pre-activation kept."""
    c = Contraction("rows", n, k, Operand("x", dtype, k, 1), Operand("w", dtype, n, 1))
    lines = (
        "u = z + tl.load(bias_ptr + column{in_column})",
        f"tl.store(u_ptr + row * {n} + column, u{CAST[dtype]}{{inside}})",
        "y = u * (0.5 * (1.0 + tl.erf(u * 0.7071067811865476)))",
        f"tl.store(y_ptr + row * {n} + column, y{CAST[dtype]}{{inside}})",
    )
    buffers = {"bias": "f32", "u": dtype, "y": dtype}
    return gemm(target, f"forward_{n}_{k}", c, lines, buffers, **more)


def backward(target: str, dtype: str, n: int, k: int, **more) -> tuple[KernelText, ...]:
    """dx = dy w^T, times gelu', and the column sums of that."""
    c = Contraction("rows", n, k, Operand("dy", dtype, k, 1), Operand("w", dtype, 1, k))
    lines = (
        f"u = tl.load(u_ptr + row * {n} + column{{inside}}){WIDEN[dtype]}",
        "bell = u * tl.exp(-0.5 * u * u) * 0.3989422804014327",
        "d = z * (0.5 * (1.0 + tl.erf(u * 0.7071067811865476)) + bell)",
        f"tl.store(d_ptr + row * {n} + column, d{CAST[dtype]}{{inside}})",
        "sums = tl.sum({guarded}, axis=0, keep_dims=True)",
        f"tl.store(sums_partial_ptr + {{panel}} * {n} + column, sums{{in_column}})",
    )
    buffers = {"u": dtype, "d": dtype, "sums_partial": "f32"}
    return gemm(target, f"backward_{n}_{k}", c, lines, buffers, pressure=2, **more)


def weight(target: str, dtype: str, m: int, n: int, **more) -> tuple[KernelText, ...]:
    """dw = x^T dy with the bias gradient riding along."""
    c = Contraction(m, n, "rows", Operand("x", dtype, 1, m), Operand("dy", dtype, n, 1))
    lines = (f"tl.store(dw_ptr + row * {n} + column, z{{inside}})",)
    return gemm(
        target, f"weight_{m}_{n}", c, lines, {"dw": "f32"}, pressure=0, sums=Sums("b", "db"), **more
    )


def head(target: str, dtype: str, n: int, k: int, **more) -> tuple[KernelText, ...]:
    """Softmax of whole rows."""
    c = Contraction("rows", n, k, Operand("x", dtype, k, 1), Operand("w", dtype, n, 1))
    lines = (
        "top = row_max({high})",
        "e = tl.exp({high} - top)",
        "p = e / tl.sum(e, axis=1, keep_dims=True)",
        f"tl.store(p_ptr + row * {n} + column, p{CAST[dtype]}{{inside}})",
    )
    return gemm(target, f"head_{n}_{k}", c, lines, {"p": dtype}, whole_rows=True, **more)


def records(kernels: list[KernelText]) -> list[dict]:
    """What `settle` needs: the key of each kernel's tile, here its name."""
    return [{**kernel.spec(), "key": kernel.name} for kernel in kernels]


def module(kernels: list[KernelText]) -> str:
    return emit.module([kernel.text for kernel in kernels], "Kernels of the tests.")


def refused(kernels: list[KernelText], target: str) -> dict[str, tuple[str, ...]]:
    reports = compile_module(module(kernels), [k.spec() for k in kernels], target)
    assert [r.kernel for r in reports] == [k.name for k in kernels]
    for kernel, report in zip(kernels, reports, strict=True):
        if report.ok:
            assert report.registers and report.seconds
            used = [name for name in TENSOR_CORES if name in report.instructions]
            assert bool(used) == bool(kernel.dots), (kernel.name, report)
            assert "atomic" not in report.instructions
    return {r.kernel: r.failures for r in reports if not r.ok}


@pytest.mark.parametrize("target", SHARED)
def test_a_perceptron_compiles(target):
    kernels = [
        *forward(target, "f32", 120, 784),
        *head(target, "f32", 10, 120),
        *backward(target, "f32", 120, 10),
        *weight(target, "f32", 784, 120),
        *weight(target, "f32", 120, 10, sizes={"rows": 4096}),
        *forward(target, "f32", 20, 2),
        *forward(target, "f32", 1, 20),
        emit.finish_kernel(
            "finish", [Gathered("p", "q", 120), Gathered("r", "s", 1)], count="count", title="sums"
        ),
    ]
    assert refused(kernels, target) == {}


@pytest.mark.parametrize(
    ("target", "dtype"),
    [
        pytest.param(target, dtype, marks=pytest.mark.slow if usual else pytest.mark.sweep)
        for target in ARCHITECTURES
        for dtype in ("f32", "bf16")
        for usual in [(target, dtype) in (("cuda:90", "bf16"), ("hip:gfx942", "f32"))]
    ],
)
def test_large_tiles_compile_where_the_choice_allows_them(target, dtype):
    makers = {
        "forward_3072_768": lambda level: forward(
            target, dtype, 3072, 768, sizes=LARGE, level=level
        ),
        "backward_3072_768": lambda level: backward(
            target, dtype, 3072, 768, sizes=LARGE, level=level
        ),
        "weight_768_3072": lambda level: weight(target, dtype, 768, 3072, sizes=LARGE, level=level),
        "head_250_768": lambda level: head(target, dtype, 250, 768, sizes=LARGE, level=level),
    }
    last: dict[str, int] = {}

    def build(refusals):
        last.update(refusals)
        kernels = [k for name, make in makers.items() for k in make(refusals.get(name, 0))]
        return module(kernels), records(kernels)

    reports = settle(build, target, rounds=2)
    assert {r.kernel: r.failures for r in reports if not r.ok} == {}
    assert len(last) <= 1


def test_every_gate_refuses():
    """Spills, shared memory, no tensor cores, text that does not compile, a dying compiler."""
    target = "cuda:90"
    kernels = [
        *backward(target, "bf16", 256, 768, tile=Tile(128, 256, 64, 8, 3)),
        *forward(target, "f32", 512, 768, tile=Tile(128, 128, 64, 8, 4)),
        *forward(target, "f32", 128, 64, tile=Tile(16, 32, 16, 4, 2), precision="ieee"),
    ]
    wrong = "@triton.jit\ndef wrong(x_ptr):\n    tl.store(x_ptr, undefined_name)\n"
    text = emit.module([*(k.text for k in kernels), wrong], "Bad kernels.") + DEAD
    plain = {
        "parameters": [["x_ptr", "*fp32", True]],
        "constants": {},
        "warps": 4,
        "stages": 2,
        "dots": 0,
    }
    specs = [{**plain, "name": "dead"}, *(k.spec() for k in kernels), {**plain, "name": "wrong"}]
    seen = []
    reports = compile_module(text, specs, target, progress=seen.append)
    assert sorted(map(repr, seen)) == sorted(map(repr, reports))
    told = {r.kernel: " ".join(r.failures) for r in reports}
    assert "died" in told["dead"]
    assert "spills" in told["backward_256_768"]
    assert "shared memory" in told["forward_512_768"]
    assert "tensor cores" in told["forward_128_64"]
    assert "undefined_name" in told["wrong"]


def test_the_interpreter_setting_of_this_process_does_not_matter(monkeypatch):
    monkeypatch.setitem(os.environ, "TRITON_INTERPRET", "1")
    kernels = list(weight("cuda:80", "f32", 32, 16))
    assert refused(kernels, "cuda:80") == {}


def test_a_refused_kernel_is_emitted_with_a_smaller_tile():
    target, judged = "cuda:90", []
    tiles = [Tile(128, 256, 64, 8, 3), Tile(64, 64, 64, 4, 3)]

    def build(refusals):
        tile = tiles[refusals.get("backward_256_768", 0)]
        kernels = [*backward(target, "bf16", 256, 768, tile=tile), *forward(target, "f32", 20, 2)]
        return module(kernels), records(kernels)

    reports = settle(build, target, progress=lambda report: judged.append(report.ok))
    assert [r.ok for r in reports] == [True, True]
    assert sorted(judged) == [False, True, True, True]
    first = settle(build, target, rounds=1)
    assert [r.ok for r in first] == [False, True]


def test_an_unknown_target_is_refused():
    with pytest.raises(UsageError, match="cuda:75"):
        compile_module("", [], "cuda:75")
