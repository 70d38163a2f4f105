"""The C library, built once."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from pathlib import Path

import pytest

from weft.compiler.emit.c import library as texts
from weft.runtime.native import build, load

from .harness import harness


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("native")


@pytest.fixture(scope="session")
def library(folder: Path) -> Iterator[ctypes.CDLL]:
    text = harness()
    found = load(build(text, files=texts(text), cache_dir=folder))
    for name in ("scratch_floats", "rounds", "border"):
        getattr(found, name).restype = ctypes.c_long
    yield found
