"""Buffers that are read beside being replaced: every reader sees the values before the step."""

from __future__ import annotations

import numpy as np
import pytest

from weft.runtime.engine import parameter_view
from weft.runtime.program import CompiledProgram, compile

STEPS = 5
CASES = {
    "ring": (
        "at = reshape(cast(arange(3) == cast(count, i32), f32), [3, 1]) > 0\n"
        "  _ = running(kept, where(at, mean(x, axis=0, keep=true), kept), momentum=1)\n"
        "  _ = running(count, where(count < 2, count + 1, 0), momentum=1)",
        [4, 5, 3],
        5 % 3,
    ),
    "count first": (
        "_ = running(count, count + B, momentum=1)\n"
        "  at = reshape(cast(arange(3) == cast(count, i32), f32), [3, 1]) > 0\n"
        "  _ = running(kept, where(at, mean(x, axis=0, keep=true), kept), momentum=1)",
        [1, 0, 2],
        2 * STEPS,
    ),
    "queue": (
        "_ = running(count, count + 1, momentum=1)\n"
        "  _ = running(kept, concat(mean(x, axis=0, keep=true), kept[:2], axis=0), momentum=1)",
        [5, 4, 3],
        STEPS,
    ),
    "sum": (
        "_ = running(count, sum(kept, axis=0)[:1], momentum=1)\n"
        "  _ = running(kept, kept + mean(x), momentum=1)",
        [15, 15, 15],
        3 * 10,
    ),
    "in turn": (
        "_ = running(count, kept[0, :1] + 1, momentum=1)\n"
        "  _ = running(kept, kept*0 + count, momentum=1)",
        [2, 2, 2],
        3,
    ),
    "mean": (
        "_ = running(count, mean(x), momentum=0.5)\n"
        "  _ = running(kept, mean(x, axis=0, keep=true) + zeros([3, 1]), momentum=0.5)",
        [4.03125, 4.03125, 4.03125],
        4.03125,
    ),
}
"""What two buffers become, three rows of ones and a count, and what they are after all steps."""


def _spec() -> str:
    nets = [
        f"net case_{i} {{\n  in x: f32[B, 40]\n  weight kept: f32[3, 40] = buffer(0)\n"
        f"  weight count: f32[1] = buffer(0)\n  weight w: f32[40] = ones()\n  {flow}\n"
        f"  x*w + 0*sum(count) + 0*sum(kept)\n}}\n"
        for i, (flow, *_) in enumerate(CASES.values())
    ]
    names = [f"case_{i}" for i in range(len(CASES))]
    loss = " + ".join(f"mean({name}(x))" for name in names)
    return (
        "\n".join(nets) + "train {\n  steps = 1\n"
        '  data x: f32[B, 40] = npz("none.npz", batch=2)\n'
        f"  step main updates {', '.join(names)} {{\n    optimizer = sgd(lr=0.1)\n"
        f"    loss = {loss}\n  }}\n}}\n"
    )


@pytest.fixture(scope="module", params=["cpu", "interpret"])
def trained(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> CompiledProgram:
    path = tmp_path_factory.mktemp("buffers") / "buffers.weft"
    path.write_text(_spec(), encoding="utf-8")
    program = compile(path, request.param)
    for step in range(STEPS):
        x = np.full((2, 40), step + 1, np.float32)
        program.engine.train("main", {"x": x}, rate=0.1, index=step, seed=0)
    return program


@pytest.mark.parametrize("name", CASES)
def test_readers_see_what_was_there_before(trained: CompiledProgram, name: str) -> None:
    _, rows, count = CASES[name]
    number = list(CASES).index(name)
    found = {
        p.name: parameter_view(trained.engine.parameters, p) for p in trained.artifact.parameters
    }
    np.testing.assert_allclose(found[f"case_{number}.count"], [count])
    wanted = np.repeat(np.array(rows, np.float32)[:, None], 40, axis=1)
    np.testing.assert_allclose(found[f"case_{number}.kept"], wanted)
