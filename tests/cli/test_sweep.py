"""`weft train --sweep`: one training for each combination, the best of them, means over folds."""

from __future__ import annotations

import csv
import json
import math
import statistics
from pathlib import Path

import pytest

from weft.cli.sweep import _values
from weft.cli.trials import Trial, averaged, ordered

FLAGS = ("--target", "cpu", "--epochs", "2")


@pytest.fixture
def starter(weft, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The spec of `weft new`, whose held-out part is one of three folds."""
    monkeypatch.chdir(tmp_path)
    assert weft("new", "hello").code == 0
    path = Path("hello/hello.weft")
    text = path.read_text()
    assert "split=[0.8, 0.2]" in text
    text = text.replace("split=[0.8, 0.2]", "fold=[part, 3]")
    path.write_text(f"param part=1, rate=0.01\n{text}".replace("cosine(1e-2", "cosine(rate"))
    return path


def test_every_combination_is_trained_and_the_best_is_named(weft, starter: Path) -> None:
    sweep = ("--sweep", "hidden=2,16", "--sweep", "rate=1e-6,0.01")
    answer = weft("train", starter, *FLAGS, *sweep)
    assert answer.code == 0, answer.err
    assert "4 of 4  hidden=16 rate=0.01" in answer.out
    assert "best        hidden=16 rate=0.01" in answer.out
    assert "results     runs/hello/hidden=16,rate=0.01" in answer.out
    rows = list(csv.DictReader(Path("runs/hello/sweep.csv").read_text().splitlines()))
    assert [(row["hidden"], row["rate"]) for row in rows] == [
        ("2", "1e-6"), ("2", "0.01"), ("16", "1e-6"), ("16", "0.01"),
    ]  # fmt: skip
    assert all((Path(row["folder"]) / "checkpoints/best.safetensors").is_file() for row in rows)
    table = answer.out.split("\n\n")[-2].splitlines()
    losses = [float(line.split()[2]) for line in table[2:]]
    assert losses == sorted(losses)
    again = weft("train", starter, *FLAGS, "--set=hidden=16", "--out=alone", "--json")
    alone = json.loads(again.out)["metrics"]["test"]["loss"]
    assert float(rows[3]["loss"]) == alone


def test_folds_make_one_row(weft, starter: Path) -> None:
    sweep = ("--sweep", "rate=1e-6,0.01", "--sweep", "part=1,2,3", "--average", "part", "--json")
    answer = weft("train", starter, *FLAGS, *sweep)
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)["trials"]
    assert [trial["settings"] for trial in found] == [{"rate": "0.01"}, {"rate": "1e-6"}]
    rows = list(csv.DictReader(Path("runs/hello/sweep.csv").read_text().splitlines()))
    losses = [float(row["loss"]) for row in rows if row["rate"] == "0.01"]
    assert len({*losses}) == 3, "another part is held out each time"
    assert found[0]["trainings"] == 3
    assert found[0]["metrics"]["loss"] == pytest.approx(statistics.fmean(losses))
    assert found[0]["deviations"]["loss"] == pytest.approx(statistics.stdev(losses))


def test_what_was_trained_is_not_trained_again(weft, starter: Path) -> None:
    first = weft("train", starter, *FLAGS, "--sweep", "hidden=4,5", "--json")
    again = weft("train", starter, *FLAGS, "--sweep", "hidden=4,5,6", "--resume", "--json")
    assert again.code == 0, again.err
    before = {t["settings"]["hidden"]: t for t in json.loads(first.out)["trials"]}
    after = {t["settings"]["hidden"]: t for t in json.loads(again.out)["trials"]}
    assert set(after) == {"4", "5", "6"}
    for hidden, trial in before.items():
        assert after[hidden]["metrics"] == trial["metrics"]
        assert after[hidden]["seconds"] == pytest.approx(trial["seconds"], abs=0.5)
        assert not (Path(trial["out"]) / "previous").exists()


def test_one_that_diverges_does_not_end_the_others(weft, starter: Path) -> None:
    text = starter.read_text().replace("loss = cross_entropy(logits, arm)", "loss = LOSS")
    starter.write_text(text.replace("LOSS", "cross_entropy(logits, arm) / cross"))
    starter.write_text(f"param cross=1\n{starter.read_text()}")
    answer = weft("train", starter, *FLAGS, "--sweep", "cross=0,1", "--quiet")
    assert answer.code == 0, answer.err
    assert "diverged" in answer.out
    assert "weft: cross=0:" in answer.err
    assert weft("train", starter, *FLAGS, "--sweep", "cross=0", "--quiet").code == 1


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--sweep", "hidden"], "expected NAME=VALUE,VALUE"),
        (["--sweep", "hidden=1,,2"], "expected NAME=VALUE,VALUE"),
        (["--sweep", "hidden=1,1"], "a value is there twice"),
        (["--sweep", "hidden=1", "--sweep", "hidden=2"], "`hidden` is given twice"),
        (["--sweep", "hidden=1", "--set", "hidden=2"], "`hidden` is given twice"),
        (["--sweep", "hiden=1,2"], "did you mean `hidden`?"),
        (["--sweep", "hidden=4,wide"], "`hidden=wide`: unknown name"),
        (["--sweep", "part=1,4"], "weft: with part=4:"),
        (["--sweep", "part=1,2", "--average", "hidden"], "it is not swept"),
        (["--average", "hidden"], "add --sweep"),
    ],
)
def test_wrong_sweeps_train_nothing(weft, starter: Path, flags: list[str], said: str) -> None:
    answer = weft("train", starter, *flags)
    assert answer.code == 2, answer.err
    assert said in answer.err
    assert not Path("runs").exists()


def test_commas_inside_brackets_and_quotes_divide_nothing() -> None:
    assert _values('[1, 2],[3],"a,b", c') == ["[1, 2]", "[3]", '"a,b"', "c"]


def _trial(value: float, ended: str = "trained", **settings: str) -> Trial:
    return Trial(settings, Path("here"), ended, "loss", value, 1, {"loss": value})


def test_means_leave_out_what_failed() -> None:
    trials = [_trial(2, a="1", b="1"), _trial(4, a="1", b="2"), _trial(9, "diverged", a="1", b="3")]
    (mean,) = averaged(trials, "b")
    assert (mean.settings, mean.best, mean.count) == ({"a": "1"}, 3, 2)
    assert mean.spread["best"] == pytest.approx(math.sqrt(2))
    (none,) = averaged(trials[2:], "b")
    assert (none.ended, none.count) == ("diverged", 0)


def test_what_has_no_value_comes_last() -> None:
    trials = [_trial(math.nan, a="1"), _trial(2, a="2"), _trial(1, a="3")]
    assert [t.settings["a"] for t in ordered(trials, True)] == ["3", "2", "1"]
    assert [t.settings["a"] for t in ordered(trials, False)] == ["2", "3", "1"]
