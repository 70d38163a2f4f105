"""The protocol: which question goes to which file of this folder.

Nothing of the compiler is imported before the handshake is answered: an editor waits for that.
"""

from __future__ import annotations

import importlib
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

from lsprotocol import types as lsp
from pygls.lsp.server import LanguageServer

from .worker import Worker

if TYPE_CHECKING:
    from .session import Session
    from .view import View

Asked: TypeAlias = (
    lsp.HoverParams | lsp.CompletionParams | lsp.DefinitionParams | lsp.SignatureHelpParams
)
TRIGGERS = ["(", ",", "=", " ", ".", ">"]


class Server(LanguageServer):
    """The server with its worker; the session comes to be with the first document."""

    def __init__(self, version: str) -> None:
        super().__init__("weft", version, text_document_sync_kind=lsp.TextDocumentSyncKind.Full)
        self.worker = Worker()
        self.dismissed = False

    @property
    def encoding(self) -> object:
        """The unit of columns that client and server agreed on."""
        return self.workspace.position_encoding or lsp.PositionEncodingKind.Utf16

    @cached_property
    def session(self) -> Session:
        """The open documents."""
        from .session import Session

        return Session(self)


def make_server(version: str) -> Server:
    """A server that answers everything this folder can."""
    server = Server(version)
    _follow(server)
    _answer(server)
    return server


def _follow(server: Server) -> None:
    """Documents that open, change and close."""

    @server.feature(lsp.INITIALIZED)
    def initialized(server: Server, _: lsp.InitializedParams) -> None:
        server.worker.start()
        package = __name__.rpartition(".")[0]
        server.worker.submit("load", lambda: _load(package))
        _watch(server)

    @server.feature(lsp.SHUTDOWN)
    def dismissed(server: Server, *_: object) -> None:
        server.dismissed = True

    @server.feature(lsp.TEXT_DOCUMENT_DID_OPEN)
    def opened(server: Server, given: lsp.DidOpenTextDocumentParams) -> None:
        server.session.opened(given.text_document)

    @server.feature(lsp.TEXT_DOCUMENT_DID_CHANGE)
    def changed(server: Server, given: lsp.DidChangeTextDocumentParams) -> None:
        document, last = given.text_document, given.content_changes[-1]
        server.session.changed(document.uri, last.text, document.version)

    @server.feature(lsp.TEXT_DOCUMENT_DID_CLOSE)
    def closed(server: Server, given: lsp.DidCloseTextDocumentParams) -> None:
        server.session.closed(given.text_document.uri)

    @server.feature(lsp.TEXT_DOCUMENT_DID_SAVE)
    def saved(server: Server, _: lsp.DidSaveTextDocumentParams) -> None:
        server.session.files_changed()

    @server.feature(lsp.WORKSPACE_DID_CHANGE_WATCHED_FILES)
    def watched(server: Server, _: lsp.DidChangeWatchedFilesParams) -> None:
        server.session.files_changed()


def _watch(server: Server) -> None:
    """Ask the client to tell of specs that change on disk: they may be imported."""
    workspace = server.client_capabilities.workspace
    watching = workspace.did_change_watched_files if workspace is not None else None
    if watching is None or not watching.dynamic_registration:
        return
    specs = lsp.DidChangeWatchedFilesRegistrationOptions(
        [lsp.FileSystemWatcher("**/*.{weft,yaml,yml}")]
    )
    method = lsp.WORKSPACE_DID_CHANGE_WATCHED_FILES
    registration = lsp.Registration("weft-files", method, specs)
    server.client_register_capability(lsp.RegistrationParams([registration]))


def _answer(server: Server) -> None:
    """Questions about a document."""

    @server.feature(lsp.TEXT_DOCUMENT_HOVER)
    def hover(server: Server, asked: lsp.HoverParams) -> lsp.Hover | None:
        from .hover import hover

        at = _at(server, asked)
        return hover(*at) if at else None

    @server.feature(
        lsp.TEXT_DOCUMENT_COMPLETION, lsp.CompletionOptions(trigger_characters=TRIGGERS)
    )
    def completion(server: Server, asked: lsp.CompletionParams) -> lsp.CompletionList:
        from .completion import completion

        at = _at(server, asked)
        return lsp.CompletionList(False, completion(*at) if at else [])

    @server.feature(lsp.TEXT_DOCUMENT_DEFINITION)
    def definition(server: Server, asked: lsp.DefinitionParams) -> lsp.Location | None:
        from .definition import definition

        at = _at(server, asked)
        return definition(*at) if at else None

    @server.feature(
        lsp.TEXT_DOCUMENT_SIGNATURE_HELP, lsp.SignatureHelpOptions(trigger_characters=["(", ","])
    )
    def signature(server: Server, asked: lsp.SignatureHelpParams) -> lsp.SignatureHelp | None:
        from .signature_help import signature_help

        at = _at(server, asked)
        return signature_help(*at) if at else None

    @server.feature(lsp.TEXT_DOCUMENT_FORMATTING)
    def formatting(server: Server, asked: lsp.DocumentFormattingParams) -> list[lsp.TextEdit]:
        from .formatting import formatting

        view = server.session.view(asked.text_document.uri)
        return formatting(view.document) if view else []

    @server.feature(lsp.TEXT_DOCUMENT_DOCUMENT_SYMBOL)
    def symbols(server: Server, asked: lsp.DocumentSymbolParams) -> list[lsp.DocumentSymbol]:
        from .symbols import symbols

        view = server.session.view(asked.text_document.uri)
        return symbols(view.document) if view else []

    @server.feature(
        lsp.TEXT_DOCUMENT_CODE_ACTION,
        lsp.CodeActionOptions(code_action_kinds=[lsp.CodeActionKind.QuickFix]),
    )
    def actions(server: Server, asked: lsp.CodeActionParams) -> list[lsp.CodeAction]:
        from .actions import actions

        view = server.session.view(asked.text_document.uri)
        return actions(view.document, asked.context.diagnostics) if view else []


def _at(server: Server, asked: Asked) -> tuple[View, int] | None:
    """The document and the offset that a question is about."""
    view = server.session.view(asked.text_document.uri)
    return (view, view.document.text.offset(asked.position)) if view else None


def _load(package: str) -> None:
    """Import what the first answers need, while the client is still opening its document."""
    for name in ("session", "hover", "completion"):
        importlib.import_module(f"{package}.{name}")
    importlib.import_module(f"{package}.callables").shipped()
