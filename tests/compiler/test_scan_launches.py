"""Scans on GPUs: which are one launch, which are launched step by step, and which are refused."""

from __future__ import annotations

import pytest

from weft.cli.explain import _as_text
from weft.compiler.build import elaborate
from weft.compiler.compile import compile_gpu, lower, lower_backward
from weft.compiler.explain import report
from weft.compiler.lowered import Lowered
from weft.spec.errors import UsageError
from weft.spec.load import load_text

CELLS = """\
block Cell(units) {
  in x: f32[B, D], h: f32[B, units]
  out tanh(linear(x, units) + linear(h, units, bias=false))
}
block Rows(units) {
  in row: f32[B, W, D], h: f32[B, units]
  inner, last = row -> scan(Cell(units), h=h, return_state=true)
  out last + 0.1*h, mean(inner, axis=1)
}
block Masked(units, rate) {
  in x: f32[B, D], h: f32[B, units]
  out concat(x, h, axis=1) -> linear(units) -> tanh -> dropout(rate)
}
block Frames {
  in x: f32[B, 2, 4, 4], h: f32[B, 2, 4, 4]
  out tanh(conv(h, 2, 3) + x)
}
block Films {
  in x: f32[B, S, 2, 4, 4], h: f32[B, 2, 4, 4]
  _frames, last = x -> scan(Frames, h=h, return_state=true)
  out last
}
"""
FRAME = "h=zeros([B, 2, 4, 4])"
ONE = (
    ("x: f32[B, T, 3]", "scan(Cell(5))"),
    ("x: f32[B, T, 3]", "scan(Cell(500))"),
    ("x: f32[B, T, 3]", "scan(Masked(5, 0.3))"),
    ("x: f32[B, T, 4, 3]", "scan(Rows(5)) -> add_halves"),
)
APART = (
    ("x: f32[B, T, 3]", "scan(Cell(1024))", "4.2 MB of weights a step"),
    ("x: f32[B, T, 16, 3]", "scan(Rows(200)) -> add_halves", "2.6 MB of weights a step"),
    (
        "x: f32[B, T, 2, 4, 4]",
        f"scan(Frames, {FRAME})",
        "`conv` is a `convolve`, which takes launches of its own",
    ),
)
HALVES = """\
block add_halves {
  in h: f32[B, T, U], m: f32[B, T, U]
  out h + m
}
"""


def lowered(given: str, flow: str) -> Lowered:
    text = f"{CELLS}{HALVES}net n {{\n  in {given}\n  x -> {flow}\n}}\n"
    return lower(elaborate(load_text(text, "cells.weft")), native=False)


def times(program: Lowered) -> list[bool]:
    """Which launches of the loops are repeated."""
    artifact = compile_gpu(program, "cuda:90")
    return [a.times != 1 for e in artifact.entries for a in e.launches]


@pytest.mark.parametrize(("given", "flow"), ONE)
def test_one_launch(given: str, flow: str) -> None:
    for program in (lowered(given, flow), lower_backward(lowered(given, flow))):
        artifact = compile_gpu(program, "cuda:90")
        assert any(k.kind == "scan" for k in artifact.kernels)
        assert not any(times(program))
        (step,) = report(program, artifact)["steps"].values()
        assert step["loops"] and not any(loop["step_by_step"] for loop in step["loops"])


@pytest.mark.parametrize(("given", "flow", "why"), APART)
def test_launches_of_every_step(given: str, flow: str, why: str) -> None:
    program = lowered(given, flow)
    artifact = compile_gpu(program, "cuda:90")
    assert any(times(program))
    found = report(program, artifact)
    (step,) = found["steps"].values()
    (loop,) = step["loops"]
    assert loop["step_by_step"] == why
    number = loop["place"].split(":")[-2]
    line = f"scans    {number} {loop['name']}: launches of every step: {why}"
    assert line in _as_text(found).splitlines()


def test_scans_in_scans_take_no_launches_of_their_own() -> None:
    with pytest.raises(UsageError) as caught:
        compile_gpu(lowered("x: f32[B, T, S, 2, 4, 4]", f"scan(Films, {FRAME})"), "cuda:90")
    assert "a `scan` inside of a `scan` in which `conv` is a `convolve`" in str(caught.value)
    assert "cells.weft:" in str(caught.value)


def test_a_step_that_no_program_can_hold() -> None:
    """Where every block is refused, the launches of a step are what is left."""
    program = lowered(*ONE[0])
    kernels = compile_gpu(program, "cuda:90").kernels
    refused = {k.compile["key"]: 6 for k in kernels if k.kind == "scan" and k.compile}
    artifact = compile_gpu(program, "cuda:90", refused)
    assert any(a.times != 1 for e in artifact.entries for a in e.launches)
    (step,) = report(program, artifact)["steps"].values()
    assert [loop["step_by_step"] for loop in step["loops"]] == [
        "no block of its step fits a program"
    ]
