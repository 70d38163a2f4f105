"""Names that users choose never meet those that kernels use for themselves, in Triton and in C."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

import weft
from tests.laws.alike_cases import ALIKE_CASES
from tests.laws.cases import Case
from tests.laws.chained_cases import CHAINED_CASES
from tests.laws.harness import entry_of, graphs_of
from tests.laws.kernels import Key, emitted
from tests.laws.test_adjoints import CASES as ADJOINTS
from tests.laws.test_attention import CASES as ATTENTION_CASES
from tests.laws.test_interpreted import law_graphs
from tests.laws.test_interpreted_windows import DEEP, _adjoint_ridden, _ridden
from tests.laws.window_cases import WINDOW_CASES, _convolve_weight
from weft.compiler.arena import Arena
from weft.compiler.emit.names import SIZE, identifier, reserved, size_name
from weft.compiler.ir.graph import Graph, Node
from weft.compiler.native import emit_native
from weft.runtime.initialise import fill_parameters

MARK = "zz"
ADDED = re.compile(r"(bound|place|position|inside_|nearest|rest_|taken|term)(_\d+)?")
"""Values that are in no graph, named beside those that are."""

SMALL, LARGE = {"B": 67, "T": 37, "S": 21}, {"B": 50_000, "T": 4000, "S": 21}


def _marked(node: Node) -> Node:
    """The node with a name that no kernel could think of."""
    named = {k: f"{MARK}{v}" if k == "feed" else v for k, v in node.attributes}
    name = ".".join(MARK + part for part in node.name.split("."))
    return replace(node, name=name, attributes=tuple(named.items()))


@pytest.fixture(scope="module")
def graphs() -> dict[Key, Graph]:
    windows = (
        *WINDOW_CASES,
        *(Case(f"ridden_{g.name}", _ridden(g)) for g in DEEP),
        *(Case(f"adjoint_{g.name}", _adjoint_ridden(g)) for g in DEEP),
        *(Case(f"weight_{g.name}", _convolve_weight(g)) for g in DEEP),
        *ADJOINTS,
        *ALIKE_CASES,
        *(c for c in CHAINED_CASES if c.name != "pixels"),  # moments are in no graph of users
    )
    found = law_graphs() | {("attention", n): g for n, (g, _) in ATTENTION_CASES.items()}
    found |= graphs_of(windows, "window")
    return {
        (kind, MARK + name): Graph(
            map(_marked, g.nodes), {f"{MARK}{out}": i for out, i in g.outputs.items()}
        )
        for (kind, name), g in found.items()
    }


def _free(words: set[str]) -> list[str]:
    """The words of kernels that a value could have too."""
    found = (w for w in words if MARK not in w and not ADDED.fullmatch(w))
    return sorted(w for w in found if not reserved(w))


@pytest.mark.parametrize(
    ("target", "sizes"), [("interpret", SMALL), ("cuda:90", LARGE)], ids=["small", "large"]
)
def test_words_of_triton_are_reserved(
    target: str, sizes: Mapping[str, int], graphs: dict[Key, Graph]
) -> None:
    """Scatters compute with nothing that users name."""
    found: set[str] = set()
    artifact = emitted(graphs, sizes, target)
    own = {k.name for k in artifact.kernels if k.kind != "scatter"}
    tree = ast.parse(artifact.files["kernels.py"])
    for kernel in (f for f in tree.body if isinstance(f, ast.FunctionDef)):
        if kernel.name in own:
            arguments = {a.arg.removesuffix("_ptr") for a in kernel.args.args}
            names = [n for n in ast.walk(kernel) if isinstance(n, ast.Name)]
            bound = {n.id for n in names if isinstance(n.ctx, ast.Store)}
            assert not bound & {a.arg for a in kernel.args.args}, kernel.name
            found |= arguments | {n.id.removesuffix("_ptr") for n in names}
    assert _free(found) == []


def test_words_of_c_are_reserved(graphs: dict[Key, Graph]) -> None:
    entries = [entry_of(graph, *key) for key, graph in graphs.items()]
    files, *_ = emit_native(entries, Arena({}, {}, 0), {}, LARGE, "laws")
    found: set[str] = set()
    for name, text in files.items():
        if name.endswith(".c"):
            text = re.sub(r'/\*.*?\*/|"[^"]*"|#.*|\.\w+|->\w+', "", text, flags=re.DOTALL)
            found |= set(re.findall(r"(?<![\w.])[A-Za-z_]\w*", text))
    assert _free({w for w in found if not re.match("weft_|WEFT_|omp_", w)}) == []


def test_sizes_and_values_are_told_apart() -> None:
    for word in ("B", "T2", "row", "row_3", "tokens_size", "for", "lambda", "corner_h", "max"):
        assert identifier(word) == f"{word}_"
    for word in ("x", "weight", "d_weight", "x2", "BB", "rows_of"):
        assert identifier(word) == word
    assert identifier("größe") == "gr_e"
    for size in ("tile", "row", "B", "T2", "for", "x"):
        assert SIZE.fullmatch(size_name(size))
    assert size_name(".slots") == "slots_size"


# ---- the worst names a user could choose ---------------------------------------------------------

WORDS = """
net n {{
  in {0}: i32[B, {4}]
  {0} -> embedding(11, 8) as {1} -> dropout(0.1) as {2} -> attention(2, causal=true) as {3}
    -> layer_norm -> linear(8) -> gelu -> gru(6) -> linear(7) as logits
}}
train {{
  steps = 1
  data {0}: i32[B, {4}], label: i32[B, {4}] = npz("unused.npz", batch=3)
  step main updates n {{
    optimizer = sgd(lr=0.1)
    loss = {0} -> n -> cross_entropy(label)
  }}
}}
"""
IMAGES = """
net n {{
  in {0}: f32[B, 3, {4}, {5}]
  {0} -> conv(4, 3, pad=1) -> relu as {1} -> conv(4, 3, stride=2, pad=1) as {2} -> batch_norm
    -> max_pool(2) as {3} -> global_avg_pool -> linear(7) as logits
}}
train {{
  steps = 1
  data {0}: f32[B, 3, {4}, {5}], label: i32[B] = npz("unused.npz", batch=3)
  step main updates n {{
    optimizer = sgd(lr=0.1)
    loss = {0} -> n -> cross_entropy(label)
  }}
}}
"""
WORST = {
    WORDS: ("seed", "tl", "int", "row_2", "BM"),
    IMAGES: ("X", "size", "stream_1", "acc", "NAN", "X2"),
}


def _gradients(text: str, target: str, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    program = weft.compile(weft.load_text(text, "n.weft"), target)
    fill_parameters(program.artifact, program.engine.parameters, 1)
    loss, found = program.value_and_grad(feeds)
    return {"loss": np.asarray(float(loss))} | {name: np.asarray(d) for name, d in found.items()}


@pytest.mark.parametrize(
    ("text", "target"), [(WORDS, "cpu"), (IMAGES, "cpu"), (WORDS, "interpret")]
)
def test_the_worst_names(text: str, target: str) -> None:
    rng, names = np.random.default_rng(0), WORST[text]
    if text is WORDS:
        feeds = {names[0]: rng.integers(0, 11, (3, 5)), "label": rng.integers(0, 7, (3, 5))}
    else:
        feeds = {names[0]: rng.normal(size=(3, 3, 9, 7)), "label": rng.integers(0, 7, 3)}
    kinds = {"i": np.int32, "f": np.float32}
    fed = {name: x.astype(kinds[x.dtype.kind]) for name, x in feeds.items()}
    spec = text.format(*names)
    want = _gradients(spec, "reference", fed)
    for name, got in _gradients(spec, target, fed).items():
        assert np.abs(got - want[name]).max() <= 1e-5, name
