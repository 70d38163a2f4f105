"""Formatting, outline, signatures and quick fixes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lsp_client import Client
from specs import BLOCKS, WEFT, YAML, open_weft, open_yaml


def formatted(editor: Client, uri: str) -> str:
    """The text after the edits that formatting answers, applied from the last to the first."""
    options = {"tabSize": 2, "insertSpaces": True}
    asked = {"textDocument": {"uri": uri}, "options": options}
    text = editor.texts[uri]
    for edit in reversed(editor.request("textDocument/formatting", asked)):
        start, end = (offset(text, edit["range"][key]) for key in ("start", "end"))
        text = text[:start] + edit["newText"] + text[end:]
    return text


def offset(text: str, position: dict[str, int]) -> int:
    lines = text.split("\n")
    return sum(len(line) + 1 for line in lines[: position["line"]]) + position["character"]


def test_formatting_gives_the_canonical_form(editor: Client, folder: Path, weft: Any) -> None:
    messy = WEFT.replace("  let e = ", "  let   e=").replace(
        "param d=32, depth=3", "param d = 32,depth=3"
    )
    uri = editor.open(folder / "messy.weft", messy)
    (folder / "messy.weft").write_text(messy)
    assert weft("fmt", folder / "messy.weft").code == 0
    assert formatted(editor, uri) == (folder / "messy.weft").read_text() != messy


def test_formatting_yaml(editor: Client, folder: Path, weft: Any) -> None:
    uri = editor.open(folder / "messy.yaml", YAML.replace("width: 64", "width:   64") + "\n\n")
    (folder / "messy.yaml").write_text(editor.texts[uri])
    weft("fmt", folder / "messy.yaml")
    assert formatted(editor, uri) == (folder / "messy.yaml").read_text()


@pytest.mark.parametrize("end", ["\n  (", "", "\n\n\n"])
def test_formatting_moves_only_what_differs(editor: Client, folder: Path, end: str) -> None:
    (folder / "blocks.weft").write_text(BLOCKS)
    uri = editor.open(folder / "a.weft", WEFT)
    canonical = formatted(editor, uri)
    editor.change(uri, canonical + end)
    wanted = canonical + end if "(" in end else canonical  # a text with errors stays as it is
    assert formatted(editor, uri) == wanted


def outline(symbols: list[dict[str, Any]]) -> dict[str, Any]:
    return {each["name"]: outline(each.get("children") or []) for each in symbols}


def test_outline(editor: Client, folder: Path) -> None:
    uri = open_weft(editor, folder)
    asked = {"textDocument": {"uri": uri}}
    found = editor.request("textDocument/documentSymbol", asked)
    assert outline(found) == {
        "d": {},
        "depth": {},
        "wide": {"d": {}},
        "Half": {"x": {}, "y": {}},
        "reader": {"t": {}, "e": {}, "scale": {}, "h": {}},
        "train": {
            "epochs": {},
            "t": {},
            "label": {},
            "main": {"optimizer": {}, "logits": {}, "right": {}},
        },
    }
    nested(found)
    net = next(each for each in found if each["name"] == "reader")
    lines = WEFT.split("\n")
    assert lines[net["range"]["start"]["line"]].startswith("net reader")
    assert lines[net["range"]["end"]["line"]] == "}"


def nested(symbols: list[dict[str, Any]], within: Any = None) -> None:
    """Every name lies in its symbol, and every symbol in the one round it."""
    for each in symbols:
        whole, name = each["range"], each["selectionRange"]
        assert (
            spot(whole["start"]) <= spot(name["start"]) <= spot(name["end"]) <= spot(whole["end"])
        )
        if within is not None:
            assert spot(within["start"]) <= spot(whole["start"])
            assert spot(whole["end"]) <= spot(within["end"])
        nested(each.get("children") or [], whole)


def spot(position: dict[str, int]) -> tuple[int, int]:
    return position["line"], position["character"]


def test_outline_of_broken_text(editor: Client, folder: Path) -> None:
    uri = editor.open(folder / "a.weft", WEFT.replace("(h*scale) ->", "(h*scale) -> -> ("))
    asked = {"textDocument": {"uri": uri}}
    names = outline(editor.request("textDocument/documentSymbol", asked))
    assert {"reader", "Half", "train"} <= set(names)


@pytest.mark.parametrize(
    ("marked", "active"),
    [
        ("Half -> linear(|d)", "features"),
        ("linear(d|) ->", "features"),
        ("linear(100, bias=|false", "bias=true"),
        ("cross_entropy(|logits", "logits"),
        ("cross_entropy(logits, |label", "target"),
        ("cosine(3e-3|", "rate"),
        ("warmup=|1", "warmup=0"),
        ("adamw(lr=|cosine", "lr=0.001"),
        ('npz(|"texts', "path"),
    ],
)
def test_signatures(editor: Client, folder: Path, marked: str, active: str) -> None:
    found = editor.ask("signatureHelp", open_weft(editor, folder), marked)
    (signature,) = found["signatures"]
    assert signature["parameters"][found["activeParameter"]]["label"] == active
    assert active in signature["label"]


def test_no_signature_outside_of_calls(editor: Client, folder: Path) -> None:
    assert editor.ask("signatureHelp", open_yaml(editor, folder), "out: |h ->") is None


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("linear(d)", "lineer(d)"), ("bias=false", "bais=false"), ("h*scale", "h*scal")],
)
def test_a_hint_is_a_quick_fix(editor: Client, folder: Path, right: str, wrong: str) -> None:
    uri = open_weft(editor, folder)
    editor.change(uri, WEFT.replace(right, wrong))
    found = [each for each in editor.diagnostics(uri) if "did you mean" in each["message"]]
    asked = {
        "textDocument": {"uri": uri},
        "range": found[0]["range"],
        "context": {"diagnostics": found},
    }
    (action,) = editor.request("textDocument/codeAction", asked)
    assert action["kind"] == "quickfix" and action["isPreferred"]
    (edit,) = action["edit"]["changes"][uri]
    start, end = (offset(editor.texts[uri], edit["range"][key]) for key in ("start", "end"))
    text = editor.texts[uri]
    assert text[:start] + edit["newText"] + text[end:] == WEFT
