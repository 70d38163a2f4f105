"""What all tests share: the markers' meaning, the snapshots, the command line in this process."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

# Workers that share the processors leave each other's alone: threads that wait for one which is
# not running are most of the time that tests take.  Set before anything loads OpenMP.
WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
if WORKERS > 1:
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, len(os.sched_getaffinity(0)) // WORKERS)))

ROOT = Path(__file__).resolve().parent.parent
SNAPSHOTS = Path(__file__).with_name("snapshots")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--sweep", action="store_true", help="all kernels for all architectures")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip `gpu` tests where there is no device; mark every test that compares with a snapshot;
    leave `sweep` tests out unless they are asked for.
    """
    swept = [item for item in items if item.get_closest_marker("sweep")]
    if swept and not config.getoption("--sweep"):
        config.hook.pytest_deselected(items=swept)
        items[:] = [item for item in items if item not in swept]
    wanting = [item for item in items if item.get_closest_marker("gpu")]
    if wanting and not _device():
        for item in wanting:
            item.add_marker(pytest.mark.skip(reason="no GPU in this machine"))
    for item in items:
        if "snapshot" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.snapshot)


def _device() -> bool:
    import torch

    return torch.cuda.is_available()


@pytest.fixture
def snapshot() -> Callable[[str, str], None]:
    """`snapshot(name, text)`: the text is what tests/snapshots/NAME.txt holds.

    A missing file fails; `make snapshots` writes them anew.
    """

    def compare(name: str, text: str) -> None:
        path = SNAPSHOTS / f"{name}.txt"
        text = text.rstrip("\n") + "\n"
        if os.environ.get("WEFT_SNAPSHOTS") == "write":
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.exists(), (
            f"no snapshot {path.name}: run `make snapshots`, then read what it wrote"
        )
        assert text == path.read_text(encoding="utf-8"), f"{path.name} differs: `make snapshots`?"

    return compare


class Answer(NamedTuple):
    """What a command line answered."""

    code: int
    out: str
    err: str


@pytest.fixture
def weft(capfd: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """`weft("check", path)`: one command line, run in this process."""
    from weft.cli import main

    def run(*arguments: object) -> Answer:
        capfd.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as stop:  # argparse
            code = stop.code if isinstance(stop.code, int) else 1
        captured = capfd.readouterr()
        return Answer(code, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def examples() -> Path:
    """The folder of the examples."""
    return ROOT / "examples"
