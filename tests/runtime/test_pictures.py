"""Folders of pictures, with classes and without: good files and bad ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn import LABEL, Image, image_type, images, message, noise, save, write_classes
from softmax_engine import data_line

from weft.runtime.data import load
from weft.runtime.data.decode import picture
from weft.spec.errors import DataError


@pytest.mark.parametrize("cache", [64, 0], ids=["in memory", "from files"])
def test_a_folder_of_classes(tmp_path: Path, cache: int) -> None:
    written = write_classes(tmp_path / "set", {"dog": 2, "cat": 3})
    (tmp_path / "set" / "cat" / ".hidden.png").write_bytes(b"")
    (tmp_path / "set" / "cat" / "notes.txt").write_text("not an image")
    data = images(tmp_path, cache=cache)
    assert data.statistics["facts"]["classes"] == ["cat", "dog"]
    assert data.train["y"].tolist() == [0, 0, 0, 1, 1]
    wanted = [written[name].transpose(2, 0, 1) / np.float32(255) for name in sorted(written)]
    np.testing.assert_allclose(data.train["x"][:], wanted, rtol=1e-6)
    batches = data.batches(0)
    assert batches.at(0, 0)["x"].dtype == np.float32
    assert batches.at(0, 0)["x"].ctypes.data % 64 == 0
    data.close()


def test_own_parts_and_a_split_that_keeps_the_mix(tmp_path: Path) -> None:
    write_classes(tmp_path / "set" / "train", {"a": 10, "b": 20})
    write_classes(tmp_path / "set" / "val", {"a": 1, "b": 2})
    write_classes(tmp_path / "set" / "test", {"a": 3})
    assert images(tmp_path).test["y"].tolist() == [0, 0, 0]
    write_classes(tmp_path / "set" / "test", {"b": 3})
    data = images(tmp_path)
    assert (len(data.train["x"]), data.test["y"].tolist()) == (30, [0, 0, 0, 1, 1, 1])
    assert images(tmp_path, test="val").test["y"].tolist() == [0, 1, 1]
    own = images(tmp_path, split=0.8)
    assert np.bincount(own.test["y"]).tolist() == [2, 4]
    assert np.bincount(images(tmp_path, split=0.8, seed=1).test["y"]).tolist() == [2, 4]
    (tmp_path / "set" / "test" / "c").mkdir()
    assert "`set/test/c` is no class" in message(images, tmp_path)
    assert "no subfolder `tset`" in message(images, tmp_path, test="tset")


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    write_classes(tmp_path / "set", {"train": 2, "bus": 2})
    assert images(tmp_path).statistics["facts"]["classes"] == ["bus", "train"]


def test_images_without_classes(tmp_path: Path) -> None:
    save(tmp_path / "set" / "b.png", noise(1))
    save(tmp_path / "set" / "a.bmp", noise(2))
    data = images(tmp_path, types=[image_type()], split=0.5)
    assert len(data.train["x"]) == 1
    assert "no subfolders, so its images have no classes" in message(images, tmp_path)


def test_classes_of_an_earlier_load_bind_the_next(tmp_path: Path) -> None:
    write_classes(tmp_path / "set", {"a": 2, "c": 2})
    first = images(tmp_path)
    write_classes(tmp_path / "set", {"b": 1})
    line = data_line(["x", "y"], [image_type(), LABEL], "images", "set", batch=1)
    with pytest.raises(DataError, match="`set/b` is no class"):
        load(line, tmp_path, first.statistics)


def test_sizes_are_fitted(tmp_path: Path) -> None:
    wide = np.zeros((20, 40, 3), np.uint8)
    wide[:, 8:32] = 255
    save(tmp_path / "set" / "a" / "wide.png", wide)
    save(tmp_path / "set" / "a" / "small.png", noise(0, 4, 4))
    types = [image_type(3, 10), LABEL]
    centre = images(tmp_path, types=types, size=10)
    assert centre.train["x"][1].min() == 1
    stretched = images(tmp_path, types=types, size=10, fit="stretch")
    assert 0.5 < stretched.train["x"][1].mean() < 0.7
    assert stretched.train["x"][1][0, 0, 0] == 0
    part = images(tmp_path, types=types, size=10, resize=20)
    assert part.train["x"][1].min() == 1
    assert part.train["x"][0].std() < centre.train["x"][0].std()
    shape = [image_type(3, 6, 12), LABEL]
    assert images(tmp_path, types=shape, size=[6, 12]).train["x"].shape == (2, 3, 6, 12)


def test_colours_are_made_alike_when_asked(tmp_path: Path) -> None:
    save(tmp_path / "set" / "a" / "1.png", noise(0))
    save(tmp_path / "set" / "a" / "2.png", noise(0, channels=1))
    deep = noise(0, channels=1).astype(np.uint16) * 257
    save(tmp_path / "set" / "a" / "3.png", deep)
    Image.fromarray(noise(0)).quantize(4).save(tmp_path / "set" / "a" / "4.png")
    Image.fromarray(noise(0, channels=4)).save(tmp_path / "set" / "a" / "5.png")
    text = message(images, tmp_path)
    assert "`set/a/2.png` is grey, the images before it are in colour" in text
    assert "colour=true" in text
    colour = images(tmp_path, colour=True).train["x"]
    grey = images(tmp_path, colour=False, types=[image_type(1), LABEL]).train["x"]
    assert (colour.shape, grey.shape) == ((5, 3, 8, 8), (5, 1, 8, 8))
    np.testing.assert_array_equal(colour[1], np.repeat(grey[1], 3, axis=0))
    np.testing.assert_array_equal(grey[2], grey[1])
    text = message(images, tmp_path, colour=True, types=[image_type(1), LABEL])
    assert "declared [B, 1, 8, 8], the data is [B, 3, 8, 8]" in text
    assert "colour=false makes 1 channel" in text


def jpeg(folder: Path, cut: int | None = None) -> Path:
    path = folder / "set" / "a" / "photo.jpg"
    save(path, noise(0, 64, 64), quality=90)
    if cut:
        path.write_bytes(path.read_bytes()[:cut])
    return path


@pytest.mark.parametrize("cache", [64, 0], ids=["in memory", "from files"])
def test_a_jpeg_that_was_cut_off_is_named(tmp_path: Path, cache: int) -> None:
    jpeg(tmp_path, 900)

    def go() -> None:
        data = images(tmp_path, types=[image_type(3, 64), LABEL], cache=cache, workers=0)
        data.batches(0).at(0, 0)

    text = message(go)
    assert "`set/a/photo.jpg` is not a readable image: image file is truncated" in text
    assert "damaged or was cut off" in text


def test_pictures_in_memory_and_in_files_are_the_same_data(tmp_path: Path) -> None:
    write_classes(tmp_path / "set", {"a": 5, "b": 5})
    found = [images(tmp_path, cache=cache, split=0.6).statistics for cache in (0, 64)]
    assert found[0] == found[1]
    other = images(tmp_path, split=0.6, seed=1).statistics
    assert other["checksum"] != found[0]["checksum"]
    save(tmp_path / "set" / "a" / "000.png", noise(99)[:, :7].repeat(2, 1)[:, :8])
    changed = images(tmp_path, split=0.6).statistics
    assert changed["checksum"] != found[0]["checksum"]


def test_large_jpegs_are_decoded_small(tmp_path: Path) -> None:
    smooth = np.linspace(0, 255, 512)[None, :, None].repeat(512, 0).repeat(3, 2).astype(np.uint8)
    save(tmp_path / "a.jpg", smooth, quality=95)
    save(tmp_path / "a.png", smooth)
    both = [picture(tmp_path / n, n, 3, (32, 32)).astype(float) for n in ("a.jpg", "a.png")]
    assert abs(both[0] - both[1]).mean() < 2


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "not a readable image"), (b"hello", "not a readable image: cannot identify")],
)
def test_a_file_that_is_no_image_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    write_classes(tmp_path / "set", {"a": 1})
    (tmp_path / "set" / "a" / "x.png").write_bytes(content)
    text = message(images, tmp_path)
    assert "`set/a/x.png`" in text
    assert words in text
    assert str(tmp_path) not in text


def test_bad_folders(tmp_path: Path) -> None:
    write_classes(tmp_path / "set", {"a": 1})
    assert "there is no folder `sets`" in message(images, tmp_path, "sets")
    assert "did you mean `set`?" in message(images, tmp_path, "sets")
    assert "is a file, not a folder" in message(images, tmp_path, "set/a/000.png")
    assert "outside the folder of the spec" in message(images, tmp_path, "../set")
    (tmp_path / "set" / "b").mkdir()
    (tmp_path / "set" / "b" / "readme.md").write_text("")
    text = message(images, tmp_path)
    assert "the class folder `set/b` holds no images; it holds readme.md" in text
    (tmp_path / "none").mkdir()
    assert "`none` holds no images" in message(images, tmp_path, "none")
    (tmp_path / "set" / "a" / "gone.png").symlink_to("nowhere.png")
    text = message(images, tmp_path)
    assert "`set/a/gone.png` is a link to nothing" in text and "`nowhere.png`" in text


def test_a_held_out_part_needs_no_image_of_every_class(tmp_path: Path) -> None:
    write_classes(tmp_path / "set" / "train", {"a": 1, "b": 2, "c": 3})
    write_classes(tmp_path / "set" / "val", {"c": 2})
    (tmp_path / "set" / "val" / "a").mkdir()
    data = images(tmp_path)
    assert data.test is not None and data.test["y"].tolist() == [2, 2]
    for place in (tmp_path / "set" / "val" / "c").iterdir():
        place.unlink()
    assert "`set/val` holds no images" in message(images, tmp_path)


@pytest.mark.parametrize("size", [None, [5, 6], 40])
def test_cameras_that_were_turned(tmp_path: Path, size: Any) -> None:
    ops = pytest.importorskip("PIL.ImageOps")
    image = Image.fromarray(noise(0, 20, 30)[..., :3])
    types = [["f32", ["B", 3, "H", "W"]], LABEL]
    for number in range(1, 9):
        note = Image.Exif()
        note[0x0112] = number
        place = tmp_path / str(number) / "a" / "x.png"
        place.parent.mkdir(parents=True)
        image.save(place, exif=note)
        seen = ops.exif_transpose(Image.open(place))
        seen.save(tmp_path / str(number) / "a.png")
        assert seen.size == ((30, 20) if number < 5 else (20, 30))
        named = {"types": types, "colour": True, **({"size": size} if size else {})}
        found = images(tmp_path, str(number), upright=True, **named).train["x"][0]
        place.write_bytes((tmp_path / str(number) / "a.png").read_bytes())
        (tmp_path / str(number) / "a.png").unlink()
        wanted = images(tmp_path, str(number), **named).train["x"][0]
        np.testing.assert_array_equal(found, wanted)


def test_sizes_that_differ_are_named(tmp_path: Path) -> None:
    save(tmp_path / "set" / "a" / "1.png", noise(0))
    save(tmp_path / "set" / "a" / "2.png", noise(0, 8, 9))
    text = message(images, tmp_path)
    assert "`set/a/2.png` is 8x9 (height x width), the images before it are 8x8" in text
    assert "size=… scales" in text


def test_pillow_is_named_when_it_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    write_classes(tmp_path / "set", {"a": 1})
    monkeypatch.setitem(sys.modules, "PIL", None)
    text = message(images, tmp_path)
    assert "`set/a/000.png` needs Pillow, which is not installed" in text
    assert "pip install pillow" in text


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_flipped_and_cut_image_files_give_data_errors_only(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for suffix in ("png", "jpg", "bmp", "gif", "tif", "webp"):
        path = tmp_path / "set" / "a" / f"x.{suffix}"
        save(path, noise(0, 16, 16))
        whole = path.read_bytes()
        for _ in range(25):
            damaged = bytearray(whole[: int(random.integers(1, len(whole) + 1))])
            for position in random.integers(0, len(damaged), int(random.integers(0, 4))):
                damaged[position] = int(random.integers(0, 256))
            path.write_bytes(damaged)
            try:
                images(tmp_path, colour=True, size=8)
            except DataError as error:
                assert "set/a/x." in str(error)
        path.unlink()
