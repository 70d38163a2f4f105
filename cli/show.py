"""Draw the network: as text, dot, mermaid or svg, folded as far as you like."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..compiler.build import NetProgram, elaborate
from ..spec.errors import UsageError, suggest
from .diagram import diagram
from .options import add_spec, load
from .picture import to_dot, to_mermaid, to_svg, to_text

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
        "--depth", metavar="N", type=int, help="fold what lies deeper than N blocks"
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="write there instead of the screen")


def run(arguments: argparse.Namespace) -> int:
    """Draw the nets of a spec."""
    if arguments.depth is not None and arguments.depth < 1:
        raise UsageError("--depth counts from 1")
    ending = Path(arguments.output).suffix.lower() if arguments.output else ".txt"
    form = arguments.format or ENDINGS.get(ending)
    if form is None:
        raise UsageError(
            f"what is `{arguments.output}`?", hint=f"name it {', '.join(ENDINGS)}, or give --format"
        )
    nets = _chosen(elaborate(load(arguments)).nets, arguments.net)
    if form == "svg" and len(nets) > 1:
        names = ", ".join(net.name for net in nets)
        raise UsageError("an svg shows one net", hint=f"choose with --net: {names}")
    drawn = "\n\n".join(FORMATS[form](diagram(net, arguments.depth)) for net in nets)
    if arguments.output:
        Path(arguments.output).write_text(drawn + "\n", encoding="utf-8")
    else:
        print(drawn)
    return 0


def _chosen(nets: object, name: str | None) -> list[NetProgram]:
    assert isinstance(nets, dict)
    if name is None:
        return list(nets.values())
    if name not in nets:
        raise UsageError(
            f"no net `{name}`", hint=suggest(name, nets) or f"there is {', '.join(nets)}"
        )
    return [nets[name]]
