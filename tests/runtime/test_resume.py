"""A training that was interrupted goes on to the same bits, or says why it cannot."""

from __future__ import annotations

import dataclasses
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from softmax_engine import SoftmaxEngine, step_recipe
from trainings import WAITING, StopAt, artifact_of, go, points, without_seconds

from weft.runtime import checkpoint as files
from weft.runtime.engine import Result
from weft.runtime.metrics import read
from weft.spec.errors import CheckpointError


@pytest.mark.parametrize(
    "train_settings",
    [
        {},
        {"step": [step_recipe(accumulate=2)]},
        {"step": [step_recipe("d"), step_recipe("g", every=2)]},
        {"eval_every": 2, "log_every": 1, "early_stop": {"patience": 2, "monitor": "accuracy"}},
        {"eval_every": 2 / 7, "step": [step_recipe(schedule=WAITING)]},
    ],
    ids=["plain", "accumulate", "two steps", "early stop", "plateau"],
)
def test_resume_after_any_step_gives_the_same_bits(
    tmp_path: Path, train_settings: dict[str, Any]
) -> None:
    artifact = artifact_of(**train_settings)
    whole, engine = go(artifact, tmp_path / "whole")
    for stop in range(1, whole.step):
        out = tmp_path / f"stop{stop}"
        first, _ = go(artifact, out, progress=StopAt(stop))
        assert first.interrupted
        assert first.step == stop
        second, resumed = go(artifact, out, resume=True)
        np.testing.assert_array_equal(resumed.parameters, engine.parameters)
        for key, state in engine.states.items():
            np.testing.assert_array_equal(resumed.states[key], state)
        assert second.metrics == whole.metrics
        assert second.best == whole.best
        assert second.stopped_early == whole.stopped_early
        rows = without_seconds(out / "metrics.jsonl")
        assert rows == without_seconds(tmp_path / "whole" / "metrics.jsonl")
        if whole.best:
            ours, theirs = (files.load(r.paths["best"]).tensors for r in (second, whole))
            for name, array in theirs.items():
                np.testing.assert_array_equal(ours[name], array)


def test_resume_many_times_in_a_row(tmp_path: Path) -> None:
    artifact = artifact_of()
    _, engine = go(artifact, tmp_path / "whole")
    for stop in range(2, 21, 3):
        record, resumed = go(artifact, tmp_path / "run", resume=stop > 2, progress=StopAt(stop))
        assert record.step == stop
    record, resumed = go(artifact, tmp_path / "run", resume=True)
    np.testing.assert_array_equal(resumed.parameters, engine.parameters)
    assert record.step == 21


def test_resume_of_a_finished_training_goes_on_or_ends(tmp_path: Path) -> None:
    artifact = artifact_of()
    first, engine = go(artifact, tmp_path / "run")
    again, resumed = go(artifact, tmp_path / "run", resume=True)
    assert (again.step, again.metrics) == (21, first.metrics)
    assert not [c for c in resumed.calls if c[0] == "update"]
    longer, resumed = go(artifact, tmp_path / "run", resume=True, epochs=5)
    assert longer.step == 35
    _, engine = go(artifact, tmp_path / "whole", epochs=5)
    np.testing.assert_array_equal(resumed.parameters, engine.parameters)


def test_resume_refuses_what_is_not_the_same(tmp_path: Path) -> None:
    artifact = artifact_of()
    out = tmp_path / "run"
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        go(artifact, out, resume=True)
    go(artifact, out, progress=StopAt(5))
    other_data = artifact_of(data=points(noise=0, seed=3))
    with pytest.raises(CheckpointError, match=r"net.weft:3:3: the data has changed"):
        go(other_data, out, resume=True)
    with pytest.raises(CheckpointError, match="7 batches of 8 in an epoch, this run has 5 of 10"):
        go(artifact_of(data=points(batch=10)), out, resume=True)
    other_net = dataclasses.replace(
        artifact,
        parameters=(
            dataclasses.replace(artifact.parameters[0], name="net.dense.weight"),
            *artifact.parameters[1:],
        ),
    )
    with pytest.raises(CheckpointError, match=r"`net.dense.weight` is missing"):
        go(other_net, out, resume=True)
    other_states = dataclasses.replace(
        artifact, states=(dataclasses.replace(artifact.states[0], name="second_moment"),)
    )
    with pytest.raises(CheckpointError, match="another optimizer"):
        go(other_states, out, resume=True)
    changed = artifact_of(step=[step_recipe(schedule={"name": "constant", "rate": 0.01})])
    record, _ = go(changed, out, resume=True)
    assert "the spec has changed" in record.notes[0]


def test_a_new_training_puts_the_old_one_aside(tmp_path: Path) -> None:
    artifact = artifact_of()
    first, _ = go(artifact, tmp_path / "run")
    kept = first.paths["last"].read_bytes()
    second, _ = go(artifact, tmp_path / "run", seed=4, steps=2)
    aside = tmp_path / "run" / "previous"
    assert (aside / "checkpoints" / "last.safetensors").read_bytes() == kept
    assert len(read(aside / "metrics.jsonl")) == 6
    assert "moved" in second.notes[0]
    go(artifact, tmp_path / "run", steps=1)
    assert files.load(aside / "checkpoints" / "last.safetensors").state["seed"] == 4


def test_interruption_during_an_evaluation_is_made_up_for(tmp_path: Path) -> None:
    artifact = artifact_of()
    _, engine = go(artifact, tmp_path / "whole")

    class Interrupted(SoftmaxEngine):
        def evaluate(self, step: str, inputs: Mapping[str, Any], **more: Any) -> Result:
            if sum(c[0] == "evaluate" for c in self.calls) == 4:
                os.kill(os.getpid(), signal.SIGINT)
            return super().evaluate(step, inputs, **more)

    record, _ = go(artifact, tmp_path / "run", engine=Interrupted(artifact))
    assert record.interrupted
    assert record.step == 14
    assert len(read(tmp_path / "run" / "metrics.jsonl")) == 2
    _, resumed = go(artifact, tmp_path / "run", resume=True)
    np.testing.assert_array_equal(resumed.parameters, engine.parameters)
    assert without_seconds(tmp_path / "run" / "metrics.jsonl") == without_seconds(
        tmp_path / "whole" / "metrics.jsonl"
    )
