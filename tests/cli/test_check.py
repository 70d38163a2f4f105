"""`weft check`: the table, the JSON, errors over several files, and what it must not import."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

GOOD = """\
param hidden=20

variant wide { hidden=40 }

net mlp {
  in x: f32[B, 2]
  x -> linear(hidden) -> tanh -> linear(1) as y
}
"""
BAD = """\
net mlp {
  in x: f32[B, 2]
  h = x -> linear(hiden)
  x -> linear(4) -> tahn
}
"""


def _write(folder: Path, text: str, name: str = "mlp.weft") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_table(weft, tmp_path: Path) -> None:
    answer = weft("check", _write(tmp_path, GOOD))
    assert answer.code == 0, answer.err
    lines = answer.out.splitlines()
    assert lines[0] == "net mlp: x: f32[B, 2] -> y: f32[B, 1]"
    rows = [line.split() for line in lines]
    assert ["linear", "linear", "f32[B,", "20]", "60", "100", "7"] in rows
    assert ["y", "linear", "f32[B,", "1]", "21", "41", "7"] in rows
    assert any(row[:2] == ["total", "81"] for row in rows)


def test_json(weft, tmp_path: Path) -> None:
    answer = weft("check", _write(tmp_path, GOOD), "--json", "--variant", "wide")
    found = json.loads(answer.out)
    assert found["parameters"] == found["nets"]["mlp"]["parameters"] == 2 * 40 + 40 + 40 + 1
    net = found["nets"]["mlp"]
    assert net["inputs"] == {"x": {"dtype": "f32", "shape": ["B", 2]}}
    assert net["outputs"] == {"y": {"dtype": "f32", "shape": ["B", 1]}}
    first = net["layers"][0]
    assert first["path"] == "linear" and first["op"] == "linear" and first["shape"] == ["B", 40]
    assert first["parameters"] == 120 and first["flops"] == 2 * 2 * 40 + 40 and first["line"] == 7
    assert found["memory"]["parameters"] == 4 * found["parameters"]
    assert found["memory"]["gradients"] == 0  # nothing is trained


def test_set_overrides_the_variant(weft, tmp_path: Path) -> None:
    path = _write(tmp_path, GOOD)
    answer = weft("check", path, "--json", "--variant", "wide", "--set", "hidden=2*3")
    assert json.loads(answer.out)["parameters"] == 2 * 6 + 6 + 6 + 1


def test_all_errors_at_once(weft, tmp_path: Path) -> None:
    path = _write(tmp_path, BAD)
    answer = weft("check", path)
    assert (answer.code, answer.out) == (2, "")
    assert f"{path}:3:19: error[E301]" in answer.err
    assert f"{path}:4:21: error[E302]" in answer.err
    assert "did you mean `tan`?" in answer.err
    assert "Traceback" not in answer.err


def test_several_files_go_on_after_a_bad_one(weft, tmp_path: Path) -> None:
    bad, good = _write(tmp_path, BAD, "bad.weft"), _write(tmp_path, GOOD, "good.weft")
    answer = weft("check", bad, good)
    assert answer.code == 2
    assert "net mlp" in answer.out
    assert "bad.weft:3" in answer.err


def test_several_files_as_json(weft, tmp_path: Path) -> None:
    one, two = _write(tmp_path, GOOD, "one.weft"), _write(tmp_path, GOOD, "two.weft")
    found = json.loads(weft("check", one, two, "--json").out)
    assert list(found) == [str(one), str(two)]


def test_missing_file(weft, tmp_path: Path) -> None:
    answer = weft("check", tmp_path / "none.weft")
    assert answer.code == 2
    assert "cannot read" in answer.err


def test_starts_without_the_heavy_libraries(examples: Path) -> None:
    spec = examples / "digits" / "digits.weft"
    script = (
        "import sys; from weft.cli import main; code = main(['check', sys.argv[1]]);"
        "heavy = {'torch', 'triton', 'safetensors', 'sklearn', 'rich', 'scipy'} & set(sys.modules);"
        "print('heavy:', sorted(heavy)); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(spec)], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "heavy: []"
