"""Checkpoints: the format, every kind of damage, and that the previous one always survives."""

from __future__ import annotations

import errno
import json
import os
import signal
import struct
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from weft.runtime import checkpoint
from weft.runtime.checkpoint import check_fit, load, save
from weft.spec.errors import CheckpointError

RANDOM = np.random.default_rng(0)
TENSORS = {
    "net.linear.weight": RANDOM.normal(size=(5, 7)).astype(np.float32).T,
    "net.linear.bias": np.float32([1, np.nan, -0.0, np.inf]),
    "counts": np.arange(3, dtype=np.int64),
    "flags": np.array([[True, False]]),
    "nothing": np.empty((0, 4), np.float32),
    "scalar": np.float64(2.5).reshape(()),
}
STATE = {"step": 7, "best": {"loss": 0.1}, "pi": 3.141592653589793, "words": ["a", "ü"]}


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    save(tmp_path / "new" / "a.safetensors", TENSORS, STATE)
    found = load(tmp_path / "new" / "a.safetensors")
    assert found.state == STATE
    assert list(found.tensors) == list(TENSORS)
    for name, array in TENSORS.items():
        assert found.tensors[name].dtype == array.dtype
        np.testing.assert_array_equal(found.tensors[name], array)
    assert found.tensors["net.linear.bias"].tobytes() == TENSORS["net.linear.bias"].tobytes()
    assert os.listdir(tmp_path / "new") == ["a.safetensors"]


def test_the_safetensors_library_reads_ours(tmp_path: Path) -> None:
    from safetensors import safe_open
    from safetensors.numpy import load_file
    from safetensors.torch import load_file as load_torch

    save(tmp_path / "a.safetensors", TENSORS, STATE)
    for name, array in load_file(tmp_path / "a.safetensors").items():
        np.testing.assert_array_equal(array, TENSORS[name])
    assert load_torch(tmp_path / "a.safetensors")["net.linear.weight"].shape == (7, 5)
    with safe_open(tmp_path / "a.safetensors", "np") as file:
        assert json.loads(file.metadata()["weft"])["state"]["step"] == 7


def test_tensors_of_others_are_not_a_checkpoint(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"w": np.ones(3, np.float32)}, tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match="without a training state"):
        load(tmp_path / "a.safetensors")


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save(path, TENSORS, STATE)
    whole = path.read_bytes()
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << (position % 8)
        path.write_bytes(damaged)
        try:
            found = load(path)
        except CheckpointError as error:
            assert "damaged" in str(error) or "without a training state" in str(error)
            continue
        # blanks that fill up the header, or another spelling of the same JSON
        assert found.state == STATE
        for name, array in TENSORS.items():
            np.testing.assert_array_equal(found.tensors[name], array)


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save(path, TENSORS, STATE)
    whole = path.read_bytes()
    for length in range(0, len(whole), 3):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match="damaged"):
            load(path)
    path.write_bytes(whole + b"x")
    with pytest.raises(CheckpointError, match="1 bytes too many"):
        load(path)


def test_messages_say_what_and_what_else_there_is(tmp_path: Path) -> None:
    path = tmp_path / "last.safetensors"
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        load(path)
    save(path, TENSORS, STATE)
    save(tmp_path / "best.safetensors", TENSORS, STATE)
    whole = bytearray(path.read_bytes())
    whole[-9] ^= 4
    path.write_bytes(whole)
    with pytest.raises(CheckpointError) as caught:
        load(path)
    assert "`scalar`" in str(caught.value) or "`flags`" in str(caught.value)
    assert "use best.safetensors instead" in str(caught.value)
    with pytest.raises(CheckpointError, match=r"did you mean `best\.safetensors`"):
        load(tmp_path / "bets.safetensors")


def test_another_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "VERSION", 2)
    save(tmp_path / "a.safetensors", TENSORS, STATE)
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match="it has version 2, this weft reads 1"):
        load(tmp_path / "a.safetensors")


def test_a_huge_header_is_refused_without_reading_it(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", 1 << 60) + b"{}")
    with pytest.raises(CheckpointError, match="cut off in its header"):
        load(tmp_path / "a.safetensors")
    (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", 60_000) + b"[" * 60_000)
    with pytest.raises(CheckpointError, match="unreadable"):
        load(tmp_path / "a.safetensors")


def test_another_network_is_listed() -> None:
    have = {"a.weight": (3, 4), "a.bias": (3,), "old.weight": (1,)}
    want = {"a.weight": (3, 5), "a.bias": (3,), "new.weight": (1,)}
    with pytest.raises(CheckpointError) as caught:
        check_fit(Path("x"), have, want)
    text = str(caught.value)
    assert "`new.weight` is missing" in text
    assert "`old.weight` is not in the network" in text
    assert "`a.weight` is [3, 4] in the checkpoint, [3, 5] in the network" in text
    assert "a.bias" not in text
    check_fit(Path("x"), have, have)


class FullDisk:
    """A file whose disk is full after some bytes."""

    def __init__(self, file: Any, room: int) -> None:
        self.file, self.room = file, room

    def __enter__(self) -> FullDisk:
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()

    def write(self, data: Any) -> None:
        self.room -= len(bytes(data))
        if self.room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.file.write(data)

    def flush(self) -> None:
        self.file.flush()

    def fileno(self) -> int:
        return self.file.fileno()


@pytest.mark.parametrize("room", [0, 8, 600, 1500])
def test_a_full_disk_leaves_the_previous_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    path = tmp_path / "last.safetensors"
    save(path, TENSORS, STATE)
    before = path.read_bytes()
    monkeypatch.setattr(
        checkpoint, "open", lambda p, mode: FullDisk(p.open(mode), room), raising=False
    )
    big = {"w": np.ones(1000, np.float32)}
    with pytest.raises(CheckpointError) as caught:
        save(path, big, {"step": 8})
    assert "No space left on device; the previous checkpoint is unharmed" in str(caught.value)
    assert "free some space" in str(caught.value)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["last.safetensors"]


def test_a_size_limit_of_the_system_leaves_the_previous_checkpoint(tmp_path: Path) -> None:
    script = """
    import resource, sys
    from pathlib import Path
    import numpy as np
    from weft.runtime.checkpoint import save
    from weft.spec.errors import CheckpointError
    path = Path(sys.argv[1])
    save(path, {"w": np.ones(100, np.float32)}, {"step": 1})
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
    try:
        save(path, {"w": np.ones(100_000, np.float32)}, {"step": 2})
    except CheckpointError as error:
        print(error)
    """
    path = tmp_path / "last.safetensors"
    done = run(script, str(path))
    assert "File too large; the previous checkpoint is unharmed" in done.stdout, done.stderr
    assert load(path).state == {"step": 1}
    assert os.listdir(tmp_path) == ["last.safetensors"]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot be written") as caught:
        save(tmp_path / "file" / "last.safetensors", TENSORS, STATE)
    assert "previous" not in str(caught.value)


def test_kill_while_saving_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
    """Processes that save without pause are killed at any moment, again and again."""
    script = """
    import sys
    from pathlib import Path
    import numpy as np
    from weft.runtime.checkpoint import save
    path, step = Path(sys.argv[1]), int(sys.argv[2])
    print("ready", flush=True)
    while True:
        step += 1
        save(path, {"w": np.full(200_000, step, np.float32)}, {"step": step})
    """
    path = tmp_path / "last.safetensors"
    steps = [0]
    for attempt in range(8):
        process = start(script, str(path), str(steps[-1]))
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.05 + 0.0137 * attempt)
        process.send_signal(signal.SIGKILL)
        process.wait()
        if path.exists():
            found = load(path)
            assert (found.tensors["w"] == found.state["step"]).all()
            steps.append(found.state["step"])
    assert len(steps) > 4
    assert steps == sorted(steps)
    save(path, TENSORS, STATE)
    assert os.listdir(tmp_path) == ["last.safetensors"], "what the killed ones left is swept"


def start(script: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(script), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", textwrap.dedent(script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)
