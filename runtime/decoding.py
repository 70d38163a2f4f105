"""A net of a program that writes, with its cache where it can be computed step by step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..compiler.compile import compile_for, lower_decoding
from ..compiler.decoding import decoding_of, kept_by
from ..compiler.passes.step import NoStep
from ..spec.errors import UsageError
from .cached import Cached
from .decoders import Prefixed, Recomputed
from .engines import open_engine
from .manifest import Continuation
from .sampler import Decoder
from .writers import Writer, writer_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..compiler.artifact import Artifact
    from ..compiler.lowered import Lowered
    from .program import CompiledProgram

    Array = NDArray[Any]


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
    anew = Recomputed(lambda fed: program.engine.forward(writer.net, fed), writer, given)
    return _cached(program, writer, given, anew) if cache else anew


def step_artifacts(
    program: CompiledProgram, make: Callable[[Lowered], Artifact]
) -> dict[str, Continuation]:
    """What a package needs to go on a token at a time, by net; `make` compiles for its target.

    Nets that do not write, and those that are computed as a whole, are left out.
    """
    found: dict[str, Continuation] = {}
    for name, net in program.program.nets.items():
        try:
            writer = writer_of(program.artifact.entry("forward", name))
            if writer.window or writer.entries < 2:
                continue
            decoding = decoding_of(net, writer.output)
        except UsageError:
            continue
        made = make(lower_decoding(program.lowered, name, decoding))
        found[name] = Continuation(replace(made, train=None), kept_by(decoding))
    return found


def _cached(
    program: CompiledProgram, writer: Writer, given: Mapping[str, Array], anew: Decoder
) -> Decoder:
    """The kernels of the step graph, with the parameters of the program."""
    decoding = decoding_of(program.program.nets[writer.net], writer.output)
    lowered = lower_decoding(program.lowered, writer.net, decoding)
    made = replace(compile_for(lowered, program.target), train=None)
    engine: Any = open_engine(lowered, made)
    np.copyto(engine.parameters, program.engine.parameters)
    cached = Cached(engine, kept_by(decoding), writer, given)
    return Prefixed(anew, cached, decoding.prefix) if decoding.prefix else cached
