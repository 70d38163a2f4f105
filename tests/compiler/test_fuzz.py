"""A slice of the mutation fuzzer: `python tests/fuzz.py --seconds 300` runs for longer."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

FILE = Path(__file__).resolve().parents[1] / "fuzz.py"
MUTANTS = 160


def _fuzzer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fuzz", FILE)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["fuzz"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("seed", [1, 2])
def test_damaged_specs_are_fine_or_refused(seed: int) -> None:
    fuzz = _fuzzer()
    assert len(fuzz.corpus()) >= 8
    summary = fuzz.run(seconds=60, mutants=MUTANTS, seed=seed, slow=60)
    assert not summary.failures, summary.text()
    assert summary.mutants == MUTANTS or summary.seconds >= 60
    assert set(summary.outcomes) <= {"fine", "refused", "usage"}
    assert summary.outcomes["refused"] > summary.outcomes["fine"] > 0
    assert len(summary.codes) > 8


def test_a_failure_is_told_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fuzz = _fuzzer()

    def broken(*_: object, **__: object) -> None:
        raise KeyError("deliberate")

    monkeypatch.setattr(fuzz, "load_text", broken)
    summary = fuzz.run(seconds=60, mutants=12, seed=0, slow=60, keep=tmp_path)
    assert summary.outcomes["failed"] + summary.outcomes["refused"] == 12  # some are no UTF-8
    assert summary.failures and all("KeyError" in what for _, _, what in summary.failures)
    assert len(list(tmp_path.iterdir())) == len(summary.failures)
    assert "deliberate" in summary.text()
