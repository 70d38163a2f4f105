"""Kernels in files of their own: how they are cut, and that steps stay the same."""

from __future__ import annotations

import numpy as np
import pytest

from weft.compiler.artifact import Artifact
from weft.compiler.build import elaborate
from weft.compiler.compile import compile_native, lower
from weft.compiler.emit.c import shares
from weft.runtime.initialise import fill_parameters
from weft.runtime.native_engine import NativeEngine
from weft.spec.load import load_text

TEXT = """\
net a {
  in x: f32[B, 12]
  x -> layer_norm -> linear(20) -> gelu -> layer_norm -> linear(4) as y
}
train {
  steps = 5
  data x: f32[B, 12], label: i32[B] = npz("points.npz", batch=16)
  step main updates a {
    optimizer = adam(lr=1e-2)
    loss = x -> a -> cross_entropy(label)
  }
}
"""


def _kernel(number: int, length: int) -> str:
    text = f"/* one */\nWEFT_KERNEL void f{number}(long n,\n    float *x)\n{{\n"
    return text + "/" * max(0, length - len(text) - 2) + "\n}"


@pytest.mark.parametrize("lengths", [[5000] * 9, [900] * 200, [30_000, 100, 100], [100] * 3])
def test_shares_are_all_kernels_in_order(lengths: list[int]) -> None:
    kernels = [_kernel(n, length) for n, length in enumerate(lengths)]
    found = shares.shared_out(kernels)
    if sum(map(len, kernels)) < shares.LEAST:
        assert not found
        return
    assert [kernel for share in found for kernel in share] == kernels
    assert 0 < len(found) <= shares.MOST and all(found)
    size = sum(map(len, kernels)) / len(found)
    assert max(sum(map(len, share)) for share in found) <= size + max(map(len, kernels))


def test_a_share_declares_what_it_makes_and_includes_those_before_it() -> None:
    files = shares.share_files("kernels", 2, [_kernel(7, 80)], '#include "weft.h"\n')
    assert files["kernels_2.h"].endswith("WEFT_SHARED void f7(long n,\n    float *x);\n")
    body = files["kernels_2.c"]
    assert '#include "kernels_1.h"\n#include "kernels_2.h"\n' in body
    assert shares.KERNEL not in body and "WEFT_SHARED void f7(" in body


def _artifact() -> Artifact:
    return compile_native(lower(elaborate(load_text(TEXT, "a.weft")), native=True))


def _trained(artifact: Artifact) -> bytes:
    rng = np.random.default_rng(3)
    batch = {
        "x": rng.normal(size=(16, 12)).astype(np.float32),
        "label": rng.integers(0, 4, 16).astype(np.int32),
    }
    engine = NativeEngine(artifact, threads=2)
    fill_parameters(artifact, engine.parameters, seed=0)
    for index in range(3):
        engine.train("main", batch, rate=0.01, index=index, seed=7)
    return engine.parameters.tobytes()


def test_steps_give_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares, "LEAST", 1_000_000)
    whole = _artifact()
    monkeypatch.setattr(shares, "LEAST", 0)
    monkeypatch.setattr(shares, "SHARE", 6000)
    cut = _artifact()
    assert {"kernels_1.c", "kernels_2.c", "kernels_3.h"} <= cut.files.keys() - whole.files.keys()
    assert "WEFT_KERNEL" in whole.files["kernels.c"]
    assert "WEFT_KERNEL" not in cut.files["kernels.c"]
    assert _trained(whole) == _trained(cut)
