"""What happens between a change of a text and the answers about it."""

from __future__ import annotations

import asyncio
import traceback
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lsprotocol import types as lsp

from .analysis import Analysis, Request, analyse
from .diagnostics import by_file, merged
from .documents import Document, Documents
from .view import View

if TYPE_CHECKING:
    from .language_server import Server

PAUSE = 0.2  # seconds without a keystroke before a text is analysed


class Session:
    """The open documents, and the analyses on their way."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.documents = Documents()
        self.documents.encoding = str(getattr(server.encoding, "value", server.encoding))
        self.waiting: dict[str, asyncio.TimerHandle] = {}
        self.findings: dict[str, dict[str, list[lsp.Diagnostic]]] = {}

    # ---- what the client tells -------------------------------------------------------------

    def opened(self, item: lsp.TextDocumentItem) -> None:
        """A document was opened: look at it at once."""
        self.documents.put(item.uri, item.language_id, item.text, item.version)
        self.schedule(item.uri, 0)

    def changed(self, uri: str, content: str, version: int) -> None:
        """A document has another text: look at it once the typing pauses."""
        document = self.documents.open.get(uri)
        if document is None:
            return
        document.change(content, version)
        self.schedule(uri, PAUSE)
        for user in list(self.documents.users_of(document)):
            self.schedule(user.uri, PAUSE)

    def closed(self, uri: str) -> None:
        """A document was closed: what was said of it alone is taken back."""
        document = self.documents.open.pop(uri, None)
        waiting = self.waiting.pop(uri, None)
        if waiting is not None:
            waiting.cancel()
        if document is None:
            return
        targets = self.findings.pop(uri, {})
        for target in targets:
            self.publish(target)
        for user in list(self.documents.users_of(document)):
            self.schedule(user.uri, 0)

    def files_changed(self) -> None:
        """Files were changed outside the editor: imports may read differently."""
        for uri in self.documents.open:
            self.schedule(uri, PAUSE)

    # ---- analyses --------------------------------------------------------------------------

    def schedule(self, uri: str, pause: float) -> None:
        """Analyse a document after a pause in which nothing changes."""
        waiting = self.waiting.pop(uri, None)
        if waiting is not None:
            waiting.cancel()
        loop = asyncio.get_running_loop()
        self.waiting[uri] = loop.call_later(pause, self.start, uri)

    def start(self, uri: str) -> None:
        """Hand the text as it is now to the worker."""
        self.waiting.pop(uri, None)
        document = self.documents.open.get(uri)
        if document is None or not document.ours:
            return
        request = self.documents.request(document)
        loop = asyncio.get_running_loop()

        def job() -> None:
            try:
                analysis = analyse(request)
                tell = partial(self.arrived, request, analysis)
            except Exception:  # the border: the client hears of an error of ours
                tell = partial(self.failed, request, traceback.format_exc())
            if not loop.is_closed():
                loop.call_soon_threadsafe(tell)

        self.server.worker.submit(uri, job)

    def arrived(self, request: Request, analysis: Analysis) -> None:
        """An analysis is done; what it says of an older text is not shown."""
        document = self.documents.open.get(request.uri)
        if document is None:
            return
        document.take(analysis)
        if analysis.version != document.version or self.outdated(analysis):
            return
        encoding = self.documents.encoding
        found = by_file(analysis, document.path, encoding, self.documents.uri_of)
        before = self.findings.get(request.uri, {})
        self.findings[request.uri] = {
            uri: each for file, each in found.items() if (uri := self.uri(document, file))
        }
        for target in {**before, **self.findings[request.uri]}:
            self.publish(target)

    def outdated(self, analysis: Analysis) -> bool:
        """Has an open file that was imported changed meanwhile?  Then another one is on its way."""
        return any(
            analysis.texts.get(other.path, other.text.content) != other.text.content
            for other in self.documents.open.values()
        )

    def failed(self, request: Request, trace: str) -> None:
        """An error of ours: the client's log has it, the text keeps what was said of it."""
        text = f"weft: internal error in the analysis of {request.uri}\n{trace}"
        self.server.window_log_message(lsp.LogMessageParams(lsp.MessageType.Error, text))

    def publish(self, uri: str) -> None:
        """Tell the client all that is known to be wrong with a document."""
        document = self.documents.open.get(uri)
        shown = merged(found[uri] for found in self.findings.values() if uri in found)
        version = document.version if document is not None else None
        self.server.text_document_publish_diagnostics(
            lsp.PublishDiagnosticsParams(uri, shown, version)
        )

    def uri(self, document: Document, file: str) -> str | None:
        """The URI of a file that a document's analysis speaks of."""
        if file == document.path:
            return document.uri
        return self.documents.uri_of(file) or self.documents.uri_of(str(Path(file).resolve()))

    # ---- questions -------------------------------------------------------------------------

    def view(self, uri: str) -> View | None:
        """A document, for one question; None for what is not ours."""
        document = self.documents.open.get(uri)
        return View(document, self.documents) if document is not None and document.ours else None
