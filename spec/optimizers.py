"""The optimizers a spec may name, with PyTorch's settings and defaults.

The compiler writes their updates as kernels; `lbfgs` needs several evaluations a step and runs
through torch.optim, with its line search unless the spec says `none` (PyTorch's default).  The rate
`lr` may be a schedule (`spec.schedules`) in place of a number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .signature import Option, Problem, Signature


def _lr(default: float) -> Option:
    return Option("lr", "number", default, "the learning rate, or a schedule of it", low=0)


def _betas(*default: float) -> Option:
    doc = "decay of the averages of the gradient and of its square"
    return Option("betas", "numbers", list(default), doc, low=0, high=1)


_DECAY = Option("weight_decay", "number", 0, "a pull of the weights towards 0", low=0)
_EPS = Option("eps", "number", 1e-8, "added to the denominator", above=0)
_MOMENTUM = Option("momentum", "number", 0, "how much of the last update remains", low=0)

_TABLE = (
    Signature(
        "sgd",
        (
            _lr(1e-3),
            _MOMENTUM,
            Option("dampening", "number", 0, "the gradient's part that momentum leaves out", low=0),
            _DECAY,
            Option("nesterov", "boolean", False, "look ahead along the momentum"),
        ),
        "gradient descent, with momentum (Polyak 1964; Nesterov 1983)",
    ),
    Signature(
        "adam",
        (_lr(1e-3), _betas(0.9, 0.999), _EPS, _DECAY),
        "steps scaled by averages of the gradient and its square (Kingma & Ba 2015)",
    ),
    Signature(
        "adamw",
        (
            _lr(1e-3),
            _betas(0.9, 0.999),
            _EPS,
            Option("weight_decay", "number", 1e-2, "a pull of the weights towards 0", low=0),
        ),
        "adam with the weight decay beside the gradient, not in it (Loshchilov & Hutter 2019)",
    ),
    Signature(
        "rmsprop",
        (
            _lr(1e-2),
            Option("alpha", "number", 0.99, "decay of the average of squares", low=0, high=1),
            _EPS,
            _DECAY,
            _MOMENTUM,
            Option("centered", "boolean", False, "divide by the variance, not by the square"),
        ),
        "the gradient over the root of its mean square (Tieleman & Hinton 2012)",
    ),
    Signature(
        "adagrad",
        (
            _lr(1e-2),
            Option("lr_decay", "number", 0, "decay of the rate with the steps", low=0),
            _DECAY,
            Option("initial_accumulator_value", "number", 0, "the first sum of squares", low=0),
            Option("eps", "number", 1e-10, "added to the denominator", above=0),
        ),
        "the gradient over the root of its sum of squares (Duchi, Hazan, Singer 2011)",
    ),
    Signature(
        "lion",
        (_lr(1e-4), _betas(0.9, 0.99), _DECAY),
        "the sign of an interpolated momentum (Chen et al. 2023)",
    ),
    Signature(
        "lbfgs",
        (
            _lr(1.0),
            Option("max_iter", "integer", 20, "iterations a step", low=1),
            Option("max_eval", "integer", None, "evaluations a step; 5/4 of max_iter", low=1),
            Option("tolerance_grad", "number", 1e-7, "stop at this gradient", low=0),
            Option("tolerance_change", "number", 1e-9, "stop at this change", low=0),
            Option("history_size", "integer", 100, "updates that are remembered", low=1),
            Option(
                "line_search_fn", "word", "strong_wolfe", "how far to go", ("strong_wolfe", "none")
            ),
        ),
        "a quasi-Newton method for small problems in full batches (Liu & Nocedal 1989)",
    ),
)

OPTIMIZERS: Mapping[str, Signature] = {signature.name: signature for signature in _TABLE}
"""Every optimizer by name."""


def problems(name: str, settings: Mapping[str, Any]) -> tuple[Problem, ...]:
    """What is wrong between the settings of one optimizer."""
    found = []
    betas = settings.get("betas")
    if isinstance(betas, list) and (len(betas) != 2 or max(betas) >= 1):
        hint = "for instance betas=[0.9, 0.999]"
        found.append(Problem("`betas` are two numbers below 1", hint, "betas"))
    if settings.get("nesterov") and (not settings["momentum"] or settings["dampening"]):
        message = "`nesterov` needs a momentum, and no dampening"
        found.append(Problem(message, "for instance momentum=0.9", "nesterov"))
    return tuple(found)
