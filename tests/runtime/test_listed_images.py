"""Images whose classes or values stand in a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from softmax_engine import data_line

from weft.runtime.data import Dataset, load
from weft.spec.errors import DataError

PICTURE = ["f32", ["B", 1, 4, 4]]
NAMES = ("a.png", "deep/b.png", "c.jpg", "d.png", "e.png")
CLASSES, VALUE, VALUES = ["i32", ["B"]], ["f32", ["B", 1]], ["f32", ["B", 2]]


@pytest.fixture(autouse=True)
def _images(tmp_path: Path) -> None:
    for number, name in enumerate(NAMES):
        file = tmp_path / "set" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 4), 40 * number, np.uint8)).save(file)


def table(folder: Path, *rows: str, head: str = "file,kind,x,y", name: str = "t.csv") -> None:
    (folder / name).write_text("\n".join((head, *rows)) + "\n")


def read(folder: Path, type: Any = CLASSES, **settings: Any) -> Dataset:
    named = {"labels": "t.csv", "batch": 1, "stratify": True, **settings}
    return load(data_line(["x", "y"], [PICTURE, type], "images", "set", **named), folder)


def shades(data: Dataset) -> list[int]:
    """Which of the images these are."""
    return [round(float(row.mean()) * 255 / 40) for row in data.train["x"][:]]


ROWS = ("e.png,dog,1,10", "deep/b.png,cat,2,20", "a,ape,3,30", "deep/b,cat,4,40")


def test_words_are_classes_in_the_order_of_the_table(tmp_path: Path) -> None:
    table(tmp_path, *ROWS)
    data = read(tmp_path, target="kind")
    assert shades(data) == [4, 1, 0, 1]
    assert data.train["y"].tolist() == [2, 1, 0, 1]
    assert data.statistics["facts"]["classes"] == ["ape", "cat", "dog"]
    table(tmp_path, "c.jpg,dog,0,0", name="h.csv")
    held = read(tmp_path, target="kind", test_labels="h.csv")
    assert held.test is not None and held.test["y"].tolist() == [2]
    table(tmp_path, "c.jpg,cow,0,0", name="h.csv")
    with pytest.raises(DataError, match=r'h.csv:2: "cow" is no class of the training data'):
        read(tmp_path, target="kind", test_labels="h.csv")
    again = data_line(
        ["x", "y"], [PICTURE, CLASSES], "images", "set", labels="t.csv", target="kind"
    )
    table(tmp_path, "a.png,dog,1,1")
    known = load(
        {**again, "settings": {**again["settings"], "batch": 1}}, tmp_path, data.statistics
    )
    assert known.train["y"].tolist() == [2]


@pytest.mark.parametrize(
    ("type", "target", "wanted"),
    [
        (VALUE, "x", [[1], [2], [3], [4]]),
        (["f32", ["B"]], "x", [1, 2, 3, 4]),
        (VALUES, ["y", "x"], [[10, 1], [20, 2], [30, 3], [40, 4]]),
        (CLASSES, "y", [0, 1, 2, 3]),
    ],
)
def test_numbers_are_values_or_classes(
    tmp_path: Path, type: Any, target: Any, wanted: list[Any]
) -> None:
    table(tmp_path, *ROWS)
    data = read(tmp_path, type, target=target)
    assert data.train["y"].tolist() == wanted
    words = data.statistics["facts"].get("classes")
    assert words == (["10", "20", "30", "40"] if type == CLASSES else None)
    held = read(tmp_path, type, target=target, split=0.5, stratify=False)
    assert held.test is not None and len(held.train["y"]) == len(held.test["y"]) == 2


def test_classes_that_count_from_0_are_taken_as_they_are(tmp_path: Path) -> None:
    table(tmp_path, "a.png\t1", "d.png\t0", head="name\tlabel", name="t.tsv")
    data = read(tmp_path, labels="t.tsv")
    assert data.train["y"].tolist() == [1, 0] and "classes" not in data.statistics["facts"]
    table(tmp_path, "1,a.png", head="label,name")
    assert read(tmp_path, file="name").train["y"].tolist() == [0]


@pytest.mark.parametrize(
    ("rows", "settings", "words"),
    [
        (("z.png,1,2,3",), {"target": "x"}, "t.csv:2: there is no image `set/z.png`"),
        (("a.png,1,2,3",), {}, "which column of `t.csv` is the target?"),
        (("a.png,1,2,3",), {"target": "z"}, "has no column `z`"),
        (("a.png,1,2,3",), {"target": "x", "file": "path"}, "has no column `path`"),
        (("../a.png,1,2,3",), {"target": "x"}, "t.csv:2: there is no image `set/../a.png`"),
        (("a.png,1,u,3",), {"target": ["x", "y"]}, 't.csv:2: column `x` holds "u", not a number'),
        (("a.png,1,2,3",), {"labels": "t.txt"}, "`t.txt` is not a csv or tsv file"),
        (("a.png,1,2,3",), {"labels": "u.csv"}, "there is no file `u.csv`"),
    ],
)
def test_what_is_wrong_is_named(
    tmp_path: Path, rows: tuple[str, ...], settings: dict[str, Any], words: str
) -> None:
    table(tmp_path, *rows)
    type = VALUES if isinstance(settings.get("target"), list) else VALUE
    with pytest.raises(DataError) as caught:
        read(tmp_path, type, **settings)
    assert words in str(caught.value)
