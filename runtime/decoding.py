"""A net that writes, a position at a time: what it gives for the next token, with a cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..compiler.compile import compile_for, lower_decoding
from ..compiler.decoding import DECODE, PREPARE, decoding_of
from ..compiler.passes.decode import Decoding
from ..compiler.passes.step import PAST, SLOTS, NoStep
from ..spec.dims import evaluate as size_of
from ..spec.dims import symbols
from .decoders import Decoder, Recomputed, beside_of
from .native_engine import DTYPES
from .program import open_engine
from .reference_engine import ReferenceEngine
from .writers import Writer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..compiler.ir.types import TensorType
    from .program import CompiledProgram

    Array = NDArray[Any]

ROOM = 64  # positions that a cache begins with; it doubles when it is full


class Cached:
    """Computes the fresh positions alone; the rest is kept."""

    def __init__(
        self, program: CompiledProgram, writer: Writer, given: Mapping[str, Array]
    ) -> None:
        net = program.program.nets[writer.net]
        self._writer = writer
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
        beside = {port.name: beside_of(port, tokens) for port in self._writer.beside}
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


def _shape(type: TensorType, sizes: Mapping[str, int], rows: int) -> tuple[int, ...]:
    """Sizes that nothing names are the batch."""
    known = {name: sizes.get(name, rows) for dim in type.shape for name in symbols(dim)}
    return tuple(size_of(dim, known) for dim in type.shape)


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
    """Raises: NoStep where `cache` is asked for and the net cannot be computed step by step."""
    if cache and writer.window:
        raise NoStep(f"`{writer.net}` sees {writer.window} tokens: nothing is kept between them")
    if cache:
        return Cached(program, writer, given)
    return Recomputed(lambda fed: program.engine.forward(writer.net, fed), writer, given)
