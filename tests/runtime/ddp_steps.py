"""Two steps of a net in DistributedDataParallel, each process on its part of every batch.

`python -m torch.distributed.run … ddp_steps.py OUT` leaves OUT/RANK.npz.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

import weft

SPEC = """
net convolved {
  in x: f32[B, 3, 6, 6]
  x -> conv(4, 3, pad=1) -> relu -> conv(5, 3) -> mean(axis=[2, 3]) -> linear(3)
}
net normalised {
  in x: f32[B, 8]
  x -> linear(6) -> batch_norm -> tanh -> linear(3)
}
"""
SHAPES = {"convolved": (12, 3, 6, 6), "normalised": (12, 8)}
LABELS = torch.arange(12) % 3


def batches(net: str) -> list[torch.Tensor]:
    """The inputs of two steps, the same in all processes."""
    random = torch.Generator().manual_seed(5)
    return [torch.randn(SHAPES[net], generator=random) for _ in range(2)]


def steps(net: torch.nn.Module, name: str, rows: slice) -> dict[str, np.ndarray]:
    """The last gradients and the state after two steps on these rows of each batch."""
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    for x in batches(name):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(x[rows]), LABELS[rows]).backward()
        optimizer.step()
    grads = {f"grad {k}": p.grad for k, p in net.named_parameters() if p.grad is not None}
    found = {k.removeprefix("module."): v for k, v in (grads | net.state_dict()).items()}
    return {k.replace("grad module.", "grad "): v.numpy().copy() for k, v in found.items()}


def main(out: Path) -> None:
    """What one process does."""
    dist.init_process_group("gloo")
    rank, count = dist.get_rank(), dist.get_world_size()
    rows = slice(12 * rank // count, 12 * (rank + 1) // count)
    program = weft.compile(weft.load_text(SPEC, "nets.weft"), target="cpu", seed=rank)
    found = {}
    for name in SHAPES:  # other first weights in each process: DDP begins with those of the first
        net = DistributedDataParallel(program.nets[name])
        found |= {f"{name} {k}": v for k, v in steps(net, name, rows).items()}
    np.savez(out / f"{rank}.npz", **found)
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
