"""The training loop with an engine in NumPy: exact resume, interruption, divergence, early stop."""

from __future__ import annotations

import dataclasses
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
from softmax_engine import SoftmaxEngine, data_line, softmax_artifact, step_recipe

from weft.compiler.artifact import Artifact
from weft.runtime import checkpoint as files
from weft.runtime import training as training_module
from weft.runtime.engine import Result
from weft.runtime.metrics import read
from weft.runtime.progress import Quiet
from weft.runtime.trainer import Record, train
from weft.spec.errors import CheckpointError, DataError, DivergenceError, UsageError

TYPES = [["f32", ["B", 2]], ["i32", ["B"]]]
FORMULA = "c = (x > 0) + 2*(y > 0)"


def points(**settings: Any) -> dict[str, Any]:
    """50 samples for training in 7 batches, 21 held out."""
    named = {"x": [-1, 1], "y": [-1, 1], "samples": 71, "batch": 8, "split": 0.7, **settings}
    return data_line(["x", "y"], TYPES, "function", FORMULA, **named)


def artifact_of(*, data: dict[str, Any] | None = None, **train: Any) -> Artifact:
    return softmax_artifact(data or points(), 2, 4, **{"epochs": 3, **train})


WAITING = {"name": "plateau", "rate": 1.5, "patience": 1, "decay": 0.5, "final": 0.3}


def go(
    artifact: Artifact, out: Path, *, engine: SoftmaxEngine | None = None, **named: Any
) -> tuple[Record, SoftmaxEngine]:
    engine = engine or SoftmaxEngine(artifact)
    named = {"progress": "quiet", **named}
    return train(engine, artifact, root=out.parent, out=out, **named), engine


def without_seconds(path: Path) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in read(path)]


class StopAt(Quiet):
    """A display that asks for an interruption, as Ctrl-C does, after some step."""

    def __init__(self, step: int) -> None:
        self.stop = step

    def step(self, step: int) -> None:
        if step == self.stop:
            os.kill(os.getpid(), signal.SIGINT)


# the plain course


def test_a_training_learns_and_records_it(tmp_path: Path) -> None:
    artifact = artifact_of(epochs=40)
    record, engine = go(artifact, tmp_path / "run")
    assert record.step == 280
    assert record.epochs == 40
    assert record.metrics["test"]["accuracy"] > 0.85
    assert record.metrics["test"]["loss"] < record.metrics["train"]["loss"] + 0.2
    assert not record.interrupted
    rows = read(tmp_path / "run" / "metrics.jsonl")
    assert [(r["step"], r["part"]) for r in rows[:4]] == [
        (7, "train"),
        (7, "test"),
        (14, "train"),
        (14, "test"),
    ]
    assert rows[-1]["loss"] == record.metrics["test"]["loss"]
    assert set(record.paths) == {"last", "best", "csv", "jsonl"}
    best = files.load(record.paths["best"])
    assert record.best is not None
    assert best.state["position"]["step"] == record.best["step"]
    losses = {r["step"]: r["loss"] for r in rows if r["part"] == "test"}
    assert record.best["value"] == min(losses.values()) == losses[record.best["step"]]
    last = files.load(record.paths["last"])
    assert last.tensors["net.linear.weight"].shape == (4, 2)
    np.testing.assert_array_equal(last.tensors["net.linear.bias"], engine._bias)
    assert "optimizer/main/momentum/net.linear.weight" in last.tensors


def test_evaluation_weighs_every_sample_alike(tmp_path: Path) -> None:
    record, engine = go(artifact_of(epochs=1), tmp_path / "run")
    assert [c[3] for c in engine.calls if c[0] == "evaluate"] == [8, 8, 5]
    from weft.runtime.data import load

    whole = load(points(), tmp_path).test
    exact = engine.evaluate("main", whole, index=0, seed=0).values
    assert record.metrics["test"]["loss"] == pytest.approx(exact["loss"], rel=1e-6)
    assert record.metrics["test"]["accuracy"] == pytest.approx(exact["accuracy"], rel=1e-12)


def test_training_metrics_weigh_every_sample_alike(tmp_path: Path) -> None:
    class Counting(SoftmaxEngine):
        def train(self, step: str, inputs: Mapping[str, Any], **more: Any) -> Result:
            super().train(step, inputs, **more)
            return Result({"loss": float(len(inputs["y"]))})

    artifact = artifact_of(epochs=1, step=[step_recipe(metrics=[])])
    record, _ = go(artifact, tmp_path / "run", engine=Counting(artifact))
    assert record.metrics["train"]["loss"] == pytest.approx((48 * 8 + 2 * 2) / 50, rel=1e-12)


def test_the_same_seed_gives_the_same_bits(tmp_path: Path) -> None:
    artifact = artifact_of()
    arenas = [go(artifact, tmp_path / name, **more)[1].parameters for name, more in RUNS]
    np.testing.assert_array_equal(arenas[0], arenas[1])
    assert not np.array_equal(arenas[0], arenas[2])


RUNS: list[tuple[str, dict[str, Any]]] = [("a", {}), ("b", {"seed": 0}), ("c", {"seed": 1})]


def test_rates_and_indices_reach_the_engine(tmp_path: Path) -> None:
    step = step_recipe(schedule={"name": "linear", "rate": 0.1, "warmup": 0.5})
    _, engine = go(artifact_of(epochs=2, step=[step]), tmp_path / "run")
    updates = [c for c in engine.calls if c[0] == "update"]
    assert [c[2] for c in updates] == list(range(14))
    rates = [c[3] for c in updates]
    assert rates[:3] == pytest.approx([0.1 / 3.5, 0.2 / 3.5, 0.3 / 3.5])
    assert rates[4] == pytest.approx(0.1 * (1 - 0.5 / 10.5))
    assert read(tmp_path / "run" / "metrics.jsonl")[-1]["rate"] == rates[-1]


def test_steps_instead_of_epochs(tmp_path: Path) -> None:
    artifact = artifact_of(epochs=None, steps=10, eval_every=4, log_every=2)
    record, _ = go(artifact, tmp_path / "run")
    assert record.step == 10
    rows = [(r["step"], r["part"]) for r in read(tmp_path / "run" / "metrics.jsonl")]
    assert [s for s, part in rows if part == "train"] == [2, 4, 6, 8, 10]
    assert [s for s, part in rows if part == "test"] == [4, 8, 10]
    assert go(artifact, tmp_path / "b", epochs=1)[0].step == 7
    assert go(artifact_of(), tmp_path / "c", steps=3)[0].step == 3


def test_reports_of_a_full_batch_stay_bounded(tmp_path: Path) -> None:
    artifact = artifact_of(data=points(batch="full"), epochs=5000)
    record, _ = go(artifact, tmp_path / "run")
    assert record.step == 5000
    steps = [r["step"] for r in read(tmp_path / "run" / "metrics.jsonl") if r["part"] == "test"]
    assert steps == list(range(5, 5001, 5))


def test_without_a_held_out_part_the_training_loss_is_watched(tmp_path: Path) -> None:
    record, _ = go(artifact_of(data=points(split=1)), tmp_path / "run")
    assert record.best is not None
    assert record.best["part"] == "train"
    assert set(record.metrics) == {"train"}


def test_a_held_out_part_that_does_not_fill_a_fixed_batch(tmp_path: Path) -> None:
    line = {**points(batch=30), "types": [["f32", [30, 2]], ["i32", [30]]]}
    record, _ = go(artifact_of(data=line), tmp_path / "run")
    assert "smaller than one batch" in record.notes[0]
    assert (record.step, set(record.metrics)) == (3, {"train"})


@pytest.mark.parametrize(("words", "said"), [("cat", 1), ("cat dog", 0)])
def test_one_class_is_pointed_out(tmp_path: Path, words: str, said: int) -> None:
    rows = "".join(f"{i},{-i},{word}\n" for i, word in enumerate(words.split() * 6))
    (tmp_path / "d.csv").write_text(f"a,b,kind\n{rows}")
    line = data_line(["x", "y"], TYPES, "csv", "d.csv", target="kind", batch=2)
    record, _ = go(artifact_of(data=line, epochs=1), tmp_path / "run")
    assert len(record.notes) == said
    if said:
        assert "all samples are of one class, `cat`" in record.notes[0]


# accumulation, several steps


def test_accumulated_gradients_are_those_of_the_large_batch(tmp_path: Path) -> None:
    class Plain(SoftmaxEngine):
        def _kept(self, shape: tuple[int, ...], index: int, seed: int) -> np.ndarray:
            return np.ones(shape, np.float32)

    arenas = []
    for name, batch, accumulate in (("a", 24, 1), ("b", 8, 3), ("c", 3, 8)):
        artifact = artifact_of(
            data=points(batch=batch, shuffle=False), step=[step_recipe(accumulate=accumulate)]
        )
        record, engine = go(artifact, tmp_path / name, engine=Plain(artifact))
        assert record.step == 9
        arenas.append(engine.parameters)
    np.testing.assert_allclose(arenas[1], arenas[0], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(arenas[2], arenas[0], rtol=1e-4, atol=1e-6)


def test_every_accumulated_batch_draws_its_own_numbers(tmp_path: Path) -> None:
    artifact = artifact_of(epochs=1, step=[step_recipe(accumulate=3)])
    _, engine = go(artifact, tmp_path / "run")
    assert [c[2] for c in engine.calls if c[0] == "gradient"] == [0, 1, 2, 3, 4, 5, 6]
    assert [c[2] for c in engine.calls if c[0] == "update"] == [0, 1, 2]


def test_several_steps_share_the_batch_and_keep_their_turns(tmp_path: Path) -> None:
    artifact = artifact_of(epochs=1, step=[step_recipe("d"), step_recipe("g", every=3)])
    record, engine = go(artifact, tmp_path / "run")
    updates = [(c[1], c[2]) for c in engine.calls if c[0] == "update"]
    assert updates == [
        ("d", 0),
        ("g", 0),
        ("d", 1),
        ("d", 2),
        ("d", 3),
        ("g", 1),
        ("d", 4),
        ("d", 5),
        ("d", 6),
        ("g", 2),
    ]
    assert set(record.metrics["test"]) == {"d.loss", "d.accuracy", "g.loss", "g.accuracy"}
    assert record.best is None
    header = (tmp_path / "run" / "metrics.csv").read_text().splitlines()[0]
    assert header.endswith("d.rate,d.loss,d.accuracy,g.rate,g.loss,g.accuracy")


# exact resume


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


# saving


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


# ends


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


def test_a_thread_can_train(tmp_path: Path) -> None:
    import threading

    results: list[int] = []
    thread = threading.Thread(
        target=lambda: results.append(go(artifact_of(), tmp_path / "run")[0].step)
    )
    thread.start()
    thread.join()
    assert results == [21]


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"data": points(batch=51)}, DataError, "larger than the 50 samples"),
        ({"epochs": 0}, UsageError, "no steps"),
        (
            {"step": [step_recipe(schedule={"name": "cosine", "rate": 1.0, "warmup": 100})]},
            UsageError,
            "net.weft:5:3: the warm-up of 100 epochs is longer",
        ),
    ],
)
def test_trainings_that_make_no_sense(
    tmp_path: Path, changes: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind) as caught:
        go(artifact_of(**changes), tmp_path / "run")
    assert message in str(caught.value)
    assert not (tmp_path / "run").exists(), "nothing is touched before the data is read"


def test_no_train_section(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no `train` section"):
        go(dataclasses.replace(artifact_of(), train=None), tmp_path / "run")


def test_an_optimizer_that_is_not_a_kernel_has_its_own_stepper(tmp_path: Path) -> None:
    class Halving:
        """Halves the parameters, and counts its calls in the checkpoint."""

        def __init__(self, engine: Any, step: Any, stream: Any, seed: int) -> None:
            self.engine, self.calls = engine, np.zeros(1, np.int64)

        def __call__(self, first: int, count: int, rate: float, index: int) -> Result:
            self.engine.parameters *= np.float32(0.5)
            self.calls += 1
            return Result({"loss": float(self.calls[0])})

        def failed(self, first: int, index: int) -> tuple[int, int]:
            return first, index

        def state(self) -> Mapping[str, Any]:
            return {"calls": self.calls}

        def restore(self, state: Mapping[str, Any]) -> None:
            self.calls = np.array(state["calls"])

    artifact = artifact_of(step=[step_recipe(optimizer="lbfgs")])
    go(artifact, tmp_path / "run", steppers={"lbfgs": Halving}, progress=StopAt(5))
    record, _ = go(artifact, tmp_path / "run", steppers={"lbfgs": Halving}, resume=True)
    assert record.metrics["train"]["loss"] == pytest.approx(np.mean(range(15, 22)), rel=0.02)


# two data lines


def test_two_data_lines_run_side_by_side(tmp_path: Path) -> None:
    first = points(batch=10)
    second = {**points(batch=10, samples=43, split=1, seed=9), "names": ["u", "v"]}
    artifact = artifact_of(epochs=4)
    artifact = dataclasses.replace(artifact, train={**artifact.train, "data": [first, second]})
    seen: list[tuple[float, float]] = []

    class Watching(SoftmaxEngine):
        def train(self, step: str, inputs: Mapping[str, Any], **more: Any) -> Result:
            assert len(inputs["x"]) == len(inputs["u"]) == 10
            seen.append((float(inputs["x"][0, 0]), float(inputs["u"][0, 0])))
            return super().train(step, inputs, **more)

    record, _ = go(artifact, tmp_path / "run", engine=Watching(artifact))
    assert record.step == 20
    assert len({u for _, u in seen}) > 4, "the shorter one is shuffled anew in each of its epochs"
    unequal = dataclasses.replace(
        artifact, train={**artifact.train, "data": [first, {**second, **points(batch=5)}]}
    )
    with pytest.raises(DataError, match="batches of different sizes"):
        go(unequal, tmp_path / "b")


# whole processes

SCRIPT = """
    import sys, time
    sys.path.insert(0, {folder!r})
    from pathlib import Path
    from softmax_engine import SoftmaxEngine, softmax_artifact
    from test_trainer import points
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
