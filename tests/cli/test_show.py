"""`weft show`: its options, and all ways to write a picture."""

from __future__ import annotations

import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest


@pytest.mark.parametrize("form", ["text", "dot", "mermaid", "svg"])
def test_repeats_are_folded(weft, examples: Path, form: str) -> None:
    answer = weft("show", examples / "gpt2" / "gpt2.weft", "--format", form)
    assert answer.code == 0, answer.err
    assert "× 12" in answer.out and answer.out.count("attention") <= 2
    unfolded = weft("show", examples / "gpt2" / "gpt2.weft", "--format", form, "--unfold")
    assert unfolded.out.count("attention") >= 12 and "× 12" not in unfolded.out


def test_text(weft, tmp_path: Path) -> None:
    spec = tmp_path / "a.weft"
    spec.write_text(
        "net a {\n  in x: f32[B, 2]\n  x -> residual { linear(2) as own -> tanh } as y\n}\n"
    )
    assert weft("show", spec).out.splitlines() == [
        "net a  6 parameters",
        "1  x f32[B, 2]",
        "2  linear 2 (own)          6",
        "3  tanh            [B, 2]",
        "4  +               [B, 2]     <- 3, 1",
        "5  y f32[B, 2]",
    ]


def test_output_file_says_the_format(weft, examples: Path, tmp_path: Path) -> None:
    out = tmp_path / "net.svg"
    answer = weft("show", examples / "digits" / "digits.weft", "-o", out)
    assert (answer.code, answer.out) == (0, "")
    ET.parse(out)


def test_all_nets_or_one(weft, examples: Path) -> None:
    spec = examples / "gan" / "gan.weft"
    assert weft("show", spec).out.count("net ") == 2
    assert weft("show", spec, "--net", "generator").out.count("net ") == 1
    both = ET.fromstring(weft("show", spec, "--format", "svg").out)
    texts = {text.text for text in both.iter("{http://www.w3.org/2000/svg}text")}
    assert {"generator", "discriminator"} <= texts


def test_sizes(weft, examples: Path) -> None:
    answer = weft("show", examples / "unet" / "unet.weft", "--size", "H=572", "--size", "W=572")
    assert "[B, 64, 568, 568]" in answer.out


def test_depth(weft, examples: Path) -> None:
    answer = weft("show", examples / "gpt2" / "gpt2.weft", "--depth", "1")
    assert answer.code == 0 and "attention" not in answer.out
    assert "Block × 12 " in answer.out and "layers" in answer.out


def test_a_large_network_is_drawn_at_once(weft, examples: Path) -> None:
    begin = time.process_time()
    assert weft("show", examples / "gpt2" / "gpt2.weft", "--format", "svg").code == 0
    assert time.process_time() - begin < 1.0


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--net", "mpl"], "did you mean `mlp`?"),
        (["--depth", "0"], "counts from 1"),
        (["-o", "net.jpeg"], "--format"),
        (["--size", "H"], "NAME=NUMBER"),
        (["--size", "H=-1"], "--size H=224"),
    ],
)
def test_wrong_flags(weft, examples: Path, flags: list[str], said: str) -> None:
    answer = weft("show", examples / "digits" / "digits.weft", *flags)
    assert answer.code == 2
    assert said in answer.err
