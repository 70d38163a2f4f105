"""Weights that another library has written: safetensors files, read by a table of names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..spec.errors import CheckpointError
from .names_table import NamesTable, Rule

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

Read = Callable[[], "Array"]
SHOWN = 8  # names that a message lists


def import_weights(
    source: Path, table: NamesTable, want: Mapping[str, tuple[int, ...]]
) -> dict[str, Array]:
    """The parameters `want` (name to shape) out of a file, or of the files of a folder, as float32.

    Nothing is guessed: every tensor there has a rule or is ignored, every parameter is found.

    Raises: CheckpointError for a file that cannot be read, and listing all names that are left over
    on either side and all shapes that differ.
    """
    with ExitStack() as stack:
        have = _open(source, stack)
        found: dict[str, Array] = {}
        wrong: list[str] = []
        for name, read in have.items():
            known = table.find(name)
            if table.ignores(name) and (known is None or not want.keys() & set(known[0])):
                continue
            if known is None:
                wrong.append(f"`{name}` has no rule")
                continue
            targets, rule = known
            for target, array in zip(targets, _parts(name, read(), rule), strict=True):
                shape = want.get(target)
                if shape is None:
                    wrong.append(f"`{name}` -> `{target}`: the network has no such parameter")
                elif array.shape != tuple(shape):
                    wrong.append(f"`{name}` is {list(array.shape)}, `{target}` {list(shape)}")
                else:
                    found[target] = np.ascontiguousarray(array, np.float32)
        wrong += [
            f"`{name}` {list(want[name])} is in no file" for name in want if name not in found
        ]
    if wrong:
        rest = [f"and {len(wrong) - SHOWN} more"] if len(wrong) > SHOWN else []
        raise CheckpointError(
            f"`{source}` does not fit ({table.source}):\n    "
            + "\n    ".join([*wrong[:SHOWN], *rest]),
            hint=f"check variant and settings; the names stand in {table.file}",
        )
    return {name: found[name] for name in want}


def _parts(name: str, array: Array, rule: Rule) -> list[Array]:
    """Raises: CheckpointError where a tensor cannot be turned or cut as the table says."""
    if rule.transpose:
        if array.ndim != 2:
            raise CheckpointError(f"`{name}` has {array.ndim} axes, only two can be transposed")
        array = array.T
    count = len(rule.targets)
    if count > 1 and (array.ndim == 0 or array.shape[0] % count):
        raise CheckpointError(f"`{name}` {list(array.shape)} has no {count} equal parts")
    return np.split(array, count) if count > 1 else [array]


def _open(source: Path, stack: ExitStack) -> dict[str, Read]:
    """The tensors of a file, or of all files of a folder, each read when it is asked for."""
    from safetensors import SafetensorError, safe_open

    files = sorted(source.glob("*.safetensors")) if source.is_dir() else [source]
    if not files:
        raise CheckpointError(f"there is no .safetensors file in `{source}`")
    found: dict[str, Read] = {}
    for path in files:
        try:
            opened = stack.enter_context(safe_open(path, framework="pt"))
        except FileNotFoundError:
            raise CheckpointError(f"there is no file `{path}`") from None
        except (OSError, SafetensorError) as error:
            hint = "only safetensors files are read: other formats can hold code"
            raise CheckpointError(f"`{path}` cannot be read: {error}", hint=hint) from None
        for name in opened.keys():  # noqa: SIM118 - it is no mapping
            found[name] = _reader(opened, name)
    return found


def _reader(opened: Any, name: str) -> Read:
    return lambda: np.asarray(opened.get_tensor(name).float().numpy())
