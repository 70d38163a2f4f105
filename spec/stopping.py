"""The rules by which a training may end early: `early_stop = patience(10)`."""

from __future__ import annotations

from collections.abc import Mapping

from .signature import Option, Signature

STOPPING: Mapping[str, Signature] = {
    "patience": Signature(
        "patience",
        (
            Option("patience", "integer", None, "evaluations to wait", required=True, low=1),
            Option("monitor", "text|word", "loss", "the loss or metric that must improve"),
            Option("delta", "number", 0, "a smaller improvement does not count", low=0),
            Option("mode", "word", None, "which way is better", ("min", "max")),
        ),
        "stop when the held-out loss or metric has not improved for so many evaluations",
    )
}
"""Every stopping rule by name."""
