"""A training whose pictures are varied, and the processes that make its batches."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from softmax_engine import SoftmaxEngine, data_line, softmax_artifact
from trainings import StopAt, go
from varied import LABEL, archive

from weft.compiler.artifact import Artifact
from weft.runtime.checkpoint import load as load_checkpoint
from weft.spec.errors import DataError


def varied_artifact(folder: Path, **settings: Any) -> Artifact:
    """Softmax regression on rows [B, 12] of pictures [B, 1, 1, 12] that are flipped and cut."""
    random = np.random.default_rng(0)
    np.savez(folder / "d.npz", x=random.random((57, 1, 2, 6)), y=np.arange(57) % 3)
    types = [["f32", ["B", 1, 2, 6]], LABEL]
    named = {"flip": "both", "crop": 1, "batch": 8, "split": 0.7, **settings}
    return softmax_artifact(data_line(["x", "y"], types, "npz", "d.npz", **named), 12, 3, epochs=3)


class Rows(SoftmaxEngine):
    """Takes pictures as rows."""

    def _loss(self, x: np.ndarray, y: np.ndarray) -> Any:
        return super()._loss(x.reshape(len(x), -1), y)

    def gradient(self, step: str, inputs: Any, **more: Any) -> Any:
        flat = {**inputs, "x": inputs["x"].reshape(len(inputs["x"]), -1)}
        return super().gradient(step, flat, **more)


@pytest.mark.parametrize("workers", [0, 1])
def test_resume_in_the_middle_of_an_epoch_gives_the_same_bits(tmp_path: Path, workers: int) -> None:
    artifact = varied_artifact(tmp_path, workers=workers, normalise="standard")
    whole, engine = go(artifact, tmp_path / "whole", engine=Rows(artifact))
    assert (
        load_checkpoint(whole.paths["last"]).state["data"][0]["fields"]["x"]["kind"] == "standard"
    )
    for stop in (1, 7, 11):
        out = tmp_path / f"stop{stop}"
        first, _ = go(artifact, out, engine=Rows(artifact), progress=StopAt(stop))
        assert (first.interrupted, first.step) == (True, stop)
        other = varied_artifact(tmp_path, workers=1 - workers)
        second, resumed = go(other, out, engine=Rows(other), resume=True)
        np.testing.assert_array_equal(resumed.parameters, engine.parameters)
        assert second.metrics == whole.metrics


def test_a_worker_that_was_killed_is_an_error_of_one_screen(tmp_path: Path) -> None:
    data = archive(tmp_path, workers=1)
    batches = data.batches(0)
    batches.at(0, 0)
    made: Any = data.made
    feeder: Any = made.supply.feeder
    feeder._workers[0].process.kill()
    with pytest.raises(
        DataError, match="a process that reads pictures was ended by signal 9"
    ) as caught:
        for index in range(1, 6):
            batches.at(0, index)
    assert "workers=0" in str(caught.value)
    data.close()


SCRIPT = """
import sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from softmax_engine import data_line
from weft.runtime.data import load
types = [["f32", ["B", 2, 6, 8]], ["i32", ["B", 6, 8]], ["i32", ["B"]]]
line = data_line(["x", "m", "y"], types, "npz", "d.npz", batch=4, flip="both", workers=2)
data = load(line, Path(sys.argv[1]))
batches = data.batches(0)
print(batches.at(0, 0)["x"].sum(), flush=True)
print(*[w.process.pid for w in data.made.supply.feeder._workers], flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, None], ids=["killed", "ended"])
def test_workers_end_with_the_training_and_need_no_guard(tmp_path: Path, how: Any) -> None:
    """A script without `if __name__ == "__main__"` works, and leaves nothing behind."""
    archive(tmp_path)
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, "script.py", str(tmp_path), str(Path(__file__).parent)]
    with subprocess.Popen(
        command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as script:
        assert script.stdout is not None
        assert script.stdin is not None
        assert float(script.stdout.readline()) > 0
        workers = [int(number) for number in script.stdout.readline().split()]
        assert len(workers) == 2
        script.stdin.close() if how is None else script.send_signal(how)
        script.wait(20)
    for _ in range(100):
        if not any(alive(worker) for worker in workers):
            return
        time.sleep(0.1)
    raise AssertionError("workers are still there")


def alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
