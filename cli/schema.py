"""The JSON Schema of the YAML form, for editors that complete and check YAML by one."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ..compiler.schema import yaml_schema

FILE = "weft.schema.json"
MODELINE = f"# yaml-language-server: $schema={FILE}\n"
"""The first line of a spec; the schema lies beside it, so it needs no network."""


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `weft schema`."""
    parser.add_argument("-o", dest="out", metavar="FILE", help=f"write it, for example {FILE}")


def run(arguments: argparse.Namespace) -> int:
    """Print the schema, or write it."""
    text = schema_text()
    if arguments.out is None:
        print(text, end="")
        return 0
    path = Path(arguments.out)
    path.write_text(text, encoding="utf-8")
    print(f"{path}: begin a spec beside it with\n{MODELINE.replace(FILE, path.name)}", end="")
    return 0


def schema_text() -> str:
    """The schema as it stands in a file."""
    return json.dumps(yaml_schema(), indent=1, ensure_ascii=False) + "\n"
