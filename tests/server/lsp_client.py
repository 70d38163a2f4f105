"""A client of `weft lsp`: starts it as an editor does and talks JSON-RPC over its pipes."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

PATIENCE = 20  # seconds


class Client:
    """One server process; messages that are no answers are kept by method."""

    def __init__(self, encodings: tuple[str, ...] = ("utf-16",), initialized: bool = True) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "weft.cli", "lsp"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.inbox: queue.Queue[dict[str, Any]] = queue.Queue()
        self.notes: list[dict[str, Any]] = []
        self.last = 0
        self.texts: dict[str, str] = {}
        self.versions: dict[str, int] = {}
        threading.Thread(target=self._read, daemon=True).start()
        self.capabilities = self.request(
            "initialize",
            {
                "processId": None,
                "rootUri": None,
                "capabilities": {
                    "general": {"positionEncodings": list(encodings)},
                    "workspace": {"didChangeWatchedFiles": {"dynamicRegistration": True}},
                },
            },
        )["capabilities"]
        if initialized:
            self.notify("initialized", {})

    # ---- the wire --------------------------------------------------------------------------

    def _read(self) -> None:
        stream = self.process.stdout
        assert stream is not None
        while True:
            length = 0
            while (line := stream.readline().strip()) != b"":
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            if not length:
                return
            self.inbox.put(json.loads(stream.read(length)))

    def send(self, message: dict[str, Any]) -> None:
        stream = self.process.stdin
        assert stream is not None
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        stream.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        stream.flush()

    def notify(self, method: str, params: Any) -> None:
        self.send({"method": method, "params": params})

    def request(self, method: str, params: Any) -> Any:
        self.last += 1
        self.send({"id": self.last, "method": method, "params": params})
        deadline = time.monotonic() + PATIENCE
        while True:
            message = self.inbox.get(timeout=max(0.01, deadline - time.monotonic()))
            if message.get("id") == self.last and "method" not in message:
                assert "error" not in message, message["error"]
                return message["result"]
            self.keep(message)

    def keep(self, message: dict[str, Any]) -> None:
        """A notification is remembered, a request of the server agreed to."""
        self.notes.append(message)
        if "id" in message and "method" in message:
            self.send({"id": message["id"], "result": None})

    # ---- documents -------------------------------------------------------------------------

    def open(self, path: Path | str, text: str, language: str | None = None) -> str:
        uri = path.as_uri() if isinstance(path, Path) else path
        name = language or ("yaml" if uri.endswith("yaml") else "weft")
        self.texts[uri], self.versions[uri] = text, 1
        item = {"uri": uri, "languageId": name, "version": 1, "text": text}
        self.notify("textDocument/didOpen", {"textDocument": item})
        return uri

    def change(self, uri: str, text: str) -> None:
        self.texts[uri] = text
        self.versions[uri] += 1
        self.notify(
            "textDocument/didChange",
            {
                "textDocument": {"uri": uri, "version": self.versions[uri]},
                "contentChanges": [{"text": text}],
            },
        )

    def close(self, uri: str) -> None:
        self.notify("textDocument/didClose", {"textDocument": {"uri": uri}})

    def diagnostics(self, uri: str, version: int | None = -1) -> list[dict[str, Any]]:
        """What is published for a document; by default for the version that was sent last."""
        wanted = self.versions.get(uri) if version == -1 else version
        deadline = time.monotonic() + PATIENCE
        while True:
            for index, note in enumerate(self.notes):
                params = note.get("params") or {}
                if (
                    note.get("method") == "textDocument/publishDiagnostics"
                    and params["uri"] == uri
                    and params.get("version") == wanted
                ):
                    del self.notes[index]
                    return list(params["diagnostics"])
            self.keep(self.inbox.get(timeout=max(0.01, deadline - time.monotonic())))

    def spot(self, uri: str, marked: str) -> dict[str, Any]:
        """The position of `|` in an excerpt of the text: `-> lin|ear(`."""
        before, _, after = marked.partition("|")
        text = self.texts[uri]
        at = text.index(before + after) + len(before)
        line = text.count("\n", 0, at)
        return {"line": line, "character": at - (text.rfind("\n", 0, at) + 1)}

    def ask(self, method: str, uri: str, marked: str) -> Any:
        position = self.spot(uri, marked)
        return self.request(
            f"textDocument/{method}", {"textDocument": {"uri": uri}, "position": position}
        )

    def hover(self, uri: str, marked: str) -> str:
        found = self.ask("hover", uri, marked)
        return str(found["contents"]["value"]) if found else ""

    def complete(self, uri: str, marked: str) -> dict[str, dict[str, Any]]:
        return {item["label"]: item for item in self.ask("completion", uri, marked)["items"]}

    def stop(self) -> int:
        self.request("shutdown", None)
        self.notify("exit", None)
        return self.process.wait(PATIENCE)


def inside(text: str, place: dict[str, Any]) -> str:
    """The text of a range on one line."""
    assert place["start"]["line"] == place["end"]["line"]
    line = text.split("\n")[place["start"]["line"]]
    return line[place["start"]["character"] : place["end"]["character"]]
