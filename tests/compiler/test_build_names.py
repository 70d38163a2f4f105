"""Parameter names, flows, structures and scopes: LANGUAGE §3 to §6."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from weft.compiler.build import elaborate, elaboration
from weft.spec.errors import SpecError
from weft.spec.load import load

from .built import net, program

HEAD = "net top {\n  in x: f32[B, 8]\n  "
TAIL = "\n}\n"
BLOCKS = """
block Two(n) { linear(n) -> relu -> linear(n) }
block Gated(n, gate=true) {
  in x: f32[B, C], y: f32[B, D]
  weight mix: f32[D, C] = normal(std=0.1)
  let shared = linear(n)
  h = x + matmul(y, mix)
  shared(h) -> if gate { sigmoid }
}
block Deep(n) { linear(n) as level -> if n > 2 { Deep(n//2) } }
"""
LINEAR = ("weight", "bias")


def names(text: str) -> list[str]:
    """Parameter paths inside the net, in order."""
    return [p.name.partition(".")[2] for p in program(BLOCKS + HEAD + text + TAIL).parameters]


def linears(*paths: str) -> list[str]:
    """The parameters of linear layers."""
    return [f"{path}.{part}" for path in paths for part in LINEAR]


PATHS = {
    "x -> linear(3)": linears("linear"),
    "x -> linear(8) -> relu -> linear(8) -> linear(3)": linears("linear", "linear_2", "linear_3"),
    "x -> linear(8) as a -> linear(8) -> linear(3)": linears("a", "linear", "linear_2"),
    "h = x -> linear(8) -> linear(4)\n  out h": linears("linear", "h"),
    "h = x -> linear(8) -> relu\n  out h": linears("linear"),
    "_, h, _ = x -> branch { linear(8) | relu | relu }\n  h": linears("linear"),
    "_ = x -> linear(8)\n  out x -> linear(8)": linears("linear", "linear_2"),
    "h = x -> residual { linear(8) }\n  out h": linears("linear"),
    "h = x -> if true { linear(8) }\n  out h": linears("h"),
    "x -> residual { linear(8) | linear(8) as short }": linears("linear", "short"),
    "x -> branch { linear(2) | linear(3) -> relu } -> concat(axis=1)": linears(
        "linear", "linear_2"
    ),
    "x -> repeat 2 { linear(8) }": linears("repeat.0", "repeat.1"),
    "x -> repeat 2 { linear(8) } as body": linears("body.0", "body.1"),
    "x -> repeat 2 { linear(8) -> relu } as body": linears("body.0.linear", "body.1.linear"),
    "x -> repeat 2 { linear(8) as fc }": linears("repeat.0.fc", "repeat.1.fc"),
    "x -> for n in [4, 8] { linear(n) } -> for n in [4, 8] { linear(n) }": linears(
        "repeat.0", "repeat.1", "repeat_2.0", "repeat_2.1"
    ),
    "x -> for n in [4, 8] { if n > 4 { Two(n) } else { linear(n) } } as s": [
        *linears("s.0"),
        *linears("s.1.linear", "s.1.linear_2"),
    ],
    "x -> repeat 2 { repeat 2 { linear(8) } -> relu } as o": linears(
        "o.0.repeat.0", "o.0.repeat.1", "o.1.repeat.0", "o.1.repeat.1"
    ),
    "x -> repeat 2 { repeat 1 { linear(8) } } as o": linears("o.0.repeat.0", "o.1.repeat.0"),
    "x -> Two(4) -> Two(8)": linears(
        "Two.linear", "Two.linear_2", "Two_2.linear", "Two_2.linear_2"
    ),
    "x -> Two(4) as first -> Two(8) as second": linears(
        "first.linear", "first.linear_2", "second.linear", "second.linear_2"
    ),
    "x -> repeat 2 { Two(8) } as body": linears(
        "body.0.linear", "body.0.linear_2", "body.1.linear", "body.1.linear_2"
    ),
    "Gated(x, x, 3)": ["Gated.mix", *linears("Gated.shared")],
    "x -> Deep(8)": linears("Deep.level", "Deep.Deep.level", "Deep.Deep.Deep.level"),
    "let e = linear(8)\n  x -> e -> relu -> e": linears("e"),
    "let e = Two(8)\n  x -> e -> e -> linear(3)": linears("e.linear", "e.linear_2", "linear"),
    "weight scale: f32[8] = ones()\n  out x*scale": ["scale"],
    "weight weight: f32[8] = 0.5\n  out x*weight": ["weight"],
    "x -> layer_norm -> rms_norm(affine=false)": ["layer_norm.weight", "layer_norm.bias"],
    "x -> layer_norm(weight=false)": ["layer_norm.bias"],
    "x -> layer_norm(affine=false, bias=true)": ["layer_norm.bias"],
    "x -> linear(4, bias=false) -> linear(8, bias=true)": ["linear.weight", *linears("linear_2")],
    "out linear(linear(x, 8), 4)": linears("linear", "linear_2"),
    "x -> if 3 > 4 { linear(2) } -> repeat 0 { linear(3) } -> linear(1)": linears("linear"),
}


@pytest.mark.parametrize("text", PATHS)
def test_paths(text: str) -> None:
    assert names(text) == PATHS[text]


def value(text: str, blocks: str = "", **feeds: np.ndarray) -> np.ndarray:
    """The output of a net with one input of eight columns."""
    fed = {"x": np.arange(16.0).reshape(2, 8), **feeds}
    (found,) = net(blocks + HEAD + text + TAIL, fed).values()
    return found


X = np.arange(16.0).reshape(2, 8)
FLOWS = {
    "x -> add(2)": X + 2,
    "out add(x, 2)": X + 2,
    "add(2, 3)": X + 5,
    "tanh -> mul(2)": 2 * np.tanh(X),
    "(tanh -> mul(2)) -> add(1)": 2 * np.tanh(X) + 1,
    "out 1 + (x -> mul(2) -> add(3))": 4 + 2 * X,
    "x -> residual { mul(3) }": 4 * X,
    "x -> residual { mul(3) | mul(2) }": 5 * X,
    "x -> branch { mul(2) | add(1) | identity } -> add": 4 * X + 1,
    "a, b = x -> branch { mul(2) | add(1) }\n  out a - b": X - 1,
    "x -> branch { mul(2) | add(1) } as a, b -> add(a)": 5 * X + 1,
    "x -> mul(2) as h -> add(h)": 4 * X,
    "x -> repeat 3 as i { mul(2) -> add(i) }": ((2 * X) * 2 + 1) * 2 + 2,
    "x -> for k in [1, 2] + [3]*2 { add(k) }": X + 9,
    "x -> for pair in [[1, 2], [3, 4]] { mul(pair[0]) -> add(pair[1]) }": (X + 2) * 3 + 4,
    "x -> if 2 > 1 { add(1) } else { add(2) }": X + 1,
    "x -> if false { add(1) } else if true { add(2) } else { add(3) }": X + 2,
    "x -> if false { add(1) }": X,
    "x -> repeat 0 { add(1) }": X,
    "h = x*2\n  x -> mul(3) -> if true { add(h) }": 5 * X,
    "h = x*2\n  x -> mul(3) -> if true { add(h, h) }": 4 * X,
    "h = x*2\n  add(h)": 3 * X,
    "h = x*2\n  x -> residual { concat(h, axis=0) -> max(axis=0) | max(axis=0) }": 3 * X[1],
    "h = x*2\n  x -> branch { mse(h) | mse(h, 0) } -> add": np.mean(X**2) + np.mean(4 * X**2),
    "x -> if not (B == B + 1) and true { add(1) }": X + 1,
    "n = 3\n  out x*n": 3 * X,
    "a, b = (x, 2)\n  out a*b": 2 * X,
    "x -> repeat 2 { residual { mul(2) } -> if true { residual { mul(1) } } }": 36 * X,
}


@pytest.mark.parametrize("text", FLOWS)
def test_flows(text: str) -> None:
    np.testing.assert_allclose(value(text), FLOWS[text])


CALLS = """
block Plus(a, b=10*a) { in x: f32[...], y: f32[...]  # two inputs, two settings
  x + y*a + b
}
block Any(k) { add -> mul(k) }
block Half { in x: f32[B, C%2]
  reshape(x, [B, C//2, 2]) -> sum(axis=-1)
}
block Word(mode=fast|slow) { in x: f32[...]
  x -> if mode == "fast" { mul(2) } else { mul(3) }
}
block Fact(k) { in x: f32[...]
  x -> if k > 1 { mul(k) -> Fact(k - 1) }
}
"""
USES = {
    "Plus(x, x, 2)": 3 * X + 20,
    "x -> Plus(x, 2, 1)": 3 * X + 1,
    "x -> Plus(2, y=x)": 3 * X + 20,
    "Plus(2, y=x, b=0)": 3 * X,
    "out Plus(y=x, x=2*x, a=1)": 3 * X + 10,
    "(x, x) -> Plus(1)": 2 * X + 10,
    "x -> Plus(5, 2)": X + 5 * 2 + 20,
    "(x, x, 1) -> Any(2)": 4 * X + 2,
    "x -> Half": X.reshape(2, 4, 2).sum(-1),
    "x -> Word": 2 * X,
    "x -> Word(slow)": 3 * X,
    "x -> Word(mode=slow)": 3 * X,
    'x -> Word("slow")': 3 * X,
    "x -> Fact(5)": 120 * X,
    "default Word(mode=slow)\n  x -> Word": 3 * X,
    "default Word(mode=slow)\n  x -> Word(fast)": 2 * X,
    "default Plus(a=2, b=0)\n  Plus(x, x)": 3 * X,
    "let p = Plus(2, b=1)\n  out p(x, x) + p(x, 1)": 4 * X + 4,
    "let p = Plus(2, y=x)\n  x -> p": 3 * X + 20,
}


@pytest.mark.parametrize("text", USES)
def test_calls_of_blocks(text: str) -> None:
    np.testing.assert_allclose(value(text, CALLS), USES[text])


def test_defaults_of_a_file_hold_in_its_blocks_and_not_in_the_prelude() -> None:
    text = """default linear(bias=false)
default softmax(axis=0)
block Inner { default linear(bias=true)
  linear(2)
}
net top { in x: f32[B, 8]
  x -> linear(4) -> Inner -> linear(3, bias=true) -> softmax
}
"""
    built = program(text)
    assert [p.name for p in built.parameters] == [
        "top.linear.weight",
        *(f"top.Inner.linear.{part}" for part in LINEAR),
        *(f"top.linear_2.{part}" for part in LINEAR),
    ]


def test_imports_keep_their_own_params_and_defaults(tmp_path: Path) -> None:
    (tmp_path / "blocks.weft").write_text(
        "param width=5\ndefault linear(bias=false)\n"
        "block Head(n=width) { linear(n) -> linear(width) }\n"
    )
    (tmp_path / "main.weft").write_text(
        'import "blocks.weft"\nparam width=3\n'
        "net top {\n  in x: f32[B, 8]\n  x -> Head -> linear(width)\n}\n"
    )
    built = elaborate(load(tmp_path / "main.weft"))
    assert {p.name: p.shape for p in built.parameters} == {
        "top.Head.linear.weight": (5, 8),
        "top.Head.linear_2.weight": (5, 5),
        "top.linear.weight": (3, 5),
        "top.linear.bias": (3,),
    }


def test_own_blocks_shadow_the_prelude_for_the_user_only() -> None:
    text = """block hardsigmoid { in x: f32[...]
  x*0
}
net top { in x: f32[B, 8]
  out hardsigmoid(x) + hardswish(x)
}
"""
    (found,) = net(text, {"x": X}).values()
    np.testing.assert_allclose(found, X * np.clip(X + 3, 0, 6) / 6)


def test_variants_and_params() -> None:
    text = "param n=4, w=[n, 2*n]\nvariant big { n=16 }\n" + HEAD
    text += "x -> for k in w { linear(k) }" + TAIL
    assert [p.shape[0] for p in program(text).parameters[::2]] == [4, 8]
    assert [p.shape[0] for p in program(text, n=3).parameters[::2]] == [3, 6]


def test_a_weight_can_be_replaced() -> None:
    text = """net top { in t: i32[B, T]
  let table = embedding(10, 4)
  weight shift: f32[10] = zeros()
  t -> table -> linear(10, bias=shift, weight=table.weight) as logits
}
"""
    built = program(text)
    assert [p.name for p in built.parameters] == ["top.shift", "top.table.weight"]
    table, shift = np.arange(40.0).reshape(10, 4), np.arange(10.0)
    tokens = np.array([[1, 2, 3]])
    (found,) = net(text, {"t": tokens, "top.shift": shift, "top.table.weight": table}).values()
    np.testing.assert_allclose(found, table[tokens] @ table.T + shift)


def test_initialisers_and_fans() -> None:
    text = """net top { in x: f32[B, 8]
  weight a: f32[3, 8] = kaiming_normal(mode=fan_out)
  weight b: f32[3] = pytorch_linear()
  weight c: f32[5] = 2
  x -> linear(3, weight=a, bias=b) -> linear(4, weight_init=normal(0, std=0.02)) -> add(sum(c))
}
"""
    found = {p.name[4:]: p.initialiser for p in program(text).parameters}
    assert found["a"].kind == "kaiming_normal" and dict(found["a"].settings)["mode"] == "fan_out"
    assert (found["a"].fan_in, found["a"].fan_out) == (8, 3)
    assert (found["b"].kind, found["b"].fan_in, found["b"].fan_out) == ("pytorch_linear", 8, 3)
    assert (found["c"].kind, dict(found["c"].settings)) == ("constant", {"value": 2})
    assert dict(found["linear_2.weight"].settings) == {"mean": 0, "std": 0.02}
    assert (found["linear_2.bias"].kind, found["linear_2.bias"].fan_in) == ("pytorch_linear", 3)


def test_a_setting_that_a_weight_begins_with_is_an_initialiser() -> None:
    text = """block dense(features, begin=normal(std=0.5)) {
  in x: f32[..., C]
  weight weight: f32[features, C] = begin
  matmul(x, transpose(weight))
}
"""
    body = "x -> dense(4) -> dense(4, begin=zeros()) -> dense(4, 2.5)"
    kinds = [p.initialiser.kind for p in program(text + HEAD + body + TAIL).parameters]
    assert kinds == ["normal", "zeros", "constant"]


def test_outputs_are_named_by_the_text() -> None:
    cases = {
        "x -> relu as y": ["y"],
        "a = x + 1\n  b = x + 2\n  out a, b": ["a", "b"],
        "out x + 1": ["output"],
        "a = x + 1\n  out a": ["a"],
        "x -> branch { add(1) | add(2) }": ["output", "output_2"],
        "out x, x": ["x", "x_2"],
        "x -> split(2) as a, b": ["a", "b"],
    }
    for text, wanted in cases.items():
        assert list(program(HEAD + text + TAIL).nets["top"].outputs) == wanted


def test_values_carry_names_places_and_scopes() -> None:
    text = """block Head(n) {
  in x: f32[B, C]
  x -> linear(n) -> tanh
}
net top {
  in x: f32[B, 8]
  h = x -> layer_norm
  scores = h
    -> Head(3) as head
    -> mul(2)
  scores -> softmax as y
}
"""
    graph = program(text).nets["top"].graph
    by_name = {node.name: node for node in graph if node.op != "broadcast"}
    assert {"centred", "variance", "rstd", "normalised", "h", "head", "scores", "y"} <= set(by_name)
    assert by_name["rstd"].place.line == by_name["centred"].place.line == 7
    assert by_name["rstd"].scope == "top.h"
    assert (by_name["product"].place.line, by_name["product"].scope) == (3, "top.head.linear")
    assert by_name["head"].op == "tanh" and by_name["head"].place.line == 3
    assert by_name["scores"].place.line == 10
    assert all("prelude" not in str(node.place) for node in graph)


def test_the_table_lists_the_calls_of_the_users_text() -> None:
    text = """block Two { linear(4) -> relu }
net top {
  in x: f32[B, 8]
  x -> repeat 2 { Two } as body -> linear(3) as y
}
"""
    layers = program(text).nets["top"].layers
    assert [(r.path, r.op, r.parameters, str(r.flops), r.place.line) for r in layers] == [
        ("body.0.linear", "linear", 36, "68*B", 1),
        ("body.0.relu", "relu", 0, "4*B", 1),
        ("body.1.linear", "linear", 20, "36*B", 1),
        ("body.1.relu", "relu", 0, "4*B", 1),
        ("y", "linear", 15, "27*B", 4),
    ]


def test_sixty_four_blocks_inside_each_other_are_enough() -> None:
    text = "block D(k) { in x: f32[...]\n  x -> if k > 1 { residual { D(k - 1) } } }\n"
    assert value("x -> D(64)", text).shape == (2, 8)


def test_the_number_of_operations_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "block D(k) { in x: f32[...]\n  x -> if k > 0 { D(k - 1) -> D(k - 1) } }\n"

    monkeypatch.setattr(elaboration, "MOST_CALLS", 500)
    with pytest.raises(SpecError, match="E319"):
        program(text + HEAD + "x -> D(30)" + TAIL)
