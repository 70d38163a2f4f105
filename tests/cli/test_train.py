"""`weft train`, `eval` and `predict`: a network from its data to its answers, and back."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest


@pytest.fixture
def starter(weft, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The spec of `weft new`, with its data, in the current folder."""
    monkeypatch.chdir(tmp_path)
    assert weft("new", "hello").code == 0
    return Path("hello/hello.weft")


def test_train_eval_predict(weft, starter: Path) -> None:
    answer = weft("train", starter, "--target", "cpu")
    assert answer.code == 0, answer.err
    assert "net hello" in answer.out
    assert "target      cpu" in answer.out
    assert "results     runs/hello" in answer.out
    assert Path("runs/hello/checkpoints/last.safetensors").is_file()
    assert Path("runs/hello/metrics.csv").is_file()

    answer = weft("eval", starter, "--target", "cpu", "--json")
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["metrics"]["accuracy"] > 0.95

    answer = weft("eval", starter, "--target", "cpu", "--report")
    assert "true, taken for   0   1   2" in answer.out and "accuracy  0.9" in answer.out

    Path("new.csv").write_text("x,y\n0.3,0.1\n-0.2,0.6\n")
    answer = weft("predict", starter, "--input", "new.csv", "-o", "out.csv", "--target", "cpu")
    assert answer.code == 0, answer.err
    rows = list(csv.DictReader(Path("out.csv").read_text().splitlines()))
    assert len(rows) == 2
    assert all(row["class"] in {"0", "1", "2"} for row in rows)


def test_json_and_counts(weft, starter: Path) -> None:
    flags = ("--out", "here", "--target", "cpu", "--json")
    answer = weft("train", starter, *flags, "--steps", "7", "--seed", "3")
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)
    assert found["steps"] == 7
    assert found["out"] == "here"
    assert set(found["metrics"]) == {"train", "test"}
    again = json.loads(weft("train", starter, *flags, "--steps", "7", "--seed", "3").out)
    assert again["metrics"] == found["metrics"]
    other = json.loads(weft("train", starter, *flags, "--steps", "7", "--seed", "4").out)
    assert other["metrics"] != found["metrics"]


def test_interrupted_and_resumed_is_as_if_never_interrupted(weft, starter: Path) -> None:
    flags = ["--target", "cpu", "--steps", "100000"]
    command = [sys.executable, "-m", "weft.cli", "train", str(starter), *flags, "--out", "cut"]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    metrics = Path("cut/metrics.csv")
    deadline = time.monotonic() + 60
    while not (metrics.exists() and metrics.read_text().count("\n") > 3):
        assert run.poll() is None, run.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(run.pid, signal.SIGINT)
    out, err = run.communicate(timeout=60)
    assert run.returncode == 130, err
    assert "interrupted after" in out
    assert "go on with  weft train" in out
    assert "Traceback" not in err

    resumed = weft("train", starter, *flags, "-o", "cut", "--resume", "--json")
    whole = weft("train", starter, *flags, "--out", "whole", "--json")
    found, expected = json.loads(resumed.out), json.loads(whole.out)
    assert found["steps"] == expected["steps"] == 100000
    assert found["metrics"] == expected["metrics"]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--epochs", "0"], "more than 0"),
        (["--steps", "-3"], "more than 0"),
        (["--epochs", "nan"], "more than 0"),
        (["--seed", "-1"], "from 0 to"),
        (["--target", "cdua"], "no target `cdua`"),
        (["--variant", "big"], "no variant"),
        (["--set", "hiden=3"], "did you mean `hidden`?"),
        (["--set", "hidden=wide"], "hidden"),
    ],
)
def test_wrong_flags(weft, starter: Path, flags: list[str], said: str) -> None:
    answer = weft("train", starter, *flags)
    assert answer.code == 2, answer.err
    assert said in answer.err
    assert not Path("runs").exists()


def test_missing_data(weft, starter: Path) -> None:
    Path("hello/spirals.csv").unlink()
    answer = weft("train", starter, "--target", "cpu")
    assert answer.code == 1
    assert "spirals.csv" in answer.err
    assert "Traceback" not in answer.err


def test_nothing_trained_yet(weft, starter: Path) -> None:
    for command in (["eval", starter], ["predict", starter, "--input", "a.csv", "-o", "b.csv"]):
        answer = weft(*command)
        assert answer.code == 2
        assert "no checkpoint in `runs/hello`" in answer.err
        assert "weft train hello/hello.weft" in answer.err
