"""What the layers of a net give, from Python: beside torch, on every kind of layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import weft
from weft.spec.errors import DataError, UsageError

SPEC = """
block Side(n) {
  residual { conv(n, 3) -> batch_norm -> relu }
}

net seen {
  in image: f32[B, 2, 8, 8], gain: f32[B, 2]
  h = image*reshape(gain, [B, 2, 1, 1])
  y, last, cell = h -> repeat 2 { Side(2) } as side -> dropout(0.3) -> max_pool(2) as half
    -> reshape([B, 4, 8]) -> lstm(5, return_state=true)
  out y, last, cell
}
"""


@pytest.fixture(scope="module")
def program() -> weft.CompiledProgram:
    return weft.compile(weft.load_text(SPEC, "seen.weft"), target="reference", seed=4)


@pytest.fixture(scope="module")
def inputs() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {"image": torch.randn(3, 2, 8, 8), "gain": torch.rand(3, 2)}


def test_all_layers(program: Any, inputs: Any) -> None:
    found = program.activations("seen", inputs)
    turns = [f"side.{i}.{name}" for i in (0, 1) for name in ("conv", "batch_norm", "relu")]
    assert set(turns) <= set(found)
    assert "dropout" not in found and "half" in found
    assert found["half"].shape == (3, 2, 4, 4)
    state = program.state_dict()
    h = inputs["image"].double() * inputs["gain"][:, :, None, None].double()
    weight, bias = (state[f"seen.side.0.conv.{n}"] for n in ("weight", "bias"))
    conv = torch.nn.functional.conv2d(h, weight, bias, padding=1)
    assert torch.allclose(found["side.0.conv"].double(), conv, atol=1e-12)
    assert torch.equal(found["side.1.relu"], found["side.1.batch_norm"].relu())


def test_blocks_and_several_results(program: Any, inputs: Any) -> None:
    names = list(program.inner("seen").known)
    lstm = [name for name in names if ":" in name]
    assert len(lstm) == 3 and lstm[0].endswith(":0")
    path = lstm[0].partition(":")[0]
    found = program.activations("seen", inputs, [path, "side.0"])
    assert [*found] == [*lstm, "side.0"]
    out = program.engine.forward("seen", {n: x.numpy() for n, x in inputs.items()})
    for name, result in zip(lstm, out.values(), strict=True):
        assert np.array_equal(found[name].numpy(), result)
    assert found["side.0"].shape == (3, 2, 8, 8)


def test_kernels_agree_with_the_reference(examples: Path) -> None:
    spec = examples / "lenet5" / "lenet5.weft"
    exact, fast = (weft.compile(spec, target=t, seed=1) for t in ("reference", "cpu"))
    x = np.random.default_rng(0).normal(size=(2, 1, 32, 32)).astype(np.float32)
    want, got = (p.activations("lenet5", {"image": x}) for p in (exact, fast))
    assert list(want) == list(got) and len(got) == 12
    for path, value in want.items():
        assert got[path].dtype == torch.float32
        assert torch.allclose(got[path], value.float(), atol=1e-5), path
    fast.engine.parameters[:] = 0  # the kernels follow the program's parameters
    assert not fast.activations("lenet5", {"image": x}, ["logits"])["logits"].any()


def test_wrong_calls(program: Any, inputs: Any) -> None:
    with pytest.raises(UsageError, match="did you mean `seen`"):
        program.activations("sen", inputs)
    with pytest.raises(UsageError, match=r"did you mean `side\.0\.conv`"):
        program.activations("seen", inputs, ["side.0.cnov"])
    with pytest.raises(UsageError, match="takes image, gain; got image"):
        program.activations("seen", {"image": inputs["image"]})


def test_inputs_of_the_wrong_shape(examples: Path) -> None:
    program = weft.compile(examples / "filters" / "edges.weft", target="cpu")
    with pytest.raises(DataError, match="input `image` of `edges` must be"):
        program.activations("edges", {"image": np.ones((2, 3, 8, 8))}, ["slope"])
