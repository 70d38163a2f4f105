"""Which nets write: what they take, what they give for the next token, how far they go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..compiler.artifact import evaluate
from ..spec.errors import UsageError
from .data.conform import DTYPES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..compiler.artifact import Entry, Need, Port

    Array = NDArray[Any]

WHOLE = ("i32", "i64")


@dataclass(frozen=True, slots=True)
class Writer:
    """What a net needs to write: its inputs by their parts, and how far its positions go.

    `tokens` is the input that grows, `beside` are those that grow along with it, `given` those that
    do not.  `size` is the symbol of the length; without one the net sees a `window` of so many
    tokens.
    """

    net: str
    output: str
    size: str
    window: int
    tokens: str
    beside: tuple[Port, ...]
    given: tuple[Port, ...]
    entries: int
    needs: tuple[Need, ...]


def writer_of(entry: Entry, output: str | None = None) -> Writer:
    """What the entry of a net in use says.

    Raises: UsageError for a net that does not predict tokens.
    """
    ports = {port.name: port for port in entry.outputs}
    chosen = ports.get(output) if output else entry.outputs[0]
    if chosen is None:
        raise UsageError(f"`{entry.subject}` has no output `{output}`")
    length, entries = _length(entry, chosen), chosen.shape[-1]
    along = [p for p in entry.inputs if len(p.shape) > 1 and p.shape[1] == length]
    whole = [p for p in along if p.dtype in WHOLE and len(p.shape) == 2]
    if not whole or not isinstance(entries, int):
        raise UsageError(
            f"`{entry.subject}` has no input of tokens [B, {length}]",
            hint="a net that writes has an input such as `tokens: i32[B, T]`",
        )
    size, window = (length, 0) if isinstance(length, str) else ("", length)
    beside = tuple(p for p in along if p is not whole[0])
    given = tuple(p for p in entry.inputs if p not in along)
    name = whole[0].name
    return Writer(
        entry.subject, chosen.name, size, window, name, beside, given, entries, entry.needs
    )


def _length(entry: Entry, output: Port) -> str | int:
    """The size along which a net predicts, or the tokens that it sees for one prediction.

    Raises: UsageError.
    """
    if len(output.shape) == 3 and isinstance(output.shape[1], str):
        return output.shape[1]
    seen = [p.shape[1] for p in entry.inputs if len(p.shape) == 2 and p.dtype in WHOLE]
    if len(output.shape) == 2 and len(seen) == 1 and isinstance(seen[0], int):
        return seen[0]
    shape = ", ".join(d if isinstance(d, str) else str(d) for d in output.shape)
    if len(output.shape) == 3 and isinstance(output.shape[1], int):
        raise UsageError(
            f"`{output.name}` [{shape}] has {output.shape[1]} positions, whatever is written",
            hint="leave the length open, as in `tokens: i32[B, T]`; a table of positions is cut to "
            "it: table[:T]",
        )
    raise UsageError(
        f"`{output.name}` [{shape}] is no prediction for each position",
        hint="a net that writes has an input such as `tokens: i32[B, T]` and gives [B, T, entries]",
    )


def longest(writer: Writer, sizes: Mapping[str, int], wanted: int) -> int:
    """How many positions the net has, up to `wanted`; a window slides as far as one likes."""

    def fits(length: int) -> bool:
        known = {**dict.fromkeys(sizes, 1), "B": 1, writer.size: length}
        try:
            return all(evaluate(n.least, known) >= 0 for n in writer.needs)
        except (KeyError, ValueError):
            return True

    if writer.window or fits(wanted):
        return wanted
    low, high = 0, wanted
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def arrays_of(writer: Writer, given: Mapping[str, Any], rows: int) -> dict[str, Array]:
    """The inputs that do not grow, one row or as many as sequences; masks that miss are all true.

    Raises: UsageError for an input that is missing or unknown.
    """
    ports = {port.name: port for port in writer.given}
    for name in given:
        if name not in ports:
            hint = f"it has {', '.join(ports) or 'no other input'}"
            raise UsageError(f"`{writer.net}` has no input `{name}` to give", hint=hint)
    found: dict[str, Array] = {}
    for name, array in given.items():
        array = np.asarray(array, DTYPES[ports[name].dtype])
        array = np.repeat(array, rows, 0) if len(array) == 1 and rows > 1 else array
        found[name] = np.ascontiguousarray(array)
    for name in ports.keys() - found.keys():
        found[name] = _mask(writer, ports, name, found)
    return found


def _mask(
    writer: Writer, ports: Mapping[str, Port], name: str, found: Mapping[str, Array]
) -> Array:
    """All true, in the shape of an input of the same sizes."""
    want = ports[name]
    for other, array in found.items():
        if want.dtype == "bool" and ports[other].shape == want.shape:
            return np.ones(array.shape, np.bool_)
    shape = ", ".join(map(str, want.shape))
    raise UsageError(
        f"`{writer.net}` needs `{name}`, {want.dtype}[{shape}]",
        hint="give it: --source for text it reads",
    )


def tokens_text(prompt: Sequence[int]) -> str:
    """`1 token`, `5 tokens`."""
    return f"{len(prompt)} token{'' if len(prompt) == 1 else 's'}"


def check_prompts(writer: Writer, prompts: Sequence[Sequence[int]]) -> None:
    """Raises: UsageError for prompts that are empty, of several lengths, or of other tokens."""
    if not prompts or not len(prompts[0]):
        raise UsageError("an empty prompt: nothing to go on from", hint="give at least one token")
    if len({len(prompt) for prompt in prompts}) > 1:
        raise UsageError("prompts of different lengths", hint="sample them one by one")
    if len(prompts[0]) < writer.window:
        raise UsageError(
            f"a prompt of {tokens_text(prompts[0])}: `{writer.net}` goes on from {writer.window}",
            hint="give a longer prompt",
        )
    for prompt in prompts:
        for token in prompt:
            if not 0 <= token < writer.entries:
                raise UsageError(
                    f"token {token} is not of `{writer.net}`: it knows 0 to {writer.entries - 1}",
                    hint="is it the vocabulary that the net was trained with?",
                )
