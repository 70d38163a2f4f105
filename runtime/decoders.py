"""Nets that write, a token at a time, by computing what they see anew; and what they write."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..spec.errors import UsageError
from .data.conform import DTYPES
from .sampler import Choice, Decoder, Found, beam_search, write
from .writers import Writer, arrays_of, check_prompts, longest, tokens_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..compiler.artifact import Port

    Array = NDArray[Any]

LENGTH = 200  # tokens that are written unless the call says otherwise

Forward = Callable[[dict[str, Any]], Mapping[str, Any]]
"""A net in use: arrays by input to arrays by output."""


Opened = tuple[Decoder, bool]
"""A decoder, and whether it goes on from what it kept."""


class Recomputed:
    """Runs the whole net for every token, or a window of it over the last tokens."""

    def __init__(self, forward: Forward, writer: Writer, given: Mapping[str, Array]) -> None:
        self._forward, self._writer, self._given = forward, writer, dict(given)
        self._tokens: Array = np.zeros((0, 0), np.int32)

    @property
    def length(self) -> int:
        """Positions so far."""
        return int(self._tokens.shape[1])

    def start(self, tokens: Array) -> Array:
        """Begin with prompts i32 [N, t]."""
        return self._logits(np.asarray(tokens, np.int32))

    def step(self, tokens: Array) -> Array:
        """One more token for each sequence."""
        fresh = np.asarray(tokens, np.int32)[:, None]
        return self._logits(np.concatenate((self._tokens, fresh), axis=1))

    def select(self, rows: Sequence[int]) -> None:
        """Go on with these sequences."""
        if len(self._tokens):
            self._tokens = self._tokens[list(rows)]
        self._given = {name: array[list(rows)] for name, array in self._given.items()}

    def _logits(self, tokens: Array) -> Array:
        writer = self._writer
        self._tokens = np.ascontiguousarray(tokens[:, -writer.window :])
        beside = {port.name: beside_of(port, self._tokens) for port in writer.beside}
        found = self._forward({writer.tokens: self._tokens, **beside, **self._given})
        logits: Array = found[writer.output]
        return logits if writer.window else logits[:, -1]


class Prefixed:
    """Computes all anew until as many positions are there as see each other, then goes on with the
    cache that the other decoder keeps.
    """

    def __init__(self, anew: Decoder, cached: Decoder, prefix: int) -> None:
        self._anew, self._cached, self._prefix = anew, cached, prefix
        self._active = anew
        self._tokens: Array = np.zeros((0, 0), np.int32)

    @property
    def length(self) -> int:
        """Positions so far."""
        return self._active.length

    def start(self, tokens: Array) -> Array:
        """Begin with prompts i32 [N, t]."""
        self._tokens = np.asarray(tokens, np.int32)
        complete = self._tokens.shape[1] >= self._prefix
        self._active = self._cached if complete else self._anew
        return self._active.start(self._tokens)

    def step(self, tokens: Array) -> Array:
        """One more token for each sequence."""
        if self._active is self._cached:
            return self._cached.step(tokens)
        fresh = np.asarray(tokens, np.int32)[:, None]
        self._tokens = np.concatenate((self._tokens, fresh), axis=1)
        if self._tokens.shape[1] < self._prefix:
            return self._anew.step(tokens)
        return self.start(self._tokens)

    def select(self, rows: Sequence[int]) -> None:
        """Go on with these sequences."""
        self._tokens = self._tokens[list(rows)]
        self._anew.select(rows)
        self._cached.select(rows)


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


def beside_of(port: Port, tokens: Array) -> Array:
    """An input along the sequence that is not the tokens: a mask that lets all be seen, zeros."""
    make = np.ones if port.dtype == "bool" else np.zeros
    return make(tokens.shape, DTYPES[port.dtype])


@dataclass(frozen=True, slots=True)
class Sampling:
    """One net of a program, ready to write.

    `length` is how many tokens it writes at most; `cached`: whether it goes on from what it kept.
    """

    decoder: Decoder
    prompts: Array
    length: int
    cached: bool

    def tokens(
        self, choice: Choice, *, seed: int = 0, stop: Collection[int] = ()
    ) -> Iterator[Array]:
        """One i32 [N] after the other; -1 where a sequence has ended."""
        return write(self.decoder, self.prompts, self.length, choice, seed=seed, stop=stop)

    def best(
        self,
        choice: Choice,
        beams: int,
        *,
        stop: Collection[int] = (),
        length_penalty: float = 0.0,
    ) -> list[Found]:
        """The likeliest continuations of the first prompt."""
        return beam_search(
            self.decoder,
            self.prompts[:1],
            self.length,
            beams,
            choice,
            stop=stop,
            length_penalty=length_penalty,
        )


def _fitting(room: int) -> str:
    """What to do where a prompt leaves so many positions, none of them or fewer at worst."""
    if room < 1:
        return "shorten the prompt, or let it --slide"
    return f"at most --length {room} fits, or let it --slide"


def sampling_of(
    writer: Writer,
    prompts: Sequence[Sequence[int]],
    opened: Callable[[Mapping[str, Array]], Opened],
    sizes: Mapping[str, int],
    *,
    length: int | None = None,
    given: Mapping[str, Any] | None = None,
    slide: bool | int = False,
) -> Sampling:
    """A net with prompts of one length, none of them empty; `opened` makes its decoder.

    `sizes` are those that the spec names; `slide`: beyond the positions of the net, or so many, it
    goes on from the last half of them.

    Raises: UsageError for prompts that do not fit the net.
    """
    check_prompts(writer, prompts)
    before = len(prompts[0]) - 1  # the last token that is written needs no position
    room = before + (LENGTH if length is None else length)
    most = longest(writer, sizes, room)
    if slide is not False and slide is not True:
        if slide < 1:
            raise UsageError(f"a window of {slide} positions: at least 1")
        most = min(most, slide)
    slides = slide and most < room
    if most < room and not slides and (length is not None or most <= before):
        raise UsageError(
            f"a prompt of {tokens_text(prompts[0])} and {room - before} more need {room} "
            f"positions, `{writer.net}` has {most}",
            hint=_fitting(most - before),
        )
    decoder, cached = opened(arrays_of(writer, given or {}, len(prompts)))
    if slides:
        decoder, most = Sliding(decoder, most), room
    return Sampling(decoder, np.asarray(prompts, np.int32), min(most, room) - before, cached)
