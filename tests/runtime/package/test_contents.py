"""What a package holds, and what its files say."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import weft
from weft.compiler.artifact import Artifact
from weft.runtime.carried import ROOT, carried
from weft.runtime.package import write_package

from .packaged import CELL, SPEC, Run, contents, succeed


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
