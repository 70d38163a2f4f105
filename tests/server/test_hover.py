"""What hovering tells: shapes, parameters, FLOPs, documentation, types, values."""

from __future__ import annotations

from pathlib import Path

import pytest
from lsp_client import Client, inside
from specs import BLOCKS, WEFT, open_weft, open_yaml

TOLD = [
    (
        "lin|ear(d) ->",
        [
            "linear(x; features, bias=true, weight_init=",
            "x weight^T + bias, over the last axis",
            "`f32[B, T, 16] -> f32[B, T, 32]`",
            "parameters: 544 (weight [32, 16], bias [32])",
            "FLOPs: `1056*B*T`",
            "layer: `reader.linear`",
        ],
    ),
    (
        "{ Mi|x(d) }",
        [
            "Mix(x; width, act=relu)",
            "mixes features and adds what came",
            "`f32[B, T, 32] -> f32[B, T, 32]`",
            "parameters: 8,416 × 3 = 25,248",
            "layer: `reader.body.0`, …",
        ],
    ),
    ("-> Ha|lf", ["halves the features", "`f32[B, T, 32] -> f32[B, T, 16]`", "parameters: 528"]),
    ("let e = embed|ding", ["embedding(index; entries, features", "parameters: 3,200"]),
    ("-> |e ->", ["let e = embedding(100, d)", "layer of `reader`", "i32[B, T] -> f32[B, T, 32]"]),
    ("weight=e.wei|ght", ["weight weight: f32[entries, features]", "weight of `embedding`"]),
    ("|h*scale", ["h: f32[B, T, 32]", "value of `reader`"]),
    ("as bo|dy", ["body: f32[B, T, 32]"]),
    ("h*sc|ale", ["scale: f32[32]", "weight of `reader`"]),
    ("in |t:", ["t: i32[B, T]", "input of `reader`"]),
    ("i32[B, |T]\n  let", ["size of `reader`"]),
    ("f32[..., |F]", ["F = 32", "size of `Half`"]),
    ("depth as |i", ["i = 0", "loop index of `reader`"]),
    ("repeat de|pth", ["param depth = 3"]),
    ("Mix(|d)", ["param d = 32", "`64` in variant `wide`"]),
    ("-> rea|der", ["net reader: t: i32[B, T] -> logits: f32[B, T, 100]", "a classifier of texts"]),
    ("bi|as=false", ["bias=true", "setting of `linear`, one of `true`, `false`"]),
    ("l|r=", ["lr=0.001", "the learning rate"]),
    ("cos|ine(", ["cosine(rate, final=0", "half a cosine"]),
    ("np|z(", ["npz(path", "a NumPy archive"]),
    ("adam|w(", ["adamw(lr=0.001", "Loshchilov"]),
    ("on|es()", ["ones()", "all ones"]),
    ("cross_en|tropy", ["Cross entropy", "f32[B, T, 100], i32[B, T] -> f32[]"]),
    ("re|peat", ["repeat n as i { f }", "weights of its own"]),
    ("wid|th*4", ["width", "parameter of block `Mix`: `32`"]),
]


def test_weft(editor: Client, folder: Path) -> None:
    uri = open_weft(editor, folder)
    blocks = editor.open(folder / "blocks.weft", BLOCKS)
    assert editor.diagnostics(blocks) == []
    for marked, wanted in TOLD:
        told = editor.hover(blocks if marked.replace("|", "") in BLOCKS else uri, marked)
        for part in wanted:
            assert part in told, f"{marked}: {part!r} is not in\n{told}"


def test_types_inside_an_imported_block_come_from_its_users(editor: Client, folder: Path) -> None:
    open_weft(editor, folder)
    uri = editor.open(folder / "blocks.weft", BLOCKS)
    assert "parameters: 4,224 × 3 = 12,672" in editor.hover(uri, "lin|ear(width*4)")
    assert "x: f32[B, T, 32]" in editor.hover(uri, "in |x")


@pytest.mark.parametrize(
    ("marked", "part"),
    [
        ("lin|ear(width)", "parameters: 4,160 (weight [64, 64], bias [64])"),
        ("linear(wid|th)", "param width = 64"),
        ("R|es(width)", "around and on"),
        ("linear(feat|ures)", "parameter of block `Res`: `64`"),
        ("  |h: image", "h: f32[B, 64]"),
        ("  im|age: f32", "image: f32[B, 64]"),
        ("lab|el)", "label: i32[B]"),
        ("dig|its(", "handwritten digits"),
        ("re|peat:", "repeat n as i { f }"),
        ("upd|ates", "updates a, b"),
        ("updates: ml|p", "parameters: 8,970"),
    ],
)
def test_yaml(editor: Client, folder: Path, marked: str, part: str) -> None:
    assert part in editor.hover(open_yaml(editor, folder), marked)


def test_the_range_is_the_word(editor: Client, folder: Path) -> None:
    uri = open_weft(editor, folder)
    assert inside(WEFT, editor.ask("hover", uri, "embed|ding")["range"]) == "embedding"


def test_nothing_is_told_of_comments_and_blanks(editor: Client, folder: Path) -> None:
    uri = open_weft(editor, folder)
    for marked in ("# rea|ds", "\n|\nparam", "tanh\n|}"):
        assert editor.hover(uri, marked) == ""


def test_broken_text_is_answered_from_what_was_known(editor: Client, folder: Path) -> None:
    uri = open_weft(editor, folder)
    text = WEFT.replace("(h*scale) -> Half ->", "\n  (h*scale) -> Half(((\n\n  h ->").replace(
        "param d=32", "\n\nparam d=32"
    )
    editor.change(uri, text)
    assert editor.diagnostics(uri)
    assert "i32[B, T] -> f32[B, T, 32]" in editor.hover(uri, "let e = embed|ding")
    assert "`f32[B, T, 16] -> f32[B, T, 32]`" not in editor.hover(uri, "h -> lin|ear(d)")
    assert "h: f32[B, T, 32]" in editor.hover(uri, "|h*scale")
    assert "param depth = 3" in editor.hover(uri, "repeat dep|th")
