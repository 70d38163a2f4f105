"""How the server starts and ends: fast, without torch, with the right exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from lsp_client import Client

QUICK = 1.0  # seconds of work up to the answer of the handshake; torch alone takes more


def test_the_handshake_is_answered_at_once() -> None:
    client = Client(initialized=False)
    spent = cpu_seconds(client.process.pid)  # others may use the machine: not by the clock
    assert client.stop() == 0
    assert spent < QUICK


def cpu_seconds(pid: int) -> float:
    """The processor time that a process has taken so far."""
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        pytest.skip("no /proc here")
    fields = stat.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_capabilities(editor: Client) -> None:
    given = editor.capabilities
    assert given["positionEncoding"] == "utf-16"
    assert given["textDocumentSync"]["change"] == 1
    for name in ("hover", "completion", "definition", "documentFormatting", "documentSymbol"):
        assert given[f"{name}Provider"]
    assert given["signatureHelpProvider"]["triggerCharacters"] == ["(", ","]
    assert given["codeActionProvider"]["codeActionKinds"] == ["quickfix"]


def test_the_client_is_asked_to_watch_specs() -> None:
    client = Client()
    nowhere = {"textDocument": {"uri": "file:///none.weft"}}
    assert client.request("textDocument/documentSymbol", nowhere) == []
    asked = [note for note in client.notes if note["method"] == "client/registerCapability"]
    (registration,) = asked[0]["params"]["registrations"]
    assert registration["method"] == "workspace/didChangeWatchedFiles"
    assert client.stop() == 0


def test_torch_stays_out(editor: Client, folder: Path) -> None:
    uri = editor.open(folder / "a.weft", "net n {\n  in x: f32[B, 4]\n  x -> linear(2)\n}\n")
    assert editor.diagnostics(uri) == []
    assert editor.hover(uri, "lin|ear(")
    maps = Path(f"/proc/{editor.process.pid}/maps")
    if maps.exists():
        assert "numpy" in maps.read_text()
        assert "torch" not in maps.read_text()


def test_no_part_of_the_server_imports_torch() -> None:
    folder = Path(__file__).parents[2] / "server"
    names = [f"weft.server.{each.stem}" for each in folder.glob("[a-z]*.py")]
    code = f"import sys, {', '.join(names)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_an_editor_that_goes_away_ends_the_server() -> None:
    client = Client()
    assert client.process.stdin is not None
    client.process.stdin.close()
    assert client.process.wait(10) == 1


def test_without_pygls_one_line_says_what_to_do() -> None:
    code = "import sys; sys.modules['pygls'] = None; from weft.cli import main; "
    code += "sys.exit(main(['lsp']))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.returncode == 1
    assert answer.stderr == (
        "weft: error: the language server needs pygls\n"
        "  = hint: pip install 'weft[lsp]', or pip install pygls\n"
    )
