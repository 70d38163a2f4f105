"""Fold batch norms into the weights of the products before them, where these make many channels of
few.

    z = a @ w;  y = (z - mean z) * p + q, where p is made of var z
    ->  c = a - k;  m = mean c;  g = c' @ c / n - m m';  var z = w' g w
        y = c @ (w * p) + (q - m w p)

Mean and variance of the many channels follow from those of the few, so that `z` is nowhere, and
neither pass reads it.  `k` is what `a` is where every normalised value is at its mean: a number a
channel that is known before, and cancels.  About it the sum of products has lost nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...spec.dims import Dim, numel
from ..ir.builder import Builder
from ..ir.graph import Graph, Node
from ..ops import OPS
from ..ops.rules import RULES
from .expanding import Fold, by_channel, fold_of

GRAM = "gram"
"""What the products of the channels of rows with each other are called."""


@dataclass(frozen=True, slots=True)
class Affine:
    """h * gain + shift for each channel, where h is the product about its mean."""

    gain: int
    shift: int


def fold_norms(
    b: Builder, roots: Mapping[str, int], sizes: Mapping[str, int]
) -> tuple[Builder, dict[str, int]]:
    """The values `roots` without products that only a normalisation reads, in a builder of their
    own; the same where there are none.
    """
    graph = Graph(b.nodes, roots)
    found = [fold for node in graph if (fold := fold_of(graph, node, sizes)) is not None]
    if not found:
        return b, dict(roots)
    return _Folding(b, graph, found).run()


# ---- the new graph -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class About:
    """The rows of a product about numbers that are known before, the product of their mean with
    the weight, and the mean and variance of the product itself.
    """

    rows: int
    shift: int
    mean: int
    variance: int


class _Folding:
    """Copies a graph, without the products."""

    def __init__(self, old: Builder, graph: Graph, folds: Sequence[Fold]) -> None:
        self.old, self.graph = old, graph
        self.b = Builder(OPS, RULES)
        self.new: dict[int, int] = {}
        self.centres: dict[int, int] = {}
        self.affine: dict[int, Affine] = {}
        self.about: dict[int, About] = {}
        self.shifted: dict[int, tuple[int, int]] = {}
        self.fold = {i: f for f in folds for i in (*f.affine, *f.sums, *f.squares)}

    def run(self) -> tuple[Builder, dict[str, int]]:
        for node in self.graph:
            with self.b.like(node):
                fold = self.fold.get(node.id)
                if fold is not None and fold.rows not in self.centres:
                    self._leave(fold)
                    fold = None
                if fold is None:
                    self.new[node.id] = self._copied(node)
                else:
                    self._folded(node, fold)
                self._centre(node)
        return self.b, {name: self.new[i] for name, i in self.graph.outputs.items()}

    def _copied(self, node: Node) -> int:
        """A value as it was; two products that are added come before their shifts."""
        b, operands = self.b, [self.new[o] for o in node.operands]
        if node.op != "add" or any(o not in self.shifted for o in operands):
            return b.repeat(node, operands)
        (left, one), (right, other) = (self.shifted[o] for o in operands)
        both = b.map("add", left, right)
        shift = b.broadcast(b.map("add", one, other), (len(node.shape) - 1,), node.shape)
        return b.map("add", both, shift, name=node.name)

    def _leave(self, fold: Fold) -> None:
        """Keep a product whose rows lie about numbers that nobody knows."""
        for i in (*fold.affine, *fold.sums, *fold.squares):
            del self.fold[i]

    def _folded(self, node: Node, fold: Fold) -> None:
        """What becomes of a value of a product that goes."""
        if node.id == fold.product:
            about = self.about[node.id] = self._about(fold)
            self.affine[node.id] = Affine(self.b.constant(1.0), about.mean)
        elif node.id in fold.affine:
            self.affine[node.id] = self._affine(node)
        elif node.op == "sum":
            self.new[node.id] = self._sum(node, fold)
        if node.id == fold.kept:
            self.new[node.id] = self._made(node, fold)

    # ---- moments -------------------------------------------------------------------------------

    def _about(self, fold: Fold) -> About:
        """The moments of a product, from those of its rows."""
        b, x, centre = self.b, self._rows(fold), self.centres[fold.rows]
        last = len(b[x].shape) - 1
        if b[centre].shape:
            centre = b.stop_gradient(centre)
            rows = b.map("sub", x, b.broadcast(centre, (last,), b[x].shape), name="about_centre")
        else:
            rows = b.map("sub", x, centre, name="about_centre")
        mean = b.mean(rows, range(last), name="row_mean")
        w = self._matrix(fold)
        shift = b.contract(f"{fold.letters},c->k", w, mean, name="product_mean")
        centre = centre if b[centre].shape else b.broadcast(centre, (), b[mean].shape)
        whole = b.map("add", shift, b.contract(f"{fold.letters},c->k", w, centre))
        covariance = self._covariance(fold, rows, mean)
        spread = b.contract(f"dc,{fold.letters}->{fold.letters.replace('c', 'd')}", covariance, w)
        squares = b.sum(b.map("mul", spread, w), (fold.letters.index("c"),))
        return About(rows, shift, whole, b.map("maximum", squares, 0.0, name="product_variance"))

    def _rows(self, fold: Fold) -> int:
        """The rows of a product; a convolution with strides leaves the others out."""
        b, x, product = self.b, self.new[fold.rows], self.graph[fold.product]
        if product.op != "convolve" or {*product["stride"]} == {1}:
            return x
        shape = (*product.shape[:-1], b[x].shape[-1])
        return b.slice(x, (0,) * len(shape), shape, (1, *product["stride"], 1))

    def _matrix(self, fold: Fold) -> int:
        """The weight without the axes of a kernel of 1."""
        w = self.new[fold.weight]
        return self.b.squeeze(w, range(2, len(self.b[w].shape)))

    def _covariance(self, fold: Fold, rows: int, mean: int) -> int:
        """The covariances of the channels of the rows."""
        b, last = self.b, len(self.b[rows].shape) - 1
        if self.graph[fold.product].op == "convolve":
            one, none = (1,) * (last - 1), (0,) * (last - 1)
            found = b.insert(
                "convolve_weight", (rows, rows), GRAM,
                kernel=one, stride=one, dilation=one, low=none, groups=1,
            )  # fmt: skip
            gram = b.squeeze(found, range(2, len(b[found].shape)))
        else:
            at = "abefghij"[:last]
            gram = b.contract(f"{at}c,{at}d->cd", rows, rows, name=GRAM)
        shape = b[gram].shape
        each = b.map("mul", gram, self._inverse(b[rows].shape[:-1], shape))
        across = b.map("mul", *(b.broadcast(mean, (axis,), shape) for axis in (0, 1)))
        return b.map("sub", each, across, name="covariance")

    def _inverse(self, rows: tuple[Dim, ...], shape: tuple[Dim, ...]) -> int:
        """One over how many rows there are, in this shape."""
        inverse = self.b.map("div", self.b.constant(1.0), self.b.size(numel(rows)))
        return self.b.broadcast(inverse, (), shape)

    # ---- values of the product -----------------------------------------------------------------

    def _affine(self, node: Node) -> Affine:
        """Gain and shift of a value made of the product."""
        b = self.b
        if node.op == "neg":
            inner = self.affine[node.operands[0]]
            return Affine(b.map("neg", inner.gain), b.map("neg", inner.shift))
        sides = [self.affine.get(o) for o in node.operands]
        if node.op == "mul":
            inner = next(side for side in sides if side is not None)
            factor = next(self._channel(o) for o in node.operands if o not in self.affine)
            return Affine(b.map("mul", inner.gain, factor), b.map("mul", inner.shift, factor))
        if node.op == "sub" and self._is_centred(node):
            inner = self.affine[node.operands[0]]
            return Affine(inner.gain, b.constant(0.0))
        gains = [b.constant(0.0) if side is None else side.gain for side in sides]
        shifts = [
            self._channel(o) if side is None else side.shift
            for side, o in zip(sides, node.operands, strict=True)
        ]
        return Affine(b.map(node.op, *gains), b.map(node.op, *shifts))

    def _channel(self, i: int) -> int:
        """A number, or one for each channel."""
        node = self.graph[i]
        return self.new[i if node.op == "constant" else node.operands[0]]

    def _sum(self, node: Node, fold: Fold) -> int:
        """The sum of each channel, of a value made of the product or of its square."""
        b, source = self.b, self.graph[node.operands[0]]
        square = source.id in fold.squares
        value = self.affine[source.operands[0] if square else source.id]
        each = value.shift
        if square:
            gain = b.map("mul", value.gain, value.gain)
            variance = b.map("mul", self.about[fold.product].variance, gain)
            each = b.map("add", variance, b.map("mul", each, each))
        count = b.broadcast(b.size(numel(source.shape[:-1])), (), node.shape)
        return b.map("mul", b.expand(each, node.shape), count, name=node.name)

    def _made(self, node: Node, fold: Fold) -> int:
        """The one value of a product that is made: a product with a scaled weight, and a shift."""
        b, product = self.b, self.graph[fold.product]
        about, value, w = self.about[product.id], self.affine[node.id], self.new[fold.weight]
        gain, axis = value.gain, fold.letters.index("k")
        scale = b.broadcast(gain, (axis,), b[w].shape) if b[gain].shape else gain
        with b.like(product):
            scaled = b.map("mul", w, scale, name=f"scaled_{b[w].name.rpartition('.')[2]}")
            operands = [scaled if o == fold.weight else about.rows for o in product.operands]
            attributes = dict(product.attributes)
            if product.op == "convolve":
                attributes["stride"] = (1,) * len(product["stride"])
            found = b.insert(product.op, operands, product.name, **attributes)
        back = b.map("mul", about.shift, gain)
        shift = b.map("sub", value.shift, back, name="shift")
        last = len(product.shape) - 1
        spread = b.broadcast(shift, (last,), product.shape)
        made = b.map("add", found, spread, name=node.name)
        self.shifted[made] = found, shift
        return made

    # ---- centres -------------------------------------------------------------------------------

    def _centre(self, node: Node) -> None:
        """Note what a value is for each channel where all normalised values are at their means."""
        if node.op == "constant":
            self.centres[node.id] = self.new[node.id]
        elif len(node.shape) < 2:
            return
        elif node.op == "sub" and self._is_centred(node):
            self.centres[node.id] = self.b.constant(0.0)
        elif node.op == "broadcast" and by_channel(node):
            inner = self.new[node.operands[0]]
            if node["dims"] or self.b[inner].op == "constant":
                self.centres[node.id] = inner
        elif all(o in self.centres for o in node.operands):
            operands = [self.centres[o] for o in node.operands]
            if node.op == "pool_max":
                self.centres[node.id] = operands[0]
            elif OPS[node.op].lowering == "map":
                self.centres[node.id] = self.b.repeat(node, operands)

    def _is_centred(self, node: Node) -> bool:
        """Is a difference one of a value and its mean over the rows?"""
        x, mean = (self.graph[o] for o in node.operands)
        last = len(node.shape) - 1
        if mean.op != "broadcast" or mean["dims"] != (last,):
            return False
        return self.old.mean(x.id, range(last)) == mean.operands[0]
