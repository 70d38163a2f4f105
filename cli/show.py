"""Draw the network as text, dot, mermaid or svg, folded as far as you like; or its weights."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ..compiler.build import NetProgram, elaborate, outline_of
from ..spec.errors import UsageError, suggest
from ..spec.load import Spec
from .drawing.compose import diagram
from .drawing.markup import to_dot, to_mermaid
from .drawing.sketch import Source
from .drawing.svg import to_svg
from .drawing.text import to_text
from .options import add_spec, load
from .runs import add_checkpoint, add_ema, checkpoint

FORMATS = {"text": to_text, "dot": to_dot, "mermaid": to_mermaid, "svg": to_svg}
ENDINGS = {".txt": "text", ".dot": "dot", ".gv": "dot", ".mmd": "mermaid", ".svg": "svg"}


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `weft show`."""
    add_spec(parser)
    parser.add_argument(
        "--format", choices=FORMATS, help="default: that of the output's name, or text"
    )
    parser.add_argument("--net", metavar="NAME", help="this net only")
    parser.add_argument(
        "--depth", metavar="N", type=int, help="close what lies inside more than N blocks"
    )
    parser.add_argument(
        "--unfold", action="store_true", help="draw blocks that repeat as often as they come"
    )
    parser.add_argument(
        "--size",
        dest="sizes",
        metavar="NAME=NUMBER",
        action="append",
        default=[],
        help="write a number for a size that the net leaves open; may be repeated",
    )
    parser.add_argument(
        "--weights",
        metavar="LAYER",
        nargs="*",
        help="draw what was learnt as PNG into the folder of -o: the filters of these layers (no "
        "LAYER: of all that are pictures)",
    )
    add_checkpoint(parser)
    add_ema(parser)
    parser.add_argument("-o", "--output", metavar="PATH", help="write there instead of the screen")


def run(arguments: argparse.Namespace) -> int:
    """Draw the nets of a spec."""
    if arguments.depth is not None and arguments.depth < 1:
        raise UsageError("--depth counts from 1")
    if arguments.weights is not None:
        return _weights(arguments)
    if arguments.checkpoint is not None or arguments.ema is not None:
        raise UsageError("--checkpoint and --ema go with --weights", hint="add --weights")
    ending = Path(arguments.output).suffix.lower() if arguments.output else ".txt"
    form = arguments.format or ENDINGS.get(ending)
    if form is None:
        raise UsageError(
            f"what is `{arguments.output}`?", hint=f"name it {', '.join(ENDINGS)}, or give --format"
        )
    sizes = _sizes(arguments.sizes)
    program = elaborate(_without_training(load(arguments)))
    counts = {p.name: math.prod(p.shape) for p in program.parameters if p.trainable}
    drawn = FORMATS[form](
        [
            diagram(
                Source(net, outline_of(program, net.name), counts, program.spec.texts, sizes),
                depth=arguments.depth,
                folded=not arguments.unfold,
            )
            for net in _chosen(program.nets, arguments.net)
        ]
    )
    if arguments.output:
        Path(arguments.output).write_text(drawn + "\n", encoding="utf-8")
    else:
        print(drawn)
    return 0


def _weights(arguments: argparse.Namespace) -> int:
    """Draw what was learnt."""
    from .weights import draw_weights

    if not arguments.output:
        raise UsageError("--weights needs a folder", hint="-o FOLDER")
    first = arguments.weights[0] if arguments.weights else ""
    if arguments.checkpoint is None and ("/" in first or Path(first).is_file()):
        hint = f"the run is named by --checkpoint {first}"
        raise UsageError(f"--weights {first}: a layer is meant", hint=hint)
    spec = load(arguments)
    program = elaborate(_without_training(spec))
    if arguments.net:
        _chosen(program.nets, arguments.net)
    written = draw_weights(
        program,
        checkpoint(spec, arguments.checkpoint),
        arguments.weights,
        Path(arguments.output),
        net=arguments.net,
        ema=arguments.ema,
    )
    print("\n".join(map(str, written)))
    return 0


def _without_training(spec: Spec) -> Spec:
    """Nets only: what is drawn is the same, whatever the training section says."""
    return replace(spec, file=replace(spec.file, train=None))


def _chosen(nets: Mapping[str, NetProgram], name: str | None) -> list[NetProgram]:
    if name is None:
        return list(nets.values())
    if name not in nets:
        raise UsageError(
            f"no net `{name}`", hint=suggest(name, nets) or f"there is {', '.join(nets)}"
        )
    return [nets[name]]


def _sizes(pairs: list[str]) -> dict[str, int]:
    """`["H=224", "W=224"]` as numbers."""
    sizes: dict[str, int] = {}
    for pair in pairs:
        name, _, text = (part.strip() for part in pair.partition("="))
        if not name or not text.isascii() or not text.isdecimal() or len(text) > 9:
            raise UsageError(f"--size {pair}: expected NAME=NUMBER", hint="such as --size H=224")
        sizes[name] = int(text)
    return sizes
