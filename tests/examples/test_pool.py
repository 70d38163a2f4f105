"""CycleGAN's pool of earlier pictures: what it shows, and what it keeps."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from weft.runtime.engine import parameter_view
from weft.runtime.program import compile

from .counts import FOLDER

ENTRIES, STEPS = 5, 60
REST = """
net pool {{
  in x: f32[B, 1, 2, 2]
  x -> Pool({entries}) as shown
}}
net judge {{
  in x: f32[B, 1, 2, 2]
  x -> conv(1, 1) as y
}}
train {{
  steps = 1
  data x: f32[B, 1, 2, 2] = npz("none.npz", batch={batch})
  step main updates judge {{
    optimizer = sgd(lr=0)
    shown = x -> pool
    loss = shown -> judge -> mean
    metric first = mean(shown[0])
    metric last = mean(shown[-1])
  }}
}}
"""


@pytest.mark.parametrize("batch", [1, 2])
def test_every_second_picture_is_exchanged_once_it_is_full(tmp_path: Path, batch: int) -> None:
    text = (FOLDER / "cyclegan" / "cyclegan.weft").read_text(encoding="utf-8")
    block = re.search(r"^block Pool.*?^}\n", text, re.S | re.M)
    assert block
    path = tmp_path / "pool.weft"
    path.write_text(block[0] + REST.format(entries=ENTRIES, batch=batch), encoding="utf-8")
    program = compile(path, "cpu")
    exchanged = 0
    for step in range(STEPS):
        before = _kept(program)
        now = [batch * step + k + 1 for k in range(batch)]
        x = np.array(now, np.float32)[:, None, None, None] * np.ones((1, 1, 2, 2), np.float32)
        values = program.engine.train("main", {"x": x}, rate=0.0, index=step, seed=3).values
        shown, kept = [values["first"], values["last"]][:batch], _kept(program)
        if 0 in before:
            assert shown == now
            assert kept == sorted({*(set(before) - {0}), *now})[:ENTRIES] + kept.count(0) * [0]
            continue
        assert all(s == n or s in before for s, n in zip(shown, now, strict=True))
        assert {*before} - {*kept} <= {*shown}, "what goes was shown once more"
        assert {*kept} - {*before} <= {*now} - {*shown}
        exchanged += sum(s != n for s, n in zip(shown, now, strict=True))
    count = batch * (STEPS - ENTRIES // batch)
    assert abs(exchanged / count - 0.5) < 3 * 0.5 / count**0.5


def _kept(program: object) -> list[float]:
    engine = program.engine  # type: ignore[attr-defined]
    (home,) = (p for p in engine.artifact.parameters if p.name.endswith("kept"))
    return parameter_view(engine.parameters, home)[:, 0, 0, 0].tolist()
