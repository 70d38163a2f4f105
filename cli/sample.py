"""Let a trained language model write: text that goes on from a prompt, as it comes."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..runtime.writing import add_writing, choice_of, prompts_of, show, slide_of, source_of
from ..spec.errors import UsageError
from .options import add_json, add_spec, add_target, load
from .runs import add_checkpoint, add_ema, checkpoint

if TYPE_CHECKING:
    from ..runtime.data.vocabulary import Vocabulary
    from ..runtime.program import CompiledProgram


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `weft sample`."""
    add_spec(parser)
    add_writing(parser)
    parser.add_argument("--net", metavar="NAME", help="which net, where the spec has several")
    parser.add_argument("--no-cache", action="store_true", help="compute everything anew each time")
    add_checkpoint(parser)
    add_ema(parser)
    add_target(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Write."""
    from ..runtime.nets import named_net
    from ..runtime.program import compile
    from ..runtime.sample import begin
    from ..runtime.writers import writer_of

    choice = choice_of(arguments)
    program = compile(load(arguments), arguments.target)
    words = _restore(arguments, program)
    net = named_net(program.program.nets, arguments.net)
    writer = writer_of(program.artifact.entry("forward", net))
    sampling = begin(
        program,
        prompts_of(arguments, words),
        net=net,
        length=arguments.length,
        given=source_of(arguments, writer, words),
        cache=False if arguments.no_cache else None,
        slide=slide_of(arguments),
    )
    return show(arguments, sampling, choice, words)


def _restore(arguments: argparse.Namespace, program: CompiledProgram) -> Vocabulary | None:
    """The parameters of the checkpoint, and the vocabulary it keeps."""
    from ..runtime import checkpoint as files
    from ..runtime.averaged import use_average
    from ..runtime.data import vocabulary
    from ..runtime.snapshot import restore_parameters

    words = vocabulary.read(Path(arguments.vocabulary)) if arguments.vocabulary else None
    try:
        path = checkpoint(program.spec, arguments.checkpoint)
    except UsageError:
        if arguments.checkpoint is not None:
            raise
        print(
            f"weft: note: nothing is trained yet; `weft train {program.spec.path}` comes first",
            file=sys.stderr,
        )
        return words
    loaded = files.load(path)
    restore_parameters(program.engine, loaded, path)
    use_average(program.engine, loaded.tensors, arguments.ema)
    return words or vocabulary.in_state(loaded.state)
