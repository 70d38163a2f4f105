"""sequences and pairs: one sequence, and another that answers it, both padded to one length.

A target is given twice: as the decoder reads it, behind the beginning, and as it should say it, up
to the end; what follows the end does not count.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...spec.errors import DataError
from ..initialise import generator
from .conform import IGNORED
from .encoded import vocabulary_for
from .raw import Raw, Request, locate
from .texts import Document, read_text
from .vocabulary import BEGIN, END, Vocabulary

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

TASKS: Mapping[str, Callable[[list[int]], list[int]]] = {
    "reverse": lambda found: found[::-1],
    "sort": sorted,
    "copy": list,
}
SPECIAL = 2
"""The symbols of a task come after the end and the beginning."""

TRIES = 64
"""Rounds of drawing new sequences, before there are held to be no more."""

Side = Sequence[Sequence[int]]


def read_sequences(request: Request) -> Raw:
    """Source `sequences`: no two are the same, so held-out ones were never seen in training."""
    settings = request.settings
    length = settings["length"]
    low, high = (length, length) if isinstance(length, int) else length
    random = generator(settings["seed"], "sequences")
    found: dict[tuple[int, ...], None] = {}
    for _ in range(TRIES):
        sizes = random.integers(low, high + 1, settings["samples"])
        drawn = random.integers(SPECIAL, settings["symbols"] + SPECIAL, (len(sizes), high))
        for row, size in zip(drawn.tolist(), sizes.tolist(), strict=True):
            found.setdefault(tuple(row[:size]))
        if len(found) >= settings["samples"]:
            break
    else:
        raise DataError(
            f"there are hardly more than {len(found):,} different sequences, "
            f"samples={settings['samples']:,} are wanted",
            hint="ask for fewer samples, more symbols or a greater length",
        )
    sources = [list(each) for each in list(found)[: settings["samples"]]]
    targets = [TASKS[settings["task"]](each) for each in sources]
    return Raw(_sides(sources, targets, high, high + 1, BEGIN, END))


def read_pairs(request: Request) -> Raw:
    """Source `pairs`."""
    settings = request.settings
    train = _lines(request, settings["path"])
    vocabulary = vocabulary_for(request, [_document(train)])
    if vocabulary.begin is None or vocabulary.end is None:
        raise DataError(
            f"the vocabulary `{settings['vocabulary']}` does not say how a text begins and ends",
            hint="vocabulary=bytes and vocabulary=bpe do",
        )
    test = _lines(request, settings["test"]) if settings["test"] is not None else None
    fields, names = _pairs(train, vocabulary, settings)
    held, held_names = _pairs(test, vocabulary, settings) if test else (None, [])
    return Raw(
        fields,
        held,
        {"vocabulary": vocabulary.to_json()},
        where=names.__getitem__,
        where_test=held_names.__getitem__,
    )


Line = tuple[str, str, str]
"""Where a pair stands, its source and its target."""


def _lines(request: Request, path: str) -> list[Line]:
    """The pairs in a file; empty lines are passed over.

    Raises: DataError for lines that are none.
    """
    text = read_text(locate(request.root, path), path).decode("utf-8")
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        line = line.removesuffix("\r")
        if not line:
            continue
        source, tab, target = line.partition("\t")
        if not tab or "\t" in target:
            what = "more than one tab" if tab else "no tab"
            raise DataError(
                f"`{path}:{number}` has {what}", hint="a line is a source, a tab and a target"
            )
        found.append((f"{path}:{number}", source, target))
    if not found:
        raise DataError(f"`{path}` holds no pairs")
    return found


def _document(lines: Sequence[Line]) -> Document:
    return "", "\n".join(f"{source}\n{target}" for _, source, target in lines).encode()


def _pairs(
    lines: Sequence[Line], vocabulary: Vocabulary, settings: Mapping[str, Any]
) -> tuple[tuple[Array, ...], list[str]]:
    """The fields of the pairs, and where each of them stands."""
    length = settings["length"]
    assert vocabulary.begin is not None and vocabulary.end is not None
    sources = list(vocabulary.encode_all([source for _, source, _ in lines]))
    targets = list(vocabulary.encode_all([target for _, _, target in lines]))
    kept = []
    for row, (source, target) in enumerate(zip(sources, targets, strict=True)):
        longest = max(len(source), len(target) + 1)
        if longest > length and settings["longer"] == "error":
            raise DataError(
                f"`{lines[row][0]}` has {longest:,} tokens with its end, length={length}",
                hint=f"write length={longest} or more; longer=cut and longer=drop pass such lines",
            )
        if longest <= length or settings["longer"] == "cut":
            kept.append(row)
    if not kept:
        raise DataError(f"all pairs are longer than length={length}")
    fields = _sides(
        [sources[row][:length] for row in kept],
        [targets[row][: length - 1] for row in kept],
        length,
        length,
        vocabulary.begin,
        vocabulary.end,
    )
    return fields, [lines[row][0] for row in kept]


def _sides(
    sources: Side, targets: Side, long: int, wide: int, begin: int, end: int
) -> tuple[Array, ...]:
    """source [N, long], target and next [N, wide], mask [N, long]: true where a source goes on."""
    count = len(sources)
    source, mask = np.full((count, long), end, np.int32), np.zeros((count, long), bool)
    target, following = np.full((count, wide), end, np.int32), np.full((count, wide), IGNORED)
    for row, (asked, answer) in enumerate(zip(sources, targets, strict=True)):
        source[row, : len(asked)] = asked
        mask[row, : len(asked)] = True
        target[row, : len(answer) + 1] = [begin, *answer]
        following[row, : len(answer) + 1] = [*answer, end]
    return source, target, following.astype(np.int32), mask
