"""The canonical form: its layout, and comments that stay where they belong."""

from __future__ import annotations

import pytest

from weft.spec.format import WIDTH, write_weft, write_yaml
from weft.spec.load import read_text

MESSY = """\
# top
net n { # opens
  in x: f32[B] # the input
  h = x->linear( 3 ) # first
    # in between
    -> relu
  h -> repeat 3 {
    # inside braces
    relu
  }
  # bottom
}
# about the params
param a=1,
      b=2  # beside b
# above c
param c=3, d="no # comment"
# tail
"""

NEAT = """\
# about the params
param a=1, b=2  # beside b
# above c
param c=3, d="no # comment"

# top
net n {  # opens
  in x: f32[B]  # the input
  # in between
  h = x -> linear(3) -> relu  # first
  # inside braces
  h -> repeat 3 { relu }
  # bottom
}

# tail
"""

YAML = """\
param:
  # about the params
  a: 1
  b: 2  # beside b
  # above c
  c: 3
  d: "no # comment"

net:
  # top
  n:  # opens
    in:
      x: f32[B]  # the input
    values:
      # in between
      h: x -> linear(3) -> relu  # first
    # inside braces
    out:
      - h
      - repeat: 3
        do: relu
    # bottom

# tail
"""


def test_comments_survive_in_both_forms() -> None:
    tree = read_text(MESSY, "t.weft")
    assert write_weft(tree) == NEAT
    assert write_weft(read_text(NEAT, "t.weft")) == NEAT
    assert write_yaml(tree) == YAML
    again = read_text(YAML, "t.yaml")
    assert again == tree
    assert write_yaml(again) == YAML


def test_yaml_comments_become_weft_comments() -> None:
    text = "# top\nblock:\n  A:\n    # first\n    - relu\n    # second\n    - tanh # end\n"
    written = write_weft(read_text(text, "t.yaml"))
    assert written == "# top\nblock A {\n  # first\n  # second\n  relu -> tanh  # end\n}\n"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("block B(){relu}", "block B { relu }\n"),
        ("param a = 1\nparam b = ( 1+2 )*3", "param a=1, b=(1 + 2)*3\n"),
        ("block B { out -(a**b)**-c }", "block B { out -(a**b)**-c }\n"),
        ("block B { out (a - (b - c))/(d*e) }", "block B { out (a - (b - c))/(d*e) }\n"),
        ("block B { out not (a or b) and (c == d) }", "block B { out not (a or b) and c == d }\n"),
        ("block B { x }", "block B { x }\n"),
        ("block B { in x: f32[]\n out x }", "block B {\n  in x: f32[]\n  out x\n}\n"),
    ],
)
def test_the_canonical_form(text: str, wanted: str) -> None:
    assert write_weft(read_text(text, "t.weft")) == wanted


def test_long_lines_break() -> None:
    names = ", ".join(f"argument{number}" for number in range(12))
    long = " -> ".join(f"stage{number}(3)" for number in range(20))
    total = " + ".join(f"part{number}*factor{number}" for number in range(9))
    text = (
        f"param w=[{names}], v=f({names})\n"
        f"block B {{ x -> f({names}) -> g }}\n"
        f"block C {{ residual {{ {long} | {long} }} }}\n"
        f"block D {{ s = {total}\n out s }}\n"
        f"train {{ data x = f({names})\n"
        f" step s updates n {{ optimizer = o({names})\n loss = {total} }} }}\n"
    )
    tree = read_text(text, "t.weft")
    written = write_weft(tree)
    assert read_text(written, "t.weft") == tree
    wide = [line for line in written.split("\n") if len(line) > 88]
    assert all(line.startswith("param") for line in wide)


HEADED = """\
# A title.
#
# More about it.

# about a
param a=1
"""


@pytest.mark.parametrize(
    "text",
    [HEADED, HEADED.replace("\n\n", "\n"), "# a\n\n\n# b\n\nparam a=1\n", "# c\nblock B { f }\n"],
)
def test_the_head_of_a_file_stays_there(text: str) -> None:
    tree = read_text(text, "t.weft")
    assert write_weft(tree) == text
    yaml = write_yaml(tree)
    assert yaml.startswith(text.split("\n")[0] + "\n")
    assert write_yaml(read_text(yaml, "t.yaml")) == yaml


def test_a_long_data_line_breaks_between_its_fields() -> None:
    names = [f"field_{i}: f32[B, 3, 16, 16]" for i in range(5)]
    source = 'npz("a.npz", batch=16, split=0.8)'
    text = "net n {\n  in x: f32[B]\n  x -> relu\n}\n\ntrain {\n  epochs = 1\n"
    text += f"  data {', '.join(names)} = {source}\n"
    text += (
        "  step main updates n {\n    optimizer = sgd(lr=1)\n    loss = sum(field_0 -> n)\n  }\n}\n"
    )
    tree = read_text(text, "a.weft")
    written = write_weft(tree)
    assert max(map(len, written.splitlines())) <= WIDTH
    assert f"    field_4: f32[B, 3, 16, 16] = {source}\n" in written
    again = read_text(written, "a.weft")
    assert again == tree and write_weft(again) == written
