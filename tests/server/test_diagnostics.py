"""Errors while typing: places, codes, hints, other places, other files; gone when mended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lsp_client import Client, inside

GOOD = """net n {
  in x: f32[B, 8]
  h = x -> linear(16)
  g = x -> gelu
  (h, g) -> concat(axis=1) -> relu -> linear(4) as logits
}
"""
BLOCKS = """block Mix(width) {
  in x: f32[..., C]
  x -> residual { linear(width) -> relu -> linear(C) }
}
"""
USER = """import "blocks.weft"

net n {
  in x: f32[B, 8]
  x -> Mix(32) -> Mix(16)
}
"""


def shown(editor: Client, uri: str) -> list[tuple[str, str]]:
    """Code and underlined text of what is published for a document."""
    found = editor.diagnostics(uri)
    return [(each["code"], inside(editor.texts[uri], each["range"])) for each in found]


def until(editor: Client, uri: str, wanted: list[tuple[str, str]]) -> None:
    """Wait for a publication that says just this; without one the client's patience ends."""
    while shown(editor, uri) != wanted:
        pass


def test_errors_come_while_typing_and_go_when_mended(editor: Client, folder: Path) -> None:
    uri = editor.open(folder / "a.weft", GOOD)
    assert shown(editor, uri) == []
    editor.change(uri, GOOD.replace("gelu", "glue").replace("linear(16)", "linear(16, bais=1)"))
    assert shown(editor, uri) == [("E304", "bais"), ("E302", "glue")]
    editor.change(uri, GOOD)
    assert shown(editor, uri) == []


def test_what_a_diagnostic_holds(editor: Client, folder: Path) -> None:
    uri = editor.open(folder / "a.weft", GOOD.replace("relu", "rleu"))
    (found,) = editor.diagnostics(uri)
    assert found["message"] == "unknown operation `rleu`\nhint: did you mean `relu`?"
    assert found["severity"] == 1 and found["source"] == "weft"
    assert found["range"] == {
        "start": {"line": 4, "character": 30},
        "end": {"line": 4, "character": 34},
    }


def test_unused_values_are_greyed_out(editor: Client, folder: Path) -> None:
    uri = editor.open(folder / "a.weft", GOOD.replace("(h, g)", "(h, h)"))
    (found,) = editor.diagnostics(uri)
    assert found["code"] == "E204" and found["tags"] == [1]


def test_the_other_places_of_an_error(editor: Client, folder: Path) -> None:
    text = """net n {
  in x: f32[B, 3, 32]
  s = x -> linear(8)
  p = x -> linear(16)
  s + p
}
"""
    uri = editor.open(folder / "a.weft", text)
    (found,) = editor.diagnostics(uri)
    places = [each["location"] for each in found["relatedInformation"]]
    assert [inside(text, place["range"]) for place in places] == ["linear"] * 2
    assert {place["uri"] for place in places} == {uri}


def test_only_the_last_of_many_keystrokes_counts(editor: Client, folder: Path) -> None:
    uri = editor.open(folder / "a.weft", GOOD)
    editor.diagnostics(uri)
    for end in range(1, 40):
        editor.change(uri, GOOD[:-end])
    editor.change(uri, GOOD)
    assert editor.diagnostics(uri) == []
    versions = [note["params"].get("version") for note in editor.notes if about(note, uri)]
    assert len(versions) < 5


def about(note: dict[str, Any], uri: str) -> bool:
    return bool(note["method"].endswith("publishDiagnostics") and note["params"]["uri"] == uri)


def test_errors_of_an_imported_file_stand_there(editor: Client, folder: Path) -> None:
    broken = BLOCKS.replace("linear(C)", "linear(C + 1)")
    (folder / "blocks.weft").write_text(broken)
    user = editor.open(folder / "user.weft", USER)
    assert editor.diagnostics(user) == []
    uri = (folder / "blocks.weft").as_uri()
    (found,) = editor.diagnostics(uri, None)
    assert (found["code"], inside(broken, found["range"])) == ("E404", "residual")
    (other,) = found["relatedInformation"]
    assert other["location"]["uri"] == user
    assert inside(USER, other["location"]["range"]) == "Mix(32)"


def test_unsaved_imports_count(editor: Client, folder: Path) -> None:
    (folder / "blocks.weft").write_text(BLOCKS)
    user = editor.open(folder / "user.weft", USER)
    blocks = editor.open(folder / "blocks.weft", BLOCKS)
    assert shown(editor, user) == [] and shown(editor, blocks) == []
    editor.change(blocks, BLOCKS.replace("linear(C)", "linear(C + 1)"))
    until(editor, blocks, [("E404", "residual")])
    editor.change(blocks, BLOCKS.replace("Mix", "Mux"))
    until(editor, blocks, [])
    until(editor, user, [("E302", "Mix")])
    editor.change(blocks, BLOCKS)
    until(editor, user, [])
    editor.close(blocks)
    editor.close(user)


def test_imports_that_change_on_disk_are_read_again(editor: Client, folder: Path) -> None:
    path = folder / "blocks.weft"
    path.write_text(BLOCKS)
    user = editor.open(folder / "user.weft", USER)
    assert shown(editor, user) == []
    path.write_text(BLOCKS.replace("Mix", "Mux"))
    changes = [{"uri": path.as_uri(), "type": 2}]
    editor.notify("workspace/didChangeWatchedFiles", {"changes": changes})
    assert shown(editor, user) == [("E302", "Mix")]


def test_a_file_of_blocks_needs_no_net(editor: Client, folder: Path) -> None:
    uri = editor.open(folder / "blocks.weft", BLOCKS)
    assert shown(editor, uri) == []
    editor.change(uri, "param a=1\n")
    assert [code for code, _ in shown(editor, uri)] == ["E208"]


def test_closing_takes_everything_back(editor: Client, folder: Path) -> None:
    uri = editor.open(folder / "a.weft", "net {")
    assert editor.diagnostics(uri)
    editor.close(uri)
    assert editor.diagnostics(uri, None) == []


def test_yaml(editor: Client, folder: Path) -> None:
    text = "net:\n  n:\n    in:\n      x: f32[B, 8]\n    out: x -> lineer(4)\n"
    uri = editor.open(folder / "a.yaml", text)
    assert shown(editor, uri) == [("E302", "lineer")]
    editor.change(uri, text.replace("lineer", "linear").replace("out:", "outs:"))
    assert shown(editor, uri) == [("E203", "outs")]
    editor.change(uri, text.replace("lineer", "linear"))
    assert shown(editor, uri) == []


def test_other_yaml_is_left_alone(editor: Client, folder: Path) -> None:
    text = "services:\n  web:\n    image: nginx\n"
    uri = editor.open(folder / "compose.yaml", text)
    assert editor.hover(uri, "ser|vices") == ""
    assert not [note for note in editor.notes if about(note, uri)]


def test_unsaved_documents_have_a_form_by_their_language(editor: Client) -> None:
    uri = editor.open("untitled:Untitled-1", GOOD, "weft")
    assert editor.diagnostics(uri) == []
    editor.change(uri, 'import "b.weft"\n' + GOOD)
    assert [code for code, _ in shown(editor, uri)] == ["E211"]


def test_columns_are_counted_in_the_units_of_the_client(editor: Client, folder: Path) -> None:
    text = GOOD.replace("-> relu", '-> require(true, "𝄞é") -> rleu')
    for client, width in ((editor, 2 + 1), (Client(("utf-8",)), 4 + 2)):
        uri = client.open(folder / "a.weft", text)
        (found,) = client.diagnostics(uri)
        column = text.split("\n")[4].index("rleu") - 2 + width
        assert found["range"]["start"] == {"line": 4, "character": column}
    assert client.stop() == 0
