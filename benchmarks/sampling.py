"""Text from a small GPT on the CPU: weft from its cache against torch eager, in one run.

    python benchmarks/sampling.py [--quick] [--out FILE]

What is timed is a greedy text from a prompt of 8 tokens to 256: the prompt and every token after
it, with the choice of the token.  torch computes the whole sequence for each token, in inference
mode, with its own attention kernel and the logits of the last position alone, and with all threads
or one, whichever is faster.  The contenders take turns, a token each; every text gives a mean per
token and a ratio.  Printed are their medians, with the least and the most.  Both must write the
same text.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

import weft
from weft.runtime.machine import cpu
from weft.runtime.program import CompiledProgram
from weft.runtime.sample import begin
from weft.runtime.sampler import Choice

SPEC = Path(__file__).resolve().parent.parent / "examples" / "gpt2" / "gpt2.weft"
PROMPT, T, REACH = 8, 256, 3.0
ROUNDS = 7


@dataclass(frozen=True)
class Case:
    """One size of the network of `examples/gpt2`."""

    width: int
    heads: int
    depth: int
    vocabulary: int

    @property
    def name(self) -> str:
        return f"width {self.width}, {self.depth} layers, {self.vocabulary:,} tokens"


CASES = (Case(128, 4, 4, 256), Case(256, 8, 6, 5000))


# ---- contenders ----------------------------------------------------------------------------------


class Block(nn.Module):
    """One layer, as in the spec."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.layer_norm, self.layer_norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.ModuleDict(
            {name: nn.Linear(width, width) for name in ("query", "key", "value", "out")}
        )
        self.linear, self.linear_2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows, length, width = x.shape
        normed = self.layer_norm(x)
        q, k, v = (
            self.attention[name](normed).view(rows, length, self.heads, -1).transpose(1, 2)
            for name in ("query", "key", "value")
        )
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.attention["out"](mixed.transpose(1, 2).reshape(rows, length, width))
        inner = functional.gelu(self.linear(self.layer_norm_2(x)), approximate="tanh")
        return x + self.linear_2(inner)


class Twin(nn.Module):
    """The same network in torch, with the same names."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.table = nn.Embedding(case.vocabulary, case.width)
        self.positions = nn.Embedding(T, case.width)
        self.body = nn.ModuleList(Block(case.width, case.heads) for _ in range(case.depth))
        self.layer_norm = nn.LayerNorm(case.width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.table(tokens) + self.positions.weight[: tokens.shape[1]]
        for block in self.body:
            x = block(x)
        return self.layer_norm(x)[:, -1] @ self.table.weight.T


def torch_text(net: Twin, prompt: list[int]) -> Iterator[int]:
    """Greedy, without a cache."""
    tokens = torch.tensor([prompt])
    while tokens.shape[1] < T:
        with torch.inference_mode():
            best = net(tokens).argmax(dim=-1, keepdim=True)
            tokens = torch.cat((tokens, best), dim=1)
        yield int(best)


def weft_text(program: CompiledProgram, prompt: list[int]) -> Callable[[], Iterator[int]]:
    """Greedy, by kernels that are built once."""
    sampling = begin(program, [prompt], length=T - len(prompt), cache=True)
    return lambda: (int(row[0]) for row in sampling.tokens(Choice(0)))


# ---- the report ----------------------------------------------------------------------------------


def run_case(case: Case, rounds: int) -> str:
    """The row of one network."""
    settings = {
        "width": case.width,
        "heads": case.heads,
        "depth": case.depth,
        "vocab": case.vocabulary,
        "context": T,
    }
    program = weft.compile(weft.load(str(SPEC), params=settings), "cpu", seed=1)
    twin = Twin(case)
    state = {name.removeprefix("gpt2."): value for name, value in program.state_dict().items()}
    twin.load_state_dict(state)
    random = np.random.default_rng(0)
    prompt = random.integers(0, case.vocabulary, PROMPT).tolist()
    torch.set_num_threads(fastest(twin))
    ours, theirs = weft_text(program, prompt), lambda: torch_text(twin, prompt)
    take_turns(ours(), theirs())
    times = np.array([take_turns(ours(), theirs()) for _ in range(rounds)])
    cells = [case.name, *(spread(column, 2) for column in times.T)]
    cells += [spread(times[:, 1] / times[:, 0], 1), f"{REACH:.0f}"]
    return f"| {' | '.join(cells)} |"


def fastest(twin: Twin) -> int:
    """All threads for torch, or one where that is faster, as beside other work."""
    durations = {}
    for threads in (1, cpu().cores):
        torch.set_num_threads(threads)
        start = time.perf_counter()
        for _, _ in zip(range(5), torch_text(twin, [1] * (T // 2)), strict=False):
            pass
        durations[threads] = time.perf_counter() - start
    return min(durations, key=durations.__getitem__)


def take_turns(*texts: Iterator[int]) -> list[float]:
    """Milliseconds per token of every contender; all write the same."""
    spent, count = [0.0 for _ in texts], 0
    while True:
        tokens = []
        for k, text in enumerate(texts):
            start = time.perf_counter()
            tokens.append(next(text, None))
            spent[k] += time.perf_counter() - start
        if tokens == [None] * len(texts):
            return [1e3 * each / count for each in spent]
        assert len(set(tokens)) == 1, "the texts differ"
        count += 1


def spread(values: np.ndarray, digits: int) -> str:
    low, middle, high = np.quantile(values, [0, 0.5, 1])
    return f"{middle:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, the first case only")
    parser.add_argument("--out", type=Path, help="write the table here too")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    head = [
        f"{cpu().model}, {cpu().cores} cores, load {load:.1f} before the run; "
        f"torch {torch.__version__}, Python {platform.python_version()}.",
        "",
        f"Milliseconds for each token of a greedy text from {PROMPT} tokens to {T}.",
        "",
        "| network | weft | torch eager without cache | ratio | asked |",
        "|---|---|---|---|---|",
    ]
    rows = [
        run_case(case, 3 if options.quick else ROUNDS)
        for case in CASES[: 1 if options.quick else 2]
    ]
    text = "\n".join([*head, *rows]) + "\n"
    print(text)
    if options.out:
        options.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
