"""Decoders on kernels: with the cache, without it, on every target that runs here."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import weft
from weft.runtime.decoding import open_decoder
from weft.runtime.sample import begin
from weft.runtime.sampler import Choice
from weft.runtime.writers import longest, writer_of
from weft.spec.errors import UsageError

TEXT = """
net small {
  in tokens: i32[B, T]
  tokens -> embedding(40, 16) -> learned_positions(100) -> residual {
    layer_norm -> attention(4, causal=true)
  } -> gru(16) -> linear(40) as logits
}
"""


def compiled(target: str, text: str = TEXT) -> Any:
    return weft.compile(weft.load_text(text, "small.weft"), target=target, seed=3)


@pytest.mark.parametrize(
    ("target", "tolerance", "count"),
    [("reference", 0, 90), ("cpu", 2e-6, 90), ("interpret", 2e-6, 3)],
)
def test_the_cache_changes_nothing(target: str, tolerance: float, count: int) -> None:
    program = compiled(target)
    writer = writer_of(program.artifact.entry("forward", "small"))
    random = np.random.default_rng(0)
    plain, cached = (open_decoder(program, writer, {}, cache=c) for c in (False, True))
    prompts = random.integers(0, 40, (2, 3)).astype(np.int32)
    np.testing.assert_allclose(cached.start(prompts), plain.start(prompts), rtol=0, atol=tolerance)
    for _ in range(count):  # past the room that a cache begins with
        fresh = random.integers(0, 40, 2).astype(np.int32)
        np.testing.assert_allclose(cached.step(fresh), plain.step(fresh), rtol=0, atol=tolerance)
    cached.select([1, 1, 0])
    plain.select([1, 1, 0])
    fresh = np.array([1, 2, 3], np.int32)
    np.testing.assert_allclose(cached.step(fresh), plain.step(fresh), rtol=0, atol=tolerance)
    assert cached.length == plain.length == 3 + count + 1
    again = random.integers(0, 40, (1, 7)).astype(np.int32)  # another batch, from the beginning
    np.testing.assert_allclose(cached.start(again), plain.start(again), rtol=0, atol=tolerance)


@pytest.mark.parametrize(("target", "tolerance"), [("reference", 0), ("cpu", 2e-6)])
def test_a_prefix_is_kept_once_it_is_there(target: str, tolerance: float) -> None:
    """Prompts of any length; before it is complete every position may change."""
    program = compiled(target, TEXT.replace("causal=true", "causal=true, prefix=6"))
    writer = writer_of(program.artifact.entry("forward", "small"))
    random = np.random.default_rng(0)
    plain, cached = (open_decoder(program, writer, {}, cache=c) for c in (False, True))
    for length in (3, 5, 6, 9, 1):
        prompts = random.integers(0, 40, (2, length)).astype(np.int32)
        found = [each.start(prompts) for each in (plain, cached)]
        for count in range(8):
            np.testing.assert_allclose(*found, rtol=0, atol=tolerance)
            fresh = random.integers(0, 40, 2).astype(np.int32)
            found = [each.step(fresh) for each in (plain, cached)]
            if count in (1, 6):
                for each in (plain, cached):
                    each.select([1, 0])
        assert plain.length == cached.length == length + 8
    assert begin(program, [[1, 2]]).cached


def test_positions_end_somewhere() -> None:
    program = compiled("cpu")
    writer = writer_of(program.artifact.entry("forward", "small"))
    assert longest(writer, program.program.sizes, 60) == 60
    assert longest(writer, program.program.sizes, 5000) == 100
    with pytest.raises(UsageError, match="need 101 positions, `small` has 100"):
        begin(program, [[1, 2]], length=100)
    assert begin(program, [[1, 2]], length=99).length == 99
    assert begin(program, [[1, 2]]).length == 99  # as many as there are
    assert len(program.sample([[1] * 100], 1)[0]) == 1
    with pytest.raises(UsageError, match="at most --length 99 fits"):
        begin(program, [[1, 2]], length=100)
    with pytest.raises(UsageError, match="shorten the prompt, or let it --slide"):
        begin(program, [[1] * 101])


def test_sliding_goes_on_from_the_last_half() -> None:
    text = TEXT.replace("learned_positions(100)", "learned_positions(10)").replace(
        " -> gru(16)", ""
    )
    program = compiled("cpu", text)
    found = program.sample([[1, 2, 3]], 40, temperature=0, slide=True)[0]
    assert len(found) == 40
    written = [1, 2, 3, *found]
    window = written[:3]
    for token in found:
        window = window if len(window) <= 10 else window[-5:]
        expected = program.sample([window], 1, temperature=0)[0]
        assert expected == [token]
        window = [*window, token]
    assert program.sample([list(range(15))], 3, temperature=0, slide=True) == program.sample(
        [list(range(5, 15))], 3, temperature=0, slide=True
    )


def test_a_net_without_end_slides_as_if_it_had_one() -> None:
    """Turned positions go on for ever, training did not."""
    turned = TEXT.replace(" -> learned_positions(100)", "").replace(" -> gru(16)", "")
    program = compiled("cpu", turned.replace("causal=true", "causal=true, rope=100"))
    found = program.sample([[1, 2, 3]], 12, temperature=0, slide=8)[0]
    window = [1, 2, 3, *found[:6]][-4:]  # eight, one too many, and the last half of them
    assert program.sample([window], 4, temperature=0)[0] == found[6:10]
    with pytest.raises(UsageError, match="a window of 0 positions"):
        begin(program, [[1]], slide=0)


@pytest.mark.parametrize(
    ("prompts", "said"),
    [
        ([], "an empty prompt"),
        ([[]], "an empty prompt"),
        ([[1], [1, 2]], "different lengths"),
        ([[40]], "token 40 is not of `small`: it knows 0 to 39"),
        ([[-1]], "token -1"),
    ],
)
def test_prompts_are_checked(prompts: list[list[int]], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        begin(compiled("cpu"), prompts)


def test_greedy_text_is_the_same_either_way() -> None:
    program = compiled("cpu")
    found = [
        np.stack(list(begin(program, [[5, 6]], length=40, cache=c).tokens(Choice(0))))
        for c in (True, False)
    ]
    np.testing.assert_array_equal(found[0], found[1])
    assert program.sample([[5, 6]], 40, temperature=0) == [found[0][:, 0].tolist()]


def test_a_net_without_a_step_is_computed_as_a_whole() -> None:
    text = TEXT.replace("-> gru(16)", "-> conv1").replace(
        "net small", "block conv1 {\n  in x: f32[B, T, D]\n  x/size(x, axis=1)\n}\nnet small"
    )
    program = compiled("cpu", text)
    sampling = begin(program, [[5]], length=4)
    assert not sampling.cached
    assert len(list(sampling.tokens(Choice()))) == 4
    with pytest.raises(UsageError, match="there is no step for the length of the sequence"):
        begin(program, [[5]], length=4, cache=True)


def test_a_window_slides() -> None:
    """A net that sees four tokens and gives one, as models of n-grams do."""
    text = """
net ngram {
  in words: i32[B, 4]
  words -> embedding(40, 8) -> flatten -> linear(40) as logits
}
"""
    program = compiled("reference", text)
    prompts = [[1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1]]
    sampling = begin(program, prompts, length=5)
    assert not sampling.cached
    found = np.stack(list(sampling.tokens(Choice(0))), axis=1)
    for row, prompt in enumerate(prompts):
        seen = list(prompt)
        for token in found[row]:
            logits = program.engine.forward("ngram", {"words": np.array([seen[-4:]], np.int32)})
            assert token == logits["logits"][0].argmax()
            seen.append(int(token))
    assert len(begin(program, [prompts[0]], length=5).best(Choice(), 3)) == 3
    with pytest.raises(UsageError, match="a prompt of 3 tokens: `ngram` goes on from 4"):
        begin(program, [[1, 2, 3]])
    with pytest.raises(UsageError, match="nothing is kept between them"):
        begin(program, prompts, cache=True)


def test_a_net_of_a_fixed_length_says_so() -> None:
    text = "net n {\n  in tokens: i32[B, 7]\n  tokens -> embedding(9, 4) -> linear(9) as y\n}\n"
    program = weft.compile(weft.load_text(text, "n.weft"), target="reference")
    with pytest.raises(UsageError, match=r"`y` \[B, 7, 9\] has 7 positions") as caught:
        writer_of(program.artifact.entry("forward", "n"))
    assert "`tokens: i32[B, T]`" in str(caught.value.hint)


def test_one_token_is_one() -> None:
    with pytest.raises(UsageError, match="a prompt of 1 token and 101 more need 101 positions"):
        begin(compiled("cpu"), [[1]], length=101)
