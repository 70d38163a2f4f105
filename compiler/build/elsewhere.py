"""Words that mean something, but not where they stand: hints for what belongs somewhere else."""

from __future__ import annotations

from collections.abc import Mapping

from ...spec.initialisers import INITIALISERS
from ...spec.optimizers import OPTIMIZERS
from ...spec.place import Place
from ...spec.schedules import SCHEDULES
from ...spec.sources import SOURCES
from .elaboration import Elaboration
from .faults import Faults, fault
from .scope import Entry
from .values import Origin

TABLES: tuple[tuple[Mapping[str, object], str, str], ...] = (
    (OPTIMIZERS, "an optimizer", "`optimizer = {}(…)` in a step"),
    (SCHEDULES, "a schedule of the learning rate", "`lr={}(…)` of an optimizer"),
    (SOURCES, "a data source", "`data … = {}(…)` in `train`"),
    (INITIALISERS, "an initialiser", "`weight w: f32[8] = {}(…)`"),
)
SETTINGS = {
    "lr": "the optimizer takes it: `optimizer = adam(lr=1e-3)` in a step",
    "learning_rate": "the optimizer takes it: `optimizer = adam(lr=1e-3)` in a step",
    "batch": "the data source takes it: `digits(batch=64)`",
    "batch_size": "the data source takes it: `digits(batch=64)`",
    "optimizer": "it belongs to a step: `step main updates net { optimizer = … }`",
    "loss": "it belongs to a step: `step main updates net { loss = … }`",
    "clip": "it belongs to a step: `step main updates net { clip = 1 }`",
    "accumulate": "it belongs to a step: `step main updates net { accumulate = 2 }`",
    "freeze": "it belongs to a step: `step main updates net { freeze = \"table*\" }`",
    "epochs": "it belongs to `train`, above its steps",
    "steps": "it belongs to `train`, above its steps",
    "precision": "it belongs to `train`, above its steps",
    "memory": "it belongs to `train`, above its steps",
    "ema": "it belongs to `train`, above its steps",
    "gradient_accumulation": "it is called `accumulate`, in a step",
    "gradient_accumulation_steps": "it is called `accumulate`, in a step",
    "grad_clip": "it is called `clip`, in a step",
    "clip_grad_norm": "it is called `clip`, in a step",
    "max_steps": "it is called `steps`",
    "max_epochs": "it is called `epochs`",
}
KINDS = {
    "param": "param",
    "setting": "parameter of the block",
    "input": "input",
    "weight": "weight",
    "let": "layer",
    "dim": "size",
    "index": "loop index",
    "data": "data field",
}
"""What is in scope under a name; everything else is a value."""


def belongs(name: str) -> str | None:
    """Where a name stands that is no operation."""
    for table, what, where in TABLES:
        if name in table:
            return f"`{name}` is {what}: it stands in {where.format(name)}"
    return None


def setting_of(name: str) -> str | None:
    """Who takes a setting that `train` and its steps do not take."""
    return SETTINGS.get(name)


def not_called(e: Elaboration, entry: Entry, name: str, place: Place) -> Faults:
    """The finding for a call of a value, which may hide an operation of the same name."""
    what = KINDS.get(entry.kind, "value")
    text = f"`{name}` is {_article(what)} {what}, not an operation"
    hint = "only operations, blocks, nets and layers made by `let` are called"
    if e.catalogue.is_operation(name):
        made = entry.place if entry.kind not in ("param", "setting") else None
        where = f" made at {Origin(name, made).where(place)}" if made else ""
        hint = f"rename the {what}{where}: it hides the operation of that name"
    return fault("E302", text, place.first(len(name)), hint)


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"
