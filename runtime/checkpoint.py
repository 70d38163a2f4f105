"""Checkpoints: one safetensors file with checksums, replaced atomically, never pickled.

The state that is not an array (step, metrics, data statistics) is JSON in the file's metadata.
A checkpoint is written under a temporary name, flushed to the disk and renamed, and the folder is
flushed too: whatever happens in between, the previous one stays whole.

Source: https://github.com/huggingface/safetensors (section Format).
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import struct
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..spec.errors import CheckpointError, suggest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

VERSION = 1
LARGEST_HEADER = 100_000_000
"""Bytes, as in the safetensors library."""

DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "<i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "<u1",
    "BOOL": "|b1",
}
_CODES = {np.dtype(text): code for code, text in DTYPES.items()}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a file holds: tensors by name, and the rest of the state as JSON data."""

    tensors: Mapping[str, Array]
    state: Mapping[str, Any]


def save(path: Path, tensors: Mapping[str, Array], state: Mapping[str, Any]) -> None:
    """Replace the checkpoint at `path` in one step.

    Raises: CheckpointError when it cannot be written; the previous one is untouched then.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path)
        with open(temporary, "wb") as file:
            _write(file, tensors, state)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _flush_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        kept = "; the previous checkpoint is unharmed" if path.exists() else ""
        raise CheckpointError(
            f"the checkpoint `{path}` cannot be written: {error.strerror or error}{kept}",
            hint="free some space or choose another folder with --out, then go on with --resume",
        ) from None
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def load(path: Path) -> Checkpoint:
    """Read and check a checkpoint.

    Raises: CheckpointError when it is missing, cut off, changed, or of another version.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise CheckpointError(f"there is no checkpoint `{path}`", hint=_beside(path)) from None
    except OSError as error:
        raise CheckpointError(f"the checkpoint `{path}` cannot be read: {error.strerror}") from None
    try:
        return _parse(data)
    except _Damage as damage:
        raise CheckpointError(
            f"the checkpoint `{path}` is damaged: {damage}", hint=_other(path)
        ) from None
    except (KeyError, TypeError, ValueError):
        message = f"the checkpoint `{path}` is damaged: its header is unreadable"
        raise CheckpointError(message, hint=_other(path)) from None
    except _Foreign as foreign:
        raise CheckpointError(f"`{path}`: {foreign}") from None


def check_fit(
    path: Path, have: Mapping[str, tuple[int, ...]], want: Mapping[str, tuple[int, ...]]
) -> None:
    """Whether the parameters of a checkpoint are those of the network.

    Raises: CheckpointError that lists what differs.
    """
    lines = [f"`{name}` is missing" for name in want if name not in have]
    lines += [f"`{name}` is not in the network" for name in have if name not in want]
    lines += [
        f"`{name}` is {_shape(have[name])} in the checkpoint, {_shape(shape)} in the network"
        for name, shape in want.items()
        if name in have and tuple(have[name]) != tuple(shape)
    ]
    if not lines:
        return
    shown = lines[:8] + ([f"and {len(lines) - 8} more"] if len(lines) > 8 else [])
    raise CheckpointError(
        f"the checkpoint `{path}` belongs to another network:\n    " + "\n    ".join(shown),
        hint="give the spec, variant and settings it was trained with; `weft train --weights FILE "
        "--fitting` begins with those that fit",
    )


class _Damage(Exception):
    """The bytes are not what was written."""


class _Foreign(Exception):
    """The file is sound but not ours."""


def _write(file: Any, tensors: Mapping[str, Array], state: Mapping[str, Any]) -> None:
    """Header, then tensors; strided ones are copied one at a time, and twice, to save memory."""
    table: dict[str, Any] = {}
    checksums: dict[str, int] = {}
    position = 0
    for name, array in tensors.items():
        end = position + array.nbytes
        table[name] = {
            "dtype": _CODES[array.dtype],
            "shape": list(array.shape),
            "data_offsets": [position, end],
        }
        checksums[name] = zlib.crc32(_bytes(array))
        position = end
    text = json.dumps({"version": VERSION, "checksums": checksums, "state": state}, allow_nan=True)
    metadata = {"weft": text, "weft.crc32": str(_digest(table, text))}
    header = json.dumps({"__metadata__": metadata, **table}).encode()
    header += b" " * (-len(header) % 64)
    file.write(struct.pack("<Q", len(header)))
    file.write(header)
    for array in tensors.values():
        file.write(_bytes(array))


def _parse(data: bytes) -> Checkpoint:
    header, body = _header(data)
    metadata = header.pop("__metadata__", None)
    if not isinstance(metadata, dict) or not isinstance(metadata.get("weft"), str):
        raise _Foreign("these are tensors without a training state, not a checkpoint of weft")
    text = metadata["weft"]
    if metadata.get("weft.crc32") != str(_digest(header, text)):
        raise _Damage("its header has changed")
    inner = json.loads(text)
    if inner.get("version") != VERSION:
        raise _Foreign(f"it has version {inner.get('version')}, this weft reads {VERSION}")
    tensors: dict[str, Array] = {}
    position = 0
    for name, entry in header.items():
        array = _tensor(name, entry, body, position)
        if zlib.crc32(_bytes(array)) != inner["checksums"].get(name):
            raise _Damage(f"`{name}` has changed")
        tensors[name] = array
        position += array.nbytes
    if position != len(body):
        raise _Damage(f"{len(body) - position} bytes too many at its end")
    return Checkpoint(tensors, inner["state"])


def _header(data: bytes) -> tuple[dict[str, Any], memoryview]:
    if len(data) < 8:
        raise _Damage(f"it has only {len(data)} bytes")
    length = struct.unpack("<Q", data[:8])[0]
    if length > LARGEST_HEADER or 8 + length > len(data):
        raise _Damage("it is cut off in its header")
    try:
        header = json.loads(data[8 : 8 + length])
    except (ValueError, RecursionError):
        raise _Damage("its header is unreadable") from None
    if not isinstance(header, dict):
        raise _Damage("its header is unreadable")
    return header, memoryview(data)[8 + length :]


def _tensor(name: str, entry: Any, body: memoryview, position: int) -> Array:
    """The tensor that begins at `position`; sound headers list them without gaps."""
    dtype = np.dtype(DTYPES[entry["dtype"]])
    shape = tuple(entry["shape"])
    begin, end = entry["data_offsets"]
    if begin != position or end - begin != math.prod(shape) * dtype.itemsize:
        raise _Damage(f"the place of `{name}` is wrong")
    if end > len(body):
        raise _Damage(f"it is cut off in `{name}`: {len(body):,} of {end:,} bytes or more")
    return np.frombuffer(body[begin:end], dtype).reshape(shape)


def _digest(table: Mapping[str, Any], text: str) -> int:
    return zlib.crc32(json.dumps([list(table.items()), text]).encode())


def _bytes(array: Array) -> memoryview:
    """The bytes of an array in row-major order."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:  # some network file systems cannot flush folders
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def _sweep(path: Path) -> None:
    """Remove what a killed process left half-written, unless that process still lives."""
    for left in path.parent.glob(f".{path.name}.*.tmp"):
        owner = left.name.split(".")[-2]
        if owner.isdigit() and int(owner) != os.getpid() and _alive(int(owner)):
            continue
        with contextlib.suppress(OSError):
            left.unlink()


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _beside(path: Path) -> str | None:
    if not path.parent.is_dir():
        return f"there is no folder `{path.parent}`"
    there = sorted(entry.name for entry in path.parent.glob("*.safetensors"))
    if not there:
        return "train first"
    return suggest(path.name, there) or f"that folder holds {', '.join(there[:8])}"


def _other(path: Path) -> str:
    siblings: Iterable[Path] = sorted(path.parent.glob("*.safetensors"))
    names = [entry.name for entry in siblings if entry.name != path.name]
    return f"use {' or '.join(names)} instead" if names else "train again, without --resume"


def _shape(shape: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, shape))}]"
