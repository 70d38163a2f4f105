"""One server for all tests, as an editor keeps it running; each test closes what it opened."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

pytest.importorskip("pygls")

from lsp_client import Client


@pytest.fixture(scope="session")
def server() -> Iterator[Client]:
    """A client with its server, which ends well."""
    client = Client()
    yield client
    assert client.stop() == 0


@pytest.fixture
def editor(server: Client) -> Iterator[Client]:
    """The client without open documents."""
    yield server
    for uri in list(server.texts):
        server.close(uri)
    server.notes.clear()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a test's documents are."""
    return tmp_path.resolve()
