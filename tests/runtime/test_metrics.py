"""The files of metrics, and what is shown while a training runs."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from weft.runtime import progress
from weft.runtime.metrics import MetricsFiles, read
from weft.runtime.progress import Bar, Lines, Quiet, choose, describe
from weft.spec.errors import CheckpointError


def row(step: int, part: str = "train", **values: Any) -> dict[str, Any]:
    return {"step": step, "epoch": step / 10, "part": part, "seconds": 1.5, **values}


def test_both_files_say_the_same(tmp_path: Path) -> None:
    files = MetricsFiles(tmp_path / "run", ["rate", "loss"])
    files.write(row(10, rate=0.1, loss=1 / 3))
    files.write(row(10, "test", rate=0.1, loss=float("nan")))
    files.close()
    lines = (tmp_path / "run" / "metrics.csv").read_text().splitlines()
    assert lines[0] == "step,epoch,part,seconds,rate,loss"
    assert lines[1] == f"10,1.0,train,1.5,0.1,{1 / 3!r}"
    assert lines[2] == "10,1.0,test,1.5,0.1,nan"
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").open()]
    assert rows[0]["loss"] == 1 / 3
    assert rows[1]["loss"] is None


def test_every_row_is_on_the_disk_at_once(tmp_path: Path) -> None:
    files = MetricsFiles(tmp_path, ["loss"])
    files.write(row(1, loss=0.5))
    assert len((tmp_path / "metrics.csv").read_text().splitlines()) == 2
    assert read(tmp_path / "metrics.jsonl") == [row(1, loss=0.5)]


def test_resuming_drops_what_will_be_computed_again(tmp_path: Path) -> None:
    files = MetricsFiles(tmp_path, ["loss"])
    for step in (10, 20, 30):
        files.write(row(step, loss=0.1 * step))
    files.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 40, "lo')  # a killed process
    files = MetricsFiles(tmp_path, ["loss", "accuracy"], step=20)
    files.write(row(30, loss=0.3, accuracy=0.9))
    files.close()
    with (tmp_path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [r["step"] for r in rows] == ["10", "20", "30"]
    assert [r["accuracy"] for r in rows] == ["", "", "0.9"]
    assert [r["loss"] for r in read(tmp_path / "metrics.jsonl")] == [1.0, 2.0, 0.3]
    MetricsFiles(tmp_path, ["loss"]).close()
    assert read(tmp_path / "metrics.jsonl") == []


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot be written"):
        MetricsFiles(tmp_path / "file", ["loss"])


def report(step: int, loss: float) -> list[dict[str, Any]]:
    return [row(step, rate=0.1, loss=loss), row(step, "test", rate=0.1, loss=2 * loss)]


def test_plain_lines_are_few_and_end_with_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    stream = io.StringIO()
    lines = Lines(stream)
    lines.start("net", 0, 1000)
    for step in range(1, 1001):
        clock[0] += 0.01
        lines.step(step)
        if step % 10 == 0:
            lines.report(report(step, 1 / step))
    lines.finish()
    shown = stream.getvalue().splitlines()
    assert shown[0] == "net: 1,000 steps"
    assert shown[1] == "step 10/1,000  train loss 0.1  test loss 0.2"
    assert shown[-1] == "step 1,000/1,000  train loss 0.001  test loss 0.002"
    assert len(shown) == 4


def test_texts_have_a_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    stream = io.StringIO()
    lines = Lines(stream)
    lines.start("net", 100, 1000, 2048)
    clock[0] = 4.0
    lines.report(report(150, 0.5))
    lines.finish()
    last = stream.getvalue().splitlines()[-1]
    assert last == "step 150/1,000  train loss 0.5  test loss 1  25,600 tokens/s"


def test_a_resumed_training_says_so() -> None:
    stream = io.StringIO()
    Lines(stream).start("net", 400, 1000)
    assert stream.getvalue() == "net: 600 steps from step 400\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_display_follows_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    assert type(choose("quiet")) is Quiet
    assert isinstance(choose("auto", io.StringIO()), Lines)
    assert isinstance(choose("auto", Terminal()), Bar)
    assert isinstance(choose("plain", Terminal()), Lines)
    monkeypatch.setitem(sys.modules, "rich.progress", None)
    assert isinstance(choose("auto", Terminal()), Lines), "rich is optional"


def test_the_bar_runs(capsys: pytest.CaptureFixture[str]) -> None:
    bar = choose("auto", Terminal())
    bar.note("before")
    bar.start("net", 0, 20)
    for step in range(1, 21):
        bar.step(step)
    bar.report(report(20, 0.25))
    bar.note("a [note] of the trainer")
    bar.finish()
    shown = capsys.readouterr().err
    assert "20/20" in shown
    assert "test loss 0.5" in shown
    assert "a [note] of the trainer" in shown


def test_describe_leaves_out_what_is_not_a_metric() -> None:
    assert describe({**row(3, rate=0.1, loss=0.123456), "d.rate": 0.1, "d.loss": 2.0}) == (
        "train loss 0.1235 d.loss 2"
    )
