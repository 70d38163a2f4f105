"""Every block of the prelude, forward and backward, against torch in float64."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from weft.compiler.build.elaboration import Catalogue
from weft.compiler.build.nets import build_net
from weft.spec.load import load_text
from weft.spec.prelude_index import prelude

from .built import buffers, gradients, net
from .prelude_case import Case, feeds_of, spec_of
from .prelude_functions import FUNCTIONS, MEASURES
from .prelude_images import IMAGES
from .prelude_sequences import SEQUENCES

CASES = [*FUNCTIONS, *IMAGES, *SEQUENCES]


def drawn(case: Case) -> np.random.Generator:
    """The case's own random numbers, whichever tests ran before."""
    return np.random.default_rng([7, *case.id.encode()])


def fed(
    case: Case, random: np.random.Generator
) -> tuple[dict[str, np.ndarray], dict[str, torch.Tensor]]:
    """What the net is fed, and the same for torch, which asks for gradients."""
    feeds = feeds_of(case, random)
    twins = {name: torch.tensor(value) for name, value in feeds.items()}
    for twin in twins.values():
        if twin.dtype == torch.float64:
            twin.requires_grad_()
    twins |= {name: torch.tensor(value) for name, value in case.buffers.items()}
    return {**feeds, **case.buffers}, twins


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.id)
def test_forward_and_gradient_agree_with_torch(case: Case) -> None:
    random = drawn(case)
    feeds, twins = fed(case, random)
    expected = case.twin(*twins.values())
    cotangent = random.standard_normal(tuple(expected.shape))
    value, found = gradients(spec_of(case), feeds, cotangent, training=case.training)
    np.testing.assert_allclose(value, expected.detach().numpy(), rtol=1e-12, atol=1e-12)
    assert set(found) == {name for name, twin in twins.items() if twin.requires_grad}
    if not expected.requires_grad:
        return
    expected.backward(torch.tensor(cotangent))
    grads = {name: twins[name].grad for name in found}
    wanted = {
        name: np.zeros_like(feeds[name]) if grad is None else grad.numpy()
        for name, grad in grads.items()
    }
    # What nearly cancels, as behind a softmax of one large score, keeps its terms' rounding.
    largest = max(1.0, *(float(np.abs(each).max(initial=0)) for each in wanted.values()))
    for name, gradient in found.items():
        np.testing.assert_allclose(
            gradient, wanted[name], rtol=1e-10, atol=1e-11 * largest, err_msg=name
        )


@pytest.mark.parametrize("case", MEASURES, ids=lambda c: c.id)
def test_measures_agree_with_torch(case: Case) -> None:
    feeds, twins = fed(case, drawn(case))
    (found,) = net(spec_of(case), feeds).values()
    np.testing.assert_allclose(found, case.twin(*twins.values()).detach().numpy(), rtol=1e-12)


@pytest.mark.parametrize("case", [c for c in CASES if c.buffers], ids=lambda c: c.id)
def test_training_moves_buffers_as_torch_does(case: Case) -> None:
    feeds, twins = fed(case, drawn(case))
    case.twin(*twins.values())
    found = buffers(spec_of(case), feeds)
    assert found.keys() == case.buffers.keys()
    for name, begin in case.buffers.items():
        wanted = twins[name].numpy()
        assert np.array_equal(wanted, begin) is not case.training
        if case.training:
            np.testing.assert_allclose(found[name], wanted, rtol=1e-12, err_msg=name)


def test_every_block_has_a_case() -> None:
    covered = {word for case in (*CASES, *MEASURES) for word in re.findall(r"\w+", case.flow)}
    assert {name for name in prelude() if not name.startswith("_")} <= covered


def test_relu_like_functions_have_no_gradient_at_zero() -> None:
    text = "net n {\n  in x: f32[B]\n  x -> relu\n}\n"
    _, found = gradients(text, {"x": np.array([-1.0, 0.0, 2.0])})
    np.testing.assert_array_equal(found["x"], [0.0, 0.0, 1.0])


@pytest.mark.parametrize("name", ["elu", "selu", "celu", "gelu", "silu", "mish", "logsigmoid"])
def test_activations_and_gradients_stay_finite_far_out(name: str) -> None:
    text = f"net n {{\n  in x: f32[B]\n  x -> {name}\n}}\n"
    value, found = gradients(text, {"x": np.array([-1e4, -800.0, 800.0, 1e4])})
    assert np.isfinite(value).all() and np.isfinite(found["x"]).all()


def test_losses_stay_finite_for_large_logits() -> None:
    text = "net n {\n  in x: f32[B, 3], y: i32[B]\n  cross_entropy(x, y)\n}\n"
    feeds = {"x": np.array([[1e4, 0.0, -1e4]]), "y": np.array([2])}
    value, found = gradients(text, feeds)
    assert value == 2e4
    np.testing.assert_allclose(found["x"], [[1.0, 0.0, -1.0]])


def test_ignored_labels_weigh_nothing() -> None:
    flow = "cross_entropy(x, y, weight=[1, 2, 4], ignore=1)"
    text = f"net n {{\n  in x: f32[B, 3], y: i32[B]\n  {flow}\n}}\n"
    x, y = np.array([[0.5, -1.0, 2.0], [1.0, 0.0, 3.0], [0.0, 1.0, 2.0]]), np.array([0, 1, 2])
    every, found = gradients(text, {"x": x, "y": y})
    others, wanted = gradients(text, {"x": x[[0, 2]], "y": y[[0, 2]]})
    np.testing.assert_allclose(every, others, rtol=1e-15)
    np.testing.assert_allclose(found["x"][[0, 2]], wanted["x"], rtol=1e-14)
    np.testing.assert_array_equal(found["x"][1], 0.0)


def test_the_gradient_of_bce_is_exact() -> None:
    text = "net n {\n  in x: f32[B]\n  bce(x, 1, reduction=sum)\n}\n"
    _, found = gradients(text, {"x": np.array([-40.0, 0.0, 40.0])})
    np.testing.assert_allclose(found["x"], [-1.0, -0.5, -np.exp(-40.0)], rtol=1e-15, atol=1e-17)


def test_the_prelude_keeps_the_rules_of_users_texts() -> None:
    """A copy under other names elaborates as a user's text: nothing is unused, nothing hides."""
    cases = [*CASES, *MEASURES]
    for training, some in ((False, cases), (True, [c for c in cases if TRAINED.search(c.flow)])):
        nets = "".join(
            spec_of(case).replace("net n ", f"net case_{i} ") for i, case in enumerate(some)
        )
        mine = operations(own("\n".join(prelude().texts.values()) + nets), training)
        assert mine == operations(nets, training)


NAME = re.compile(r"\b\w+\b(?!=[^=])")


def own(text: str) -> str:
    """A text with another name for every block; a setting called like one keeps its name."""
    chunks = re.split(r"^(?=block )", text, flags=re.MULTILINE)
    return "".join(NAME.sub(lambda m, each=each: renamed(m, each), each) for each in chunks)


def renamed(found: re.Match[str], chunk: str) -> str:
    name = found[0]
    declared = re.match(r"block \w+\((.*?)\) \{", chunk, re.DOTALL)
    settings = re.findall(r"(?:^|,\s*)(\w+)", declared[1]) if declared else []
    called = found.string[found.end() :].startswith("(")
    return f"own_{name}" if name in prelude() and (called or name not in settings) else name


TRAINED = re.compile(r"batch_norm|dropout|stochastic_depth")


def operations(text: str, training: bool) -> dict[str, list[str]]:
    """The operations of every net."""
    catalogue = Catalogue(load_text(text, "test.weft"))
    nets = [
        build_net(catalogue, net, i, training=training)
        for i, net in enumerate(catalogue.spec.file.nets)
    ]
    assert not catalogue.faults, catalogue.faults[0].diagnostic()
    return {net.name: [n.op for n in net.graph] for net in nets if net is not None}
