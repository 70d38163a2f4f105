"""What training costs, in floating-point operations: a call of a step, a token, a whole text.

A token costs what a sample costs, divided by its tokens.  Two numbers go side by side: what the
graph holds at some length, attention among it, and six for each parameter, which is how tables of
training runs are made.

Source: Kaplan et al. 2020, section 2.1; Hoffmann et al. 2022, section 3 (C = 6ND).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..spec.dims import Dim, evaluate, symbols
from .build import NetProgram, StepProgram
from .build.cost import flops, live
from .ir.builder import Builder
from .ir.types import TensorType

EACH = 6
"""Operations for a parameter and a token: two to use it, four for both gradients."""


@dataclass(frozen=True, slots=True)
class TokenCost:
    """What a token costs a net that reads texts.

    Units: FLOPs; `training` is forward and backward together, `estimate` is 6 for each parameter.
    `sizes` are those of the axes along which tokens stand.
    """

    forward: float
    training: float
    estimate: int
    sizes: Mapping[str, int]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "forward": self.forward,
            "training": self.training,
            "estimate": self.estimate,
            "sizes": dict(self.sizes),
        }


@dataclass(frozen=True, slots=True)
class Budget:
    """A text to train on: so many tokens, on a machine of a `rate` in FLOPs a second, or None."""

    tokens: float
    rate: float | None = None

    def flops(self, each: float) -> float:
        """Of the whole text, at so many for a token."""
        return self.tokens * each

    def seconds(self, each: float) -> float | None:
        """Of the whole text, where the rate is known."""
        return None if self.rate is None else self.flops(each) / self.rate

    def to_json(self, cost: TokenCost) -> dict[str, Any]:
        """Plain data, for a net with this cost of a token."""
        return {
            "tokens": self.tokens,
            "rate": self.rate,
            "flops": self.flops(cost.training),
            "estimate": self.flops(cost.estimate),
            "seconds": self.seconds(cost.training),
            "estimated_seconds": self.seconds(cost.estimate),
        }


def token_cost(
    net: NetProgram,
    counts: Mapping[str, int],
    sizes: Mapping[str, int],
    length: int | None = None,
) -> TokenCost | None:
    """The cost of a token; None for a net that reads none, which are whole numbers [B, T].

    `counts` are the elements of each trainable parameter.  `length` is that of every text, where
    the spec does not say it.
    """
    texts = {type.shape for type in net.inputs.values() if _is_text(type)}
    if not texts:
        return None
    batch = {name for shape in texts for name in symbols(shape[0])}
    free = {name for shape in texts for name in symbols(shape[1])}
    at = {**sizes, **dict.fromkeys(batch, 1)}
    at |= dict.fromkeys(free, length) if length is not None else {}
    tokens = sum(evaluate(dim, at) for _, dim in texts)
    b, outputs = net.builder, tuple(net.builder.outputs.values())
    owned = {i for i in live(b, outputs) if b[i].op == "input" and b[i]["feed"] in counts}
    both = backward_flops(b, outputs, outputs, owned, at)
    forward = forward_flops(b, outputs, at)
    number = sum(counts.get(name, 0) for name in net.parameters)
    return TokenCost(
        forward / tokens,
        both / tokens,
        EACH * number,
        {name: at[name] for name in sorted(free)},
    )


def _is_text(type: TensorType) -> bool:
    return type.dtype in ("i32", "i64") and len(type.shape) == 2


def step_flops(step: StepProgram, sizes: Mapping[str, int]) -> int:
    """One call of a step, forward and backward."""
    owned = {i for name, i in step.parameters.items() if step.trains(name)}
    everything = (step.loss, *step.metrics.values())
    return backward_flops(step.builder, everything, (step.loss,), owned, sizes)


def backward_flops(
    b: Builder,
    outputs: Iterable[int],
    losses: Iterable[int],
    owned: Iterable[int],
    sizes: Mapping[str, int],
) -> int:
    """`outputs` forward, and backward from the `losses`: as much once more for each operand that
    depends on an `owned` parameter, which is exact for products.
    """
    hot = set(owned)
    backward = live(b, losses)
    work: Counter[Dim] = Counter()
    for i in sorted(live(b, outputs)):
        node = b[i]
        leads = sum(o in hot for o in node.operands) if node.op != "stop_gradient" else 0
        if leads:
            hot.add(i)
        work[flops(b, node)] += 1 + (leads if i in backward else 0)
    return sum(evaluate(cost, sizes) * times for cost, times in work.items())


def forward_flops(b: Builder, outputs: Iterable[int], sizes: Mapping[str, int]) -> int:
    """Everything that the outputs depend on, also what stands between the layers."""
    work = Counter(flops(b, b[i]) for i in live(b, outputs))
    return sum(evaluate(cost, sizes) * times for cost, times in work.items())
