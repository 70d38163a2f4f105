"""What is offered at a cursor in texts that are being typed."""

from __future__ import annotations

from pathlib import Path

import pytest
from lsp_client import Client
from specs import BLOCKS, WEFT, YAML, open_weft, open_yaml

CASES = [
    # before the cursor, what replaces it there, offered, not offered
    (
        "(h*scale) -> Half ->",
        "(h*scale) -> |",
        ["linear", "Half", "Mix", "e", "residual"],
        ["d", "h"],
    ),
    ("linear(d) ->", "linear(|) ->", ["features=", "bias=", "d", "depth", "h"], ["weight"]),
    ("linear(d) ->", "linear(d, bias=false, |) ->", ["weight_init="], ["bias=", "relu="]),
    ("linear(d) ->", "linear(|, bias=false) ->", ["features="], ["bias="]),
    ("linear(d) ->", "linear(d, bias=|) ->", ["true", "false"], ["linear"]),
    ("linear(d) ->", "linear(d, weight_init=|) ->", ["kaiming_normal", "zeros"], ["linear"]),
    ("linear(d) ->", "linear(d, weight_init=normal(|)) ->", ["mean=", "std="], ["bias="]),
    ("{ Mix(d) }", "{ Mix(d, act=|) }", ["relu", "gelu"], ["linear", "tanh"]),
    ("weight=e.weight", "weight=e.|", ["weight"], ["bias", "linear"]),
    (
        "  (h*scale)",
        "  |\n  (h*scale)",
        ["in", "let", "weight", "out", "h", "t", "linear"],
        ["net"],
    ),
    ("  (h*scale)", "  z = |\n  (h*scale)", ["h", "scale", "d", "linear", "Half"], ["F", "y", "z"]),
    ("train {", "|\ntrain {", ["net", "block", "param", "train", "import"], ["linear", "h"]),
    ("  epochs = 3", "  |", ["epochs", "data", "step", "seed"], ["optimizer", "linear"]),
    ("    logits = t", "    |\n    logits = t", ["loss", "metric", "clip"], ["net", "in"]),
    ("adamw(lr=cosine(3e-3, warmup=1), weight_decay=0.01)", "|", ["adamw", "sgd"], ["linear"]),
    ("adamw(lr=cosine(3e-3, warmup=1), weight_decay=0.01)", "sgd(|)", ["momentum="], ["betas="]),
    ("cosine(3e-3, warmup=1)", "|", ["cosine", "one_cycle"], ["npz"]),
    ("cosine(3e-3, warmup=1)", "cosine(3e-3, |)", ["warmup=", "final="], ["betas="]),
    ("cosine(3e-3, warmup=1)", "cosine(3e-3, per=|)", ["step", "epoch"], ["linear"]),
    ('npz("texts.npz", batch=8)', "|", ["npz", "csv", "digits"], ["linear", "adamw"]),
    ("updates reader", "updates |", ["reader"], ["linear", "Half"]),
    ("cross_entropy(logits", "cross_entropy(|", ["logits", "label", "reduction="], ["h"]),
    ("in t: i32[B, T]", "in t: |", ["f32", "i32"], ["linear"]),
    ("variant wide { d=64 }", "variant wide { | }", ["d", "depth"], ["linear"]),
    ("# halves", "# |halves", [], ["linear", "net"]),
]


@pytest.mark.parametrize(("old", "new", "offered", "withheld"), CASES, ids=[c[1] for c in CASES])
def test_weft(
    editor: Client, folder: Path, old: str, new: str, offered: list[str], withheld: list[str]
) -> None:
    uri = open_weft(editor, folder)
    before, _, after = new.partition("|")
    assert WEFT.count(old) == 1
    editor.change(uri, WEFT.replace(old, before + after))
    start = WEFT.index(old)
    found = at(editor, uri, start + len(before))
    assert set(offered) <= set(found), set(offered) - set(found)
    assert not set(withheld) & set(found), set(withheld) & set(found)


def at(editor: Client, uri: str, offset: int) -> dict[str, dict[str, object]]:
    text = editor.texts[uri]
    line = text.count("\n", 0, offset)
    position = {"line": line, "character": offset - (text.rfind("\n", 0, offset) + 1)}
    asked = {"textDocument": {"uri": uri}, "position": position}
    items = editor.request("textDocument/completion", asked)["items"]
    return {item["label"]: item for item in items}


YAML_CASES = [
    ("\ntrain:\n", "\n|train:\n", ["variant", "import", "default"], ["linear", "net"]),
    ("    values:\n      h", "    |values:\n      h", ["let", "weight", "default"], ["net"]),
    ("      updates:", "      |\n      updates:", ["clip", "metric", "every"], ["loss", "updates"]),
    ("  epochs: 20", "  |", ["epochs", "precision", "seed"], ["data", "net"]),
    ("      from:", "      |from:", ["from"], ["type", "linear"]),
    ("            do: relu", "            |", ["do", "index", "as"], ["repeat", "linear"]),
    ("      - gelu\n", "      - |\n", ["linear", "residual", "features", "x"], ["width="]),
    ("h -> Res(width)", "h -> |", ["Res", "linear"], ["h"]),
    ("Res(width)", "Res(width, |)", ["act="], ["features"]),
    ("Res(width)", "Res(width, act=|)", ["relu", "gelu"], ["linear"]),
    ("digits(batch=64)", "|", ["digits", "csv"], ["linear"]),
    ("digits(batch=64)", "digits(|)", ["batch=", "split="], ["bias="]),
    ("adamw(lr=1e-3)", "adamw(lr=|)", ["cosine"], ["digits"]),
    ("updates: mlp", "updates: |", ["mlp"], ["linear"]),
    ("image: f32[B, 64]\n", "image: |\n", ["f32"], ["linear"]),
]


@pytest.mark.parametrize(
    ("old", "new", "offered", "withheld"), YAML_CASES, ids=[c[1] for c in YAML_CASES]
)
def test_yaml(
    editor: Client, folder: Path, old: str, new: str, offered: list[str], withheld: list[str]
) -> None:
    uri = open_yaml(editor, folder)
    before, _, after = new.partition("|")
    assert YAML.count(old) == 1
    editor.change(uri, YAML.replace(old, before + after))
    found = at(editor, uri, YAML.index(old) + len(before))
    assert set(offered) <= set(found), set(offered) - set(found)
    assert not set(withheld) & set(found), set(withheld) & set(found)


def test_operations_show_their_signature(editor: Client, folder: Path) -> None:
    uri = open_weft(editor, folder)
    found = editor.complete(uri, "-> |Half")
    assert found["linear"]["detail"].startswith("linear(x; features, bias=true")
    assert found["linear"]["documentation"] == "x weight^T + bias, over the last axis"
    assert found["Mix"]["detail"] == "Mix(x; width, act=relu)"
    assert found["Half"]["documentation"] == "halves the features"
    assert not [name for name in found if name.startswith("_")]


def test_names_show_their_type(editor: Client, folder: Path) -> None:
    uri = open_weft(editor, folder)
    found = editor.complete(uri, "linear(|d) ->")
    assert found["h"]["detail"] == "value f32[B, T, 32]"
    assert found["d"]["detail"] == "param = 32"


def test_a_file_that_never_was_whole(editor: Client, folder: Path) -> None:
    text = BLOCKS + "net n {\n  in x: f32[B, 4]\n  h = x -> Mix(8)\n  h -> linear(\n"
    uri = editor.open(folder / "new.weft", text)
    assert editor.diagnostics(uri)
    found = editor.complete(uri, "h -> linear(|\n")
    assert {"features=", "x", "h"} <= set(found)
    assert "Mix" in editor.complete(uri, "h -> |linear(")
