"""What the compiler made of a spec, stage by stage, as text and as plain data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..spec.dims import shape_text
from .artifact import Artifact, KernelRecord
from .budget import peak
from .emit.triton.part import line
from .entries import LEARNING, EntryGraph
from .ir.graph import Graph, Node
from .ir.printer import show
from .lowered import Lowered
from .native import plan_entry
from .ops.scans import loop_key
from .passes.fold_norms import GRAM
from .plan.attention import QUERY, Attention, Refusal, attentions
from .plan.fuse import Fusion, Roots
from .plan.launch import Launch
from .plan.samples import step_by_step
from .plan.values import Values

Show = Callable[[Lowered, EntryGraph], str]


def _build(lowered: Lowered, entry: EntryGraph) -> str:
    """The graph as the spec says it: values, loss and metrics, or a net's outputs."""
    if entry.kind != "train":
        return show(_graph(entry))
    graph = _graph(entry)
    outputs = {p.name: graph.outputs[p.name] for p in entry.outputs if p.name in graph.outputs}
    return show(Graph(graph.nodes, outputs))


def _differentiate(lowered: Lowered, entry: EntryGraph) -> str:
    """The graph with the gradient of every trained parameter."""
    return show(_graph(entry))


def _attention(lowered: Lowered, entry: EntryGraph) -> str:
    """The launches of attention that store no scores, and scores that are stored."""
    graph = _graph(entry)
    refusals: list[Refusal] = []
    found = attentions(graph, refusals=refusals)
    lines = [_streamed(graph, launch) for launch in found]
    lines += [f"{graph[r.product].name} is stored: {r.reason}" for r in refusals]
    return "\n".join(lines) or "no attention"


def _streamed(graph: Graph, launch: Attention) -> str:
    made = ", ".join(f"%{i} {graph[i].name}" for i in launch.results)
    shape = shape_text(graph[launch.products[0]].shape)
    passing = "keys" if launch.owner == QUERY else "queries"
    return (
        f"{{{made}}} while {passing} pass by; {len(launch.streamed)} values of {shape} not stored"
    )


def _fuse(lowered: Lowered, entry: EntryGraph) -> str:
    """The groups: what each kernel makes, what it reads, and the bytes it moves."""
    graph = _graph(entry)
    fusion = Fusion(Values(graph, lowered.program.sizes))
    return "\n".join(_group(graph, fusion, roots) for roots in fusion.groups)


def _group(graph: Graph, fusion: Fusion, roots: Roots) -> str:
    name = lambda i: f"%{i} {graph[i].name}"  # noqa: E731
    made = ", ".join(map(name, sorted(roots)))
    read = ", ".join(map(name, sorted(fusion.reads(roots))))
    return f"{{{made}}} <- {{{read}}}  {fusion.cost(roots):,} bytes"


def _schedule(lowered: Lowered, entry: EntryGraph) -> str:
    """Levels between barriers, stages of panels, and the launches of each panel."""
    writer = plan_entry(entry, lowered.arena, lowered.slots, lowered.program.sizes)
    lines: list[str] = []
    for part in writer.parts:
        for number, level in enumerate(part.levels):
            lines.append(f"level {number}")
            for stage in level:
                lines.append(f"  stage over {stage.domain}, panels of {part.panels[stage]}")
                lines += [f"    {_launch(part.graph, launch)}" for launch in stage.launches]
    return "\n".join(lines)


def _launch(graph: Graph, launch: Launch) -> str:
    made = ", ".join(graph[i].name for i in sorted(launch.writes))
    what = graph[launch.heavy].op if launch.heavy is not None else "loops"
    partial = ", ".join(graph[i].name for i in sorted(launch.summed))
    return f"{what}: {made}" + (f"  (partial sums: {partial})" if partial else "")


STAGES: Mapping[str, Show] = {
    "build": _build,
    "differentiate": _differentiate,
    "attention": _attention,
    "fuse": _fuse,
    "schedule": _schedule,
}
"""What `weft explain --after` can show, in order."""


def _graph(entry: EntryGraph) -> Graph:
    assert entry.graph is not None
    return entry.graph


def explained_entries(lowered: Lowered) -> list[EntryGraph]:
    """Training steps or backward passes; the nets themselves where there are none."""
    steps = [e for e in lowered.entries if e.kind in LEARNING]
    return steps or [e for e in lowered.entries if e.kind == "forward"]


def after(lowered: Lowered, stage: str) -> dict[str, str]:
    """The text of every training step (or net) after a stage.  Raises: KeyError."""
    return {entry.subject: STAGES[stage](lowered, entry) for entry in explained_entries(lowered)}


def _loops(
    lowered: Lowered, entry: EntryGraph, kernels: Sequence[KernelRecord]
) -> list[dict[str, Any]]:
    """Each scan: is it one launch on a GPU, and if not, why?"""
    graph, found = _graph(entry), dict[object, Node]()
    for node in graph:
        if node.op == "scan":
            found.setdefault(loop_key(node), node)
    whole = {place for k in kernels if k.kind == "scan" for place in k.places}
    loops = []
    for node in found.values():
        reason = step_by_step(node, lowered.program.sizes)
        if reason is None and node.place is not None and line(node) not in whole:
            reason = "no block of its step fits a program"
        place = str(node.place) if node.place is not None else ""
        loops.append({"name": node.name, "place": place, "step_by_step": reason})
    return loops


def _folded(graph: Graph) -> list[str]:
    """The lines of the products into whose weights a batch norm has been folded."""
    found = (node for node in graph if node.name == GRAM and node.place is not None)
    return list(dict.fromkeys(line(node) for node in found))


def report(lowered: Lowered, artifact: Artifact) -> dict[str, Any]:
    """Kernels with bytes, FLOPs and intensity, totals, memory and `traffic_ratio`, as plain data;
    for GPUs the loops too, and why they are launched step by step, if they are.

    Units: bytes, floating-point operations; intensity in FLOPs a byte.
    """
    steps: dict[str, Any] = {}
    for entry in explained_entries(lowered):
        name = f"{entry.kind}_{entry.subject}"
        kernels = [k for k in artifact.kernels if k.entry == name]
        steps[entry.subject] = {
            "kernels": [
                {
                    "name": k.name,
                    "kind": k.kind,
                    "bytes": k.bytes,
                    "flops": k.flops,
                    "intensity": k.flops / k.bytes if k.bytes else None,
                    "reads": list(k.reads),
                    "writes": list(k.writes),
                    "places": list(k.places),
                }
                for k in kernels
            ],
            "bytes": sum(k.bytes for k in kernels),
            "flops": sum(k.flops for k in kernels),
            "peak_memory": peak(artifact, artifact.entry(entry.kind, entry.subject)),
            "loops": [] if artifact.target == "cpu" else _loops(lowered, entry, kernels),
            "folded": _folded(_graph(entry)),
            "traffic": artifact.traffic.get(entry.subject, {}),
        }
    arena = 4 * artifact.length
    memory = {"parameters": arena, "gradients": arena, "states": arena * len(artifact.states)}
    return {
        "name": artifact.name,
        "target": artifact.target,
        "sizes": dict(artifact.sizes),
        "steps": steps,
        "memory": memory,
    }


__all__ = ["STAGES", "after", "explained_entries", "report"]
