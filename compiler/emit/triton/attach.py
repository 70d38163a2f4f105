"""Which groups ride in a product, and the order of what is left.

z = product; q reads z elementwise        -> one launch; z is stored only for other readers
s = sum of an operand of z over its depth -> rides in the product
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial

from ...plan.attention import Attention
from ...plan.launch import heavy_nodes, riding
from ...plan.order import Order, in_turn
from .adjoints import pair_of
from .alike import with_alike
from .chaining import with_chains
from .compose import hosted, sums_of
from .part import Machine, Part, Work
from .siblings import with_siblings
from .tiles import MACHINES


def plan_works(part: Part, machine: Machine, *, keep: bool) -> list[Work]:
    """All work of a part in order; `keep`: every product is stored."""
    works = [_heavy(part, n.id) for n in heavy_nodes(part.graph) if part.values.is_heavy(n)]
    works += [_streamed(part, launch) for launch in part.values.attention]
    works += [_group(part, roots) for roots in part.fusion.groups]
    works = _with_sums(part, _with_moments(part, works))
    works = _with_epilogues(part, works, machine, keep)
    edges, fits = partial(_edges, part), partial(_fits, part, machine=machine)
    works = with_alike(part, works, edges)
    if not keep:
        works = _with_adjoints(part, works, machine)
        works = with_chains(part, works, machine, edges, fits)
        works = with_siblings(part, works, machine, edges)
    return in_turn(_edges(part, works), lambda w: (part.phase(w), w.key))


def plain_works(part: Part) -> list[Work]:
    """All work of a part in order, where nothing rides in anything."""
    works = [_heavy(part, n.id) for n in heavy_nodes(part.graph) if part.values.is_heavy(n)]
    works += [_group(part, roots) for roots in part.fusion.groups]
    return in_turn(_edges(part, works), lambda w: w.key)


def _heavy(part: Part, i: int) -> Work:
    values = part.values
    made, _ = values.made_as_one(i)
    stored = [o for o in values.made_by(i) if o in values.writers]
    writes = {made, *stored, *riding(part.graph, part.graph[i])}
    return Work(i, frozenset(), frozenset(values.operands(part.graph[i])), frozenset(writes))


def _streamed(part: Part, launch: Attention) -> Work:
    reads = frozenset(part.fusion.touched(part.values.cone_of(launch)[1]))
    return Work(launch.key, frozenset(), reads, frozenset(launch.results))


def _group(part: Part, roots: frozenset[int]) -> Work:
    reads = frozenset(part.fusion.touched(part.fusion.reads(roots)))
    return Work(None, roots, reads, frozenset(part.fusion.written(roots)))


def _edges(part: Part, works: Sequence[Work]) -> dict[Work, list[Work]]:
    """The readers of each piece of work; what is replaced in place is read before."""
    maker = {value: work for work in works for value in work.writes}
    readers: dict[int, list[Work]] = {}
    for work in works:
        for value in work.reads:
            readers.setdefault(value, []).append(work)
    edges: dict[Work, list[Work]] = {work: [] for work in works}
    for value, work in maker.items():
        edges[work] += [w for w in readers.get(value, ()) if w is not work]
    for value, old in part.replaced.items():
        for reader in (w for w in readers.get(old, ()) if w is not maker[value]):
            edges[reader].append(maker[value])
    return edges


def _with_moments(part: Part, works: list[Work]) -> list[Work]:
    """Join moments with the convolution that has just made their rows."""
    moments = {
        part.values.base(part.graph[w.key].operands[0]): w
        for w in works
        if w.heavy is not None and part.graph[w.heavy].op == "moments"
    }
    found = []
    for work in works:
        rider = moments.get(work.key) if work.heavy is not None and part.leaves_rows(work) else None
        if rider is not None:
            del moments[work.key]
            writes = work.writes | rider.writes
            work = replace(work, writes=writes, moments=rider.heavy)
        found.append(work)
    alone = set(moments.values())
    return [
        w for w in found if w.heavy is None or part.graph[w.heavy].op != "moments" or w in alone
    ]


def _with_epilogues(part: Part, works: list[Work], machine: Machine, keep: bool) -> list[Work]:
    """Join each product with the first group that can read it from registers, and that no other
    product is better joined with.
    """
    order = Order(_edges(part, works))
    left = dict.fromkeys(works)
    read = Counter(value for work in works for value in work.reads)
    kept = {z for z, count in read.items() if count > 1 or keep} | part.values.outputs
    waiting = _pairs(part, works, machine)
    hosts = {part.result(w): w for w in works if part.is_host(w) and w.summed is None}
    hosts = {z: w for z, w in hosts.items() if w not in waiting}
    near = {w: _read_alone(part, w) & hosts.keys() for w in works if w.heavy is None}
    beside = {x: weight for weight, partners in waiting.items() for x in partners}

    def worth(host: Work, group: Work) -> tuple[int, bool]:
        """Bytes saved; of equals, better one that does not part adjoints of one launch."""
        weight = beside.get(host)
        parts = weight is not None and order.reaches(weight, group)
        return _saved(part, host, group, kept), not parts

    def joined(contraction: Work, group: Work) -> Work | None:
        if part.phase(group) != part.phase(contraction) or contraction.moments in group.reads:
            return None
        if not order.apart((contraction, group)):
            return None
        found = _joined(contraction, group, part.result(contraction), kept)
        return found if _fits(part, found, machine) else None

    for contraction in hosts.values():
        z = part.result(contraction)
        readers = [w for w in order.readers(contraction) if w in near and z in near[w]]
        for group in sorted(readers, key=lambda w: w.key):
            mine = worth(contraction, group)
            others = (hosts[i] for i in near[group])
            rivals = (w for w in others if w in left and worth(w, group) > mine)
            if any(joined(rival, group) for rival in rivals):
                continue
            found = joined(contraction, group)
            if found is not None:
                del left[contraction], left[group]
                left[found] = None
                order.merge((contraction, group), found)
                break
    return list(left)


def _read_alone(part: Part, group: Work) -> set[int]:
    """What a group reads that is no part of what it reads."""
    return {part.values.base(i) for i in part.fusion.reads(group.roots)}


def _pairs(part: Part, works: Sequence[Work], machine: Machine) -> dict[Work, list[Work]]:
    """Adjoints in a weight, and those in the operand that one launch may make with each."""
    found: dict[Work, list[Work]] = {}
    by_cotangent: dict[int, list[Work]] = {}
    for work in (w for w in works if part.is_product(w) and _is_alone(part, w)):
        by_cotangent.setdefault(part.product(work.key).a, []).append(work)
    for alike in by_cotangent.values():
        for weight in (w for w in alike if part.graph[w.key].op == "convolve_weight"):
            others = (w for w in alike if w is not weight)
            partners = [w for w in others if pair_of(part, w, weight.key, machine, 0)]
            if partners:
                found[weight] = partners
    return found


def _joined(contraction: Work, group: Work, z: int, kept: Collection[int]) -> Work:
    """A product with a group that reads its result, which is stored if it is `kept`."""
    writes = contraction.writes | group.writes
    writes = writes if z in kept else writes - {z}
    reads = contraction.reads | (group.reads - {z})
    return replace(contraction, roots=group.roots, reads=reads, writes=writes)


def _saved(part: Part, contraction: Work, group: Work, kept: Collection[int]) -> int:
    """Bytes that one launch for both saves."""
    apart = part.bytes_of(contraction) + part.bytes_of(group)
    return apart - part.bytes_of(_joined(contraction, group, part.result(contraction), kept))


def _with_adjoints(part: Part, works: list[Work], machine: Machine) -> list[Work]:
    """Join the adjoint in the operand with that in a small weight, if they read one cotangent."""
    weights: dict[int, list[Work]] = {}
    for work in works:
        if work.heavy is None or part.graph[work.heavy].op != "convolve_weight":
            continue
        if part.is_product(work) and not work.roots and not work.members:
            weights.setdefault(part.product(work.heavy).a, []).append(work)
    if not weights:
        return works
    order, left = Order(_edges(part, works)), dict.fromkeys(works)
    readers = Counter(value for work in works for value in work.reads)

    def joined(work: Work, other: Work) -> Work | None:
        d = part.product(work.key).a
        if other is work or part.phase(other) != part.phase(work):
            return None
        if other.reads & work.writes - {d} or work.reads & other.writes:
            return None
        found = _both(part, work, other, alone=readers[d] == 1)
        if not order.apart((work, other)) or not _gains(part, work, other, found, machine):
            return None
        return found if _fits(part, found, machine) else None

    for work in works:
        if not part.is_product(work) or work.members or work.moments or not _is_alone(part, work):
            continue
        if work not in left:
            continue
        near = weights.get(part.product(work.key).a, [])
        for other in sorted(near, key=lambda w: -len(w.reads & work.reads)):
            found = joined(work, other)
            if found is not None:
                near.remove(other)
                del left[work], left[other]
                left[found] = None
                order.merge((work, other), found)
                break
    return list(left)


def _both(part: Part, work: Work, other: Work, *, alone: bool) -> Work:
    """One launch; `alone`: nobody else reads their cotangent, so that it is not stored."""
    d = part.product(work.key).a
    passing = {d} & work.writes if alone and d not in part.values.outputs else set()
    reads, writes = work.reads | other.reads, work.writes | other.writes
    return replace(work, reads=reads - passing, writes=writes - passing, weight=other.heavy)


def _gains(part: Part, work: Work, other: Work, joined: Work, machine: Machine) -> bool:
    """Does it save more than parts of the gradient of the weight move, and than programs load
    again of the cotangent that others have just loaded?
    """
    assert other.heavy is not None
    pair = pair_of(part, work, other.heavy, machine, 0)
    if pair is None:
        return False
    values, d = part.values, pair.p.a
    made = values.cone([d])[1] if (work.key, d) in values.sources else [d]
    again = (pair.several - 1) * sum(values.bytes_of(i) for i in made)
    parts = 2 * pair.programs * values.bytes_of(other.heavy)
    saved = part.bytes_of(work) + part.bytes_of(other) - part.bytes_of(joined)
    found = MACHINES.get(machine.arch)
    if found is None:
        return saved > parts
    return (saved - parts) * found.l2 > again * found.memory


def _is_alone(part: Part, work: Work) -> bool:
    """Is it one product?"""
    return work.heavy not in part.values.leaders


def _fits(part: Part, work: Work, machine: Machine) -> bool:
    try:
        return hosted(part, work, machine) is not None
    except LookupError:
        return False


def _makes(part: Part, work: Work, root: int) -> bool:
    """Does a product make, of what it loads, the very value that a root sums?"""
    return part.graph[root].operands[0] in part.values.made_by(work.key)


def _with_sums(part: Part, works: list[Work]) -> list[Work]:
    """Groups that only sum an operand of a product over its depth join the product."""
    order = Order(_edges(part, works))
    left = dict.fromkeys(works)
    products = dict.fromkeys(
        w for w in works if part.is_product(w) and not w.roots and _is_alone(part, w)
    )
    for group in [w for w in works if w.heavy is None and len(w.roots) == 1]:
        root = min(group.roots)
        inside = part.values.cone(group.roots)[0]
        if part.graph[root].op != "sum":
            continue
        near = [w for w in products if part.phase(w) == part.phase(group)]
        near = [w for w in near if inside == [root] or _makes(part, w, root)]
        for contraction in [w for w in near if group.reads <= w.reads]:
            if sums_of(part, contraction.key, root) is None or order.reaches(group, contraction):
                continue
            writes = contraction.writes | group.writes
            joined = replace(contraction, writes=writes, summed=root)
            del left[contraction], left[group], products[contraction]
            left[joined] = None
            order.merge((contraction, group), joined)
            break
    return list(left)
