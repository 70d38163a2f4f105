"""The weights of a published network, from safetensors files of another library, as a checkpoint.

The table `weights.toml` beside the spec says how names correspond.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from .options import add_json, add_spec, load, print_json
from .runs import IMPORTED, folder


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `weft import-weights`."""
    add_spec(parser)
    parser.add_argument(
        "--from",
        dest="source",
        metavar="PATH",
        required=True,
        help="a .safetensors file, or a folder of them",
    )
    parser.add_argument(
        "--names", metavar="FILE", help="the table of names (default: weights.toml beside the spec)"
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help=f"the checkpoint (default: runs/NAME/checkpoints/{IMPORTED})",
    )
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Read, rename, check, and write the checkpoint."""
    from ..compiler.build import elaborate
    from ..runtime.checkpoint import save
    from ..runtime.foreign_weights import import_weights
    from ..runtime.names_table import FILE, read_names

    spec = load(arguments)
    path = Path(spec.path)
    names = Path(arguments.names) if arguments.names else path.with_name(FILE)
    table = read_names(names, path.stem)
    program = elaborate(spec)
    want = {p.name: p.shape for p in program.parameters}
    source = Path(arguments.source)
    tensors = import_weights(source, table, want)
    out = Path(arguments.output) if arguments.output else folder(spec) / "checkpoints" / IMPORTED
    save(out, tensors, {"name": program.name, "seed": 0, "data": [], "imported": str(source)})
    count = sum(array.size for array in tensors.values())
    if arguments.json:
        print_json({"checkpoint": str(out), "tensors": len(tensors), "parameters": count})
    else:
        print(f"{out}: {len(tensors):,} tensors, {count:,} parameters from {source}")
    return 0
