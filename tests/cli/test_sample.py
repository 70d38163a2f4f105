"""`weft sample`: from a run, from fresh weights, and what it refuses."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.bare import bare

Weft = Callable[..., Any]

SPEC = """
net writer {
  in tokens: i32[B, T]
  tokens -> embedding(256, 32) -> learned_positions(64) -> residual {
    layer_norm -> attention(2, causal=true)
  } -> linear(256) as logits
}

train {
  steps = 120
  data tokens: i32[B, T], next: i32[B, T] = text("*.txt", length=16, batch=8)
  step main updates writer {
    optimizer = adam(lr=1e-2)
    loss = tokens -> writer -> cross_entropy(next)
  }
}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A writer that has learnt one sentence."""
    from weft.cli import main

    folder = tmp_path_factory.mktemp("writer")
    (folder / "writer.weft").write_text(SPEC, encoding="utf-8")
    (folder / "a.txt").write_text("der Fluß fließt. " * 60, encoding="utf-8")
    out = str(folder / "run")
    assert main(["train", str(folder / "writer.weft"), "--out", out, "--quiet"]) == 0
    return folder


def sample(weft: Weft, folder: Path, *more: str) -> Any:
    given = ("sample", str(folder / "writer.weft"), "--checkpoint", str(folder / "run"))
    return weft(*given, "--target", "cpu", *more)


def test_it_goes_on_from_the_prompt(weft: Weft, run: Path) -> None:
    answer = sample(weft, run, "--prompt", "der Flu", "--temperature", "0", "--length", "24")
    assert answer.code == 0, answer.err
    assert answer.out.startswith("der Fluß fließt. ")
    assert "\ufffd" not in answer.out[:15]
    plain = sample(
        weft, run, "--prompt", "der Flu", "--temperature", "0", "--length", "24", "--no-cache"
    )
    assert plain.out == answer.out


def test_a_package_writes_the_same(weft: Weft, run: Path, tmp_path: Path) -> None:
    package, out = tmp_path / "package", ("--checkpoint", str(run / "run"))
    made = weft("compile", str(run / "writer.weft"), "-o", str(package), "--target", "cpu")
    assert made.code == 0, made.err
    given = (
        "--prompt",
        "der Flu",
        "--length",
        "20",
        "--temperature",
        "0.5",
        "--seed",
        "3",
        "--json",
    )
    for more in ((), ("--no-cache",)):
        here = sample(weft, run, *given, *more)
        there = bare(package / "sample.py", *out, *given, *more, cwd=tmp_path)
        assert there.returncode == 0, there.stderr
        assert there.stdout == here.out
        assert json.loads(here.out)["cached"] is (not more)
    wrong = bare(package / "sample.py", *out, "--tokens", "256", cwd=tmp_path)
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("sample.py: error: token 256 is not of `writer`")
    kernels = package / "decode" / "writer" / "kernels.c"
    kernels.write_text(kernels.read_text() + "/* mine */\n")
    refused = bare(package / "sample.py", *out, "--tokens", "25", cwd=tmp_path)
    assert "`decode/writer/kernels.c` was changed since `weft compile`" in refused.stderr


def test_seeds_samples_and_json(weft: Weft, run: Path) -> None:
    given = ("--prompt", "der", "--length", "12", "-n", "3", "--temperature", "2", "--json")
    first, again, other = (
        json.loads(sample(weft, run, *given, "--seed", seed).out) for seed in ("1", "1", "2")
    )
    assert first == again != other
    assert first["cached"] is True and first["prompt"] == list(b"der")
    assert len(first["samples"]) == 3
    assert all(len(each["tokens"]) <= 12 for each in first["samples"])
    text = sample(
        weft, run, "--prompt", "der", "--length", "12", "--temperature", "2", "--seed", "1"
    )
    assert text.out.startswith("der")


def test_beams_and_other_choices(weft: Weft, run: Path) -> None:
    answer = sample(weft, run, "--prompt", "der", "--beams", "4", "-n", "2", "--length", "6")
    assert answer.code == 0 and "--- 1" in answer.out and "--- 2" in answer.out
    given = ("--prompt", "der", "--top-k", "1", "--length", "6")
    greedy = sample(weft, run, "--prompt", "der", "--temperature", "0", "--length", "6")
    assert sample(weft, run, *given).out == greedy.out
    assert (
        sample(weft, run, "--prompt", "der", "--top-p", "1e-9", "--length", "6").out == greedy.out
    )
    answer = sample(weft, run, "--prompt", "der", "--repetition-penalty", "1.5", "--length", "6")
    assert answer.code == 0


def test_a_text_may_end_it(weft: Weft, run: Path) -> None:
    given = ("--prompt", "der ", "--length", "40", "--seed", "3")
    whole = sample(weft, run, *given).out.removesuffix("\n")
    end = whole[14:16]
    wanted = whole[: 4 + whole[4:].index(end)]
    assert sample(weft, run, *given, "--until", end).out == wanted + "\n"
    assert sample(weft, run, *given, "--until", "☂", "--until", end).out == wanted + "\n"
    listed = json.loads(sample(weft, run, *given, "--until", end, "--json", "-n", "2").out)
    (first, _) = listed["samples"]
    assert "der " + first["text"] == wanted
    assert len(first["tokens"]) < 40
    for more, said in ((("--until", ""), "not empty"), (("--until", "x", "--beams", "2"), "beams")):
        answer = sample(weft, run, *given, *more)
        assert answer.code == 2 and said in answer.err


def test_standard_input(weft: Weft, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("der"))
    answer = sample(weft, run, "--prompt", "-", "--length", "3")
    assert answer.code == 0 and answer.out.startswith("der")


def test_without_a_run_weights_are_fresh(weft: Weft, run: Path, tmp_path: Path) -> None:
    (tmp_path / "writer.weft").write_text(SPEC, encoding="utf-8")
    spec = str(tmp_path / "writer.weft")
    answer = weft("sample", spec, "--tokens", "100,101", "--length", "3")
    assert answer.code == 0 and answer.out.startswith("100 101 ")
    assert "nothing is trained yet" in answer.err
    answer = weft("sample", spec, "--prompt", "der")
    assert answer.code == 2 and "no vocabulary to read the prompt with" in answer.err
    answer = weft("sample", spec)
    assert answer.code == 2 and "nothing to go on from" in answer.err


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--prompt", "der", "--length", "100"), "`writer` has 64"),
        (("--prompt", "der", "--length", "0"), "--length 0"),
        (("--tokens", "5,x"), "--tokens 5,x: numbers are expected"),
        (("--tokens", "256"), "token 256 is not of `writer`: it knows 0 to 255"),
        (("--prompt", "der", "--temperature", "-1"), "temperature -1"),
        (("--prompt", "der", "--net", "reader"), "no net `reader`"),
        (("--prompt", "der", "-n", "3", "--beams", "2"), "raise --beams"),
        (("--prompt", "der", "--source", "x"), "no single input that --source could be"),
    ],
)
def test_what_is_wrong_is_said(weft: Weft, run: Path, given: tuple[str, ...], said: str) -> None:
    answer = sample(weft, run, *given)
    assert answer.code == 2 and said in answer.err
