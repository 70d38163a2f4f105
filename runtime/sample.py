"""Text and tokens from a net that writes: prompts in, continuations out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..compiler.passes.step import NoStep
from .decoders import LENGTH, Opened, Sampling, sampling_of
from .decoding import open_decoder
from .nets import named_net
from .writers import Writer, writer_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .program import CompiledProgram

    Array = NDArray[Any]

__all__ = ["LENGTH", "Sampling", "begin"]


def begin(
    program: CompiledProgram,
    prompts: Sequence[Sequence[int]],
    *,
    net: str | None = None,
    length: int | None = None,
    given: Mapping[str, Any] | None = None,
    cache: bool | None = None,
    slide: bool | int = False,
) -> Sampling:
    """A net with prompts of one length, none of them empty.

    `cache`: None takes it where the net allows.  `slide`: beyond the positions of the net, or
    so many, it goes on from the last half of them.

    Raises: UsageError for prompts that do not fit the net, or a net that does not write.
    """
    name = named_net(program.program.nets, net)
    writer = writer_of(program.artifact.entry("forward", name))

    def opened(arrays: Mapping[str, Array]) -> Opened:
        return _decoder(program, writer, arrays, cache)

    sizes = program.program.sizes
    return sampling_of(writer, prompts, opened, sizes, length=length, given=given, slide=slide)


def _decoder(
    program: CompiledProgram, writer: Writer, arrays: Mapping[str, Array], cache: bool | None
) -> Opened:
    if cache is False:
        return open_decoder(program, writer, arrays, cache=False), False
    try:
        return open_decoder(program, writer, arrays), True
    except NoStep:
        if cache:
            raise
    return open_decoder(program, writer, arrays, cache=False), False
