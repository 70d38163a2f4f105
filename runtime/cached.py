"""A net that writes, a position at a time: computes the fresh ones alone, and keeps the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..compiler.artifact import DECODE, PAST, PREPARE, SLOTS, evaluate, names_in
from .data.conform import DTYPES
from .decoders import beside_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..compiler.artifact import Kept, Port
    from .engine import Stepwise
    from .writers import Writer

    Array = NDArray[Any]

ROOM = 64  # positions that a cache begins with; it doubles when it is full


class Cached:
    """Implements `runtime.decoders.Decoder` by the entries of one step on."""

    def __init__(
        self, engine: Stepwise, kept: Kept, writer: Writer, given: Mapping[str, Array]
    ) -> None:
        self._engine, self._kept, self._writer = engine, kept, writer
        entries = {e.kind: e for e in engine.artifact.entries if e.subject == writer.net}
        self._ports = {port.name: port for port in entries[DECODE].inputs}
        self._given = {name: array for name, array in given.items() if name in kept.prepared}
        if PREPARE in entries:
            self._given |= engine.call(PREPARE, writer.net, given, seed=0, index=0)
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
        self._length, self._room = 0, ROOM
        self._caches = {name: self._zeros(name, len(tokens)) for name, _ in self._kept.caches}
        self._states = {name: self._zeros(name, len(tokens)) for name in self._kept.carries}
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
        fed = {name: moving[name] for name in self._kept.tokens}
        past = np.array(self._length, np.int32)
        inputs = {**fed, PAST: past, **self._given, **self._caches, **self._states}
        found = self._engine.call(DECODE, self._writer.net, inputs, seed=0, index=0)
        for name, axis in self._kept.caches:
            place = (slice(None),) * axis + (slice(self._length, self._length + fresh),)
            self._caches[name][place] = found[f"new_{name}"]
        self._states = {name: found[f"next_{name}"] for name in self._kept.carries}
        self._length += fresh
        return found["logits"]

    def _make_room(self, positions: int) -> None:
        room = self._room
        while room < positions:
            room *= 2
        if room == self._room:
            return
        for name, axis in self._kept.caches:
            old = self._caches[name]
            widths = [(0, room - self._room if a == axis else 0) for a in range(old.ndim)]
            self._caches[name] = np.pad(old, widths)
        self._room = room

    def _zeros(self, name: str, rows: int) -> Array:
        """A cache or a state at the beginning, in float64 where the engine computes in that."""
        port = self._ports[name]
        exact = self._engine.parameters.dtype == np.float64 and port.dtype == "f32"
        return np.zeros(_shape(port, self._room, rows), np.float64 if exact else DTYPES[port.dtype])


def _shape(port: Port, room: int, rows: int) -> tuple[int, ...]:
    """Sizes that nothing names are the batch."""
    known = {name: room if name == SLOTS else rows for dim in port.shape for name in names_in(dim)}
    return tuple(int(evaluate(dim, known)) for dim in port.shape)
