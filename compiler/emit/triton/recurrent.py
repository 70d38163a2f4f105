"""Recurrences over time as one kernel: a program takes a block of samples through all steps.

A step walks the units in blocks.  The states of the step before are read back from the result,
which lies in the L1 or L2 cache; a barrier stands between those who write them and those who read
them.  Programs share nothing, so their order does not show.

    forward   inner = h @ weight.T + bias;  opened = open(gates, inner);  states = cell(opened)
    adjoint   d_gates = cell'(opened);  a barrier;  d_h = direct + d_inner @ weight
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...ops.recurrences import CELLS
from .contraction import Stride
from .kernel import Extent
from .spelling import product
from .template import call

RNN_STEP = ("new_h = tanh(gate_0 + inner_0)",)
LSTM_STEP = (
    "enter = tl.sigmoid(gate_0 + inner_0)",
    "keep = tl.sigmoid(gate_1 + inner_1)",
    "fresh = tanh(gate_2 + inner_2)",
    "leave = tl.sigmoid(gate_3 + inner_3)",
    "new_c = keep * c + enter * fresh",
    "new_h = leave * tanh(new_c)",
)
GRU_STEP = (
    "reset = tl.sigmoid(gate_0 + inner_0)",
    "update = tl.sigmoid(gate_1 + inner_1)",
    "fresh = tanh(gate_2 + reset * inner_2)",
    "new_h = (1.0 - update) * fresh + update * h",
)
STEP = {"rnn": RNN_STEP, "lstm": LSTM_STEP, "gru": GRU_STEP}
"""gate_k, inner_k and the states before, h and c -> new_h, new_c."""

OPENED = {
    "rnn": ("new_h",),
    "lstm": ("enter", "keep", "fresh", "leave"),
    "gru": ("reset", "update", "fresh", "inner_2"),
}
"""What opens in a step, by its names there."""

RNN_BACK = ("d_gate_0 = d_h * (1.0 - new_h * new_h)",)
LSTM_BACK = (
    "squashed = tanh(new_c)",
    "d = d_c + d_h * leave * (1.0 - squashed * squashed)",
    "d_gate_0 = d * fresh * enter * (1.0 - enter)",
    "d_gate_1 = d * c * keep * (1.0 - keep)",
    "d_gate_2 = d * enter * (1.0 - fresh * fresh)",
    "d_gate_3 = d_h * squashed * leave * (1.0 - leave)",
    "direct_c = d * keep",
)
GRU_BACK = (
    "d = d_h * (1.0 - update) * (1.0 - fresh * fresh)",
    "d_gate_0 = d * inner_2 * reset * (1.0 - reset)",
    "d_gate_1 = d_h * (h - fresh) * update * (1.0 - update)",
    "d_gate_2 = d",
    "direct_h = d_h * update",
)
BACK = {"rnn": RNN_BACK, "lstm": LSTM_BACK, "gru": GRU_BACK}
"""What opened, states, d_h and d_c -> d_gate_k, and direct_h or direct_c, past the weight."""

BEFORE = {"rnn": (), "lstm": ("c",), "gru": ("h",)}
"""The states before that a cell reads beside their product with the weight."""

DIRECT = {"rnn": (), "lstm": ("c",), "gru": ("h",)}
"""The states before to which a cotangent goes without the weight."""

AFTER = {"rnn": (), "lstm": ("c",), "gru": ()}
"""The states after that the adjoint of a cell reads."""

STATES = ("h", "c")


@dataclass(frozen=True, slots=True)
class Array:
    """An operand by the name of its buffer and its strides."""

    name: str
    strides: tuple[Stride, ...]

    def at(self, *index: str) -> str:
        """The address of the element with these indices."""
        pairs = zip(index, self.strides, strict=True)
        terms = [product(_group(i, s), str(s)) for i, s in pairs if i != "0" and s != 0]
        return " + ".join([f"{self.name}_ptr", *terms])


def _group(index: str, stride: Stride) -> str:
    return f"({index})" if " " in index and stride != 1 else index


@dataclass(frozen=True, slots=True, kw_only=True)
class Recurrence:
    """A recurrence or its adjoint: extents, operands, and how products multiply.

    Shapes: `gates` [samples, time, gates x units], `opened` [samples, time, kept x units],
    `weight` [gates x units, units], `states` [samples, time, states x units], `d` the same or of h
    alone, `begin` one [samples, units] for each state, or one [samples, states x units] for all;
    of the adjoint, `result` is [samples, time, gates x units], and `later`, [samples, states x
    units], holds the cotangents of the states between two steps.  `stored`: the states, or
    `result`, are made here, and not only read; `above` counts the states in `d`.
    """

    cell: str
    samples: Extent
    time: Extent
    units: int
    weight: Array
    begin: tuple[Array, ...]
    states: Array
    precision: str
    wide: bool
    gates: Array | None = None
    bias: Array | None = None
    opened: Array | None = None
    stored: bool = True
    d: Array | None = None
    above: int = 0
    result: Array | None = None
    later: Array | None = None

    @property
    def count(self) -> int:
        """The gates of the cell."""
        return CELLS[self.cell].gates

    def unit(self, part: int, name: str = "column") -> str:
        """A unit in one part of an axis [parts x units]."""
        return f"{part * self.units} + {name}" if part else name


def forward(r: Recurrence) -> list[str]:
    """The body of the kernel that makes all states, and what opens where somebody wants it."""
    assert r.gates is not None and r.bias is not None
    block: list[str] = []
    for k in range(r.count):
        block += _load(f"inner_{k}", r.bias.at(r.unit(k)), "in_column", 8)
        block.append(f"inner_{k} += tl.zeros([BM, BN], tl.float32)")
    block += ["for start in range(0, UNITS, BK):", *_indented(_depth())]
    inner = _before(r, "h", "state", "across", "in_sample & (across < UNITS)", 12)
    for k in range(r.count):
        inner += _load("weight", r.weight.at(r.unit(k), "depth"), WEIGHT_MASK, 12)
        inner.append(_dot(f"inner_{k}", "state", r.precision))
    block += _indented(inner)
    for k in range(r.count):
        block += _load(f"gate_{k}", r.gates.at("sample", "moment", r.unit(k)), "inside", 8)
    for name in BEFORE[r.cell]:
        block += _before(r, name, name, "column", "inside", 8)
    block += STEP[r.cell]
    for k, name in enumerate(STATES[: CELLS[r.cell].states] if r.stored else ()):
        block += _store(r.states.at("sample", "moment", r.unit(k)), f"new_{name}", 8)
    for k, name in enumerate(OPENED[r.cell] if r.opened is not None else ()):
        assert r.opened is not None
        block += _store(r.opened.at("sample", "moment", r.unit(k)), name, 8)
    step = [*_columns(block), "tl.debug_barrier()"]
    return [*_samples(r), f"for moment in range(0, {r.time}):", *_indented(step)]


def adjoint(r: Recurrence) -> list[str]:
    """The body of the kernel that makes the cotangents of gates and states, backwards in time."""
    assert r.d is not None and r.opened is not None
    assert r.result is not None and r.later is not None
    block: list[str] = []
    for k, name in enumerate(OPENED[r.cell]):
        block += _load(name, r.opened.at("sample", "moment", r.unit(k)), "inside", 8)
    for name in BEFORE[r.cell]:
        block += _before(r, name, name, "column", "inside", 8)
    for name in AFTER[r.cell]:
        own = r.unit(STATES.index(name))
        block += _load(f"new_{name}", r.states.at("sample", "moment", own), "inside", 8)
    for k, name in enumerate(STATES[: CELLS[r.cell].states]):
        block += _load(f"d_{name}", r.later.at("sample", r.unit(k)), "inside", 8)
        if k < r.above:
            above = r.d.at("sample", "moment", r.unit(k))
            block += _load(f"d_{name}", above, "inside", 8, "+=")
    block += BACK[r.cell]
    for k in range(r.count if r.stored else 0):
        block += _store(r.result.at("sample", "moment", r.unit(k)), f"d_gate_{k}", 8)
    for name in DIRECT[r.cell]:
        block += _store(r.later.at("sample", r.unit(STATES.index(name))), f"direct_{name}", 8)
    step = [f"moment = {r.time} - 1 - back", *_columns(block), "tl.debug_barrier()"]
    step += [*_columns(_through(r, r.result, r.later)), "tl.debug_barrier()"]
    return [*_samples(r), *_begun(r, r.later), f"for back in range(0, {r.time}):", *_indented(step)]


def _begun(r: Recurrence, later: Array) -> list[str]:
    """Without a step nothing reaches the states that began."""
    block = ["nothing = tl.zeros([BM, BN], tl.float32)"]
    for k in range(CELLS[r.cell].states):
        block += _store(later.at("sample", r.unit(k)), "nothing", 8)
    return [*_columns(block), "tl.debug_barrier()"]


def _through(r: Recurrence, result: Array, later: Array) -> list[str]:
    """What reaches the state before through its product with the weight, added to `direct_h`."""
    own = later.at("sample", r.unit(0))
    block = ["d_h = tl.zeros([BM, BN], tl.float32)"]
    if "h" in DIRECT[r.cell]:
        block = _load("d_h", own, "inside", 8)
    mask = "in_sample & (across < UNITS)"
    inner = _depth()
    for k in range(r.count):
        at = ("sample", "moment", r.unit(k, "across"))
        inner += _load("through", result.at(*at), mask, 12)
        if r.cell == "gru" and k == r.count - 1:  # it sees the state through its reset gate
            assert r.opened is not None
            inner += _load("reset", r.opened.at("sample", "moment", "across"), mask, 12)
            inner.append("through *= reset")
        inner += _load("weight", r.weight.at(r.unit(k, "depth"), "column"), WEIGHT_MASK, 12)
        inner.append(_dot("d_h", "through", r.precision))
    block += ["for start in range(0, UNITS, BK):", *_indented(inner)]
    return [*block, *_store(own, "d_h", 8)]


# ---- lines ---------------------------------------------------------------------------------------

WEIGHT_MASK = "in_column & (depth < UNITS)"


def _samples(r: Recurrence) -> list[str]:
    index = "sample = tl.program_id(0) * BM + tl.arange(0, BM)[:, None]"
    wide = ["sample = sample.to(tl.int64)"] if r.wide else []
    return [index, *wide, f"in_sample = sample < {r.samples}"]


def _columns(block: Sequence[str]) -> list[str]:
    """A loop over the blocks of units."""
    head = [
        "column = first + tl.arange(0, BN)[None, :]",
        "in_column = column < UNITS",
        "inside = in_sample & in_column",
    ]
    return ["for first in range(0, UNITS, BN):", *_indented([*head, *block])]


def _depth() -> list[str]:
    return [
        "across = start + tl.arange(0, BK)[None, :]",
        "depth = start + tl.arange(0, BK)[:, None]",
    ]


def _before(r: Recurrence, state: str, name: str, unit: str, mask: str, indent: int) -> list[str]:
    """A state before the step: at the first where it begins, else from the result."""
    k, joined = STATES.index(state), len(r.begin) == 1
    begin = r.begin[0 if joined else k].at("sample", r.unit(k, unit) if joined else unit)
    last = r.states.at("sample", "(moment - 1)", r.unit(k, unit))
    return [
        *_load(name, begin, f"{mask} & (moment == 0)", indent),
        *_load(name, last, f"{mask} & (moment > 0)", indent, "+="),
    ]


def _dot(total: str, left: str, precision: str) -> str:
    return f'{total} = tl.dot({left}, weight, {total}, input_precision="{precision}")'


def _load(name: str, at: str, mask: str, indent: int, sign: str = "=") -> list[str]:
    return call(f"{name} {sign} tl.load", [at, f"mask={mask}", "other=0.0"], indent + 4)


def _store(at: str, value: str, indent: int) -> list[str]:
    return call("tl.store", [at, value, "mask=inside"], indent + 4)


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def constants(r: Recurrence, block: Mapping[str, int]) -> list[str]:
    """The sizes that the compiler knows."""
    known = {**block, "UNITS": r.units}
    return [f"{name}: tl.constexpr = {value}" for name, value in known.items()]
