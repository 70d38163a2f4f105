"""A net that writes, a position at a time: what it gives for the next token, with and without a
cache.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..compiler.artifact import evaluate
from ..compiler.compile import compile_for, lower_decoding
from ..compiler.decoding import DECODE, PREPARE, decoding_of
from ..compiler.entries import needs_of
from ..compiler.passes.decode import Decoding, time_of
from ..compiler.passes.step import PAST, SLOTS
from ..spec.dims import evaluate as size_of
from ..spec.dims import symbol, symbols
from ..spec.errors import UsageError
from .native_engine import DTYPES
from .program import open_engine
from .reference_engine import ReferenceEngine

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..compiler.build import NetProgram
    from ..compiler.ir.types import TensorType
    from .program import CompiledProgram

    Array = NDArray[Any]

ROOM = 64  # positions that a cache begins with; it doubles when it is full


class Decoder(Protocol):
    """Gives logits [N, entries] for the token after N sequences of one length, and goes on."""

    @property
    def length(self) -> int:
        """Positions so far."""

    def start(self, tokens: Array) -> Array:
        """Begin with prompts i32 [N, t], t > 0."""

    def step(self, tokens: Array) -> Array:
        """One more token for each sequence: i32 [N]."""

    def select(self, rows: Sequence[int]) -> None:
        """Go on with these sequences instead, each where it is."""


@dataclass(frozen=True, slots=True)
class Writer:
    """What a net needs to write: its inputs by their parts, and how far its positions go.

    `tokens` is the input that grows, `given` are the inputs that do not run along the sequence,
    `size` is the symbol of its length.
    """

    net: str
    output: str
    size: str
    tokens: str
    beside: tuple[str, ...]
    given: tuple[str, ...]
    entries: int


def writer_of(net: NetProgram, output: str | None = None) -> Writer:
    """Raises: UsageError for a net that does not predict tokens."""
    chosen = output or next(iter(net.outputs))
    if chosen not in net.outputs:
        raise UsageError(f"`{net.name}` has no output `{chosen}`")
    size = time_of(net.graph, chosen)
    along = [n for n, t in net.inputs.items() if any(d == symbol(size) for d in t.shape)]
    whole = [n for n in along if net.inputs[n].dtype in ("i32", "i64")]
    entries = net.outputs[chosen].shape[-1]
    if not whole or not isinstance(entries, int):
        raise UsageError(
            f"`{net.name}` has no input of tokens [B, {size}]",
            hint="a net that writes has an input such as `tokens: i32[B, T]`",
        )
    given = tuple(name for name in net.inputs if name not in along)
    beside = tuple(name for name in along if name != whole[0])
    return Writer(net.name, chosen, size, whole[0], beside, given, entries)


def longest(program: CompiledProgram, writer: Writer, wanted: int) -> int:
    """How many positions the net has, up to `wanted`."""
    needs = needs_of(program.lowered.entry("forward", writer.net))

    def fits(length: int) -> bool:
        sizes = {**dict.fromkeys(program.program.sizes, 1), "B": 1, writer.size: length}
        try:
            return all(evaluate(n.least, sizes) >= 0 for n in needs)
        except (KeyError, ValueError):
            return True

    if fits(wanted):
        return wanted
    low, high = 0, wanted
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def arrays_of(
    net: NetProgram, writer: Writer, given: Mapping[str, Any], rows: int
) -> dict[str, Array]:
    """The inputs that do not grow, one row or as many as sequences; masks that miss are all true.

    Raises: UsageError for an input that is missing or unknown.
    """
    for name in given:
        if name not in writer.given:
            known = ", ".join(writer.given) or "no other input"
            raise UsageError(f"`{net.name}` has no input `{name}` to give", hint=f"it has {known}")
    found: dict[str, Array] = {}
    for name in writer.given:
        if name in given:
            array: Array = np.asarray(given[name], DTYPES[net.inputs[name].dtype])
            array = np.repeat(array, rows, 0) if len(array) == 1 and rows > 1 else array
            found[name] = np.ascontiguousarray(array)
    for name in writer.given:
        if name not in found:
            found[name] = _mask(net, name, found)
    return found


def _mask(net: NetProgram, name: str, found: Mapping[str, Array]) -> Array:
    """All true, in the shape of an input of the same sizes."""
    want = net.inputs[name]
    for other, array in found.items():
        if want.dtype == "bool" and net.inputs[other].shape == want.shape:
            return np.ones(array.shape, np.bool_)
    raise UsageError(
        f"`{net.name}` needs `{name}`, {want}", hint="give it: --source for text it reads"
    )


class Recomputed:
    """Runs the whole net for every token."""

    def __init__(
        self, program: CompiledProgram, writer: Writer, given: Mapping[str, Array]
    ) -> None:
        self._program, self._writer, self._given = program, writer, dict(given)
        self._tokens: Array = np.zeros((0, 0), np.int32)

    @property
    def length(self) -> int:
        """Positions so far."""
        return int(self._tokens.shape[1])

    def start(self, tokens: Array) -> Array:
        """Begin with prompts i32 [N, t]."""
        self._tokens = np.ascontiguousarray(tokens, np.int32)
        return self._logits()

    def step(self, tokens: Array) -> Array:
        """One more token for each sequence."""
        fresh = np.asarray(tokens, np.int32)[:, None]
        self._tokens = np.concatenate((self._tokens, fresh), axis=1)
        return self._logits()

    def select(self, rows: Sequence[int]) -> None:
        """Go on with these sequences."""
        self._tokens = self._tokens[list(rows)]
        self._given = {name: array[list(rows)] for name, array in self._given.items()}

    def _logits(self) -> Array:
        writer = self._writer
        types = self._program.program.nets[writer.net].inputs
        beside = {n: _beside(types[n], self._tokens) for n in writer.beside}
        fed = {writer.tokens: self._tokens, **beside, **self._given}
        return self._program.engine.forward(writer.net, fed)[writer.output][:, -1]


class Cached:
    """Computes the fresh positions alone; the rest is kept."""

    def __init__(
        self, program: CompiledProgram, writer: Writer, given: Mapping[str, Array]
    ) -> None:
        net = program.program.nets[writer.net]
        self._writer, self._types = writer, net.inputs
        self._decoding: Decoding = decoding_of(net, writer.output)
        self._engine = _engine(program, writer.net, self._decoding)
        prepared = self._decoding.prepared
        self._given = {name: array for name, array in given.items() if name in prepared}
        if any(name not in net.inputs for name in prepared):
            self._given |= self._engine.call(PREPARE, writer.net, given, seed=0, index=0)
        self._length = 0
        self._room = ROOM
        self._caches: dict[str, Array] = {}
        self._states: dict[str, Array] = {}

    @property
    def length(self) -> int:
        """Positions so far."""
        return self._length

    def start(self, tokens: Array) -> Array:
        """Begin with prompts i32 [N, t]."""
        rows, self._length, self._room = len(tokens), 0, ROOM
        dtype = self._float
        sizes = {"B": rows, SLOTS: self._room}
        self._caches = {
            cache.name: np.zeros(_shape(cache.type, sizes, rows), dtype(cache.type.dtype))
            for cache in self._decoding.caches
        }
        self._states = {
            carry.name: np.zeros(_shape(carry.type, sizes, rows), dtype(carry.type.dtype))
            for carry in self._decoding.carries
        }
        return self._advance(np.ascontiguousarray(tokens, np.int32))

    def step(self, tokens: Array) -> Array:
        """One more token for each sequence."""
        return self._advance(np.ascontiguousarray(tokens, np.int32)[:, None])

    def select(self, rows: Sequence[int]) -> None:
        """Go on with these sequences."""
        chosen = list(rows)
        for kept in (self._caches, self._states, self._given):
            for name, array in kept.items():
                kept[name] = np.ascontiguousarray(array[chosen])

    def _advance(self, tokens: Array) -> Array:
        fresh = tokens.shape[1]
        self._make_room(self._length + fresh)
        beside = {n: _beside(self._types[n], tokens) for n in self._writer.beside}
        moving = {self._writer.tokens: tokens, **beside}
        fed = {name: moving[name] for name in self._decoding.tokens}
        past = np.array(self._length, np.int32)
        inputs = {**fed, PAST: past, **self._given, **self._caches, **self._states}
        found = self._engine.call(DECODE, self._writer.net, inputs, seed=0, index=0)
        for cache in self._decoding.caches:
            place = (slice(None),) * cache.axis + (slice(self._length, self._length + fresh),)
            self._caches[cache.name][place] = found[f"new_{cache.name}"]
        self._states = {c.name: found[f"next_{c.name}"] for c in self._decoding.carries}
        self._length += fresh
        return found["logits"]

    def _make_room(self, positions: int) -> None:
        room = self._room
        while room < positions:
            room *= 2
        if room == self._room:
            return
        for cache in self._decoding.caches:
            old = self._caches[cache.name]
            widths = [(0, room - self._room if a == cache.axis else 0) for a in range(old.ndim)]
            self._caches[cache.name] = np.pad(old, widths)
        self._room = room

    def _float(self, dtype: str) -> Any:
        exact = isinstance(self._engine, ReferenceEngine) and dtype == "f32"
        return np.float64 if exact else DTYPES[dtype]


class Sliding:
    """A decoder that goes on beyond the positions of its net, from the last half of them."""

    def __init__(self, decoder: Decoder, positions: int) -> None:
        self._decoder, self._positions = decoder, positions
        self._recent: Array = np.zeros((0, 0), np.int32)

    @property
    def length(self) -> int:
        """Positions that are in use."""
        return self._decoder.length

    def start(self, tokens: Array) -> Array:
        """Begin with the end of the prompts."""
        self._recent = np.asarray(tokens, np.int32)[:, -self._positions :]
        return self._decoder.start(self._recent)

    def step(self, tokens: Array) -> Array:
        """One more token for each sequence."""
        fresh = np.asarray(tokens, np.int32)[:, None]
        self._recent = np.concatenate((self._recent, fresh), axis=1)
        if self._recent.shape[1] <= self._positions:
            return self._decoder.step(tokens)
        return self.start(self._recent[:, -max(1, self._positions // 2) :])

    def select(self, rows: Sequence[int]) -> None:
        """Go on with these sequences."""
        self._recent = self._recent[list(rows)]
        self._decoder.select(rows)


def _shape(type: TensorType, sizes: Mapping[str, int], rows: int) -> tuple[int, ...]:
    """Sizes that nothing names are the batch."""
    known = {name: sizes.get(name, rows) for dim in type.shape for name in symbols(dim)}
    return tuple(size_of(dim, known) for dim in type.shape)


def _beside(type: TensorType, tokens: Array) -> Array:
    """An input along the sequence that is not the tokens: a mask that lets all be seen, zeros."""
    if type.dtype == "bool":
        return np.ones(tokens.shape, np.bool_)
    return np.zeros(tokens.shape, DTYPES[type.dtype])


def _engine(program: CompiledProgram, net: str, decoding: Decoding) -> Any:
    """The kernels of the step graph, with the parameters of the program."""
    lowered = lower_decoding(program.lowered, net, decoding)
    made = replace(compile_for(lowered, program.target), train=None)
    engine: Any = open_engine(lowered, made)
    np.copyto(engine.parameters, program.engine.parameters)
    return engine


def open_decoder(
    program: CompiledProgram,
    writer: Writer,
    given: Mapping[str, Array],
    *,
    cache: bool = True,
) -> Decoder:
    """Raises: UsageError where `cache` is asked for and the net cannot be computed step by step."""
    return (Cached if cache else Recomputed)(program, writer, given)
