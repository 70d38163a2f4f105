"""The training loop with an engine in NumPy: what it does step by step, and what it refuses."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from softmax_engine import SoftmaxEngine, data_line, step_recipe
from trainings import TYPES, StopAt, artifact_of, go, points

from weft.runtime import checkpoint as files
from weft.runtime.engine import Result
from weft.runtime.metrics import read
from weft.spec.errors import DataError, UsageError

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


# threads, optimizers, and what cannot be trained


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
