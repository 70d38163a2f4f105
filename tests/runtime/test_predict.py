"""A trained network in use: evaluation of a checkpoint, and predictions from files into files."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from softmax_engine import SoftmaxEngine, data_line, softmax_artifact, step_recipe

from weft.compiler.artifact import Artifact, Entry, Port
from weft.runtime.predict import evaluate, predict
from weft.runtime.trainer import train
from weft.spec.errors import CheckpointError, DataError, UsageError

FLOWERS = ["setosa", "versicolor", "virginica"]


def write_flowers(path: Path, count: int = 60) -> np.ndarray:
    random = np.random.default_rng(0)
    kind = np.arange(count) % 3
    sizes = kind[:, None] * [20.0, -3.0] + random.normal(0, 0.8, (count, 2)) + [100, 5]
    with path.open("w") as file:
        file.write("name,length,width,species\n")
        for row, k in zip(sizes, kind, strict=True):
            file.write(f"n{k},{row[0]},{row[1]},{FLOWERS[k]}\n")
    return sizes


def forward(features: int, batch: Any = "B") -> Entry:
    inputs = (Port("x", "f32", (batch, features)),)
    outputs = (Port("logits", "f32", (batch, 3)),)
    return Entry("forward", "net", "forward_net", inputs, outputs, ("B",), (), 0, ())


@pytest.fixture
def trained(tmp_path: Path) -> tuple[SoftmaxEngine, Artifact, Path]:
    write_flowers(tmp_path / "flowers.csv")
    data = data_line(
        ["x", "y"],
        [["f32", ["B", 2]], ["i32", ["B"]]],
        "csv",
        "flowers.csv",
        target="species",
        features=["length", "width"],
        missing="mean",
        batch=8,
        split=0.8,
        normalise="standard",
    )
    artifact = softmax_artifact(data, 2, 3, epochs=30)
    artifact = dataclasses.replace(artifact, entries=(forward(2),))
    engine = SoftmaxEngine(artifact)
    record = train(engine, artifact, root=tmp_path, out=tmp_path / "run", progress="quiet")
    assert record.metrics["test"]["accuracy"] == 1
    return engine, artifact, record.paths["last"]


def test_a_checkpoint_is_evaluated_as_in_training(trained: Any, tmp_path: Path) -> None:
    _, artifact, path = trained
    fresh = SoftmaxEngine(artifact)
    found = evaluate(fresh, artifact, root=tmp_path, checkpoint=path)
    assert found["accuracy"] == 1
    assert set(found) == {"loss", "accuracy"}
    train_part = evaluate(fresh, artifact, root=tmp_path, checkpoint=path, part="train")
    assert train_part["loss"] != found["loss"]


def test_no_held_out_part(trained: Any, tmp_path: Path) -> None:
    engine, artifact, path = trained
    line = artifact.train["data"][0]
    whole = {**line, "settings": {**line["settings"], "split": None}}
    artifact = dataclasses.replace(artifact, train={**artifact.train, "data": [whole]})
    with pytest.raises(UsageError, match="no part `test`"):
        evaluate(engine, artifact, root=tmp_path, checkpoint=path)


def test_predictions_for_a_table(trained: Any, tmp_path: Path) -> None:
    engine, artifact, path = trained
    (tmp_path / "new.csv").write_text("width,other,length\n5,a,100\n-1,b,140\n,c,120\n")
    count = predict(
        engine,
        artifact,
        checkpoint=path,
        source=tmp_path / "new.csv",
        out=tmp_path / "out.csv",
    )
    assert count == 3
    with (tmp_path / "out.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == ["setosa", "virginica", "versicolor"]
    assert list(rows[0]) == ["logits_0", "logits_1", "logits_2", "class"]
    mean = np.array(engine.artifact.train and [[100.0, 5.0]])
    from weft.runtime.checkpoint import load

    numbers = load(path).state["data"][0]["fields"]["x"]
    scaled = ((mean - numbers["shift"]) / numbers["scale"]).astype(np.float32)
    wanted = engine.forward("net", {"x": scaled})["logits"][0]
    found = [np.float32(rows[0][f"logits_{i}"]) for i in range(3)]
    np.testing.assert_array_equal(found, wanted)


def test_predictions_for_arrays(trained: Any, tmp_path: Path) -> None:
    engine, artifact, path = trained
    x = write_flowers(tmp_path / "again.csv")
    np.savez(tmp_path / "new.npz", anything=x)
    np.save(tmp_path / "new.npy", x)
    for source in ("new.npz", "new.npy"):
        predict(
            engine,
            artifact,
            checkpoint=path,
            source=tmp_path / source,
            out=tmp_path / "out.npz",
        )
        with np.load(tmp_path / "out.npz") as found:
            assert found["class"].tolist() == (FLOWERS * 20)
            assert found["logits"].shape == (60, 3)


def test_a_fixed_batch_is_filled_up(trained: Any, tmp_path: Path) -> None:
    engine, artifact, path = trained
    artifact = dataclasses.replace(artifact, entries=(forward(2, 16),))
    seen: list[int] = []
    original = engine.forward

    def watching(net: str, inputs: Any) -> Any:
        seen.append(len(inputs["x"]))
        return original(net, inputs)

    engine.forward = watching
    np.save(tmp_path / "new.npy", write_flowers(tmp_path / "again.csv"))
    count = predict(
        engine, artifact, checkpoint=path, source=tmp_path / "new.npy", out=tmp_path / "o.npz"
    )
    assert (count, seen) == (60, [16, 16, 16, 16])


def test_outputs_come_back_in_the_units_of_the_target(tmp_path: Path) -> None:
    types = [["f32", ["B", 2]], ["f32", ["B", 3]]]
    random = np.random.default_rng(0)
    np.savez(tmp_path / "d.npz", x=random.normal(size=(30, 2)), y=random.normal(50, 9, (30, 3)))
    line = data_line(["x", "y"], types, "npz", "d.npz", batch=8, normalise_target="standard")
    artifact = softmax_artifact(line, 2, 3, epochs=1, step=[step_recipe(metrics=[])])
    artifact = dataclasses.replace(artifact, entries=(forward(2),))

    class Regression(SoftmaxEngine):
        def train(self, step: str, inputs: Any, **more: Any) -> Any:
            from weft.runtime.engine import Result

            return Result({"loss": 1.0})

    engine = Regression(artifact)
    record = train(engine, artifact, root=tmp_path, out=tmp_path / "run", progress="quiet")
    (tmp_path / "new.csv").write_text("a,b\n0,0\n0,0\n")
    predict(
        engine,
        artifact,
        checkpoint=record.paths["last"],
        source=tmp_path / "new.csv",
        out=tmp_path / "out.npz",
    )
    with np.load(tmp_path / "d.npz") as data, np.load(tmp_path / "out.npz") as found:
        np.testing.assert_allclose(found["logits"], [data["y"].mean(axis=0)] * 2, rtol=1e-5)


@pytest.mark.parametrize(
    ("content", "name", "kind", "message"),
    [
        ("length\n1\n", "n.csv", DataError, "no column `width`"),
        ("length,width\n1,x\n", "n.csv", DataError, 'n.csv:2: column `width` holds "x"'),
        ("length,width\n1,inf\n", "n.csv", DataError, "row 1 of `n.csv`"),
        ("", "n.txt", UsageError, "not a csv, tsv, npz or npy file"),
        (None, "n.csv", DataError, "there is no file"),
        ("junk", "n.npz", DataError, "not a readable npz file"),
    ],
)
def test_bad_inputs(
    trained: Any, tmp_path: Path, content: str | None, name: str, kind: Any, message: str
) -> None:
    engine, artifact, path = trained
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(kind) as caught:
        predict(engine, artifact, checkpoint=path, source=tmp_path / name, out=tmp_path / "o.csv")
    assert message in str(caught.value)


def test_which_net(trained: Any, tmp_path: Path) -> None:
    engine, artifact, path = trained
    np.save(tmp_path / "new.npy", np.ones((2, 2)))
    both = (forward(2), dataclasses.replace(forward(2), subject="critic"))
    artifact = dataclasses.replace(artifact, entries=both)
    named = {"checkpoint": path, "source": tmp_path / "new.npy", "out": tmp_path / "o.npz"}
    with pytest.raises(UsageError, match="which net"):
        predict(engine, artifact, **named)
    with pytest.raises(UsageError, match="did you mean `critic`"):
        predict(engine, artifact, net="critc", **named)
    assert predict(engine, artifact, net="net", **named) == 2


def test_a_checkpoint_of_another_network(trained: Any, tmp_path: Path) -> None:
    _, artifact, path = trained
    other = softmax_artifact(artifact.train["data"][0], 2, 5)
    with pytest.raises(CheckpointError, match=r"is \[3, 2\] in the checkpoint, \[5, 2\]"):
        evaluate(SoftmaxEngine(other), other, root=tmp_path, checkpoint=path)
