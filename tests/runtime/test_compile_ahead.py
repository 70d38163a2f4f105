"""Kernels are compiled before the first launch, as that launch wants them, without a GPU here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from weft.runtime import cuda_device, kernel_module
from weft.runtime.launch import Launch, Pointer

torch = pytest.importorskip("torch")
triton = pytest.importorskip("triton", minversion="3.5")

KERNELS = '''"""Kernels."""

import triton
import triton.language as tl


@triton.jit
def double(x_ptr, count, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < count, other=0)
    tl.store(x_ptr + at, x + x, mask=at < count)


@triton.jit
def halve(x_ptr):
    at = tl.arange(0, 64)
    tl.store(x_ptr + at, tl.load(x_ptr + at) * 0.5)


@triton.jit
def broken(x_ptr):
    tl.store(x_ptr, nobody_knows)
'''


class Driver:
    """What Triton asks of a GPU, of one that notes down what is launched."""

    def __init__(self) -> None:
        from triton.backends.compiler import GPUTarget

        self.target = GPUTarget("cuda", 90, 32)
        self.launched: list[str] = []
        self.utils = SimpleNamespace(
            load_binary=lambda name, kernel, shared, device: (name, name, 16, 0, 1024),
            get_device_properties=lambda device: {"max_shared_mem": 232_448},
        )

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0

    def get_current_target(self) -> Any:
        return self.target

    def launcher_cls(self, src: Any, metadata: Any) -> Callable[..., None]:
        return lambda *given: self.launched.append(metadata.name)


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Driver]:
    from triton.runtime.driver import driver as known

    found = Driver()
    monkeypatch.setattr(known, "_active", found)
    yield found


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, driver: Driver) -> Any:
    """The device `cuda` with the memory of this machine, and no graphs."""
    monkeypatch.setattr(cuda_device, "_torch", lambda: torch)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch, "device", lambda *place: "cpu")
    path = kernel_module.store(KERNELS, tmp_path)
    found = cuda_device.CudaDevice(path, kernel_module.digest(KERNELS), graphs=False)
    found.arena("x", 4096)
    return found


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch, driver: Driver) -> list[tuple[str, int, bool]]:
    """Kernels as Triton compiles them: their names, how many launches there had been, if cached."""
    found: list[tuple[str, int, bool]] = []

    def note(*, src: Any, cache_hit: bool, **rest: Any) -> None:
        found.append((src.name, len(driver.launched), cache_hit))

    monkeypatch.setattr(triton.knobs.compilation, "listener", note)
    return found


def launches(count: int = 1000) -> list[Launch]:
    """Two sizes of one kernel, aligned and not, and another, each twice; one has no programs."""
    x, y = Pointer("x", 0, "f32"), Pointer("x", 4, "f32")
    some = [
        Launch("double", (7,), (x, count), {"BLOCK": 128}),
        Launch("double", (7,), (y, count + 1), {"BLOCK": 128}),
        Launch("halve", (1,), (x,)),
        Launch("broken", (0,), (x,)),
    ]
    return [*some, *some]


def test_everything_is_compiled_before_the_first_launch(
    device: Any, driver: Driver, compiled: list[tuple[str, int, bool]]
) -> None:
    device.prepare("step", launches())
    device.run("step")
    assert sorted(name for name, *_ in compiled) == ["double", "double", "halve"]
    assert {(before, cached) for _, before, cached in compiled} == {(0, False)}
    assert driver.launched == ["double", "double", "halve"] * 2
    device.run("step")
    assert len(compiled) == 3 and len(driver.launched) == 12


def test_another_process_finds_what_was_compiled(
    device: Any, tmp_path: Path, compiled: list[tuple[str, int, bool]]
) -> None:
    device.prepare("step", launches())
    device.run("step")
    again = cuda_device.CudaDevice(
        kernel_module.store(KERNELS, tmp_path), kernel_module.digest(KERNELS), graphs=False
    )
    again.arena("x", 4096)
    again.prepare("step", launches())
    again.run("step")
    assert [cached for *_, cached in compiled] == [False] * 3 + [True] * 3


def test_what_does_not_compile_is_said_and_nothing_launched(device: Any, driver: Driver) -> None:
    device.prepare("step", [*launches(), Launch("broken", (1,), (Pointer("x", 0, "f32"),))])
    with pytest.raises(triton.CompilationError, match="nobody_knows"):
        device.run("step")
    assert driver.launched == []
    device.prepare("other", launches())
    device.run("other")
    assert driver.launched == ["double", "double", "halve"] * 2
