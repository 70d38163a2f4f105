"""Storing, checking and running generated modules: what may be damaged, what may be missing."""

from __future__ import annotations

import contextlib
import json
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from weft.runtime import cuda_device, kernel_module
from weft.runtime.launch import Launch, Pointer
from weft.runtime.triton_loader import open_device
from weft.spec.errors import DeviceError, InternalError, UsageError

KERNELS = '''"""Two kernels."""

import triton
import triton.language as tl


@triton.jit
def double(x_ptr, count, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < count, other=0)
    tl.store(x_ptr + at, x + x, mask=at < count)


@triton.jit
def broken(x_ptr):
    tl.store(x_ptr, nobody_knows)
'''


@pytest.fixture(scope="module")
def device():
    found = open_device("interpret", KERNELS)
    yield found
    found.close()


def double(device, count: int, dtype: str, block: int = 16) -> np.ndarray:
    values = np.arange(count).astype({"f32": np.float32, "i64": np.int64, "f16": np.float16}[dtype])
    device.arena("x", 4096)
    place = Pointer("x", 64, dtype)
    device.write(place, values)
    grid = (-(-count // block),)
    device.prepare("double", [Launch("double", grid, (place, count), {"BLOCK": block})])
    device.run("double")
    return device.read(place, (count,))


@pytest.mark.parametrize("dtype", ("f32", "i64", "f16"))
def test_a_launch_reads_and_writes_shared_memory(device, dtype):
    assert (double(device, 37, dtype) == 2 * np.arange(37)).all()


def test_an_empty_grid_is_no_launch(device):
    assert double(device, 0, "f32").size == 0


def test_a_view_is_the_memory_itself(device):
    device.arena("v", 64)
    place = Pointer("v", 0, "f32")
    view = device.view(place, (4,))
    view[:] = 1.5
    device.prepare("v", [Launch("double", (1,), (place, 3), {"BLOCK": 4})])
    device.run("v")
    assert view.tolist() == [3.0, 3.0, 3.0, 1.5]


def test_a_larger_arena_moves_and_says_so(device):
    assert device.arena("grow", 100) is False
    assert device.arena("grow", 80) is False
    assert device.arena("grow", 1000) is True


def test_a_broken_kernel_is_an_error_of_ours_with_its_trace_and_the_worker_lives(device):
    device.arena("x", 64)
    device.prepare("broken", [Launch("broken", (1,), (Pointer("x", 0, "f32"),))])
    with pytest.raises(InternalError, match="nobody_knows") as caught:
        device.run("broken")
    assert "Traceback" in caught.value.around
    assert (double(device, 5, "f32") == 2 * np.arange(5)).all()


def test_bf16_is_not_interpreted(device):
    device.arena("x", 64)
    with pytest.raises(DeviceError, match="bf16"):
        device.prepare("low", [Launch("double", (1,), (Pointer("x", 0, "bf16"), 1), {"BLOCK": 16})])


def test_a_closed_device_says_so():
    device = open_device("interpret", KERNELS)
    device.close()
    with pytest.raises(DeviceError, match="ended"):
        device.arena("x", 64)


def test_interpreting_leaves_triton_out_of_this_process():
    import subprocess

    program = (
        "import sys\n"
        "from weft.runtime.triton_loader import open_device\n"
        f"open_device('interpret', {KERNELS!r}).close()\n"
        "assert not {'triton', 'torch'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_an_unknown_device_is_refused():
    with pytest.raises(UsageError, match="`tpu`"):
        open_device("tpu", KERNELS)


def test_a_stored_module_is_repaired_when_it_was_damaged(tmp_path):
    path = kernel_module.store(KERNELS, tmp_path)
    path.write_text(KERNELS[:100])
    assert kernel_module.store(KERNELS, tmp_path) == path
    assert path.read_text() == KERNELS
    path.write_bytes(b"\xff\xfe")
    assert kernel_module.store(KERNELS, tmp_path).read_text() == KERNELS
    assert list(tmp_path.iterdir()) == [path]


def test_many_may_store_the_same_module_at_once(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        paths = set(pool.map(lambda _: kernel_module.store(KERNELS, tmp_path), range(32)))
    assert [p.read_text() for p in paths] == [KERNELS]
    assert list(tmp_path.iterdir()) == list(paths)


def test_a_changed_module_is_not_loaded(tmp_path):
    path = kernel_module.store("answer = 42\n", tmp_path)
    expected = kernel_module.digest("answer = 42\n")
    assert kernel_module.load(path, expected).answer == 42
    path.write_text("answer = 43\n")
    with pytest.raises(DeviceError, match="not the ones that were compiled"):
        kernel_module.load(path, expected)
    path.unlink()
    with pytest.raises(DeviceError, match="cannot read"):
        kernel_module.load(path, expected)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DeviceError, match="file"):
        kernel_module.store(KERNELS, tmp_path / "file")


def test_binaries_that_do_not_fit_their_hash_are_removed(tmp_path):
    inside = tmp_path / "binaries" / "abc"
    inside.mkdir(parents=True)
    for name in ("good", "flipped", "truncated"):
        (inside / name).write_bytes(b"binary of " + name.encode())
    cuda_device.seal(tmp_path, {})
    (inside / "flipped").write_bytes(b"Binary of flipped")
    (inside / "truncated").write_bytes(b"binary")
    (inside / "added").write_bytes(b"by somebody")
    kept = cuda_device.unseal(tmp_path)
    assert list(kept) == ["binaries/abc/good"]
    assert [p.name for p in inside.iterdir()] == ["good"]
    (tmp_path / "hashes.json").write_text(json.dumps(kept)[:-3])
    assert cuda_device.unseal(tmp_path) == {}


class _Recorder:
    """Stands in for torch.cuda: work done while capturing is recorded, a replay does it."""

    def __init__(self, monkeypatch) -> None:
        import torch

        self.done: list[str] = []
        self.capturing: list[str] | None = None
        recorder = self

        class Stream:
            def __init__(self, device=None) -> None:
                self.waits = 0

            def wait_stream(self, other) -> None:
                self.waits += 1

        class Graph:
            work: tuple[str, ...] = ()

            def replay(self) -> None:
                recorder.done += self.work

        @contextlib.contextmanager
        def capture(graph, stream=None):
            recorder.capturing = []
            yield
            graph.work, recorder.capturing = tuple(recorder.capturing), None

        current = Stream()
        monkeypatch.setattr(torch.cuda, "Stream", Stream)
        monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
        monkeypatch.setattr(torch.cuda, "graph", capture)
        monkeypatch.setattr(torch.cuda, "stream", lambda stream: contextlib.nullcontext())
        monkeypatch.setattr(torch.cuda, "current_stream", lambda device=None: current)

    def launch(self) -> None:
        (self.done if self.capturing is None else self.capturing).append("step")


def test_every_run_of_a_graphed_step_does_the_work_once(monkeypatch):
    """The first run works by itself, the second captures and replays, later ones replay."""
    recorder = _Recorder(monkeypatch)
    step = cuda_device.GraphedStep(recorder.launch, None)
    for count in (1, 2, 3, 4):
        step.run()
        assert len(recorder.done) == count
        assert step.captured == (count > 1)


def test_without_a_gpu_the_device_says_so(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="no GPU"):
        open_device("cuda", KERNELS)


@pytest.mark.gpu
def test_a_launch_on_a_gpu():
    device = open_device("cuda", KERNELS)
    for _ in range(3):
        assert (double(device, 37, "f32") == 2 * np.arange(37)).all()
    device.close()


def test_programs_that_are_alone_may_take_all_registers() -> None:
    """A limit that NVIDIA's assembler does not undercut; AMD's has no such option."""
    alone, shared = (Launch("k", (1,), (), {}, 8, 2, alone) for alone in (True, False))
    assert alone.options("cuda") == {"num_warps": 8, "num_stages": 2, "maxnreg": 255}
    assert alone.options("hip") == shared.options("cuda") == {"num_warps": 8, "num_stages": 2}
