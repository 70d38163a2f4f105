"""Nets inside torch.nn.parallel.DistributedDataParallel, in two processes."""

from __future__ import annotations

from pathlib import Path

import ddp_steps
import numpy as np
import pytest
from ranks import launched

import weft

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, np.ndarray]]:
    out = tmp_path_factory.mktemp("ddp")
    answer = launched(2, Path(ddp_steps.__file__), out)
    assert answer.returncode == 0, answer.stderr
    return [dict(np.load(out / f"{rank}.npz")) for rank in range(2)]


def test_two_processes_learn_what_one_learns(found: list[dict[str, np.ndarray]]) -> None:
    program = weft.compile(weft.load_text(ddp_steps.SPEC, "nets.weft"), target="cpu", seed=0)
    whole = ddp_steps.steps(program.nets["convolved"], "convolved", slice(0, 12))
    assert len([name for name in whole if name.startswith("grad ")]) == 6
    for name, value in whole.items():
        np.testing.assert_allclose(found[0][f"convolved {name}"], value, rtol=2e-5, atol=2e-6)


def test_all_processes_have_the_same_weights(found: list[dict[str, np.ndarray]]) -> None:
    for name, value in found[0].items():
        if "running" not in name:
            np.testing.assert_array_equal(value, found[1][name], name)
    moved = "normalised batch_norm.running_mean"
    assert (found[0][moved] != found[1][moved]).any()  # each those of its own part
