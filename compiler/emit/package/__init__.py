"""The generated package as text: kernels, step, model, commands, README.

Nothing here touches the disk: `runtime/package.py` gathers the carried modules, adds the manifest
(`runtime/manifest.py`) and writes the files.
"""

from __future__ import annotations

from collections.abc import Mapping

from ...artifact import Artifact
from .layout import Origin, header, relocate
from .model import model_text
from .readme import readme_text
from .step import engine_module, step_text
from .text import plain, template

__all__ = ["Origin", "engine_module", "package_files", "relocate"]


def package_files(
    artifact: Artifact,
    support: Mapping[str, str],
    origin: Origin | None = None,
    bundled: Mapping[int, str] | None = None,
    *,
    writes: bool = False,
) -> dict[str, str]:
    """Every text of a package but its manifest, by its path in the package.

    `support` are the carried modules by their path in weft; `origin` says how it was compiled,
    `bundled` which file of the package holds the data of a data line; `writes`: a net predicts
    tokens.
    """
    moved = relocate(artifact)
    known = origin or Origin()
    files = {**moved.files, **moved.spec}
    files["step.py"] = step_text(moved)
    files["model.py"] = model_text(moved)
    commands = ["train.py", "predict.py"] if artifact.train else []
    for name in [*commands, *(["sample.py"] if writes else [])]:
        files[name] = template(name, name=plain(moved.name), about=header(moved))
    files["README.md"] = readme_text(moved, known, bundled or {}, writes=writes)
    files |= {f"support/{path}": text for path, text in support.items()}
    return dict(sorted(files.items()))
