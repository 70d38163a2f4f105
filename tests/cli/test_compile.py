"""`weft compile`: a package that trains where weft is not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def starter(weft, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    assert weft("new", "hello").code == 0
    return Path("hello/hello.weft")


def test_package_trains_to_the_same_bits(weft, starter: Path) -> None:
    answer = weft("compile", starter, "-o", "package", "--target", "cpu", "--json")
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)
    assert {"kernels.c", "train.py", "README.md", "manifest.json"} <= set(found["files"])

    here = json.loads(weft("train", starter, "--target", "cpu", "--json", "--steps", "50").out)
    without = "import sys; sys.modules['weft'] = None; import runpy; sys.argv = sys.argv[1:]; "
    without += "runpy.run_path(sys.argv[0], run_name='__main__')"
    command = [sys.executable, "-c", without, "package/train.py", "--steps", "50", "--out", "there"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in Path("there/metrics.jsonl").read_text().splitlines()]
    last = {row["part"]: row for row in rows}
    for part in ("train", "test"):
        for name, value in here["metrics"][part].items():
            assert last[part][name] == value


def test_text_says_where_and_how(weft, starter: Path) -> None:
    answer = weft("compile", starter, "--target", "cpu")
    assert answer.code == 0, answer.err
    assert "build/hello: a package for cpu" in answer.out
    assert "python build/hello/train.py" in answer.out


def test_edited_files_are_kept(weft, starter: Path) -> None:
    flags = ("compile", starter, "-o", "package", "--target", "cpu")
    assert weft(*flags).code == 0
    kernels = Path("package/kernels.c")
    kernels.write_text("/* mine */\n")
    answer = weft(*flags)
    assert answer.code == 2
    assert "kernels.c" in answer.err
    assert kernels.read_text() == "/* mine */\n"
    assert weft(*flags, "--force").code == 0
    assert kernels.read_text() != "/* mine */\n"


def test_reference_has_no_package(weft, starter: Path) -> None:
    answer = weft("compile", starter, "--target", "reference")
    assert answer.code == 2
    assert "no kernels" in answer.err


@pytest.mark.slow
@pytest.mark.parametrize("target", ["cuda:90", "hip:gfx942"])
def test_cross_compiled_without_a_gpu(weft, examples: Path, tmp_path: Path, target: str) -> None:
    spec = examples / "digits" / "digits.weft"
    flags = ("--target", target, "-o", tmp_path / "package", "--json")
    answer = weft("compile", spec, *flags)
    assert answer.code == 0, answer.out + answer.err
    found = json.loads(answer.out)
    assert found["kernels"]
    assert all(k["spills"] == 0 and not k["failures"] for k in found["kernels"])
    assert any(k["instructions"] for k in found["kernels"])
