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


PLANNED = """\
net mlp {
  in x: f32[B, 20]
  x -> linear(1000) -> tanh -> linear(3) as y
}

train {
  steps = 1
  data x: f32[B, 20], label: i32[B] = npz("unused.npz", batch=8)
  step main updates mlp {
    optimizer = adam(lr=0.1)
    loss = x -> mlp -> cross_entropy(label)
  }
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
    rows = [line.split() for line in answer.out.splitlines()]
    assert [str(bad), "FAILED"] in rows
    assert [str(good), "81", "441"] in rows
    assert "1 of 2 failed" in answer.out
    assert "bad.weft:3:19: error[E301]" in answer.err
    assert "good" not in answer.err


def test_several_files_as_json(weft, tmp_path: Path) -> None:
    one, bad = _write(tmp_path, GOOD, "one.weft"), _write(tmp_path, BAD, "bad.weft")
    answer = weft("check", one, bad, "--json")
    found = json.loads(answer.out)
    assert answer.code == 2
    assert list(found) == [str(one), str(bad)]
    assert found[str(one)]["parameters"] == 81
    first = found[str(bad)]["errors"][0]
    assert (first["code"], first["line"], first["column"]) == ("E301", 3, 19)


def test_a_folder_means_every_spec_below_it(weft, tmp_path: Path) -> None:
    (tmp_path / "more" / ".hidden").mkdir(parents=True)
    _write(tmp_path, "# no spec", "README.md")
    _write(tmp_path / "more" / ".hidden", BAD)
    _write(tmp_path / "more", "block B { relu }\n", "blocks.weft")
    _write(tmp_path / "more", GOOD)
    answer = weft("check", tmp_path)
    assert answer.code == 0, answer.err
    listed = [line.split()[0] for line in answer.out.splitlines() if str(tmp_path) in line]
    assert listed == [str(tmp_path / "more" / name) for name in ("blocks.weft", "mlp.weft")]
    assert "blocks to import" in answer.out
    # what a shell without `**` makes of `examples/**`, and the pattern itself
    for given in ((tmp_path / "README.md", tmp_path / "more"), (f"{tmp_path}/**",)):
        assert weft("check", *given).out == answer.out
    (tmp_path / "empty").mkdir()
    answer = weft("check", tmp_path / "empty")
    assert (answer.code, answer.out) == (2, "")
    assert "no spec in" in answer.err


def test_all_variants(weft, tmp_path: Path) -> None:
    path = _write(tmp_path, GOOD)
    answer = weft("check", path, "--variants")
    rows = [line.split() for line in answer.out.splitlines()]
    assert [str(path), "81", "441"] in rows
    assert [str(path), "wide", "161", "881"] in rows
    found = json.loads(weft("check", path, "--variants", "--json").out)
    assert [each["parameters"] for each in found[str(path)].values()] == [81, 161]
    assert list(found[str(path)]) == ["", "wide"]
    answer = weft("check", path, "--variants", "--variant", "wide")
    assert answer.code == 2 and "--variants goes without" in answer.err


TRAINED = """\
net body {
  in x: f32[B, 2]
  x -> repeat 3 { residual { linear(2) -> tanh } } as layers
}

net head {
  in x: f32[B, 2]
  x -> linear(1) as y
}

train {
  steps = 1
  data x: f32[B, 2], y: f32[B] = npz("points.npz", batch=8)
  step main updates head {
    optimizer = adam(lr=1e-3)
    loss = x -> body -> head -> squeeze(1) -> mse(y)
  }
}
"""


def test_totals(weft, tmp_path: Path) -> None:
    path = _write(tmp_path, TRAINED)
    found = json.loads(weft("check", path, "--json").out)
    assert (found["parameters"], found["trainable"], found["buffers"]) == (3 * 6 + 3, 3, 0)
    memory = found["memory"]
    assert (memory["gradients"], memory["optimizer"]) == (4 * 3, 8 * 3)
    step = found["training"]["main"]
    assert step["sizes"] == {"B": 8}
    # the body only forwards, the product of the head also backwards, into its weight alone
    body, head = found["nets"]["body"]["flops"], 2 * 2 * 1
    assert body == 3 * (2 * 2 * 2 + 2 + 2 * 15 + 2)
    assert 8 * (body + 2 * head) < step["flops"] < 8 * (body + 2 * head + 20)
    answer = weft("check", path)
    assert "parameters  21 of which 3 are trained" in answer.out
    assert "FLOPs in step `main` at B=8" in answer.out


def test_turns_that_are_alike_stand_once(weft, tmp_path: Path) -> None:
    path = _write(tmp_path, TRAINED)
    rows = [line.split() for line in weft("check", path).out.splitlines()]
    (head,) = [row for row in rows if "…" in row]
    assert head[:6] == ["layers.0", "…", "layers.2", "×", "3", "18"]
    assert ["linear", "linear", "f32[B,", "2]", "6", "10", "3"] in rows
    rows = [line.split() for line in weft("check", path, "--all").out.splitlines()]
    paths = [row[0] for row in rows if row and row[0].startswith("layers.")]
    assert paths == [f"layers.{i}.{name}" for i in range(3) for name in ("linear", "tanh")]


def test_sizes_that_a_net_needs(weft, tmp_path: Path) -> None:
    text = """\
net a {
  in tokens: i32[B, T]
  weight place: f32[32, 8] = zeros()
  embedding(tokens, 10, 8) + place[:T]
}
"""
    path = _write(tmp_path, text)
    lines = weft("check", path).out.splitlines()
    assert "  needs T <= 32 (line 4)" in lines
    rows = [line.split() for line in lines]
    assert ["(weights", "of", "its", "own)", "256"] in rows
    assert ["embedding", "embedding", "f32[B,", "T,", "8]", "80", "4"] in rows
    assert ["total", "336"] in [row[:2] for row in rows]
    needs = json.loads(weft("check", path, "--json").out)["nets"]["a"]["needs"]
    assert needs == [{"condition": "T <= 32", "line": 4}]
    path.write_text(text.replace("[B, T]", "[B, 33]").replace(":T]", ":33]"))
    answer = weft("check", path)
    assert answer.code == 2 and "error[E419]: the slice :33 is outside axis 0" in answer.err


def test_sizes_are_formulas(weft, tmp_path: Path) -> None:
    text = "net a {\n  in x: f32[B, H%8, W]\n  x[:, :H//4, :W//2]\n}\n"
    head = weft("check", _write(tmp_path, text)).out.splitlines()[0]
    assert head == "net a: x: f32[B, H, W] -> output: f32[B, H/4, W//2]"


def test_a_size_that_is_a_multiple_of_a_large_number(weft, tmp_path: Path) -> None:
    text = "net a {\n  in x: f32[B, H%100]\n  x[:, 150:H//2] -> relu\n}\n"
    answer = weft("check", _write(tmp_path, text))
    assert answer.code == 0, answer.err
    assert "needs H >= 400 (line 3)" in answer.out
    assert "at B=64, H=400" in answer.out


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


def test_the_peak_is_that_of_the_plan(weft, tmp_path: Path) -> None:
    path = tmp_path / "net.weft"
    path.write_text(PLANNED, encoding="utf-8")
    sizes = [
        json.loads(weft("check", path, "--peak", target, "--json").out)["peak"]["steps"]["main"]
        for target in ("cpu", "cuda:90")
    ]
    explained = json.loads(weft("explain", path, "--target", "cpu", "--json").out)
    assert sizes[0] == explained["steps"]["main"]["peak_memory"]
    assert all(size > 4 * 4 * 24_003 for size in sizes)
    line = next(x for x in weft("check", path, "--peak", "cpu").out.splitlines() if "peak" in x)
    assert line.startswith("peak ") and line.endswith("in step `main` on cpu, batch included")
    assert "peak" not in weft("check", path).out
    text = PLANNED.replace("steps = 1", 'steps = 1\n  memory = "1 kB"')
    path.write_text(text, encoding="utf-8")
    answer = weft("check", path, "--peak", "cpu")
    assert answer.code == 2 and ": error[E507]: step `main` takes at least" in answer.err
    assert "|   memory" in answer.err and "^^^^^^" in answer.err


def test_sizes_are_those_that_the_training_uses(weft, tmp_path: Path) -> None:
    """A net for images of any size is counted at the size of the data."""
    path = tmp_path / "net.weft"
    text = """
net n {
  in image: f32[B, 3, H, W]
  image -> conv(4, 3, bias=false) -> global_avg_pool -> linear(2) as logits
}
"""
    path.write_text(text, encoding="utf-8")
    assert "H=64, W=64" in weft("check", path).out
    path.write_text(
        text
        + """
train {
  epochs = 1
  data image, label = images("in", size=[20, 30], colour=true, batch=16)
  step main updates n {
    optimizer = sgd(lr=0.1)
    loss = cross_entropy(image -> n, label)
  }
}
""",
        encoding="utf-8",
    )
    said = weft("check", path).out
    assert "at B=16, H=20, W=30" in said
    assert "f32[B, 4, H, W]" in said and "130 k" in said  # 4 * 20 * 30 * 2 * 27, as 600 pixels cost
