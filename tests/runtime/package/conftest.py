"""A project, its package, and a Python that has NumPy and nothing else."""

from __future__ import annotations

import os
import subprocess
import venv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import weft
from weft.compiler.artifact import Artifact
from weft.runtime.package import write_package

from .packaged import CELL, SPEC, Run


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a spec, a block that it imports, and its data."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "net.weft").write_text(SPEC)
    (folder / "parts").mkdir()
    (folder / "parts" / "cell.weft").write_text(CELL)
    points = np.random.default_rng(0).normal(size=(90, 3))
    rows = [f"{a:.4f},{b:.4f},{c:.4f},{'inner' if a * b > c else 'outer'}" for a, b, c in points]
    (folder / "points.csv").write_text("\n".join(["a,b,c,kind", *rows]) + "\n")
    return folder


@pytest.fixture(scope="session")
def artifact(project: Path) -> Artifact:
    return weft.compile(project / "net.weft", "cpu").artifact


@pytest.fixture(scope="session")
def package(project: Path, artifact: Artifact) -> Path:
    return write_package(artifact, project / "build" / "net", root=project)


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs a Python that has NumPy and nothing else."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, symlinks=True, with_pip=False)
    (site,) = folder.glob("lib/python3*/site-packages")
    home = Path(np.__file__).parent
    for part in (home, home.with_name("numpy.libs")):
        if part.exists():
            (site / part.name).symlink_to(part)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}

    def run(*arguments: object, cwd: Path = folder, **environment: str) -> Any:
        command = [str(folder / "bin" / "python"), *map(str, arguments)]
        return subprocess.run(
            command, cwd=cwd, env=kept | environment, capture_output=True, text=True, check=False
        )

    return run


@pytest.fixture
def copy(project: Path, artifact: Artifact, tmp_path: Path) -> Path:
    """A package of one's own to change."""
    return write_package(artifact, tmp_path / "copy", root=project)
