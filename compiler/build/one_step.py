"""The values that one step of a cell made -> the body of a scan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ...spec.dims import Dim, Polynomial, exact_quotient, symbols
from ...spec.place import Place
from ..ir.body import ROW, ROWS, Body, repeated, replaced
from ..ir.builder import Builder
from ..ir.graph import Node
from .elaboration import Elaboration
from .faults import fault
from .values import Tensor


@dataclass(frozen=True, slots=True)
class Step:
    """Placeholders and results of one step, in the graph round it.

    `rows` is the number of samples there; `before`: how many values there were before the step.
    """

    e: Elaboration
    rows: Polynomial
    sequences: tuple[Tensor, ...]
    states: tuple[Tensor, ...]
    results: tuple[Tensor, ...]
    before: int


def step_body(
    step: Step, sequences: Sequence[int], batch: Dim, time: Dim
) -> tuple[Body, list[int], list[int]]:
    """The body, what all steps share, and the sequences: random numbers of samples are some.

    Raises: Faults E423 where a step mixes its samples.
    """
    return _Extraction(step, list(sequences), batch, time).run()


@dataclass(slots=True)
class _Extraction:
    step: Step
    sequences: list[int]
    batch: Dim
    time: Dim
    new: dict[int, int] = field(default_factory=dict)
    fixed: dict[int, int] = field(default_factory=dict)
    drawn: list[int] = field(default_factory=list)

    def run(self) -> tuple[Body, list[int], list[int]]:
        step, b = self.step, self.step.e.b
        c = Builder(b.ops, b.rules)
        given = [*step.sequences, *step.states]
        for position, tensor in enumerate(given):
            type = replaced(b[tensor.id].type, self.sizes)
            self.new[tensor.id] = c.input(f"given_{position}", type)
            c.nodes[-1] = _called(c.nodes[-1], tensor.name)
        moving = self._moving({t.id for t in given})
        for node in self._reached():
            if node.id not in self.new:
                self.new[node.id] = self._value(c, node, node.id in moving)
            if node.id in moving:
                self._apart(c[self.new[node.id]], node.place)
        ends = tuple(self.new[t.id] for t in step.results)
        count = len(step.states)
        body = Body(
            tuple(c.nodes),
            tuple(self.fixed.values()),
            tuple(self.new[t.id] for t in step.states),
            (*(self.new[t.id] for t in step.sequences), *(self.new[i] for i in self.drawn)),
            ends[:count],
            ends[count:],
        )
        return body, list(self.fixed), [*self.sequences, *map(self._drawn, self.drawn)]

    @property
    def sizes(self) -> dict[str, Dim]:
        (name,) = symbols(self.step.rows)
        return {name: ROW}

    def _reached(self) -> list[Node]:
        """What the results depend on, as far as the step made it, operands before users."""
        b, found = self.step.e.b, set[int]()
        stack = [t.id for t in self.step.results]
        while stack:
            i = stack.pop()
            if i not in found:
                found.add(i)
                if i not in self.new and not self._given(b[i]):
                    stack.extend(b[i].operands)
        return [b[i] for i in sorted(found)]

    def _moving(self, given: set[int]) -> set[int]:
        found = set(given)
        for node in self._reached():
            if self._draws(node) or any(o in found for o in node.operands):
                found.add(node.id)
        return found

    def _given(self, node: Node) -> bool:
        """Does a value come from outside of the step?"""
        if node.op == "input":
            return True
        return node.id < self.step.before and not self._known(node.id) and not self._steps(node.id)

    def _known(self, i: int) -> bool:
        """Is it made of numbers alone?"""
        b, stack = self.step.e.b, [i]
        while stack:
            node = b[stack.pop()]
            if node.op in ("input", "random"):
                return False
            stack.extend(node.operands)
        return True

    def _steps(self, i: int) -> bool:
        """Does it depend on what a step is given?  A cell that is used twice finds values again."""
        b, stack, seen = self.step.e.b, [i], set[int]()
        while stack:
            at = stack.pop()
            if at in self.new:
                return True
            if at not in seen:
                seen.add(at)
                stack.extend(b[at].operands)
        return False

    def _draws(self, node: Node) -> bool:
        """Is it a random number of each sample, which every step draws anew?"""
        return node.op == "random" and node.shape[:1] == (self.step.rows,)

    def _value(self, c: Builder, node: Node, moving: bool) -> int:
        if self._draws(node):
            self.drawn.append(node.id)
            return c.input(f"drawn_{len(self.drawn)}", replaced(node.type, self.sizes))
        if not moving and (self._given(node) or node.op == "random"):
            self.fixed[node.id] = c.input(f"fixed_{node.id}", replaced(node.type, self.sizes))
            c.nodes[-1] = _called(c.nodes[-1], node.name)
            return self.fixed[node.id]
        return repeated(c, node, [self.new[o] for o in node.operands], self.sizes)

    def _drawn(self, i: int) -> int:
        """The random numbers of all steps."""
        b = self.step.e.b
        node = b[i]
        return b.random(node["kind"], (self.batch, self.time, *node.shape[1:]), node["stream"])

    def _apart(self, node: Node, place: Place | None) -> None:
        """Raises: Faults E423 unless a value belongs to the samples one by one."""
        dims = [dim for dim in node.shape if ROWS in symbols(dim)]
        alone = len(dims) == 1 and exact_quotient(dims[0], ROW) is not None
        if node.op == "take" and node.operands and not alone:
            alone = False
        if not alone:
            hint = "a cell sees one sample at a time; layer_norm normalises each by itself"
            text = f"scan: `{node.name}` mixes the samples of a batch"
            raise fault("E423", text, place or self.step.e.b.place, hint)


def _called(node: Node, name: str) -> Node:
    return replace(node, name=name)
