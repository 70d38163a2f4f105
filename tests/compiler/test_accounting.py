"""What a token and a training cost: counted by hand, and published."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from weft.compiler.accounting import Budget
from weft.compiler.report import check
from weft.spec.load import load, load_text

SCALING = Path(__file__).resolve().parents[2] / "examples" / "scaling" / "scaling.weft"
PUBLISHED = [
    ("", 400e6, 8.0e9, 1.92e19, 0.01),
    ("b1", 1e9, 20.2e9, 1.21e20, 0.02),
    ("b10", 10e9, 205.1e9, 1.23e22, 0.01),
    ("b67", 67e9, 1.5e12, 5.76e23, 0.05),  # the table rounds the tokens up
    ("b175", 175e9, 3.7e12, 3.85e24, 0.01),
    ("t1", 1e12, 21.2e12, 1.27e26, 0.01),
]
LINEAR = """
net model {
  in tokens: i32[B, T]
  tokens -> embedding(10, 8) -> linear(16, bias=false) -> linear(10, bias=false)
}
"""
ATTENTION = """
net model {
  in tokens: i32[B, T]
  x = tokens -> embedding(10, 8)
  matmul(matmul(x, transpose(x)), x)
}
"""


@pytest.mark.parametrize(("variant", "weights", "tokens", "flops", "near"), PUBLISHED)
def test_the_compute_optimal_table(
    variant: str, weights: float, tokens: float, flops: float, near: float
) -> None:
    report = check(load(str(SCALING), variant=variant or None))
    cost = report.nets["decoder"].token
    assert cost is not None
    assert report.parameters == pytest.approx(weights, rel=0.01)
    assert Budget(tokens).flops(cost.estimate) == pytest.approx(flops, rel=near)
    assert 1 < cost.training / cost.estimate < 1.4, "attention comes on top"
    assert cost.training == pytest.approx(3 * cost.forward, rel=0.02)


def test_products_are_counted_exactly() -> None:
    """Two for a weight forward, four backward, since what they read depends on parameters too."""
    (net,) = check(load_text(LINEAR, "t.weft")).nets.values()
    assert net.token is not None
    assert net.token.forward == 2 * (8 * 16 + 16 * 10)
    assert net.token.training == 3 * net.token.forward
    assert net.token.estimate == 6 * (80 + 128 + 160)
    assert net.token.sizes == {"T": 64}


@pytest.mark.parametrize("length", [1, 64, 1000])
def test_attention_grows_with_the_length(length: int) -> None:
    (net,) = check(load_text(ATTENTION, "t.weft"), length).nets.values()
    assert net.token is not None
    assert net.token.forward == 2 * (2 * 8 * length)
    assert net.token.sizes == {"T": length}


def test_two_sides_count_together() -> None:
    text = """
    net model {
      in source: i32[B, S], target: i32[B, T], kind: i32[B, T], label: i32[B]
      let table = embedding(10, 8)
      a = sum(linear(table(source), 8, bias=false)) + sum(table(target)) + sum(table(kind))
      out a + sum(table(label))
    }
    """
    (net,) = check(load_text(text, "t.weft"), 10).nets.values()
    assert net.token is not None
    assert net.token.forward * 20 == pytest.approx(10 * 2 * 64 + 4 * 80, rel=0.1)
    (other,) = check(
        load_text("net n {\n  in x: f32[B, 4]\n  x -> linear(2)\n}\n", "t.weft")
    ).nets.values()
    assert other.token is None


# the command


def test_a_budget_and_its_time(weft: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.weft"
    path.write_text(LINEAR)
    answer = weft("check", path, "--tokens", "8.0e9", "--rate", "1e9", "--length", 32)
    assert answer.code == 0, answer.err
    assert "token       1.73 k FLOPs in training, 576 forward at T=32; 2.21 k at 6" in answer.out
    assert "8 G tokens at 1 GFLOP/s: 1.77e13 FLOPs (4:54:24) at 6 for each parameter" in answer.out
    assert "1.38e13 FLOPs (3:50:24) counted" in answer.out
    found = json.loads(weft("check", path, "--tokens", "8.0e9", "--rate", "1e9", "--json").out)
    assert found["nets"]["model"]["token"]["training"] == 1728
    budget = found["budget"]["model"]
    assert budget["flops"] == 1728 * 8e9 and budget["seconds"] == 1728 * 8
    assert budget["estimate"] == 2208 * 8e9
    without = json.loads(weft("check", path, "--tokens", "8.0e9", "--json").out)
    assert without["budget"]["model"]["seconds"] is None
    assert "budget" not in json.loads(weft("check", path, "--json").out)


def test_all_variants_with_their_published_tokens(weft: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.weft"
    path.write_text("param d=8\nvariant wide { d=16 }\n" + LINEAR.replace("16", "d"))
    expected = tmp_path / "expected.toml"
    good = """[model]
source = "a table"
tokens = 1e6
flops = 1.4e9
parameters = 224
[model.variants]
wide = { parameters = 368, tokens = 2e6, flops = 4.4e9 }
"""
    expected.write_text(good)
    answer = weft("check", path, "--variants", "--rate", "1e6")
    assert answer.code == 0, answer.err
    assert re.search(r"1 M +1\.34e9 \(22:24\)  as published", answer.out)
    assert re.search(r"2 M +4\.42e9 \(1:13:36\)  as published", answer.out)
    assert "5 k" in weft("check", path, "--variants", "--tokens", "5e3").out
    assert "1.34e9 FLOPs" in weft("check", path).out
    expected.write_text(good.replace("1.4e9", "2.4e9"))
    answer = weft("check", path)
    assert answer.code == 2
    assert "expected.toml:4:9: error[E505]" in answer.err
    assert "1.34e+09 FLOPs for 1e+06 tokens, expected 2.4e+09 (a table)" in answer.err
    for change, said in (
        ("tokens = 1e6\nflops = -3", "`flops` is a number above 0, not -3"),
        ("flops = 1.4e9", "`flops` without `tokens`"),
        ("tokens = true", "`tokens` is a number above 0"),
    ):
        expected.write_text(good.replace("tokens = 1e6\nflops = 1.4e9", change))
        answer = weft("check", path)
        assert answer.code == 2 and said in answer.err and "error[E506]" in answer.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--tokens", "many"], "--tokens many: a number above 0, such as 8.0e9"),
        (["--tokens", "-1"], "--tokens -1: a number above 0"),
        (["--tokens", "1e9", "--rate", "inf"], "--rate inf: a number above 0, such as 400e12"),
        (["--length", "0"], "--length 0: a text has at least 1 token"),
    ],
)
def test_numbers_that_are_none(weft: Any, options: list[str], said: str) -> None:
    answer = weft("check", SCALING, *options)
    assert answer.code == 2 and said in answer.err


def test_nets_that_read_no_tokens(weft: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.weft"
    path.write_text("net n {\n  in x: f32[B, 4]\n  x -> linear(2)\n}\n")
    answer = weft("check", path, "--tokens", "1e9")
    assert answer.code == 2 and "`model` reads no tokens" in answer.err
    assert "token " not in weft("check", path).out
