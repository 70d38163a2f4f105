"""A generated package trains without weft, to the same bits, and is written without harm."""

from __future__ import annotations

import ast
import csv
import json
import os
import subprocess
import sys
import venv
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import weft
from weft.compiler.artifact import Artifact
from weft.runtime.carried import ROOT, carried
from weft.runtime.checkpoint import load
from weft.runtime.manifest import MANIFEST, changed, read
from weft.runtime.package import write_package
from weft.runtime.predict import evaluate, predict
from weft.spec.errors import DataError, UsageError

SPEC = """\
import "parts/cell.weft"
param hidden = 12

net mlp {
  in x: f32[B, 3]
  x -> cell(hidden) -> dropout(0.2) -> linear(2) as logits
}

train {
  steps = 12
  seed = 3
  eval_every = 4
  data x: f32[B, 3], label: i32[B] = points
  step main updates mlp {
    optimizer = adamw(lr=0.01)
    logits = x -> mlp
    loss = cross_entropy(logits, label)
    metric accuracy = accuracy(logits, label)
  }
}
"""

SPEC = SPEC.replace(
    "= points",
    '= csv("points.csv", target="kind", batch=16, split=0.8, normalise=standard)',
)

CELL = """\
block cell(width) {
  linear(width) -> tanh
}
"""

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
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


@pytest.fixture(scope="module")
def artifact(project: Path) -> Artifact:
    return weft.compile(project / "net.weft", "cpu").artifact


@pytest.fixture(scope="module")
def package(project: Path, artifact: Artifact) -> Path:
    return write_package(artifact, project / "build" / "net", root=project)


@pytest.fixture(scope="module")
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


def succeed(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def metrics(out: Path) -> list[dict[str, str]]:
    """The rows of metrics.csv without the time they took."""
    with open(out / "metrics.csv", newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def same_checkpoints(one: Path, other: Path) -> None:
    """Every tensor has the same bytes, and the rest of the state is the same but for the time."""
    for name in ("last", "best"):
        ours, theirs = (load(run / "checkpoints" / f"{name}.safetensors") for run in (one, other))
        assert list(ours.tensors) == list(theirs.tensors)
        for key, array in ours.tensors.items():
            assert array.tobytes() == theirs.tensors[key].tobytes(), key
        states = [dict(found.state) for found in (ours, theirs)]
        for state in states:
            state["position"] = {k: v for k, v in state["position"].items() if k != "seconds"}
        assert states[0] == states[1]


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


# ---- what the package holds ----------------------------------------------------------------------


def test_the_same_spec_gives_the_same_bytes(project: Path, package: Path) -> None:
    """From another folder, with another path to the spec, in another process."""
    script = """if True:
        import weft
        from pathlib import Path
        from weft.runtime.package import write_package
        program = weft.compile("../net.weft", "cpu")
        write_package(program.artifact, "../build/again", root=Path(".."))
    """
    subprocess.run([sys.executable, "-c", script], cwd=project / "parts", check=True)
    one, other = contents(package), contents(project / "build" / "again")
    assert list(one) == list(other)
    assert [name for name in one if one[name] != other[name]] == []


def test_the_package_holds_this_and_nothing_else(
    project: Path, artifact: Artifact, package: Path
) -> None:
    names = set(contents(package))
    own = {
        "README.md",
        *artifact.files,
        "manifest.json",
        "model.py",
        "predict.py",
        "step.py",
        "train.py",
    }
    spec = {name for name in names if name.startswith(("spec/", "prelude/"))}
    support = {name for name in names if name.startswith("support/")}
    assert names == own | spec | support
    assert "kernels.c" in artifact.files
    assert (package / "spec" / "net.weft").read_text() == SPEC
    assert (package / "spec" / "parts" / "cell.weft").read_text() == CELL
    for name in support - {"support/__init__.py"}:
        source = ROOT / name.removeprefix("support/")
        assert (package / name).read_bytes() == source.read_bytes(), name
    every = "\n".join(text.decode() for name, text in contents(package).items() if name in own)
    assert str(project) not in every, "no path of the machine that compiled it"
    assert "spec/parts/cell.weft:2" in every and "spec/net.weft:" in every


def test_the_readme_tells_which_line_became_which_kernel(artifact: Artifact, package: Path) -> None:
    text = (package / "README.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("|") and "`" in line]
    for record in artifact.kernels:
        if record.entry == "train_main":
            row = f"| `{record.name}` | {record.bytes:,} | {record.flops:,} |"
            assert any(line.endswith(row) for line in rows), record.name
    assert "| spec/parts/cell.weft:2 mlp.cell" in text
    assert "weft 0" in text and "`points.csv`" in text
    assert f"{sum(int(np.prod(p.shape)) for p in artifact.parameters):,} parameters" in text


def test_the_generated_python_is_sound(package: Path, tmp_path: Path) -> None:
    for name in ("train.py", "predict.py", "step.py", "model.py"):
        text = (package / name).read_text()
        assert ast.get_docstring(ast.parse(text)), name
        assert max(map(len, text.splitlines())) <= 120, name
        assert text.endswith("\n") and not text.endswith("\n\n"), name


def test_a_spec_without_training_gives_a_model_alone(bare: Run, tmp_path: Path) -> None:
    spec = tmp_path / 'od"d na\\me.weft'
    spec.write_text("net load {\n  in class: f32[B, 2]\n  class -> linear(3) -> tanh\n}\n")
    folder = write_package(weft.compile(spec, "cpu").artifact, tmp_path / "p", root=tmp_path)
    assert not {"train.py", "predict.py"} & set(contents(folder))
    assert "| spec/od_d na_me.weft:3 load.linear" in (folder / "README.md").read_text()
    script = """if True:
        from model import Model
        y = Model(seed=1).load_([[1, 2], [3, 4], [5, 6]])
        assert y.shape == (3, 3) and abs(y).max() < 1
        try:
            Model().load_([[1, 2, 3]])
        except Exception as error:
            print(error)
    """
    assert "must be f32[B, 2], got float32[1, 3]" in succeed(bare("-c", script, cwd=folder))


@pytest.mark.parametrize("engine", ["native_engine", "triton_engine", "interpreter_worker"])
def test_what_is_carried_imports_numpy_alone(engine: str) -> None:
    """At once; torch, triton and rich only inside functions that ask for them."""
    start = ["standalone", "standalone_sample", engine]
    for name, text in carried([f"runtime/{module}.py" for module in start], "0").items():
        if not name.endswith(".py"):
            continue
        assert name == "__init__.py" or name.split("/")[0] in ("spec", "compiler", "runtime")
        assert not name.startswith("compiler/") or name in (
            "compiler/__init__.py",
            "compiler/artifact.py",
        )
        for node in ast.parse(text).body:
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            else:
                sole = isinstance(node, ast.ImportFrom) and node.level == 0
                modules = [str(node.module)] if sole else []  # type: ignore[union-attr]
            for module in modules:
                root = module.split(".")[0]
                assert root == "numpy" or root in sys.stdlib_module_names, (name, module)


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


# ---- changed packages ----------------------------------------------------------------------------


@pytest.fixture
def copy(project: Path, artifact: Artifact, tmp_path: Path) -> Path:
    """A package of one's own to change."""
    return write_package(artifact, tmp_path / "copy", root=project)


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


# ---- writing -------------------------------------------------------------------------------------


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
