"""Texts as data: windows, documents, vocabularies, parts, and what is wrong with files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from softmax_engine import data_line

from weft.runtime.data import Dataset, load
from weft.runtime.data.batches import order
from weft.runtime.data.joined import Joined
from weft.runtime.data.vocabulary import vocabulary_of
from weft.spec.errors import DataError

POEM = "Der Weber webt.\nDie Kette spannt, der Schuß fliegt hin und her.\n"


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder / "weft" / "texts"


def texts(
    folder: Path, source: str, *positional: Any, length: int = 8, fields: int = 2, **named: Any
) -> Dataset:
    names = ["tokens", "next", "documents"][:fields]
    types = [["i32", ["B", length]] for _ in names]
    return load(line(names, types, source, *positional, length=length, **named), folder)


def line(names: list[str], types: list[Any], source: str, *positional: Any, **named: Any) -> Any:
    return data_line(names, types, source, *positional, **{"batch": 1, **named})


def said(folder: Path, *positional: Any, source: str = "text", **named: Any) -> str:
    with pytest.raises(DataError) as caught:
        texts(folder, source, *positional, **named)
    return str(caught.value)


def held(data: Dataset, part: str = "test") -> list[dict[str, np.ndarray]]:
    """All batches of a part, in its own order."""
    found = data.held_out(part)
    assert found is not None
    return [{k: v.copy() for k, v in found.at(0, i).items()} for i in range(found.count)]


# windows


def test_each_token_and_the_one_that_follows(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(POEM)
    data = texts(tmp_path, "text", "a.txt", shuffle=False, batch=4)
    whole = [*POEM.encode(), 0]
    windows = (len(whole) - 1) // 8
    tokens = np.concatenate([batch["tokens"] for batch in held(data, "train")])
    following = np.concatenate([batch["next"] for batch in held(data, "train")])
    assert tokens.dtype == np.int32 and tokens.shape == (windows, 8)
    assert tokens.reshape(-1).tolist() == whole[: windows * 8]
    assert following.reshape(-1).tolist() == whole[1 : windows * 8 + 1]
    assert (np.asarray(data.train["tokens"]) == tokens).all()
    assert vocabulary_of(data.statistics["facts"]["vocabulary"]).kind == "bytes"


def test_every_epoch_has_its_own_order_and_offset(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(POEM * 5)
    data = texts(tmp_path, "text", "a.txt", batch=3)
    first, again = data.batches(7), data.batches(7)
    whole = np.array([*(POEM * 5).encode(), 0])
    begins = set()
    for epoch in range(4):
        for index in (2, 0):
            batch = {k: v.copy() for k, v in first.at(epoch, index).items()}
            for row, following in zip(batch["tokens"], batch["next"], strict=True):
                views = np.lib.stride_tricks.sliding_window_view(whole, 8)
                at = np.flatnonzero((views == row).all(axis=1))
                assert any((whole[begin + 1 : begin + 9] == following).all() for begin in at)
                begins |= {int(begin) % 8 for begin in at}
            fresh = again.at(epoch, index)
            assert all((batch[name] == fresh[name]).all() for name in batch)
    assert len(begins) > 2
    assert first.samples == (len(whole) - 8) // 8
    rows = order(7, ("tokens", "next"), 3, first.samples)
    assert sorted(rows) == list(range(first.samples))


@pytest.mark.parametrize("size", [9, 10, 15, 16, 17, 25])
def test_texts_of_any_length(tmp_path: Path, size: int) -> None:
    (tmp_path / "a.txt").write_text("x" * (size - 1))
    for shuffle in (False, True):
        data = texts(tmp_path, "text", "a.txt", shuffle=shuffle, batch="full")
        found = data.batches(0)
        for epoch in range(5):
            batch = found.at(epoch, 0)
            assert (batch["tokens"] == ord("x")).all() or size % 8 == 0
            assert ((batch["next"] == ord("x")) | (batch["next"] == 0)).all()
    assert "has 8 tokens, and a window of 8 needs 9" in said(
        _with(tmp_path, "b.txt", "x" * 7), "b.txt"
    )


def _with(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


# documents


def test_documents_run_on_or_stand_alone(tmp_path: Path) -> None:
    for name, content in (("a", "abc"), ("b", "defghijklmnop"), ("c", "q")):
        _with(tmp_path, f"t/{name}.txt", content)
    data = texts(tmp_path, "text", "t", shuffle=False, fields=3, batch="full")
    (batch,) = held(data, "train")
    assert bytes(batch["tokens"].reshape(-1).astype(np.uint8)) == b"abc\0defghijklmno"
    assert batch["documents"].tolist() == [[0, 0, 0, 0, 1, 1, 1, 1], [0] * 8]
    apart = texts(tmp_path, "text", "t", shuffle=False, fields=3, pack=False, batch="full")
    (batch,) = held(apart, "train")
    assert batch["tokens"].tolist() == [
        [1, *b"abc", 0, 0, 0, 0],
        [1, *b"defghij"],
        [*b"klmnop", 0, 0],
        [1, *b"q", 0, 0, 0, 0, 0, 0],
    ]
    assert batch["next"].tolist() == [
        [*b"abc", 0, -100, -100, -100, -100],
        [*b"defghijk"],
        [*b"lmnop", 0, -100, -100],
        [*b"q", 0, -100, -100, -100, -100, -100, -100],
    ]
    assert batch["documents"].tolist()[0] == [0, 0, 0, 0, -1, -1, -1, -1]


def test_which_files_are_meant(tmp_path: Path) -> None:
    for name in ("b/x.py", "b/deep/y.py", "b/z.md", "a.md", "b/.hidden/no.py", "c.md"):
        _with(tmp_path, name, f"{name} {'.' * 20}")

    def names(*paths: Any, **named: Any) -> list[str]:
        data = texts(tmp_path, "text", *paths, shuffle=False, batch="full", **named)
        flat = bytes(
            np.concatenate([b["tokens"] for b in held(data, "train")]).astype(np.uint8).reshape(-1)
        )
        return [part.split(b" ")[0].decode() for part in flat.split(b"\0")]

    assert names("b") == ["b/deep/y.py", "b/x.py", "b/z.md"]
    assert names("b", suffix=".py") == ["b/deep/y.py", "b/x.py"]
    assert names(["c.md", "b", "c.md"], suffix=[".md"]) == ["c.md", "b/z.md"]
    assert names("*.md") == ["a.md", "c.md"]
    assert names("b/*.py") == ["b/x.py"]
    assert names("b/**/*.py") == ["b/deep/y.py", "b/x.py"]


# parts


def test_the_tail_or_some_files_are_held_out(tmp_path: Path) -> None:
    _with(tmp_path, "a.txt", "x" * 800 + "y" * 200)
    data = texts(tmp_path, "text", "a.txt", split=0.8, shuffle=False)
    assert set(np.unique(np.asarray(data.test["tokens"]))) == {ord("y")}
    assert data.statistics["tokens"] == [801, 200]
    for letter in "abcdefghij":
        _with(tmp_path, f"f/{letter}", letter * 40)
    data = texts(tmp_path, "text", "f", split=0.7)
    train, test = (
        set(np.unique(np.asarray(part["tokens"]))) - {0} for part in (data.train, data.test)
    )
    assert len(train) == 7 and len(test) == 3 and not train & test
    tail = texts(tmp_path, "text", "f", split=0.7, by="tail")
    assert set(np.unique(np.asarray(tail.test["tokens"]))) - {0} == {*b"hij"}
    _with(tmp_path, "g/a", "a" * 40)
    _with(tmp_path, "g/b", "b" * 40)
    text = said(tmp_path, "g", split=0.95)
    assert "split=0.95 of 2 files leaves one part empty" in text and "by=tail" in text
    named = texts(tmp_path, "text", "a.txt", test="f/b")
    assert (np.asarray(named.test["tokens"])[:, :7] == ord("b")).all()
    assert texts(tmp_path, "text", "a.txt", limit=3).batches(0).samples == 3
    assert "held out: the text has 5 tokens" in said(tmp_path, "a.txt", split=0.995)


def test_the_standard_library(tmp_path: Path) -> None:
    data = texts(tmp_path, "stdlib", length=512, batch=8)
    train, test = data.statistics["tokens"]
    assert train > 5_000_000 and 0.01 < test / train < 0.15
    batch = data.batches(0).at(0, 5)
    assert batch["tokens"].shape == (8, 512)
    assert (batch["tokens"][:, 1:] == batch["next"][:, :-1]).all()
    again = texts(tmp_path, "stdlib", length=512, batch=8)
    assert again.statistics == data.statistics


# vocabularies


def test_pairs_of_bytes_are_learnt_once(tmp_path: Path, cache: Path) -> None:
    pytest.importorskip("tokenizers")
    _with(tmp_path, "a.txt", POEM * 30)
    options: dict[str, Any] = {"vocabulary": "bpe", "size": 300, "shuffle": False}
    data = texts(tmp_path, "text", "a.txt", split=0.9, **options)
    found = vocabulary_of(data.statistics["facts"]["vocabulary"])
    assert 258 < found.size <= 300
    tokens = np.concatenate([batch["tokens"].reshape(-1) for batch in held(data, "train")])
    assert (POEM * 30).startswith(found.decode(tokens.tolist()))
    assert sorted(path.suffix for path in cache.iterdir()) == [".json", ".npz"]
    before = {path: path.read_bytes() for path in cache.iterdir()}
    again = texts(tmp_path, "text", "a.txt", split=0.9, **options)
    assert again.statistics == data.statistics
    assert {path: path.read_bytes() for path in cache.iterdir()} == before
    for path in cache.iterdir():
        path.write_bytes(b"damaged")
    assert texts(tmp_path, "text", "a.txt", split=0.9, **options).statistics == data.statistics


def test_the_vocabulary_of_a_checkpoint_is_used_again(tmp_path: Path) -> None:
    pytest.importorskip("tokenizers")
    _with(tmp_path, "a.txt", POEM * 30)
    recipe = line(
        ["tokens"], [["i32", ["B", 8]]], "text", "a.txt", vocabulary="bpe", size=300, length=8
    )
    statistics = json.loads(json.dumps(load(recipe, tmp_path).statistics))
    _with(tmp_path, "a.txt", "something else entirely " * 30)
    assert load(recipe, tmp_path, statistics).statistics["facts"] == statistics["facts"]
    _with(tmp_path, "v.json", json.dumps(statistics["facts"]["vocabulary"]))
    named = texts(tmp_path, "text", "a.txt", vocabulary="v.json")
    assert (
        named.statistics["facts"]["vocabulary"]["size"] == statistics["facts"]["vocabulary"]["size"]
    )


def test_the_network_must_know_the_vocabulary(tmp_path: Path) -> None:
    _with(tmp_path, "a.txt", POEM)
    types = [["i32", ["B", 8]]]
    recipe = line(["tokens"], types, "text", "a.txt", length=8)
    load(recipe | {"ranges": {"tokens": [0, 256]}}, tmp_path)
    with pytest.raises(
        DataError, match="vocabulary has 256 entries, and what `tokens` goes to knows 128"
    ):
        load(recipe | {"ranges": {"tokens": [0, 128]}}, tmp_path)
    np.array([3, 9, 4] * 9, np.uint16).tofile(tmp_path / "t.bin")
    recipe = line(["tokens"], types, "tokens", "t.bin", length=8)
    with pytest.raises(DataError, match="holds the token 9, and what `tokens` goes to knows 9"):
        load(recipe | {"ranges": {"tokens": [0, 9]}}, tmp_path)


# files of tokens


@pytest.mark.parametrize("kind", ["u16", "u32", "npy"])
def test_files_of_tokens_stay_where_they_are(tmp_path: Path, kind: str) -> None:
    numbers = np.arange(100) % 50
    if kind == "npy":
        np.save(tmp_path / "t.npy", numbers.astype(np.uint16))
        data = texts(tmp_path, "tokens", "t.npy", end=49, fields=3, shuffle=False)
    else:
        numbers.astype({"u16": "<u2", "u32": "<u4"}[kind]).tofile(tmp_path / "t.bin")
        data = texts(tmp_path, "tokens", "t.bin", dtype=kind, end=49, fields=3, shuffle=False)
    batches = held(data, "train")
    flat = np.concatenate([batch["tokens"].reshape(-1) for batch in batches])
    assert flat.tolist() == numbers[: len(flat)].tolist() and len(batches) == 12
    assert batches[6]["documents"].tolist() == [[0, 0, 1, 1, 1, 1, 1, 1]]
    made: Any = data.made
    assert isinstance(made.parts[0].text.numbers, np.memmap)


def test_several_files_are_one_text(tmp_path: Path) -> None:
    numbers = (np.arange(400) * 7 % 50).astype(np.uint16)
    numbers.tofile(tmp_path / "all.bin")
    for index, piece in enumerate(np.split(numbers, [130, 131, 300])):
        piece.tofile(tmp_path / f"part{index}.bin")
    options: dict[str, Any] = {"end": 49, "fields": 3}
    one = texts(tmp_path, "tokens", "all.bin", **options)
    for paths in ("part*.bin", [f"part{index}.bin" for index in range(4)]):
        several = texts(tmp_path, "tokens", paths, **options)
        assert several.statistics == one.statistics
        pairs = zip(held(several, "train"), held(one, "train"), strict=True)
        for batch, whole in [*pairs, (several.batches(3).at(1, 2), one.batches(3).at(1, 2))]:
            for name, array in batch.items():
                np.testing.assert_array_equal(array, whole[name])
    made: Any = several.made
    assert isinstance(made.parts[0].text.numbers, Joined)


def test_what_is_no_file_of_tokens(tmp_path: Path) -> None:
    np.save(tmp_path / "f.npy", np.zeros((9, 2)))
    _with(tmp_path, "odd.bin", b"abc")
    _with(tmp_path, "bad.npy", b"abc")
    assert "holds float64 [9, 2], not a row of tokens" in said(tmp_path, "f.npy", source="tokens")
    assert "has 3 bytes, no multiple of 2" in said(tmp_path, "odd.bin", source="tokens")
    assert "not a readable npy file" in said(tmp_path, "bad.npy", source="tokens")
    assert "there is no file `no.bin`" in said(tmp_path, "no.bin", source="tokens")


# what is wrong with texts


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"ab\ncd\xff\xfe", r"`t/a.txt`, line 2 (byte 5): no UTF-8 text: invalid start byte, 0xff"),
        ("abc".encode("utf-16-le"), "`t/a.txt`, line 1 (byte 1): a zero byte, which no text has"),
        (b"", "`t` holds no text: its file is empty"),
    ],
)
def test_files_that_are_no_texts(tmp_path: Path, content: bytes, message: str) -> None:
    assert message in said(_with(tmp_path, "t/a.txt", content), "t")


def test_texts_that_are_not_there(tmp_path: Path) -> None:
    _with(tmp_path, "t/a.txt", "a")
    assert "there is no file `u.txt`" in said(tmp_path, "u.txt")
    assert "lies outside the folder" in said(tmp_path, "../t")
    assert "its files end in .txt" in said(tmp_path, "t", suffix=".md")
    assert "no file is called like `t/*.md`" in said(tmp_path, "t/*.md")
    (tmp_path / "empty").mkdir()
    text = said(tmp_path, "empty", suffix=".md")
    assert "`empty` holds no files\n  = hint: put texts into it" in text
    assert "there is no vocabulary `v.json`" in said(tmp_path, "t", vocabulary="v.json")


def test_a_mark_of_order_is_no_text(tmp_path: Path) -> None:
    _with(tmp_path, "a.txt", b"\xef\xbb\xbf" + POEM.encode())
    assert held(texts(tmp_path, "text", "a.txt", shuffle=False), "train")[0]["tokens"][0, 0] == 68


# pairs and tasks


def both(
    folder: Path, source: str, *positional: Any, sides: tuple[int, int], **named: Any
) -> Dataset:
    names = ["source", "target", "next", "mask"]
    long, wide = sides
    types = [
        ["i32", ["B", long]],
        ["i32", ["B", wide]],
        ["i32", ["B", wide]],
        ["bool", ["B", long]],
    ]
    return load(line(names, types, source, *positional, **named), folder)


@pytest.mark.parametrize(
    ("task", "answer"),
    [("reverse", lambda s: s[::-1]), ("sort", sorted), ("copy", lambda s: s)],
)
def test_tasks_have_exact_answers(tmp_path: Path, task: str, answer: Any) -> None:
    data = both(tmp_path, "sequences", task, length=[2, 6], symbols=9, samples=500, sides=(6, 7))
    seen = set()
    for part in (data.train, data.test):
        for source, target, following, mask in zip(*part.values(), strict=True):
            asked = source[mask].tolist()
            assert 2 <= len(asked) <= 6 and not mask[len(asked) :].any()
            count = len(asked) + 1
            assert target[:count].tolist() == [1, *answer(asked)]
            assert following[:count].tolist() == [*answer(asked), 0]
            assert (following[count:] == -100).all() and (target[count:] == 0).all()
            assert all(2 <= symbol < 11 for symbol in asked)
            seen.add(tuple(asked))
    assert len(seen) == 500 and len(data.test["source"]) == 50


def test_too_few_different_sequences(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="hardly more than 6 different sequences"):
        both(tmp_path, "sequences", "copy", length=[1, 2], symbols=2, samples=10, sides=(2, 3))


def test_pairs_of_lines(tmp_path: Path) -> None:
    _with(tmp_path, "p.tsv", "to weave\tweben\n\nloom\tWebstuhl\r\n")
    data = both(tmp_path, "pairs", "p.tsv", length=10, sides=(10, 10), batch=2)
    assert data.train["source"].tolist()[1] == [*b"loom", 0, 0, 0, 0, 0, 0]
    assert data.train["target"].tolist()[1] == [1, *b"Webstuhl", 0]
    assert data.train["next"].tolist() == [[*b"weben", 0, *[-100] * 4], [*b"Webstuhl", 0, -100]]
    assert data.train["mask"].sum() == 12
    cut = both(tmp_path, "pairs", "p.tsv", length=6, longer="cut", sides=(6, 6), batch=2)
    assert cut.train["next"].tolist() == [[*b"weben", 0], [*b"Webst", 0]]
    drop = both(tmp_path, "pairs", "p.tsv", length=8, longer="drop", sides=(8, 8))
    assert len(drop.train["source"]) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a\tb\nc", r"`p.tsv:2` has no tab"),
        ("a\tb\tc\n", r"`p.tsv:1` has more than one tab"),
        ("\n\n", r"`p.tsv` holds no pairs"),
        ("a\tbcdefghij\n", r"`p.tsv:1` has 10 tokens with its end, length=8"),
        (b"a\t\xe4\n", r"`p.tsv`, line 1 \(byte 2\): no UTF-8"),
    ],
)
def test_what_is_no_pair(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        both(_with(tmp_path, "p.tsv", content), "pairs", "p.tsv", length=8, sides=(8, 8))
