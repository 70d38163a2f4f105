"""Each source on good files and on bad ones."""

from __future__ import annotations

import gzip
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from softmax_engine import data_line

from weft.runtime.data import Dataset, load
from weft.runtime.data.image import load_picture
from weft.spec.errors import DataError

FLOWERS = """length, width, colour, species
5.1,3.5,red,setosa
4.9,3.0,blue,setosa
6.3,2.5,red,virginica
5.5,2.3,green,versicolor
"""


def table(
    folder: Path, text: str | bytes, types: list[Any], names: list[str] | None = None, **named: Any
) -> Dataset:
    data = text if isinstance(text, bytes) else text.encode()
    (folder / "t.csv").write_bytes(data)
    chosen = names or ["x", "y"][: len(types)]
    return load(data_line(chosen, types, "csv", "t.csv", **{"batch": 1, **named}), folder)


X2, LABEL, VALUE = ["f32", ["B", 2]], ["i32", ["B"]], ["f32", ["B"]]


# csv and tsv


def test_words_of_the_target_become_classes(tmp_path: Path) -> None:
    data = table(tmp_path, FLOWERS, [X2, LABEL], target="species", features=["length", "width"])
    assert (
        data.train["x"].tolist()
        == np.float32([[5.1, 3.5], [4.9, 3], [6.3, 2.5], [5.5, 2.3]]).tolist()
    )
    assert data.train["y"].tolist() == [0, 0, 2, 1]
    assert data.statistics["facts"]["classes"] == ["setosa", "versicolor", "virginica"]


def test_words_among_the_features_must_be_asked_for(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r't.csv:2: column `colour` holds "red"') as caught:
        table(tmp_path, FLOWERS, [["f32", ["B", 3]], LABEL], target="species")
    assert 'categorical=["colour"]' in str(caught.value)
    types = [["f32", ["B", 5]], LABEL]
    data = table(tmp_path, FLOWERS, types, target="species", categorical=["colour"])
    assert data.train["x"][:, 2:].tolist() == [[0, 0, 1], [1, 0, 0], [0, 0, 1], [0, 1, 0]]


def test_numbers_of_the_target_are_values_or_classes(tmp_path: Path) -> None:
    text = "a,b,y\n1,2,3\n4,5,7\n"
    assert table(tmp_path, text, [X2, VALUE], target="y").train["y"].tolist() == [3, 7]
    assert table(tmp_path, text, [X2, LABEL], target=-1).train["y"].tolist() == [3, 7]
    from_zero = table(tmp_path, text, [X2, LABEL], target="y", categorical=["y"])
    assert from_zero.train["y"].tolist() == [0, 1]
    assert from_zero.statistics["facts"]["classes"] == ["3", "7"]
    pair = table(tmp_path, text, [["f32", ["B", 1]], X2], target=["b", "y"])
    assert pair.train["y"].tolist() == [[2, 3], [5, 7]]
    both = [["f32", ["B", 3]]]
    assert table(tmp_path, text, both).train["x"].tolist() == [[1, 2, 3], [4, 5, 7]]


def test_two_words_may_be_a_number(tmp_path: Path) -> None:
    text = "a,b,y\n1,2,no\n4,5,yes\n"
    assert table(tmp_path, text, [X2, VALUE], target="y").train["y"].tolist() == [0, 1]
    with pytest.raises(DataError, match="3 different words"):
        table(tmp_path, text + "1,1,maybe\n", [X2, VALUE], target="y")


def test_what_spreadsheets_write(tmp_path: Path) -> None:
    text = '\ufeffa,"b, c",y\r\n1,"2",0\r\n\r\n 3 , 4,1\r\n'
    data = table(tmp_path, text, [X2, LABEL], target="y", features=["a", "b, c"])
    assert data.train["x"].tolist() == [[1, 2], [3, 4]]
    semicolons = table(tmp_path, "a;b\n1;2\n", [X2], delimiter=";")
    assert semicolons.train["x"].tolist() == [[1, 2]]
    bare = table(tmp_path, "1,2,0\n3,4,1\n", [X2, LABEL], header=False, target=2)
    assert bare.train["y"].tolist() == [0, 1]
    (tmp_path / "t.tsv").write_text("a\tb\n1\t2\n")
    tabs = load(data_line(["x"], [X2], "tsv", "t.tsv", batch=1), tmp_path)
    assert tabs.train["x"].tolist() == [[1, 2]]


def test_missing_values(tmp_path: Path) -> None:
    text = "a,b,y\n1,2,0\n,4,1\n3,NA,0\n5,6,1\n"
    with pytest.raises(DataError, match=r"t.csv:3: column `a` has no value") as caught:
        table(tmp_path, text, [X2, LABEL], target="y")
    assert "missing=drop" in str(caught.value)
    dropped = table(tmp_path, text, [X2, LABEL], target="y", missing="drop")
    assert dropped.train["x"].tolist() == [[1, 2], [5, 6]]
    filled = table(tmp_path, text, [X2, LABEL], target="y", missing="mean")
    assert filled.train["x"].tolist() == [[1, 2], [3, 4], [3, 4], [5, 6]]
    assert filled.statistics["fields"]["x"]["fill"] == [3, 4]


def test_means_for_missing_values_come_from_the_training_part(tmp_path: Path) -> None:
    rows = "".join(f"{i},{'' if i % 7 == 0 else i}\n" for i in range(60))
    data = table(tmp_path, "a,b\n" + rows, [X2], missing="mean", split=0.5)
    kept = data.train["x"][data.train["x"][:, 0] % 7 != 0, 1]
    gap = data.test["x"][data.test["x"][:, 0] % 7 == 0, 1]
    assert gap == pytest.approx(np.full(len(gap), kept.mean()), rel=1e-6)


def test_a_test_file_knows_the_words_of_the_training_file(tmp_path: Path) -> None:
    (tmp_path / "held.csv").write_text("a,b,y\n1,2,dog\n")
    text = "a,b,y\n1,2,cat\n3,4,dog\n"
    data = table(tmp_path, text, [X2, LABEL], target="y", test="held.csv")
    assert data.test["y"].tolist() == [1]
    (tmp_path / "held.csv").write_text("a,b,y\n1,2,dgo\n")
    with pytest.raises(DataError, match=r'held.csv:2: column `y` holds "dgo"') as caught:
        table(tmp_path, text, [X2, LABEL], target="y", test="held.csv")
    assert "did you mean `dog`?" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "named", "message"),
    [
        ("", {}, "`t.csv` is empty"),
        ("\n\n", {}, "holds no rows"),
        ("a,b\n", {}, "a line of column names and no rows"),
        ("a,b\n1,2\n3\n", {}, "t.csv:3: 1 cells where 2 columns are named"),
        ("a,b\n1,2,3\n", {}, "t.csv:2: 3 cells"),
        ("a,a\n1,2\n", {}, "two columns `a`"),
        ("1,2\n3,4\n", {}, "header=false"),
        ("a,b\n1,x\n", {}, 'column `b` holds "x"'),
        ("a,b\n1,inf\n", {}, "holds inf at t.csv:2"),
        (b"a,b\n1,\xff\xfe\n", {}, "not UTF-8"),
        ('a,b\n1,"2\n', {}, "t.csv:2: unexpected end of data"),
        ("a,b\n1,2\n", {"target": "B"}, "did you mean `b`?"),
        ("a,b\n1,2\n", {"target": 2}, "no column 2: the table has 2"),
        ("a,b\n1,2\n", {"target": "b", "features": ["b"]}, "both a feature and the target"),
        ("a\n1\n", {"target": "a"}, "no column left"),
        ("a,b\n,2\n", {"missing": "drop"}, "every row of `t.csv` lacks a value"),
    ],
)
def test_bad_tables(tmp_path: Path, text: str | bytes, named: dict[str, Any], message: str) -> None:
    types = [X2, VALUE] if "target" in named else [X2]
    with pytest.raises(DataError) as caught:
        table(tmp_path, text, types, **named)
    assert message in str(caught.value)
    assert str(caught.value).startswith("net.weft:3:3: ")


def test_a_label_out_of_range_is_found_in_its_line(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,y\n1,0\n\n2,1\n3,5\n")
    line = data_line(["x", "y"], [["f32", ["B", 1]], LABEL], "csv", "t.csv", target="y", batch=1)
    with pytest.raises(DataError, match=r"the label 5 at t.csv:5, outside 0 … 2"):
        load({**line, "ranges": {"y": [0, 3]}}, tmp_path)


def test_one_name_too_many_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="gives 1 field, the line binds 2") as caught:
        table(tmp_path, "a,b\n1,2\n", [X2, VALUE])
    assert "target=" in str(caught.value)


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


# function


def surface(text: str, target: list[Any], **named: Any) -> Dataset:
    named = {"x": [-2, 2], "y": [-1, 3], "batch": "full", **named}
    return load(data_line(["p", "t"], [X2, target], "function", text, **named), Path())


COLUMN = ["f32", ["B", 1]]


def test_rosenbrock_on_a_grid() -> None:
    data = surface("z = 100*(y - x**2)**2 + (1 - x)**2", COLUMN, grid=[5, 9])
    x, y = data.train["p"].T.astype(np.float64)
    assert len(x) == 45
    assert sorted(set(x)) == [-2, -1, 0, 1, 2]
    np.testing.assert_allclose(
        data.train["t"][:, 0], 100 * (y - x**2) ** 2 + (1 - x) ** 2, rtol=1e-6
    )
    assert data.train["t"][(x == 1) & (y == 1)] == 0


def test_random_points_are_the_same_every_time() -> None:
    first = surface("z = x*y", COLUMN, samples=1000, noise=0.1)
    again = surface("z = x*y", COLUMN, samples=1000, noise=0.1)
    np.testing.assert_array_equal(first.train["t"], again.train["t"])
    noise = first.train["t"][:, 0] - first.train["p"].prod(axis=1)
    assert noise.std() == pytest.approx(0.1, rel=0.1)
    other = surface("z = x*y", COLUMN, samples=1000, seed=1)
    assert not np.array_equal(first.train["p"], other.train["p"])
    assert first.train["p"].min(axis=0) == pytest.approx([-2, -1], abs=0.02)
    assert first.train["p"].max(axis=0) == pytest.approx([2, 3], abs=0.02)


def test_a_comparison_is_a_class() -> None:
    data = surface("inside = x**2 + y**2 < 1 and not x > 0", LABEL, grid=17)
    x, y = data.train["p"].T
    np.testing.assert_array_equal(data.train["t"], (x**2 + y**2 < 1) & (x <= 0))
    as_number = surface("inside = x**2 + y**2 < 1", COLUMN, grid=21)
    assert set(as_number.train["t"].ravel()) == {0, 1}
    three = surface("c = (x > 0) + 2*(y > 1)", LABEL, grid=4)
    assert set(three.train["t"]) == {0, 1, 2, 3}


def test_several_equations_are_several_columns() -> None:
    data = surface("u = x + y; v = max(x, y) - min(x, y)", X2, grid=3)
    x, y = data.train["p"].T
    np.testing.assert_allclose(data.train["t"], np.stack([x + y, abs(x - y)], axis=1))


def test_every_function_of_formulas_computes() -> None:
    from weft.runtime.data.function import OPERATORS, evaluate
    from weft.spec.formula import FUNCTIONS

    columns = {"x": np.array([0.25, 0.5])}
    for name, count in FUNCTIONS.items():
        assert name in OPERATORS
        assert np.isfinite(evaluate((name, *["x"] * count), columns)).all(), name
    assert evaluate(("//", 7.0, 2.0), columns) == 3
    assert evaluate(("%", 7.0, 4.0), columns) == 3
    assert evaluate(("-", 7.0), columns) == -7
    assert evaluate(("where", ("<", "x", 0.3), 1.0, 2.0), columns).tolist() == [1, 2]


def test_a_formula_that_is_not_finite_somewhere() -> None:
    with pytest.raises(DataError, match=r"`z` is not finite at x = -2, y = -1 \(20 of 25 points\)"):
        surface("z = log(y)*x", COLUMN, grid=5, y=[-1, 0.25])
    assert surface("z = 3 + 0*x*y", COLUMN, grid=3).train["t"].tolist() == [[3]] * 9


# image


GREY = np.array([[0, 64, 128], [255, 200, 10]], np.uint8)


def test_a_grey_image_is_a_surface(tmp_path: Path) -> None:
    (tmp_path / "a.pgm").write_bytes(b"P5 # a comment\n3 2\n255\n" + GREY.tobytes())
    line = data_line(["p", "i"], [X2, COLUMN], "image", "a.pgm", batch="full")
    data = load(line, tmp_path)
    np.testing.assert_allclose(data.train["i"][:, 0], GREY.ravel() / 255, rtol=1e-6)
    assert data.train["p"].tolist() == [[-1, -1], [0, -1], [1, -1], [-1, 1], [0, 1], [1, 1]]


def test_all_formats_agree(tmp_path: Path) -> None:
    from PIL import Image

    text = b"P2\n3 2 255\n# c\n0 64 128\n255 200 10"
    wide = b"P5\n3 2\n65535\n" + (GREY.astype(">u2") * 257).tobytes()
    colour = b"P6 3 2 255\n" + np.repeat(GREY, 3).tobytes()
    for name, data in (("t.pgm", text), ("w.pgm", wide), ("c.ppm", colour)):
        (tmp_path / name).write_bytes(data)
    Image.fromarray(GREY).save(tmp_path / "p.png")
    Image.fromarray(GREY.astype(np.uint16) * 257).save(tmp_path / "w.png")
    for path in tmp_path.iterdir():
        np.testing.assert_allclose(load_picture(path, path.name), GREY / 255, atol=1e-9)


def test_scaling_keeps_the_mean(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (120, 90)).astype(np.uint8)
    (tmp_path / "a.pgm").write_bytes(b"P5\n90 120\n255\n" + picture.tobytes())
    line = data_line(["p", "i"], [X2, COLUMN], "image", "a.pgm", size=[51, 37], batch="full")
    data = load(line, tmp_path)
    assert data.train["i"].shape == (51 * 37, 1)
    assert data.train["i"].mean() == pytest.approx(picture.mean() / 255, abs=1e-6)
    assert data.train["i"].std() < picture.std() / 255 / 1.5


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.pgm", b"P5\n3 2\n255\n12345", "should hold 6 values and holds 5"),
        ("a.pgm", b"P5\n3 x\n255\n", "header of `a.pgm` is not"),
        ("a.pgm", b"P5\n0 2\n255\n", "asks for 0x2"),
        ("a.pgm", b"P2\n2 1\n255\n1 cat", "not a grey value"),
        ("a.pgm", b"P2\n2 1\n9\n1 10", "above its white, 9"),
        ("a.png", b"\x89PNG\r\n\x1a\nxxxx", "not a readable image"),
        ("a.png", b"hello", "not a readable image"),
    ],
)
def test_bad_images(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        load(data_line(["p", "i"], [X2, COLUMN], "image", name, batch=1), tmp_path)
    assert message in str(caught.value)


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
