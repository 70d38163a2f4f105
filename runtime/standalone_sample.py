"""`sample.py` of a generated package: a language model writes where weft is not installed."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import checkpoint as files
from .averaged import use_average
from .cached import Cached
from .data import vocabulary
from .decoders import Opened, Prefixed, Recomputed, sampling_of
from .nets import named_net
from .snapshot import restore_parameters
from .standalone import (
    blaming_edits,
    checkpoint_in,
    editable,
    engine_of,
    guarded,
    open_package,
    runs_of,
)
from .writers import writer_of
from .writing import add_writing, choice_of, prompts_of, show, slide_of, source_of

if TYPE_CHECKING:
    from .standalone import Opener


def sample_command(
    folder: Path, open_engine: Opener, arguments: Sequence[str] | None = None
) -> int:
    """`python sample.py …`; returns the exit code."""
    return guarded("sample.py", lambda: _sample(folder, open_engine, arguments))


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sample.py",
        description="The trained network goes on from a prompt.",
        allow_abbrev=False,
    )
    add_writing(parser)
    parser.add_argument("--net", metavar="NAME", help="which net, where there are several")
    parser.add_argument(
        "--checkpoint",
        metavar="PATH",
        help="a checkpoint, or the folder of a run (default: runs/NAME); best before last",
    )
    parser.add_argument("--no-cache", action="store_true", help="compute everything anew each time")
    parser.add_argument("--json", action="store_true", help="tokens and texts as JSON")
    return editable(parser)


def _sample(folder: Path, open_engine: Opener, arguments: Sequence[str] | None) -> int:
    options = _options().parse_args(arguments)
    choice = choice_of(options)
    package = open_package(folder, options)
    nets = {e.subject: e for e in package.artifact.entries if e.kind == "forward"}
    writer = writer_of(nets[named_net(nets, options.net)])
    path = checkpoint_in(Path(options.checkpoint) if options.checkpoint else runs_of(package))
    loaded = files.load(path)
    words = vocabulary.read(Path(options.vocabulary)) if options.vocabulary else None
    words = words or vocabulary.in_state(loaded.state)
    engine = engine_of(package, open_engine)
    restore_parameters(engine, loaded, path)
    use_average(engine, loaded.tensors, None)

    def opened(arrays: Mapping[str, Any]) -> Opened:
        anew = Recomputed(lambda fed: engine.forward(writer.net, fed), writer, arrays)
        step = None if options.no_cache else package.steps.get(writer.net)
        if step is None:
            return anew, False
        stepwise: Any = open_engine(step.artifact, None)
        stepwise.parameters[:] = engine.parameters
        cached = Cached(stepwise, step.kept, writer, arrays)
        prefix = step.kept.prefix
        return (Prefixed(anew, cached, prefix) if prefix else cached), True

    with blaming_edits(package):
        sampling = sampling_of(
            writer,
            prompts_of(options, words),
            opened,
            package.artifact.sizes,
            length=options.length,
            given=source_of(options, writer, words),
            slide=slide_of(options),
        )
        return show(options, sampling, choice, words)
