"""Where names lead: this file, an imported one, the prelude."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from lsp_client import Client
from specs import open_weft, open_yaml


def goal(editor: Client, uri: str, marked: str) -> tuple[str, str]:
    """The name of the file, and the text of the line from where the definition begins."""
    found = editor.ask("definition", uri, marked)
    path = Path(unquote(urlsplit(found["uri"]).path))
    start = found["range"]["start"]
    text = editor.texts.get(found["uri"]) or path.read_text()
    return path.name, text.split("\n")[start["line"]][start["character"] :]


@pytest.mark.parametrize(
    ("marked", "file", "begins"),
    [
        ("-> Ha|lf", "reader.weft", "Half {"),
        ("{ Mi|x(d)", "blocks.weft", "Mix(width"),
        ("lin|ear(d) ->", "layers.weft", "linear(features"),
        ("cross_en|tropy", "losses.weft", "cross_entropy("),
        ("Mix(|d)", "reader.weft", "d=32"),
        ("repeat dep|th", "reader.weft", "depth=3"),
        ("h = |t ->", "reader.weft", "t: i32[B, T]"),
        ("-> |e ->", "reader.weft", "e = embedding"),
        ("|h*scale", "reader.weft", "h = t"),
        ("h*sca|le", "reader.weft", "scale: f32[d]"),
        ("e.wei|ght", "layers.weft", "weight: f32[entries"),
        ("bia|s=false", "layers.weft", "bias=true"),
        ("wei|ght=e", "layers.weft", "weight: f32[features, C]"),
        ("-> rea|der", "reader.weft", "reader {"),
        ("updates rea|der", "reader.weft", "reader {"),
        ("cross_entropy(log|its", "reader.weft", "logits = t"),
        ("linear(|F", "reader.weft", "F]"),
        ("|y -> tanh", "reader.weft", "y = x"),
        ('"blo|cks.weft"', "blocks.weft", "# mixes"),
    ],
)
def test_weft(editor: Client, folder: Path, marked: str, file: str, begins: str) -> None:
    where, text = goal(editor, open_weft(editor, folder), marked)
    assert where == file
    assert text.startswith(begins)


@pytest.mark.parametrize(
    ("marked", "begins"),
    [
        ("R|es(width)", "Res(features"),
        ("linear(feat|ures)", "features, act"),
        ("linear(wid|th)", "width: 64"),
        ("out: |h ->", "h: image"),
        ("-> ml|p", "mlp:"),
        ("lab|el)", "label:"),
    ],
)
def test_yaml(editor: Client, folder: Path, marked: str, begins: str) -> None:
    where, text = goal(editor, open_yaml(editor, folder), marked)
    assert where == "mlp.yaml" and text.startswith(begins)


def test_words_of_the_language_lead_nowhere(editor: Client, folder: Path) -> None:
    uri = open_weft(editor, folder)
    for marked in ("re|peat", "adam|w(", "# rea|ds", "3e|-3"):
        assert editor.ask("definition", uri, marked) is None
