"""Sources of pictures on good files and on bad ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from softmax_engine import data_line

from weft.runtime.data import Dataset, load
from weft.runtime.data.curves import crowd, curves
from weft.runtime.data.decode import picture
from weft.runtime.initialise import generator
from weft.spec.errors import DataError
from weft.spec.signature import bind
from weft.spec.sources import SOURCES

Image = pytest.importorskip("PIL.Image")

LABEL = ["i32", ["B"]]


def image_type(channels: int | str = 3, height: int = 8, width: int | None = None) -> list[Any]:
    return ["f32", ["B", channels, height, width or height]]


def noise(seed: int, height: int = 8, width: int = 8, channels: int = 3) -> np.ndarray:
    values = np.random.default_rng(seed).integers(0, 256, (height, width, channels))
    return values.astype(np.uint8)[..., 0] if channels == 1 else values.astype(np.uint8)


def save(path: Path, values: np.ndarray, **more: Any) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path, **more)
    return values


def write_classes(folder: Path, counts: dict[str, int]) -> dict[str, np.ndarray]:
    """Folders of 8x8 PNG images, a class each."""
    found = {}
    for word, count in counts.items():
        for index in range(count):
            name = f"{word}/{index:03}.png"
            found[name] = save(folder / name, noise(len(found)))
    return found


def images(folder: Path, name: str = "set", **named: Any) -> Dataset:
    types = named.pop("types", [image_type(), LABEL])
    fields = ["x", "y"][: len(types)]
    return load(data_line(fields, types, "images", name, **{"batch": 1, **named}), folder)


def message(call: Any, *arguments: Any, **named: Any) -> str:
    with pytest.raises(DataError) as caught:
        call(*arguments, **named)
    text = str(caught.value)
    assert text.startswith("net.weft:3:3: ")
    return text


# ---- images --------------------------------------------------------------------------------------


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


# ---- segmentation --------------------------------------------------------------------------------


def pairs(folder: Path, masks: list[np.ndarray], suffix: str = "", kind: str = "png") -> None:
    for index, mask in enumerate(masks):
        save(folder / "in" / f"{index}.png", noise(index, *mask.shape[:2]))
        save(folder / "out" / f"{index}{suffix}.{kind}", mask)


def segmentation(folder: Path, mask: list[Any], **named: Any) -> Dataset:
    types = [image_type(3, named.pop("side", 8)), mask]
    line = data_line(["x", "m"], types, "segmentation", "in", "out", **{"batch": 1, **named})
    return load(line, folder)


BINARY = ["f32", ["B", 1, 8, 8]]
CLASSES = ["i32", ["B", 8, 8]]


def halves(value: int) -> np.ndarray:
    mask = np.zeros((8, 8), np.uint8)
    mask[:, 4:] = value
    return mask


@pytest.mark.parametrize("cache", [64, 0], ids=["in memory", "from files"])
def test_masks_of_two_values_and_of_classes(tmp_path: Path, cache: int) -> None:
    pairs(tmp_path, [halves(255), halves(1), halves(0)], "_mask")
    data = segmentation(tmp_path, BINARY, suffix="_mask", cache=cache)
    assert data.train["m"][:].mean(axis=(1, 2, 3)).tolist() == [0.5, 0.5, 0]
    grades = np.arange(64).reshape(8, 8).astype(np.uint8) % 3
    save(tmp_path / "out" / "0_mask.png", grades)
    for index in (1, 2):
        save(tmp_path / "out" / f"{index}_mask.png", halves(2))
    classes = segmentation(tmp_path, CLASSES, suffix="_mask", classes=3, cache=cache)
    np.testing.assert_array_equal(classes.train["m"][0], grades)
    coded = segmentation(tmp_path, CLASSES, suffix="_mask", classes=2, values=[0, 2], ignore=1)
    assert set(np.unique(coded.train["m"][0])) == {0, 1, -100}


def test_an_unknown_label_is_named_with_its_pixel(tmp_path: Path) -> None:
    bad = halves(255)
    bad[2, 5] = 128
    pairs(tmp_path, [halves(255), bad])
    text = message(segmentation, tmp_path, BINARY)
    assert "the mask `out/1.png` holds 128 at row 2, column 5, which is no class" in text
    assert "0, and 1 or 255; 1 such pixels" in text
    text = message(segmentation, tmp_path, CLASSES, classes=4)
    assert "`out/0.png` holds 255 at row 0, column 4" in text
    assert "values=[…]" in text
    data = segmentation(tmp_path, CLASSES, classes=4, cache=0, workers=0, shuffle=False)
    with pytest.raises(DataError, match=r"net.weft:3:3: the mask `out/0.png` holds 255"):
        data.batches(0).at(0, 0)


def test_masks_that_do_not_belong_to_their_images(tmp_path: Path) -> None:
    pairs(tmp_path, [halves(255)] * 2)
    save(tmp_path / "out" / "1.png", np.zeros((8, 9), np.uint8))
    text = message(segmentation, tmp_path, BINARY)
    assert "`in/1.png` is 8x8 (height x width), its mask `out/1.png` 8x9" in text
    save(tmp_path / "out" / "1.png", noise(0))
    assert "mode RGB; a mask holds one number a pixel" in message(segmentation, tmp_path, BINARY)
    (tmp_path / "out" / "1.png").unlink()
    text = message(segmentation, tmp_path, BINARY)
    assert "no mask for `in/1.png`: `in` holds 2 images, `out` 1 mask" in text
    (tmp_path / "in" / "1.png").unlink()
    save(tmp_path / "out" / "7.png", halves(1))
    assert "no image for the mask `out/7.png`" in message(segmentation, tmp_path, BINARY)


def test_jpeg_masks_are_explained(tmp_path: Path) -> None:
    steep = halves(255)
    steep[3, 1] = 90
    pairs(tmp_path, [steep], kind="jpg")
    assert "JPEG changes the values of pixels" in message(segmentation, tmp_path, BINARY)


def test_more_classes_than_outputs(tmp_path: Path) -> None:
    pairs(tmp_path, [halves(2)])
    line = data_line(["x", "m"], [image_type(), CLASSES], "segmentation", "in", "out", batch=1,
                     classes=3, cache=0)  # fmt: skip
    with pytest.raises(DataError, match="`m` has 3 classes, the network 2 outputs"):
        load({**line, "ranges": {"m": [0, 2, -100]}}, tmp_path)
    in_memory = {**line, "settings": {**line["settings"], "cache": 64}}
    with pytest.raises(DataError, match=r"holds the label 2 at in/0\.png, outside 0 … 1"):
        load({**in_memory, "ranges": {"m": [0, 2, -100]}}, tmp_path)


# ---- CIFAR ---------------------------------------------------------------------------------------


def write_cifar(folder: Path, head: int, labels: int, each: int = 4) -> np.ndarray:
    folder.mkdir()
    random = np.random.default_rng(0)
    names = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
    if head == 2:
        names = ["train.bin", "test.bin"]
    rows = random.integers(0, 256, (len(names), each, head + 3072)).astype(np.uint8)
    rows[..., :head] %= labels
    for name, data in zip(names, rows, strict=True):
        data.tofile(folder / name)
    return rows


def test_cifar10(tmp_path: Path) -> None:
    rows = write_cifar(tmp_path / "cifar-10-batches-bin", 1, 10)
    words = [f"word{i}" for i in range(10)]
    (tmp_path / "cifar-10-batches-bin" / "batches.meta.txt").write_text("\n".join(words) + "\n\n")
    types = [image_type(3, 32), LABEL]
    data = load(data_line(["x", "y"], types, "cifar10", batch=2), tmp_path)
    assert data.train["y"].tolist() == rows[:5, :, 0].ravel().tolist()
    wanted = rows[:5, :, 1:].reshape(20, 3, 32, 32) / np.float32(255)
    np.testing.assert_allclose(data.train["x"][:], wanted, rtol=1e-6)
    assert len(data.test["x"]) == 4
    assert data.statistics["facts"]["classes"] == words
    split = load(data_line(["x", "y"], types, "cifar10", batch=2, split=0.5), tmp_path)
    assert len(split.test["x"]) == 10


def test_cifar100_has_labels_of_two_kinds(tmp_path: Path) -> None:
    rows = write_cifar(tmp_path / "c", 2, 20)
    types = [image_type(3, 32), LABEL]
    for place, labels in enumerate(("coarse", "fine")):
        line = data_line(["x", "y"], types, "cifar100", "c", labels=labels, batch=1)
        assert load(line, tmp_path).train["y"].tolist() == rows[0, :, place].tolist()


def test_bad_cifar_files(tmp_path: Path) -> None:
    line = data_line(["x", "y"], [image_type(3, 32), LABEL], "cifar10", "c", batch=1)
    assert "there is no folder `c`" in message(load, line, tmp_path)
    write_cifar(tmp_path / "c", 1, 10)
    second = tmp_path / "c" / "data_batch_2.bin"
    second.write_bytes(second.read_bytes()[:-1])
    text = message(load, line, tmp_path)
    assert "`c/data_batch_2.bin` holds 12,291 bytes, no whole number of images of 3,073" in text
    second.write_bytes(bytes([200]) + bytes(3072))
    assert "image 0 of `c/data_batch_2.bin` has the label 200" in message(load, line, tmp_path)
    second.unlink()
    assert "no `data_batch_2.bin` in `c`" in message(load, line, tmp_path)


# ---- generated -----------------------------------------------------------------------------------


def settings_of(source: str, **named: Any) -> dict[str, Any]:
    return bind(SOURCES[source].signature, [], named)[0]


def test_curves_are_exact_and_follow_their_number() -> None:
    settings = settings_of("curves", noise=0, strength=[0.4, 0.41], curves=[1, 1])
    picture, mask = curves(generator(0, "curves", 3), 64, settings)
    assert (picture.dtype, mask.dtype, set(np.unique(mask))) == (np.uint8, np.uint8, {0, 1})
    inside, outside = picture[mask == 1].astype(float), picture[mask == 0].astype(float)
    assert abs(inside.mean() - outside.mean()) > 50
    again, _ = curves(generator(0, "curves", 3), 64, settings)
    np.testing.assert_array_equal(again, picture)
    types = [image_type(1, 64), ["f32", ["B", 1, 64, 64]]]

    def generated(**named: Any) -> Dataset:
        return load(data_line(["x", "m"], types, "curves", split=1, **named), Path())

    few, many = generated(samples=70), generated(samples=90)
    np.testing.assert_array_equal(many.train["x"][:70], few.train["x"][:])
    share = many.train["m"][:].mean()
    assert 0.05 < share < 0.35
    assert not np.array_equal(generated(samples=70, seed=1).train["x"][:], few.train["x"][:])


def test_the_width_of_curves_is_that_of_the_setting() -> None:
    areas = []
    for width in (2.0, 6.0):
        settings = settings_of("curves", curves=[1, 1], width=[width, width + 1e-9])
        masks = [curves(generator(0, "c", i), 64, settings)[1].sum() for i in range(20)]
        areas.append(np.mean(masks))
    assert areas[1] / areas[0] == pytest.approx(3, rel=0.25)


def test_the_density_of_a_crowd_adds_up_to_its_people() -> None:
    settings = settings_of("crowds", people=[7, 7])
    picture, density = crowd(generator(0, "crowds", 0), 64, settings)
    assert (picture.shape, density.shape) == ((64, 64), (8, 8))
    assert density.sum() == pytest.approx(7, rel=1e-5)
    assert density.min() >= 0


# ---- digits --------------------------------------------------------------------------------------


def test_digits_can_be_images_of_any_size() -> None:
    pytest.importorskip("sklearn")
    small = load(data_line(["x"], [image_type(1, 8)], "digits", flat=False), Path()).train["x"]
    line = data_line(["x"], [image_type(1, 32)], "digits", flat=False, size=32)
    large = load(line, Path()).train["x"]
    assert large.shape == (1438, 1, 32, 32)
    for row in range(5):
        theirs = Image.fromarray(small[row, 0]).resize((32, 32), Image.Resampling.BILINEAR)
        np.testing.assert_allclose(large[row, 0], np.asarray(theirs), atol=1e-6)
    flat = load(data_line(["x"], [["f32", ["B", 1024]]], "digits", size=32), Path()).train["x"]
    np.testing.assert_array_equal(flat, large.reshape(-1, 1024))


def test_given_moments(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    plain = load(data_line(["x"], [image_type(1, 8)], "digits", flat=False), Path())
    line = data_line(["x"], [image_type(1, 8)], "digits", flat=False, mean=0.25, std=[0.5])
    data = load(line, Path())
    np.testing.assert_allclose(data.train["x"], (plain.train["x"] - 0.25) / 0.5, rtol=1e-6)
    assert data.statistics["fields"]["x"] == {"kind": "given", "shift": 0.25, "scale": [0.5]}
    write_classes(tmp_path / "set", {"a": 4})
    plain = images(tmp_path).train["x"][:]
    shift, scale = np.reshape([0.1, 0.2, 0.3], (3, 1, 1)), np.reshape([0.5, 0.6, 0.7], (3, 1, 1))
    for cache in (64, 0):
        data = images(tmp_path, cache=cache, mean=[0.1, 0.2, 0.3], std=[0.5, 0.6, 0.7])
        np.testing.assert_allclose(
            data.train["x"][:], (plain - shift) / scale, rtol=1e-5, atol=1e-6
        )
        data = images(tmp_path, cache=cache, normalise="standard")
        assert abs(data.train["x"][:].mean(axis=(0, 2, 3))).max() < 1e-5
        assert data.train["x"][:].std(axis=(0, 2, 3)) == pytest.approx(np.ones(3), rel=1e-5)
        again = images(tmp_path, cache=cache, normalise="minmax")
        assert (again.train["x"][:].min(), again.train["x"][:].max()) == (0, 1)
    text = message(images, tmp_path, mean=[0.1, 0.2], std=1)
    assert "`mean` has 2 numbers, the pictures 3 channels" in text
