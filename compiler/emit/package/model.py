"""model.py: the parameters, and a class with one method for every net."""

from __future__ import annotations

import math

from ...artifact import Artifact, Entry
from . import text
from .layout import header, main_file

METHODS = ("load", "parameters", "engine", "self")


def model_text(artifact: Artifact) -> str:
    """The text of model.py."""
    nets = [entry for entry in artifact.entries if entry.kind == "forward"]
    count = sum(math.prod(p.shape) for p in artifact.parameters)
    return text.template(
        "model.py",
        name=text.plain(artifact.name),
        about=header(artifact),
        source=main_file(artifact),
        subject=f"net{'s' * (len(nets) != 1)} {', '.join(f'`{net.subject}`' for net in nets)}",
        example=_example(nets[0]) if nets else "",
        count=f"{count:,}",
        seed=int((artifact.train or {}).get("seed") or 0),
        parameters="".join(_parameter_lines(artifact)),
        methods="".join(_method(net) for net in nets),
    )


def _parameter_lines(artifact: Artifact) -> list[str]:
    lines = []
    for p in artifact.parameters:
        start = text.initialiser(p.initialiser)
        lines.append(f'    Parameter("{p.name}", {p.shape!r}, "{start}", "{p.place}"),\n')
    return lines


def _example(net: Entry) -> str:
    inputs = ", ".join(text.argument(port.name, METHODS) for port in net.inputs)
    outputs = ", ".join(port.name for port in net.outputs)
    return f"{outputs} = model.{text.argument(net.subject, METHODS)}({inputs})"


def _method(net: Entry) -> str:
    inputs = {port: text.argument(port.name, METHODS) for port in net.inputs}
    fed = ", ".join(f'"{port.name}": ({own}, "{port.dtype}")' for port, own in inputs.items())
    results = ", ".join(f'found["{port.name}"]' for port in net.outputs)
    return text.template(
        "model_method.py",
        method=text.argument(net.subject, METHODS),
        net=net.subject,
        arguments="".join(f", {own}: ArrayLike" for own in inputs.values()),
        returns="Array" if len(net.outputs) == 1 else "tuple[Array, ...]",
        inputs=", ".join(f"{own} {text.port_type(port)}" for port, own in inputs.items()),
        outputs=", ".join(f"{port.name} {text.port_type(port)}" for port in net.outputs),
        fed=f"{{{fed}}}",
        results=results,
    )
