"""Some steps of training for every net that has a twin, at the size of the twin.

What a net answers to a batch is drawn towards numbers that another start of it gave, so that there
is something to learn whatever its last layer is.  They have a mean square of one at least, as the
answers of a deep net of small weights are of no size.  Several rates are tried, as one that suits
a net without normalisation overshoots in another.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

import weft
from tests.examples.test_twins import Case
from tests.zoo.notes import EXAMPLES
from weft.spec.errors import UsageError

STEPS = 400
RATES = (5e-4, 2e-3, 1e-4)
HALF = 0.5
"""Of the error where the net starts, or would answer zeros: twice in a row, as dropout makes
errors dance.
"""


def train(case: Case) -> dict[str, Any]:
    """How many steps of Adam on the CPU halve the squared error, at which rate.

    Raises: UsageError where no rate does it.
    """
    torch.manual_seed(0)
    spec = weft.load(EXAMPLES / f"{case.spec}.weft", variant=case.variant, params=dict(case.params))
    inputs = [_input(case, dtype) for dtype in _types(_started(case, spec, 0))]
    wanted = _wanted(case, spec, inputs)
    tried = []
    for rate in RATES:
        halved, losses = _losses(_started(case, spec, 0), inputs, wanted, rate)
        if halved:
            return {"steps": len(losses) - 1, "rate": rate, "first": losses[0], "last": losses[-1]}
        tried.append(f"{losses[-1]:.3g} at {rate:g}")
    raise UsageError(f"the loss goes from {losses[0]:.3g} to {', '.join(tried)}")


def _started(case: Case, spec: Any, seed: int) -> Any:
    """The net as a seed starts it."""
    return weft.compile(spec, target="cpu", seed=seed).nets[case.net].train()


def _wanted(case: Case, spec: Any, inputs: list[torch.Tensor]) -> list[torch.Tensor]:
    """What the first other start answers, unless its last layer lets nothing pass."""
    for seed in range(1, 10):
        with torch.no_grad():
            answers = _outputs(_started(case, spec, seed)(*inputs))
        sizes = [y.square().mean().sqrt() for y in answers]
        if all(size > 0 for size in sizes):
            break
    return [y / size.clamp(max=1) for y, size in zip(answers, sizes, strict=True)]


def _losses(
    net: Any, inputs: list[torch.Tensor], wanted: list[torch.Tensor], rate: float
) -> tuple[bool, list[float]]:
    """Whether the error was halved, and what it was before each step until then."""
    optimizer = torch.optim.Adam(net.parameters(), lr=rate)
    zeros = sum(float((t**2).mean()) for t in wanted)
    losses: list[float] = []
    for _ in range(STEPS + 1):
        optimizer.zero_grad()
        found = _outputs(net(*inputs))
        loss = sum(((y - t) ** 2).mean() for y, t in zip(found, wanted, strict=True))
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
        if len(losses) > 2 and max(losses[-2:]) < HALF * min(losses[0], zeros):
            return True, losses
    return False, losses


def _types(net: Any) -> list[str]:
    return [type.dtype for type in net.program.program.nets[net.net].inputs.values()]


def _input(case: Case, dtype: str) -> torch.Tensor:
    """A batch: pictures, or steps of a diffusion."""
    if dtype == "i32":
        return torch.randint(0, case.times, case.shape[:1], dtype=torch.int32)
    return torch.randn(case.shape)


def _outputs(found: Any) -> tuple[torch.Tensor, ...]:
    return found if isinstance(found, tuple) else (found,)


def line(found: Mapping[str, Any]) -> str:
    """What to print."""
    fall = f"{found['first']:.3g} -> {found['last']:.3g}"
    return f"{fall} in {found['steps']} steps at {found['rate']:g}"
