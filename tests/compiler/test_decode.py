"""The step graph of a net gives what the whole net gives, for every kind of layer that looks back;
what looks ahead is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import weft
from weft.compiler.artifact import PAST
from weft.compiler.build import NetProgram, Program, elaborate
from weft.compiler.decoding import decoding_of
from weft.compiler.ir.graph import Graph
from weft.compiler.passes.decode import Decoding
from weft.compiler.passes.step import NoStep
from weft.compiler.reference import run
from weft.spec.dims import evaluate
from weft.spec.errors import UsageError

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SIZES = {"B": 2, "S": 5}
T = 11

BODIES = {
    "causal attention": "h = x -> attention(3, causal=true)",
    "shared keys, turned": "h = x -> attention(6, key_heads=2, causal=true, rope=100)",
    "a residual stream": "h = x -> residual { layer_norm -> attention(2, causal=true) }",
    "learned positions": "h = x -> learned_positions(20) -> attention(1, causal=true)",
    "waves": "h = x -> sinusoidal_positions -> attention(1, causal=true)",
    "recurrences": "h = x -> lstm(12) -> gru(12) -> rnn(12)",
    "cells walked": "h, _cells = x -> scan(gru_cell(12)) -> scan(lstm_cell(12))",
    "attention over states": "h = x -> gru(12) -> attention(3, causal=true)",
    "sums so far": "h = cumsum(x, axis=1)",
    "a window": """s = matmul(x, transpose(x))
  near = where(position(s, axis=-2) - position(s, axis=-1) < 3, s, -1e30)
  h = matmul(softmax(where(position(s, axis=-2) >= position(s, axis=-1), near, -1e30)), x)""",
    "a slope": """s = matmul(x, transpose(x))
  away = cast(position(s, axis=-1) - position(s, axis=-2), f32)
  seen = where(position(s, axis=-1) <= position(s, axis=-2), s + 0.5*away, -1e30)
  h = matmul(softmax(seen), x)""",
    "a mixture": "h = x -> residual { moe(3, 7) } -> attention(2, causal=true)",
    "a delay": "h = x -> residual { delay -> linear(12) } -> attention(2, causal=true) -> delay(3)",
    "positions alone": "h = x*(unsqueeze(cast(arange(T), f32), axis=-1) + 1)",
}
PREFIXES = {
    "a prefix": ("h = x -> attention(3, causal=true, prefix=4)", 4),
    "of two lengths": (
        "h = x -> attention(3, causal=true, prefix=2)"
        " -> attention(2, causal=true, window=3, prefix=4)",
        4,
    ),
    "beside layers without": (
        "h = x -> attention(3, causal=true) -> gru(12) -> attention(2, causal=true, prefix=3)",
        3,
    ),
    "by hand": (
        """s = matmul(x, transpose(x))
  seen = position(s, axis=-2) >= position(s, axis=-1) or position(s, axis=-1) <= 2
  h = matmul(softmax(where(seen, s, -1e30)), x)""",
        3,
    ),
    "that is never seen": (
        """s = matmul(x, transpose(x))
  seen = position(s, axis=-2) >= position(s, axis=-1) and position(s, axis=-1) < 90
  h = matmul(softmax(where(seen, s, -1e30)), x)""",
        0,
    ),
}
AHEAD = {
    "a window to both sides": "h = x -> attention(3, window=4, prefix=2)",
    "all but a prefix": """s = matmul(x, transpose(x))
  seen = position(s, axis=-2) >= position(s, axis=-1) or position(s, axis=-1) >= 3
  h = matmul(softmax(where(seen, s, -1e30)), x)""",
    "a few places on": """s = matmul(x, transpose(x))
  h = matmul(softmax(where(position(s, axis=-2) + 40 >= position(s, axis=-1), s, -1e30)), x)""",
    "attention": "h = x -> attention(3)",
    "causal the other way": """s = matmul(x, transpose(x))
  h = matmul(softmax(where(position(s, axis=-2) <= position(s, axis=-1), s, -1e30)), x)""",
    "one step too far": """s = matmul(x, transpose(x))
  h = matmul(softmax(where(position(s, axis=-2) + 1 >= position(s, axis=-1), s, -1e30)), x)""",
    "a mask that leaks": """s = matmul(x, transpose(x))
  h = matmul(softmax(where(position(s, axis=-2) >= position(s, axis=-1), s, -3)), x)""",
    "a cell walked backwards": "h = x -> scan(gru_cell(12), reverse=true)",
    "a mean over time": "h = x + mean(x, axis=1, keep=true)",
    "all sums": "h = x + expand(sum(x, axis=1, keep=true), [B, T, 12])",
}
NO_STEP = {
    "backwards": "h = x -> flip(axis=1)",
    "a shift": "h = concat(x[:, 1:], x[:, :1], axis=1)",
    "the length": "h = x/size(x, axis=1)",
}


def program(body: str, more: str = "") -> Program:
    text = f"""net n {{
  in tokens: i32[B, T]{more}
  x = tokens -> embedding(30, 12)
  {body}
  h -> linear(30) as logits
}}
"""
    return elaborate(weft.load_text(text, "n.weft"))


def feeds_of(made: Program, net: NetProgram, moving: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Parameters and inputs; what runs along the sequence has T positions."""
    random = np.random.default_rng(0)
    feeds: dict[str, Any] = {p.name: 0.5 * random.normal(size=p.shape) for p in made.parameters}
    for name, type in net.inputs.items():
        shape = [evaluate(d, {**SIZES, "T": T}) for d in type.shape]
        feeds[name] = random.integers(0, 12, shape)
        if type.dtype == "bool":
            feeds[name] = np.ones(shape, bool)
    assert set(moving) <= set(feeds)
    return feeds


def steps(
    net: NetProgram, d: Decoding, feeds: Mapping[str, np.ndarray], pieces: tuple[int, ...]
) -> list[np.ndarray]:
    """The logits after every piece of the sequence, with everything kept in between."""
    own = Graph(net.graph.nodes, dict(d.prepared))
    fixed = run(own, feeds, {**SIZES, "T": 1}, in_order=True) if d.prepared else {}
    slots = T + 2
    known = {**SIZES, ".slots": slots}
    shapes = {
        each.name: [evaluate(e, known) for e in each.type.shape] for each in (*d.caches, *d.carries)
    }
    kept: dict[str, np.ndarray] = {name: np.zeros(shape) for name, shape in shapes.items()}
    found, past = [], 0
    for count in pieces:
        part = {name: feeds[name][:, past : past + count] for name in d.tokens}
        inputs = {**feeds, **fixed, **kept, **part, PAST: np.array(past)}
        made = run(d.graph, inputs, {**SIZES, ".fresh": count, ".slots": slots}, in_order=True)
        found.append(made["logits"])
        for cache in d.caches:
            place = (slice(None),) * cache.axis + (slice(past, past + count),)
            kept[cache.name][place] = made[f"new_{cache.name}"]
        for carry in d.carries:
            kept[carry.name] = made[f"next_{carry.name}"]
        past += count
    return found


def agree(made: Program) -> Decoding:
    """To the last bit, where terms are added in order: those of free places are zero."""
    net = next(iter(made.nets.values()))
    d = decoding_of(net)
    feeds = feeds_of(made, net, d.tokens)
    output = next(iter(net.outputs))
    whole = run(net.graph, feeds, {**SIZES, "T": T}, in_order=True)[output]
    for pieces in ((1,) * T, (4, 1, 3, 1, 2), (T,)):
        if pieces[0] < d.prefix:
            continue
        found = steps(net, d, feeds, pieces)
        for logits, end in zip(found, np.cumsum(pieces), strict=True):
            np.testing.assert_array_equal(logits, whole[:, end - 1])
    return d


@pytest.mark.parametrize("name", BODIES)
def test_steps_give_what_the_whole_gives(name: str) -> None:
    agree(program(BODIES[name]))


@pytest.mark.parametrize("name", PREFIXES)
def test_a_prefix_is_there_before_anything_is_kept(name: str) -> None:
    body, length = PREFIXES[name]
    made = program(body)
    assert agree(made).prefix == length
    if length:
        with pytest.raises(UsageError, match="see later ones"):
            decoding_of(made.nets["n"], prefixes=False)


def test_a_sequence_may_end_before_the_last_step() -> None:
    agree(program("h = x -> scan(gru_cell(12), lengths=ends)", ", ends: i32[B]"))


@pytest.mark.parametrize(
    ("spec", "params", "caches"),
    [
        ("gpt2", {"width": 12, "heads": 3, "depth": 2, "vocab": 30, "context": 20}, 4),
        ("llama", {"width": 24, "heads": 4, "key_heads": 2, "depth": 2, "hidden": 8, "vocab": 30},
         4),
        ("transformer", {"width": 12, "heads": 3, "depth": 2, "hidden": 8, "vocab": 30}, 4),
        ("lstm_lm", {"embed": 8, "vocab": 30}, 0),
    ],
)  # fmt: skip
def test_examples(spec: str, params: dict[str, Any], caches: int) -> None:
    made = elaborate(weft.load(EXAMPLES / spec / f"{spec}.weft", params=params))
    d = agree(made)
    assert len(d.caches) == caches  # a key and a value for every layer, nothing more
    assert all(len(cache.type.shape) < 6 for cache in d.caches)


def test_nothing_is_computed_twice() -> None:
    """The stream that blocks add to is not computed once more for the last position alone."""
    params = {"width": 12, "heads": 3, "depth": 2, "vocab": 30, "context": 20}
    made = elaborate(weft.load(EXAMPLES / "gpt2" / "gpt2.weft", params=params))
    net = made.nets["gpt2"]

    def products(graph: Graph) -> int:
        return sum(node.op == "contract" for node in graph)

    assert products(decoding_of(net).graph) == products(net.graph)


def test_the_encoder_is_computed_once() -> None:
    params = {"width": 12, "heads": 3, "depth": 2, "hidden": 8, "vocab": 30}
    made = elaborate(weft.load(EXAMPLES / "transformer" / "transformer.weft", params=params))
    d = decoding_of(next(iter(made.nets.values())))
    assert "source" not in {node["feed"] for node in d.graph.inputs()}
    fed = {node["feed"] for node in d.graph.inputs()}
    assert not any(".encoder." in name for name in fed)
    assert len([name for name in d.prepared if name.startswith("given_")]) == 4


@pytest.mark.parametrize("name", AHEAD)
def test_what_looks_ahead_is_refused(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        decoding_of(program(AHEAD[name]).nets["n"])
    assert "lets a position see later ones" in str(caught.value)
    assert "n.weft:" in str(caught.value) or "prelude" in str(caught.value)
    assert not isinstance(caught.value, NoStep)


@pytest.mark.parametrize("name", NO_STEP)
def test_what_has_no_step_is_named(name: str) -> None:
    with pytest.raises(UsageError, match=r"n\.weft:4:"):
        decoding_of(program(NO_STEP[name]).nets["n"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("in x: f32[B, 4]\n  x -> linear(2) as y", "no prediction for each position"),
        ("in x: i32[B, 8]\n  x -> embedding(9, 4) -> linear(9) as y", "no prediction"),
    ],
)
def test_a_net_that_does_not_write_is_refused(text: str, said: str) -> None:
    made = elaborate(weft.load_text(f"net n {{\n  {text}\n}}\n", "n.weft"))
    with pytest.raises(UsageError, match=said):
        decoding_of(made.nets["n"])
