"""README.md of a package: what is here, how to train, which spec line became which kernel."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ...artifact import Artifact
from . import text
from .layout import Origin, main_file

NEEDS = {
    "cpu": "Python 3.11 or newer, NumPy and a C compiler",
    "interpret": "Python 3.11 or newer, NumPy, torch and triton (no GPU: Triton's interpreter runs it)",
    "gpu": "Python 3.11 or newer, NumPy, torch, triton and the GPU",
}


def readme_text(artifact: Artifact, origin: Origin) -> str:
    """The text of README.md."""
    count = sum(math.prod(p.shape) for p in artifact.parameters)
    kernels = next(iter(sorted(artifact.files)))
    words = origin.words()
    return text.template(
        "README.md",
        name=text.plain(artifact.name),
        target=artifact.target,
        needs=NEEDS.get(artifact.target, NEEDS["gpu"]),
        source=main_file(artifact),
        version=f"weft {origin.version}".strip(),
        options=f", compiled with `{words}`" if words else "",
        count=f"{count:,}",
        kernels=kernels,
        data="".join(_data_line(line) for line in (artifact.train or {}).get("data") or ()),
        tables="".join(_step_table(artifact, recipe) for recipe in _recipes(artifact)),
    )


def _recipes(artifact: Artifact) -> list[Mapping[str, Any]]:
    return list((artifact.train or {}).get("step") or ())


def _data_line(line: Mapping[str, Any]) -> str:
    paths = [line["settings"].get(key) for key in ("path", "images", "labels", "test")]
    files = [p for path in paths if path for p in ([path] if isinstance(path, str) else path)]
    listed = f": {', '.join(f'`{file}`' for file in files)}" if files else ""
    return f"- {', '.join(f'`{name}`' for name in line['names'])} from `{line['source']}`{listed}\n"


def _step_table(artifact: Artifact, recipe: Mapping[str, Any]) -> str:
    entry = artifact.entry("train", recipe["name"])
    records = text.kernels(artifact, entry.name)
    ratio = (artifact.traffic.get(recipe["name"]) or {}).get("traffic_ratio")
    at = f" at {text.sizes(artifact.sizes)}" if artifact.sizes else ""
    lines = [f"\nStep `{recipe['name']}`{at}, in the order in which they run:\n"]
    lines += ["| spec | kernel | bytes | FLOPs |", "|---|---|--:|--:|"]
    for record in records:
        places = "<br>".join(text.origin(record))
        lines.append(f"| {places} | `{record.name}` | {record.bytes:,} | {record.flops:,} |")
    moved, flops = sum(r.bytes for r in records), sum(r.flops for r in records)
    lines.append(f"| **whole step** | | **{moved:,}** | **{flops:,}** |")
    if ratio:
        lines.append(
            f"\nThat is {ratio:.2f} times the bytes of a plan in which every matrix product touches its\n"
            "operands once, the update each parameter once, and everything else is free."
        )
    return "\n".join(lines) + "\n"
