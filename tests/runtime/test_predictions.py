"""What outputs mean: classes and their probability, units of the data, pictures."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from weft.runtime.prediction_files import write
from weft.runtime.prediction_pictures import save_pictures
from weft.runtime.predictions import Answers, Predictions
from weft.runtime.tally import tallied
from weft.spec.errors import DataError, UsageError


def made(
    values: dict[str, np.ndarray],
    second: tuple[str, list[Any]] | None = None,
    compared: tuple[str, str] | None = None,
    known: dict[str, Any] | None = None,
    rows: tuple[str, ...] = (),
    **settings: Any,
) -> Predictions:
    names = ["x", "y"] if second else ["x"]
    types = [["f32", ["B", 1, "H", "W"]], *([list(second)] if second else [])]
    data = {"names": names, "types": types, "source": "", "settings": settings}
    return Predictions(rows, values, data, known or {}, compared)


SCORES = np.array([[2.0], [-1.0], [0.5]], np.float32)


@pytest.mark.parametrize(
    "words, classes", [(None, [1, 0, 1]), (["no", "yes"], ["yes", "no", "yes"])]
)
def test_one_score_tells_two_classes_apart(words: Any, classes: list[Any]) -> None:
    known = {"facts": {"classes": words}} if words else {}
    found = made({"s": SCORES}, ("f32", ["B"]), ("y", "bce"), known).columns()
    assert found["class"].tolist() == classes
    np.testing.assert_allclose(
        found["probability"], 1 / (1 + np.exp([-2.0, -1.0, -0.5])), rtol=1e-6
    )


@pytest.mark.parametrize(
    "array, second, compared, more",
    [
        (SCORES, ("f32", ["B", 1]), ("y", "mse"), []),
        (SCORES, None, None, []),
        (np.eye(3), ("i32", ["B"]), None, ["class"]),
        (np.eye(3), ("i32", ["B"]), ("y", "cross_entropy"), ["class", "probability"]),
        (np.eye(3), ("f32", ["B", 3]), ("y", "bce"), []),
        (np.eye(3), ("i32", ["B"]), ("x", "mse"), []),
    ],
)
def test_classes_where_the_training_compares_them(
    array: np.ndarray, second: Any, compared: Any, more: list[str]
) -> None:
    assert list(made({"s": array}, second, compared).columns()) == ["s", *more]


def test_outputs_come_in_the_units_of_the_field_they_stand_for() -> None:
    numbers = {"fields": {"x": {"shift": [3.0], "scale": [2.0]}}}
    array = np.ones((2, 1, 4, 4), np.float32)
    found = made({"s": array}, None, ("x", "mse"), numbers).columns()
    np.testing.assert_allclose(found["s"], 5.0)


def answered(*pieces: Predictions) -> Answers:
    rows = tuple(row for piece in pieces for row in piece.rows)
    return Answers(rows, sum(map(len, pieces)), iter(pieces))


def drawn(found: Predictions, folder: Path) -> dict[str, np.ndarray]:
    files = save_pictures(folder, answered(found))
    return {str(f.relative_to(folder)): np.asarray(Image.open(f)) for f in files}


def test_images_are_drawn_in_the_range_of_the_data(tmp_path: Path) -> None:
    grey = np.array([-1.0, 0.0, 1.0, 9.0], np.float32).reshape(1, 1, 2, 2)
    colour = np.zeros((1, 3, 2, 2), np.float32)
    values = {"a": grey, "b": colour, "code": np.zeros((1, 7), np.float32)}
    found = drawn(made(values, range=[-1, 1]), tmp_path)
    assert found["row_1_a.png"].tolist() == [[0, 128], [255, 255]]
    assert found["row_1_b.png"].shape == (2, 2, 3) and len(found) == 2
    scores = made({"s": grey}, None, ("x", "bce"))
    assert drawn(scores, tmp_path)["row_1.png"][0].tolist() == [69, 128]


def test_files_of_equal_stems_keep_their_suffixes(tmp_path: Path) -> None:
    array = np.zeros((2, 1, 2, 2), np.float32)
    for rows, wanted in (
        (("set/a.png", "set/a.jpg"), {"a.png.png", "a.jpg.png"}),
        (("set/a.png", "set/b/a.png"), {"a.png", "b/a.png"}),
    ):
        assert set(drawn(made({"s": array}, rows=rows), tmp_path)) == wanted


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no output is a picture or a mask: `s` \[5, 2, 2\]"):
        save_pictures(tmp_path, answered(made({"s": np.zeros((1, 5, 2, 2))})))


def test_an_archive_is_written_a_piece_at_a_time(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    parts = [random.normal(size=(n, 3)).astype(np.float32) for n in (2, 1, 2)]
    names = ("set/a.png", "set/bcd.png", "set/c.png", "set/a much longer name.png", "e.png")
    known = {"facts": {"classes": ["no", "perhaps", "yes"]}}
    ends = (0, 2, 3, 5)
    pieces = [
        made({"s": part}, ("i32", ["B"]), None, known, names[begin:end])
        for part, begin, end in zip(parts, ends, ends[1:], strict=False)
    ]
    write(tmp_path / "a.npz", answered(*pieces))
    whole = np.concatenate(parts)
    with np.load(tmp_path / "a.npz") as found:
        assert list(found) == ["name", "s", "class"]
        assert tuple(found["name"]) == names
        np.testing.assert_array_equal(found["s"], whole)
        words = ["no", "perhaps", "yes"]
        assert found["class"].tolist() == [words[i] for i in whole.argmax(1)]
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


@pytest.mark.parametrize("name", ["a.csv", "a.npz"])
def test_what_fails_in_the_middle_leaves_what_was_there(tmp_path: Path, name: str) -> None:
    def pieces() -> Any:
        yield made({"s": SCORES})
        raise DataError("`c.png` is not a readable image")

    (tmp_path / name).write_text("before")
    with pytest.raises(DataError, match=r"c\.png"):
        write(tmp_path / name, Answers((), 6, pieces()))
    assert (tmp_path / name).read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_of_a_table_that_is_shown_only_the_first_pieces_are_made() -> None:
    def pieces() -> Any:
        yield made({"s": SCORES})
        yield made({"s": SCORES + 1})
        raise AssertionError("nobody looks at this")

    found = Answers((), 9, pieces()).columns(4)
    assert found["s"].ravel().tolist() == [2.0, -1.0, 0.5, 3.0]


def test_how_far_a_count_is() -> None:
    out = io.StringIO()
    told = {"title": "predict", "unit": "rows", "length": len, "stream": out}
    assert list(tallied(["ab", "c"], 3, interval=0, **told)) == ["ab", "c"]
    lines = out.getvalue().splitlines()
    assert lines[0].startswith("predict: 2 of 3 rows, ") and lines[0].endswith(" rows/s")
    assert lines[1].startswith("predict: 3 of 3 rows, ")
    out.truncate(0)
    assert list(tallied(["ab"], 2, **told)) == ["ab"] and "predict" not in out.getvalue()
