"""Threads of a program wait for each other where one reads what another wrote, in every scan.

The interpreter has one thread, so there a barrier that is missing does not show; here the texts are
read: between two barriers nothing is both loaded and stored.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tests.laws.cell_cases import CELLS, cell_graphs
from tests.laws.harness import backward
from tests.laws.kernels import emitted
from tests.laws.scan_cases import SCAN_CASES

SIZES = {"B": 67, "T": 3, "S": 4}


@pytest.fixture(scope="module")
def kernels() -> dict[str, ast.FunctionDef]:
    """The kernels of all scans of the laws, forward and backward."""
    graphs = {("backward", c.name): backward(c) for c in SCAN_CASES}
    cells = cell_graphs(dict.fromkeys(CELLS, ("small",)))
    graphs |= {key: graph for key, graph in cells.items() if key[0] == "backward"}
    artifact = emitted(graphs, SIZES, "cuda:90")
    tree = ast.parse(artifact.files["kernels.py"])
    functions = {f.name: f for f in tree.body if isinstance(f, ast.FunctionDef)}
    return {k.name: functions[k.name] for k in artifact.kernels if k.kind == "scan"}


@dataclass
class Interval:
    """What is loaded and stored between two barriers, by pointer."""

    loaded: set[str] = field(default_factory=set)
    stored: set[str] = field(default_factory=set)


def calls(node: ast.AST) -> Iterator[tuple[str, str]]:
    """Loads, stores and barriers in a statement, with their pointers."""
    for each in ast.walk(node):
        if isinstance(each, ast.Call) and isinstance(each.func, ast.Attribute):
            if each.func.attr in ("load", "store"):
                names = (n.id for n in ast.walk(each.args[0]) if isinstance(n, ast.Name))
                yield each.func.attr, next(n for n in names if n.endswith("_ptr"))
            elif each.func.attr == "debug_barrier":
                yield "wait", ""


def intervals(function: ast.FunctionDef) -> list[Interval]:
    """A loop in which threads wait is gone through twice."""
    found = [Interval()]

    def see(body: list[ast.stmt]) -> None:
        for s in body:
            if isinstance(s, ast.For):
                waits = any(what == "wait" for what, _ in calls(s))
                for _ in range(1 + waits):
                    see(s.body)
                continue
            for what, pointer in calls(s):
                if what == "wait":
                    found.append(Interval())
                else:
                    (found[-1].loaded if what == "load" else found[-1].stored).add(pointer)

    see(function.body)
    return found


def waiting(function: ast.FunctionDef) -> Iterator[tuple[list[ast.stmt], ast.For]]:
    """The loops in which threads wait, with the statements in front of each."""
    for node in ast.walk(function):
        body = node.body if isinstance(node, (ast.FunctionDef, ast.For)) else []
        for k, s in enumerate(body):
            if isinstance(s, ast.For) and any(what == "wait" for what, _ in calls(s)):
                yield body[:k], s


def waits(statement: ast.stmt) -> bool:
    return list(calls(statement)) == [("wait", "")]


def test_nothing_is_read_where_it_is_written(kernels: dict[str, ast.FunctionDef]) -> None:
    assert len(kernels) > 50
    for name, function in kernels.items():
        for interval in intervals(function):
            assert not interval.loaded & interval.stored, name


def test_states_change_places_between_barriers(kernels: dict[str, ast.FunctionDef]) -> None:
    """A state is read under one name and written under another: at its other place."""
    for name, function in kernels.items():
        loops = list(waiting(function))
        assert loops, name
        for before, loop in loops:
            assert waits(before[-1]) and waits(loop.body[-1]), name


def test_a_missing_barrier_shows(kernels: dict[str, ast.FunctionDef]) -> None:
    """Most kernels hand something on in memory, so they fail if the threads never wait."""
    raced = 0
    for function in kernels.values():
        seen = intervals(function)
        loaded, stored = (
            set[str]().union(*(getattr(i, what) for i in seen)) for what in ("loaded", "stored")
        )
        raced += bool(loaded & stored)
    assert raced > len(kernels) / 3
