"""When checkpoints are written, and what is left of them after a full disk, a signal or a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from softmax_engine import softmax_artifact
from trainings import artifact_of, go, points, without_seconds

from weft.runtime import checkpoint as files
from weft.runtime import training as training_module
from weft.runtime.metrics import read
from weft.runtime.progress import Quiet
from weft.spec.errors import CheckpointError, UsageError

# one training


class Meanwhile(Quiet):
    """A display that does something in the middle of the training."""

    def __init__(self, act: Callable[[], object]) -> None:
        self.act = act

    def step(self, step: int) -> None:
        if step == 3:
            self.act()


def test_one_training_a_folder(tmp_path: Path) -> None:
    out = tmp_path / "run"

    def second() -> None:
        with pytest.raises(UsageError, match=r"another training is writing to .*run"):
            go(artifact_of(), out)
        go(artifact_of(), tmp_path / "elsewhere")

    record, _ = go(artifact_of(), out, progress=Meanwhile(second))
    assert record.step == 21
    assert not (out / "previous").exists()
    assert {path.name for path in out.iterdir()} == {"checkpoints", "metrics.csv", "metrics.jsonl"}
    go(artifact_of(), out)  # now it is free


def test_checkpoints_are_written_when_due(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[tuple[str, int]] = []
    original = files.save

    def save(path: Path, tensors: Mapping[str, Any], state: Mapping[str, Any]) -> None:
        saved.append((path.stem, state["position"]["step"]))
        original(path, tensors, state)

    monkeypatch.setattr(training_module.files, "save", save)
    go(artifact_of(data=points(split=1), save_every=1), tmp_path / "a")
    assert [step for name, step in saved if name == "last"] == [9, 18, 27]
    saved.clear()
    go(artifact_of(data=points(split=1)), tmp_path / "b")
    assert [step for name, step in saved if name == "last"] == [27], "time decides"
    saved.clear()
    monkeypatch.setattr(training_module, "SAVE_SECONDS", -1.0)
    go(artifact_of(data=points(split=1)), tmp_path / "c")
    assert [step for name, step in saved if name == "last"] == [*range(1, 28), 27]


def test_a_full_disk_stops_with_a_message_and_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    artifact = artifact_of(save_every=1)
    flush, calls = os.fsync, []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) > 6:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match="No space left on device; the previous"):
        go(artifact, tmp_path / "run")
    monkeypatch.undo()
    record, resumed = go(artifact, tmp_path / "run", resume=True)
    _, engine = go(artifact, tmp_path / "whole")
    np.testing.assert_array_equal(resumed.parameters, engine.parameters)
    assert record.step == 21


# whole processes

SCRIPT = """
    import sys, time
    sys.path.insert(0, {folder!r})
    from pathlib import Path
    from softmax_engine import SoftmaxEngine, softmax_artifact
    from trainings import points
    from weft.runtime.trainer import train
    class Slow(SoftmaxEngine):
        def train(self, *arguments, **named):
            time.sleep(0.002)
            return super().train(*arguments, **named)
    artifact = softmax_artifact(points(), 2, 4, epochs={epochs}, save_every={save_every})
    out = Path(sys.argv[1])
    record = train(Slow(artifact), artifact, root=out, out=out / "run",
                   resume="resume" in sys.argv, progress="plain")
    print("ended", record.step, record.interrupted, flush=True)
"""


def start(out: Path, *more: str, epochs: int = 30, save_every: str = "None") -> Any:
    script = textwrap.dedent(SCRIPT).format(
        folder=str(Path(__file__).parent), epochs=epochs, save_every=save_every
    )
    command = [sys.executable, "-c", script, str(out), *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_rows(path: Path, count: int) -> None:
    limit = time.monotonic() + 30
    while len(read(path)) < count:
        assert time.monotonic() < limit
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_the_training_goes_on_later(tmp_path: Path, number: int) -> None:
    process = start(tmp_path)
    wait_for_rows(tmp_path / "run" / "metrics.jsonl", 4)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    step = int(out.split()[1])
    assert out == f"ended {step} True\n"
    assert 14 <= step < 210
    done = start(tmp_path, "resume")
    out, err = done.communicate(timeout=30)
    assert out == "ended 210 False\n", err
    artifact = softmax_artifact(points(), 2, 4, epochs=30, save_every=None)
    _, engine = go(artifact, tmp_path / "whole")
    saved = files.load(tmp_path / "run" / "checkpoints" / "last.safetensors")
    np.testing.assert_array_equal(saved.tensors["net.linear.weight"], engine._weight)


def test_kill_in_the_middle_loses_only_what_came_after_the_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "run" / "checkpoints" / "last.safetensors"
    more: list[str] = []
    for _ in range(3):
        process = start(tmp_path, *more, epochs=60, save_every="1/7")
        limit = time.monotonic() + 30
        steps = files.load(path).state["position"]["step"] if path.exists() else 0
        while not path.exists() or files.load(path).state["position"]["step"] < steps + 9:
            assert time.monotonic() < limit
            time.sleep(0.01)
        process.kill()
        process.communicate()
        more = ["resume"]
    step = files.load(path).state["position"]["step"]
    assert 27 <= step < 420
    artifact = softmax_artifact(points(), 2, 4, epochs=60, save_every=1 / 7)
    _, resumed = go(artifact, tmp_path / "run", resume=True)
    _, engine = go(artifact, tmp_path / "whole")
    np.testing.assert_array_equal(resumed.parameters, engine.parameters)
    assert without_seconds(tmp_path / "run" / "metrics.jsonl") == without_seconds(
        tmp_path / "whole" / "metrics.jsonl"
    )
