"""The carried files train in a process that can import neither weft nor anything but NumPy."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import textwrap
from pathlib import Path, PurePath

import numpy as np
from softmax_engine import SoftmaxEngine, data_line, softmax_artifact

from weft.runtime.checkpoint import load
from weft.runtime.standalone import NATIVE, SHARED, texts
from weft.runtime.trainer import train

SCRIPT = """
    import importlib.abc, sys
    allowed = {{"numpy", "support", "softmax_engine", "weft"}} | set(sys.stdlib_module_names)
    class Only(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path=None, target=None):
            if name.split(".")[0] not in allowed:
                raise ImportError(f"{{name}} is not for a generated package")
    sys.meta_path.insert(0, Only())
    sys.path[:0] = [{package!r}, {tests!r}]
    import support, support.runtime, support.runtime.data, support.spec, support.compiler
    import support.compiler.artifact, support.runtime.engine
    # the engine of the tests names weft; it shall get the carried files
    for name in [n for n in sys.modules if n.split(".")[0] == "support"]:
        sys.modules["weft" + name[len("support"):]] = sys.modules[name]
    class Absent: pass
    for name in ("weft.spec.signature", "weft.spec.sources"):
        sys.modules[name] = Absent()
    sys.modules["weft.spec.signature"].bind = None
    sys.modules["weft.spec.sources"].SOURCES = None
    import json
    from pathlib import Path, PurePath
    from softmax_engine import SoftmaxEngine, softmax_artifact
    from support.runtime.trainer import train
    import support.runtime.predict
    line = json.loads(Path({line!r}).read_text())
    artifact = softmax_artifact(line, 2, 2, epochs=5)
    out = Path({out!r})
    train(SoftmaxEngine(artifact), artifact, root=out, out=out / "run", progress="plain")
    assert not [m for m in sys.modules if m.split(".")[0] in ("torch", "rich", "sklearn", "PIL")]
"""


def test_the_carried_trainer_gives_the_same_bits_without_weft(tmp_path: Path) -> None:
    package = tmp_path / "package" / "support"
    for name, text in texts(SHARED).items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    types = [["f32", ["B", 2]], ["i32", ["B"]]]
    formula = "c = x*y > 0"
    line = data_line(["x", "y"], types, "function", formula, x=[-1, 1], y=[-1, 1], samples=99)
    (tmp_path / "line.json").write_text(json.dumps(line))
    script = textwrap.dedent(SCRIPT).format(
        package=str(tmp_path / "package"),
        tests=str(Path(__file__).parent),
        line=str(tmp_path / "line.json"),
        out=str(tmp_path / "carried"),
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "step 10/10  train loss" in done.stderr
    artifact = softmax_artifact(line, 2, 2, epochs=5)
    train(SoftmaxEngine(artifact), artifact, root=tmp_path, out=tmp_path / "own", progress="quiet")
    ours, theirs = (
        load(tmp_path / run / "checkpoints" / "last.safetensors").tensors
        for run in ("own", "carried/run")
    )
    assert list(ours) == list(theirs)
    for name, array in ours.items():
        np.testing.assert_array_equal(theirs[name], array)


def test_what_is_carried_is_complete() -> None:
    """Every relative import leads to a carried file; nothing else but NumPy is imported at once."""
    carried = {*SHARED, *NATIVE}
    for name, text in texts((*SHARED, *NATIVE)).items():
        for node in ast.parse(text).body:
            if isinstance(node, ast.ImportFrom) and node.level:
                folder = PurePath(name).parents[node.level - 1]
                for alias in node.names:
                    module = folder.joinpath(*(node.module or alias.name).split("."))
                    assert {f"{module}.py", f"{module}/__init__.py"} & carried, (name, module)
            elif isinstance(node, ast.Import | ast.ImportFrom):
                names = (
                    [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module]
                )
                for module in names:
                    root = (module or "").split(".")[0]
                    assert root == "numpy" or root in sys.stdlib_module_names, (name, module)
