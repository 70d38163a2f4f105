"""What a spec may say and is hardly meant: a net that sees what it has to guess, softmax twice, a
setting without effect, the channels that come in taken for those that go out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..spec.errors import UsageError
from ..spec.expressions import Call, Expr, Name, Number, Text
from ..spec.place import Place
from ..spec.text_sources import BYTES, LEARNT
from .build import Program
from .build.names import every_call
from .decoding import decoding_of
from .ir.builder import Builder
from .ir.graph import Node
from .passes.step import LooksAhead

SHIFTED = {"text": 0, "stdlib": 0, "tokens": 0, "pairs": 1, "sequences": 1}
"""Sources that say of every position what comes next, and which field is read: the next follows."""

CONVOLUTIONS = ("conv", "conv_transpose", "separable_conv", "standardised_conv")
WIDE, FAR = 8, 3
"""A kernel and a stride from which on three numbers are rather PyTorch's channels and kernel."""


@dataclass(frozen=True, slots=True)
class Note:
    """A sentence about a place in the spec, and what to do."""

    place: Place | None
    message: str
    hint: str

    def __str__(self) -> str:
        where = f"{self.place}: " if self.place is not None else ""
        return f"{where}{self.message}"


def notes(program: Program) -> tuple[Note, ...]:
    """All notes on a spec without errors, each once."""
    found = [
        *_foreseen(program),
        *_twice(program),
        *_sized(program),
        *_counted_in(program),
    ]
    return tuple(dict.fromkeys(found))


def _foreseen(program: Program) -> Iterator[Note]:
    """Nets that see later tokens while they learn which is next."""
    for line in (program.train or {}).get("data") or ():
        read = _read_and_next(line)
        if read is None:
            continue
        for step in program.steps.values():
            answer = step.answers.get(read[1])
            if answer is not None and answer.net is not None and read[0] in step.inputs:
                yield from _ahead(program, answer.net, *read)


def _read_and_next(line: dict[str, Any]) -> tuple[str, str] | None:
    """The field that is read and the one that says what is next, if the line gives both."""
    first = SHIFTED.get(line["source"])
    names = line["names"]
    if first is None or len(names) < first + 2 or line["settings"].get("masked") is not None:
        return None
    return names[first], names[first + 1]


def _ahead(program: Program, net: str, read: str, wanted: str) -> Iterator[Note]:
    try:
        decoding_of(program.nets[net], prefixes=False)
    except LooksAhead as found:
        text = (
            f"`{found.name}` lets a position of `{read}` see later ones; "
            f"`{wanted}`, which it learns to guess, is one of them"
        )
        hint = "attention(…, causal=true), or recurrent layers from the beginning"
        yield Note(found.place, text, hint)
    except UsageError:
        pass


def _twice(program: Program) -> Iterator[Note]:
    """A softmax of a softmax, as by `cross_entropy` of probabilities."""
    for step in program.steps.values():
        b = step.evaluated
        for node in b.nodes:
            if node.op == "logsumexp" and _is_softmax(b, b[node.operands[0]], node["axes"]):
                text = "softmax of a softmax: `cross_entropy` takes logits, not probabilities"
                yield Note(b[node.operands[0]].place, text, "leave this one out")


def _is_softmax(b: Builder, node: Node, axes: object) -> bool:
    """exp(x - logsumexp x) along the axes?"""
    if node.op != "exp" or b[node.operands[0]].op != "sub":
        return False
    x, spread = b[node.operands[0]].operands
    total = b[spread]
    while total.op in ("broadcast", "reshape", "unsqueeze"):
        total = b[total.operands[0]]
    return total.op == "logsumexp" and total.operands == (x,) and total["axes"] == axes


def _sized(program: Program) -> Iterator[Note]:
    """A `size` beside a vocabulary that has its own; not where a param chooses the vocabulary."""
    train = program.spec.file.train
    for line in train.data if train is not None else ():
        call = line.source
        if not isinstance(call, Call) or call.name not in ("text", "stdlib", "pairs"):
            continue
        given = {setting.name: setting for setting in call.named}
        size, chosen = given.get("size"), given.get("vocabulary")
        word = _literal(chosen.value) if chosen is not None else "bytes"
        if size is not None and word not in (None, "bpe", "words"):
            has = f"{BYTES} entries" if word == "bytes" else "as many entries as its file says"
            text = f"`size` does nothing here: the vocabulary `{word}` has {has}"
            yield Note(size.place, text, "leave it out, or write vocabulary=bpe or words")


def _literal(value: Expr) -> str | None:
    if isinstance(value, Text):
        return value.value
    return value.id if isinstance(value, Name) and value.id in LEARNT else None


def _counted_in(program: Program) -> Iterator[Note]:
    """`conv(3, 16, 3)` of 3 channels: a kernel of 16, where PyTorch would make 16 channels."""
    texts = (program.spec.file.nets, tuple(program.spec.blocks.own.values()))
    calls = {c.place: c for c in every_call(texts) if c.name in CONVOLUTIONS}
    for declared in program.parameters:
        call = calls.get(declared.place)
        numbers = _three_numbers(call.positional) if call is not None else None
        if call is None or numbers is None or len(declared.shape) < 3:
            continue
        channels, kernel, stride = numbers
        if declared.shape[:2] == (channels, channels) and (kernel >= WIDE or stride >= FAR):
            text = f"{call.name} makes {channels} channels by a kernel of {kernel}, stride {stride}"
            plain = f"{call.name}({kernel}, {stride})"
            yield Note(call.place, text, f"the channels that come in are not given: {plain}")


def _three_numbers(positional: Sequence[Expr]) -> tuple[int, int, int] | None:
    """What a call with three numbers says, behind its input if that is there, too."""
    if len(positional) == 4 and not isinstance(positional[0], Number):
        positional = positional[1:]
    values = [each.value for each in positional if isinstance(each, Number)]
    whole = [value for value in values if isinstance(value, int)]
    return (whole[0], whole[1], whole[2]) if len(whole) == len(positional) == 3 else None
