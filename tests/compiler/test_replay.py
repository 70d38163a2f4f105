"""Blocks that are played back give the same graphs, node for node, as without."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from weft.compiler.build import Program, elaborate, recorder, replay
from weft.compiler.ir.builder import Builder
from weft.spec.errors import SpecError
from weft.spec.load import Spec, load, load_text

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
TEXTS = {
    "nested": """\
block Inner(w) { linear(w) -> gelu -> linear(w) as last }
block Outer(w) {
  in x: f32[..., C]
  x -> repeat 3 { residual { layer_norm -> Inner(w) } } -> residual { linear(C) -> dropout(0.1) }
}
net a {
  in x: f32[B, 8]
  x -> repeat 4 as i { Outer(8) } as body -> Outer(8) -> linear(2) as y
}
""",
    "shared": """\
block Twice(n) {
  in x: f32[B, C]
  let f = linear(C)
  weight scale: f32[C] = ones()
  x -> f -> tanh -> f -> mul(scale)
}
net a {
  in x: f32[B, 8]
  let g = Twice(2)
  h = x -> repeat 3 { Twice(1) } -> g
  h -> g -> linear(8, bias=false, weight=g.f.weight)
}
""",
    "training": """\
net a {
  in x: f32[B, 6]
  x -> repeat 4 { linear(6) -> relu -> dropout(0.3) } -> linear(3) as y
}
train {
  steps = 5
  data x: f32[B, 6], label: i32[B] = npz("points.npz", batch=16)
  step main updates a {
    optimizer = adam(lr=1e-3)
    loss = x -> a -> cross_entropy(label)
    metric accuracy = accuracy(a(x), label)
  }
}
""",
    "sizes": """\
block Half { in x: f32[B, C]
  x -> linear(C//2) -> if C > 8 { Half } }
net a {
  in x: f32[B, 64], y: f32[B, 64]
  x -> repeat 4 { linear(64) -> Half -> linear(64) } -> add((y -> Half -> linear(64)))
}
""",
}


def _same(one: Builder, other: Builder) -> None:
    assert one.outputs == other.outputs
    assert len(one.nodes) == len(other.nodes)
    for a, b in zip(one.nodes, other.nodes, strict=True):
        assert (a, a.place, a.scope) == (b, b.place, b.scope)


def _equal(plain: Program, played: Program) -> None:
    assert plain.parameters == played.parameters
    assert plain.train == played.train
    assert list(plain.nets) == list(played.nets)
    for name, net in plain.nets.items():
        other = played.nets[name]
        _same(net.builder, other.builder)
        assert (net.layers, net.parameters, net.needs) == (
            other.layers,
            other.parameters,
            other.needs,
        )
    for name, step in plain.steps.items():
        twin = played.steps[name]
        _same(step.builder, twin.builder)
        _same(step.evaluated, twin.evaluated)
        assert list(step.parameters.items()) == list(twin.parameters.items())
        assert (step.loss, step.metrics) == (twin.loss, twin.metrics)


@pytest.fixture
def plays(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of what is played back."""
    paths: list[str] = []
    play = replay.Recording.play

    def counted(self, e, operands, path):  # type: ignore[no-untyped-def]
        paths.append(path)
        return play(self, e, operands, path)

    monkeypatch.setattr(replay.Recording, "play", counted)
    return paths


@pytest.mark.parametrize("name", TEXTS)
def test_texts(name: str, plays: list[str]) -> None:
    spec = load_text(TEXTS[name], f"{name}.weft")
    plain = elaborate(spec, replay=False)
    assert not plays
    _equal(plain, elaborate(spec))
    assert plays


def _variants() -> list[tuple[Path, str | None]]:
    found = []
    for path in sorted(EXAMPLES.rglob("*.weft")):
        text = path.read_text(encoding="utf-8")
        if re.search(r"^net ", text, re.M):
            found += [(path, name) for name in (None, *re.findall(r"^variant (\w+)", text, re.M))][
                :2
            ]
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("path", "variant"), _variants(), ids=lambda x: getattr(x, "stem", x))
def test_examples(path: Path, variant: str | None) -> None:
    spec = load(path, variant=variant)
    if not spec.file.nets:
        pytest.skip("blocks to import")
    _equal(elaborate(spec, replay=False), elaborate(spec))


def test_most_of_a_deep_net_is_played_back(plays: list[str]) -> None:
    text = "net a {\n  in x: f32[B, 8]\n  x -> repeat 50 { layer_norm -> linear(8) } as body\n}\n"
    elaborate(load_text(text, "deep.weft"))
    assert len(plays) >= 2 * 50 - 6


def _errors(spec: Spec, *, played: bool) -> list[str]:
    with pytest.raises(SpecError) as caught:
        elaborate(spec, replay=played)
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    "text",
    [
        "x -> repeat 3 as i { linear(8) -> reshape([B, 8 - i]) }",
        "x -> repeat 3 { linear(8) -> linear(8, weight=x) }",
        "x -> repeat 2 { linear(8) as f } -> linear(3) -> add(x)",
        "h = x -> repeat 2 { layer_norm -> gelu }\n  h -> linear(7) -> residual { linear(6) }",
    ],
)
def test_errors_are_the_same(text: str) -> None:
    spec = load_text(f"net a {{\n  in x: f32[B, 8]\n  {text}\n}}\n", "bad.weft")
    assert _errors(spec, played=True) == _errors(spec, played=False)


GAN = """\
block Twice(w) { linear(w) -> relu -> linear(w) as out_ }
net model {
  in x: f32[B, 8]
  x -> repeat 5 { residual { layer_norm -> Twice(8) -> dropout(0.1) } } as body -> linear(1) as y
}
train {
  steps = 5
  data x: f32[B, 8], z: f32[B, 8] = npz("points.npz", batch=16)
  step main updates model {
    optimizer = adam(lr=1e-3)
    loss = bce(model(x), 1) + bce(model(z), 0) + mean(model(x))
  }
}
"""


@pytest.mark.parametrize("after", [0, 3, 8, 20])
def test_what_comes_out_otherwise_is_taken_back(
    monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """A call that differs after some of its events leaves nothing behind."""
    spec = load_text(GAN.replace(" as out_", ""), "gan.weft")
    plain = elaborate(spec, replay=False)
    insert, count, refused = recorder.Recorder.insert, 0, 0

    def other(self, *arguments, **attributes):  # type: ignore[no-untyped-def]
        nonlocal count, refused
        if self.journal is not None:
            count += 1
            if count % (after + 7) == after:
                refused += 1
                raise replay.Unlike
        return insert(self, *arguments, **attributes)

    monkeypatch.setattr(recorder.Recorder, "insert", other)
    _equal(plain, elaborate(spec))
    assert refused > 3
