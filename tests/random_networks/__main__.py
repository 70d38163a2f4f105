"""Draws networks and tries them: `python -m tests.random_networks --seconds 300 --seed 1`.

Each network has a number; `--only NUMBER` runs just that one, and prints it.  Its reference is
compared with torch, and both forms of its text with each other; a share goes through the C
compiler, a smaller one through Triton's interpreter and the compiler for `--gpu`.  A network that
fails is made smaller as long as it fails, printed, and kept under `--keep`; the exit code is 1.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from .compare import Ways, check
from .generate import drawn_net
from .measures import Wrong
from .shrink import shrunk
from .twins import Net

LEVELS = ("-O0", "-O0", "-O1", "-O1", "-O3")
C, TRAIN, INTERPRET, GPU = 0.5, 0.4, 0.15, 0.03
"""Shares of the networks."""


def ways_of(seed: str, given: argparse.Namespace, library: Path) -> Ways:
    """What the network of a seed is tried on."""
    lot = random.Random(f"ways of {seed}")
    chances = [lot.random() for _ in range(4)]
    left_out = given.without.split(",")
    return Ways(
        c=chances[0] < C and "c" not in left_out,
        train=chances[1] < TRAIN,
        interpret=chances[2] < INTERPRET and "interpret" not in left_out,
        gpu=given.gpu if chances[3] < GPU and "gpu" not in left_out else "",
        optimise=lot.choice(LEVELS),
        library=library,
    )


def failure(net: Net, seed: str, ways: Ways) -> tuple[str, str]:
    """What kind of failure it is, and what it says; empty where nothing is wrong."""
    try:
        check(net, seed, ways)
    except Wrong as wrong:
        return wrong.where, str(wrong)
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}"
        return where, f"{where}: {str(error)[:2000]}"
    return "", ""


def smallest(net: Net, seed: str, ways: Ways, kind: str) -> Net:
    """A part of the network that fails alike, on the way that failed."""
    alone = replace(
        ways, c=kind in ("C", "threads") or (ways.c and "Error" in kind),
        interpret=ways.interpret and (kind == "interpreter" or "Error" in kind),
        gpu=ways.gpu if "Error" in kind else "", done={},
    )  # fmt: skip
    return shrunk(net, lambda other: failure(other, seed, alone)[0] == kind)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--networks", type=int, default=10**9)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, default=-1, metavar="NUMBER")
    parser.add_argument("--without", default="", help="ways left out: c, interpret, gpu")
    parser.add_argument("--gpu", default="cuda:90", help="the architecture to compile for")
    parser.add_argument("--whole", action="store_true", help="do not make failures smaller")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where failures go")
    given = parser.parse_args(argv)
    torch.set_num_threads(1)
    began, number = time.perf_counter(), max(given.only, 0)
    last = given.only if given.only >= 0 else given.networks - 1
    kinds: Counter[str] = Counter()
    done: Counter[str] = Counter()
    failures = 0
    with tempfile.TemporaryDirectory() as library:
        while number <= last and time.perf_counter() - began < given.seconds:
            seed = f"{given.seed}/{number}"
            net, ways = drawn_net(seed), ways_of(seed, given, Path(library))
            if given.only >= 0:
                print(net.text())
            kinds.update(net.kinds())
            kind, said = failure(net, seed, ways)
            done.update(ways.done)
            if kind:
                failures += 1
                _tell(net if given.whole else smallest(net, seed, ways, kind), number, said, given)
            number += 1
    seconds = time.perf_counter() - began
    print(f"{number - max(given.only, 0):,} networks in {seconds:.0f} s, {failures} failed")
    print("tried on: " + ", ".join(f"{what} {n:,}" for what, n in sorted(done.items())))
    print("made of: " + ", ".join(f"{what} {n:,}" for what, n in kinds.most_common()))
    return 1 if failures else 0


def _tell(net: Net, number: int, said: str, given: argparse.Namespace) -> None:
    print(f"\nnumber {number}: {said}\n\n{net.text()}", flush=True)
    if given.keep is not None:
        given.keep.mkdir(parents=True, exist_ok=True)
        (given.keep / f"{number}.weft").write_text(net.text(), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
