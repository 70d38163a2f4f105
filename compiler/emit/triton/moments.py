"""Mean and spread of the channels of what a kernel has just made, as lines of Triton.

    each block of rows    count, mean, squares about that mean  ->  a panel [3, channels]
    one more launch       all panels merged, in order           ->  out [3, channels]

Nothing cancels: squares are about means of blocks, and what these differ by is added when they are
merged, as Chan, Golub & LeVeque (1983) do.
"""

from __future__ import annotations

from dataclasses import replace

from ....spec.dims import numel
from ...ir.graph import Node
from .composed import Composed, composed
from .contraction import Contraction, Frame, Operand, frame, placement
from .epilogue import Epilogue, panels
from .finish import ELEMENTS
from .gemm import assembled
from .kernel import Extent, Factor, KernelText, Parameter, merged, scalars, widened
from .library import PLACES
from .part import Part, Work
from .printer import Partial
from .products import Names
from .template import call, fill, template
from .tiles import Tile, power_of_two

NUMBERS = 3
"""Of each channel: how many rows, their mean, the sum of squares about it."""

WORDS = ("count", "mean", "away", "squares", "at")
"""What follows the name of a result in the names of a kernel."""


def words_of(buffer: str) -> frozenset[str]:
    """The names that `left` uses."""
    return frozenset(f"{buffer}_{word}" for word in WORDS)


def left(made: Epilogue, frame: Frame, buffer: str, node: Node, sizes: Names) -> Epilogue:
    """The epilogue `made` of `node`, and what its block leaves of the moments of what is stored."""
    channels, dtype = node.shape[-1], node.dtype
    assert isinstance(channels, int)
    count, mean, away, squares, at = (f"{buffer}_{word}" for word in WORDS)
    x, inside = made.product, frame.in_row
    if widened(dtype):
        x = f"{x}.to(tl.{'bfloat16' if dtype == 'bf16' else 'float16'}){widened(dtype)}"
    least = f"tl.maximum({count}, 1.0)" if inside else count
    lines = [
        f"{away} = " + (f"tl.where({inside}, {x}, 0.0)" if inside else x),
        f"{count} = " + (f"tl.sum({inside}.to(tl.float32))" if inside else "1.0 * BM"),
        f"{mean} = tl.sum({away}, axis=0, keep_dims=True) / {least}",
        f"{away} = " + (f"tl.where({inside}, {x} - {mean}, 0.0)" if inside else f"{x} - {mean}"),
        f"{squares} = tl.sum({away} * {away}, axis=0, keep_dims=True)",
    ]
    pointer, partials = f"{buffer}_ptr", made.partials
    lines.append(f"{at} = {frame.column}")
    if frame.panel != "0":
        pointer = f"{buffer}_partial_ptr"
        lines[-1] = f"{at} = {frame.panel} * {NUMBERS * channels} + {frame.column}"
        number = panels(frame.panels, sizes.dims)
        partials = (*partials, Partial(pointer, buffer, channels, number, NUMBERS))
    masks = [f"mask={frame.in_column}"] if frame.in_column else []
    for row, value in enumerate((f"tl.zeros_like({mean}) + {count}", mean, squares)):
        place = f"{pointer} + {at}" + (f" + {row * channels}" if row else "")
        lines += call("tl.store", [place, value, *masks], 4)
    return replace(made, lines=(*made.lines, *lines), partials=partials)


def merge_kernel(name: str, found: Partial, count: Extent, title: str) -> KernelText:
    """The launch that merges all panels of one kernel."""
    channels, panel = found.columns, f"{found.buffer}_partial"
    columns = min(power_of_two(channels), 32)
    rows = ELEMENTS // columns
    rows = min(rows, power_of_two(count)) if isinstance(count, int) else rows
    pointers = [Parameter.pointer(buffer, "f32") for buffer in (panel, found.buffer)]
    used = merged(pointers, scalars([count], {}))
    about = f"{found.buffer}[{NUMBERS}, {channels}] = {count} blocks of it, merged in order"
    words = {
        "title": title, "rows": rows, "columns": columns, "channels": channels, "panels": count,
        "partial": panel, "panel": NUMBERS * channels, "twice": 2 * channels, "out": found.buffer,
    }  # fmt: skip
    text = fill(
        template("merge"),
        {word: str(value) for word, value in words.items()},
        {
            "signature": call(f"def {name}", [p.name for p in used], 0, "):"),
            "about": [about, PLACES],
        },
    )
    return KernelText(name, text, used, ((Factor(channels, columns),),), 4, 2)


def moments(part: Part, work: Work) -> Composed:
    """A kernel of their own, where what makes the values does not have their rows one by one."""
    node = part.graph[work.key]
    source = part.values.base(node.operands[0])
    names, sizes = part.short((source, node.id)), Names()
    x, channels = part.graph[source], node.shape[-1]
    assert isinstance(channels, int)
    rows = sizes.extent(numel(x.shape[:-1]), "rows")
    columns = min(power_of_two(channels), 64)
    tile = Tile(ELEMENTS // columns, columns, 1, 4, 2)
    whole = Operand(names[source], x.dtype, channels, 1)
    matrix = Contraction(rows, channels, 1, whole, whole)
    shape, value = frame(matrix, tile), f"{names[source]}_block"
    at = f"{names[source]}_ptr + row * {channels} + column"
    masks = [f"mask={shape.inside}", "other=0.0"] if shape.inside else []
    load = call(f"{value} = tl.load", [at, *masks], 4, ")" + widened(x.dtype))
    made = left(Epilogue(value, (), ()), shape, names[node.id], x, sizes)
    pointers = [
        Parameter.pointer(names[source], x.dtype), Parameter.pointer(names[node.id], "f32"),
        Parameter.pointer(f"{names[node.id]}_partial", "f32"),
    ]  # fmt: skip
    text = assembled(
        part.name(work),
        [part.title(names, work), PLACES],
        merged(pointers, sizes.parameters()),
        tile,
        {
            "place": placement(matrix, tile, wide=part.wide(names)),
            "before": (),
            "steps": load,
            "after": (),
            "end": made.lines,
        },
        ((Factor(rows, tile.rows), Factor(channels, tile.columns)),),
    )
    flops = 4 * part.values.count(source)
    places = part.places([node.id])
    return composed((text,), names, sizes, made.partials, places, "moments", flops)
