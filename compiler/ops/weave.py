"""A step as it was written -> what is computed before the loop, inside it, and behind it.

    before   what depends on the sequences alone, for all steps at once: x @ w
    inside   what leads from a state to the next: a `scan`
    behind   what depends on states and leads to none, for all steps at once: outputs, and in an
             adjoint the gradients of weights, each one product over all samples and steps

Values cross as sequences and as what a scan emits.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ...spec.dims import Dim, evaluate, numel
from ...spec.errors import InternalError
from ..ir.body import Body, of_samples, rows_axis
from ..ir.builder import Builder
from ..ir.graph import Node
from ..ir.op import Op
from . import costs
from .again import Again
from .along_time import Along, Steps
from .parted import parted
from .pieces import in_pieces

TOGETHER = ("pad", "add", "sub", "neg", "broadcast", "transpose", "reshape", "squeeze")
"""What only puts values together."""

LIKELY = 720  # a size that is not known; many numbers divide it
DEAR = 8  # operations of a map that take longer than reading it again


def weave(
    b: Builder,
    body: Body,
    fixed: Sequence[int],
    starts: Sequence[int],
    sequences: Sequence[int],
    *,
    reverse: bool,
) -> tuple[list[int], list[Along]]:
    """Insert a scan of the step: all its states [B, T, ...], and what it emits, of all steps too.

    An emitted value that does not depend on the samples is summed over them and over the steps; one
    that is the same in all steps has no time.

    Raises: ShapeError where an op cannot be part of a scan.
    """
    body = in_pieces(b.ops, parted(b.ops, body))
    shape = b[sequences[0]].shape
    cloth = _Cloth(b, body, Steps(b, shape[0], shape[1]), reverse)
    cloth.outside |= {i: Along(g, False) for i, g in zip(body.fixed, fixed, strict=True)}
    cloth.outside |= {i: Along(g, True) for i, g in zip(body.sequences, sequences, strict=True)}
    cloth.starts = dict(zip(body.states, starts, strict=True))
    return cloth.woven()


def states_before(b: Builder, states: int, start: int, *, reverse: bool) -> int:
    """The state before each step: [B, T, ...] of the states after, and where it began."""
    batch, time, *rest = b[states].shape
    zeros, ones = (0,) * len(rest), (1,) * (len(rest) + 2)
    first = b.broadcast(start, (0, *range(2, len(rest) + 2)), (batch, 1, *rest))
    at = 1 if reverse else 0
    others = b.slice(states, (0, at, *zeros), (batch, time - 1, *rest), ones)
    return b.concat((others, first) if reverse else (first, others), 1)


def before_at(body: Body, state: int) -> int:
    """Which result of a woven body is the state before the step."""
    kept = {body.nodes[i].operands: k for k, i in enumerate(body.results) if _copies(body, i)}
    return kept[body.states[state],]


def dear_at(body: Body) -> dict[int, int]:
    """What a woven body leaves behind of values that take long, and which results these are."""
    found = {i: k for k, i in enumerate(body.results)}
    return {body.nodes[i].operands[0] if _copies(body, i) else i: k for i, k in found.items()}


def _copies(body: Body, i: int) -> bool:
    return body.nodes[i].op == "copy"


def _is_dear(ops: Mapping[str, Op], body: Body, node: Node) -> bool:
    """Is it quicker read than computed again: a product or a part of one, or a function?"""
    if rows_axis(node.shape) != 0:
        return False
    if node.op == "slice":
        return body.nodes[node.operands[0]].op == "contract"
    return node.op == "contract" or ops[node.op].flops >= DEAR


@dataclass(slots=True)
class _Cloth:
    """What becomes of each value of a step."""

    b: Builder
    body: Body
    steps: Steps
    reverse: bool
    outside: dict[int, Along] = field(default_factory=dict)
    starts: dict[int, int] = field(default_factory=dict)
    states: dict[int, int] = field(default_factory=dict)  # of all steps, by the input
    moving: set[int] = field(default_factory=set)  # depend on a sequence or a state
    turning: set[int] = field(default_factory=set)  # depend on a state
    inside: set[int] = field(default_factory=set)
    timed: set[int] = field(default_factory=set)  # have time outside
    live: list[Node] = field(default_factory=list)
    loop: tuple[Body, tuple[int, ...]] | None = None

    def woven(self) -> tuple[list[int], list[Along]]:
        body = self.body
        self._sort()
        emitted = self._emitted()
        within = Again(self.b.ops, body, self.moving).within(self.inside)
        core, given = self._core(within, emitted)
        made = *body.next, *emitted
        self.loop = self._loop(core, given) if self.inside else None
        results = [self._result(k) for k in range(len(made))] if self.loop else []
        for i, result in zip(made, results, strict=bool(results)):
            self.outside.setdefault(i, Along(self._back(body.nodes[i], result), True))
        states = [
            results[j] if results else self.steps.spread(body.nodes[i], self._value(i))
            for j, i in enumerate(body.next)
        ]
        self.states = dict(zip(body.states, states, strict=True))
        return states, [self._value(i) for i in body.emits]

    # ---- what goes where -------------------------------------------------------------------------

    def _sort(self) -> None:
        """Tell what is inside: what leads from state to state, and what has no form for all
        steps.
        """
        body = self.body
        self.live = list(body.reached(body.results))
        self.moving, self.turning = {*body.states, *body.sequences}, set(body.states)
        for node in self.live:
            if any(o in self.moving for o in node.operands):
                self.moving.add(node.id)
            if any(o in self.turning for o in node.operands):
                self.turning.add(node.id)
        ahead = {node.id for node in body.reached(body.next)}
        given = {*body.inputs}
        self.inside = (self.turning & ahead) - given
        self.timed = {*body.states, *body.sequences}
        for node in self.live:
            if node.id in given or node.id in self.inside:
                self.timed |= {node.id} & self.moving
                continue
            if not any(o in self.timed for o in node.operands):
                continue
            sides = [(body.nodes[o], o in self.timed) for o in node.operands]
            led = node.id not in self.turning and any(o in self.inside for o in node.operands)
            joins = node.op == "concat" and all(o in self.inside for o in node.operands)
            if not led and not joins and self.steps.can(node, sides):
                if of_samples(node.shape):
                    self.timed.add(node.id)
                elif node.id in ahead:
                    raise InternalError(f"`{node.name}` mixes the samples of a scan")
            else:
                self._pull(node.id)
        if set(body.next) & (self.turning - given):
            self.inside |= {i for i in body.next if i in self.turning - given}

    def _pull(self, i: int) -> None:
        """A value is computed inside, and so is what it needs of the states."""
        stack = [i]
        while stack:
            i = stack.pop()
            if i in self.inside or i in self.body.inputs:
                continue
            if rows_axis(self.body.nodes[i].shape) is None:
                raise InternalError(f"`{self.body.nodes[i].name}` has no place in a scan")
            self.inside.add(i)
            self.timed.add(i)
            stack += [o for o in self.body.nodes[i].operands if o in self.turning]

    def _emitted(self) -> list[int]:
        """What is inside and read outside, apart from the states themselves.

        Where a value is put together from smaller ones, these are emitted: the parts of the
        cotangent of gates, and not what is zero around each.
        """
        behind = (n for n in self.live if n.id not in self.inside and n.id in self.moving)
        wanted = {o for node in behind for o in node.operands} | set(self.body.emits)
        wanted = (wanted & self.inside) - set(self.body.next)
        changed = True
        while changed:
            changed = False
            for i in sorted(wanted, reverse=True):
                parts = self._parts(i)
                if i in parts or sum(map(self._size, parts - wanted)) >= self._size(i):
                    continue
                wanted = (wanted - {i}) | parts
                changed = True
        return sorted(wanted)

    def _parts(self, i: int) -> set[int]:
        """The values inside that one is put together from; itself where it has another maker."""
        node = self.body.nodes[i]
        sides = [(self.body.nodes[o], o in self.timed) for o in node.operands]
        if node.op not in TOGETHER or not self.steps.can(node, sides):
            return {i}
        inside = (o for o in node.operands if o in self.inside)
        found = set().union(*(self._parts(o) for o in inside))
        return found - set(self.body.next)

    def _size(self, i: int) -> int:
        return evaluate(numel(self.body.nodes[i].shape[1:]), defaultdict(lambda: LIKELY))

    # ---- inside ----------------------------------------------------------------------------------

    def _core(
        self, within: set[int], emitted: Sequence[int]
    ) -> tuple[Body, tuple[list[int], list[int]]]:
        """The body of the scan, and its operands outside that are no states."""
        body, k = self.body, Builder(self.b.ops, {})
        results = *body.next, *emitted, *body.states, *self._kept(emitted)
        read = {o for i in within for o in body.nodes[i].operands} | set(results)
        read = read - within - set(body.states)
        new: dict[int, int] = {}
        order = self._order(results, read)
        for i in (i for i in order if i not in within):
            node = body.nodes[i]
            name = _tail(node.name)
            feed = f"{name}_{len(new)}"
            new[i] = k.insert("input", (), name, feed=feed, type=node.type)
        for i in (i for i in order if i in within):
            node = body.nodes[i]
            with k.at(node.place, node.scope):
                operands = [self._plainly(k, node, new[o]) for o in node.operands]
                new[i] = k.insert(node.op, operands, _tail(node.name), **dict(node.attributes))
        fixed = [i for i in order if i in read and i not in self.timed]
        moving = [i for i in order if i in read and i in self.timed]
        ends: list[int] = []
        touching = (
            o for i in within if self._rows_touch(body.nodes[i]) for o in body.nodes[i].operands
        )
        whole = set(touching)
        for i in results:
            end = self._own(k, new[i], body.nodes[i], apart=i in whole)
            ends.append(k.copy(end, f"{k[end].name}_{len(ends)}") if end in ends else end)
        split = len(body.next)
        core = Body(
            tuple(k.nodes),
            tuple(new[i] for i in fixed),
            tuple(new[i] for i in body.states),
            tuple(new[i] for i in moving),
            tuple(ends[:split]),
            tuple(ends[split:]),
            self._flops(k),
        )
        return core, (fixed, moving)

    def _order(self, results: Sequence[int], read: set[int]) -> list[int]:
        """What is inside and what it reads, operands before users, in the order in which results
        ask for them: equal steps have equal bodies, whatever else there is.
        """
        body, found = self.body, dict.fromkeys(self.body.states)
        stack = [(i, False) for i in reversed(results)]
        while stack:
            i, ready = stack.pop()
            if i in found:
                continue
            if ready or i in read:
                found[i] = None
                continue
            stack.append((i, True))
            stack += [(o, False) for o in reversed(body.nodes[i].operands)]
        return list(found)

    def _kept(self, emitted: Sequence[int]) -> list[int]:
        """What an adjoint would take long to compute again: a loop can leave it behind."""
        nodes = (self.body.nodes[i] for i in sorted(self.inside))
        found = (n for n in nodes if _is_dear(self.b.ops, self.body, n))
        return [n.id for n in found if n.id not in (*emitted, *self.body.next)]

    def _flops(self, k: Builder) -> Dim:
        total: Dim = 0
        for node in k.nodes:
            total = total + costs.flops(k.ops, node, [k[o].type for o in node.operands])
        return total

    def _plainly(self, k: Builder, node: Node, operand: int) -> int:
        """An operand as its reader needs it: an input lies between those of other steps."""
        between = self._rows_touch(node) and k[operand].op == "input"
        return k.copy(operand, k[operand].name) if between else operand

    def _rows_touch(self, node: Node) -> bool:
        """Does it need the samples of an operand one right behind the other?"""
        lowering = self.b.ops[node.op].lowering
        return lowering == "alias" or (lowering == "heavy" and node.op != "contract")

    def _own(self, k: Builder, found: int, node: Node, *, apart: bool) -> int:
        """A result in memory of its own, with the samples in front."""
        at = rows_axis(node.shape)
        if at is None:
            raise InternalError(f"`{node.name}` has no samples")
        if at:
            order = [at, *(a for a in range(len(node.shape)) if a != at)]
            return k.copy(k.transpose(found, order), _tail(node.name))
        lowering = self.b.ops[node.op].lowering
        lies = lowering in ("view", "alias", "leaf") or (
            lowering == "heavy" and node.op != "contract"
        )
        return k.copy(found, _tail(node.name)) if apart or lies else found

    def _loop(self, core: Body, given: tuple[list[int], list[int]]) -> tuple[Body, tuple[int, ...]]:
        """The scan: its body and its operands."""
        fixed, moving = ([self._value(i).id for i in some] for some in given)
        return core, (*fixed, *(self.starts[i] for i in self.body.states), *moving)

    def _result(self, index: int) -> int:
        """One result of the scan."""
        assert self.loop is not None
        core, operands = self.loop
        name = core.nodes[core.results[index]].name
        given = {"body": core, "index": index, "reverse": self.reverse}
        return self.b.insert("scan", operands, name, **given)

    # ---- outside ---------------------------------------------------------------------------------

    def _back(self, node: Node, made: int) -> int:
        """What was emitted with the samples in front, as the step has it."""
        at = rows_axis(node.shape)
        if not at:
            return made
        rest = [a + 2 for a in range(len(node.shape) - 1)]
        return self.b.transpose(made, [*rest[:at], 0, 1, *rest[at:]])

    def _value(self, i: int) -> Along:
        """A value outside of the loop."""
        stack: list[tuple[int, bool]] = [(i, False)]
        while stack:
            at, ready = stack.pop()
            if at in self.outside:
                continue
            node = self.body.nodes[at]
            if at in self.starts:
                self.outside[at] = Along(self._before(at), True)
            elif not ready:
                stack.append((at, True))
                stack += [(o, False) for o in node.operands]
            else:
                step = [self.body.nodes[o] for o in node.operands]
                operands = [self.outside[o] for o in node.operands]
                self.outside[at] = self.steps.write(node, step, operands)
        return self.outside[i]

    def _before(self, state: int) -> int:
        """A state before each step, which the loop leaves behind if there is one."""
        if self.loop is not None:
            j = self.body.states.index(state)
            return self._result(before_at(self.loop[0], j))
        start = self.starts[state]
        return states_before(self.b, self.states[state], start, reverse=self.reverse)


def _tail(name: str) -> str:
    """The last part of a path, so that equal layers have equal steps."""
    head, _, tail = name.rpartition(".")
    return f"d_{tail}" if head.startswith("d_") and not tail.startswith("d_") else tail
