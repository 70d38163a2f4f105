"""Attention without its matrix of scores: launches that compute scores again, tile by tile.

    z = q k'               -> nobody stores z, nor any map of it: these values are *streamed*
    lse = logsumexp(s)     -> stored, a number a query
    o = exp(s - lse) v     -> made while the keys are walked, together with lse
    dk = ds' q             -> made while the queries are walked
    db = sum of ds over the batch -> a tile of pairs, while the batch is walked

Where one owner walks all queries and keys of a sample and head, as on a CPU, the gradients of both
are made together (`merged`), so that nothing is computed twice.

Which scores there are is found in `scores.py`.

Interface: `attentions(graph, worth)` gives the launches.  `Values(graph, sizes, attention=found)`
takes them into account: values in `values.streamed` are never stored, `values.launches[i]` is the
launch that makes the result i, `values.cone_of(launch)` what it computes and reads.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from ...spec.dims import Dim
from ..ir.graph import Graph, Node
from ..ops.factors import factors
from ..ops.products import letters
from .scores import Cluster, Refused, alone, cluster_of, dimensions, pairs

WIDEST = 256
"""The longest rows of queries, keys and values that a tile can hold."""

LARGE = 4096
"""Scores of one query and key head that are worth recomputing: 64 x 64."""

FOLDS = ("sum", "max", "min", "logsumexp")

QUERY, KEY, PAIR, BOTH = "query", "key", "pair", "both"

Worth = Callable[[Graph, Node, int, int], bool]
"""Are the scores of a contraction, given their dimensions of queries and keys, worth streaming?"""


@dataclass(frozen=True, slots=True)
class Attention:
    """One launch of `owner`: query, key, pair or both.

    `results` are the contractions and folds that it makes, `sources` the streamed value that each
    of them sums, `streamed` all streamed values behind these, ascending, and `products` the
    contractions among them.  A streamed value has the dimensions `owned` (a tile of it stays in
    registers) and `walked` (all of it passes by); those `repeated` are walked as well, the others
    are told apart by programs.  Of a pair nothing is walked: a tile of pairs is owned.

    `online` results are linear in exp(s - lse), where lse, the first result, is the logsumexp of
    s: the maximum so far can take the place of lse, and the sum is scaled at the end.
    """

    owner: str
    results: tuple[int, ...]
    sources: tuple[int, ...]
    streamed: tuple[int, ...]
    products: tuple[int, ...]
    owned: int
    walked: int
    repeated: tuple[int, ...]
    online: frozenset[int]

    @property
    def key(self) -> int:
        """The launch's own number."""
        return self.results[0]

    def source(self, result: int) -> int:
        """The streamed value that a result sums."""
        return self.sources[self.results.index(result)]

    def other(self, graph: Graph, result: int) -> int | None:
        """The operand that meets the source of a contraction; None for a fold."""
        operands, source = graph[result].operands, self.source(result)
        return next((o for o in operands if o != source), None)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A contraction whose scores are stored, and why."""

    product: int
    reason: str


def worth_streaming(graph: Graph, node: Node, query: int, key: int) -> bool:
    """Are there many scores, and more queries and keys than numbers in each of them?"""
    shape = node.shape
    depth = max(depth_of(graph, node), 1)
    if any(isinstance(shape[d], int) and shape[d] < depth for d in (query, key)):
        return False
    known = [shape[d] for d in (query, key) if isinstance(shape[d], int)]
    return len(known) < 2 or known[0] * known[1] >= LARGE


def depth_of(graph: Graph, node: Node) -> int:
    """The numbers that a contraction multiplies and adds for each of its results; 0: not known."""
    first, _, result = letters(node["spec"])
    summed = [graph[node.operands[0]].shape[d] for d, x in enumerate(first) if x not in result]
    return summed[0] if len(summed) == 1 and isinstance(summed[0], int) else 0


def attentions(
    graph: Graph,
    worth: Worth = worth_streaming,
    refusals: list[Refusal] | None = None,
    *,
    merged: bool = False,
) -> tuple[Attention, ...]:
    """The launches of all clusters that can be streamed and are worth it.

    `refusals` takes those that are worth it and cannot.  `merged`: sums over queries and over keys
    share a launch.
    """
    seen: set[int] = set()
    found: list[_Launch] = []
    for node in graph:  # scores come before what sums them
        if node.op != "contract" or node.id in seen or not pairs(node):
            continue
        cluster = cluster_of(graph, node)
        seen |= cluster.streamed
        try:
            query, key = dimensions(graph, cluster)
        except Refused:
            continue
        if worth(graph, node, query, key):
            try:
                found += _launches(graph, cluster, query, key, found, merged=merged)
            except Refused as refused:
                if refusals is not None and cluster.ends(graph):
                    refusals.append(Refusal(node.id, str(refused)))
    return tuple(launch.attention(graph) for launch in found)


def domain(graph: Graph, launch: Attention) -> int | None:
    """The dimension of the scores along which the threads share a launch; None: one does it."""
    ends = {launch.owned, launch.walked} if launch.owner == BOTH else {launch.walked}
    over = {*launch.repeated, *(ends if launch.owner != PAIR else ())}
    return domain_of(graph[launch.streamed[0]].shape, over, launch.owned, launch.walked)


# ---- launches ------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Launch:
    """A launch that may still gain results; `over` are the dimensions that all of them sum."""

    cluster: Cluster
    owner: str
    owned: int
    walked: int
    over: frozenset[int]
    results: list[int]
    online: set[int] = field(default_factory=set)

    def join(self, result: int, over: frozenset[int]) -> None:
        """Make another result too."""
        self.results.append(result)
        if over != self.over:
            self.owner, self.over = BOTH, self.over | over

    @property
    def walks(self) -> set[int]:
        """The dimensions that a walk over tiles passes through."""
        return {self.owned, self.walked} if self.owner == BOTH else {self.walked}

    def attention(self, graph: Graph) -> Attention:
        sources = tuple(self.cluster.sums[r] for r in self.results)
        streamed = self.cluster.behind(graph, sources)
        return Attention(
            owner=self.owner,
            results=tuple(self.results),
            sources=sources,
            streamed=streamed,
            products=tuple(i for i in streamed if graph[i].op == "contract"),
            owned=self.owned,
            walked=self.walked,
            repeated=tuple(sorted(self.over - self.walks)),
            online=frozenset(self.online),
        )


def _launches(
    graph: Graph,
    cluster: Cluster,
    query: int,
    key: int,
    before: list[_Launch],
    *,
    merged: bool,
) -> list[_Launch]:
    """One launch for queries and one for keys, or more where results wait for each other."""
    _check(graph, cluster, query, key, before)
    found: list[_Launch] = []
    for result, source in sorted(cluster.sums.items()):
        over = _summed(graph, cluster, graph[result], source, query, key)
        for launch in found:
            if launch.over == over and _online(graph, launch, result, source):
                launch.results.append(result)
                launch.online.add(result)
                break
            joins = launch.over == over or (merged and _joins(graph, launch, result, over))
            if joins and not _waits(graph, [*before, *found], result, launch):
                launch.join(result, over)
                break
        else:
            owner = QUERY if over == {key} else KEY if query in over else PAIR
            owner = BOTH if merged and owner == KEY else owner
            owned, walked = (key, query) if owner == KEY else (query, key)
            found.append(_Launch(cluster, owner, owned, walked, over, [result]))
    return found


def _joins(graph: Graph, launch: _Launch, result: int, over: frozenset[int]) -> bool:
    """May sums over queries and over keys share a launch?

    One walks the same samples or heads apart, and sums over all that the other repeats.
    """
    ends = {launch.owned, launch.walked}
    mine, theirs = launch.over - ends, over - ends
    shape = graph[launch.cluster.sums[result]].shape
    sides = (launch.over, over, launch.over | over)
    domains = {domain_of(shape, side, launch.owned, launch.walked) for side in sides}
    return (
        bool(over & ends and launch.over & ends)
        and len(domains) == 1
        and (mine <= theirs or theirs <= mine)
    )


def domain_of(shape: tuple[Dim, ...], over: Collection[int], owned: int, walked: int) -> int | None:
    """The dimension of the scores along which a launch is shared between threads: a symbolic one
    that no result sums, else the longest; the queries if need be.
    """
    apart = [d for d, extent in enumerate(shape) if d not in (*over, owned, walked) and extent != 1]
    symbolic = [d for d in apart if not isinstance(shape[d], int)]
    if symbolic:
        return symbolic[0]
    literal = [(-extent, d) for d in apart if isinstance(extent := shape[d], int)]
    return min(literal)[1] if literal else owned if owned not in over else None


def _check(graph: Graph, cluster: Cluster, query: int, key: int, before: list[_Launch]) -> None:
    """Raises: Refused unless the scores are products that nobody else wants."""
    if cluster.streamed & set(graph.outputs.values()):
        raise Refused("scores are an output")
    made = {r for launch in before for r in launch.results}
    taken = {i for launch in before for i in launch.cluster.streamed}
    read = {o for i in (*cluster.streamed, *cluster.sums) for o in graph[i].operands}
    if cluster.streamed & made or (read - cluster.streamed) & taken:
        raise Refused("scores are made of other scores")
    for node in (graph[i] for i in cluster.streamed if graph[i].op == "contract"):
        left, right = alone(node)
        if not 1 <= depth_of(graph, node) <= WIDEST:
            raise Refused(f"rows of queries and keys longer than {WIDEST}")
        if not ((query in left and key in right) or (query in right and key in left)):
            raise Refused("not products of queries and keys")


def _summed(
    graph: Graph, cluster: Cluster, node: Node, source: int, query: int, key: int
) -> frozenset[int]:
    """The dimensions of a streamed value that a result sums, but for those of 1.  Raises: Refused
    where it cannot.
    """
    alone = frozenset(d for d, extent in enumerate(graph[source].shape) if extent == 1)
    if node.op in FOLDS:
        over = frozenset(node["axes"]) - alone
        if node.op != "sum" and over != {key}:
            raise Refused(f"`{node.op}` along other axes than the keys")
    elif node.op == "contract":
        over = _contracted(cluster, node, source, query, key) - alone
    else:
        raise Refused(f"`{node.op}` reads scores")
    if over == {key} or (over and key not in over and (query in over or node.op == "sum")):
        return over
    raise Refused("a sum of scores along keys and more")


def _contracted(cluster: Cluster, node: Node, source: int, query: int, key: int) -> frozenset[int]:
    """The dimensions of a streamed operand over which a contraction sums."""
    slot = node.operands.index(source)
    texts = letters(node["spec"])
    mine, theirs, result = texts[slot], texts[1 - slot], texts[2]
    over = frozenset(d for d, x in enumerate(mine) if x not in result)
    features = [x for x in theirs if x not in mine]
    walked, owned = (query, key) if query in over else (key, query)
    fits = len(features) == 1 and features[0] in result
    fits = fits and mine[walked] in theirs and mine[owned] not in theirs
    if node.operands[1 - slot] in cluster.streamed or not fits:
        raise Refused("scores meet what is neither keys nor queries")
    width = node.shape[result.index(features[0])]
    if not isinstance(width, int) or width > WIDEST:
        raise Refused(f"rows of values longer than {WIDEST}")
    return over


def _online(graph: Graph, launch: _Launch, result: int, source: int) -> bool:
    """Can a result be made together with the logsumexp by which it is scaled?"""
    lse, scores = launch.results[0], launch.cluster.sums[launch.results[0]]
    if graph[lse].op != "logsumexp" or graph[result].op not in ("sum", "contract"):
        return False
    product = factors(graph, source, rounded=True)
    behind = launch.cluster.behind(graph, (source,), lse)
    weights = [i for i in behind if is_weight(graph, i, lse, scores)]
    if len(weights) != 1 or product.factors.count(weights[0]) != 1:
        return False
    others = {*product.without(weights[0]).factors, *product.conditions}
    others |= {o for o in graph[result].operands if o != source}
    return not any(_depends(graph, i, lse) for i in others)


def is_weight(graph: Graph, i: int, lse: int, scores: int) -> bool:
    """Is a value exp(scores - lse), with lse repeated along the keys?"""
    node = graph[i]
    if node.op != "exp":
        return False
    inner = graph[node.operands[0]]
    if inner.op != "sub" or inner.operands[0] != scores:
        return False
    spread = graph[inner.operands[1]]
    kept = tuple(d for d in range(len(inner.shape)) if d not in graph[lse]["axes"])
    return spread.op == "broadcast" and spread.operands == (lse,) and spread["dims"] == kept


def _depends(graph: Graph, i: int, on: int) -> bool:
    """Does a value depend on another?"""
    seen: set[int] = set()
    stack = [i]
    while stack:
        i = stack.pop()
        if i == on:
            return True
        if i > on and i not in seen:
            seen.add(i)
            stack.extend(graph[i].operands)
    return False


def _waits(graph: Graph, launches: list[_Launch], result: int, launch: _Launch) -> bool:
    """Does a result need what a launch makes, perhaps through other launches?"""
    together = {r: other.results for other in launches for r in other.results}
    least = min(launch.results)  # below it nothing leads back, but through launches on both sides
    for other in sorted(launches, key=lambda x: max(x.results), reverse=True):
        if max(other.results) > least:
            least = min(least, *other.results)
    seen: set[int] = set()
    stack = list(graph[result].operands)
    while stack:
        i = stack.pop()
        if i in launch.results:
            return True
        if i >= least and i not in seen:
            seen.add(i)
            stack.extend(o for member in together.get(i, [i]) for o in graph[member].operands)
    return False
