"""Attention launches as Triton: a tile of scores at a time, made, used and forgotten.

    owned tile of queries (or keys)  stays
    for every tile of the others:    z = dot(owned, walked'), what the spec does with z, and
                                     result += dot(w, walked)

A logsumexp is kept as the maximum and the sum so far; results that are scaled by it are scaled
again whenever the maximum grows.  One program owns a tile, so nobody has to agree on a sum.
"""

from __future__ import annotations

from dataclasses import replace

from .attention_scores import Scores
from .attention_step import Step
from .attention_tiles import tile_of
from .attention_walk import Walk
from .composed import Composed, composed
from .gemm import assembled
from .kernel import Factor, Parameter, drawing
from .library import PLACES
from .part import Machine, Part, Work


def attention(part: Part, work: Work, machine: Machine) -> Composed:
    """The kernel of an attention launch.

    Raises: LookupError when no tile is left.
    """
    scores = Scores(part, work)
    tile = tile_of(scores, machine)
    step = Step(scores, tile, machine)
    place, (before, steps, after) = _place(scores, step), Walk(scores, step).lines()
    end = step.stores()
    streams = step.body.streams
    head = ["seed = tl.load(seed_ptr)", "step = tl.load(step_ptr)"] if streams else []
    text = assembled(
        part.name(work),
        [part.title(scores.names, work), _about(scores), PLACES],
        _parameters(scores, streams),
        tile,
        {"place": place, "before": [*head, *before], "steps": steps, "after": after, "end": end},
        ((*_blocks(scores, step), *map(Factor, scores.programs())),),
        dots=step.dots,
    )
    behind = [i for i in scores.values.cone_of(scores.launch)[0] if part.graph[i].place is not None]
    found = composed(
        (text,),
        scores.names,
        scores.sizes,
        (),
        part.places(behind),
        "attention",
        scores.flops(),
    )
    return replace(found, key=scores.key(), streams=scores.kernel.streams)


def _about(scores: Scores) -> str:
    if scores.pair:
        return "A tile of queries and keys stays while all that shares it passes by."
    kept, passing = ("keys", "queries") if scores.of_keys else ("queries", "keys")
    return f"A tile of {kept} stays while all {passing} pass by."


def _parameters(scores: Scores, streams: dict[int, None]) -> tuple[Parameter, ...]:
    pointers = [Parameter.pointer(n, scores.graph[i].dtype) for i, n in scores.names.items()]
    return (*pointers, *drawing(streams), *scores.sizes.parameters())


def _blocks(scores: Scores, step: Step) -> list[Factor]:
    """The tiles of what is owned."""
    rows = Factor(scores.owned, step.tile.rows)
    return [rows, Factor(scores.walked, step.tile.columns)] if scores.pair else [rows]


def _place(scores: Scores, step: Step) -> list[str]:
    """Which positions, of which sample and head, a program owns."""
    batches, extents = scores.batches(), scores.programs()
    tiles = f"tl.cdiv({scores.owned}, BM)"
    lines = [f"tile = tl.program_id(0) % {tiles}", f"rest = tl.program_id(0) // {tiles}"]
    wide = ".to(tl.int64)" if scores.wide else ""
    if scores.pair:
        across = f"tl.cdiv({scores.walked}, BN)"
        lines += [f"start = rest % {across} * BN", f"rest = rest // {across}"]
    for position in reversed(range(len(batches))):
        text = f"rest % {extents[position]}" if position else "rest"
        text = f"({text}){wide}" if wide and position else f"{text}{wide}"
        lines.append(f"batch_{batches[position]} = {text}")
        if position:
            lines.append(f"rest = rest // {extents[position]}")
    row = "tile * BM + tl.arange(0, BM)[:, None]"
    lines.append(f"row = ({row}){wide}" if wide else f"row = {row}")
    if step.body.setting.in_row:
        lines.append(f"in_row = row < {scores.owned}")
    return [*lines, *step.columns()] if scores.pair else lines
