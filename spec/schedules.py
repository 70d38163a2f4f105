"""The learning-rate schedules a spec may name; `runtime.schedule` computes them.

Counts (`warmup`, `every`, `after`, `length`, `at`) are in the unit in which the training itself is
counted, steps or epochs, unless `per` names the other one.
"""

from __future__ import annotations

from collections.abc import Mapping

from .signature import Option, Signature

_RATE = Option("rate", "number", None, "the learning rate", required=True, low=0)
_FINAL = Option("final", "number", 0, "the rate at the end", low=0)
_LENGTH = Option("length", "number", None, "where the end is, if not at the end", above=0)
_WARMUP = Option("warmup", "number", 0, "the rate first rises linearly for this long", low=0)
_PER = Option("per", "word", None, "the unit of the counts", ("step", "epoch"))

_TABLE = (
    Signature("constant", (_RATE, _WARMUP, _PER), "the same rate throughout"),
    Signature(
        "cosine",
        (_RATE, _FINAL, _LENGTH, _WARMUP, _PER),
        "half a cosine from rate to final (Loshchilov & Hutter 2017)",
    ),
    Signature(
        "cosine_restarts",
        (
            _RATE,
            Option("every", "number", None, "the length of the first fall", required=True, above=0),
            Option("growth", "number", 1, "each is so many times as long as the last", low=1),
            _FINAL,
            _WARMUP,
            _PER,
        ),
        "half a cosine from rate to final, again and again (Loshchilov & Hutter 2017)",
    ),
    Signature(
        "polynomial",
        (
            _RATE,
            Option("power", "number", 1, "of what is left of the training", above=0),
            _FINAL,
            _LENGTH,
            _WARMUP,
            _PER,
        ),
        "falls to final as a power of what is left (Chen et al. 2017)",
    ),
    Signature("linear", (_RATE, _FINAL, _LENGTH, _WARMUP, _PER), "a line from rate to final"),
    Signature(
        "one_cycle",
        (
            _RATE,
            Option("rise", "number", 0.3, "the part in which the rate rises", above=0, high=1),
            Option("divide", "number", 25, "the first rate is rate / divide", low=1),
            Option("final_divide", "number", 1e4, "the last is the first / this", low=1),
            _WARMUP,
            _PER,
        ),
        "up along half a cosine, then down along another (Smith 2018; PyTorch's OneCycleLR)",
    ),
    Signature(
        "exponential",
        (
            _RATE,
            Option("decay", "number", None, "factor each count", required=True, above=0),
            Option("after", "number", 1, "counts before the first decay", low=0),
            _WARMUP,
            _PER,
        ),
        "multiplied by decay at each count",
    ),
    Signature(
        "step_decay",
        (
            _RATE,
            Option("every", "number", None, "counts between two drops", above=0),
            Option("decay", "number", 0.1, "factor at each drop", above=0),
            Option("at", "numbers", None, "the counts at which it drops, instead", low=0),
            _WARMUP,
            _PER,
        ),
        "multiplied by decay now and then",
    ),
    Signature(
        "plateau",
        (
            _RATE,
            Option("patience", "integer", None, "evaluations to wait", required=True, low=1),
            Option("decay", "number", 0.1, "factor when it does not improve", above=0, high=1),
            _FINAL,
            _WARMUP,
            _PER,
        ),
        "multiplied by decay when what is watched has not improved for so many evaluations",
    ),
    Signature(
        "inverse_sqrt",
        (
            Option("width", "number", None, "width of the model", required=True, above=0),
            Option("warmup", "number", None, "counts of warm-up", required=True, above=0),
            Option("factor", "number", 1, "a factor on the whole", above=0),
            _PER,
        ),
        "width^-0.5 min(t^-0.5, t warmup^-1.5) (Vaswani et al. 2017)",
    ),
)

SCHEDULES: Mapping[str, Signature] = {signature.name: signature for signature in _TABLE}
"""Every schedule by name."""


def complaint(name: str, settings: Mapping[str, object]) -> tuple[str, str] | None:
    """What is wrong between the settings of one schedule: `(message, hint)`."""
    if name == "step_decay" and (settings["every"] is None) == (settings["at"] is None):
        return "`step_decay` needs either `every` or `at`", "write every=30 or at=[30, 60]"
    return None
