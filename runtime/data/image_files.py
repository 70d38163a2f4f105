"""Pictures that lie in files of their own, decoded whenever they are asked for."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...spec.errors import DataError
from .conform import IGNORED
from .cut import Cut
from .decode import SUFFIXES, head, mask, picture
from .pictures import Pictures, Plane, collected

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]
    Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Labels:
    """What the pixel values of a mask mean: `values` in the order of the classes."""

    values: tuple[int, ...]
    ignore: int | None

    def of(self, found: Array, whole: Array, name: str) -> Array:
        """The classes of the pixels of a mask.

        Raises: DataError for a value that means nothing, anywhere in the `whole` mask.
        """
        top = max(*self.values, self.ignore or 0, 255)
        table = np.full(top + 2, -1, np.int32)
        for label, value in enumerate(self.values):
            table[value] = label
        if self.binary:
            table[1] = table[255] = 1
        if self.ignore is not None:
            table[self.ignore] = IGNORED
        wrong = (table[np.clip(whole, 0, top + 1)] == -1) | (whole < 0)
        if wrong.any():
            y, x = np.unravel_index(int(np.argmax(wrong)), whole.shape)
            raise DataError(
                f"the mask `{name}` holds {whole[y, x]} at row {y}, column {x}, "
                f"which is no class ({self._known()}; {int(wrong.sum()):,} such pixels)",
                hint=self._hint(name),
            )
        return table[found]

    @property
    def binary(self) -> bool:
        """One class: both 1 and 255 are it."""
        return self.values == (0, 255)

    def _known(self) -> str:
        if self.binary:
            return "0, and 1 or 255"
        shown = [str(value) for value in self.values[:12]]
        return ", ".join(shown) + (", …" if len(self.values) > 12 else "")

    def _hint(self, name: str) -> str:
        if name.lower().endswith((".jpg", ".jpeg")):
            return "JPEG changes the values of pixels: masks must be PNG"
        return "values=[…] says which value means which class, ignore=… which counts nowhere"


@dataclass(frozen=True, slots=True)
class Fitting:
    """How an image becomes one of the wanted size."""

    size: tuple[int, int] | None
    stretch: bool
    margin: float
    upright: bool = False

    def keywords(self, cut: Cut | None) -> dict[str, Any]:
        return {"stretch": self.stretch, "margin": self.margin, "cut": cut}


@dataclass(frozen=True, slots=True)
class ImageFiles:
    """Images, and perhaps a mask for each, by their names below `root`."""

    root: Path
    names: tuple[str, ...] = field(repr=False)
    masks: tuple[str, ...] = field(repr=False)
    planes: tuple[Plane, ...]
    fitting: Fitting
    labels: Labels | None = None

    def __len__(self) -> int:
        return len(self.names)

    def keep(self, rows: Rows) -> ImageFiles:
        masks = tuple(self.masks[row] for row in rows) if self.masks else ()
        return replace(self, names=tuple(self.names[row] for row in rows), masks=masks)

    def read(self, row: int, cut: Cut | None = None) -> tuple[Array, ...]:
        name, more = self.names[row], self.fitting.keywords(cut)
        channels, height, width = self.planes[0].shape
        upright = self.fitting.upright
        found = picture(
            self.root / name, name, channels, self.fitting.size, upright=upright, **more
        )
        if found.shape[1:] != (height, width):
            raise DataError(f"`{name}` has changed: it is {_size(*found.shape[1:])} now")
        if not self.masks:
            return (found,)
        assert self.labels is not None
        other = self.masks[row]
        whole, part = mask(self.root / other, other, self.fitting.size, **more)
        return found, self.labels.of(part, whole, other).reshape(self.planes[1].shape)

    def where(self, row: int) -> str:
        return self.names[row]

    def checksum(self) -> int:
        """Of the names and lengths of the files."""
        text = []
        for name in (*self.names, *self.masks):
            try:
                text.append(f"{name} {(self.root / name).stat().st_size}")
            except OSError as error:
                raise DataError(f"`{name}` cannot be read: {error.strerror}") from None
        return zlib.crc32("\n".join(text).encode("utf-8", "surrogateescape"))


def image_files(
    root: Path,
    names: list[str],
    settings: Mapping[str, Any],
    *,
    masks: list[str] | None = None,
    like: Pictures | None = None,
    heads: list[tuple[int, int, bool]] | None = None,
) -> ImageFiles:
    """These images, once the head of every file was seen (here, unless `heads` are given); `like`
    is the part for training.

    Raises: DataError for files that are no images, for sizes or colours that differ.
    """
    wanted = settings["size"]
    size = None if wanted is None else (wanted, wanted)
    if isinstance(wanted, list):
        size = (int(wanted[0]), int(wanted[1]))
    upright = bool(settings.get("upright"))
    heads = heads or [head(root / name, name, upright) for name in names]
    channels = {True: 3, False: 1}.get(settings["colour"])
    if channels is None:
        channels = like.planes[0].shape[0] if like else (1 if heads[0][2] else 3)
        _same_colours(names, heads, channels)
    first = size or (like.planes[0].shape[1:] if like else heads[0][:2])
    if size is None:
        _same_sizes(names, heads, (first[0], first[1]))
    planes = [Plane((channels, first[0], first[1]), "u1")]
    labels = None
    if masks is not None:
        _same_sizes_of_masks(root, names, heads, masks)
        labels = _labels(settings)
        binary = settings["classes"] == 1
        shape = (1, first[0], first[1]) if binary else (first[0], first[1])
        blank = 0 if settings["ignore"] is None else IGNORED
        planes.append(Plane(shape, "i4", labels=True, blank=blank))
    margin = settings["resize"] / max(size) if settings["resize"] and size else 1.0
    fitting = Fitting(size, settings["fit"] == "stretch", margin, upright)
    return ImageFiles(root, tuple(names), tuple(masks or ()), tuple(planes), fitting, labels)


def kept(pictures: ImageFiles, settings: Mapping[str, Any]) -> Pictures:
    """The images in memory where they are few and small, and are not cut out anew every time."""
    length = sum(int(np.prod(p.shape)) * np.dtype(p.dtype).itemsize for p in pictures.planes)
    small = length * len(pictures) <= settings["cache"] << 20
    return collected(pictures) if small and settings.get("zoom") is None else pictures


def listed(folder: Path, name: str) -> list[str]:
    """The images in a folder and those below it, in the order of their names.

    Raises: DataError when the folder cannot be read.
    """
    found = []
    try:
        for path in sorted(folder.rglob("*")):
            below = path.relative_to(folder)
            hidden = any(part.startswith(".") for part in below.parts)
            if path.suffix.lower() not in SUFFIXES or hidden:
                continue
            if path.is_file():
                found.append(f"{name}/{below.as_posix()}")
            elif path.is_symlink() and not path.exists():
                hint = f"it points to `{path.readlink()}`: mend it or take it away"
                raise DataError(f"`{name}/{below.as_posix()}` is a link to nothing", hint=hint)
    except OSError as error:
        raise DataError(f"`{name}` cannot be read: {error.strerror}") from None
    return found


def _labels(settings: Mapping[str, Any]) -> Labels:
    count = settings["classes"]
    default = (0, 255) if count == 1 else tuple(range(count))
    values = settings["values"]
    return Labels(tuple(values) if values is not None else default, settings["ignore"])


def _same_colours(names: list[str], heads: list[tuple[int, int, bool]], channels: int) -> None:
    other = next((n for n, h in zip(names, heads, strict=True) if h[2] != (channels == 1)), None)
    if other is None:
        return
    words = ("grey", "in colour") if channels == 3 else ("in colour", "grey")
    raise DataError(
        f"`{other}` is {words[0]}, the images before it are {words[1]}",
        hint="colour=true makes all of them colour, colour=false all of them grey",
    )


def _same_sizes(
    names: list[str], heads: list[tuple[int, int, bool]], size: tuple[int, int]
) -> None:
    for name, (height, width, _) in zip(names, heads, strict=True):
        if (height, width) != size:
            raise DataError(
                f"`{name}` is {_size(height, width)}, the images before it are {_size(*size)}",
                hint="size=… scales all of them to one size",
            )


def _same_sizes_of_masks(
    root: Path, names: list[str], heads: list[tuple[int, int, bool]], masks: list[str]
) -> None:
    for name, (height, width, _), other in zip(names, heads, masks, strict=True):
        tall, wide, _ = head(root / other, other)
        if (tall, wide) != (height, width):
            raise DataError(
                f"`{name}` is {_size(height, width)}, its mask `{other}` {_size(tall, wide)}",
                hint="a mask has the size of its image",
            )


def _size(height: int, width: int) -> str:
    return f"{height}x{width} (height x width)"
