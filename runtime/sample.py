"""Text and tokens from a net that writes: prompts in, continuations out."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..compiler.passes.step import NoStep
from ..spec.errors import UsageError
from .decoding import Decoder, Sliding, Writer, arrays_of, longest, open_decoder, writer_of
from .nets import named_net
from .sampler import Choice, Found, beam_search, write

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .program import CompiledProgram

    Array = NDArray[Any]

LENGTH = 200  # tokens that are written unless the call says otherwise


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


def begin(
    program: CompiledProgram,
    prompts: Sequence[Sequence[int]],
    *,
    net: str | None = None,
    length: int | None = None,
    given: Mapping[str, Any] | None = None,
    cache: bool | None = None,
    slide: bool = False,
) -> Sampling:
    """A net with prompts of one length, none of them empty.

    `cache`: None takes it where the net allows.  `slide`: beyond the positions of the net it goes
    on from the last half of them.

    Raises: UsageError for prompts that do not fit the net, or a net that does not write.
    """
    own = program.program.nets[named_net(program.program.nets, net)]
    writer = writer_of(own)
    _check(writer, prompts)
    before = len(prompts[0]) - 1  # the last token that is written needs no position
    room = before + (LENGTH if length is None else length)
    most = longest(program, writer, room)
    slides = slide and most < room
    if most < room and not slides and (length is not None or most <= before):
        raise UsageError(
            f"a prompt of {len(prompts[0])} tokens and {room - before} more need {room} positions, "
            f"`{own.name}` has {most}",
            hint=f"at most --length {max(0, most - before)} fits, or let it --slide",
        )
    arrays = arrays_of(own, writer, given or {}, len(prompts))
    decoder, cached = _decoder(program, writer, arrays, cache)
    if slides:
        decoder, most = Sliding(decoder, most), room
    return Sampling(decoder, np.asarray(prompts, np.int32), min(most, room) - before, cached)


def _decoder(
    program: CompiledProgram, writer: Writer, arrays: Mapping[str, Array], cache: bool | None
) -> tuple[Decoder, bool]:
    if cache is False:
        return open_decoder(program, writer, arrays, cache=False), False
    try:
        return open_decoder(program, writer, arrays), True
    except NoStep:
        if cache:
            raise
    return open_decoder(program, writer, arrays, cache=False), False


def _check(writer: Writer, prompts: Sequence[Sequence[int]]) -> None:
    if not prompts or not len(prompts[0]):
        raise UsageError("an empty prompt: nothing to go on from", hint="give at least one token")
    if len({len(prompt) for prompt in prompts}) > 1:
        raise UsageError("prompts of different lengths", hint="sample them one by one")
    for prompt in prompts:
        for token in prompt:
            if not 0 <= token < writer.entries:
                raise UsageError(
                    f"token {token} is not of `{writer.net}`: it knows 0 to {writer.entries - 1}",
                    hint="is it the vocabulary that the net was trained with?",
                )
