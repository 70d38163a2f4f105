"""Tables: which columns are classes, words and numbers, what is missing, and bad ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_files import FLOWERS, LABEL, VALUE, X2
from softmax_engine import data_line

from weft.runtime.data import Dataset, load
from weft.spec.errors import DataError


def table(
    folder: Path, text: str | bytes, types: list[Any], names: list[str] | None = None, **named: Any
) -> Dataset:
    data = text if isinstance(text, bytes) else text.encode()
    (folder / "t.csv").write_bytes(data)
    chosen = names or ["x", "y"][: len(types)]
    return load(data_line(chosen, types, "csv", "t.csv", **{"batch": 1, **named}), folder)


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
