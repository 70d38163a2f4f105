"""What is allowed and hardly meant is pointed out at its place, and nothing else is."""

from __future__ import annotations

import pytest

from weft.compiler.build import elaborate
from weft.compiler.notes import notes
from weft.spec.load import load_text

READER = """net n {{
  in tokens: i32[B, T]
  tokens -> embedding(256, 8) -> {layer} -> linear(256){end} as logits
}}

train {{
  steps = 1
  data {names} = {source}
  step main updates n {{
    optimizer = sgd(lr=0.1)
    logits = tokens -> n
    loss = cross_entropy(logits, next)
  }}
}}
"""
LOOKS_BACK = (
    "attention(2, causal=true)",
    "attention(2, causal=true, window=3, alibi=true)",
    "lstm(8)",
    "delay",
    "linear(8)",
)
LOOKS_AHEAD = (
    "attention(2)",
    "attention(2, window=3)",
    "attention(2, causal=true, prefix=2)",
    "bidirectional(8)",
    "gru(8, reverse=true)",
)


def said(layer: str, names: str = "tokens, next", source: str = 'text("a")', end: str = "") -> str:
    """The notes on a reader of texts with such a layer, one a line."""
    text = READER.format(layer=layer, names=names, source=source, end=end)
    return "\n".join(map(str, notes(elaborate(load_text(text, "n.weft")))))


@pytest.mark.parametrize("layer", LOOKS_BACK)
def test_a_net_that_looks_back_is_fine(layer: str) -> None:
    assert said(layer) == ""


@pytest.mark.parametrize("layer", LOOKS_AHEAD)
def test_a_net_that_sees_what_it_has_to_guess(layer: str) -> None:
    text = said(layer)
    assert text.startswith("n.weft:3:34: ") and "see later ones; `next`, which it learns" in text


@pytest.mark.parametrize(
    ("names", "source", "ahead"),
    [
        ("tokens, next", "stdlib(length=8)", True),
        ("tokens, next, _documents", 'tokens("a.bin")', True),
        ("tokens, next", 'text("a", masked=0.15)', False),
        ("tokens: i32[B, 8], next: i32[B, 8]", 'npz("a.npz")', False),
        ("_source, tokens, next", "sequences(task=sort)", True),
    ],
)
def test_only_of_data_that_says_what_is_next(names: str, source: str, ahead: bool) -> None:
    assert bool(said("attention(2)", names, source)) == ahead


def test_probabilities_are_no_logits() -> None:
    text = said("lstm(8)", end=" -> softmax")
    assert (
        text == "n.weft:3:60: softmax of a softmax: `cross_entropy` takes logits, not probabilities"
    )
    assert said("lstm(8)", end=" -> log_softmax") == ""  # the same loss, only slower


@pytest.mark.parametrize(
    ("source", "said_of"),
    [
        ('text("a", size=300)', "`bytes` has 256 entries"),
        ('text("a", vocabulary=bytes, size=8192)', "`bytes` has 256 entries"),
        ('stdlib(vocabulary="bytes", size=300)', "`bytes` has 256 entries"),
        ('text("a", vocabulary="t.json", size=300)', "`t.json` has as many entries as its file"),
        ('text("a", vocabulary=chosen, size=300)', ""),
        ('text("a")', ""),
    ],
)
def test_a_size_beside_a_vocabulary_that_has_its_own(source: str, said_of: str) -> None:
    text = 'param chosen="bytes"\n' + READER.format(
        layer="lstm(8)", names="tokens, next", source=source, end=""
    )
    found = list(map(str, notes(elaborate(load_text(text, "n.weft")))))
    assert len(found) == bool(said_of)
    if found:
        assert found[0].startswith("n.weft:9:") and said_of in found[0]


def test_a_size_of_what_is_learnt_says_something() -> None:
    assert said("lstm(8)", source='text("a", vocabulary=words, size=256)') == ""


def said_of_images(flow: str) -> str:
    """The notes on a net of 16 channels."""
    text = f"net n {{\n  in x: f32[B, 16, 32, 32]\n  {flow}\n}}\n"
    return "\n".join(f"{n}: {n.hint}" for n in notes(elaborate(load_text(text, "n.weft"))))


@pytest.mark.parametrize(
    "flow",
    ["x -> conv(16, 32, 3)", "conv(x, 16, 32, 3)", "let c = conv(16, 32, 3)\n  x -> c -> c"],
)
def test_channels_that_come_in_are_not_given(flow: str) -> None:
    text = said_of_images(flow)
    assert text.startswith("n.weft:3:") and text.endswith(
        ": conv makes 16 channels by a kernel of 32, stride 3: "
        "the channels that come in are not given: conv(32, 3)"
    )


@pytest.mark.parametrize(
    "flow",
    [
        "conv(16, 3, 1) -> conv(16, 3, 2) -> conv(16, 1, 2)",
        "conv(32, 16, 4)",  # other channels than those that come in
        "conv(16, 4, stride=4)",
        "conv(16, 31)",
        "linear(16) -> conv_transpose(16, 4, 2)",
    ],
)
def test_kernels_that_are_meant(flow: str) -> None:
    assert said_of_images(flow) == ""
