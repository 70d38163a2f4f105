"""The options that several verbs share, and what they mean."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..spec.load import Spec

TARGETS = "cpu, cuda, cuda:80/86/89/90/100, hip:gfx942, interpret, reference"


def add_spec(parser: argparse.ArgumentParser, *, several: bool = False) -> None:
    """The spec file(s), and what changes their params: `--variant`, `--set`."""
    if several:
        parser.add_argument("files", metavar="FILE", nargs="+", help="a .weft or .yaml spec")
    else:
        parser.add_argument("file", metavar="FILE", help="a .weft or .yaml spec")
    parser.add_argument("--variant", metavar="NAME", help="use this variant of the spec")
    parser.add_argument(
        "--set",
        dest="settings",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="replace a param (after the variant); may be repeated",
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """`--json`: the same answer for programs."""
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def add_target(parser: argparse.ArgumentParser, *, default: str = "auto") -> None:
    """`--target`: where the kernels are to run."""
    parser.add_argument(
        "--target",
        "--device",
        metavar="TARGET",
        default=default,
        help=f"{TARGETS}; auto (default: the GPU where there is one, else cpu)"
        if default == "auto"
        else f"{TARGETS} (default: {default})",
    )


def load(arguments: argparse.Namespace, file: str | None = None) -> Spec:
    """Read the spec that the command line names, with its variant and settings.

    Raises: SpecError for a wrong spec, UsageError for a wrong `--set`.
    """
    from ..spec.load import load as load_spec

    return load_spec(
        file or arguments.file, variant=arguments.variant, params=settings(arguments.settings)
    )


def settings(pairs: list[str]) -> dict[str, str]:
    """`["d=128", "w=[1, 2]"]` as params; the spec says what kind of value each text is.

    Raises: UsageError for a pair without `=`, for an empty side and for a name given twice.
    """
    from ..spec.errors import UsageError

    values: dict[str, str] = {}
    for pair in pairs:
        name, equals, text = (part.strip() for part in pair.partition("="))
        if not equals or not name or not text:
            raise UsageError(f"--set {pair}: expected NAME=VALUE", hint="for example `--set d=128`")
        if name in values:
            raise UsageError(f"--set {name} is given twice", hint="keep one of the two")
        values[name] = text
    return values


def print_json(answer: Any) -> None:
    """One JSON document on stdout, indented."""
    print(json.dumps(answer, indent=2, ensure_ascii=False, allow_nan=False, default=str))
