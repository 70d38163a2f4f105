"""The outline of a net: what ran, as its text calls it."""

from __future__ import annotations

from weft.compiler.build import elaborate, outline_of
from weft.compiler.build.outline import Part
from weft.spec.load import load_text

TEXT = """\
default linear(bias=false)

block Layer(n, skip=true) {
  in x: f32[B, C]
  x -> if skip { residual { linear(n) -> tanh } } else { linear(n) }
}

net deep {
  in x: f32[B, 4]
  weight shift: f32[4] = zeros()
  y = x -> repeat 2 { Layer(4) } as body -> flatten -> identity
  out (2*y + shift) -> linear(1, weight_init=zeros())
}
"""


def _net(text: str = TEXT) -> tuple[Part, ...]:
    program = elaborate(load_text(text, "a.weft"))
    return outline_of(program, *program.nets)


def _told(parts: tuple[Part, ...] | list[Part]) -> list[object]:
    return [(p.kind, p.name, _told(p.parts)) if p.parts else (p.kind, p.name) for p in parts]


def test_blocks_turns_layers_and_operators() -> None:
    layer = ("block", "Layer", [("layer", "linear"), ("layer", "tanh"), ("operator", "+")])
    assert _told(_net()) == [
        ("turn", "body", [layer]),
        ("turn", "body", [layer]),
        ("layer", "flatten"),
        ("layer", "identity"),
        ("operator", "*"),
        ("operator", "+"),
        ("layer", "linear"),
    ]


def test_values_flow_from_part_to_part() -> None:
    first, second, flatten, identity, twice, shifted, last = _net()
    assert second.inputs == first.results and flatten.inputs == second.results
    assert identity.results == identity.inputs == flatten.results
    assert twice.inputs == identity.results and twice.settings == {"left": "2"}
    assert twice.results[0] in shifted.inputs and len(shifted.inputs) == 2
    assert last.inputs == shifted.results
    (block,) = first.parts
    linear, tanh, add = block.parts
    assert add.inputs == (*tanh.results, *linear.inputs)
    assert add.results == block.results == first.results


def test_settings_and_parameters() -> None:
    first, *_, last = _net()
    (block,) = first.parts
    assert block.settings == {"n": "4"}
    assert block.parts[0].settings == {"features": "4", "bias": "false"}
    assert block.parts[0].parameters == ("deep.body.0.linear.weight",) == block.parameters
    assert last.settings == {"features": "1", "bias": "false"}  # initialisers are left out
    assert last.path == "deep.linear"


def test_a_layer_that_is_used_again_makes_no_parameters() -> None:
    first, second, tied = _net(
        """\
net shared {
  in x: i32[B, 3]
  let table = embedding(7, 4)
  rows = table(x)
  again = table(x)
  out again, linear(rows, 7, bias=false, weight=table.weight)
}
"""
    )
    assert (first.parameters, second.parameters) == (("shared.table.weight",), ())
    assert tied.settings["weight"] == "table.weight"
    assert len(tied.inputs) == 1
