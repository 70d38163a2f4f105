"""A generated package trains without weft, to the same bits, with data found or brought along."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import weft
from weft.compiler.artifact import Artifact
from weft.runtime.checkpoint import load
from weft.runtime.package import write_package
from weft.runtime.predict import evaluate, predict
from weft.spec.errors import DataError

from .packaged import SPEC, Run, metrics, same_checkpoints, succeed

# ---- training ------------------------------------------------------------------------------------


def test_it_trains_without_weft_to_the_same_bits(
    project: Path, package: Path, bare: Run, tmp_path: Path
) -> None:
    found = bare("-c", "import numpy; print([m for m in ('weft', 'torch', 'rich') if __import__"
                 "('importlib.util').util.find_spec(m)])")  # fmt: skip
    assert succeed(found).strip() == "[]"
    text = succeed(bare(package / "train.py", "--out", tmp_path / "theirs"))
    assert "trained 12 steps" in text and str(tmp_path / "theirs" / "metrics.csv") in text
    weft.train(project / "net.weft", tmp_path / "ours", "cpu", progress="quiet")
    assert len(metrics(tmp_path / "ours")) == 6
    assert metrics(tmp_path / "ours") == metrics(tmp_path / "theirs")
    same_checkpoints(tmp_path / "ours", tmp_path / "theirs")


def test_weft_and_the_package_go_on_from_each_other(
    project: Path, package: Path, bare: Run, tmp_path: Path
) -> None:
    spec = project / "net.weft"
    weft.train(spec, tmp_path / "whole", "cpu", progress="quiet", seed=5)
    succeed(
        bare(package / "train.py", "--out", tmp_path / "a", "--steps", 4, "--seed", 5, "--quiet")
    )
    record = weft.train(spec, tmp_path / "a", "cpu", resume=True, progress="quiet")
    assert record.notes == ()
    weft.train(spec, tmp_path / "b", "cpu", steps=4, seed=5, progress="quiet")
    done = bare(package / "train.py", "--out", tmp_path / "b", "--resume")
    assert "changed" not in succeed(done) + done.stderr
    for run in ("a", "b"):
        assert metrics(tmp_path / run) == metrics(tmp_path / "whole")
        same_checkpoints(tmp_path / run, tmp_path / "whole")


def test_weft_and_the_package_use_each_others_checkpoints(
    project: Path, package: Path, bare: Run, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    succeed(bare(package / "train.py", "--out", run, "--quiet"))
    program = weft.compile(project / "net.weft", "cpu")
    best = run / "checkpoints" / "best.safetensors"
    scores = evaluate(program.engine, program.artifact, root=project, checkpoint=best)
    rows = [row for row in metrics(run) if row["part"] == "test"]
    assert str(scores["loss"]) == min((row["loss"] for row in rows), key=float)
    points = project / "points.csv"
    told = bare(
        package / "predict.py", "--input", points, "-o", tmp_path / "a.csv", "--checkpoint", run
    )
    assert f"90 rows from {best}" in succeed(told)
    predict(
        program.engine, program.artifact, checkpoint=best, source=points, out=tmp_path / "b.csv"
    )
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_the_model_runs_on_arrays(project: Path, package: Path, bare: Run, tmp_path: Path) -> None:
    run = tmp_path / "run"
    weft.train(project / "net.weft", run, "cpu", progress="quiet")
    last = run / "checkpoints" / "last.safetensors"
    script = f"""if True:
        import numpy as np
        from model import PARAMETERS, Model
        model = Model.load({str(last)!r})
        x = np.linspace(-1, 1, 15).reshape(5, 3)
        np.save({str(tmp_path / "z.npy")!r}, model.mlp(x))
        model.parameters["mlp.logits.bias"][:] += 1
        assert not np.array_equal(model.mlp(x), np.load({str(tmp_path / "z.npy")!r}))
        assert [p.name for p in PARAMETERS] == list(model.parameters)
        assert [p.shape for p in PARAMETERS] == [a.shape for a in model.parameters.values()]
    """
    succeed(bare("-c", script, cwd=package))
    x = np.linspace(-1, 1, 15).reshape(5, 3)
    (w, b), (v, c) = _layers(load(last).tensors)
    expected = np.tanh(x @ w.T + b) @ v.T + c
    np.testing.assert_allclose(np.load(tmp_path / "z.npy"), expected, rtol=1e-5, atol=1e-6)


def _layers(tensors: Mapping[str, Any]) -> list[tuple[Any, Any]]:
    """The weights and biases of both layers, in order."""
    names = [name for name in tensors if "/" not in name and name.endswith("weight")]
    return [
        (tensors[name].astype(float), tensors[name.replace("weight", "bias")].astype(float))
        for name in names
    ]


# ---- data ----------------------------------------------------------------------------------------


def test_data_that_needs_more_than_numpy_comes_along(bare: Run, tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    spec = tmp_path / "digits.weft"
    lines = SPEC.replace('import "parts/cell.weft"', "").replace("cell(hidden)", "linear(hidden)")
    line = next(line for line in lines.splitlines() if line.strip().startswith("data"))
    lines = lines.replace(line, "  data x: f32[B, 64], label: i32[B] = digits(batch=100)")
    spec.write_text(lines.replace("f32[B, 3]", "f32[B, 64]").replace("linear(2)", "linear(10)"))
    program = weft.compile(spec, "cpu")
    folder = write_package(program.artifact, tmp_path / "p", root=tmp_path)
    spec.rename(tmp_path / "gone.weft")
    succeed(bare(folder / "train.py", "--out", tmp_path / "a", "--steps", 2, "--quiet"))
    program.train(tmp_path / "b", steps=2, progress="quiet")
    assert metrics(tmp_path / "a") == metrics(tmp_path / "b")
    same_checkpoints(tmp_path / "a", tmp_path / "b")


def test_all_data_comes_along_when_asked(
    project: Path, artifact: Artifact, package: Path, bare: Run, tmp_path: Path
) -> None:
    whole = write_package(artifact, tmp_path / "p", root=project, bundle=True)
    moved = (whole).rename(tmp_path / "elsewhere")
    succeed(bare(package / "train.py", "--out", tmp_path / "a", "--quiet"))
    succeed(bare(moved / "train.py", "--out", tmp_path / "b", "--quiet", cwd=tmp_path))
    assert metrics(tmp_path / "a") == metrics(tmp_path / "b")
    same_checkpoints(tmp_path / "a", tmp_path / "b")
    with pytest.raises(DataError, match=r"no file `points\.csv`"):
        write_package(artifact, tmp_path / "q", root=tmp_path / "elsewhere", bundle=True)
    assert not (tmp_path / "q").exists()


def test_data_is_found_or_its_folder_is_named(
    project: Path, artifact: Artifact, bare: Run, tmp_path: Path
) -> None:
    folder = write_package(artifact, tmp_path / "p", root=tmp_path / "absent")
    done = bare(folder / "train.py", "--out", tmp_path / "a")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "there is no file `points.csv`" in done.stderr
    assert f"`{tmp_path / 'absent'}`, which does not exist; --data ROOT" in done.stderr
    done = bare(folder / "train.py", "--out", tmp_path / "a", "--data", tmp_path / "absent")
    assert done.returncode == 2 and "there is no such folder" in done.stderr
    succeed(bare(folder / "train.py", "--out", tmp_path / "a", "--data", project, "--steps", 1))


# ---- GPU targets ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_interpreted_package_trains_to_the_same_bits(project: Path, tmp_path: Path) -> None:
    spec = project / "net.weft"
    folder = write_package(weft.compile(spec, "interpret").artifact, tmp_path / "p", root=project)
    command = [sys.executable, "-P", str(folder / "train.py"), "--out", str(tmp_path / "a")]
    subprocess.run([*command, "--steps", "2", "--quiet"], check=True, cwd=tmp_path)
    weft.train(spec, tmp_path / "b", "interpret", steps=2, progress="quiet")
    assert metrics(tmp_path / "a") == metrics(tmp_path / "b")
    same_checkpoints(tmp_path / "a", tmp_path / "b")


@pytest.mark.gpu
def test_the_cuda_package_trains_to_the_same_bits(project: Path, tmp_path: Path) -> None:
    spec = project / "net.weft"
    folder = write_package(weft.compile(spec, "cuda").artifact, tmp_path / "p", root=project)
    command = [sys.executable, "-P", str(folder / "train.py"), "--out", str(tmp_path / "a")]
    subprocess.run([*command, "--quiet"], check=True, cwd=tmp_path)
    weft.train(spec, tmp_path / "b", "cuda", progress="quiet")
    assert metrics(tmp_path / "a") == metrics(tmp_path / "b")
    same_checkpoints(tmp_path / "a", tmp_path / "b")
