"""A contraction as matrix products: which letters are rows, columns, depth and batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ...spec.dims import Dim
from ..ir.graph import Graph, Node
from ..ops.products import letters
from .layout import Layout, Strides


@dataclass(frozen=True, slots=True)
class Index:
    """One loop of a product: its letter, extent, and stride in a, b and the result (0: absent)."""

    letter: str
    extent: Dim
    a: Dim
    b: Dim
    c: Dim


@dataclass(frozen=True, slots=True)
class Product:
    """c[m, n] = sum over k of a[m, k] * b[k, n], once for every combination of `outer` indices.

    `a`, `b`, `c` are node ids; `swapped` tells that the operands were exchanged so that the
    result is contiguous along n.  A missing m, n or k has extent 1.
    """

    a: int
    b: int
    c: int
    m: Index
    n: Index
    k: Index
    outer: tuple[Index, ...]
    swapped: bool

    @property
    def loops(self) -> tuple[Index, ...]:
        return (self.m, self.n, self.k, *self.outer)

    @property
    def batch(self) -> tuple[Index, ...]:
        """The outer indices of the result."""
        return tuple(i for i in self.outer if i.c != 0)

    @property
    def apart(self) -> tuple[Index, ...]:
        """The outer indices that are summed, like k, from which they lie apart."""
        return tuple(i for i in self.outer if i.c == 0)


def product_of(
    graph: Graph, node: Node, layout: Callable[[int], Layout], walked: str = ""
) -> Product:
    """Read a `contract` node as matrix products under the given layouts.

    The letter `walked` is never merged into an outer one, so that it can be walked in panels.
    """
    x, y = node.operands
    shapes = (graph[x].shape, graph[y].shape)
    strides = tuple(layout(i).strides for i in (x, y, node.id))
    return _read(node, letters(node["spec"]), shapes, strides, walked)


def pointwise(graph: Graph, node: Node, layout: Callable[[int], Layout]) -> Product:
    """Read a convolution of single elements, or an adjoint of one, as matrix products.

    x[b, h, w, i], w[o, i] -> y[b, h, w, o]
    """
    x, y = node.operands
    space = "xyz"[: len(graph[x].shape) - 2]
    image = f"b{space}"
    texts = {
        "convolve": (f"{image}i", "oi", f"{image}o"),
        "convolve_input": (f"{image}o", "oi", f"{image}i"),
        "convolve_weight": (f"{image}i", f"{image}o", "oi"),
    }
    side = 2 if node.op == "convolve_weight" else 1
    channels = slice(-2, None) if node.op == "convolve_input" else slice(0, 2)
    shapes = [graph[x].shape, graph[y].shape]
    strides = [layout(i).strides for i in (x, y, node.id)]
    strides[side] = strides[side][channels]
    if side == 1:
        shapes[1] = shapes[1][channels]
    return _read(node, texts[node.op], tuple(shapes), tuple(strides), "")


def _read(
    node: Node,
    texts: tuple[str, str, str],
    shapes: tuple[tuple[Dim, ...], ...],
    strides: tuple[Strides, ...],
    walked: str,
) -> Product:
    first, second, result = texts
    x, y = node.operands
    extents = dict(zip(second, shapes[1], strict=True)) | dict(zip(first, shapes[0], strict=True))
    indices: dict[str, Index] = {}
    for letter in dict.fromkeys(first + second + result):
        indices[letter] = Index(
            letter,
            extents[letter],
            _stride(strides[0], first, letter),
            _stride(strides[1], second, letter),
            _stride(strides[2], result, letter),
        )
    m = [i for letter, i in indices.items() if letter in first and letter not in second]
    n = [i for letter, i in indices.items() if letter in second and letter not in first]
    k = [i for letter, i in indices.items() if letter not in result]
    batch = [
        i
        for letter, i in indices.items()
        if letter in first and letter in second and letter in result
    ]
    swapped = not _unit(n) and _unit(m)
    if swapped:
        m, n = ([_exchanged(i) for i in group] for group in (n, m))
        k, batch = [_exchanged(i) for i in k], [_exchanged(i) for i in batch]
        x, y = y, x
    outer = list(batch)
    chosen = []
    for group, key in ((m, "c"), (n, "c"), (k, "a")):
        found = merged(group, key, walked)
        chosen.append(found[-1] if found else Index("", 1, 0, 0, 0))
        outer += found[:-1]
    return Product(x, y, node.id, chosen[0], chosen[1], chosen[2], tuple(outer), swapped)


def _stride(strides: tuple[Dim, ...], text: str, letter: str) -> Dim:
    return strides[text.index(letter)] if letter in text else 0


def _exchanged(i: Index) -> Index:
    return Index(i.letter, i.extent, i.b, i.a, i.c)


def _unit(group: list[Index]) -> bool:
    return any(i.c == 1 and i.extent != 1 for i in group)


def _order(stride: Dim) -> tuple[int, int, str]:
    """Larger strides first; a symbolic one is larger than any number."""
    return (0, stride, "") if isinstance(stride, int) else (1, 0, str(stride))


def merged(group: Iterable[Index], key: str, walked: str = "") -> tuple[Index, ...]:
    """The indices by their strides in `key`, outermost first; neighbours that walk memory as one
    become one, apart from the letter `walked`.
    """
    found: list[Index] = []
    for i in sorted(group, key=lambda i: (_order(getattr(i, key)), i.letter), reverse=True):
        if i.extent == 1:
            continue
        if found and i.letter != walked:
            o = found[-1]
            if all(getattr(o, s) == getattr(i, s) * i.extent for s in ("a", "b", "c")):
                found[-1] = Index(o.letter + i.letter, o.extent * i.extent, i.a, i.b, i.c)
                continue
        found.append(i)
    return tuple(found)
