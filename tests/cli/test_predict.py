"""`weft predict` without a file, and into a folder: masks agree with what `weft eval` reports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from weft.cli import main
from weft.compiler.build import elaborate
from weft.runtime.checkpoint import save
from weft.runtime.data.image_files import ImageFiles
from weft.runtime.native_engine import NativeEngine
from weft.spec.load import load

MASKS = """
net n {{
  in image: f32[B, 3, H, W]
  image -> conv({channels}, 3) as score
}}
train {{
  steps = 3
  data image, truth = segmentation(images="in", masks="out", size=8, colour=true, batch=5,
    classes={classes}{more})
  step main updates n {{
    optimizer = adam(lr=1e-2)
    score = image -> n
    loss = {loss}
  }}
}}
"""
KINDS = {
    "one class": ({"channels": 1, "classes": 1, "more": "", "loss": "bce(score, truth)"}, (0, 255)),
    "three classes": (
        {
            "channels": 3,
            "classes": 3,
            "more": ", values=[7, 128, 255]",
            "loss": "cross_entropy(score, truth, axis=1)",
        },
        (7, 128, 255),
    ),
}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def answer(*arguments: str, capsys: pytest.CaptureFixture[str]) -> Any:
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def rows_of(*arguments: str, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """The lines of `--json`, one a row."""
    assert main([*arguments, "--json"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def pixels(file: Path) -> np.ndarray:
    with Image.open(file) as image:
        return np.asarray(image)


@pytest.mark.parametrize("kind", KINDS)
def test_masks_are_what_the_report_counts(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    settings, values = KINDS[kind]
    random = np.random.default_rng(0)
    for folder in ("in/left", "out/left"):
        Path(folder).mkdir(parents=True)
    for name in ("a", "b", "left/a", "left/c", "é"):
        Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8)).save(f"in/{name}.png")
        labels = random.integers(0, len(values), (8, 8))
        Image.fromarray(np.array(values, np.uint8)[labels]).save(f"out/{name}.png")
    Path("n.weft").write_text(MASKS.format(**settings))
    assert main(["train", "n.weft", "--quiet"]) == 0
    assert main(["predict", "n.weft", "--input", "in", "-o", "found"]) == 0
    assert sorted(str(p.relative_to("found")) for p in Path("found").rglob("*.png")) == sorted(
        str(p.relative_to("in")) for p in Path("in").rglob("*.png")
    )
    capsys.readouterr()
    report = answer("eval", "n.weft", "--part", "train", "--report", capsys=capsys)["report"]
    counts = np.zeros((len(values), len(values)), int)
    for file in Path("out").rglob("*.png"):
        pair = [pixels(folder / file.relative_to("out")) for folder in (Path("out"), Path("found"))]
        truth, found = (np.searchsorted(values, each) for each in pair)
        np.testing.assert_array_equal(np.array(values)[found], pair[1])
        np.add.at(counts, (truth, found), 1)
    assert report["confusion"] == counts.tolist()
    union = counts.sum(0) + counts.sum(1) - np.diag(counts)
    assert [row["iou"] for row in report["classes"].values()] == pytest.approx(
        list(np.diag(counts) / union)
    )
    assert report["mean"]["iou"] == pytest.approx((np.diag(counts) / union).mean())
    assert main(["eval", "n.weft", "--part", "train", "--report"]) == 0
    assert "Dice     IoU  pixels" in capsys.readouterr().out
    before = pixels(Path("in/a.png"))
    for source, out in (("in", "in/"), ("in/a.png", "in"), ("in/a.png", "in/a.png")):
        assert main(["predict", "n.weft", "--input", source, "-o", out]) == 2
        assert f"would take the place of the input `{source}`" in capsys.readouterr().err
    np.testing.assert_array_equal(pixels(Path("in/a.png")), before)
    assert main(["predict", "n.weft", "--input", "in/a.png", "-o", "alone.png"]) == 0
    np.testing.assert_array_equal(pixels(Path("alone.png")), pixels(Path("found/a.png")))
    assert main(["predict", "n.weft", "--input", "in", "-o", "all.png"]) == 2
    assert "`all.png` would be one picture, there are 5 inputs" in capsys.readouterr().err
    assert main(["predict", "n.weft", "--input", "in"]) == 2
    assert "-o FOLDER draws masks and images" in capsys.readouterr().err


POOLED = """
net n {
  in image: f32[B, 3, H%2, W%2]
  image -> conv(4, 3, stride=2) -> global_avg_pool -> linear(2) as score
}
net fixed {
  in image: f32[B, 3, 8, 8]
  image -> conv(1, 3) as score
}
net map {
  in image: f32[B, 3, H, W]
  image -> conv(1, 3)
}
"""


def test_images_in_their_own_sizes(capsys: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(0)
    Path("in").mkdir()
    sizes = {"a": (8, 6), "b": (4, 6), "c": (8, 6), "d": (6, 8)}
    for name, size in sizes.items():
        Image.fromarray(random.integers(0, 256, (*size, 3), np.uint8)).save(f"in/{name}.png")
    Path("n.weft").write_text(POOLED)
    parameters = elaborate(load("n.weft")).parameters
    tensors = {p.name: random.normal(size=p.shape).astype("f4") for p in parameters}
    save(Path("w.safetensors"), tensors, {"data": [], "seed": 0})
    call = ("predict", "n.weft", "--checkpoint", "w.safetensors", "--input")
    capsys.readouterr()
    together = rows_of(*call, "in", "--whole", "--net", "n", capsys=capsys)
    assert [row["name"] for row in together] == [f"in/{name}.png" for name in sizes]
    for row, name in zip(together, sizes, strict=True):
        (alone,) = rows_of(*call, f"in/{name}.png", "--whole", "--net", "n", capsys=capsys)
        np.testing.assert_allclose(alone["score"], row["score"], rtol=1e-5)
    maps = rows_of(*call, "in", "--whole", "--net", "map", capsys=capsys)  # rows may differ
    assert [np.shape(row.popitem()[1])[1:] for row in maps] == list(sizes.values())
    assert main([*call, "in", "--whole", "--net", "map", "-o", "maps"]) == 0
    assert {p.stem: pixels(p).shape for p in Path("maps").iterdir()} == sizes
    assert main([*call, "in", "--whole", "--net", "map"]) == 2
    assert "is [1, 8, 6] for `in/a.png` and [1, 4, 6] for `in/b.png`" in capsys.readouterr().err
    assert main([*call, "in", "--whole", "--net", "fixed", "-o", "maps"]) == 2
    assert "`fixed` takes [3, 8, 8], not images of any size" in capsys.readouterr().err
    Image.fromarray(np.zeros((5, 6, 3), np.uint8)).save("in/odd.png")
    assert main([*call, "in", "--whole", "--net", "n"]) == 1
    said = capsys.readouterr().err
    assert "`in/odd.png`: `n` needs H to be divisible by 2" in said
    assert "--pad continues images to sizes that the net takes" in said


UNET = """
net n {
  in image: f32[B, 3, H%4, W%4]
  image -> max_pool(4) -> conv(4, 3) -> relu -> upsample(4) as coarse
  concat(coarse, image, axis=1) -> conv(1, 3) as score
}
net fixed {
  in image: f32[B, 3, 32, 40]
  image -> conv(1, 3) as score
}
"""


def test_odd_sizes_are_padded_and_cut(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(0)
    Path("in").mkdir()
    sizes = {"a": (31, 21), "b": (7, 6), "c": (31, 21), "d": (32, 40), "e": (31, 21), "f": (31, 21)}
    images = {n: random.integers(0, 256, (*size, 3), np.uint8) for n, size in sizes.items()}
    for name, values in images.items():
        Image.fromarray(values).save(f"in/{name}.png")
    Path("n.weft").write_text(UNET)
    parameters = elaborate(load("n.weft")).parameters
    tensors = {p.name: random.normal(size=p.shape).astype("f4") for p in parameters}
    save(Path("w.safetensors"), tensors, {"data": [], "seed": 0})
    call = ("predict", "n.weft", "--checkpoint", "w.safetensors", "--input")
    assert main([*call, "in", "--pad", "--net", "n", "-o", "masks"]) == 0
    assert {p.stem: pixels(p).shape for p in Path("masks").iterdir()} == sizes
    assert main([*call, "in", "--pad", "--net", "fixed", "-o", "masks"]) == 0
    assert {p.stem: pixels(p).shape for p in Path("masks").iterdir()} == sizes
    monkeypatch.setattr("weft.runtime.inputs.ELEMENTS", 3 * 31 * 21 * 2)
    for name, values in images.items():
        assert main([*call, f"in/{name}.png", "--pad", "--net", "n", "-o", f"{name}.npz"]) == 0
        with np.load(f"{name}.npz") as found:
            score = found["score"]
        beyond = [(0, 0), *((0, -side % 4) for side in sizes[name]), (0, 0)]
        rows = np.pad(values[None], beyond, "reflect").transpose(0, 3, 1, 2)
        np.save("padded.npy", rows.astype(np.float32) / 255)
        assert main([*call, "padded.npy", "--net", "n", "-o", "p.npz"]) == 0
        with np.load("p.npz") as found:
            height, width = sizes[name]
            wanted = found["score"][:, :, :height, :width]
        np.testing.assert_allclose(score, wanted, rtol=1e-5, atol=1e-5)
    Image.fromarray(np.zeros((33, 5, 3), np.uint8)).save("in/large.png")
    assert main([*call, "in", "--pad", "--net", "fixed", "-o", "masks"]) == 1
    assert "`in/large.png` is 33 x 5, larger than the 32 x 40" in capsys.readouterr().err
    assert main([*call, "padded.npy", "--pad", "--net", "n"]) == 2
    assert "`padded.npy` holds no images" in capsys.readouterr().err
    Path("in/large.png").unlink()
    tiled = ("--tile", "16", "--overlap", "6", "--net")
    assert main([*call, "in", *tiled, "n", "-o", "tiles"]) == 0
    assert {p.stem: pixels(p).shape for p in Path("tiles").iterdir()} == sizes
    assert main([*call, "in/a.png", "--tile", "32", "--net", "n", "-o", "one.npz"]) == 0
    with np.load("one.npz") as found, np.load("a.npz") as whole:
        np.testing.assert_allclose(found["score"], whole["score"], rtol=1e-5, atol=1e-5)
    capsys.readouterr()
    assert main([*call, "padded.npy", *tiled, "n"]) == 2
    assert main([*call, "in", "--overlap", "3", "--net", "n"]) == 2
    assert main([*call, "in", *tiled, "n", "--activations", "-o", "maps"]) == 2
    said = capsys.readouterr().err
    assert "holds no images" in said and "add --tile N" in said and "feature maps" in said
    options = ("--pad", "--net", "n", "--activations", "coarse", "--rows", "3", "-o", "maps")
    assert main([*call, "in", *options]) == 0
    assert {str(p) for p in Path("maps").rglob("*.png")} == {
        f"maps/{name}/coarse.png" for name in "abc"
    }


def test_folders_are_read_a_piece_at_a_time(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No more images are there at a time than two pieces hold, and nothing else is different."""
    random = np.random.default_rng(0)
    Path("in").mkdir()
    for number in range(11):
        Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8)).save(f"in/{number:02}.png")
    Path("n.weft").write_text(POOLED)
    parameters = elaborate(load("n.weft")).parameters
    tensors = {p.name: random.normal(size=p.shape).astype("f4") for p in parameters}
    save(Path("w.safetensors"), tensors, {"data": [], "seed": 0})
    call = ("predict", "n.weft", "--checkpoint", "w.safetensors", "--net", "fixed", "--input", "in")
    files = ("one.npz", "one.csv", "one")
    for file in files:
        assert main([*call, "-o", file]) == 0
    monkeypatch.setattr("weft.runtime.inputs.ELEMENTS", 3 * 8 * 8 * 2)
    read, answered, most = 0, 0, 0
    whole, forward = ImageFiles.read, NativeEngine.forward

    def reading(files: ImageFiles, row: int) -> Any:
        nonlocal read
        read += 1
        return whole(files, row)

    def answering(engine: NativeEngine, net: str, inputs: Any) -> Any:
        nonlocal answered, most
        assert len(inputs["image"]) <= 2
        most = max(most, read - answered)
        answered += len(inputs["image"])
        return forward(engine, net, inputs)

    monkeypatch.setattr(ImageFiles, "read", reading)
    monkeypatch.setattr(NativeEngine, "forward", answering)
    for file in files:
        assert main([*call, "-o", file.replace("one", "many"), "--target", "cpu"]) == 0
        assert (read, answered) == (11, 11)
        read = answered = 0
    assert most <= 4
    with np.load("one.npz") as one, np.load("many.npz") as many:
        assert many["name"].tolist() == [f"in/{number:02}.png" for number in range(11)]
        np.testing.assert_allclose(many["score"], one["score"], rtol=1e-5)
    rows = [Path(name).read_text().splitlines() for name in ("one.csv", "many.csv")]
    assert len(rows[0]) == len(rows[1]) == 12 and rows[0][0] == rows[1][0]
    for number in range(11):
        one, many = (pixels(Path(f"{name}/{number:02}.png")) for name in ("one", "many"))
        assert np.abs(one.astype(int) - many).max() <= 1
    Path("in/05.png").write_bytes(Path("in/05.png").read_bytes()[:90])
    capsys.readouterr()
    assert main([*call, "-o", "broken.csv"]) == 1
    assert "`in/05.png` is not a readable image" in capsys.readouterr().err
    assert not Path("broken.csv").exists()


def test_without_a_file_a_table_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", "hello"]) == 0
    assert main(["train", "hello/hello.weft", "--epochs", "1", "--quiet"]) == 0
    predict = ("predict", "hello/hello.weft", "--input", "hello/spirals.csv")
    capsys.readouterr()
    assert main([*predict]) == 0
    head, _, *rows, more = capsys.readouterr().out.splitlines()
    assert head.split() == ["logits_0", "logits_1", "logits_2", "class", "probability"]
    assert len(rows) == 20 and more.endswith("more: -o FILE.csv has all")
    found = rows_of(*predict, capsys=capsys)
    logits = np.array([row["logits"] for row in found])
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    probabilities = [row["probability"] for row in found]
    np.testing.assert_allclose(probabilities, shares.max(1), rtol=1e-5)
    assert len(found) == 20 + int(more.split()[1].replace(",", ""))
    assert main([*predict, "-o", "answers.csv", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["rows"] == len(found) and told["output"] == "answers.csv"
    assert main([*predict, "-o", "pictures"]) == 2
    assert "no output is a picture or a mask: `logits` [3]" in capsys.readouterr().err
    assert main([*predict, "-o", "answers.txt"]) == 2
    assert "is not a csv, tsv, npz or png file" in capsys.readouterr().err
    assert main([*predict, "--activations"]) == 2
