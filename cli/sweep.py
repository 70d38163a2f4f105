"""`weft train --sweep`: one training for each combination of values of some params."""

from __future__ import annotations

import argparse
import itertools
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..spec.errors import DivergenceError, SpecError, UsageError
from .main import DONE, FAILED, INTERRUPTED
from .options import load, print_json, settings
from .runs import folder
from .trials import FILE, Trial, as_json, as_text, averaged, judged, label, ordered, write

if TYPE_CHECKING:
    from ..spec.load import Spec

Settings = dict[str, str]


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of a sweep."""
    group = parser.add_argument_group("several trainings")
    group.add_argument(
        "--sweep",
        metavar="NAME=V1,V2",
        action="append",
        default=[],
        help="train with each of these values of a param; repeated: with all combinations",
    )
    group.add_argument(
        "--average",
        metavar="NAME",
        help="trainings that differ in this param alone make one row: mean and deviation",
    )


def sweep(arguments: argparse.Namespace, options: Mapping[str, Any]) -> int:
    """Train all combinations, each with these `options`; say which is best."""
    grid = _grid(arguments)
    specs = _specs(arguments, grid)
    base = folder(specs[0], arguments.out)
    silent = arguments.quiet or arguments.json
    trials: list[Trial] = []
    for number, (chosen, spec) in enumerate(zip(grid, specs, strict=True), 1):
        if not silent:
            print(f"{number} of {len(grid)}  {label(chosen)}", flush=True)
        trials.append(_trial(arguments, chosen, spec, base, options))
        write(base / FILE, trials)
        if trials[-1].ended == "interrupted":
            break
    rows = ordered(averaged(trials, arguments.average), _falls(specs[0]))
    if arguments.json:
        print_json({"out": str(base), "trials": [as_json(trial) for trial in rows]})
    else:
        print(as_text(rows, base, [s.partition("=")[0].strip() for s in arguments.sweep]))
    if trials[-1].ended == "interrupted":
        if not silent:
            print("go on with  the same command and --resume")
        return INTERRUPTED
    return DONE if any(trial.ended != "diverged" for trial in trials) else FAILED


# ---- what is trained -----------------------------------------------------------------------------


def _grid(arguments: argparse.Namespace) -> list[Settings]:
    """All combinations, the last param changing fastest.

    Raises: UsageError.
    """
    fixed = settings(arguments.settings)
    values: dict[str, list[str]] = {}
    for text in arguments.sweep:
        name, equals, rest = (part.strip() for part in text.partition("="))
        found = _values(rest)
        if not name or not equals or not all(found):
            hint = "for example `--sweep hidden=64,128`"
            raise UsageError(f"--sweep {text}: expected NAME=VALUE,VALUE", hint=hint)
        if name in fixed or name in values:
            raise UsageError(f"`{name}` is given twice", hint="keep one --sweep or --set of it")
        if len(set(found)) < len(found):
            raise UsageError(f"--sweep {text}: a value is there twice")
        values[name] = found
    if arguments.average is not None and arguments.average not in values:
        raise UsageError(
            f"--average {arguments.average}: it is not swept",
            hint=f"swept are {', '.join(values)}" if values else "add --sweep",
        )
    return [
        dict(zip(values, chosen, strict=True)) for chosen in itertools.product(*values.values())
    ]


def _values(text: str) -> list[str]:
    """`64,128`, also `[1, 2],[3]` and `"a,b",c`: commas in brackets and quotes divide nothing."""
    parts, depth, quoted = [""], 0, False
    for letter in text:
        quoted ^= letter == '"'
        depth += 0 if quoted else (letter in "[(") - (letter in "])")
        if letter == "," and not quoted and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def _specs(arguments: argparse.Namespace, grid: Sequence[Settings]) -> list[Spec]:
    """The spec of every combination, all of them right before anything is trained.

    Raises: SpecError, UsageError.
    """
    from ..compiler.build import elaborate

    found = []
    for chosen in grid:
        pairs = [*arguments.settings, *(f"{name}={value}" for name, value in chosen.items())]
        try:
            spec = load(argparse.Namespace(**{**vars(arguments), "settings": pairs}))
            elaborate(spec)
        except SpecError:
            print(f"weft: with {label(chosen)}:", file=sys.stderr)
            raise
        found.append(spec)
    return found


def _trial(
    arguments: argparse.Namespace,
    chosen: Settings,
    spec: Spec,
    base: Path,
    options: Mapping[str, Any],
) -> Trial:
    """One training; one that diverges is a result like any other."""
    from ..runtime.program import compile
    from ..runtime.run_folder import LAST, checkpoint_path

    out = base / re.sub(r"[^\w=,.+\-]+", "_", label(chosen).replace(" ", ","))
    begun = checkpoint_path(out, LAST).exists()
    program = compile(spec, arguments.target, seed=arguments.seed)
    again = arguments.resume and begun
    weights = None if again else options["weights"]
    try:
        record = program.train(out, **{**options, "resume": again, "weights": weights})
    except DivergenceError as error:
        print(f"weft: {label(chosen)}: {error}", file=sys.stderr)
        return Trial(chosen, out, "diverged")
    return judged(chosen, out, record)


def _falls(spec: Spec) -> bool:
    """Whether the smaller value of what is watched is the better one."""
    from ..compiler.build import elaborate
    from ..runtime.recipe import stopping_of

    rule = stopping_of(elaborate(spec).train or {})
    return rule is None or rule.smaller
