"""What became of the spec: fused groups, kernels, bytes, FLOPs; or the graph after one stage."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from ..compiler.explain import STAGES, after, report
from .options import add_json, add_spec, add_target, load, print_json
from .table import bytes_text, count_text, table


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `weft explain`."""
    add_spec(parser)
    add_target(parser, default="cpu")
    parser.add_argument(
        "--backward", action="store_true", help="the gradients of each net, without loss and update"
    )
    parser.add_argument("--after", choices=STAGES, metavar="STAGE", help=" | ".join(STAGES))
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the kernels of every training step (of every net, where there is none, or backward)."""
    from ..compiler.compile import compile_for, lower_backward
    from ..runtime.program import compile

    program = compile(load(arguments), arguments.target)
    lowered, artifact = program.lowered, program.artifact
    if arguments.backward:
        lowered = lower_backward(lowered)
        artifact = compile_for(lowered, program.target)
    if arguments.after:
        texts = after(lowered, arguments.after)
        if arguments.json:
            print_json({"after": arguments.after, "steps": texts})
        else:
            print("\n\n".join(f"{name}:\n{text}" for name, text in texts.items()))
        return 0
    found = report(lowered, artifact)
    if arguments.json:
        print_json(found)
    else:
        print(_as_text(found))
    return 0


def _as_text(found: Mapping[str, Any]) -> str:
    sizes = ", ".join(f"{name}={size}" for name, size in found["sizes"].items())
    parts = [f"{found['name']} for {found['target']}{f', at {sizes}' if sizes else ''}"]
    parts += [_step(name, step) for name, step in found["steps"].items()]
    memory = ", ".join(f"{name} {bytes_text(size)}" for name, size in found["memory"].items())
    return "\n\n".join([*parts, f"memory   {memory}"])


def _step(name: str, step: Mapping[str, Any]) -> str:
    rows = [
        (
            kernel["name"],
            ", ".join(kernel["writes"]),
            bytes_text(kernel["bytes"]),
            count_text(kernel["flops"]),
            f"{kernel['intensity']:.1f}" if kernel["intensity"] is not None else "",
            _places(kernel["places"]),
        )
        for kernel in step["kernels"]
    ]
    total = ("total", "", bytes_text(step["bytes"]), count_text(step["flops"]), "", "")
    head = ("kernel", "writes", "bytes", "FLOPs", "FLOPs/byte", "from")
    text = f"{name}: {_count(step['kernels'])}\n{table(head, rows, total, '<<>>><')}"
    text += f"\n\npeak     {bytes_text(step['peak_memory'])} of memory"
    text += _loops(step["loops"])
    if step["folded"]:
        text += f"\n\nfolded   batch norms into the weights of {_places(step['folded'])}"
    ratio = step["traffic"].get("traffic_ratio")
    if ratio is None:
        return text
    update, memory = bytes_text(step["traffic"]["update_bytes"]), step["traffic"]["memory_ratio"]
    caches = f" ({memory:.2f} between memory and caches)" if memory != ratio else ""
    after = f"; the update moves {update} more" if step["traffic"]["update_bytes"] else ""
    return f"{text}\n\ntraffic  {ratio:.2f} times the least{caches}{after}"


def _count(kernels: list[Mapping[str, Any]]) -> str:
    """How many there are, and how many texts they have: equal layers share theirs."""
    texts = len({kernel["name"] for kernel in kernels})
    shared = f" of {texts} texts" if texts < len(kernels) else ""
    return f"{len(kernels)} kernels{shared}"


def _loops(loops: list[Mapping[str, Any]]) -> str:
    """Each scan by line and name: one launch, or launches of every step, and why."""
    lines = []
    for loop in loops:
        why = loop["step_by_step"]
        how = "one launch" if why is None else f"launches of every step: {why}"
        where = f"{loop['place'].split(':')[-2]} " if loop["place"] else ""
        lines.append(f"{where}{loop['name']}: {how}")
    return "".join(f"\n{'scans' if not k else '':<9}{line}" for k, line in enumerate(lines))


def _places(places: list[str]) -> str:
    """`mlp.weft:7:12  mlp.linear` as `7 linear`: the line and the layer."""
    short = []
    for place in places:
        where, _, layer = place.partition("  ")
        short.append(f"{where.split(':')[-2]} {layer.rpartition('.')[2]}".strip())
    return ", ".join(dict.fromkeys(short))
