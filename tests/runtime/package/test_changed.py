"""Packages with changed files, and options that are wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from weft.runtime.manifest import MANIFEST, changed, read
from weft.spec.errors import UsageError

from .packaged import Run


def test_a_changed_file_is_named_and_runs_only_on_purpose(
    copy: Path, bare: Run, tmp_path: Path
) -> None:
    kernels = copy / "kernels.c"
    kernels.write_text(kernels.read_text() + "\n/* edited */\n")
    done = bare(copy / "train.py", "--out", tmp_path / "run")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "`kernels.c` was changed" in done.stderr and "--allow-edited" in done.stderr
    assert not (tmp_path / "run").exists()
    kernels.write_text(kernels.read_text() + "int broken(\n")
    done = bare(copy / "train.py", "--out", tmp_path / "run", "--allow-edited")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "edited since weft wrote it: kernels.c" in done.stderr
    assert "the edited kernels do not compile" in done.stderr


@pytest.mark.parametrize(
    "name", ["step.py", "support/runtime/trainer.py", "spec/net.weft", MANIFEST]
)
def test_every_file_is_checked(copy: Path, name: str) -> None:
    path = copy / name
    path.write_bytes(path.read_bytes().replace(b"e", b"o", 1) if name != MANIFEST else
                     path.read_bytes().replace(b'"seed": 3', b'"seed": 4'))  # fmt: skip
    assert changed(copy) == [name]
    with pytest.raises(UsageError, match="changed since `weft compile`"):
        read(copy)
    assert read(copy, allow_edited=True).edited == (name,)


def test_a_missing_file_and_a_broken_manifest_are_named(copy: Path) -> None:
    (copy / "kernels.c").unlink()
    with pytest.raises(UsageError, match=r"`kernels\.c` is missing"):
        read(copy, allow_edited=True)
    manifest = copy / MANIFEST
    manifest.write_bytes(manifest.read_bytes()[:1000])
    with pytest.raises(UsageError, match="is damaged"):
        read(copy, allow_edited=True)
    manifest.write_text(json.dumps({"package": 99, "data": {}, "files": {}, "artifact": {}}))
    with pytest.raises(UsageError, match="has format 99"):
        read(copy)


def test_bad_options_and_a_missing_compiler_are_one_screen(
    package: Path, bare: Run, tmp_path: Path
) -> None:
    for options, said in (
        (("--epochs", "0"), "--epochs 0: more than 0 are needed"),
        (("--seed", "-1"), "--seed -1: from 0"),
        (("--epochs", "1", "--steps", "1"), "not allowed with"),
        (("--resume", "--out", tmp_path / "none"), "there is no checkpoint"),
    ):
        done = bare(package / "train.py", *options)
        assert done.returncode == (1 if "--resume" in options else 2), done.stderr
        assert said in done.stderr and "Traceback" not in done.stderr
    done = bare(package / "train.py", CC="no-such-compiler", XDG_CACHE_HOME=str(tmp_path))
    assert done.returncode == 1 and "not a working C compiler" in done.stderr
    done = bare(package / "predict.py", "--input", "x.csv", "-o", "y.csv", "--checkpoint", tmp_path)
    assert done.returncode == 2 and "no checkpoint in" in done.stderr
