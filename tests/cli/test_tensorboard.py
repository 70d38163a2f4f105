"""`weft train --tensorboard`: the rows of the metrics as event files."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any

import pytest

SPEC = """
net line {
  in x: f32[B, 1]
  x -> linear(1) as y
}
train {
  epochs = 4
  data x: f32[B, 1], z: f32[B, 1] = function("z = 3*x", x=[0, 1], grid=8, batch=4, split=0.5)
  step main updates line {
    optimizer = sgd(lr=0.1)
    y = x -> line
    loss = mse(y, z)
  }
}
"""


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "line.weft"
    path.write_text(SPEC, encoding="utf-8")
    return path


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What a writer of torch's is told."""
    found: list[tuple[Any, ...]] = []

    class SummaryWriter:
        def __init__(self, folder: str, purge_step: int | None = None) -> None:
            Path(folder).mkdir(parents=True, exist_ok=True)
            Path(folder, "events").write_text(str(purge_step), encoding="utf-8")
            found.append(("open", purge_step))

        def add_scalar(self, tag: str, value: float, step: int) -> None:
            found.append((tag, value, step))

        def flush(self) -> None:
            pass

        def close(self) -> None:
            found.append(("close",))

    module = types.ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = SummaryWriter  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    return found


def _rows(folder: Path) -> set[tuple[str, float, int]]:
    """What event files of a run should hold."""
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return {
        (f"{name}/{row['part']}", value, row["step"])
        for row in map(json.loads, lines)
        for name, value in row.items()
        if name not in ("step", "epoch", "part", "seconds")
    }


def test_all_rows_by_step(weft, spec: Path, written: list) -> None:
    answer = weft("train", spec, "--target", "cpu", "--tensorboard", "--quiet")
    assert answer.code == 0, answer.err
    assert written[0] == ("open", 0) and written[-1] == ("close",)
    assert set(written[1:-1]) == _rows(Path("runs/line"))
    assert {tag for tag, *_ in written[1:-1]} >= {"loss/train", "loss/test", "rate/train"}


def test_a_resumed_run_replaces_what_lies_after_its_checkpoint(
    weft, spec: Path, written: list
) -> None:
    options = ("--target", "cpu", "--tensorboard", "--quiet")
    assert weft("train", spec, *options, "--epochs", "2").code == 0
    assert weft("train", spec, *options, "--resume").code == 0
    assert [event for event in written if event[0] == "open"] == [("open", 0), ("open", 3)]
    assert {event for event in written if len(event) == 3} >= _rows(Path("runs/line"))


def test_another_run_takes_the_events_of_the_earlier_one_aside(
    weft, spec: Path, written: list
) -> None:
    for _ in range(2):
        assert weft("train", spec, "--target", "cpu", "--tensorboard", "--quiet").code == 0
    assert Path("runs/line/previous/tensorboard/events").is_file()


def test_each_training_of_a_sweep_has_its_own(weft, spec: Path, written: list) -> None:
    spec.write_text("param d=2\n" + SPEC.replace("linear(1)", "linear(d) -> linear(1)"), "utf-8")
    answer = weft("train", spec, "--target", "cpu", "--tensorboard", "--quiet", "--sweep", "d=1,2")
    assert answer.code == 0, answer.err
    assert sorted(path.parent.parent.name for path in Path("runs").rglob("events")) == [
        "d=1",
        "d=2",
    ]


def test_without_the_package_nothing_is_trained(
    weft, spec: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    answer = weft("train", spec, "--target", "cpu", "--tensorboard")
    assert answer.code == 2
    assert "pip install 'weft[tensorboard]'" in answer.err
    assert not answer.out  # before anything is built
    assert not Path("runs").exists()


def test_tensorboard_reads_them(weft, spec: Path) -> None:
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    options = ("--target", "cpu", "--tensorboard", "--quiet")
    assert weft("train", spec, *options, "--epochs", "2").code == 0
    assert weft("train", spec, *options, "--resume").code == 0
    events = reader.EventAccumulator("runs/line/tensorboard").Reload()
    wanted = {row for row in _rows(Path("runs/line")) if row[0] == "loss/test"}
    found = {("loss/test", event.step): event.value for event in events.Scalars("loss/test")}
    assert found == {(tag, step): pytest.approx(value) for tag, value, step in wanted}
