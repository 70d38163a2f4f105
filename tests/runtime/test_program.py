"""The public face: compiled programs, nets as torch modules, value_and_grad."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import weft
from weft.runtime import targets

SPEC = """
net mlp {
  in x: f32[B, 6]
  x -> linear(33) -> relu -> dropout(0.5) -> linear(4) as y
}

net pair {
  in a: f32[B, 3], b: f32[B, 3]
  both = a*b
  out both, sum(both, axis=1)
}

train {
  steps = 10
  data x: f32[B, 6], label: i32[B] = npz("unused.npz", batch=8)
  step main updates mlp {
    optimizer = sgd(lr=0.1)
    loss = x -> mlp -> cross_entropy(label)
  }
}
"""


@pytest.fixture(scope="module")
def program() -> weft.CompiledProgram:
    return weft.compile(weft.load_text(SPEC, "program.weft"), target="cpu")


def test_names_and_layouts_are_pytorchs(program: weft.CompiledProgram) -> None:
    names = {name: tuple(p.shape) for name, p in program.nets["mlp"].named_parameters()}
    assert names == {
        "linear.weight": (33, 6),
        "linear.bias": (33,),
        "y.weight": (4, 33),
        "y.bias": (4,),
    }
    assert list(program.state_dict()) == [f"mlp.{name}" for name in names]


def test_a_net_is_a_torch_module(program: weft.CompiledProgram) -> None:
    net = program.nets["mlp"].eval()
    twin = nn.Sequential(nn.Linear(6, 33), nn.ReLU(), nn.Linear(33, 4))
    for mine, theirs in zip(net.parameters(), twin.parameters(), strict=True):
        theirs.data.copy_(mine)
    x = torch.randn(5, 6)
    with torch.no_grad():
        assert torch.allclose(net(x), twin(x), atol=1e-6)
        assert torch.allclose(net(x=x.double()), twin(x), atol=1e-6)


def test_gradients_flow_to_parameters_and_inputs(program: weft.CompiledProgram) -> None:
    pair = program.nets["pair"].train()
    a, b = (torch.randn(7, 3, requires_grad=True) for _ in range(2))
    both, total = pair(a, b)
    (both.sum() + (total**2).sum()).backward()
    want = torch.autograd.grad((a * b).sum() + ((a * b).sum(1) ** 2).sum(), (a, b))
    assert torch.allclose(a.grad, want[0], atol=1e-5)
    assert torch.allclose(b.grad, want[1], atol=1e-5)


def test_dropout_acts_in_training_mode_and_its_mask_is_the_backwards(
    program: weft.CompiledProgram,
) -> None:
    net = program.nets["mlp"].train()
    x = torch.randn(64, 6, requires_grad=True)
    first, second = net(x), net(x)
    assert not torch.allclose(first, second)
    direction = torch.randn_like(first)
    net.calls = 100
    y = net(x)
    (gradient,) = torch.autograd.grad((y * direction).sum(), x)
    step = 1e-3 * torch.randn_like(x)
    net.calls = 100
    moved = net((x + step).detach())
    slope = float(((moved - y) * direction).sum().detach())
    assert slope == pytest.approx(float((gradient * step).sum()), rel=0.05, abs=1e-3)


def test_torch_optimizers_change_what_the_kernels_read(program: weft.CompiledProgram) -> None:
    x, label = np.random.default_rng(0).normal(size=(8, 6)), np.arange(8) % 4
    before = program.value_and_grad({"x": x, "label": label})[0]
    with torch.no_grad():
        for p in program.nets["mlp"].parameters():
            p.zero_()
    after = program.value_and_grad({"x": x, "label": label})[0]
    assert float(after) == pytest.approx(np.log(4), rel=1e-6)
    assert float(before) != float(after)


def test_a_state_dict_that_does_not_fit_says_where(program: weft.CompiledProgram) -> None:
    state = program.state_dict()
    state["mlp.extra"] = torch.zeros(1)
    state["mlp.y.bias"] = torch.zeros(5)
    del state["mlp.linear.bias"]
    with pytest.raises(weft.UsageError) as wrong:
        program.load_state_dict(state)
    text = str(wrong.value)
    assert "missing: mlp.linear.bias" in text
    assert "unknown: mlp.extra" in text
    assert "mlp.y.bias is [5], must be [4]" in text


def test_wrong_inputs_are_named(program: weft.CompiledProgram) -> None:
    with pytest.raises(weft.UsageError, match="label"):
        program.train_step({"x": np.zeros((8, 6))})
    with pytest.raises(weft.DataError, match=r"f32\[B, 6\]"):
        program.train_step({"x": np.zeros((8, 5)), "label": np.zeros(8)})
    with pytest.raises(weft.UsageError, match="2 nets"):
        _ = program.net


def test_unknown_targets_and_missing_gpus(program: weft.CompiledProgram) -> None:
    with pytest.raises(weft.UsageError, match="tpu"):
        weft.compile(program.spec, target="tpu")
    if not torch.cuda.is_available():
        with pytest.raises(weft.DeviceError, match="no GPU"):
            weft.compile(program.spec, target="cuda")


@pytest.mark.parametrize(
    ("capability", "machine"),
    [
        ((8, 0), "cuda:80"),
        ((8, 6), "cuda:86"),
        ((8, 7), "cuda:80"),
        ((8, 9), "cuda:89"),
        ((9, 0), "cuda:90"),
        ((10, 0), "cuda:100"),
        ((12, 0), "cuda:89"),
        (None, "hip:gfx942"),
    ],
)
def test_kernels_are_written_for_the_gpu_that_is_there(
    capability: tuple[int, int] | None, machine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tiles of the target `cuda` are those of its own architecture."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    monkeypatch.setattr(torch.version, "hip", None if capability else "6.2")
    monkeypatch.setattr(targets, "_has_gpu", lambda: True)
    spec = weft.load_text(
        "net n {\n  in x: f32[B, 1024]\n  x -> linear(1024) -> relu -> linear(64) as y\n}\n",
        "n.weft",
    )
    artifact = weft.compile(spec, target="cuda").artifact
    assert artifact.target == "cuda"
    assert artifact.files == weft.compile(spec, target=machine).artifact.files
    others = {*targets.CROSS} - {machine}
    assert any(artifact.files != weft.compile(spec, other).artifact.files for other in others)


def test_a_type_without_kernels_is_named() -> None:
    text = "net n {\n  in x: f64[B, 4]\n  x -> tanh as y\n}\n"
    with pytest.raises(weft.UsageError, match=r"other\.weft:2:6: `x` is f64, which kernels"):
        weft.compile(weft.load_text(text, "other.weft"), target="cpu")


NARROW = """
net n {
  in x: TYPE[B, 4]
  y = x -> linear(3) -> tanh
  y -> cast(TYPE) -> linear(2) as z
}

train {
  steps = 1
  data x: TYPE[B, 4], t: f32[B, 2] = npz("d.npz", batch=8)
  step main updates n {
    optimizer = sgd(lr=0.1)
    loss = x -> n -> mse(t)
  }
}
"""


@pytest.mark.parametrize(
    ("dtype", "torch_type"), [("f16", torch.float16), ("bf16", torch.bfloat16)]
)
def test_numbers_of_16_bits_are_rounded_and_held_in_32(dtype: str, torch_type: torch.dtype) -> None:
    program = weft.compile(weft.load_text(NARROW.replace("TYPE", dtype), "n.weft"), target="cpu")
    x, t = torch.randn(8, 4), torch.randn(8, 2)
    rounded = x.to(torch_type).float()
    assert not torch.equal(x, rounded)
    torch.testing.assert_close(program.net(x), program.net(rounded), rtol=0, atol=0)
    torch.testing.assert_close(program.net(x.to(torch_type)), program.net(rounded), rtol=0, atol=0)
    own = dict(program.net.named_parameters())
    y = torch.tanh(F.linear(rounded, own["linear.weight"], own["linear.bias"])).to(torch_type)
    z = F.linear(y.float(), own["z.weight"], own["z.bias"])
    torch.testing.assert_close(program.net(x), z)
    loss, gradients = program.value_and_grad({"x": x, "t": t})
    wanted = F.mse_loss(z, t)
    assert loss == pytest.approx(wanted.item(), rel=1e-5)
    wanted.backward()
    for name, parameter in own.items():
        found = torch.as_tensor(gradients[f"n.{name}"])
        torch.testing.assert_close(found, parameter.grad, rtol=2e-2, atol=1e-3)


READER = """
net reader {
  in source: i32[B, S], target: i32[B, T]
  let table = embedding(18, 8)
  memory = source -> table -> bidirectional(4)
  target -> table -> attention(2, memory=memory) -> linear(18) as logits
}

train {
  steps = 1
  data source, target, next, _mask = sequences(task=sort, symbols=16)
  step main updates reader {
    optimizer = sgd(lr=0.1)
    logits = reader(source, target)
    loss = cross_entropy(logits, next)
  }
}
"""


@pytest.mark.parametrize("token", [18, 10**9, -1])
def test_tokens_that_a_table_does_not_have_are_refused(token: int) -> None:
    """By nets in use and in training mode, and by gradients: kernels read what lies there."""
    program = weft.compile(weft.load_text(READER, "n.weft"), target="cpu")
    good, wrong = torch.tensor([[5, 6]]), torch.tensor([[5, token]])
    program.net(good, good)
    for net in (program.net, program.net.eval()):
        for given in ((wrong, good), (good, wrong)):
            with pytest.raises(
                weft.DataError, match=f"of `reader` holds {token}, it knows 0 to 17"
            ):
                net(*given)
    with torch.no_grad(), pytest.raises(weft.DataError, match="it knows 0 to 17"):
        program.net(good, wrong)
    with pytest.raises(weft.DataError, match="outside 0 … 17"):
        program.value_and_grad({"source": good, "target": wrong, "next": good})
    kept = good.to(torch.int32).numpy()
    program.engine.forward("reader", {"source": kept, "target": kept})
    kept[0, 1] = token  # the same array, changed
    with pytest.raises(weft.DataError, match="it knows 0 to 17"):
        program.engine.forward("reader", {"source": kept, "target": kept})


def test_layers_may_have_names_that_modules_have() -> None:
    text = """
net n {
  in x: f32[B, 4]
  let forward = linear(4)
  let half = linear(2)
  x -> forward -> half as y
}
"""
    program = weft.compile(weft.load_text(text, "n.weft"), target="cpu")
    state = program.net.state_dict()
    assert sorted(state) == ["forward.bias", "forward.weight", "half.bias", "half.weight"]
    x = torch.randn(3, 4)
    z = F.linear(x, state["forward.weight"], state["forward.bias"])
    wanted = F.linear(z, state["half.weight"], state["half.bias"])
    torch.testing.assert_close(program.net(x), wanted)
    program.net.load_state_dict({name: torch.zeros_like(t) for name, t in state.items()})
    assert not program.net(x).any()
    assert len(list(program.net.parameters())) == 4
