"""Some random networks on every way through the compiler: `python -m tests.random_networks` tries
more.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from tests.random_networks.compare import Ways, check
from tests.random_networks.generate import drawn_net
from tests.random_networks.losses import drawn_loss
from tests.random_networks.measures import Wrong
from tests.random_networks.shrink import shrunk
from tests.random_networks.twins import Draw, Input, Layer, Net, Statement

SEED = 3


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Networks are small, and threads that wait for each other are most of the time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


PLAIN = range(24)
IN_C = (9, 0, 15, 23)
INTERPRETED = 15


@pytest.mark.parametrize("number", PLAIN)
def test_the_reference_is_torch(number: int) -> None:
    seed = f"{SEED}/{number}"
    check(drawn_net(seed), seed, Ways(c=False))


@pytest.mark.parametrize("number", IN_C)
def test_c_is_the_reference(number: int) -> None:
    seed = f"{SEED}/{number}"
    check(drawn_net(seed), seed, Ways(train=number == IN_C[0], optimise="-O0"))


def test_kernels_are_the_reference() -> None:
    seed = f"{SEED}/{INTERPRETED}"
    check(drawn_net(seed), seed, Ways(c=False, interpret=True))


def test_a_seed_is_a_network() -> None:
    assert drawn_net("one").text() == drawn_net("one").text() != drawn_net("two").text()


def _wrong() -> Net:
    """A network whose twin has another slope, behind a layer that is right."""
    x = Input("x", (4,))
    right = Layer("activation", text="tanh", twin=lambda run, x: x.tanh())
    wrong = Layer("activation", text="leaky_relu(0.1)", twin=lambda run, x: x.relu())
    linear = Layer(
        "linear", "k", text="linear(4, bias=false)",
        twin=lambda run, x: x @ run.weight("weight", 4, 4).T,
    )  # fmt: skip
    flow = (right, linear, wrong, right)
    statement = Statement("", ("v",), ("x",), flow=flow)
    return Net((x,), (statement,), (drawn_loss(Draw("loss"), "v", (4,)),))


def test_a_wrong_network_is_found_and_made_smaller() -> None:
    def fails(net: Net) -> bool:
        try:
            check(net, "wrong", Ways(c=False))
        except Wrong as wrong:
            return wrong.where == "torch"
        return False

    net = _wrong()
    assert fails(net)
    (statement,) = shrunk(net, fails).statements
    assert [layer.written() for layer in statement.flow] == [
        "linear(4, bias=false) as k",
        "leaky_relu(0.1)",
    ]
