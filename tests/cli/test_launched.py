"""`weft train` in two processes that torchrun has started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from weft.runtime.checkpoint import Checkpoint, load
from weft.runtime.metrics import read

pytestmark = pytest.mark.slow

SPEC = """
param hidden=16
net mlp {
  in x: f32[B, 64]
  x -> linear(hidden) -> tanh -> linear(10)
}
train {
  epochs = EPOCHS
  data x: f32[B, 64], label: i32[B] = digits(batch=32, limit=150, split=0.8)
  step main updates mlp {
    optimizer = adam(lr=1e-3)
    y = x -> mlp
    loss = cross_entropy(y, label)
    metric accuracy = accuracy(y, label)
  }
}
"""
LAUNCH = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "net.weft").write_text(SPEC.replace("EPOCHS", "2"))
    (tmp_path / "long.weft").write_text(SPEC.replace("EPOCHS", "200000"))
    return tmp_path


def variables() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("TORCHELASTIC", "PYTEST"))}
    return {**kept, "OMP_NUM_THREADS": "1"}


def launched(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*LAUNCH, *command],
        cwd=folder,
        env=variables(),
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


@pytest.fixture
def running(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A long training that has begun to take steps."""
    with open(folder / "log", "w") as log:
        command = [*LAUNCH, "-m", "weft.cli", "train", "long.weft", "--out", "run"]
        process = subprocess.Popen(
            command, cwd=folder, env=variables(), stdout=log, stderr=log, text=True
        )
    try:
        wait_for(folder, "\nstep ")
        yield process
    finally:
        process.kill()
        process.wait()


def wait_for(folder: Path, text: str) -> None:
    for _ in range(1200):
        if text in (folder / "log").read_text():
            return
        time.sleep(0.1)
    raise AssertionError((folder / "log").read_text())


def last(run: Path) -> Checkpoint:
    return load(run / "checkpoints" / "last.safetensors")


def test_two_processes_train_as_one(folder: Path) -> None:
    alone = [sys.executable, "-m", "weft.cli", "train", "net.weft", "--quiet", "--out", "one"]
    subprocess.run(alone, cwd=folder, env=variables(), check=True, timeout=240)
    answer = launched(folder, "-m", "weft.cli", "train", "net.weft", "--out", "two")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.count("processes   2, each with its part of every batch") == 1
    assert answer.stdout.count("trained 10 steps (2 epochs)") == 1
    assert answer.stderr.count("net: 10 steps") == 1
    one, two = (last(folder / name) for name in ("one", "two"))
    for name, tensor in one.tensors.items():
        np.testing.assert_allclose(two.tensors[name], tensor, rtol=1e-4, atol=1e-6)
    rows = [read(folder / name / "metrics.jsonl") for name in ("one", "two")]
    for ours, theirs in zip(*rows, strict=True):
        assert theirs["accuracy"] == pytest.approx(ours["accuracy"], rel=1e-6)
        assert theirs["loss"] == pytest.approx(ours["loss"], rel=1e-5)


def test_processes_with_other_specs_end_with_one_message(folder: Path) -> None:
    options = "train net.weft --set hidden=$((16 + RANK)) --out run --quiet"
    command = f"{sys.executable} -m weft.cli {options}"
    answer = launched(folder, "--no-python", "bash", "-c", command)
    assert answer.returncode == 1
    said = "weft: error: process 1 differs from process 0 in its spec and weights"
    assert answer.stderr.count("weft: error") == answer.stderr.count(said) == 1
    assert not (folder / "run" / "checkpoints").exists()


def test_a_wrong_spec_is_said_once(folder: Path) -> None:
    (folder / "net.weft").write_text(SPEC.replace("tanh", "tahn"))
    answer = launched(folder, "-m", "weft.cli", "train", "net.weft")
    assert answer.returncode == 1
    assert answer.stderr.count("unknown operation `tahn`") == 1


def test_a_package_trains_in_two_processes(folder: Path) -> None:
    """It is on its own: it needs torch for nothing but the exchange."""
    compiled = [sys.executable, "-m", "weft.cli", "compile", "net.weft", "-o", "package"]
    subprocess.run(compiled, cwd=folder, env=variables(), check=True, timeout=240)
    answer = launched(folder, "package/train.py", "--out", "run")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.count("trained 10 steps") == 1
    assert last(folder / "run").state["position"]["step"] == 10


def test_ctrl_c_saves_once_and_resuming_goes_on(
    folder: Path, running: subprocess.Popen[str]
) -> None:
    running.send_signal(signal.SIGINT)
    running.wait(60)
    said = (folder / "log").read_text()
    assert said.count("interrupted after") == 1
    assert said.count("go on with  the same command and --resume") == 1
    step = last(folder / "run").state["position"]["step"]
    again = launched(
        folder,
        "-m",
        "weft.cli",
        "train",
        "long.weft",
        "--out=run",
        "--resume",
        f"--steps={step + 8}",
    )
    assert again.returncode == 0, again.stderr
    assert last(folder / "run").state["position"]["step"] == step + 8


def test_a_process_that_dies_ends_the_training(
    folder: Path, running: subprocess.Popen[str]
) -> None:
    listed = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
    os.kill(int(listed[-1]), signal.SIGKILL)
    running.wait(60)
    said = (folder / "log").read_text()
    assert said.count("has lost the others") == 1
    assert said.count("--resume goes on with the last checkpoint") == 1
