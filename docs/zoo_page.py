"""Writes zoo.md: for every example its counts, its twin, what was measured of it, and where.

`python docs/zoo_page.py` rewrites the page from the examples' `expected.toml`, the tables of the
tests and `benchmarks/results/zoo.json` (`python -m tests.zoo`); a test fails when it is not up to
date.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "zoo.md"
sys.path.insert(0, str(ROOT))

from tests.examples import test_training, test_twins, test_vision  # noqa: E402
from tests.examples.counts import counts, listed  # noqa: E402
from tests.networks import test_generative, test_published, test_transformer  # noqa: E402
from tests.zoo import notes  # noqa: E402
from weft.runtime.crosscompile import SHARED  # noqa: E402

INTRODUCTION = """# The zoo

Written by `python docs/zoo_page.py` from the examples' `expected.toml`, the tables of the tests,
and what `python -m tests.zoo kernels`, `verify` and `train` measured (`--note` keeps it)."""

LEARNT = {
    "test_learning.py": (
        "lenet5/digits unet/curves espcn/espcn skips/resnet skips/densenet lenet5/original "
        "lenet5/no_pooling"
    ),
    "test_texts.py": (
        "bytes/bytes lstm_lm/bytes ngram/ngram bert/masked transformer/sequences vit/digits "
        "mixer/digits gpt2/gpt2 transformer/transformer"
    ),
    "test_training.py": "gan/gan gan/conditional",
}
"""Trainings of the tests that stand in no table."""

OWN = {
    "lstm_lm/lstm_lm": "test_transformer.py",
    "recurrent_cell/normalised": "test_recurrence.py",
}
"""Twins of the tests that stand in no table."""


def twins() -> dict[str, list[str]]:
    """The tests that compare an example with a network in PyTorch, by example."""
    found: dict[str, list[str]] = defaultdict(list)
    tables = {
        "test_twins.py": (case.spec for case in test_twins.CASES),
        "test_generative.py": (spec for spec, _ in test_generative.STEPS),
        "test_transformer.py": (twin.spec for twin in test_transformer.TWINS.values()),
        "test_published.py": (family.spec for family in test_published.FAMILIES.values()),
    }
    for test, specs in tables.items():
        for spec in dict.fromkeys(spec.removesuffix(".weft") for spec in specs):
            found[spec].append(test)
    for spec, test in OWN.items():
        found[spec].append(test)
    return found


def trainings() -> dict[str, list[str]]:
    """The tests that train an example, by example."""
    found: dict[str, list[str]] = defaultdict(list)
    tables = {
        "test_training.py": (spec for spec, _ in test_training.CASES),
        "test_vision.py": (case[0] for case in test_vision.TRAINED),
    }
    for test, specs in tables.items():
        for spec in dict.fromkeys(spec.removesuffix(".weft") for spec in specs):
            found[spec].append(test)
    for test, words in LEARNT.items():
        for spec in words.split():
            found[spec].append(test)
    return found


def page() -> str:
    """The whole page."""
    known = notes.read()
    parts = [INTRODUCTION, *_evidence(known), *_kernels(known), *_counts()]
    return "\n".join(parts) + "\n"


def _evidence(known: Mapping[str, Any]) -> Iterator[str]:
    """Twins, `weft verify` and trainings."""
    verified, trained = known.get("verify", {}), _by_spec(known.get("train", {}))
    compared, learnt = twins(), trainings()
    yield f"""
## What holds for each

*Twin*: tests in which outputs or loss and all gradients are those of a network written in PyTorch.
*Verify*: how many results `weft verify` compares, and on what (`c` the C of the target `cpu`, `t`
the Triton kernels in the interpreter, `r` gradients of the reference against differences), the
largest error as a part of what is allowed, and seconds, on a busy machine; `*`: with smaller
settings, as `verify` then says.  *Trains*: tests that train it, or the squared error of the nets
that have a twin, and the steps of Adam in generated C that halve it: towards answers of another
start of the net, scaled to a mean square of one at least.
{_when(verified, "verify")}{_when(known.get("train", {}), "train")}

| example | twin | verify | trains |
|---|---|---|---|"""
    for path in notes.specs():
        spec = notes.name_of(path)
        tests = [*learnt.get(spec, ()), *trained.get(spec, ())]
        cells = (
            f"[{spec}](../examples/{spec}.weft)",
            ", ".join(compared.get(spec, ())),
            _verified(verified.get(spec)),
            ", ".join(tests),
        )
        yield f"| {' | '.join(cells)} |"


def _verified(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "not measured"
    letters = {"cpu": "c", "interpret": "t", "reference": "r", "cuda": "g"}
    where = " ".join(letters[target] for target in found["targets"])
    star = "*" if found["smaller"] else ""
    return f"{found['checks']} {where}{star}, {found['worst']:.2f}, {found['took']:.0f} s"


def _by_spec(found: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """Losses by example; a name in the notes is `spec:net` and perhaps a variant."""
    losses: dict[str, list[str]] = defaultdict(list)
    for name, each in found.items():
        fall = f"{each['first']:.2g} → {each['last']:.2g} ({each['steps']})"
        losses[name.partition(":")[0]].append(fall)
    return losses


def _kernels(known: Mapping[str, Any]) -> Iterator[str]:
    """What the kernels became on every architecture."""
    targets = [target for target in SHARED if target in known]
    sizes = ", ".join(f"{SHARED[target] / 1024:.0f} KiB on {target}" for target in targets)
    yield f"""
## Kernels for GPUs

All kernels of an example for an architecture, forward and backward, cross-compiled: how many,
registers of the one that takes most (a thread has 255, 512 on an MI300X), and KiB of shared memory
of the one that takes most ({sizes}).  All that are listed pass: none spills, and where a kernel has
dots they run on tensor cores.  `+n`: as many were refused first, and passed with smaller tiles.
Kernels that only show the values of a step which failed are not among them.

{" ".join(_when(known.get(target, {}), target) for target in targets)}

| example | {" | ".join(targets)} |
|---|{"---|" * len(targets)}"""
    for path in notes.specs():
        spec = notes.name_of(path)
        cells = [_compiled(known.get(target, {}).get(spec)) for target in targets]
        if any(cells):
            yield f"| {spec} | {' | '.join(cells)} |"
    totals = [_total(known.get(target, {})) for target in targets]
    yield f"| all | {' | '.join(totals)} |"


def _compiled(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return ""
    refused = f" +{found['refused']}" if found["refused"] else ""
    return f"{found['kernels']}{refused}: {found['registers']}, {found['shared'] / 1024:.0f}"


def _total(found: Mapping[str, Mapping[str, Any]]) -> str:
    if not found:
        return "none"
    kernels, refused = (sum(each[k] for each in found.values()) for k in ("kernels", "refused"))
    return f"{len(found)} examples, {kernels:,} kernels, {refused} refused at first"


def _when(found: Mapping[str, Mapping[str, Any]], kind: str) -> str:
    """The days and versions of a kind of measurement."""
    if not found:
        return ""
    days = sorted({each["date"] for each in found.values()})
    used = {f"Triton {each['triton']}, PyTorch {each['torch']}" for each in found.values()}
    span = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    return f"{kind}: {span}, {'; '.join(sorted(used))}. "


def _counts() -> Iterator[str]:
    """The parameters of all variants."""
    yield """
## Parameters

As published or counted from the layer list; the tests check every variant.

| example | variant | parameters | source |
|---|---|---|---|"""
    sections = listed()
    for each in counts():
        folder, _, name = each.spec.partition("/")
        section = sections[folder][name]
        own = section.get("variants", {}).get(each.variant)
        source = own.get("source", "") if isinstance(own, dict) else ""
        source = source or (section.get("source", "") if not each.variant else "")
        yield f"| {each.spec} | {each.variant} | {_number(each.parameters)} | {source} |"


def _number(parameters: int | Mapping[str, int]) -> str:
    if isinstance(parameters, int):
        return f"{parameters:,}"
    return ", ".join(f"{net} {count:,}" for net, count in parameters.items())


def main() -> None:
    """Rewrites the page."""
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(Path.cwd())}" if PAGE.is_relative_to(Path.cwd()) else PAGE)


if __name__ == "__main__":
    main()
