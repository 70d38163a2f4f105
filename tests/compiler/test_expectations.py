"""Published counts beside a spec: they come out, or both numbers are named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

SPEC = """\
param width=4, words=["a"]

variant wide { width=8 }

net one {
  in x: f32[B, 2]
  x -> linear(width) as y
}

net two {
  in x: f32[B, 3]
  x -> linear(width, bias=false) as y
}
"""
GOOD = """\
[pair]   # 3 * width of the one, 3 * width of the other
source = "counted"
parameters = { one = 12, two = 12 }

[pair.variants]
wide = 48

[[pair.settings]]
set = { width = 1 }
parameters = { total = 6 }
source = "another \\"place\\""

[[pair.settings]]
variant = "wide"
set = { width = 2, words = ["b"] }
parameters = 12
"""


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    (tmp_path / "pair.weft").write_text(SPEC)
    (tmp_path / "expected.toml").write_text(GOOD)
    return tmp_path / "pair.weft"


def _change(pair: Path, old: str, new: str) -> None:
    text = GOOD.replace(old, new)
    assert text != GOOD
    (pair.parent / "expected.toml").write_text(text)


def test_all_come_out(weft: Any, pair: Path) -> None:
    answer = weft("check", pair, "--variants")
    assert answer.code == 0, answer.err
    listed = [line for line in answer.out.splitlines() if line.startswith(str(pair))]
    assert len(listed) == 4
    assert all(line.endswith("as published") for line in listed)
    assert listed[3].startswith(f"{pair} wide width=2 words=[b]")
    assert "12 parameters of one, 12 parameters of two" in weft("check", pair).out
    answer = weft("check", pair, "--set", "width=1", "--json")
    assert json.loads(answer.out)["published"] == [
        {"counted": "parameters", "net": "total", "number": 6}
    ]
    assert json.loads(weft("check", pair, "--set", "width=5", "--json").out)["published"] == []


@pytest.mark.parametrize(
    ("old", "new", "options", "place", "said"),
    [
        ("one = 12", "one = 13", [], "3:22", "12 parameters of `one`, expected 13 (counted)"),
        ("two = 12", "two = 10", [], "3:32", "12 parameters of `two`, expected 10 (counted)"),
        ("= 48", "= 1_048", ["--variant", "wide"], "6:8", "48 parameters, expected 1,048"),
        ("total = 6", "total = 7", ["--set", "width=1"], "10:24", '7 (another "place")'),
    ],
)
def test_mismatch(
    weft: Any, pair: Path, old: str, new: str, options: list[str], place: str, said: str
) -> None:
    _change(pair, old, new)
    answer = weft("check", pair, *options)
    assert answer.code == 2
    assert f"{pair.parent / 'expected.toml'}:{place}: error[E505]" in answer.err
    assert said in answer.err
    assert "net one" in answer.out  # the table helps to find the difference
    many = weft("check", pair, "--variants")
    assert many.code == 2 and said in many.err and "1 of 4 failed" in many.out


@pytest.mark.parametrize(
    ("old", "new", "place", "said"),
    [
        ('source = "counted"\n', "", "1:2", "needs a `source`"),
        ("wide = 48", "wid = 48", "6:7", "no variant `wid`"),
        ("one = 12", "won = 12", "3:22", "no net `won`"),
        ("width = 1", "with = 1", "8:3", "no param `with`"),
        ("wide = 48", "wide = 48.5", "6:8", "a whole number, not 48.5"),
        ("wide = 48", "wide = { parameter = 48 }", "6:22", "unknown key `parameter`"),
        ("wide = 48", "wide = { }", "6:8", "no number here"),
        ("[pair.variants]", "[pair.variant]", "5:2", "unknown key `variant`"),
        ("wide = 48", "wide = ", "6:8", "not TOML"),
    ],
)
def test_a_wrong_file(weft: Any, pair: Path, old: str, new: str, place: str, said: str) -> None:
    _change(pair, old, new)
    answer = weft("check", pair)
    assert answer.code == 2
    assert f"expected.toml:{place}: error[E506]" in answer.err, answer.err
    assert said in answer.err


def test_a_spec_without_a_section(weft: Any, pair: Path) -> None:
    other = pair.with_name("other.weft")
    other.write_text(SPEC)
    answer = weft("check", other)
    assert answer.code == 0 and "published" not in answer.out
    _change(pair, "[pair", "[[")
    assert "error[E506]: not TOML" in weft("check", other).err
