"""step.py: the compiled functions of every training step, with the kernels that each one runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...artifact import Artifact, Entry
from . import text
from .layout import header

NATIVE = ("native_engine", "NativeEngine")
TRITON = ("triton_engine", "TritonEngine")

TAKEN = ("engine", "rate", "index", "seed", "gradient")


def engine_module(target: str) -> str:
    """The module in `runtime/` that runs the kernels of a target."""
    return _engine(target)[0]


def step_text(artifact: Artifact) -> str:
    """The text of step.py."""
    module, engine = _engine(artifact.target)
    functions = [_training(artifact, recipe) for recipe in _recipes(artifact)]
    return text.template(
        "step.py",
        name=text.plain(artifact.name),
        about=header(artifact),
        usage=_TRAINED if functions else _UNTRAINED,
        module=module,
        engine=engine,
        arguments=_ARGUMENTS.get(artifact.target, _ARGUMENTS["cuda"]),
        loading=_LOADING.get(artifact.target, _LOADING["cuda"]),
        functions="".join(functions),
    )


_TRAINED = "`train.py` calls `train_…` once for every batch.  A loop of one's own can do the same:"
_UNTRAINED = (
    "The spec has no `train` section, so there is nothing but the nets; `model.py` runs them:"
)
_LOADING = {
    "cpu": "kernels.c is compiled by the C compiler of this machine when it is first needed, and\n"
    "    kept in the user's cache; `progress` is told of it.",
    "interpret": "Triton's interpreter runs kernels.py on the CPU, in a process of its own.",
    "cuda": "Triton compiles kernels.py for the GPU of this machine at the first call and keeps\n"
    "    the result in its cache; later calls of a function replay one CUDA graph.",
}
_ARGUMENTS = {
    "cpu": "artifact, progress=progress",
    "interpret": 'artifact, "interpret"',
    "cuda": 'artifact, "cuda"',
}


def _engine(target: str) -> tuple[str, str]:
    return NATIVE if target == "cpu" else TRITON


def _recipes(artifact: Artifact) -> list[Mapping[str, Any]]:
    return list((artifact.train or {}).get("step") or ())


def _training(artifact: Artifact, recipe: Mapping[str, Any]) -> str:
    """The functions of one step of the spec."""
    name = recipe["name"]
    entry = artifact.entry("train", name)
    ports = {port.name: text.argument(port.name, TAKEN) for port in entry.inputs}
    batch = ", ".join(f'"{field}": {own}' for field, own in ports.items())
    fed = ", ".join(["engine: Engine", *(f"{own}: Array" for own in ports.values())])
    seed = f"seed: int = {int((artifact.train or {}).get('seed') or 0)}"
    by_index = f"index: int = 0, {seed}"
    return text.template(
        "step_functions.py",
        step=name,
        train=_signature(f"train_{name}", fed, f"rate: float, index: int, {seed}", "Result"),
        gradient=_signature(f"gradient_{name}", fed, by_index, "tuple[Result, Array]"),
        evaluate=_signature(f"evaluate_{name}", fed, by_index, "Result"),
        batch=f"{{{batch}}}",
        purpose=text.wrapped(_purpose(recipe), 92).replace("\n", "\n    "),
        inputs="\n    ".join(f"{ports[p.name]}: {text.port_type(p)}" for p in entry.inputs),
        values=", ".join(("loss", *recipe.get("metrics", ()))),
        cost=_cost(artifact, entry),
        gradient_cost=_total(artifact, artifact.entry("gradient", name)),
        evaluate_cost=_total(artifact, artifact.entry("evaluate", name)),
    )


def _signature(name: str, positional: str, named: str, result: str) -> str:
    line = f"def {name}({positional}, *, {named}) -> {result}:"
    if len(line) <= text.WIDTH:
        return line
    return f"def {name}(\n    {positional}, *, {named}\n) -> {result}:"


def _purpose(recipe: Mapping[str, Any]) -> str:
    nets = ", ".join(recipe["updates"])
    optimizer = text.call(recipe["optimizer"], recipe["settings"].items())
    schedule = dict(recipe["schedule"])
    rate = text.call(schedule.pop("name"), schedule.items())
    clip = f", gradients clipped to norm {recipe['clip']:g}" if recipe.get("clip") else ""
    return f"One update of {nets}: {optimizer}, rate {rate}{clip} ({recipe['place']})."


def _cost(artifact: Artifact, entry: Entry) -> str:
    """The table of an entry's kernels, as lines of a docstring."""
    records = text.kernels(artifact, entry.name)
    rows = [("kernel", "bytes", "FLOPs")]
    rows += [(r.name, f"{r.bytes:,}", f"{r.flops:,}") for r in records]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    origins = [["from"], *(text.origin(record) for record in records)]
    lines = []
    for row, places in zip(rows, origins, strict=True):
        lead = f"{row[0]:<{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:>{widths[2]}}  "
        lines += [lead + places[0], *(" " * len(lead) + place for place in places[1:])]
    at = f" at {text.sizes(artifact.sizes)}" if artifact.sizes else ""
    title = f"{_total(artifact, entry)}{at}, in this order:"
    return "\n        ".join((title + "\n", *(line.rstrip() for line in lines)))


def _total(artifact: Artifact, entry: Entry) -> str:
    records = text.kernels(artifact, entry.name)
    moved, flops = sum(r.bytes for r in records), sum(r.flops for r in records)
    return f"{len(records)} kernels, {moved:,} bytes, {flops:,} FLOPs"
