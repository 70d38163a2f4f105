"""The language server: an editor starts it and talks to it over stdin and stdout."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys

from .. import __version__
from ..spec.errors import WeftError


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `weft lsp`."""
    parser.add_argument("--stdio", action="store_true", help="accepted; there is no other way")


def run(arguments: argparse.Namespace) -> int:
    """Serve one editor until it says goodbye.

    Raises: WeftError where pygls is not installed.
    """
    try:
        from ..server.language_server import make_server
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("pygls", "lsprotocol"):
            raise
        raise WeftError(
            "the language server needs pygls", hint="pip install 'weft[lsp]', or pip install pygls"
        ) from None
    server = make_server(__version__)
    wire = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    with contextlib.redirect_stdout(sys.stderr):  # whatever else is printed is no message
        server.start_io(stdout=wire)
    return 0 if server.dismissed else 1
