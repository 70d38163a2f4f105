"""A package is written without harm to what lies there."""

from __future__ import annotations

from pathlib import Path

import pytest

import weft
from weft.compiler.artifact import Artifact
from weft.runtime.manifest import read
from weft.runtime.package import write_package
from weft.spec.errors import DataError, UsageError

from .packaged import contents


def test_what_is_not_a_package_is_not_overwritten(
    project: Path, artifact: Artifact, tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    (folder / "README.md").write_text("mine too")
    with pytest.raises(UsageError, match="not empty and no package"):
        write_package(artifact, folder, root=project)
    assert len(contents(folder)) == 2
    write_package(artifact, folder, root=project, force=True)
    assert (folder / "notes.txt").read_text() == "mine"
    assert read(folder).edited == ()
    with pytest.raises(UsageError, match="is a file"):
        write_package(artifact, folder / "notes.txt", root=project)


def test_a_package_is_renewed_and_nothing_else_is_touched(
    project: Path, artifact: Artifact, copy: Path
) -> None:
    before = contents(copy)
    (copy / "run").mkdir()
    (copy / "run" / "metrics.csv").write_text("mine")
    write_package(artifact, copy, root=project, bundle=True)
    assert "data/x_label.npz" in contents(copy)
    write_package(artifact, copy, root=project)
    assert contents(copy) == before | {"run/metrics.csv": b"mine"}
    for name in ("kernels.c", "README.md"):
        (copy / name).write_text("edited")
        with pytest.raises(UsageError, match=name):
            write_package(artifact, copy, root=project)
        assert (copy / name).read_text() == "edited"
    write_package(artifact, copy, root=project, force=True)
    assert contents(copy) == before | {"run/metrics.csv": b"mine"}


def test_a_full_disk_leaves_the_old_package_whole(
    project: Path, artifact: Artifact, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(copy)
    write = Path.write_bytes

    def full(self: Path, data: bytes) -> int:
        if self.name == "model.py":
            raise OSError(28, "No space left on device", str(self))
        return write(self, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    for folder in (copy, copy.with_name("new")):
        with pytest.raises(DataError, match="the disk is full"):
            write_package(artifact, folder, root=project, bundle=True)
    assert contents(copy) == before
    assert sorted(path.name for path in copy.parent.iterdir()) == ["copy"]


def test_there_is_no_package_of_the_reference(project: Path, tmp_path: Path) -> None:
    artifact = weft.compile(project / "net.weft", "reference").artifact
    with pytest.raises(UsageError, match="no kernels to write"):
        write_package(artifact, tmp_path / "p", root=project)
