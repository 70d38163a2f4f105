"""How trainings end: early, at plateaus, diverged, interrupted."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from softmax_engine import SoftmaxEngine, step_recipe
from trainings import WAITING, StopAt, artifact_of, go, without_seconds

from weft.runtime import checkpoint as files
from weft.runtime.engine import Result
from weft.runtime.progress import Quiet
from weft.spec.errors import DivergenceError, UsageError


def test_early_stop(tmp_path: Path) -> None:
    rule = {"patience": 3, "monitor": "accuracy", "delta": 0.0, "mode": None}

    class Scripted(SoftmaxEngine):
        script = iter([0.1, 0.5, 0.4, 0.5, 0.3, 0.9])

        def evaluate(self, step: str, inputs: Mapping[str, Any], **more: Any) -> Result:
            if more["index"] == 0:
                self.value = next(self.script)
            return Result({"loss": 1.0, "accuracy": self.value})

    artifact = artifact_of(epochs=50, early_stop=rule)
    record, _ = go(artifact, tmp_path / "run", engine=Scripted(artifact))
    assert record.stopped_early
    assert record.step == 35
    assert record.best is not None
    assert (record.best["value"], record.best["step"]) == (pytest.approx(0.5), 14)
    again, engine = go(artifact, tmp_path / "run", resume=True)
    assert again.step == 35
    assert not engine.calls


def test_rates_drop_at_plateaus_as_those_of_pytorch(tmp_path: Path) -> None:
    import torch

    script = [3, 2, 2.5, 2.4, 2.1, 2.2, 1.9, 1.9, 1.8, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1.7, 1.7]

    class Scripted(SoftmaxEngine):
        values = iter(script)

        def evaluate(self, step: str, inputs: Mapping[str, Any], **more: Any) -> Result:
            if more["index"] == 0:
                self.value = next(self.values)
            return Result({"loss": self.value, "accuracy": 0.5})

    schedule = {"name": "plateau", "rate": 0.5, "patience": 3, "decay": 0.1, "final": 0.004}
    artifact = artifact_of(epochs=len(script), step=[step_recipe(schedule=schedule)])
    record, _ = go(artifact, tmp_path / "run", engine=Scripted(artifact))
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    twin = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=0.1, patience=2, threshold=0, min_lr=0.004
    )
    wanted = []
    for value in script:
        wanted.append(optimizer.param_groups[0]["lr"])
        twin.step(value)
    rows = without_seconds(tmp_path / "run" / "metrics.jsonl")
    found = [row["rate"] for row in rows if row["part"] == "test"]
    assert found == pytest.approx(wanted) and len(set(found)) == 4
    assert [note.partition(":")[0] for note in record.notes] == ["step 35", "step 84", "step 105"]
    assert "no improvement of loss 2 in 3 evaluations, the rate is now 0.05" in record.notes[0]


def test_a_rate_that_waits_for_nothing(tmp_path: Path) -> None:
    steps = [step_recipe("d"), step_recipe("g", schedule=WAITING)]
    with pytest.raises(UsageError, match="the rate of `g` waits for an improvement"):
        go(artifact_of(step=steps), tmp_path / "run")


def test_early_stop_on_what_is_not_reported() -> None:
    with pytest.raises(UsageError, match="watches `f1`, which nothing reports") as caught:
        go(artifact_of(early_stop={"patience": 3, "monitor": "f1"}), Path("/nowhere/run"))
    assert "loss, accuracy" in str(caught.value)


def test_divergence_names_the_first_bad_value_and_keeps_the_state(tmp_path: Path) -> None:
    artifact = artifact_of()
    engine = SoftmaxEngine(artifact, fails=frozenset([9]))
    with pytest.raises(DivergenceError) as caught:
        go(artifact, tmp_path / "run", engine=engine)
    text = str(caught.value)
    assert text.startswith("net.weft:6:12: `softmax` is not finite (1 NaN of 32 values) at step 10")
    assert "lower the learning rate (it was 0.05 here)" in text
    saved = files.load(tmp_path / "run" / "checkpoints" / "last.safetensors")
    assert saved.state["position"]["step"] == 9
    _, healthy = go(artifact, tmp_path / "b", progress=StopAt(9))
    np.testing.assert_array_equal(healthy.parameters, engine.parameters)
    _, resumed = go(artifact, tmp_path / "run", resume=True)
    _, whole = go(artifact, tmp_path / "whole")
    np.testing.assert_array_equal(resumed.parameters, whole.parameters)


def test_divergence_of_a_parameter_and_of_an_accumulated_batch(tmp_path: Path) -> None:
    artifact = artifact_of(step=[step_recipe(accumulate=2)])

    class Broken(SoftmaxEngine):
        def gradient(self, step: str, inputs: Mapping[str, Any], **more: Any) -> Any:
            if more["index"] == 5:
                self._weight[0, 0] = np.nan
            return super().gradient(step, inputs, **more)

    with pytest.raises(DivergenceError, match=r"net.weft:2:3: the parameter `net.linear.weight`"):
        go(artifact, tmp_path / "run", engine=Broken(artifact))


def test_two_interruptions_stop_at_once(tmp_path: Path) -> None:
    class Twice(Quiet):
        def step(self, step: int) -> None:
            if step == 3:
                os.kill(os.getpid(), signal.SIGINT)
                os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        go(artifact_of(), tmp_path / "run", progress=Twice())
    assert signal.getsignal(signal.SIGINT) is before
