"""Generated packages train from pictures too: without weft, with workers, bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bare import bare, same_training

import weft
from weft.runtime.package import write_package
from weft.spec.errors import DataError

SPEC = """\
net mlp {
  in image: f32[B, 1, 8, 8]
  image -> reshape([B, 64]) -> linear(OUT) as logits
}

train {
  epochs = 2
  data image: f32[B, 1, 8, 8], target: TYPE = SOURCE
  step main updates mlp {
    optimizer = sgd(lr=0.1)
    logits = image -> mlp
    loss = LOSS
  }
}
"""

CLASSES = {"OUT": "2", "TYPE": "i32[B]", "LOSS": "cross_entropy(logits, target)"}
VARIED = "batch=4, flip=both, crop=2, brightness=0.3, normalise=standard, workers=1"


def spec(folder: Path, **parts: str) -> Path:
    text = SPEC
    for word, value in parts.items():
        text = text.replace(word, value)
    path = folder / "net.weft"
    path.write_text(text)
    return path


def test_a_package_trains_from_generated_pictures(tmp_path: Path) -> None:
    source = f"curves(size=8, samples=30, {VARIED})"
    mask = {"OUT": "64", "TYPE": "f32[B, 1, 8, 8]"}
    path = spec(tmp_path, SOURCE=source, LOSS="bce(reshape(logits, [B, 1, 8, 8]), target)", **mask)
    program = weft.compile(path, "cpu")
    folder = write_package(program.artifact, tmp_path / "p", root=tmp_path)
    assert not (folder / "data").exists()
    assert (folder / "support" / "runtime" / "data" / "picture_worker.py").is_file()
    done = bare(folder / "train.py", "--out", tmp_path / "a", "--quiet", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    program.train(tmp_path / "b", progress="quiet")
    same_training(tmp_path / "a", tmp_path / "b")


def write_images(folder: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    random = np.random.default_rng(0)
    for word in ("cat", "dog"):
        (folder / "set" / word).mkdir(parents=True)
        for index in range(8):
            values = random.integers(0, 256, (9, 12, 3)).astype(np.uint8)
            image.fromarray(values).save(folder / "set" / word / f"{index}.png")


def test_a_package_trains_from_a_folder_of_images(tmp_path: Path) -> None:
    write_images(tmp_path)
    source = f'images("set", size=8, colour=false, split=0.75, cache=0, {VARIED})'
    program = weft.compile(spec(tmp_path, SOURCE=source, **CLASSES), "cpu")
    program.train(tmp_path / "b", progress="quiet")
    plain = write_package(program.artifact, tmp_path / "p", root=tmp_path)
    whole = write_package(program.artifact, tmp_path / "q", root=tmp_path, bundle=True)
    for folder, out in ((plain, "c"), (whole, "d")):
        if folder is whole:
            (tmp_path / "set").rename(tmp_path / "gone")
        done = bare(folder / "train.py", "--out", tmp_path / out, "--quiet", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        same_training(tmp_path / out, tmp_path / "b")
    done = bare(plain / "train.py", "--out", tmp_path / "e", "--quiet", cwd=tmp_path)
    assert done.returncode == 1
    assert "there is no folder `set`" in done.stderr
    assert "--data ROOT names another folder" in done.stderr


def test_what_cannot_be_copied_is_said(tmp_path: Path) -> None:
    write_images(tmp_path)
    source = f'images("set", size=8, colour=false, zoom=[0.2, 1], {VARIED})'
    artifact = weft.compile(spec(tmp_path, SOURCE=source, **CLASSES), "cpu").artifact
    with pytest.raises(DataError, match="`zoom` cuts out of their files cannot be copied"):
        write_package(artifact, tmp_path / "q", root=tmp_path, bundle=True)


@pytest.mark.parametrize("mixup", [0, 0.2])
def test_classes_are_predicted_for_images(tmp_path: Path, mixup: float) -> None:
    write_images(tmp_path)
    source = f'images("set", size=8, colour=false, mixup={mixup}, {VARIED})'
    parts = {**CLASSES, "TYPE": "f32[B, 2]" if mixup else "i32[B]"}
    program = weft.compile(spec(tmp_path, SOURCE=source, **parts), "cpu")
    record = program.train(tmp_path / "run", progress="quiet")
    from weft.runtime.predict import predict

    found = []
    for name in ("set", "set/dog/3.png"):
        count = predict(
            program.engine,
            program.artifact,
            checkpoint=record.paths["last"],
            source=tmp_path / name,
            out=tmp_path / "out.npz",
        )
        with np.load(tmp_path / "out.npz") as arrays:
            found.append({key: arrays[key] for key in arrays.files})
        assert count == len(found[-1]["name"])
    assert found[0]["name"][11] == "set/dog/3.png"
    assert found[1]["name"].tolist() == ["3.png"]
    assert set(found[0]["class"]) <= {"cat", "dog"}
    np.testing.assert_allclose(found[0]["logits"][11], found[1]["logits"][0], rtol=1e-5, atol=1e-6)
    from weft.runtime.data import load as load_data

    data = load_data(program.artifact.train["data"][0], tmp_path)
    logits = program.engine.forward("mlp", {"image": data.train["image"][:]})["logits"]
    np.testing.assert_allclose(found[0]["logits"], logits, rtol=1e-4, atol=1e-5)
