"""cifar10 and cifar100: the binary files, a row of label bytes and 3,072 pixels for each image.

Source: https://www.cs.toronto.edu/~kriz/cifar.html (the section on the binary version).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...spec.errors import DataError
from .pictures import stored
from .raw import Raw, Request, inside
from .split import divided

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

PIXELS = 3 * 32 * 32


def read_cifar10(request: Request) -> Raw:
    """Source `cifar10`."""
    train = [f"data_batch_{number}.bin" for number in range(1, 6)]
    return _read(request, train, "test_batch.bin", 1, 0, 10, "batches.meta.txt")


def read_cifar100(request: Request) -> Raw:
    """Source `cifar100`."""
    fine = request.settings["labels"] == "fine"
    names = "fine_label_names.txt" if fine else "coarse_label_names.txt"
    return _read(request, ["train.bin"], "test.bin", 2, int(fine), 100 if fine else 20, names)


def _read(
    request: Request, train: list[str], test: str, head: int, place: int, classes: int, names: str
) -> Raw:
    """All files; label number `place` of the `head` label bytes counts."""
    folder = request.settings["folder"]
    there = inside(request.root, folder)
    if not there.is_dir():
        raise DataError(
            f"there is no folder `{folder}`",
            hint=f"unpack the binary version of CIFAR into `{folder}` beside the spec, "
            "or name another folder",
        )
    parts = [_rows(there, folder, name, head, place, classes) for name in train]
    images, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    facts = _names(there / names, classes)
    pictures = stored((images,))
    if divided(request.settings):
        return Raw((labels,), facts=facts, pictures=pictures)
    held, held_labels = _rows(there, folder, test, head, place, classes)
    return Raw((labels,), (held_labels,), facts, pictures=pictures, test_pictures=stored((held,)))


def _rows(
    there: Path, folder: str, name: str, head: int, place: int, classes: int
) -> tuple[Array, Array]:
    shown = f"{folder}/{name}"
    try:
        data = np.fromfile(there / name, np.uint8)
    except FileNotFoundError:
        hint = "the files of the binary version are needed, not those for Python or Matlab"
        raise DataError(f"there is no `{name}` in `{folder}`", hint=hint) from None
    except OSError as error:
        raise DataError(f"`{shown}` cannot be read: {error.strerror}") from None
    length = head + PIXELS
    if not len(data) or len(data) % length:
        raise DataError(
            f"`{shown}` holds {len(data):,} bytes, no whole number of images of {length:,}",
            hint="the file was cut off or is another version of CIFAR; fetch it again",
        )
    rows = data.reshape(-1, length)
    labels = rows[:, place].astype(np.int64)
    wrong = np.flatnonzero(labels >= classes)
    if wrong.size:
        raise DataError(
            f"image {wrong[0]} of `{shown}` has the label {labels[wrong[0]]}, "
            f"outside 0 … {classes - 1}",
            hint="is this the file of another version of CIFAR?",
        )
    return np.ascontiguousarray(rows[:, head:]).reshape(-1, 3, 32, 32), labels


def _names(path: Path, classes: int) -> dict[str, list[str]]:
    """The words for the classes, where the file with them is there."""
    try:
        words = path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError):
        return {}
    return {"classes": words} if len(words) == classes else {}
