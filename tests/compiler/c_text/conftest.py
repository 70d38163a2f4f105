"""The C library, built once for this machine and for narrower vectors."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from pathlib import Path

import pytest

from weft.compiler.emit.c import library as texts
from weft.runtime.native import FLAGS, build, load

from ..narrow import NARROWER
from .harness import harness


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("native")


@pytest.fixture(scope="session", params=["native", *NARROWER])
def library(folder: Path, request: pytest.FixtureRequest) -> Iterator[ctypes.CDLL]:
    text = harness()
    flags = (*FLAGS, f"-march={request.param}")
    found = load(build(text, files=texts(text), flags=flags, cache_dir=folder))
    for name in ("scratch_floats", "farthest", "rounds", "border"):
        getattr(found, name).restype = ctypes.c_long
    yield found
