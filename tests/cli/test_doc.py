"""`weft doc`: everything public has a description and an example that is right."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import weft.spec
from weft.cli.catalogue import TABLES, Entry, _of_intrinsic, catalogue
from weft.cli.doc import example, find
from weft.compiler.build.intrinsics import INTRINSICS
from weft.spec import usages
from weft.spec.errors import UsageError
from weft.spec.prelude_index import index, prelude

ALL = catalogue()
ROOT = Path(weft.spec.__file__).parents[1]


@pytest.mark.parametrize("entry", ALL, ids=lambda each: f"{each.kind} {each.name}")
def test_everything_has_a_description_an_example_and_a_place(entry: Entry) -> None:
    assert entry.doc, f"{entry.name} needs a comment above the block, or a text in the table"
    shown = example(entry)
    assert shown is not None, f"give {entry.name} an example that checks in spec/usages.py"
    assert any(entry.name in line for line in shown.lines)
    file, _, line = entry.where.partition(":")
    assert entry.name in (ROOT / file).read_text().split("\n")[int(line) - 1]
    if entry.kind in ("block", "operation"):
        assert shown.inputs and shown.outputs


def test_nothing_public_is_left_out() -> None:
    public = {name for name in prelude() if not name.startswith("_")} | set(INTRINSICS)
    listed = {e.name for e in ALL if e.kind in ("block", "operation")}
    assert listed == public
    assert set(usages.OPERATIONS) <= public
    for kind, table in usages.TRAINING.items():
        assert set(table) <= {entry.name for entry in ALL if entry.kind == kind}


def test_the_source_of_a_block_is_a_whole_block() -> None:
    for entry in ALL:
        if entry.source is not None:
            alone = index({"t.weft": entry.source})
            assert list(alone) == [entry.name]
            assert alone[entry.name] == prelude()[entry.name]


def test_a_page_says_shapes_parameters_and_where(weft) -> None:
    answer = weft("doc", "linear")
    assert answer.code == 0
    for text in (
        "block linear(features, bias=true",
        "x  f32[..., C]",
        "weight  f32[features, C]",
        "x -> linear(10)",
        "result         f32[B, 10]",
        "linear.weight  f32[10, 64]",
        "defined in spec/prelude/layers.weft:",
        "product = matmul(x, transpose(weight))",
        "schedule linear(rate",
    ):
        assert text in answer.out


def test_the_list_is_in_families(weft) -> None:
    answer = weft("doc")
    assert answer.code == 0
    assert "\nlayers\n  linear " in answer.out and "\noptimizers\n  sgd " in answer.out
    assert max(map(len, answer.out.splitlines())) <= 100
    listed = json.loads(weft("doc", "--json").out)
    assert len(listed) == len(ALL)


def test_for_programs(weft) -> None:
    (found,) = json.loads(weft("doc", "conv", "--json").out)
    assert found["kind"] == "block"
    assert found["example"]["outputs"] == {"output": "f32[B, 64, 32, 32]"}
    assert found["example"]["parameters"]["conv.weight"] == "f32[64, 3, 3, 3]"
    assert found["settings"][0] == {"name": "channels", "default": None, "words": [], "doc": ""}


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("layernorm", "it is called `layer_norm` here"),
        ("cat", "`concat`"),
        ("zzz", "lists everything"),
    ],
)
def test_unknown_names(weft, name: str, hint: str) -> None:
    answer = weft("doc", name)
    assert answer.code == 2
    assert f"there is nothing called `{name}`" in answer.err and hint in answer.err
    with pytest.raises(UsageError):
        find(name)


@pytest.mark.parametrize("form", ["weft", "yaml"])
def test_blocks_of_a_spec(weft, tmp_path: Path, form: str) -> None:
    spec = tmp_path / "a.weft"
    spec.write_text(
        "# rows\n\n# twice\n# as wide\nblock linear(n=2) {\n  in x: f32[B, C]\n"
        "  concat(x, x, axis=1) -> f(n)\n}\nblock f(n) { softmax -> linear }\n"
    )
    if form == "yaml":
        text = weft("fmt", "--to", "yaml", spec).out
        spec = tmp_path / "a.yaml"
        spec.write_text(text)
    answer = weft("doc", "linear", "--in", spec, "--json")
    assert answer.code == 0, answer.err
    own, *others = json.loads(answer.out)
    assert [other["kind"] for other in others] == ["schedule"]
    assert own["doc"] == "twice as wide"
    assert own["inputs"] == {"x": "f32[B, C]"}
    assert own["where"].startswith(str(spec)) and own["source"].startswith("block linear(n=2) {")
    assert "this spec\n" in weft("doc", "--in", spec).out


def test_what_has_no_entry_gets_an_example(monkeypatch: pytest.MonkeyPatch) -> None:
    """New operations, blocks and optimizers need none as long as a plain call is right."""
    monkeypatch.setattr(usages, "OPERATIONS", {})
    entry = _of_intrinsic(INTRINSICS["maximum"])
    shown = example(entry)
    assert shown is not None
    assert shown.lines == ("in x: f32[B, 64], y: f32[B, 64]", "maximum(x, y)")
    for kind, (_, table) in TABLES.items():
        for name, signature in table.items():
            guesses = usages.training_guesses(kind, signature)
            assert guesses and all(f"{name}(" in guess for guess in guesses)
