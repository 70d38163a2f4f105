"""images and segmentation: folders of image files, with a class or a mask for each of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...spec.counted import counted
from ...spec.errors import DataError, suggest
from .image_files import image_files, kept, listed
from .listed_images import read_listed
from .raw import Raw, Request, inside
from .split import divided

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Labels = NDArray[np.int64]

TRAIN = ("train", "training")
HELD_OUT = ("test", "val", "valid", "validation")
"""Names of subfolders that are parts of the data, not classes."""


def read_images(request: Request) -> Raw:
    """Source `images`."""
    settings = request.settings
    if settings.get("labels") is not None:
        return read_listed(request)
    folder, root = settings["folder"], request.root
    train, test = _parts(_folder(root, folder), folder, settings["test"])
    if divided(settings):
        test = None
    known = request.facts.get("classes")
    classes = known or _classes(root, train)
    names, labels = _labelled(root, train, classes)
    if not classes and len(request.names) > 1:
        raise DataError(
            f"`{train}` has no subfolders, so its images have no classes",
            hint="put the images of each class into a subfolder called like it, or name a table: "
            'labels="a.csv"',
        )
    pictures = image_files(root, names, settings)
    facts = {"classes": list(classes)} if classes else {}
    fields = (labels,) if classes else ()
    if test is None:
        return Raw(fields, facts=facts, pictures=kept(pictures, settings), where=pictures.where)
    held_names, held_labels = _labelled(root, test, classes, whole=False)
    if not held_names:
        raise DataError(f"`{test}` holds no images", hint="put images into it, or take it away")
    held = image_files(root, held_names, settings, like=pictures)
    return Raw(
        fields,
        (held_labels,) if classes else (),
        facts,
        pictures.where,
        held.where,
        pictures=kept(pictures, settings),
        test_pictures=kept(held, settings),
    )


def read_segmentation(request: Request) -> Raw:
    """Source `segmentation`."""
    settings = request.settings
    names, masks = _pairs(request.root, settings["images"], settings["masks"], settings["suffix"])
    pictures = image_files(request.root, names, settings, masks=masks)
    train, where = kept(pictures, settings), pictures.where
    if settings["test_images"] is None:
        return Raw((), pictures=train, where=where)
    names, masks = _pairs(
        request.root, settings["test_images"], settings["test_masks"], settings["suffix"]
    )
    held = image_files(request.root, names, settings, masks=masks, like=pictures)
    return Raw((), (), {}, where, held.where, pictures=train, test_pictures=kept(held, settings))


def _folder(root: Path, name: str) -> Path:
    """Raises: DataError when there is no such folder."""
    found = inside(root, name)
    if found.is_dir():
        return found
    if found.exists():
        raise DataError(f"`{name}` is a file, not a folder")
    there = _subfolders(found.parent) if found.parent.is_dir() else []
    hint = suggest(found.name, there)
    if not hint and there:
        hint = f"there are the folders {', '.join(there[:8])}"
    raise DataError(f"there is no folder `{name}`", hint=hint)


def _subfolders(folder: Path) -> list[str]:
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise DataError(f"`{folder.name}` cannot be read: {error.strerror}") from None
    return [e.name for e in entries if e.is_dir() and not e.name.startswith(".")]


def _parts(folder: Path, name: str, wanted: str | None) -> tuple[str, str | None]:
    """The folder for training, and the one that is held out.

    A `train` among other folders may be a class, unless it is said which folder is held out.
    """
    there = _subfolders(folder)
    if wanted is not None and wanted not in there:
        hint = suggest(wanted, there) or f"it holds the folders {', '.join(there[:8])}"
        raise DataError(f"`{name}` has no subfolder `{wanted}`", hint=hint)
    train = next((part for part in TRAIN if part in there), None)
    others = [each for each in there if each not in (*TRAIN, *HELD_OUT, wanted)]
    if train is None or (others and wanted is None):
        if wanted is not None:
            raise DataError(f"`{name}` has no subfolder `train` beside `{wanted}`")
        return name, None
    test = wanted or next((part for part in HELD_OUT if part in there), None)
    return f"{name}/{train}", None if test is None else f"{name}/{test}"


def _classes(root: Path, folder: str) -> list[str]:
    """The subfolders, in the order of their names, or none where there are only images."""
    there = _subfolders(inside(root, folder))
    if not there and not listed(inside(root, folder), folder):
        raise DataError(
            f"`{folder}` holds no images", hint="it needs a subfolder of images for each class"
        )
    return there


def _labelled(
    root: Path, folder: str, classes: Sequence[str], whole: bool = True
) -> tuple[list[str], Labels]:
    """The names of all images, and their classes; without `whole` some may have none."""
    if not classes:
        names = listed(inside(root, folder), folder)
        return names, np.zeros(len(names), np.int64)
    for other in _subfolders(inside(root, folder)):
        if other not in classes:
            raise DataError(
                f"`{folder}/{other}` is no class of the training data",
                hint=suggest(other, classes) or f"its classes are {', '.join(classes[:12])}",
            )
    names, labels = [], []
    for index, word in enumerate(classes):
        place = f"{folder}/{word}"
        if not whole and not inside(root, place).is_dir():
            continue
        found = listed(_folder(root, place), place)
        if not found and whole:
            holds = [entry.name for entry in inside(root, place).iterdir()][:3]
            what = f"; it holds {', '.join(sorted(holds))}" if holds else ""
            raise DataError(
                f"the class folder `{place}` holds no images{what}",
                hint="put images into it, or take it away",
            )
        names += found
        labels += [index] * len(found)
    return names, np.array(labels, np.int64)


def _pairs(root: Path, images: str, masks: str, suffix: str) -> tuple[list[str], list[str]]:
    """Images and their masks, which have the same names before the dot, but for the suffix."""
    found = [listed(_folder(root, folder), folder) for folder in (images, masks)]
    for folder, names in zip((images, masks), found, strict=True):
        if not names:
            raise DataError(f"`{folder}` holds no images")
    stems = [
        {name[len(folder) + 1 :].rpartition(".")[0]: name for name in names}
        for folder, names in zip((images, masks), found, strict=True)
    ]
    counts = (
        f"`{images}` holds {counted(len(found[0]), 'image')}, "
        f"`{masks}` {counted(len(found[1]), 'mask')}"
    )
    for stem, name in stems[0].items():
        if stem + suffix not in stems[1]:
            hint = suggest(stem + suffix, stems[1]) or "suffix=… is what names of masks end in"
            raise DataError(f"there is no mask for `{name}`: {counts}", hint=hint)
    wanted = {stem + suffix for stem in stems[0]}
    extra = next((name for stem, name in stems[1].items() if stem not in wanted), None)
    if extra is not None:
        raise DataError(f"there is no image for the mask `{extra}`: {counts}")
    return list(stems[0].values()), [stems[1][stem + suffix] for stem in stems[0]]
