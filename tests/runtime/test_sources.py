"""Arrays and MNIST's files; paths that lead nowhere, and damaged files of each source."""

from __future__ import annotations

import gzip
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_files import FLOWERS, GREY, LABEL, VALUE, X2
from softmax_engine import data_line

from weft.runtime.data import load
from weft.spec.errors import DataError

# paths


def test_missing_files_and_paths_that_leave_the_folder(tmp_path: Path) -> None:
    spec = tmp_path / "spec"
    (spec / "data").mkdir(parents=True)
    (tmp_path / "secret.csv").write_text("a\n1\n")
    (spec / "wdbc.csv").write_text("a\n1\n")

    def read(path: str) -> str:
        with pytest.raises(DataError) as caught:
            load(data_line(["x"], [VALUE], "csv", path, batch=1), spec)
        return str(caught.value)

    assert "there is no file `wbdc.csv`" in read("wbdc.csv")
    assert "did you mean `wdbc.csv`?" in read("wbdc.csv")
    assert "that folder holds wdbc.csv" in read("other.csv")
    assert "that folder is empty" in read("data/a.csv")
    assert "there is no folder `dat`" in read("dat/a.csv")
    assert "is a folder" in read("data")
    assert "Not a directory" in read("wdbc.csv/a.csv")
    assert "File name too long" in read("a" * 300)
    (spec / "loop.csv").symlink_to(spec / "loop.csv")
    assert "cannot be read" in read("loop.csv")
    for path in ("../secret.csv", "data/../../secret.csv", str(tmp_path / "secret.csv"), "a\0b"):
        assert "outside the folder of the spec" in read(path)
    (spec / "link.csv").symlink_to(tmp_path / "secret.csv")
    assert load(data_line(["x"], [VALUE], "csv", "link.csv", batch=1), spec).train["x"].size == 1


# npz and npy


def test_npz_and_npy(tmp_path: Path) -> None:
    x, y = np.arange(8.0).reshape(4, 2), np.arange(4)
    np.savez_compressed(tmp_path / "d.npz", points=x, y=y)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    named = data_line(["x", "y"], [X2, LABEL], "npz", "d.npz", fields=["points", "y"], batch=2)
    single = data_line(["x", "y"], [X2, LABEL], "npy", ["x.npy", "y.npy"], batch=2)
    for line in (named, single):
        data = load(line, tmp_path)
        np.testing.assert_array_equal(data.train["x"], x)
        np.testing.assert_array_equal(data.train["y"], y)
    alone = load(data_line(["x"], [X2], "npy", "x.npy", test="x.npy", batch=2), tmp_path)
    np.testing.assert_array_equal(alone.test["x"], x)
    with pytest.raises(DataError, match="no array `x`; it holds points, y"):
        load(data_line(["x"], [X2], "npz", "d.npz", batch=2), tmp_path)
    with pytest.raises(DataError, match="read it with npz"):
        load(data_line(["x"], [X2], "npy", "d.npz", batch=2), tmp_path)
    with pytest.raises(DataError, match="read it with npy"):
        load(data_line(["x"], [X2], "npz", "x.npy", batch=2), tmp_path)


class Bomb:
    """What a pickle could do; it must never be built."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("a pickle was loaded",))


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_bytes(pickle.dumps(Bomb()))
    np.savez(tmp_path / "d.npz", x=np.array([Bomb()], object))
    for line in (
        data_line(["x"], [VALUE], "npy", "x.npy", batch=1),
        data_line(["x"], [VALUE], "npz", "d.npz", batch=1),
    ):
        with pytest.raises(DataError, match="Python objects"):
            load(line, tmp_path)


# idx


def idx_bytes(array: np.ndarray) -> bytes:
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return head + array.astype(np.uint8).tobytes()


IMAGES = np.arange(5 * 28 * 28).reshape(5, 28, 28) % 256
LABELS = np.array([3, 1, 4, 1, 5])


def write_mnist(folder: Path, packed: bool) -> None:
    folder.mkdir(exist_ok=True)
    for part in ("train", "t10k"):
        for name, array in (("images-idx3", IMAGES), ("labels-idx1", LABELS)):
            data = idx_bytes(array)
            path = folder / f"{part}-{name}-ubyte{'.gz' if packed else ''}"
            path.write_bytes(gzip.compress(data) if packed else data)


@pytest.mark.parametrize("packed", [False, True])
def test_mnist(tmp_path: Path, packed: bool) -> None:
    write_mnist(tmp_path / "mnist", packed)
    types = [["f32", ["B", 1, 32, 32]], LABEL]
    line = data_line(["x", "y"], types, "mnist", size=32, range=[-1, 1], batch=2)
    data = load(line, tmp_path)
    wanted = IMAGES / 255 * 2 - 1
    np.testing.assert_allclose(data.train["x"][:, 0, 2:30, 2:30], wanted, atol=1e-6)
    assert (data.train["x"][:, 0, :2] == -1).all()
    assert data.test["y"].tolist() == LABELS.tolist()
    flat = data_line(["x"], [["f32", ["B", 784]]], "mnist", flat=True, split=0.6, batch=2)
    assert len(load(flat, tmp_path).train["x"]) == 3


def test_idx_files_by_name(tmp_path: Path) -> None:
    (tmp_path / "i").write_bytes(idx_bytes(IMAGES[:, :20, :30]))
    (tmp_path / "l.gz").write_bytes(gzip.compress(idx_bytes(LABELS)))
    types = [["f32", ["B", 560]], LABEL]
    data = load(data_line(["x", "y"], types, "idx", "i", "l.gz", flat=True, batch=1), tmp_path)
    assert data.train["x"].shape == (5, 560)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (idx_bytes(IMAGES)[:-1], idx_bytes(LABELS), "should hold 3,920 bytes after its header"),
        (idx_bytes(IMAGES) + b"x", idx_bytes(LABELS), "and holds more"),
        (b"\x89PNG\r\n\x1a\n", idx_bytes(LABELS), "is not an idx file"),
        (idx_bytes(IMAGES)[:9], idx_bytes(LABELS), "ends in its header"),
        (idx_bytes(IMAGES), idx_bytes(LABELS[:4]), "5 images, `l` 4 labels"),
        (idx_bytes(LABELS), idx_bytes(LABELS), "holds 1 axes, images have 3"),
        (gzip.compress(idx_bytes(IMAGES))[:-20], idx_bytes(LABELS), "cannot be read"),
        (b"\0\0\x08\x03" + b"\xff" * 12, idx_bytes(LABELS), "announces"),
    ],
)
def test_bad_idx_files(tmp_path: Path, images: bytes, labels: bytes, message: str) -> None:
    (tmp_path / "i").write_bytes(images)
    (tmp_path / "l").write_bytes(labels)
    line = data_line(["x", "y"], [["f32", ["B", 784]], LABEL], "idx", "i", "l", flat=True, batch=1)
    with pytest.raises(DataError) as caught:
        load(line, tmp_path)
    assert message in str(caught.value)


def test_mnist_that_is_not_there(tmp_path: Path) -> None:
    line = data_line(["x"], [["f32", ["B", 784]]], "mnist", flat=True)
    with pytest.raises(DataError, match=r"no `train-images-idx3-ubyte` or .*\.gz` in `mnist`"):
        load(line, tmp_path)


# every source


def test_flipped_and_cut_files_give_data_errors_only(tmp_path: Path) -> None:
    """Anything may come out of a damaged file but another kind of exception."""
    np.savez(tmp_path / "d.npz", x=np.ones((6, 2)))
    np.save(tmp_path / "x.npy", np.ones((6, 2)))
    write_mnist(tmp_path / "mnist", packed=True)
    (tmp_path / "i.gz").write_bytes((tmp_path / "mnist/train-images-idx3-ubyte.gz").read_bytes())
    (tmp_path / "t.csv").write_text(FLOWERS)
    (tmp_path / "a.pgm").write_bytes(b"P5\n3 2\n255\n" + GREY.tobytes())
    lines = {
        "d.npz": data_line(["x"], [X2], "npz", "d.npz", batch=1),
        "x.npy": data_line(["x"], [X2], "npy", "x.npy", batch=1),
        "i.gz": data_line(["x"], [["f32", ["B", 784]]], "idx", "i.gz", flat=True, batch=1),
        "t.csv": data_line(["x"], [["f32", ["B", "N"]]], "csv", "t.csv", batch=1),
        "a.pgm": data_line(["p"], [X2], "image", "a.pgm", batch=1),
    }
    random = np.random.default_rng(0)
    for name, line in lines.items():
        whole = (tmp_path / name).read_bytes()
        for _ in range(60):
            damaged = bytearray(whole[: int(random.integers(1, len(whole) + 1))])
            for position in random.integers(0, len(damaged), int(random.integers(0, 4))):
                damaged[position] = int(random.integers(0, 256))
            (tmp_path / name).write_bytes(damaged)
            try:
                load(line, tmp_path)
            except DataError as error:
                assert len(str(error)) < 1000


def test_pictures_with_their_channels_last_are_told_to_turn(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((4, 16, 12, 3), np.uint8))
    for dims in (["B", 3, 16, 12], ["B", 3, "H", "W"]):
        line = data_line(["x"], [["f32", dims]], "npy", "x.npy", batch=2)
        with pytest.raises(DataError) as caught:
            load(line, tmp_path)
        assert caught.value.hint == "channels come first here: save it as x.transpose(0, 3, 1, 2)"
