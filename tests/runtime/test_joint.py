"""One training in several processes: here threads of one stand for them, which is fast."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from softmax_engine import SoftmaxEngine, data_line, softmax_artifact, step_recipe
from threads import Thread, together

import weft
from weft.compiler.artifact import Artifact
from weft.runtime import checkpoint, machine
from weft.runtime.data import load
from weft.runtime.data.shard import Portion
from weft.runtime.engine import Result
from weft.runtime.interrupt import Interrupt
from weft.runtime.joint import STRIDE
from weft.runtime.metrics import read
from weft.runtime.processes import Launched, Processes, launched
from weft.runtime.progress import Quiet
from weft.runtime.trainer import portion, train
from weft.spec.errors import DeviceError, DivergenceError, UnheardError, UsageError

TYPES = [["f32", ["B", 2]], ["i32", ["B"]]]
FORMULA = "c = (x > 0) + 2*(y > 0)"


def points(**settings: Any) -> dict[str, Any]:
    """50 samples for training in 7 batches, the last of which has 2; 21 held out."""
    named = {"x": [-1, 1], "y": [-1, 1], "samples": 71, "batch": 8, "split": 0.7, **settings}
    return data_line(["x", "y"], TYPES, "function", FORMULA, **named)


def artifact_of(*, data: dict[str, Any] | None = None, **more: Any) -> Artifact:
    return softmax_artifact(data or points(), 2, 4, **{"epochs": 3, **more})


class Still(SoftmaxEngine):
    """Without dropout, whose numbers are other ones in every process; `seeds` are noted."""

    def __init__(self, artifact: Artifact) -> None:
        super().__init__(artifact)
        self.seeds: set[int] = set()

    def _kept(self, shape: tuple[int, ...], index: int, seed: int) -> Any:
        self.seeds.add(seed)
        return np.ones(shape, np.float32)


def go(artifact: Artifact, out: Path, processes: Processes | None = None, **more: Any) -> Any:
    engine = more.pop("engine", Still)(artifact)
    options = {"progress": "quiet", "processes": processes, **more}
    return train(engine, artifact, root=out.parent, out=out, **options), engine


def whole_and_parts(arrays: Mapping[str, Any], parts: list[Mapping[str, Any]]) -> None:
    for name, array in arrays.items():
        found = np.concatenate([np.array(part[name]) for part in parts])
        np.testing.assert_array_equal(array, found)


# what a process takes


@pytest.mark.parametrize("size", [2, 3, 5])
@pytest.mark.parametrize("settings", [{}, {"shuffle": False}, {"batch": "full"}, {"last": "drop"}])
def test_the_parts_of_a_batch_are_the_batch(
    size: int, settings: dict[str, Any], tmp_path: Path
) -> None:
    data = load(points(**settings), tmp_path)
    whole = data.batches(3)
    parts = [data.batches(3, shard=Portion(rank, size)) for rank in range(size)]
    for index in range(whole.count):
        batch = {name: array.copy() for name, array in whole.at(1, index).items()}
        found = [part.at(1, index) for part in parts]
        assert all(part.size(index) == len(batch["x"]) for part in parts)
        lengths = [len(part["x"]) for part in found]
        assert max(lengths) - min(lengths) <= 1
        whole_and_parts(batch, found)


@pytest.mark.parametrize(
    "settings",
    [{"flip": "horizontal", "crop": 1}, {"mixup": 0.3}, {"cutmix": 1.0, "last": "drop"}],
    ids=["varied", "mixed", "patched"],
)
def test_the_parts_of_a_batch_of_pictures_are_the_batch(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    soft = "flip" not in settings
    types = [["f32", ["B", 1, 8, 8]], ["f32", ["B", 10]] if soft else ["i32", ["B"]]]
    named = {"flat": False, "batch": 6, "limit": 20, **settings}
    line = data_line(["image", "label"], types, "digits", **named)
    data = [load(line, tmp_path) for _ in range(5)]
    whole = data[4].batches(3)
    parts = [data[rank].batches(3, shard=Portion(rank, 4)) for rank in range(4)]
    for index in range(whole.count):
        batch = {name: array.copy() for name, array in whole.at(1, index).items()}
        whole_and_parts(batch, [part.at(1, index) for part in parts])
    for each in data:
        each.close()


def test_the_parts_of_a_batch_of_windows_are_the_batch(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one fish two fish red fish blue fish " * 20)
    types = [["i32", ["B", 8]], ["i32", ["B", 8]]]
    line = data_line(["t", "n"], types, "text", "a.txt", length=8, batch=7, masked=0.2)
    data = load(line, tmp_path)
    whole, parts = data.batches(3), [data.batches(3, shard=Portion(rank, 3)) for rank in range(3)]
    for index in range(whole.count):
        batch = {name: array.copy() for name, array in whole.at(2, index).items()}
        whole_and_parts(batch, [part.at(2, index) for part in parts])


def test_batches_that_cannot_be_divided(tmp_path: Path) -> None:
    artifact, three = artifact_of(), Launched(0, 3)
    with pytest.raises(UsageError, match=r"net.weft:3:3: 3 processes cannot divide batch=8"):
        portion(artifact, [load(points(), tmp_path)], three)
    assert portion(artifact, [load(points(batch="full"), tmp_path)], three) == Portion(0, 3)
    types = [["f32", [8, 2]], ["i32", [8]]]
    named = {"x": [-1, 1], "y": [-1, 1], "samples": 71, "batch": 8}
    fixed = load(data_line(["x", "y"], types, "function", FORMULA, **named), tmp_path)
    with pytest.raises(UsageError, match="the types fix the batch of 8"):
        portion(artifact, [fixed], Launched(0, 2))


def test_carried_states_are_refused(tmp_path: Path) -> None:
    spec = """
net m {
  in x: f32[B, T, 3]
  x -> lstm(4, carry=4) -> linear(3)
}
train {
  epochs = 1
  data x: f32[B, 5, 3], y: f32[B, 5, 3] = npz("a.npz", batch=4, shuffle=false)
  step main updates m {
    optimizer = sgd(lr=0.1)
    loss = x -> m -> mse(y)
  }
}
"""
    program = weft.compile(weft.load_text(spec, "m.weft"), target="cpu")
    with pytest.raises(UsageError, match=r"m.weft:4:8: `carry` keeps the states of one process"):
        portion(program.artifact, [], Launched(0, 2))


# what comes out


@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize(
    "train_of",
    [{}, {"step": [step_recipe(accumulate=3)]}, {"step": [step_recipe(), step_recipe("second")]}],
    ids=["plain", "accumulated", "two"],
)
def test_several_processes_learn_what_one_learns(
    size: int, train_of: dict[str, Any], tmp_path: Path
) -> None:
    artifact = artifact_of(**train_of)  # of four processes two have no sample in the last batch
    record, engine = go(artifact, tmp_path / "one")
    answers = together(size, lambda own: go(artifact, tmp_path / "all", own))
    for ours, other in answers:
        np.testing.assert_allclose(other.parameters, engine.parameters, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(other.parameters, answers[0][1].parameters)
        for part, values in record.metrics.items():
            assert ours.metrics[part] == pytest.approx(values, rel=1e-5)
    assert not [c for c in answers[1][1].calls if c[0] == "gradient" and c[3] == 0]
    rows = [read(tmp_path / name / "metrics.jsonl") for name in ("one", "all")]
    assert [(r["step"], r["part"]) for r in rows[0]] == [(r["step"], r["part"]) for r in rows[1]]
    best = [(tmp_path / n / "checkpoints" / "best.safetensors").exists() for n in ("one", "all")]
    assert best[0] == best[1]


def test_resuming_gives_the_same_bits(tmp_path: Path) -> None:
    artifact = artifact_of()
    together(2, lambda own: go(artifact, tmp_path / "a", own))
    together(2, lambda own: go(artifact, tmp_path / "b", own, steps=9))
    together(2, lambda own: go(artifact, tmp_path / "b", own, resume=True))
    ends = [
        checkpoint.load(tmp_path / name / "checkpoints" / "last.safetensors").tensors
        for name in "ab"
    ]
    for name, tensor in ends[0].items():
        np.testing.assert_array_equal(tensor, ends[1][name])
    record, _ = go(artifact, tmp_path / "b", resume=True, epochs=4)  # and one may go on alone
    assert record.step == 28


def test_dropout_draws_other_numbers_in_each(tmp_path: Path) -> None:
    engines = [engine for _, engine in together(2, lambda own: go(artifact_of(), tmp_path, own))]
    assert engines[0].seeds == {0}
    assert engines[1].seeds == {STRIDE}


# how it ends


def test_all_stop_after_the_same_step(tmp_path: Path) -> None:
    class Asking(Quiet):
        def __init__(self, own: Thread) -> None:
            self.own = own

        def step(self, step: int) -> None:
            if step == 5:
                self.own.asked = True

    found = together(2, lambda own: go(artifact_of(), tmp_path, own, progress=Asking(own)))
    assert [record.step for record, _ in found] == [6, 6]
    assert all(record.interrupted for record, _ in found)


def test_a_second_signal_ends_at_once() -> None:
    interrupt = Interrupt(own := Launched(0, 2))
    interrupt._handle(2, None)
    assert own.asked
    assert not interrupt.wanted  # not before the others know
    with pytest.raises(KeyboardInterrupt):
        interrupt._handle(2, None)


@pytest.mark.parametrize(("met", "kept"), [(False, signal.SIG_IGN), (True, signal.SIG_DFL)])
def test_a_launcher_does_not_end_what_is_about_to_say_its_error(met: bool, kept: Any) -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        with Interrupt(Launched(0, 2, met=met)):
            pass
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        with pytest.raises(ValueError), Interrupt(Launched(0, 2, met=met)):
            raise ValueError
        assert signal.getsignal(signal.SIGTERM) is kept
    finally:
        signal.signal(signal.SIGTERM, before)


def test_the_process_whose_part_diverged_says_so(tmp_path: Path) -> None:
    class Broken(Still):
        def gradient(self, step: str, inputs: Any, **more: Any) -> Any:
            result, gradient = super().gradient(step, inputs, **more)
            bad = self.rank == 1 and more["index"] == 4
            return (Result({**result.values, "loss": np.nan}, False) if bad else result), gradient

    def act(own: Thread) -> Any:
        engine = type("Own", (Broken,), {"rank": own.rank})
        return go(artifact_of(), tmp_path, own, engine=engine)

    first, second = together(2, act)
    assert isinstance(first, UnheardError)
    assert isinstance(second, DivergenceError)
    assert "at step 5" in str(second)


def test_processes_that_differ_are_named(tmp_path: Path) -> None:
    def act(own: Thread) -> Any:
        data = points(samples=71 + own.rank)
        return go(artifact_of(data=data, seed=own.rank), tmp_path, own)

    for error in together(2, act):
        assert isinstance(error, UsageError)
        assert str(error).startswith("process 1 differs from process 0 in its spec and options")
        assert "data" in str(error) and "weights" in str(error)


# who is there


def test_who_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with launched() as own:
        assert (own.rank, own.size) == (0, 1)
    for name, value in {
        "RANK": "2",
        "WORLD_SIZE": "3",
        "MASTER_ADDR": "nowhere",
        "MASTER_PORT": "1",
    }.items():
        monkeypatch.setenv(name, value)
    with launched() as own:
        assert (own.rank, own.size) == (2, 3)
    with launched(alone=True) as own:
        assert own.size == 1
    given = Processes()
    with launched(given) as own:
        assert own is given


def test_every_process_needs_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setenv("LOCAL_RANK", "1")
    with pytest.raises(DeviceError, match="process 3 has no GPU of its own: 1 here"):
        Launched(3, 4).connect("cuda")


def test_processes_share_the_cores_of_a_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "cpu", lambda: machine.Cpu("x", "y", frozenset(), 8))
    for local, asked, expected in (
        ("1", "1", 1),
        ("2", "1", 4),
        ("2", "3", 3),
        ("16", "", 1),
        ("", "", 8),
    ):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", local)
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
        assert machine.threads() == expected
